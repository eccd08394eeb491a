"""The limiter that nodes share: keys to groups, groups to the lanes of one server or of a Cluster.

On a Cluster the map of groups follows the servers: a MOVED corrects one group at once and has the
whole map read again; while a lane is down, it is read again and again, since a failover shows in
it. A slot that is on its way from one server to another answers for one key at a time, so such
checks travel alone, and where the server says ASK, to the other one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from redis.exceptions import AskError, MovedError, RedisError

from tallystick.limits.policy import WINDOW_MS
from tallystick.limits.redis.groups import GROUPS, place_of, probe_of, read_slots
from tallystick.limits.redis.lane import DEADLINE_SECONDS, Check, Lane, report_end
from tallystick.limits.redis.server import LimitsError, LimitsNotUsable, Node, Server, translate
from tallystick.observe import logger

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from tallystick.limits.fallback import Counts, Fallback
    from tallystick.limits.policy import Decision
    from tallystick.limits.redis.groups import Place

START_SECONDS: Final = 2.0
"""For Redis to be there at the start; the service does not wait longer."""
MAP_PAUSE_SECONDS: Final = 0.25
_MOST_PLACES: Final = 100_000


class RedisLimiter:
    """Exact sliding windows of `window_ms` milliseconds that all nodes share.

    Keys are strings, or tuples of strings without colons. An answer is a Decision where `fallback`
    gives it at once, and a future of one otherwise, which may raise LimiterUnavailable.
    """

    def __init__(
        self,
        url: str,
        fallback: Fallback,
        *,
        window_ms: int = WINDOW_MS,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        """`fallback` decides while a server is out of reach, and what it has not answered by the
        deadline. Raises LimitsNotUsable for a bad URL; nothing is connected before `start`."""
        if not 1 <= window_ms <= 0xFFFF:
            raise ValueError(f"window_ms must be 1 to 65535, not {window_ms}")
        self.window_ms = window_ms
        self.deadline_seconds = deadline_seconds
        self.spans = True
        self._fallback = fallback
        self._server = Server(url)
        self._places: dict[Hashable, Place] = {}
        self._lanes: dict[Node, Lane] = {}
        self._lane_of: list[Lane] = []
        self._stale = asyncio.Event()
        self._mapped = False
        self._retired: set[asyncio.Task[None]] = set()
        self._started: asyncio.Future[None] | None = None
        self._mapping: asyncio.Task[None] | None = None
        self._said: LimitsError | None = None

    @property
    def counts(self) -> Counts:
        return self._fallback.counts

    @property
    def lanes(self) -> Sequence[Lane]:
        """One for each server in use; the breaker of each is its `up`."""
        return list(dict.fromkeys(self._lane_of))

    def lane_of(self, key: Hashable) -> Lane:
        return self._lane_of[place_of(key, self.window_ms).group]

    # --- what is asked ---

    def acquire(
        self, key: Hashable, limit: int, now_ms: int
    ) -> Decision | asyncio.Future[Decision]:
        """Decide on one request, and count it if it is admitted. `now_ms` is for the fallback."""
        place = self._places.get(key) or self._place(key)
        lane = self._lane_of[place.group]
        if lane.up:
            return lane.ask(place, limit, key, now_ms)
        return self._decide_without(key, limit, now_ms)

    def peek(self, key: Hashable, limit: int, now_ms: int) -> Decision | asyncio.Future[Decision]:
        """What `acquire` would decide now, as MemoryLimiter's: counts and promises nothing."""
        place = self._places.get(key) or self._place(key)
        lane = self._lane_of[place.group]
        if lane.up:
            return lane.ask(place, ~limit, key, now_ms)
        return self._decide_without(key, ~limit, now_ms)

    def _decide_without(
        self, key: Hashable, asked: int, now_ms: int
    ) -> Decision | asyncio.Future[Decision]:
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._fallback.settle(future, key, asked, now_ms)
        return future if future.exception() else future.result()

    def _place(self, key: Hashable) -> Place:
        if len(self._places) >= _MOST_PLACES:
            self._places.clear()
        self._places[key] = place = place_of(key, self.window_ms)
        return place

    # --- start and end ---

    async def start(self) -> None:
        """Connects. Where Redis is not there it starts without, says so in the log, and joins when
        it is. Raises LimitsNotUsable where it is there and cannot keep windows; then it is closed.
        """
        self._started = asyncio.get_running_loop().create_future()
        self._lane_of = [self._lane(self._server.node, group) for group in range(GROUPS)]
        self._mapping = asyncio.create_task(self._keep_map())
        self._mapping.add_done_callback(report_end)
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._started
        except (LimitsNotUsable, asyncio.CancelledError):
            await self.close()
            raise
        except TimeoutError:
            self._say(translate(TimeoutError(), self._server.node))
        finally:
            self._started = None

    async def close(self) -> None:
        """Who still waits is answered by the fallback."""
        if self._mapping is not None:
            self._mapping.cancel()
            await asyncio.wait([self._mapping])
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()), *self._retired)

    # --- what lanes report ---

    def give_up(self, checks: Sequence[Check]) -> None:
        for check in checks:
            self._fallback.settle(check.future, check.key, check.asked, check.now_ms)

    def redirect(self, checks: Sequence[Check], error: AskError, node: Node) -> None:
        target = self._lane(Node(error.host or node.host, int(error.port)), checks[0].group)
        if isinstance(error, MovedError):
            self._lane_of[checks[0].group] = target
            self._stale.set()
        else:
            for check in checks:
                check.alone = check.asking = True
        target.resubmit(checks)

    def notice(self, *, is_cluster: bool) -> None:
        self.spans = not is_cluster
        if not is_cluster:
            self._mapped = True
        elif not self._mapped:
            self._stale.set()

    def changed(self, lane: Lane) -> None:
        """Something came up or went down; the log hears of it if that changed the whole."""
        if not lane.up and not self.spans:
            self._stale.set()
        trouble = next((each.trouble for each in self.lanes if each.trouble), None)
        whole = self._mapped and all(each.up for each in self.lanes)
        self._tell_starter(trouble)
        if trouble is not None:
            self._say(trouble)
        elif whole and self._said is not None:
            logger().info("rate limits are shared again: Redis is back")
            self._said = None

    def _tell_starter(self, trouble: LimitsError | None) -> None:
        if self._started is None or self._started.done():
            return
        hopeless = next(
            (e.trouble for e in self.lanes if isinstance(e.trouble, LimitsNotUsable)), None
        )
        if hopeless is not None:
            self._started.set_exception(hopeless)
        elif all(each.up or each.trouble for each in self.lanes) and (self._mapped or trouble):
            self._started.set_result(None)

    def _say(self, trouble: LimitsError) -> None:
        if type(trouble) is type(self._said):
            return
        self._said = trouble
        logger().warning(
            "rate limits are not shared: Redis is out of reach",
            policy=self._fallback.policy.value,
            reason=str(trouble),
        )

    # --- a Cluster's map ---

    def _lane(self, node: Node, group: int) -> Lane:
        lane = self._lanes.get(node)
        if lane is None:
            self._lanes[node] = lane = Lane(self._server, node, self, probe_of(group))
        return lane

    async def _keep_map(self) -> None:
        while True:
            await self._stale.wait()
            self._stale.clear()
            await self._read_map()
            await asyncio.sleep(MAP_PAUSE_SECONDS)
            if any(not lane.up for lane in self.lanes):
                self._stale.set()

    async def _read_map(self) -> None:
        """From the first server that answers, those first that did lately."""
        nodes = sorted(self._lanes, key=lambda node: not self._lanes[node].up)
        for node in dict.fromkeys([*nodes, self._server.node]):
            try:
                found = await self._ask_for_map(node)
            except LimitsError:
                continue
            if found:
                self._follow(found)
                return

    async def _ask_for_map(self, node: Node) -> dict[int, Node]:
        connection = await self._server.connect(node)
        try:
            async with asyncio.timeout(START_SECONDS):
                await connection.send_command("CLUSTER", "SLOTS", check_health=False)
                return read_slots(await connection.read_response(), node)
        except (RedisError, OSError) as error:
            raise translate(error, node) from error
        finally:
            await connection.disconnect(nowait=True)

    def _follow(self, found: dict[int, Node]) -> None:
        for group, node in found.items():
            self._lane_of[group] = self._lane(node, group)
        self._mapped = True
        for node in self._lanes.keys() - {lane.node for lane in self._lane_of}:
            if self._lanes[node].up:
                continue  # may be asked again, while slots move
            task = asyncio.create_task(self._lanes.pop(node).close())
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)
        self.changed(self._lane_of[0])
