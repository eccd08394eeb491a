"""What a batch notes of the accounts that it loads: what did not change need not be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tallystick.domain.account import Account
    from tallystick.domain.commands import AccountStatus
    from tallystick.domain.grants import GrantStatus
    from tallystick.domain.plans import Plan
    from tallystick.ledger.ports import Snapshot


class Loaded(NamedTuple):
    """An account's row as a batch found it."""

    sequence: int
    next_due_at: int
    status: AccountStatus
    plan: Plan
    next_plan: Plan | None
    period_index: int
    allowance_grant_id: str | None
    grants: dict[str, GrantStatus]

    def has_terms_of(self, account: Account) -> bool:
        """Whether nothing but balances and the place in the chain changed."""
        return (
            account.plan is self.plan
            and account.next_plan is self.next_plan
            and account.status is self.status
            and account.period_index == self.period_index
            and account.allowance_grant_id == self.allowance_grant_id
        )


def note_loaded(snapshot: Snapshot) -> dict[str, Loaded]:
    """How the accounts of `snapshot` are before anything is decided about them."""
    return {
        name: Loaded(
            one.sequence,
            one.next_due_at,
            one.status,
            one.plan,
            one.next_plan,
            one.period_index,
            one.allowance_grant_id,
            {grant_id: grant.status for grant_id, grant in one.grants.items()},
        )
        for name, one in snapshot.accounts.items()
    }
