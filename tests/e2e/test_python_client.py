"""`datagrid_ai`, Datagrid's Python client, against a real server: it needs no change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import datagrid_ai
import httpx
import pytest

from tests.e2e.clients import KINDS, official_client
from tests.harness import bearer
from tests.server import Server
from tests.servers.postgres import Postgres
from tests.sizes import SIZES, server_of

USAGE = "/organization/credits/usage"
WINDOW_MS = 1500


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
    with server_of(size, tmp_path_factory.mktemp("python_client"), cluster) as server:
        yield server


@pytest.fixture(scope="module")
def hasty_server(
    tmp_path_factory: pytest.TempPathFactory, size: str, cluster: Cluster
) -> Iterator[Server]:
    """Its windows are short, so that a test can wait for one."""
    folder = tmp_path_factory.mktemp("hasty")
    with server_of(size, folder, cluster, window_ms=WINDOW_MS) as server:
        yield server


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Background:
    """Books 0.1 credits again and again, while somebody else reads."""

    def __init__(self, server: Server, secret: str) -> None:
        self.sent = 0
        self.acknowledged = 0
        self._url = server.base_url + USAGE
        self._headers = bearer(secret)

    def book(self, events: int) -> None:
        with httpx.Client(headers=self._headers, trust_env=False) as client:
            for number in range(events):
                self.sent += 1
                answer = client.post(self._url, json={"id": f"evt-{number}", "credits": 0.1})
                assert answer.status_code == 201
                self.acknowledged += 1


def exactly(number: float) -> Decimal:
    """The decimal that a float was read from."""
    return Decimal(repr(number))


def test_credits_are_exact_while_usage_is_being_booked(server: Server, kind: str) -> None:
    secret = server.key(server.organization(allowance=1000))
    background = Background(server, secret)
    with (
        official_client(kind, server.base_url, secret) as (client, _),
        ThreadPoolExecutor() as pool,
    ):
        booking = pool.submit(background.book, 60)
        while not booking.done():
            least = background.acknowledged
            report = client.organization.credits.get()
            most = background.sent
            events = exactly(report.consumed) / Decimal("0.1")
            assert events in range(least, most + 1)
            assert exactly(report.remaining) == 1000 - exactly(report.consumed)
            assert exactly(report.total) == 1000
        booking.result()
        report = client.organization.credits.get()
    assert (report.remaining, report.consumed, report.total) == (994.0, 6.0, 1000.0)


def test_identity(server: Server, kind: str) -> None:
    acme = server.organization()
    secret = server.key(acme)
    with official_client(kind, server.base_url, secret) as (client, _):
        identity = client.identity.retrieve()
    home = acme["default_teamspace_id"]
    assert (identity.object, identity.current_teamspace_id) == ("identity", home)
    assert identity.user_id.startswith("key_")
    [membership] = identity.teamspaces
    assert (membership.teamspace_id, membership.permissions.role) == (home, "member")


def test_teamspaces_are_created_retrieved_and_changed(server: Server, kind: str) -> None:
    acme = server.organization()
    with official_client(kind, server.base_url, builder(server, acme)) as (client, _):
        teamspaces = client.organization.teamspaces
        made = teamspaces.create(name="Research", access="closed", cloud_provider="aws")
        assert (made.name, made.access, made.cloud_provider) == ("Research", "closed", "aws")
        assert abs(made.created_at - datetime.now(UTC)) < timedelta(minutes=1)
        assert teamspaces.retrieve(made.id) == made
        changed = teamspaces.patch(made.id, name="Development", access="open")
        assert changed == made.model_copy(update={"name": "Development", "access": "open"})
        assert teamspaces.retrieve(made.id) == changed


def builder(server: Server, organization: dict[str, Any]) -> str:
    """A key that may create teamspaces."""
    return server.key(organization, scopes=["credits:read", "teamspaces:write"])


def test_teamspaces_are_listed_page_by_page_to_the_end(server: Server, kind: str) -> None:
    acme = server.organization()
    with official_client(kind, server.base_url, builder(server, acme)) as (client, traffic):
        made = [
            client.organization.teamspaces.create(name=f"Number {number}", access="open").id
            for number in range(5)
        ]
        traffic.clear()
        listed = [each.id for each in client.organization.teamspaces.list(limit=2)]
    assert listed == [*reversed(made), acme["default_teamspace_id"]]
    assert [each.status for each in traffic] == [200] * 4  # three pages of two, and an empty one


Call = Callable[[Any], object]


def book(credits: object) -> Call:
    body = {"id": "evt-1", "credits": credits}
    return lambda client: client.post(USAGE, body=body, cast_to=dict[str, Any])


def book_twice(client: datagrid_ai.Datagrid) -> None:
    book(1)(client)
    book(2)(client)


REFUSED: dict[str, tuple[type[datagrid_ai.APIStatusError], int, Call]] = {
    "credit_exceeded": (datagrid_ai.APIStatusError, 402, book(11)),
    "permission_denied": (
        datagrid_ai.PermissionDeniedError,
        403,
        lambda client: client.organization.teamspaces.create(name="Mine", access="open"),
    ),
    "resource_not_found": (
        datagrid_ai.NotFoundError,
        404,
        lambda client: client.organization.teamspaces.retrieve("ts_nowhere"),
    ),
    "conflict": (datagrid_ai.ConflictError, 409, book_twice),
    "validation_failed": (datagrid_ai.UnprocessableEntityError, 422, book(-1)),
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_a_retry_cannot_mend_is_raised_at_once(server: Server, kind: str, code: str) -> None:
    error, status, call = REFUSED[code]
    secret = server.key(server.organization(allowance=10))
    with official_client(kind, server.base_url, secret) as (client, traffic):
        refusal = refused(error, lambda: call(client))
    check_refusal(refusal, status, code)
    assert [each.retry for each in traffic if each.status == status] == ["0"]


def refused(
    error: type[datagrid_ai.APIStatusError], call: Callable[[], object]
) -> datagrid_ai.APIStatusError:
    """What the client raises."""
    with pytest.raises(error) as raised:
        call()
    return raised.value


def test_a_key_that_is_not_valid_is_an_authentication_error(server: Server, kind: str) -> None:
    with official_client(kind, server.base_url, "no-key-of-anybody") as (client, traffic):
        refusal = refused(datagrid_ai.AuthenticationError, client.organization.credits.get)
    check_refusal(refusal, 401, "no_authentication")
    assert [each.status for each in traffic] == [401]


def check_refusal(refusal: datagrid_ai.APIStatusError, status: int, code: str) -> None:
    body: Any = refusal.body
    assert refusal.status_code == body["status_code"] == body["statusCode"] == status
    assert (body["error"], body["retryable"]) == (code, False)
    assert body["message"] in refusal.message
    assert {"mitigation", "details", "request_id"} <= set(body)
    assert refusal.response.headers["x-request-id"] == body["request_id"]


def test_a_full_window_is_a_rate_limit_error_where_the_client_may_not_retry(
    server: Server, kind: str
) -> None:
    secret = server.key(server.organization(rate_limits={"get_credits": 1}))
    with official_client(kind, server.base_url, secret, max_retries=0) as (client, traffic):
        client.organization.credits.get()
        refusal = refused(datagrid_ai.RateLimitError, client.organization.credits.get)
    body: Any = refusal.body
    assert (body["error"], body["retryable"]) == ("rate_limit_exceeded", True)
    for each in traffic:
        assert each.headers["x-ratelimit-limit"] == "1"
        assert each.headers["x-ratelimit-remaining"] == "0"
        assert int(each.headers["retry-after"]) in range(1, 61)
    assert [each.status for each in traffic] == [200, 429]
    assert int(traffic[-1].headers["retry-after-ms"]) in range(1, 60_001)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_full_window_is_waited_for_as_the_server_says(hasty_server: Server, kind: str) -> None:
    acme = hasty_server.organization(allowance=7, rate_limits={"get_credits": 1})
    secret = hasty_server.key(acme)
    with official_client(kind, hasty_server.base_url, secret) as (client, traffic):
        reports = [client.organization.credits.get() for _ in range(2)]
    assert [report.remaining for report in reports] == [7.0, 7.0]
    assert [(each.status, each.retry) for each in traffic] == [(200, "0"), (429, "0"), (200, "1")]
    admitted, turned_away, retried = traffic
    told = int(turned_away.headers["retry-after-ms"])
    assert told <= WINDOW_MS
    assert retried.sent_at - turned_away.answered_at >= told / 1000
    # And what it was told was true: a window after the one before it, and no sooner.
    assert retried.answered_at - admitted.sent_at >= WINDOW_MS / 1000


def test_address_key_and_teamspace_come_from_the_environment(
    server: Server, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = server.organization()
    with official_client(kind, server.base_url, builder(server, acme)) as (client, _):
        other = client.organization.teamspaces.create(name="Other", access="open").id
    monkeypatch.setenv("DATAGRID_BASE_URL", server.base_url)
    monkeypatch.setenv("DATAGRID_API_KEY", server.key(acme, level="account"))
    monkeypatch.setenv("DATAGRID_TEAMSPACE_ID", other)
    with official_client(kind, None, None) as (client, _):
        identity = client.identity.retrieve()
    assert identity.current_teamspace_id == other
    assert {each.teamspace_id for each in identity.teamspaces} == {
        acme["default_teamspace_id"],
        other,
    }


def test_a_teamspace_of_somebody_else_is_not_found(server: Server, kind: str) -> None:
    foreign = server.organization()["default_teamspace_id"]
    secret = server.key(server.organization(), level="account")
    with official_client(kind, server.base_url, secret, teamspace=foreign) as (client, _):
        refusal = refused(datagrid_ai.NotFoundError, client.organization.credits.get)
    check_refusal(refusal, 404, "resource_not_found")
