"""Ways to live for the organizations of the random walks: each meets other edges of the rules."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from tests.property import edges


class Manner(NamedTuple):
    """How an organization lives: its allowances, what it uses, is granted and waits for."""

    allowances: Sequence[Decimal]
    used: Sequence[str]
    granted: Sequence[str]
    expires: Sequence[str] = edges.EXPIRES
    waits: Sequence[str] = edges.WAITS
    overdraws: float = 0.3
    habit: str = "everything"
    """What it does how often: the name of one of the walker's habits."""


_ORDINARY = Manner(edges.ALLOWANCES, edges.AMOUNTS, edges.GRANTED)
_SPENDER = Manner(
    edges.RICH_ALLOWANCES,
    edges.USED_BY_SPENDERS,
    edges.GRANTED_TO_RICH,
    waits=("not at all", "a microsecond", "until just before something is due"),
    overdraws=0.8,
    habit="spending",
)
_SAVER = Manner(
    edges.RICH_ALLOWANCES,
    ("smallest", "some", "largest"),
    edges.GRANTED_TO_RICH,
    expires=("unsaid",),
    waits=(*edges.SHORT_WAITS, "until the period's end", "until the period's end"),
    habit="saving",
)
_REFUNDER = _SAVER._replace(
    allowances=(Decimal(0), Decimal(100)),
    used=("some", "first lot", "largest"),
    waits=("not at all", "an hour", "until the period's end"),
    granted=("room", "largest"),
    habit="giving back",
)
_TINKERER = _ORDINARY._replace(waits=edges.SHORT_WAITS, habit="changing terms")
_HOLDER = Manner(
    edges.ALLOWANCES[2:5],
    ("smallest", "some", "first lot", "first lot and more", "more than available"),
    ("smallest", "some", "more"),
    expires=(*edges.EXPIRES, "a day later", "two days later", "two days later"),
    waits=edges.SHORT_WAITS,
    habit="holding",
)
# Spenders and savers meet the limit of sums, the one with what is consumed, the other with grants,
# and refunders with what comes back; tinkerers change the same period again and again; holders have
# many holds open, on many grants.
MANNERS = (
    *(_ORDINARY, _SAVER, _HOLDER, _TINKERER, _REFUNDER, _SPENDER, _HOLDER, _TINKERER, _SAVER),
    *(_ORDINARY, _HOLDER, _TINKERER, _REFUNDER),
)
