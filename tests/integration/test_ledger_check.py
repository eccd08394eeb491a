"""The audit passes a ledger with a bit of everything, and names whatever is changed in it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import httpx
import pytest

from tests.harness import bearer
from tests.ledger_check import check_ledger
from tests.server import Server, running_server
from tests.verified import check_verified, verified

USAGE = "/v1/organization/credits/usage"
YEAR = "2026-01-01T00:00:00Z"
HOLDS = "/v1/organization/credits/holds"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a server that has ended."""
    with running_server(tmp_path_factory.mktemp("ledger")) as server:
        live(server)
    return server.database


def live(server: Server) -> None:
    """Every kind of entry that can be had without waiting for a period to end."""
    acme = server.organization(allowance=10, overage={"mode": "allow"}, usage_dimensions=["model"])
    server.organization("Nothing happens here")
    secret = server.key(acme)
    later = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    pending = server.grant(acme, 5, effective_at=later)
    voided = server.grant(acme, 3, kind="promotional", priority=90)
    server.grant(acme, 4, expires_at=later, reference="order-1")
    book(server, secret, {"id": "evt-1", "credits": 11.5, "meter": "llm.tokens"})
    for grant, part in ((pending, {"credits": 2}), (voided, {"credits": 1}), (voided, {})):
        server.post(f"/organizations/{acme['id']}/grants/{grant['id']}/void", part)
    for allowance in (25, 12):
        path = f"/v1/admin/organizations/{acme['id']}"
        change = {"allowance": allowance, "apply": "now"}
        assert server.admin.patch(path, json=change).status_code == 200
    book(server, secret, {"id": "evt-2", "credits": 0.25, "timestamp": "2020-02-29T12:00:00Z"})
    book(server, secret, {"id": "evt-3", "credits": 0, "dimensions": {"model": "small"}})
    book(server, secret, {"id": "evt-4", "credits": 20, "on_insufficient": "overdraw"})
    terms = {"dimensions": {"model": "small"}, "rounding": "up", "effective_at": YEAR}
    server.post("/prices", {"meter": "llm.calls", "credits": 1, "per": 3, **terms})
    calls = {"meter": "llm.calls", "dimensions": {"model": "small", "region": "eu"}}
    book(server, secret, {"id": "evt-5", "quantity": 0.5, **calls})
    promise(server)


def promise(server: Server) -> None:
    """Holds with every end but their expiry, one that outlives its grant, reversals, a budget."""
    held = server.organization("Promises", allowance=100, usage_dimensions=["agent"])
    secret = server.key(held)
    lasting = server.grant(held, 10, kind="promotional", priority=0)
    home = held["default_teamspace_id"]
    budget = f"/v1/admin/organizations/{held['id']}/budgets/{home}"
    terms = {"meter": "agent.steps", "dimensions": {"agent": "triage"}, "expires_in": 86_400}
    holds = [place(server, secret, {"credits": 8, **terms}) for _ in range(5)]
    captured, released, extended, exceeded, _ = holds
    ask(server, secret, f"{HOLDS}/{captured}/capture", {"id": "step-1", "credits": 3})
    ask(server, secret, f"{HOLDS}/{captured}/capture", {"credits": 2, "final": True})
    ask(server, secret, f"{HOLDS}/{released}/release", {})
    ask(server, secret, f"{HOLDS}/{extended}/extend", {"expires_in": 86_400})
    assert server.admin.put(budget, json={"limit": 50}).status_code == 200
    ask(
        server,
        secret,
        f"{HOLDS}/{exceeded}/capture",
        {"id": "excess", "credits": 12, "allow_excess": True},
    )
    server.post(f"/organizations/{held['id']}/grants/{lasting['id']}/void", {})
    ask(server, secret, f"{USAGE}/step-1/reverse", {"credits": 1, "reference": "r-1"}, 201)
    ask(server, secret, f"{USAGE}/step-1/reverse", {}, 201)
    ask(server, secret, f"{USAGE}/excess/reverse", {"reason": "all of it"}, 201)


def place(server: Server, secret: str, terms: dict[str, object]) -> str:
    return str(ask(server, secret, HOLDS, terms, 201)["id"])


def ask(
    server: Server, secret: str, path: str, body: dict[str, object], status: int = 200
) -> dict[str, object]:
    answer = httpx.post(server.url + path, json=body, headers=bearer(secret), trust_env=False)
    assert answer.status_code == status, answer.text
    found: dict[str, object] = answer.json()
    return found


def book(server: Server, secret: str, event: dict[str, object]) -> None:
    answer = httpx.post(server.url + USAGE, json=event, headers=bearer(secret), trust_env=False)
    assert answer.status_code == 201, answer.text


def test_an_honest_ledger_passes(ledger: Path) -> None:
    facts = {len(each.booked): each for each in check_ledger(ledger).values()}
    assert next(iter(facts[3].booked)) == "step-1"
    assert (facts[3].consumed, facts[3].overage) == (2_000_000, 0)
    assert (facts[5].remaining, facts[0].remaining) == (0, 0)
    assert list(facts[5].booked) == ["evt-1", "evt-2", "evt-3", "evt-4", "evt-5"]
    assert (facts[5].consumed, facts[5].overage) == (31_916_667, 15_916_667)
    check_verified(ledger)


