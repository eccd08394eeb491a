"""From settings to a service; only `wiring` and `transfer` name concrete adapters."""

from __future__ import annotations

from tallystick.bootstrap.first_operator import make_first_operator, write_private
from tallystick.bootstrap.housekeeping import tidy, upkeep
from tallystick.bootstrap.transfer import End, Standing, Transferred, transfer
from tallystick.bootstrap.wiring import (
    Running,
    audit,
    beside,
    check_operations,
    clock,
    clustered,
    database_file,
    embedded,
    migrated,
    new_id,
    running,
)

__all__ = (
    "End",
    "Running",
    "Standing",
    "Transferred",
    "audit",
    "beside",
    "check_operations",
    "clock",
    "clustered",
    "database_file",
    "embedded",
    "make_first_operator",
    "migrated",
    "new_id",
    "running",
    "tidy",
    "transfer",
    "upkeep",
    "write_private",
)
