"""What is to happen in a world, step by step, as text that a person can read, change and replay.

A script knows nothing of what comes of its steps: amounts and instants have the names of edges
(`available`, `when-due`), holds and grants the names that the script gave them. So a script that
lost some of its steps is a script still, which is what lets a failing one be made shorter.

    +150 c2 use org=0 event=e17 amount=more-than-available
    │    │  │   └ particulars
    │    │  └ what happens
    │    └ who: a client (c…), or the clock, the disk, the process, the sweeper, the auditor
    └ microseconds after the step before
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Step:
    pause: int
    who: str
    what: str
    about: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [f"+{self.pause}", self.who, self.what]
        return " ".join([*words, *(f"{name}={value}" for name, value in self.about.items())])

    def text(self, name: str, default: str = "") -> str:
        return self.about.get(name, default)

    def maybe(self, name: str) -> str | None:
        return self.about.get(name)

    def number(self, name: str, default: int = 0) -> int:
        return int(self.about.get(name, default))

    def says(self, name: str) -> bool:
        return self.about.get(name) == "yes"


Script = tuple[Step, ...]


def written(script: Iterable[Step]) -> str:
    return "".join(f"{step}\n" for step in script)


def read(text: str) -> Script:
    """The script in `text`; empty lines and those that begin with # are for people."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(_step(line) for line in lines if line and not line.startswith("#"))


def _step(line: str) -> Step:
    pause, who, what, *about = line.split()
    pairs = (pair.partition("=") for pair in about)
    return Step(int(pause.removeprefix("+")), who, what, {name: value for name, _, value in pairs})
