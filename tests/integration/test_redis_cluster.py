"""The limiter that nodes share, on a Redis Cluster of the test's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from redis import Redis

from tallystick.limits.policy import Decision
from tallystick.limits.redis import RedisLimiter
from tallystick.limits.redis.groups import GROUPS, SLOTS, place_of
from tests.integration.test_redis_limiter import ask, is_up, limiting, now_ms, run, until
from tests.servers.redis import RedisServer, redis_cluster, tell

KEYS = [("teamspace", str(number)) for number in range(200)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[RedisServer]]:
    folder: Path = tmp_path_factory.mktemp("cluster")
    with redis_cluster(folder) as servers:
        yield servers


@pytest.fixture
def servers(shared: Sequence[RedisServer]) -> Sequence[RedisServer]:
    """Empty ones, which must be left as they were."""
    for server in shared:
        with server.client() as client:
            client.flushall()
    return shared


def key_of_group(group: int) -> tuple[str, str]:
    return next(key for key in KEYS if place_of(key, 60_000).group == group)


async def ask_for_all(limiter: RedisLimiter, limit: int) -> list[bool]:
    futures = [limiter.acquire(key, limit, now_ms()) for key in KEYS]
    found = [each if isinstance(each, Decision) else await each for each in futures]
    return [decision.admitted for decision in found]


def test_groups_are_spread_evenly_over_any_number_of_masters() -> None:
    assert len(SLOTS) == GROUPS == len({slot // (16_384 // GROUPS) for slot in SLOTS})
    for masters in (2, 3, 4, 5, 8):
        shares = Counter(slot * masters // 16_384 for slot in SLOTS)
        assert max(shares.values()) - min(shares.values()) <= 1


def test_keys_are_spread_evenly_over_the_groups() -> None:
    shares = Counter(place_of(("ts", str(number)), 60_000).group for number in range(16_000))
    assert len(shares) == GROUPS
    assert max(shares.values()) < 1.2 * min(shares.values())


def test_every_master_has_its_share_and_one_call_a_group(servers: Sequence[RedisServer]) -> None:
    async def scenario() -> None:
        async with limiting(servers[1].url) as limiter:
            before = calls(servers)
            assert all(await ask_for_all(limiter, 1))
            assert calls(servers) - before <= 2 * GROUPS
            assert not any(await ask_for_all(limiter, 1))
            assert len(limiter.lanes) == 3
            assert limiter.counts.local_admitted == 0

    run(scenario)
    for server in servers:
        with server.client() as client:
            assert int(client.dbsize()) > 30


def calls(servers: Sequence[RedisServer]) -> int:
    total = 0
    for server in servers:
        with server.client() as client:
            total += client.info("commandstats")["cmdstat_evalsha"]["calls"]
    return total


def test_nodes_that_know_different_masters_share_their_windows(
    servers: Sequence[RedisServer],
) -> None:
    async def scenario() -> None:
        async with limiting(servers[0].url) as one, limiting(servers[2].url) as other:
            for key in KEYS[:20]:
                found = [(await ask(each, 3, key)).admitted for each in (one, other, one, other)]
                assert found == [True, True, True, False]

    run(scenario)


def test_windows_stay_exact_while_their_slot_moves(servers: Sequence[RedisServer]) -> None:
    """Asked at every step of a move: before, while both have a part of the keys, and after."""
    slot, group = SLOTS[0], 0
    keys = [key for key in KEYS if place_of(key, 60_000).group == group]
    source, target = (server.client() for server in owner_first(servers, slot))

    async def scenario() -> None:
        async with limiting(servers[0].url) as limiter:

            async def ask_all() -> list[int]:
                futures = [limiter.acquire(key, 10, now_ms()) for key in [*keys, *keys]]
                found = [each if isinstance(each, Decision) else await each for each in futures]
                return [decision.remaining for decision in found]

            count = len(keys)
            assert await ask_all() == [9] * count + [8] * count
            begin_move(source, target, slot)
            assert await ask_all() == [7] * count + [6] * count
            move_keys(source, target, slot, count // 2)
            assert await ask_all() == [5] * count + [4] * count
            move_keys(source, target, slot, 10**6)
            assert await ask_all() == [3] * count + [2] * count
            end_move(source, target, slot)
            assert await ask_all() == [1] * count + [0] * count
            assert lane_port(limiter, keys[0]) == port_of(target)
            assert await ask_all() == [0] * 2 * count
            assert limiter.counts.local_admitted == 0
            assert limiter.counts.shared_refused == 2 * count

    try:
        run(scenario)
    finally:
        begin_move(target, source, slot)
        move_keys(target, source, slot, 10**6)
        end_move(target, source, slot)
        source.close()
        target.close()


def owner_first(servers: Sequence[RedisServer], slot: int) -> list[RedisServer]:
    """The one that has the slot, and one that has not."""
    with servers[0].client() as client:
        ranges = tell(client, "CLUSTER", "SLOTS")
    port = next(r[2][1] for r in ranges if r[0] <= slot <= r[1])
    return sorted(servers, key=lambda server: server.port != port)[:2]


def identity(client: Redis) -> str:
    name = tell(client, "CLUSTER", "MYID")
    return name.decode() if isinstance(name, bytes) else str(name)


def port_of(client: Redis) -> int:
    return int(client.connection_pool.connection_kwargs["port"])


def begin_move(source: Redis, target: Redis, slot: int) -> None:
    tell(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", identity(source))
    tell(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", identity(target))


def move_keys(source: Redis, target: Redis, slot: int, most: int) -> None:
    port = port_of(target)
    for key in tell(source, "CLUSTER", "GETKEYSINSLOT", slot, most):
        tell(source, "MIGRATE", "127.0.0.1", port, key, 0, 5000)


def end_move(source: Redis, target: Redis, slot: int) -> None:
    for each in (target, source):
        tell(each, "CLUSTER", "SETSLOT", slot, "NODE", identity(target))


def test_a_dead_master_costs_only_its_groups_their_exactness(tmp_path: Path) -> None:
    async def scenario() -> None:
        with redis_cluster(tmp_path) as servers:
            async with limiting(servers[0].url) as limiter:
                assert all(await ask_for_all(limiter, 1))
                lost = servers[1]
                lost_keys = [key for key in KEYS if lane_port(limiter, key) == lost.port]
                lost.kill()
                found = dict(zip(KEYS, await ask_for_all(limiter, 1), strict=True))
                assert [key for key, admitted in found.items() if admitted] == lost_keys
                lost.start()
                await until(lambda: is_up(limiter))
                assert sum(await ask_for_all(limiter, 1)) == len(lost_keys)
                assert limiter.counts.local_admitted == len(lost_keys)

    run(scenario)


def lane_port(limiter: RedisLimiter, key: tuple[str, str]) -> int:
    return limiter.lane_of(key).node.port


def test_a_promoted_replica_is_found(tmp_path: Path) -> None:
    async def scenario() -> None:
        with redis_cluster(tmp_path, replicas=1) as servers:
            async with limiting(servers[0].url) as limiter:
                assert all(await ask_for_all(limiter, 1))
                with servers[0].client() as client:
                    key = next(key for key in KEYS if lane_port(limiter, key) == servers[0].port)
                    tell(client, "WAIT", 1, 5000)
                servers[0].kill()
                assert (await ask(limiter, 1, key)).admitted  # by this node itself
                await until(lambda: is_up(limiter) and lane_port(limiter, key) != servers[0].port)
                # The replica had the window.
                assert not (await ask(limiter, 1, key)).admitted
                assert limiter.counts.local_admitted == 1

    run(scenario)


def test_it_starts_beside_a_master_that_is_down(tmp_path: Path) -> None:
    async def scenario() -> None:
        with redis_cluster(tmp_path) as servers:
            servers[2].kill()
            async with limiting(servers[0].url) as limiter:
                assert all(await ask_for_all(limiter, 1))
                assert 0 < limiter.counts.local_admitted < limiter.counts.shared_admitted
                servers[2].start()
                await until(lambda: is_up(limiter))
                before = limiter.counts.local_admitted
                await ask_for_all(limiter, 1)
                assert limiter.counts.local_admitted == before

    run(scenario)
