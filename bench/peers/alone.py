"""Peers that work by themselves: nobody sends them requests, they do their work over and over.

Such a peer listens at a port. Whoever connects sends a number of seconds in a line, and gets what
was done meanwhile as a line of JSON, with the same counts as wrk's. A step returns how many
nanoseconds of it count, so that what a peer does for the measurement's sake costs it nothing.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

Step = Callable[[], int]


def serve(port: int, step: Step, *, per_step: int = 1) -> None:
    """Obeys orders until the process is ended. In a step, `per_step` things are done."""
    with socket.create_server(("127.0.0.1", port)) as door:
        while True:
            connection, _ = door.accept()
            with connection, connection.makefile("rw") as lines:
                # Whoever only looks whether the door is open sends nothing.
                if order := lines.readline():
                    lines.write(json.dumps(work(step, float(order), per_step)) + "\n")


def work(step: Step, seconds: float, per_step: int = 1) -> dict[str, int]:
    """Takes steps until those took that long."""
    wanted, spent, each = round(seconds * 1e9), 0, []
    while spent < wanted:
        taken = step()
        spent += taken
        each.append(taken)
    each.sort()
    return {
        "answers": len(each) * per_step,
        "microseconds": spent // 1000,
        "p50_us": each[len(each) // 2] // 1000,
        "p99_us": each[len(each) * 99 // 100] // 1000,
        "max_us": each[-1] // 1000,
        "refused": 0,
        "broken": 0,
    }
