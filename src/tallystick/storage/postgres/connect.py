"""Connections to the database: where it is, how it is spoken to, and how long anything may take.

The URL is one of libpq's kind, several hosts and `sslmode` included. A connection goes to that of
them which is the primary just now: a standby's past is nobody's balance.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from tallystick.storage.errors import StoreNotUsable

if TYPE_CHECKING:
    from collections.abc import Mapping

Connection = Any
"""An `asyncpg.Connection`."""

_SCHEMES: Final = {"postgresql", "postgres"}
_STATEMENTS: Final = 256
"""Prepared statements kept for each connection: more than there are."""
_COMMON: Final = {
    "application_name": "tallystick",
    "jit": "off",
    "TimeZone": "UTC",
    # A peer that is gone without a word is noticed by the server too, which holds locks for it.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database and how connections to it are made."""

    url: str
    connect_seconds: float = 5

    def __post_init__(self) -> None:
        """Raises StoreNotUsable where the URL is none, or says less than it has to."""
        parts = urlsplit(self.url)
        if parts.scheme not in _SCHEMES:
            raise StoreNotUsable("a PostgreSQL URL starts with postgresql://")
        if "sslmode" in parse_qs(parts.query):
            return
        for host in _hosts(parts.netloc, parts.query):
            if not _is_here(host):
                raise StoreNotUsable(
                    f"the database URL names {host}, which is another machine, and does not say "
                    "how to protect what is sent there: add "
                    "?sslmode=verify-full (and sslrootcert=…), "
                    "or ?sslmode=disable where the network is yours alone"
                )

    async def connect(self, settings: Mapping[str, str]) -> Connection:
        """A new connection whose session has these settings. Raises the driver's errors."""
        return await asyncpg.connect(
            self.url,
            timeout=self.connect_seconds,
            statement_cache_size=_STATEMENTS,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
            target_session_attrs=SessionAttribute.primary,
            server_settings={**_COMMON, **settings},
        )


def _hosts(netloc: str, query: str) -> list[str]:
    named = netloc.rpartition("@")[2]
    hosts = [_without_port(host) for host in named.split(",") if host]
    return hosts + [host for each in parse_qs(query).get("host", []) for host in each.split(",")]


def _without_port(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_here(host: str) -> bool:
    """Whether it is this machine: a socket's folder, or a name or address of the loopback."""
    name = unquote(host)
    if name.startswith("/") or name in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
