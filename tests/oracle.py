"""A second ledger, written for clarity and not for speed, to judge the first one by.

It follows the rules of the ledger and shares no code with the core. Where both could make the same
mistake it goes another way: credits are decimals, instants are datetimes, calendars are searched
by looking at the wall clock (`oracle_calendar`), and no balance is ever kept: all are added up from
the stories of lots, holds and usage (`oracle_book`). What a hold still holds and what a reversal
gives back are found by measuring along a line, not by taking away; whether sums bear a reversal, by
making the change and looking.

Each command is asked after `settle(now)`.
"""

from __future__ import annotations

from datetime import datetime

from tests.oracle_grants import Granting
from tests.oracle_holds import Holding
from tests.oracle_time import Time
from tests.oracle_words import Terms


class Oracle(Time, Granting, Holding):
    """One organization's ledger, from its creation at `now`."""

    def __init__(self, terms: Terms, now: datetime) -> None:
        super().__init__(terms, now)
        self._note("plan.changed", now, about={"terms": terms})
        self._start_period(now, terms.calendar.last_boundary_until(now))
