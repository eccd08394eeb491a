"""Accounts that a lane keeps from one batch to the next, instead of loading them again.

Theory of operation. Deciding changes accounts in place, so an account has one owner at a time: the
batch that was given it, or this memory. What a batch asks for leaves the memory with it; what it
wrote comes back when COMMIT has returned. A batch that fails, is abandoned or goes away keeps what
it was given, and the next one loads it from the file.

An account comes back as loading would give it: grants that have ended are dropped (see `lane.sql`,
`load_live_grants`), so it stays small however many there have been. Only the batch's own objects
come back, since only they know all their grants.

That nobody else has written is asked of SQLite at each batch (`data_version`), so this is safe
whether or not the process owns the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tallystick.domain.grants import GrantStatus
from tallystick.storage.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Collection

    from tallystick.domain.account import Account
    from tallystick.domain.directory import Organization
    from tallystick.ledger.ports import Changes, Snapshot

MOST: Final = 2_048
"""Accounts kept: some 4 MB, and more would be felt in each full collection of garbage."""
_LIVE: Final = frozenset({GrantStatus.PENDING, GrantStatus.ACTIVE})


class AccountCache:
    """Accounts with their organizations, as they stand in the file."""

    def __init__(self, most: int = MOST) -> None:
        self._kept: Remembered[tuple[Account, Organization]] = Remembered(most)
        self.clear = self._kept.clear

    def hand_out(self, names: Collection[str], snapshot: Snapshot) -> list[str]:
        """Gives `snapshot` what is kept of these organizations; returns the names of the others."""
        missing = []
        for name in names:
            kept = self._kept.take(name)
            if kept is None:
                missing.append(name)
            else:
                snapshot.accounts[name], snapshot.organizations[name] = kept
        return missing

    def forget(self, changes: Changes) -> None:
        """Forgets what `changes` touch, also where it was never handed out."""
        for account in changes.accounts:
            self._kept.take(account.organization_id)
        for owner, _ in changes.grants:
            self._kept.take(owner)
        for owner, _ in changes.budgets:
            self._kept.take(owner)
        for name in changes.organizations:
            self._kept.take(name)

    def take_back(self, changes: Changes, snapshot: Snapshot) -> None:
        """Keeps the accounts that were written, as they were written."""
        for account in changes.accounts:
            name = account.organization_id
            organization = snapshot.organizations.get(name)
            if organization is not None and snapshot.accounts.get(name) is account:
                _forget_what_ended(account)
                self._kept.put(name, (account, organization))


def _forget_what_ended(account: Account) -> None:
    grants, allowance = account.grants, account.allowance_grant_id
    ended = [
        name
        for name, one in grants.items()
        if one.status not in _LIVE and not one.held and name != allowance
    ]
    for name in ended:
        del grants[name]
    if len(account.holds) > len(account.open_holds):
        account.holds = {hold.id: hold for hold in account.open_holds}
