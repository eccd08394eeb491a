"""The limiter that nodes share, on Redis servers of the test's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from tallystick.limits.fallback import Fallback, Policy
from tallystick.limits.memory import MemoryLimiter
from tallystick.limits.policy import Decision, LimiterUnavailable
from tallystick.limits.redis import LimitsNotUsable, RedisLimiter
from tallystick.limits.redis.server import Node, judge
from tests.servers.redis import RedisServer, free_port, redis_server, tell
from tests.unit.test_limits_memory import admitted

if TYPE_CHECKING:
    from collections.abc import Hashable

KEY = ("teamspace", "credits.get")
PATIENT, IMPATIENT = 5.0, 0.2
"""Deadlines: of tests that are not about them, however busy the machine, and of those that are."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder: Path = tmp_path_factory.mktemp("redis")
    with redis_server(folder, "--unixsocket", str(folder / "socket")) as server:
        yield server


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    """An empty one, which must be left as it was."""
    with shared.client() as client:
        client.flushall()
    return shared


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """One to break."""
    with redis_server(tmp_path / "redis") as server:
        yield server


@asynccontextmanager
async def limiting(
    url: str,
    policy: Policy = Policy.LOCAL,
    window_ms: int = 60_000,
    deadline_seconds: float = PATIENT,
) -> AsyncIterator[RedisLimiter]:
    limiter = RedisLimiter(
        url,
        Fallback(policy, window_ms=window_ms),
        window_ms=window_ms,
        deadline_seconds=deadline_seconds,
    )
    await limiter.start()
    try:
        yield limiter
    finally:
        await limiter.close()


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


async def ask(limiter: RedisLimiter, limit: int, key: Hashable = KEY) -> Decision:
    found = limiter.acquire(key, limit, now_ms())
    return found if isinstance(found, Decision) else await found


async def until(condition: Callable[[], bool]) -> None:
    """Returns when it is so; the test's own patience is the limit."""
    async with asyncio.timeout(20):
        # What is waited for is another process's doing, which no event tells of.
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.002)


def is_up(limiter: RedisLimiter) -> bool:
    return all(lane.up for lane in limiter.lanes)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())


# --- the ordinary day ---


