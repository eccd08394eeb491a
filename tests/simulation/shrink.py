"""Makes a failing script as short as it gets while it still fails in the same way.

Delta debugging: whole clients, organizations and kinds of trouble are left out first, then ever
smaller runs of steps, then particulars of steps, then pauses. What is left out and not missed stays
out. Fails in the same way: the same check fails, at whatever moment and with whatever figures.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from tests.simulation.script import Script, Step

Run = Callable[[Script], BaseException | None]
"""What is wrong at the end of a script, if anything."""
_DISPENSABLE = (
    *("tries", "lost", "again", "leaves", "copies", "meter", "model", "key", "reference", "atomic"),
    *("overdraw", "excess", "final", "priority", "poison", "after", "begins", "ends"),
)


def shrink(script: Script, run: Run) -> Script:
    """The shortest script found; `script` must fail."""
    failure = run(script)
    if failure is None:
        raise ValueError("this script does not fail")
    wanted = place_of(failure)

    def fails(candidate: Script) -> bool:
        found = run(candidate)
        return found is not None and place_of(found) == wanted

    before: Script = ()
    while script != before:
        before = script
        for simpler in (_without_groups, _without_runs, _without_particulars, _without_pauses):
            script = simpler(script, fails)
    return script


def place_of(failure: BaseException) -> tuple[str, str, int]:
    """The check that failed."""
    last = traceback.extract_tb(failure.__traceback__)[-1:]
    (frame,) = last or [traceback.FrameSummary("", 0, "")]
    return type(failure).__name__, frame.filename, frame.lineno or 0


def _without_groups(script: Script, fails: Callable[[Script], bool]) -> Script:
    """Without all steps of somebody, or about one organization."""
    for is_of_group in _groups(script):
        left = tuple(step for step in script if not is_of_group(step))
        if len(left) < len(script) and fails(left):
            script = left
    return script


def _groups(script: Script) -> Iterator[Callable[[Step], bool]]:
    for who in sorted({step.who for step in script}):
        yield partial(_is_by, who)
    for what in sorted({step.what for step in script}):
        yield partial(_is_a, what)
    for org in sorted({step.text("org") for step in script} - {""}):
        yield partial(_is_about, org)


def _is_by(who: str, step: Step) -> bool:
    return step.who == who


def _is_a(what: str, step: Step) -> bool:
    return step.what == what


def _is_about(org: str, step: Step) -> bool:
    return step.text("org") == org


def _without_runs(script: Script, fails: Callable[[Script], bool]) -> Script:
    length = max(1, len(script) // 2)
    while length:
        at = 0
        while at < len(script):
            left = script[:at] + script[at + length :]
            if fails(left):
                script = left
            else:
                at += length
        length //= 2
    return script


def _without_particulars(script: Script, fails: Callable[[Script], bool]) -> Script:
    for at in range(len(script)):
        for simpler in _simpler(script[at]):
            candidate = (*script[:at], simpler(script[at]), *script[at + 1 :])
            if candidate != script and fails(candidate):
                script = candidate
    return script


def _simpler(step: Step) -> Iterable[Callable[[Step], Step]]:
    for name in _DISPENSABLE:
        if name in step.about:
            yield partial(_without, name)
    for at in reversed(range(step.text("event").count(",") + 1)):
        if "," in step.text("event"):
            yield partial(_without_event, at)


def _without(name: str, step: Step) -> Step:
    return replace(step, about={key: step.about[key] for key in step.about if key != name})


def _without_event(at: int, step: Step) -> Step:
    events, amounts = step.text("event").split(","), step.text("amount").split(",")
    if len(events) == 1:
        return step
    del events[at], amounts[at]
    parts = {"event": ",".join(events), "amount": ",".join(amounts)}
    return replace(step, about={**step.about, **parts})


def _without_pauses(script: Script, fails: Callable[[Script], bool]) -> Script:
    for at, step in enumerate(script):
        for pause in (0, 1, 100):
            if pause < step.pause:
                candidate = (*script[:at], replace(step, pause=pause), *script[at + 1 :])
                if fails(candidate):
                    script = candidate
                    break
    return script
