"""What a rate limit is, and how an answer says so; nothing here counts anything.

A window belongs to one key (a teamspace, a route template and a method; an operator key; a client
address). How many requests it admits is resolved by `Limits`; what one check found is a `Decision`;
`headers` is how every response, errors included, tells the client.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOW_MS = 60_000
DEFAULT_LIMIT = 200
MAX_LIMIT = 1_000_000
# Requests without a valid key that one client address may send in a window.
ADDRESS_LIMIT = 30
# Client addresses that have a window of their own at once; some 20 MB.
ADDRESS_WINDOWS = 100_000

# The official clients obey a wait of 0 < wait <= 60 s and ignore any other.
_LONGEST_WAIT_MS = 60_000
_UNREADABLE_ADDRESS = "unreadable"


class Decision(NamedTuple):
    """The result of one check. Waits are relative: the wall clock has no part in it.

    `reset_after_ms`: until the oldest counted request leaves the window; 0 if the window is empty.
    `retry_after_ms`: 0 unless `remaining` is 0; then 1 up to the window's length.
    """

    admitted: bool
    limit: int
    remaining: int
    reset_after_ms: int
    retry_after_ms: int


class LimiterUnavailable(RuntimeError):
    """No decision can be had, and nobody passes without one: nothing was counted, nothing done.

    A limiter that is not in this process raises it, by its future, where the operator chose that
    (policy `closed`). `retry_after_ms` is 1 or more: when asking again is worth it.
    """

    def __init__(self, reason: str, retry_after_ms: int) -> None:
        super().__init__(reason)
        self.retry_after_ms = retry_after_ms


def headers(decision: Decision, judged_at_ms: int, now_ms: int) -> list[tuple[bytes, bytes]]:
    """The rate-limit headers of one response, names in lower case.

    The check was made at `judged_at_ms`, the response is made at `now_ms`, which may be a slow body
    later (milliseconds since 1970). Seconds are rounded up, so that a client which obeys them is
    never early.
    """
    admitted, limit, remaining, reset_after_ms, retry_after_ms = decision
    fields = [
        (b"x-ratelimit-limit", b"%d" % limit),
        (b"x-ratelimit-remaining", b"%d" % remaining),
        (b"x-ratelimit-reset", b"%d" % _seconds_up(judged_at_ms + reset_after_ms)),
    ]
    if remaining == 0:
        wait_ms = min(max(judged_at_ms + retry_after_ms - now_ms, 1), _LONGEST_WAIT_MS)
        fields.append((b"retry-after", b"%d" % _seconds_up(wait_ms)))
        if not admitted:
            fields.append((b"retry-after-ms", b"%d" % wait_ms))
    return fields


def uncounted(limit: int, now_ms: int) -> list[tuple[bytes, bytes]]:
    """The headers of an answer that counts against no window (open endpoint, unknown route)."""
    nothing_counted = Decision(
        admitted=True,
        limit=limit,
        remaining=limit,
        reset_after_ms=0,
        retry_after_ms=0 if limit else WINDOW_MS,
    )
    return headers(nothing_counted, now_ms, now_ms)


def _seconds_up(ms: int) -> int:
    return (ms + 999) // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The server's limits per window: one for each operation that is named, `default` for the rest.

    `window_ms` is a window's length in milliseconds. Raises ValueError for a limit outside
    0..MAX_LIMIT.
    """

    default: int = DEFAULT_LIMIT
    window_ms: int = WINDOW_MS
    operations: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_limit("the default", self.default)
        for operation, limit in self.operations.items():
            _check_limit(operation, limit)
        # A copy, so that who passed the mapping cannot change what is frozen here.
        object.__setattr__(self, "operations", MappingProxyType(dict(self.operations)))

    def resolve(
        self, operation: str, organization: Mapping[str, int], teamspace: Mapping[str, int]
    ) -> int:
        """The limit in force, given the `rate_limits` of who acts; the narrowest wins."""
        limit = teamspace.get(operation)
        if limit is None:
            limit = organization.get(operation)
        if limit is None:
            limit = self.operations.get(operation, self.default)
        return limit


def _check_limit(name: str, limit: int) -> None:
    if not 0 <= limit <= MAX_LIMIT:
        raise ValueError(f"rate limit of {name} must be 0 to {MAX_LIMIT}, not {limit}")


def client_address_key(address: str) -> str:
    """Whom an address is counted as: itself if IPv4, its /64 if IPv6 (one subscriber has them all).

    IPv4 inside IPv6 (`::ffff:192.0.2.1`) is that IPv4 address. What cannot be read shares one key:
    a forged address must not buy a window of its own.
    """
    try:
        return str(IPv4Address(address))
    except AddressValueError:
        return _ipv6_key(address)


def _ipv6_key(address: str) -> str:
    try:
        parsed = IPv6Address(address)
    except AddressValueError:
        return _UNREADABLE_ADDRESS
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    # From the number, which leaves a zone such as %eth0 behind.
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
