"""Reaching a Redis or Valkey, and whether it can keep windows.

redis-py reads the URL, opens the connection (TCP, TLS or a Unix socket) and logs in. Its errors are
translated here, and nothing else in the project knows them:

    RuntimeError
    └── LimitsError
        ├── LimitsUnreachable   nobody there, too slow, loading: it may mend itself
        └── LimitsNotUsable     reached, and waiting does not help; the message says what does
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis.asyncio.connection import Connection, parse_url
from redis.exceptions import (
    AuthenticationError,
    InvalidResponse,
    NoPermissionError,
    RedisError,
    ResponseError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio.connection import AbstractConnection

CONNECT_SECONDS: Final = 1.0
"""For a connection to be opened and logged in."""
OLDEST: Final = (6, 0)
_SCHEMES: Final = {"valkey": "redis", "valkeys": "rediss"}
_COMMANDS: Final = "+evalsha +script|load +info +select +asking +cluster|slots"
_SCRIPT_COMMANDS: Final = "+time +getrange +setrange +strlen +append +set +pexpire"


class LimitsError(RuntimeError):
    """Windows cannot be kept there."""


class LimitsUnreachable(LimitsError):
    """It does not answer, or not yet."""


class LimitsNotUsable(LimitsError):
    """It answers, and what it says will not change by itself."""


class Node(NamedTuple):
    """A server's address; a Unix socket's has no port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host


class Server:
    """How to connect, as a URL says: to the server that it names, and to others of its Cluster."""

    def __init__(self, url: str) -> None:
        """`redis://`, `rediss://` (TLS), `valkey://`, `valkeys://` or `unix://`, with what logs in
        and a database number. Raises LimitsNotUsable, which repeats nothing that may be secret."""
        try:
            self._arguments: dict[str, Any] = {**parse_url(_plain_scheme(url))}
            self._kind = self._arguments.pop("connection_class", Connection)
            host = self._arguments.pop("host", "localhost")
            port = self._arguments.pop("port", 6379)
            self.node = Node(self._arguments.get("path", host), 0 if self._is_socket else port)
            self._make(self.node)
        except (ValueError, TypeError) as error:
            raise LimitsNotUsable(
                "the URL of the limits' Redis cannot be read: it is redis://user:password@host:port"
                "/number, rediss:// for TLS, or unix:///path"
            ) from error

    async def connect(self, node: Node) -> AbstractConnection:
        """A connection that is logged in. Raises LimitsError."""
        connection = self._make(node)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                # It has no types.
                await connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            await connection.disconnect(nowait=True)
            raise translate(error, node) from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection

    @property
    def _is_socket(self) -> bool:
        return "path" in self._arguments

    def _make(self, node: Node) -> AbstractConnection:
        place = {} if self._is_socket else {"host": node.host, "port": node.port}
        # One answer to each command, in order: RESP2. Deadlines are the lanes'.
        fixed = {"protocol": 2, "socket_timeout": None, "decode_responses": False}
        connection: AbstractConnection = self._kind(**{**self._arguments, **place, **fixed})
        return connection


def _plain_scheme(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return f"{_SCHEMES.get(scheme.lower(), scheme.lower())}{mark}{rest}"


def translate(error: Exception, node: Node) -> LimitsError:
    """Our word for what redis-py or the network raised."""
    match error:
        case LimitsError():
            return error
        case AuthenticationError():
            return LimitsNotUsable(
                f"Redis at {node} refuses the password or user name ({error}): put the right ones "
                "into the URL, redis://user:password@host:port"
            )
        case NoPermissionError():
            return LimitsNotUsable(
                f"Redis at {node} does not let this user do what limits need ({error}): allow it "
                f"with ACL SETUSER … ~tallystick:* {_COMMANDS} {_SCRIPT_COMMANDS}"
            )
        case InvalidResponse():
            return LimitsNotUsable(
                f"what answers at {node} is no Redis; if it is one with TLS, write rediss://"
            )
        case _ if isinstance(error.__context__, ssl.SSLError):
            return LimitsNotUsable(
                f"no TLS with Redis at {node} ({error.__context__}): write redis:// if it has none,"
                " or ?ssl_ca_certs=… where its certificate is signed by an authority of your own"
            )
        case TimeoutError():
            return LimitsUnreachable(f"Redis at {node} does not answer in time")
        case _:
            return LimitsUnreachable(f"Redis at {node}: {error}")


async def inspect(connection: AbstractConnection, node: Node) -> bool:
    """Whether it is part of a Cluster. Raises LimitsNotUsable where it cannot keep windows."""
    await connection.send_command("INFO", check_health=False)
    try:
        text = await connection.read_response()
    except NoPermissionError:
        raise
    except ResponseError as error:
        raise LimitsUnreachable(f"Redis at {node}: {error}") from error
    if not isinstance(text, bytes):
        raise LimitsNotUsable(f"what answers at {node} is no Redis")
    return judge(read_info(text.decode(errors="replace")), node)


def read_info(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, mark, value in lines if mark}


def judge(info: Mapping[str, str], node: Node) -> bool:
    """As `inspect`, from what INFO says. Managed Redis often forbids CONFIG; INFO says it too."""
    version = info.get("redis_version", "")
    if _numbers(version) < OLDEST:
        raise LimitsNotUsable(
            f"Redis at {node} is version {version or 'unknown'}; limits need Redis "
            f"{OLDEST[0]}.{OLDEST[1]} or newer, or Valkey"
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise LimitsNotUsable(
            f"Redis at {node} has maxmemory-policy {policy}: when memory is short it would drop "
            "windows, and limits would be exceeded without a word; set it to noeviction "
            "(CONFIG SET maxmemory-policy noeviction, and in its configuration), or give limits "
            "a Redis of their own"
        )
    is_cluster = info.get("cluster_enabled") == "1"
    if info.get("role") == "slave" and not is_cluster:
        raise LimitsNotUsable(
            f"Redis at {node} is a replica, which cannot count: give the address of its primary, "
            f"{info.get('master_host', 'unknown')}:{info.get('master_port', 'unknown')}"
        )
    return is_cluster


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
