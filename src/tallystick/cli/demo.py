"""`serve --demo`: an organization with a month behind it and a job under way, and how to ask for
its credits.

It is made once, through the same operations as everything else. The usage is invented from a seed
and dated back from the moment the organization was created, so that a demo which broke off half
way is completed by the next start, and never booked twice.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx
import msgspec

from tallystick.bootstrap import beside, write_private
from tallystick.cli.client import ORGANIZATIONS, USAGE, Api, in_path, refused, to_json
from tallystick.domain.credits import format_credits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tallystick.bootstrap import Embedded

_ORGANIZATION: Final = {"name": "Demo", "external_id": "demo", "allowance": 10_000}
_SCOPES: Final = ["credits:read", "usage:write", "holds:write", "teamspaces:write"]
_SEED: Final = 1
_DAYS: Final = 30
_EVENTS_A_DAY: Final = 50
_TEAMSPACES: Final = ("Research", "Support")
_TEAMSPACES_PATH: Final = "/v1/organization/teamspaces"
_HOLDS: Final = "/v1/organization/credits/holds"
_ENTRIES: Final = "/v1/organization/credits/entries"
_REVERSED: Final = "demo-0042"
_LAST: Final = "demo-job-1"
"""What is booked last: where it is, the demo is complete."""


class Meter(NamedTuple):
    """What a kind of usage costs: micro-credits each, and how many there are of it at a time."""

    name: str
    share: int
    micro: int
    fewest: int
    most: int
    dimension: str
    values: tuple[str, ...]


_METERS: Final = (
    Meter("llm.tokens", 60, 1_250, 400, 9_000, "model", ("m-large", "m-small", "m-vision")),
    Meter("agent.steps", 20, 150_000, 3, 60, "agent", ("researcher", "triage", "writer")),
    Meter("search.queries", 12, 80_000, 1, 25, "index", ("web", "documents")),
    Meter("documents.pages", 8, 220_000, 2, 40, "kind", ("pdf", "slides", "scan")),
)


async def make_demo(running: Embedded) -> Callable[[str], str]:
    """Makes the demo where it is not complete; the result introduces it, given the server's URL."""
    key_file = beside(running.database, ".demo-key")
    async with _client(httpx.ASGITransport(running.local), {}) as local:
        operator = Api(local)
        organization = await operator.call("POST", ORGANIZATIONS, _ORGANIZATION)
        secret = await _key(running, operator, organization["id"], key_file)
        door = httpx.ASGITransport(running.public)
        async with _client(door, {"Authorization": f"Bearer {secret}"}) as public:
            await _complete(operator, Api(public), organization)
    return lambda url: introduction(url, secret, key_file)