def test_nodes_share_their_windows(server: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(server.url) as one, limiting(server.url) as other:
            decisions = [await ask(each, 5) for each in (one, other) * 3]
            assert [decision.admitted for decision in decisions] == [True] * 5 + [False]
            assert [decision.remaining for decision in decisions] == [4, 3, 2, 1, 0, 0]
            assert one.counts.shared_admitted == 3
            assert other.counts.shared_refused == 1

    run(scenario)


def test_what_is_asked_at_once_is_answered_in_order_by_few_calls(server: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(server.url) as limiter:
            with server.client() as client:
                before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
                futures = [limiter.acquire(KEY, 150, now_ms()) for _ in range(200)]
                decisions = [await future for future in futures if not isinstance(future, Decision)]
                calls = client.info("commandstats")["cmdstat_evalsha"]["calls"] - before
            assert [each.remaining for each in decisions] == [*range(149, -1, -1), *[0] * 50]
            assert calls == 4  # of at most 64 checks each

    run(scenario)


def test_what_is_asked_meanwhile_goes_into_the_next_call(server: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(server.url) as limiter:
            with server.client() as client:
                before = client.info("commandstats")["cmdstat_evalsha"]["calls"]

                async def client_of_the_service() -> None:
                    for _ in range(20):
                        await ask(limiter, 1000)

                await asyncio.gather(*(client_of_the_service() for _ in range(60)))
                calls = client.info("commandstats")["cmdstat_evalsha"]["calls"] - before
            assert calls < 60  # for 1200 checks

    run(scenario)


def test_peek_counts_nothing_and_makes_no_promise(server: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(server.url) as limiter:
            for _ in range(3):
                found = limiter.peek(KEY, 2, now_ms())
                assert not isinstance(found, Decision)
                assert await found == admitted(2, 2, 0, 0)
            assert (await ask(limiter, 2)).remaining == 1
            assert limiter.counts.shared_admitted == 1

    run(scenario)


def test_decisions_are_those_of_the_limiter_in_memory(server: RedisServer) -> None:
    """Field by field but for the milliseconds that pass between two clocks."""

    async def scenario() -> None:
        memory = MemoryLimiter()
        async with limiting(server.url) as limiter:
            for limit in (3, 3, 3, 3, 3, 5, 5, 5, 0, 2, 1, 8, 8, 8, 8):
                found, expected = await ask(limiter, limit), memory.acquire(KEY, limit, now_ms())
                assert found[:3] == expected[:3]
                assert abs(found.reset_after_ms - expected.reset_after_ms) <= 1000
                assert abs(found.retry_after_ms - expected.retry_after_ms) <= 1000

    run(scenario)


def test_who_has_gone_is_not_counted(server: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(server.url) as limiter:
            futures = [limiter.acquire(KEY, 10, now_ms()) for _ in range(4)]
            for future in futures[:3]:
                assert not isinstance(future, Decision)
                future.cancel()
            assert (await ask(limiter, 10)).remaining == 8

    run(scenario)


def test_idle_keys_vanish(server: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(server.url, window_ms=100) as limiter:
            for number in range(10):
                assert (await ask(limiter, 5, ("ts", str(number)))).admitted
            with server.client() as client:
                assert client.dbsize() == 11  # and the probe's

                def is_empty() -> bool:
                    return bool(client.dbsize() == 0)

                await until(is_empty)

    run(scenario)


def test_a_key_that_grows_busier_outlives_its_first_term(server: RedisServer) -> None:
    """Its string is not written anew meanwhile, and only that would renew its term by the way."""
    window_ms, limit = 400, 10**6

    async def scenario() -> None:
        admitted_at: list[float] = []
        async with limiting(server.url, window_ms=window_ms) as limiter:
            for at_once in (7, 20, 60, 200):
                for _ in range(20):
                    began = time.monotonic()
                    decisions = [ask(limiter, limit) for _ in range(at_once)]
                    least = min(each.remaining for each in await asyncio.gather(*decisions))
                    admitted_at += [began] * at_once
                    inside = time.monotonic() - 0.9 * window_ms / 1000
                    assert limit - least >= sum(at > inside for at in admitted_at)
                    await asyncio.sleep(window_ms / 20_000)
            assert limiter.counts.local_admitted == 0

    run(scenario)


def test_a_unix_socket_and_a_database_number(server: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(f"unix://{server.folder}/socket?db=3") as limiter:
            assert (await ask(limiter, 5)).remaining == 4
        async with limiting(f"valkey://127.0.0.1:{server.port}/3") as limiter:
            assert (await ask(limiter, 5)).remaining == 3
        async with limiting(server.url) as limiter:
            assert (await ask(limiter, 5)).remaining == 4

    run(scenario)


def test_scripts_that_were_forgotten_are_brought_again(server: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(server.url) as limiter:
            assert (await ask(limiter, 5)).remaining == 4
            with server.client() as client:
                client.script_flush()
            assert (await ask(limiter, 5)).remaining == 3
            assert limiter.counts.local_admitted == 0

    run(scenario)


# --- what breaks, and heals by itself ---


def test_an_emptied_server_is_exact_from_then_on(own: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(own.url) as limiter:
            assert [(await ask(limiter, 2)).admitted for _ in range(3)] == [True, True, False]
            with own.client() as client:
                client.flushall()
            assert [(await ask(limiter, 2)).admitted for _ in range(3)] == [True, True, False]
            assert limiter.counts.local_admitted == 0

    run(scenario)


def test_a_killed_server_is_done_without_and_joined_again(own: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(own.url) as limiter:
            assert (await ask(limiter, 2)).admitted
            own.kill()
            decisions = [await ask(limiter, 2) for _ in range(4)]
            # This node's own windows were empty.
            assert [decision.admitted for decision in decisions] == [True, True, False, False]
            assert limiter.counts.local_admitted == 2
            assert not is_up(limiter)
            own.start()
            await until(lambda: is_up(limiter))
            assert [(await ask(limiter, 2)).admitted for _ in range(3)] == [True, True, False]
            assert limiter.counts.local_admitted == 2

    run(scenario)


def test_a_hung_server_costs_one_deadline_and_no_more(own: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(own.url, deadline_seconds=IMPATIENT) as limiter:
            assert (await ask(limiter, 200)).admitted
            own.hang()
            try:
                began = time.monotonic()
                first = await ask(limiter, 200)
                assert first.admitted
                assert IMPATIENT * 0.9 < time.monotonic() - began < 10 * IMPATIENT
                # The breaker is open: answers come without waiting.
                assert isinstance(limiter.acquire(KEY, 200, now_ms()), Decision)
                assert limiter.lanes[0].late == 1
                # It stays open over the moment at which the connection is given up.
                trouble = limiter.lanes[0].trouble
                await until(lambda: limiter.lanes[0].trouble is not trouble)
                assert isinstance(limiter.acquire(KEY, 200, now_ms()), Decision)
            finally:
                own.go_on()
            await until(lambda: is_up(limiter))
            await ask(limiter, 200)
            assert limiter.counts.shared_admitted == 2
            assert limiter.counts.local_admitted == 3

    run(scenario)


def test_a_late_answer_closes_the_breaker_on_the_same_connection(own: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(own.url, deadline_seconds=IMPATIENT) as limiter:
            with own.client() as client:
                connections = client.info("clients")["connected_clients"]
                own.hang()
                assert (await ask(limiter, 200)).admitted
                assert not is_up(limiter)
                own.go_on()
                await until(lambda: is_up(limiter))
                assert client.info("clients")["connected_clients"] == connections
                received = client.info("stats")["total_connections_received"]
            assert received == 2

    run(scenario)


@pytest.mark.parametrize("start", [asyncio.run, uvloop.run])
def test_an_answer_that_lay_in_the_socket_while_this_process_was_busy_is_not_late(
    server: RedisServer, start: Callable[[Coroutine[None, None, None]], None]
) -> None:
    async def scenario() -> None:
        async with limiting(server.url, deadline_seconds=IMPATIENT) as limiter:
            future = limiter.acquire(KEY, 5, now_ms())
            for _ in range(5):
                await asyncio.sleep(0)  # it is on its way
            until = time.monotonic() + 3 * IMPATIENT
            while time.monotonic() < until:
                pass
            assert not isinstance(future, Decision)
            assert (await future).admitted
            assert limiter.counts.shared_admitted == 1
            assert limiter.lanes[0].late == 0

    start(scenario())


def test_a_connection_that_is_lost_while_nobody_asks_costs_nobody(own: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(own.url) as limiter:
            with own.client() as client:
                client.client_kill_filter(_type="normal", skipme=True)
                received = client.info("stats")["total_connections_received"]

                def is_back() -> bool:
                    return bool(client.info("stats")["total_connections_received"] > received)

                await until(is_back)
            await until(lambda: is_up(limiter))
            await ask(limiter, 5)
            assert limiter.counts.local_admitted == 0

    run(scenario)


def test_a_full_server_is_done_without(own: RedisServer) -> None:
    async def scenario() -> None:
        with own.client() as client:
            async with limiting(own.url) as limiter:
                client.config_set("maxmemory", 1)
                for _ in range(3):
                    assert (await ask(limiter, 5)).admitted
                assert limiter.counts.local_admitted == 3
                assert "maxmemory" in str(limiter.lanes[0].trouble)
                client.config_set("maxmemory", 0)
                await until(lambda: is_up(limiter))
                assert (await ask(limiter, 5)).remaining == 4

    run(scenario)


def test_a_server_that_is_always_slow_costs_one_deadline_and_is_asked_now_and_then(
    server: RedisServer,
) -> None:
    async def scenario() -> None:
        async with (
            slow_link(server) as link,
            limiting(link.url, deadline_seconds=IMPATIENT) as limiter,
        ):
            assert (await ask(limiter, 1000)).admitted
            link.delay_seconds = 1.4 * IMPATIENT
            assert (await ask(limiter, 1000)).admitted
            before = link.pieces
            for _ in range(1000):
                # Answered at once, all the time.
                assert isinstance(limiter.acquire(KEY, 10_000, now_ms()), Decision)
                await asyncio.sleep(0.001)
            assert limiter.lanes[0].late == 1
            assert 0 < link.pieces - before < 12
            link.delay_seconds = 0.0
            await until(lambda: is_up(limiter))
            assert limiter.counts.local_admitted == 1001

    run(scenario)


@dataclass(slots=True)
class Link:
    """A way to a server whose answers take as long as is said."""

    url: str = ""
    delay_seconds: float = 0.0
    pieces: int = 0


@asynccontextmanager
async def slow_link(server: RedisServer) -> AsyncIterator[Link]:
    link = Link()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", server.port)

        async def answer() -> None:
            while piece := await upstream.read(65_536):
                link.pieces += 1
                await asyncio.sleep(link.delay_seconds)
                writer.write(piece)

        answering = asyncio.create_task(answer())
        while piece := await reader.read(65_536):
            downstream.write(piece)
        answering.cancel()
        downstream.close()
        writer.close()

    async with await asyncio.start_server(join, "127.0.0.1", 0) as door:
        link.url = f"redis://127.0.0.1:{door.sockets[0].getsockname()[1]}"
        yield link


# --- the policies ---


def test_open_admits_everybody_meanwhile(own: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(own.url, Policy.OPEN) as limiter:
            own.kill()
            assert [(await ask(limiter, 1)).admitted for _ in range(5)] == [True] * 5
            assert limiter.counts.open_admitted == 5
            own.start()
            await until(lambda: is_up(limiter))
            assert [(await ask(limiter, 1)).admitted for _ in range(2)] == [True, False]

    run(scenario)


def test_closed_admits_nobody_meanwhile(own: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(own.url, Policy.CLOSED, deadline_seconds=IMPATIENT) as limiter:
            own.hang()
            try:
                for _ in range(3):
                    with pytest.raises(LimiterUnavailable):
                        await ask(limiter, 10)
            finally:
                own.go_on()
            await until(lambda: is_up(limiter))
            assert (await ask(limiter, 10)).admitted
            assert limiter.counts.closed_refused == 3

    run(scenario)


@pytest.mark.parametrize("policy", Policy)
def test_it_starts_without_a_server_and_joins_it(tmp_path: Path, policy: Policy) -> None:
    server = RedisServer(tmp_path)

    async def scenario() -> None:
        with capture_logs() as logs:
            async with limiting(server.url, policy) as limiter:
                assert not is_up(limiter)
                if policy is Policy.CLOSED:
                    with pytest.raises(LimiterUnavailable):
                        await ask(limiter, 1)
                else:
                    assert (await ask(limiter, 1)).admitted
                server.start()
                await until(lambda: is_up(limiter))
                assert [(await ask(limiter, 1)).admitted for _ in range(2)] == [True, False]
        assert [line["event"] for line in logs] == [
            "rate limits are not shared: Redis is out of reach",
            "rate limits are shared again: Redis is back",
        ]
        assert logs[0]["policy"] == policy.value
        assert str(server.port) in logs[0]["reason"]

    try:
        run(scenario)
    finally:
        server.kill()


def test_the_log_hears_of_changes_and_not_of_requests(own: RedisServer) -> None:
    async def scenario() -> None:
        with capture_logs() as logs:
            async with limiting(own.url) as limiter:
                for _ in range(3):
                    await ask(limiter, 100)
                own.kill()
                for _ in range(200):
                    await ask(limiter, 100)
                    await asyncio.sleep(0.001)
                own.start()
                await until(lambda: is_up(limiter))
                await ask(limiter, 100)
        assert [line["log_level"] for line in logs] == ["warning", "info"]

    run(scenario)


def test_closing_answers_who_still_waits(own: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(own.url) as limiter:
            own.hang()
            future = limiter.acquire(KEY, 3, now_ms())
            await asyncio.sleep(0)
        assert not isinstance(future, Decision)
        assert (await future).admitted
        own.go_on()

    run(scenario)


# --- servers that cannot keep windows ---


async def refusal(url: str) -> str:
    with pytest.raises(LimitsNotUsable) as raised:
        async with limiting(url):
            raise AssertionError("it started")
    return str(raised.value)


def test_a_server_that_evicts_is_refused(server: RedisServer) -> None:
    async def scenario() -> None:
        with server.client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            try:
                assert "set it to noeviction" in await refusal(server.url)
            finally:
                client.config_set("maxmemory-policy", "noeviction")

    run(scenario)


def test_a_server_that_begins_to_evict_is_left_when_it_is_met_again(own: RedisServer) -> None:
    async def scenario() -> None:
        async with limiting(own.url) as limiter:
            with own.client() as client:
                client.config_set("maxmemory-policy", "allkeys-lru")
                client.client_kill_filter(_type="normal")
            await until(lambda: isinstance(limiter.lanes[0].trouble, LimitsNotUsable))
            assert (await ask(limiter, 5)).admitted
            assert limiter.counts.local_admitted == 1
            with own.client() as client:
                client.config_set("maxmemory-policy", "noeviction")
            await until(lambda: is_up(limiter))

    run(scenario)


def test_a_wrong_password_is_refused_and_not_repeated(tmp_path: Path) -> None:
    async def scenario() -> None:
        with redis_server(tmp_path, "--requirepass", "correct-horse") as server:
            at = f"127.0.0.1:{server.port}"
            for login in ("", ":hunter2@", "somebody:hunter2@"):
                message = await refusal(f"redis://{login}{at}")
                assert "password or user name" in message
                assert "hunter2" not in message
            async with limiting(f"redis://:correct-horse@{at}") as limiter:
                assert (await ask(limiter, 5)).admitted

    run(scenario)


def test_a_user_needs_what_the_message_says_and_no_more(own: RedisServer) -> None:
    async def scenario() -> None:
        with own.client() as client:
            tell(client, "ACL", "SETUSER", "limits", "on", ">secret", "~tallystick:*")
            url = f"redis://limits:secret@127.0.0.1:{own.port}"
            message = await refusal(url)
            needed = [word for word in message.split() if word.startswith("+")]
            tell(client, "ACL", "SETUSER", "limits", *needed)
            async with limiting(url) as limiter:
                assert [(await ask(limiter, 1)).admitted for _ in range(2)] == [True, False]

    run(scenario)


def test_a_replica_is_refused_with_the_address_of_its_primary(
    server: RedisServer, tmp_path: Path
) -> None:
    async def scenario() -> None:
        primary = ("127.0.0.1", str(server.port))
        with redis_server(tmp_path, "--replicaof", *primary) as replica:
            assert f"give the address of its primary, {':'.join(primary)}" in await refusal(
                replica.url
            )

    run(scenario)


def test_what_is_no_redis_is_refused() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(web, "127.0.0.1", 0) as door:
            port = door.sockets[0].getsockname()[1]
            assert "is no Redis" in await refusal(f"redis://127.0.0.1:{port}")

    run(scenario)


def test_tls_is_spoken_with_a_server_whose_certificate_is_known(tmp_path: Path) -> None:
    async def scenario() -> None:
        certificate, key = write_certificate(tmp_path)
        options = ["--tls-cert-file", certificate, "--tls-key-file", key]
        options += ["--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"]
        port = str(free_port())
        with redis_server(tmp_path / "redis", "--tls-port", port, *options):
            assert "certificate verify failed" in await refusal(f"rediss://127.0.0.1:{port}")
            url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}"
            async with limiting(url) as limiter:
                assert (await ask(limiter, 5)).remaining == 4

    run(scenario)


def write_certificate(folder: Path) -> tuple[str, str]:
    """Signed by itself, for this machine; the files of certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a Redis")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(files[0]), str(files[1])


@pytest.mark.parametrize(
    "url", ["http://h", "redis://h:port", "redis://h?no_such_option=1", "redis", ""]
)
def test_a_url_that_cannot_be_read_is_refused(url: str) -> None:
    with pytest.raises(LimitsNotUsable, match="cannot be read"):
        RedisLimiter(url, Fallback(Policy.LOCAL))


NODE = Node("h", 6379)
GOOD = {"redis_version": "7.0.15", "maxmemory_policy": "noeviction", "role": "master"}


@pytest.mark.parametrize("version", ["", "2.8.24", "5.0.14", "5.9"])
def test_too_old_a_server_is_refused(version: str) -> None:
    with pytest.raises(LimitsNotUsable, match=r"need Redis 6.0 or newer"):
        judge({**GOOD, "redis_version": version}, NODE)


def test_what_info_does_not_say_is_not_held_against_a_server() -> None:
    assert judge({"redis_version": "7.2.4"}, NODE) is False
    assert judge({**GOOD, "cluster_enabled": "1", "role": "slave"}, NODE) is True


@pytest.mark.parametrize("window_ms", [-1, 0, 65_536])
def test_a_window_that_two_bytes_cannot_hold_is_refused(window_ms: int) -> None:
    with pytest.raises(ValueError, match=f"window_ms must be 1 to 65535, not {window_ms}"):
        RedisLimiter("redis://h", Fallback(Policy.LOCAL), window_ms=window_ms)
