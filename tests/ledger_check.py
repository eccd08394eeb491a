"""Recomputes a ledger from its entries, straight from the SQLite file.

An auditor's view: it reads the file and shares no code with the service, the encoding of entries
included. Whatever is materialised beside the entries (accounts, grants, periods, roll-ups, the
index of event ids) is computed anew from them and compared, and what was rated is rated again; the
first difference is an AssertionError that names it. Other processes may have the file open
meanwhile.

    facts = check_ledger(database)[organization_id]
    facts.booked["evt-1"]          # its sequence
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw

from tests.ledger_promises import Promises
from tests.ledger_ratings import check_ratings
from tests.ledger_statistics import Statistics

MOST: Final = 8_000_000_000_000_000
NO_HASH: Final = bytes(32)

ENTRIES: Final = "SELECT * FROM entries WHERE organization_id = ? ORDER BY sequence"
GRANTS: Final = "SELECT * FROM grants WHERE organization_id = ? ORDER BY issued"
PERIODS: Final = "SELECT * FROM periods WHERE organization_id = ? ORDER BY period_index"
EVENTS: Final = "SELECT * FROM usage_events WHERE organization_id = ? ORDER BY sequence"
DIMENSIONS: Final = "SELECT * FROM event_dimensions WHERE organization_id = ?"
DAYS: Final = "SELECT * FROM usage_days WHERE organization_id = ?"
ROLLUPS: Final = "SELECT * FROM usage_rollups WHERE organization_id = ?"
PERIOD_USAGE: Final = "SELECT * FROM period_usage WHERE organization_id = ?"
HOLDS: Final = "SELECT * FROM holds WHERE organization_id = ? ORDER BY placed"
BUDGETS: Final = "SELECT * FROM budgets WHERE organization_id = ?"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the entries of one organization come to (micro-credits)."""

    remaining: int
    consumed: int
    overage: int
    booked: Mapping[str, int]
    """The sequence of each usage event's entry, by the event's id."""
    credits: Mapping[str, int]
    """What each event used."""