def _client(door: httpx.ASGITransport, headers: Mapping[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=door, base_url="http://tallystick", headers=headers)


async def _key(running: Embedded, operator: Api, organization_id: str, file: Path) -> str:
    """The demo's key: the one in the file while it works, else a new one."""
    kept = _read(file)
    if kept and await _works(httpx.ASGITransport(running.public), kept):
        return kept
    path = f"{ORGANIZATIONS}/{in_path(organization_id)}/keys"
    body = {"name": "Demo", "level": "account", "scopes": _SCOPES}
    secret: str = (await operator.call("POST", path, body))["secret"]
    write_private(file, secret)
    return secret


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return ""


async def _works(door: httpx.ASGITransport, secret: str) -> bool:
    async with _client(door, {"Authorization": f"Bearer {secret}"}) as client:
        return (await client.get("/v1/identity")).is_success


async def _complete(operator: Api, api: Api, organization: Mapping[str, Any]) -> None:
    if (await api.call("GET", _ENTRIES, query={"event_id": _LAST}))["data"]:
        return
    teamspaces = await _teamspaces(api)
    declared = {"usage_dimensions": sorted({each.dimension for each in _METERS})}
    await operator.call("PATCH", f"{ORGANIZATIONS}/{in_path(organization['id'])}", declared)
    await _book_month(api, organization["created_at"], teamspaces)
    budgets = f"{ORGANIZATIONS}/{in_path(organization['id'])}/budgets"
    await operator.call("PUT", f"{budgets}/{teamspaces[1]}", {"limit": 3_000})
    await api.call("POST", f"{USAGE}/{_REVERSED}/reverse", {"reason": "the answer was cut off"})
    await _hold(api, {"Datagrid-Teamspace": teamspaces[1]})


async def _book_month(api: Api, created_at: str, teamspaces: list[str]) -> None:
    events = list(_month(datetime.fromisoformat(created_at)))
    for number, teamspace_id in enumerate(teamspaces):
        lines = b"\n".join(to_json(event) for team, event in events if team == number)
        answer = await api.send(
            "POST",
            USAGE,
            lines,
            "application/x-ndjson",
            headers={"Datagrid-Teamspace": teamspace_id},
        )
        if not answer.is_success:
            raise refused(answer)


async def _hold(api: Api, headers: Mapping[str, str]) -> None:
    """Sets credits aside for a job that is under way, and for one that has ended.

    The latter has no reference: a hold that is left behind half way expires, and another is placed.
    """
    under_way = {"credits": 60, "reference": "demo-job-2", "expires_in": 86_400}
    await api.call("POST", _HOLDS, {**under_way, "meter": "agent.steps"}, headers=headers)
    ended = {"credits": 40, "meter": "agent.steps"}
    hold = await api.call("POST", _HOLDS, ended, headers=headers)
    capture = {"id": _LAST, "credits": msgspec.Raw(b"27.15"), "final": True}
    await api.call("POST", f"{_HOLDS}/{in_path(hold['id'])}/capture", capture, headers=headers)


async def _teamspaces(api: Api) -> list[str]:
    """The ids of the demo's teamspaces, the default one first."""
    found = {each["name"]: each["id"] async for each in api.walk(_TEAMSPACES_PATH)}
    for name in _TEAMSPACES:
        if name not in found:
            made = await api.call("POST", _TEAMSPACES_PATH, {"name": name, "access": "open"})
            found[name] = made["id"]
    return [found["Default"], *(found[name] for name in _TEAMSPACES)]


def _month(end: datetime) -> Iterator[tuple[int, dict[str, Any]]]:
    """Usage of the days before `end`, oldest first, each with the number of its teamspace."""
    chance = random.Random(_SEED)  # noqa: S311 - plausible numbers, not secrets
    number = 0
    for day in range(_DAYS, 0, -1):
        begin = end - timedelta(days=day)
        # Weekends are quiet.
        events = _EVENTS_A_DAY // (4 if begin.weekday() >= 5 else 1)
        seconds = sorted(int(chance.triangular(0, 86_399, 50_000)) for _ in range(events))
        for second in seconds:
            number += 1
            yield _event(chance, number, begin + timedelta(seconds=second))


def _event(chance: random.Random, number: int, at: datetime) -> tuple[int, dict[str, Any]]:
    meter = chance.choices(_METERS, [each.share for each in _METERS])[0]
    count = chance.randint(meter.fewest, meter.most)
    teamspace = chance.choices(range(1 + len(_TEAMSPACES)), [5, 3, 2])[0]
    micro = count * meter.micro
    return teamspace, {
        "id": f"demo-{number:04d}",
        "credits": msgspec.Raw(format_credits(micro).encode()),
        "meter": meter.name,
        "timestamp": at.isoformat(),
        "dimensions": {meter.dimension: chance.choice(meter.values)},
    }


def introduction(url: str, secret: str, key_file: Path) -> str:
    """How to use the demo, ready to be copied line by line."""
    credits_path = f"{url}/v1/organization/credits"
    return f"""
Tallystick is serving a demo: 10,000 credits a month, and a month of usage.

Key (also in {key_file}):
  {secret}

Read the balance:
  curl {credits_path} \\
    -H 'Authorization: Bearer {secret}'

Spend a credit (again with the same id, it is not charged again):
  curl {credits_path}/usage \\
    -H 'Authorization: Bearer {secret}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"id": "evt-1", "credits": 1.25, "meter": "llm.tokens"}}'

Set credits aside for work whose cost is not known yet:
  curl {credits_path}/holds \\
    -H 'Authorization: Bearer {secret}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"credits": 25, "reference": "job-7"}}'

The same with Datagrid's own client (pip install datagrid_ai):
  DATAGRID_BASE_URL={url}/v1 \\
  DATAGRID_API_KEY={secret} \\
  python -c "from datagrid_ai import Datagrid; print(Datagrid().organization.credits.get())"

All operations: {url}/docs
"""
