"""`datagrid-ai`, Datagrid's npm client, under Node against a real server: it needs no change."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.server import Json, Server
from tests.servers.postgres import Postgres
from tests.sizes import SIZES, server_of

SCENARIOS: Final = Path(__file__).with_name("node") / "scenarios.mjs"
SECONDS: Final = 60
WINDOW_MS: Final = 1500


Cluster = Callable[[], Postgres]


@pytest.fixture(scope="module", params=SIZES)
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return lambda: request.getfixturevalue("durable")


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, size: str, cluster: Cluster
) -> Iterator[Server]:
    with server_of(size, tmp_path_factory.mktemp("node_client"), cluster) as server:
        yield server


@pytest.fixture(scope="module")
def hasty_server(
    tmp_path_factory: pytest.TempPathFactory, size: str, cluster: Cluster
) -> Iterator[Server]:
    """Its windows are short, so that a test can wait for one."""
    folder = tmp_path_factory.mktemp("hasty")
    with server_of(size, folder, cluster, window_ms=WINDOW_MS) as server:
        yield server


class Played(NamedTuple):
    """What came of a scenario: a result or an error, and every answer that the client saw."""

    result: Any
    error: Json | None
    traffic: list[Json]

    @property
    def statuses(self) -> list[int]:
        return [each["status"] for each in self.traffic]


def play(scenario: str, server: Server, secret: str, **environment: str) -> Played:
    """Runs a scenario in a process of its own; address and key come from its environment."""
    ended = subprocess.run(
        ["node", str(SCENARIOS), scenario],
        env={
            "PATH": os.environ["PATH"],
            "DATAGRID_BASE_URL": server.base_url,
            "DATAGRID_API_KEY": secret,
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    return Played(said.get("result"), said.get("error"), said["traffic"])


def test_credits(server: Server) -> None:
    acme = server.organization(allowance=100)
    server.grant(acme, 0.25)
    played = play("credits", server, server.key(acme))
    assert played.result == {"remaining": 100.25, "consumed": 0, "total": 100.25}
    assert played.statuses == [200]


def test_what_is_spent_reads_back_exactly(server: Server) -> None:
    secret = server.key(server.organization(allowance=1))
    played = play("spend", server, secret)
    assert played.result == {"remaining": 0.7, "consumed": 0.3, "total": 1}


def test_identity(server: Server) -> None:
    acme = server.organization()
    identity = play("identity", server, server.key(acme)).result
    home = acme["default_teamspace_id"]
    assert identity.pop("user_id").startswith("key_")
    assert identity == {
        "object": "identity",
        "current_teamspace_id": home,
        "teamspaces": [{"teamspace_id": home, "permissions": {"role": "member"}}],
    }


def test_an_account_key_acts_in_the_teamspace_that_the_environment_names(server: Server) -> None:
    acme = server.organization()
    made = play("teamspaces", server, builder(server, acme)).result["made"]
    secret = server.key(acme, level="account")
    identity = play("identity", server, secret, DATAGRID_TEAMSPACE_ID=made["id"]).result
    assert identity["current_teamspace_id"] == made["id"]
    assert len(identity["teamspaces"]) == 2


def builder(server: Server, organization: Json) -> str:
    """A key that may create teamspaces."""
    return server.key(organization, scopes=["credits:read", "teamspaces:write"])


def test_teamspaces_are_created_changed_and_retrieved(server: Server) -> None:
    played = play("teamspaces", server, builder(server, server.organization()))
    made = played.result["made"]
    assert (made["name"], made["access"], made["cloud_provider"]) == ("Research", "closed", "aws")
    assert played.result["changed"] == {**made, "name": "Development", "access": "open"}
    assert played.result["retrieved"] == played.result["changed"]


def test_teamspaces_are_listed_page_by_page_to_the_end(server: Server) -> None:
    acme = server.organization()
    played = play("pages", server, builder(server, acme))
    made = played.result["made"]
    assert played.result["listed"] == [*reversed(made), acme["default_teamspace_id"]]
    assert played.statuses == [200] * 4  # three pages of two, and an empty one


REFUSED: Final = {
    "no_authentication": ("AuthenticationError", 401),
    "credit_exceeded": ("APIError", 402),
    "permission_denied": ("PermissionDeniedError", 403),
    "resource_not_found": ("NotFoundError", 404),
    "conflict": ("ConflictError", 409),
    "validation_failed": ("UnprocessableEntityError", 422),
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_a_retry_cannot_mend_is_thrown_at_once(server: Server, code: str) -> None:
    name, status = REFUSED[code]
    secret = server.key(server.organization(allowance=10))
    played = play(code, server, "nobodys-key" if code == "no_authentication" else secret)
    assert played.error is not None
    assert (played.error["name"], played.error["status"]) == (name, status)
    body = played.error["body"]
    assert (body["error"], body["status_code"], body["retryable"]) == (code, status, False)
    refused = [each for each in played.traffic if each["status"] == status]
    assert [each["retry"] for each in refused] == ["0"]
    assert refused[0]["headers"]["x-request-id"] == body["request_id"]


def test_a_full_window_is_waited_for_as_the_server_says(hasty_server: Server) -> None:
    acme = hasty_server.organization(allowance=7, rate_limits={"get_credits": 1})
    secret = hasty_server.key(acme)
    played = play("full_window", hasty_server, secret)
    assert [report["remaining"] for report in played.result] == [7, 7]
    admitted, turned_away, retried = played.traffic
    assert played.statuses == [200, 429, 200]
    assert retried["retry"] == "1"
    told = int(turned_away["headers"]["retry-after-ms"])
    assert told <= WINDOW_MS
    # Node counts its timers in whole milliseconds of its own, which may begin just before ours.
    assert retried["sent_ms"] - turned_away["answered_ms"] >= told - 1
    assert retried["answered_ms"] - admitted["sent_ms"] >= WINDOW_MS - 1


def test_a_full_window_is_a_rate_limit_error_where_the_client_may_not_retry(server: Server) -> None:
    secret = server.key(server.organization(rate_limits={"get_credits": 1}))
    played = play("full_window_without_retries", server, secret)
    assert played.error is not None
    assert (played.error["name"], played.error["status"]) == ("RateLimitError", 429)
    assert played.statuses == [200, 429]
    for each in played.traffic:
        assert each["headers"]["x-ratelimit-remaining"] == "0"
        assert int(each["headers"]["retry-after"]) in range(1, 61)
