"""What storage raises beyond what the ledger expects of any store.

StoreError                       (tallystick.ledger.ports)
├── StatementRejected, StoreUnavailable, OutcomeUnknown
└── StoreNotUsable               an operator has to do something before it can be opened
    ├── AlreadyOwned             another process has it open for writing
    ├── NotReachable             nobody answers there, or not yet
    ├── UnsafePermissions        others could read it
    └── SchemaMismatch           its schema is not one that this version can take further
"""

from __future__ import annotations

from tallystick.ledger.ports import StoreError


class StoreNotUsable(StoreError):
    """The message says what to do."""


class AlreadyOwned(StoreNotUsable):
    """Another process writes this database; `pid` is its process id, where it could be read."""

    def __init__(self, message: str, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


class NotReachable(StoreNotUsable):
    """What keeps it from being used may be over in a moment: whoever starts may wait for that."""


class UnsafePermissions(StoreNotUsable):
    """Users other than the owner may read or write a file of the database."""


class SchemaMismatch(StoreNotUsable):
    """The migrations on record are not the first of those that this version knows."""
