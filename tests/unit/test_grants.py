"""Grants: issued, waiting, taken back (the burn order is with usage, in test_decide)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tallystick.domain.commands import Earlier, Issued, Voided, VoidGrant
from tallystick.domain.credits import MAX_SUM
from tallystick.domain.decide import decide
from tallystick.domain.entries import Entry
from tallystick.domain.errors import CorruptLedger, Reason, Refusal
from tallystick.domain.grants import Grant
from tests.unit.life import Life, at, kinds, moves, plan, reason


def taken(life: Life, grant: Grant, amount: str | None = None) -> tuple[str, int]:
    """What a void left the grant as, and what it took (micro-credits)."""
    outcome = life.void(grant, amount)
    assert isinstance(outcome, Voided)
    return str(outcome.grant.status), outcome.credits


# ── issued ──


def test_a_grant_counts_from_the_moment_it_is_issued() -> None:
    life = Life(plan("100"))
    life.grant("50")
    assert life.triple == ("150", "0", "150")


def test_a_grant_that_is_not_effective_yet_does_not_count() -> None:
    life = Life(plan("100"))
    grant = life.grant("50", effective="2026-01-20")
    assert str(grant.status) == "pending"
    assert life.triple == ("100", "0", "100")
    life.wait("2026-01-20")
    assert str(grant.status) == "active"
    assert life.triple == ("150", "0", "150")


def test_a_grant_may_have_been_effective_before_it_was_issued() -> None:
    life = Life(plan("100"))
    assert str(life.grant("50", effective="2025-06-01").status) == "active"


@pytest.mark.parametrize(
    ("effective", "expires"),
    [
        (None, "2026-01-10T12:00"),
        (None, "2025-01-01"),
        ("2026-02-01", "2026-02-01"),
        ("2026-02-01", "2026-01-20"),
    ],
)
def test_a_grant_must_end_after_it_begins_and_after_now(
    effective: str | None, expires: str
) -> None:
    life = Life()
    outcome = life.ask_for_grant("50", effective=effective, expires=expires)
    assert outcome == Refusal(reason=Reason.GRANT_ENDED, figures={"now": life.now})


def test_grants_stay_within_the_sums_that_doubles_read_exactly() -> None:
    life = Life(plan("1000000000"))
    for month in range(2, 8):
        life.grant("1000000000", effective=f"2026-{month:02}-10")
    life.grant("999999999.999999")
    assert life.account.room == 1
    assert life.ask_for_grant("0.000002") == Refusal(reason=Reason.SUM_LIMIT, figures={"room": 1})
    life.grant("0.000001")
    assert life.account.total + life.account.pending == MAX_SUM


def test_a_closed_organization_gets_no_grants() -> None:
    life = Life()
    life.set_status("closed")
    assert reason(life.ask_for_grant("1")) is Reason.CLOSED


def test_a_suspended_organization_may_get_grants() -> None:
    life = Life(plan("100"))
    life.set_status("suspended")
    life.grant("1")
    assert life.triple == ("101", "0", "101")


# ── references ──


def test_the_same_reference_and_content_gets_the_first_grant_as_it_is_now() -> None:
    life = Life(plan("0"))
    first = life.ask_for_grant("50", reference="invoice-1")
    life.use("20")
    again = life.ask_for_grant("50", reference="invoice-1")
    assert isinstance(first, Issued)
    assert again == Issued(replace(first.grant, remaining=30_000_000), duplicate=True)
    assert life.triple == ("30", "20", "50")


def test_the_same_reference_with_other_content_is_a_conflict() -> None:
    life = Life()
    life.ask_for_grant("50", reference="invoice-1")
    for refused in (
        life.ask_for_grant("51", reference="invoice-1"),
        life.ask_for_grant("50", "promotional", reference="invoice-1"),
        life.ask_for_grant("50", reference="invoice-1", priority=51),
        life.ask_for_grant("50", reference="invoice-1", effective="2026-01-10"),
        life.ask_for_grant("50", reference="invoice-1", expires="2027-01-10"),
    ):
        assert reason(refused) is Reason.ID_REUSED


def test_a_repeated_reference_is_looked_up_before_any_state_is_judged() -> None:
    life = Life()
    life.ask_for_grant("50", reference="invoice-1")
    life.set_status("closed")
    assert isinstance(life.ask_for_grant("50", reference="invoice-1"), Issued)


def test_a_grant_that_its_entry_names_and_nobody_has_means_a_corrupt_ledger() -> None:
    life = Life()
    life.ask_for_grant("50", reference="invoice-1")
    life.account.grants.clear()
    with pytest.raises(CorruptLedger):
        life.ask_for_grant("50", reference="invoice-1")


# ── voided ──


def test_a_void_takes_back_a_part() -> None:
    life = Life(plan("0"))
    grant = life.grant("50")
    assert taken(life, grant, "20") == ("active", 20_000_000)
    assert life.triple == ("30", "0", "30")


def test_a_void_takes_back_no_more_than_is_left() -> None:
    life = Life(plan("0"))
    grant = life.grant("50")
    life.use("20")
    assert life.void(grant, "30.000001") == Refusal(
        reason=Reason.TAKES_TOO_MUCH, figures={"available": 30_000_000}
    )
    assert life.triple == ("30", "20", "50")


def test_a_void_of_all_is_for_good() -> None:
    life = Life(plan("0"))
    grant = life.grant("50", expires="2026-01-20")
    life.use("20")
    assert taken(life, grant) == ("voided", 30_000_000)
    assert life.triple == ("0", "20", "20")
    assert life.wait("2026-01-25") == []
    assert str(grant.status) == "voided"


def test_a_grant_of_which_nothing_is_left_can_be_voided() -> None:
    life = Life(plan("0"))
    grant = life.grant("50")
    life.use("50")
    assert taken(life, grant) == ("voided", 0)
    assert moves(life.entries[-1:]) == [("grant.voided", "0")]


def test_a_grant_whose_parts_were_all_voided_is_exhausted() -> None:
    life = Life(plan("0"))
    assert taken(life, life.grant("50"), "50") == ("exhausted", 50_000_000)


def test_voiding_again_or_after_the_end_changes_nothing() -> None:
    life = Life(plan("0"))
    voided, expired = life.grant("50"), life.grant("50", expires="2026-01-20")
    life.void(voided)
    life.wait("2026-01-20")
    written = len(life.entries)
    assert taken(life, voided) == ("voided", 0)
    assert taken(life, expired) == ("expired", 0)
    assert len(life.entries) == written
    assert reason(life.void(expired, "1")) is Reason.TAKES_TOO_MUCH


def test_a_grant_can_be_voided_before_it_takes_effect() -> None:
    life = Life(plan("0"))
    part, whole = (life.grant("50", effective="2026-01-20") for _ in range(2))
    assert taken(life, part, "20") == ("pending", 20_000_000)
    assert taken(life, whole) == ("voided", 50_000_000)
    assert life.account.pending == 30_000_000
    assert moves(life.wait("2026-01-20")) == [("grant.activated", "30")]


def test_a_pending_grant_whose_parts_were_all_voided_never_takes_effect() -> None:
    life = Life(plan("0"))
    assert taken(life, life.grant("50", effective="2026-01-20"), "50") == ("exhausted", 50_000_000)
    assert life.wait("2026-01-25") == []


def test_an_unknown_grant_cannot_be_voided() -> None:
    life = Life()
    assert reason(life.do(VoidGrant(grant_id="grant_of_others"))) is Reason.NO_SUCH_GRANT


def test_a_grant_that_ended_long_ago_is_found_by_who_looked_it_up() -> None:
    life = Life(plan("0"))
    grant = life.grant("50")
    life.use("50")
    del life.account.grants[grant.id]
    outcome, entries = decide(
        life.account, VoidGrant(grant_id=grant.id), life.now, Earlier(grant=grant)
    )
    assert isinstance(outcome, Voided)
    assert kinds(entries) == ["grant.voided"]
    assert life.account.grants[grant.id] is grant


def test_a_closed_organizations_grants_can_be_voided() -> None:
    life = Life(plan("0"))
    grant = life.grant("50")
    life.set_status("closed")
    assert taken(life, grant) == ("voided", 50_000_000)


def test_an_issue_says_all_terms_of_the_grant() -> None:
    life = Life(plan("0"))
    life.ask_for_grant("50", "promotional", priority=7, expires="2026-02-10", reference="promo")
    entry: Entry = life.entries[-1]
    assert entry.detail == (
        f'{{"effective_at":{life.now},"expires_at":{at("2026-02-10")},"kind":"promotional",'
        '"pending":false,"priority":7,"reference":"promo"}'
    )