def check_ledger(database: Path) -> dict[str, Facts]:
    """Checks all of it; the facts by organization."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(1_000)
        # One transaction: what is compared is of one moment.
        connection.execute("BEGIN")
        assert list(connection.execute("PRAGMA integrity_check")) == [("ok",)]
        assert list(connection.execute("PRAGMA foreign_key_check")) == []
        accounts = _rows(connection, "SELECT * FROM accounts")
        return {row["organization_id"]: _check(connection, row) for row in accounts}
    finally:
        connection.close()


def _rows(connection: apsw.Connection, statement: str, *values: object) -> list[Row]:
    cursor = connection.execute(statement, values)
    return [
        dict(zip((name for name, *_ in cursor.description), row, strict=True)) for row in cursor
    ]


def _check(connection: apsw.Connection, account: Row) -> Facts:
    organization_id = account["organization_id"]
    entries = _rows(connection, ENTRIES, organization_id)
    _check_chain(account, entries)
    tally = Tally()
    for entry in entries:
        tally.take(entry)
        _expect(f"entry {entry['sequence']}", tally.balances(), _after(entry))
    _check_account(account, tally)
    _check_grants(_rows(connection, GRANTS, organization_id), tally)
    _check_periods(_rows(connection, PERIODS, organization_id), tally)
    _check_usage(connection, organization_id, tally)
    tally.promises.check_holds(_rows(connection, HOLDS, organization_id))
    return Facts(
        remaining=tally.remaining,
        consumed=tally.consumed,
        overage=tally.overage,
        booked={name: entry["sequence"] for name, entry in tally.events.items()},
        credits={name: entry["credits"] for name, entry in tally.events.items()},
    )


def _expect(what: str, computed: object, found: object) -> None:
    assert found == computed, f"{what}: the file has {found}, the entries say {computed}"


# ── the chain ──


def _check_chain(account: Row, entries: list[Row]) -> None:
    _expect("sequences", list(range(1, len(entries) + 1)), [each["sequence"] for each in entries])
    _expect("the account's sequence", len(entries), account["sequence"])
    head = NO_HASH
    last_booked_at = 0
    for entry in entries:
        head = hashlib.sha256(b"tallystick/entry/1" + head + _encoded(entry)).digest()
        _expect(f"hash of entry {entry['sequence']}", head, entry["hash"])
        assert entry["booked_at"] >= last_booked_at, f"entry {entry['sequence']} goes back in time"
        last_booked_at = entry["booked_at"]
    _expect("the account's head", head, account["head"])
    _expect("the account's last instant", last_booked_at, account["advanced_to"])


def _encoded(entry: Row) -> bytes:
    """Integers as eight bytes, texts behind their lengths; what is absent is unlike all else."""
    numbers = [entry["sequence"], entry["credits"]]
    numbers.append(-(2**63) if entry["occurred_at"] is None else entry["occurred_at"])
    numbers.append(entry["booked_at"])
    numbers += _after(entry).values()
    texts = [
        entry[name]
        for name in (
            *("organization_id", "kind", "grant_id", "event_id", "hold_id"),
            *("teamspace_id", "api_key_id", "meter", "detail"),
        )
    ]
    encoded = b"".join(number.to_bytes(8, "big", signed=True) for number in numbers)
    encoded += b"".join(_text(None if text is None else text.encode()) for text in texts)
    encoded += _text(entry["content"])
    drawn = json.loads(entry["drawn"])
    encoded += struct.pack(">I", len(drawn))
    for grant_id, taken in drawn:
        encoded += _text(grant_id.encode()) + struct.pack(">q", taken)
    return encoded


def _text(text: bytes | None) -> bytes:
    return b"\xff\xff\xff\xff" if text is None else struct.pack(">I", len(text)) + text


# ── what the entries come to ──


def _after(entry: Row) -> dict[str, int]:
    names = ("remaining", "consumed", "overage", "held")
    return {name: entry[f"{name}_after"] for name in names}


@dataclass(slots=True)
class Tally:
    """Balances, grants and events after the entries that were taken so far."""

    remaining: int = 0
    consumed: int = 0
    overage: int = 0
    pending: int = 0
    grants: dict[str, dict[str, Any]] = field(default_factory=dict)
    periods: list[dict[str, Any]] = field(default_factory=list)
    allowance: str | None = None
    events: dict[str, Row] = field(default_factory=dict)
    statistics: Statistics = field(default_factory=Statistics)
    promises: Promises = field(init=False)

    def __post_init__(self) -> None:
        self.promises = Promises(self.grants)

    def balances(self) -> dict[str, int]:
        return {
            "remaining": self.remaining,
            "consumed": self.consumed,
            "overage": self.overage,
            "held": self.promises.held,
        }

    def take(self, entry: Row) -> None:
        """Takes one more entry; nothing that must not be negative ever is."""
        getattr(self, "_" + entry["kind"].replace(".", "_"))(entry)
        total = self.remaining + self.consumed - self.overage
        assert 0 <= self.overage <= self.consumed, entry
        assert self.remaining >= 0, entry
        assert self.pending >= 0, entry
        assert total + self.pending <= MOST, entry
        for grant in self.grants.values():
            assert 0 <= grant["held"] <= grant["remaining"] <= grant["amount"], (entry, grant)
        assert self.promises.held == sum(each["held"] for each in self.grants.values()), entry

    def _plan_changed(self, entry: Row) -> None:
        assert entry["credits"] == 0, entry

    def _period_started(self, entry: Row) -> None:
        terms = json.loads(entry["detail"])
        _expect("period index", len(self.periods), terms["index"])
        if self.periods:
            _expect("period start", self.periods[-1]["end"], terms["start"])
        self.periods.append({**terms, "sequence": entry["sequence"]})
        self.consumed = self.overage = 0
        self.allowance = None

    def _grant_issued(self, entry: Row) -> None:
        terms = json.loads(entry["detail"])
        if "kind" in terms:
            self._add_grant(entry, terms)
            return
        grant = self.grants[entry["grant_id"]]
        grant["amount"] += entry["credits"]
        grant["remaining"] += entry["credits"]
        grant["status"] = "active"
        _expect("a changed allowance", terms["amount"], grant["amount"])
        self.remaining += entry["credits"]

    def _add_grant(self, entry: Row, terms: dict[str, Any]) -> None:
        pending = terms.pop("pending")
        self.grants[entry["grant_id"]] = {
            **terms,
            "amount": entry["credits"],
            "remaining": entry["credits"],
            "held": 0,
            "status": "pending" if pending else "active",
            "issued": entry["sequence"],
            "created_at": entry["booked_at"],
        }
        if pending:
            self.pending += entry["credits"]
        else:
            self.remaining += entry["credits"]
        if terms["kind"] == "allowance":
            self.allowance = entry["grant_id"]

    def _grant_activated(self, entry: Row) -> None:
        grant = self.grants[entry["grant_id"]]
        _expect("a pending grant", "pending", grant["status"])
        _expect("what is activated", grant["remaining"], entry["credits"])
        grant["status"] = "active"
        self.pending -= entry["credits"]
        self.remaining += entry["credits"]

    def _grant_expired(self, entry: Row) -> None:
        grant = self.grants[entry["grant_id"]]
        _expect("what lapses", grant["remaining"] - grant["held"], entry["credits"])
        grant["remaining"] = grant["held"]
        grant["status"] = "expired"
        self.remaining -= entry["credits"]

    def _grant_voided(self, entry: Row) -> None:
        terms = json.loads(entry["detail"])
        grant = self.grants[entry["grant_id"]]
        if grant["status"] == "pending":
            self.pending -= entry["credits"]
        else:
            self.remaining -= entry["credits"]
        grant["remaining"] -= entry["credits"]
        if "amount" in terms:
            grant["amount"] = terms["amount"]
        if terms.get("final"):
            grant["status"] = "voided"
        elif not grant["remaining"]:
            grant["status"] = "exhausted"

    def _usage_booked(self, entry: Row) -> None:
        assert entry["event_id"] not in self.events, f"{entry['event_id']} was booked twice"
        self.events[entry["event_id"]] = entry
        drawn = json.loads(entry["drawn"])
        if entry["hold_id"] is not None:
            drawn = self.promises.capture(entry, drawn)
        for grant_id, taken in drawn:
            grant = self.grants[grant_id]
            _expect(f"status of {grant_id}, drawn from", "active", grant["status"])
            assert taken > 0, entry
            grant["remaining"] -= taken
            assert grant["remaining"] >= grant["held"], f"{grant_id} was held for others"
            if not grant["remaining"]:
                grant["status"] = "exhausted"
        covered = sum(taken for _, taken in json.loads(entry["drawn"]))
        self.remaining -= covered
        self.consumed += entry["credits"]
        self.overage += entry["credits"] - covered
        self._count(entry, entry["credits"], entry["credits"], 1)

    def _usage_reversed(self, entry: Row) -> None:
        event = self.events[entry["event_id"]]
        in_period = event["sequence"] > self.periods[-1]["sequence"]
        overage = self.promises.reverse(entry, event, in_period=in_period)
        self.remaining += sum(part for _, part in json.loads(entry["drawn"]))
        undone = entry["credits"] if in_period else 0
        self.consumed -= undone
        self.overage -= overage if in_period else 0
        self._count(entry, -entry["credits"], -undone, 0)

    def _count(self, entry: Row, moved: int, in_period: int, events: int) -> None:
        self.statistics.count(entry, moved, events)
        if events or in_period:
            index = self.periods[-1]["index"]
            self.statistics.count_in_period(entry, index, in_period, events)

    def _hold_placed(self, entry: Row) -> None:
        self.promises.place(entry)

    def _hold_extended(self, entry: Row) -> None:
        self.promises.extend(entry)

    def _hold_released(self, entry: Row) -> None:
        self.remaining -= self.promises.end(entry)

    def _hold_expired(self, entry: Row) -> None:
        self.remaining -= self.promises.end(entry)


# ── what is materialised beside them ──


def _check_account(account: Row, tally: Tally) -> None:
    for name, amount in {**tally.balances(), "pending": tally.pending}.items():
        _expect(f"the account's {name}", amount, account[name])
    period = tally.periods[-1]
    present = (period["index"], period["start"], period["end"])
    stored = (account["period_index"], account["period_start"], account["period_end"])
    _expect("the account's period", present, stored)
    _expect("the account's allowance", tally.allowance, account["allowance_grant_id"])


def _check_grants(rows: list[Row], tally: Tally) -> None:
    stored = {
        row["grant_id"]: {
            name: value
            for name, value in row.items()
            if name not in {"organization_id", "grant_id"}
        }
        for row in rows
    }
    _expect("grants", tally.grants, stored)


def _check_periods(rows: list[Row], tally: Tally) -> None:
    stored = [
        {
            "index": row["period_index"],
            "start": row["period_start"],
            "end": row["period_end"],
            "timezone": row["timezone"],
            "allowance": row["allowance"],
            "sequence": row["sequence"],
        }
        for row in rows
    ]
    _expect("periods", tally.periods, stored)


def _check_usage(connection: apsw.Connection, organization_id: str, tally: Tally) -> None:
    rows = _rows(connection, EVENTS, organization_id)
    computed = [(name, entry["sequence"]) for name, entry in tally.events.items()]
    _expect("usage events", computed, [(row["event_id"], row["sequence"]) for row in rows])
    booked, dimensions = tally.events.values(), _rows(connection, DIMENSIONS, organization_id)
    check_ratings(booked, dimensions, _rows(connection, "SELECT * FROM prices"))
    statistics = tally.statistics
    statistics.count_dimensions(dimensions, booked, tally.promises.undone)
    statistics.check_rollups(_rows(connection, ROLLUPS, organization_id))
    statistics.check_days(_rows(connection, DAYS, organization_id))
    statistics.check_periods(_rows(connection, PERIOD_USAGE, organization_id))
    budgets = _rows(connection, BUDGETS, organization_id)
    statistics.check_budgets(budgets, tally.periods[-1]["index"])
