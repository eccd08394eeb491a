"""How commands reach the service: as clients of its operations, like everybody else.

A running server is the only writer of its database file, so beside one a command speaks to it
through the Unix socket next to the file. Without a server the command opens the file itself and
speaks to the same application in its own process. A PostgreSQL has many writers, and a command is
one more of them. A command does not know which it is.
"""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx
import msgspec

from tallystick.bootstrap import beside, database_file, embedded, running
from tallystick.cli.errors import NOTHING_CHANGED, REFUSED, UNAVAILABLE, CommandError
from tallystick.cli.in_process import InProcess
from tallystick.http.server import reachable
from tallystick.storage.errors import AlreadyOwned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tallystick.bootstrap import Running
    from tallystick.config import Settings

ORGANIZATIONS: Final = "/v1/admin/organizations"
OPERATOR_KEYS: Final = "/v1/admin/keys"
PRICES: Final = "/v1/admin/prices"
USAGE: Final = "/v1/organization/credits/usage"
_ACT_FOR: Final = "Tallystick-Organization"
_PATIENCE_SECONDS: Final = 5
_PAUSE_SECONDS: Final = 0.1
_ATTEMPTS: Final = int(_PATIENCE_SECONDS / _PAUSE_SECONDS)
# No answer takes long, but a server that is being stopped may hold one back.
_TIMEOUT_SECONDS: Final = 60

_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


def read_json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """A JSON value, its fractions as they were spelled."""
    return json.loads(body, parse_float=Decimal)


def to_json(value: object) -> bytes:
    return _encode(value)


def in_path(name: str) -> str:
    """`name` as one segment of a path."""
    return quote(name, safe="")


def acting_for(organization_id: str) -> dict[str, str]:
    """The header by which the operator beside the database acts for an organization."""
    return {_ACT_FOR: organization_id}


class Api:
    """The service's operations, as the operator beside the database may use them."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - any JSON value
        """The answer's JSON; raises CommandError for any but a success."""
        content = None if body is None else to_json(body)
        answer = await self.send(
            method, path, content, "application/json", query=query, headers=headers
        )
        if not answer.is_success:
            raise refused(answer)
        return read_json(answer.content)

    async def send(
        self,
        method: str,
        path: str,
        content: bytes | None,
        content_type: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer, whatever it says."""
        sent = dict(headers or {})
        if content is not None:
            sent["Content-Type"] = content_type
        try:
            return await self._client.request(
                method, path, content=content, params=query, headers=sent
            )
        except httpx.TransportError as error:
            raise _lost(error) from error

    async def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[bytes]:
        """The answer to a GET, part by part; raises CommandError for any but a success, and where
        it breaks off."""
        try:
            async with self._client.stream(
                "GET", path, params=dict(query), headers=dict(headers)
            ) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise refused(answer)
                async for part in answer.aiter_bytes():
                    yield part
        except httpx.TransportError as error:
            raise _lost(error) from error

    async def walk(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Every object of a list, newest first."""
        page = {"limit": "100", **(query or {})}
        while True:
            answer = await self.call("GET", path, query=page, headers=headers)
            for item in answer["data"]:
                yield item
            if not answer["has_more"]:
                return
            page["after"] = answer["data"][-1]["id"]

    async def organization(self, name: str) -> dict[str, Any]:
        """The organization with this id or, failing that, this external_id."""
        answer = await self.send("GET", f"{ORGANIZATIONS}/{in_path(name)}", None, "")
        if answer.is_success:
            found: dict[str, Any] = read_json(answer.content)
            return found
        if answer.status_code != httpx.codes.NOT_FOUND:
            raise refused(answer)
        async for each in self.walk(ORGANIZATIONS, query={"external_id": name}):
            return each
        raise CommandError(
            f"there is no organization with the id or external_id '{name}'",
            todo="See which there are: tallystick organizations list",
        )


def refused(answer: httpx.Response) -> CommandError:
    """The service's refusal as a command's failure."""
    try:
        envelope = read_json(answer.content)
        what = f"{envelope['message'].lower()}: {envelope['details']['reason']}"
        todo, unknown = envelope["mitigation"], envelope["error"] == "outcome_unknown"
    except (ValueError, KeyError, TypeError):
        what, todo, unknown = f"the server answered {answer.status_code}", "Look at its log.", True
        envelope = None
    return CommandError(
        what,
        unchanged="It is not known whether anything was changed." if unknown else NOTHING_CHANGED,
        todo=f"{todo.rstrip('.')}.",
        exit_code=UNAVAILABLE if answer.is_server_error else REFUSED,
        envelope=envelope,
    )


def _lost(error: httpx.TransportError) -> CommandError:
    return CommandError(
        f"the connection to the running server broke off ({str(error) or type(error).__name__})",
        unchanged="It is not known whether anything was changed.",
        todo="See whether the server is up, look at what there is, and run the command again.",
        exit_code=UNAVAILABLE,
    )


@asynccontextmanager
async def connect(settings: Settings, *, may_found: bool) -> AsyncIterator[Api]:
    """The service on the database: of the server that runs there, or in this process.

    Who mistypes a name is not to find an empty ledger there: only where `may_found` a new one is
    made, or a PostgreSQL brought up to date: to look at a ledger is not to upgrade it.
    """
    if not isinstance(settings.database, Path):
        async with (
            running(settings, migrates=may_found) as served,
            _client(InProcess(served.local)) as client,
        ):
            yield Api(client)
        return
    database = database_file(settings)
    # A lock without a database is a server that is starting.
    if not (may_found or _is_there(database) or _is_there(beside(database, ".lock"))):
        raise _no_database(database)
    async with AsyncExitStack() as stack:
        transport = await _reach(settings, stack)
        yield Api(await stack.enter_async_context(_client(transport)))


def _client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport, base_url="http://tallystick", timeout=_TIMEOUT_SECONDS
    )