FORGERIES = {
    "an entry is edited": "UPDATE entries SET credits = credits + 1 WHERE event_id = 'evt-1'",
    "a text is edited": "UPDATE entries SET meter = 'other' WHERE event_id = 'evt-1'",
    "nothing becomes empty": "UPDATE entries SET meter = '' WHERE event_id = 'evt-2'",
    "an entry is deleted": "DELETE FROM entries WHERE event_id = 'evt-3'",
    "the last entry is deleted": "DELETE FROM entries WHERE event_id = 'evt-4'",
    "ids are swapped": (
        "UPDATE entries SET event_id = iif(event_id = 'evt-2', 'evt-3', 'evt-2')"
        " WHERE event_id IN ('evt-2', 'evt-3')"
    ),
    "a hash is edited": "UPDATE entries SET hash = zeroblob(32) WHERE event_id = 'evt-4'",
    "the head is edited": "UPDATE accounts SET head = zeroblob(32)",
    "remaining": "UPDATE accounts SET remaining = remaining + 1",
    "consumed": "UPDATE accounts SET consumed = consumed + 1",
    "overage": "UPDATE accounts SET overage = overage - 1 WHERE overage > 0",
    "pending": "UPDATE accounts SET pending = pending + 1",
    "a grant's remaining": "UPDATE grants SET remaining = remaining - 1 WHERE status = 'pending'",
    "a grant's amount": "UPDATE grants SET amount = amount + 1 WHERE kind = 'top_up'",
    "a grant's status": "UPDATE grants SET status = 'active' WHERE status = 'voided'",
    "a grant's priority": "UPDATE grants SET priority = 0 WHERE priority = 90",
    "a grant's reference": "UPDATE grants SET reference = 'order-2' WHERE reference = 'order-1'",
    "a grant is deleted": "DELETE FROM grants WHERE reference = 'order-1'",
    "a period's allowance": "UPDATE periods SET allowance = allowance + 1",
    "a period's end": "UPDATE periods SET period_end = period_end + 1",
    "an event is forgotten": "DELETE FROM usage_events WHERE event_id = 'evt-2'",
    "an event is renamed": "UPDATE usage_events SET event_id = 'evt-6' WHERE event_id = 'evt-2'",
    "a price": "UPDATE prices SET credits = credits + 9",
    "what a price is for": 'UPDATE prices SET dimensions = \'{"model":"large"}\'',
    "when a price takes effect": "UPDATE prices SET effective_at = effective_at * 2",
    "a roll-up's credits": "UPDATE usage_rollups SET credits = credits + 1",
    "a roll-up's events": "UPDATE usage_rollups SET events = events + 1",
    "a roll-up's time": "UPDATE usage_rollups SET bucket = bucket + 900000000",
    "a day": "UPDATE usage_days SET credits_17 = credits_17 + 1",
    "a day's value": "UPDATE usage_days SET value = 'large' WHERE dimension = 'model'",
    "a dimension": 'UPDATE event_dimensions SET dimensions = \'{"model":"large"}\'',
    "a hold's status": "UPDATE holds SET status = 'expired' WHERE status = 'released'",
    "a hold's expiry": "UPDATE holds SET expires_at = expires_at + 1 WHERE status = 'open'",
    "what a hold captured": "UPDATE holds SET captured = captured + 1 WHERE captured > 0",
    "what a hold holds": "UPDATE holds SET parts = replace(parts, '8000000', '8000001')",
    "a hold's teamspace": "UPDATE holds SET teamspace_id = 'ts_other'",
    "a hold's dimensions": 'UPDATE holds SET dimensions = \'{"agent":"writer"}\'',
    "a hold is deleted": "DELETE FROM holds WHERE status = 'released'",
    "held": "UPDATE accounts SET held = held - 1 WHERE held > 0",
    "what is held of a grant": "UPDATE grants SET held = held - 1 WHERE held > 0",
    "a reversal is edited": "UPDATE entries SET credits = 1 WHERE kind = 'usage.reversed'",
    "a reversal is deleted": "DELETE FROM entries WHERE kind = 'usage.reversed'",
    "a period's usage": "UPDATE period_usage SET credits = credits - 1 WHERE meter = 'agent.steps'",
    "a period's events": "UPDATE period_usage SET events = events + 1",
    "usage of a period is moved": "UPDATE period_usage SET period_index = period_index + 1",
    "usage of a period is deleted": "DELETE FROM period_usage WHERE meter = 'agent.steps'",
    "what counts against a budget": "UPDATE budgets SET used = used - 1",
    "a roll-up is deleted": "DELETE FROM usage_rollups WHERE meter = 'llm.tokens'",
}

UNSAID = {"what a price is for", "a dimension", "a hold's dimensions"}
"""Of dimensions entries have a digest only, so the service's verifier does not judge them."""

NO_TRIGGERS = """
    DROP TRIGGER entries_refuse_update;
    DROP TRIGGER entries_refuse_delete;
    DROP TRIGGER usage_events_refuse_update;
    DROP TRIGGER usage_events_refuse_delete;
    DROP TRIGGER prices_refuse_update;
    DROP TRIGGER event_dimensions_are_only_erased;
"""


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_ledger_is_found(ledger: Path, tmp_path: Path, what: str) -> None:
    copy = Path(shutil.copy(ledger, tmp_path / "forged.db"))
    forge(copy, FORGERIES[what])
    with pytest.raises(AssertionError):
        check_ledger(copy)
    assert bool(verified(copy).disagreeing) == (what not in UNSAID)


def forge(database: Path, statement: str) -> None:
    """Whoever owns the file can change it: the triggers are in the way of mistakes only."""
    connection = apsw.Connection(str(database))
    connection.execute(NO_TRIGGERS)
    connection.execute(statement)
    assert connection.changes() > 0, "nothing was forged"
    connection.close()
