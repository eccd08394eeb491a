"""Budgets: caps on what one teamspace or one key may consume in a billing period (rule 13).

A budget counts the net usage of its subject in the present period and what the subject's open holds
set aside. It is asked about authorized usage and new holds only: what was held is captured, and
what has happened is recorded, whatever a budget says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(slots=True, kw_only=True)
class Budget:
    """A cap and what counts against it (micro-credits).

    `subject_id` is a teamspace's or a key's id. `used` is net usage, so it may fall; it exceeds the
    limit where the limit was lowered or usage was recorded.
    """

    subject_id: str
    limit: int
    used: int = 0
    held: int = 0

    @property
    def available(self) -> int:
        return max(0, self.limit - self.used - self.held)


Budgets = dict[str, Budget]
"""An account's budgets, by subject."""


def budgets_of(
    budgets: Mapping[str, Budget], teamspace_id: str | None, api_key_id: str | None
) -> Iterator[Budget]:
    """The budgets that concern what this teamspace and key do, the teamspace's first."""
    for subject_id in (teamspace_id, api_key_id):
        budget = budgets.get(subject_id) if subject_id is not None else None
        if budget is not None:
            yield budget


def note_used(
    budgets: Mapping[str, Budget], teamspace_id: str | None, api_key_id: str | None, used: int
) -> None:
    """Counts usage (below zero: what was given back)."""
    for budget in budgets_of(budgets, teamspace_id, api_key_id):
        budget.used += used


def note_held(
    budgets: Mapping[str, Budget], teamspace_id: str | None, api_key_id: str | None, held: int
) -> None:
    """Counts what a hold sets aside (below zero: what it lets go of)."""
    for budget in budgets_of(budgets, teamspace_id, api_key_id):
        budget.held += held
