"""Every reason that the core can have is answered: with its status, its figures, and a way on."""

from __future__ import annotations

import msgspec
import pytest

from tallystick.domain.credits import MICRO
from tallystick.domain.errors import Reason, Refusal
from tallystick.http.errors import error_headers
from tallystick.http.refusals import Asked, Subject, refusal_error
from tests.usage_forms import NOW

HOLD, CAPTURE = Asked(Subject.HOLD, "ts_1"), Asked(Subject.CAPTURE, "ts_1")
REVERSAL, TERMS = Asked(Subject.REVERSAL, "ts_1"), Asked(Subject.TERMS)
ERASURE = Asked(Subject.ERASURE, "ts_1")
USAGE = Asked(Subject.USAGE, "ts_1")

COVERAGE = {"required": 2 * MICRO, "available": MICRO, "resets_at": NOW}
REFUSALS: dict[Reason, tuple[int, tuple[Asked, ...], Refusal]] = {
    refusal.reason: (status, asked, refusal)
    for status, asked, refusal in (
        (409, (USAGE, HOLD, CAPTURE, REVERSAL, TERMS), Refusal(reason=Reason.ID_REUSED)),
        (404, (TERMS,), Refusal(reason=Reason.NO_SUCH_GRANT)),
        (404, (HOLD, CAPTURE), Refusal(reason=Reason.NO_SUCH_HOLD)),
        (404, (REVERSAL,), Refusal(reason=Reason.NO_SUCH_EVENT)),
        (422, (USAGE,), Refusal(reason=Reason.NO_SUCH_METER, names=("llm.tokens",))),
        (422, (USAGE,), Refusal(reason=Reason.NO_PRICE, figures={"ended_at": NOW})),
        (422, (USAGE,), Refusal(reason=Reason.CHARGE_LIMIT, figures={"most": MICRO})),
        (403, (USAGE, HOLD, CAPTURE, REVERSAL), Refusal(reason=Reason.CLOSED)),
        (403, (USAGE, HOLD, CAPTURE), Refusal(reason=Reason.SUSPENDED)),
        (403, (HOLD, CAPTURE, REVERSAL, ERASURE), Refusal(reason=Reason.OTHER_TEAMSPACE)),
        (422, (TERMS,), Refusal(reason=Reason.GRANT_ENDED, figures={"now": NOW})),
        (
            409,
            (HOLD, CAPTURE),
            Refusal(reason=Reason.HOLD_ENDED, facts={"status": "expired"}),
        ),
        (
            409,
            (HOLD,),
            Refusal(reason=Reason.HOLD_TOO_LONG, figures={"latest_expiry": NOW + 1, "now": NOW}),
        ),
        (
            409,
            (USAGE, CAPTURE, REVERSAL, TERMS),
            Refusal(reason=Reason.SUM_LIMIT, figures={"room": MICRO}),
        ),
        (409, (TERMS,), Refusal(reason=Reason.TAKES_TOO_MUCH, figures={"available": MICRO})),
        (
            409,
            (CAPTURE,),
            Refusal(reason=Reason.MORE_THAN_HELD, figures={"required": 2 * MICRO, "held": MICRO}),
        ),
        (
            409,
            (REVERSAL,),
            Refusal(reason=Reason.MORE_THAN_BOOKED, figures={"booked": MICRO, "left": 0}),
        ),
        (
            402,
            (USAGE, HOLD, CAPTURE),
            Refusal(reason=Reason.NOT_COVERED, figures={**COVERAGE, "overage_headroom": 0}),
        ),
        (
            402,
            (USAGE, HOLD, CAPTURE),
            Refusal(reason=Reason.OVER_BUDGET, figures=COVERAGE, facts={"budget_id": "ts_1"}),
        ),
    )
}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_answered(reason: Reason) -> None:
    status, every_asked, refusal = REFUSALS[reason]
    for asked in every_asked:
        error = refusal_error(refusal, asked)
        assert error.code.status == status
        details = msgspec.json.decode(msgspec.json.encode(error.envelope()))["details"]
        said_otherwise = {"overage_headroom", "most"}
        assert {*refusal.figures, *refusal.facts} - said_otherwise <= set(details)
        assert error.mitigation
        assert (b"x-should-retry", b"false") in error_headers(error)


def test_an_operator_is_told_of_a_conflict_where_a_tenant_is_denied() -> None:
    for reason in (Reason.CLOSED, Reason.SUSPENDED):
        assert refusal_error(Refusal(reason=reason), TERMS).code.name == "conflict"


def test_details_are_added_to_those_of_the_refusal() -> None:
    _, _, refusal = REFUSALS[Reason.OVER_BUDGET]
    error = refusal_error(refusal, USAGE, index=3)
    assert (error.details["index"], error.details["budget_id"]) == (3, "ts_1")
    assert error.details["blocked_by"] == "budget"


def test_an_extension_says_how_many_whole_seconds_are_left() -> None:
    for left, seconds in ((2 * MICRO - 1, 1), (1, 0), (-1, 0)):
        figures = {"latest_expiry": NOW + left, "now": NOW}
        error = refusal_error(Refusal(reason=Reason.HOLD_TOO_LONG, figures=figures), HOLD)
        assert f"at most {seconds} seconds" in error.mitigation