async def _reach(settings: Settings, stack: AsyncExitStack) -> httpx.AsyncBaseTransport:
    """Waits a little for a server that is starting, and for another command to end."""
    database = database_file(settings)
    for attempt in range(_ATTEMPTS + 1):
        name = stack.enter_context(reachable(beside(database, ".sock")))
        if _is_served(database, name):
            return httpx.AsyncHTTPTransport(uds=name)
        try:
            served = await stack.enter_async_context(embedded(settings))
        except AlreadyOwned as owned:
            if attempt == _ATTEMPTS:
                raise _busy(owned) from owned
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        return InProcess(served.local)
    raise LookupError("unreachable")


@asynccontextmanager
async def owned(settings: Settings) -> AsyncIterator[Running]:
    """The database file for a server: a command that is at work on it is given a moment to end.

    Raises AlreadyOwned, at once where it is another server.
    """
    database = database_file(settings)
    async with AsyncExitStack() as stack:
        for _ in range(_ATTEMPTS):
            try:
                served = await stack.enter_async_context(embedded(settings))
                break
            except AlreadyOwned:
                with reachable(beside(database, ".sock")) as name:
                    if _is_served(database, name):
                        raise
                await asyncio.sleep(_PAUSE_SECONDS)
        else:
            served = await stack.enter_async_context(embedded(settings))
        yield served


def _is_served(database: Path, name: str) -> bool:
    """Whether a server answers at the socket, and is that of the database's owner.

    In a folder where others may make files, one of them could wait there for commands.
    """
    try:
        if _owner(beside(database, ".sock")) != _owner(database):
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(name)
    except OSError:
        return False
    return True


def _owner(file: Path) -> int:
    return file.stat().st_uid


def _is_there(file: Path) -> bool:
    try:
        file.stat()
    except FileNotFoundError:
        return False
    except OSError:
        # What it is will be said by whoever opens the file.
        return True
    return True


def refuse_missing(database: Path) -> None:
    """Raises CommandError where there is no such file."""
    if not _is_there(database):
        raise _no_database(database)


def _no_database(database: Path) -> CommandError:
    return CommandError(
        f"there is no database {database}",
        todo="Name it: --database, or TALLYSTICK_DATABASE. 'tallystick serve' makes a new one.",
        exit_code=UNAVAILABLE,
    )


def _busy(owned: AlreadyOwned) -> CommandError:
    who = "another process" if owned.pid is None else f"process {owned.pid}"
    return CommandError(
        f"{who} is at work on the database, and is no server that could be asked",
        todo="It may be another command, or a server that is starting: try again in a moment.",
        exit_code=UNAVAILABLE,
    )
