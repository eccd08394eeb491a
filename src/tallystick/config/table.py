"""The table of settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tallystick.config import values
from tallystick.limits.policy import DEFAULT_LIMIT, MAX_LIMIT, WINDOW_MS

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX: Final = "TALLYSTICK_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One line of the table of settings. A `url` may hold a password."""

    name: str
    read: Callable[[object], Any]
    default: object
    help: str
    metavar: str = "TEXT"
    secret: bool = False
    url: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def file_variable(self) -> str | None:
        return f"{self.variable}_FILE" if self.secret or self.url else None


SETTINGS: Final = (
    Setting(
        name="database",
        read=values.database,
        default="./tallystick.db",
        help="An SQLite file (a path or sqlite:///path), or postgresql://….",
        metavar="URL",
        url=True,
    ),
    Setting(
        name="database_lanes",
        read=values.whole(1, 64),
        default=4,
        help="Connections by which a process writes to PostgreSQL.",
        metavar="N",
    ),
    Setting(
        name="database_partitions",
        read=values.whole(0, 1024),
        default=0,
        help="Parts of each table of a new PostgreSQL ledger; 0 leaves tables whole.",
        metavar="N",
    ),
    Setting(
        name="database_wait",
        read=values.whole(0, 3600),
        default=30,
        help="How long a server that starts waits for a PostgreSQL that is not there yet.",
        metavar="SECONDS",
    ),
    Setting(
        name="limits",
        read=values.limits,
        default="memory",
        help="Where requests are counted: memory, or redis://….",
        metavar="URL",
        url=True,
    ),
    Setting(
        name="limits_fallback",
        read=values.choice("local", "open", "closed"),
        default="local",
        help="When Redis does not answer: each process counts, nobody does, or requests get 503.",
        metavar="POLICY",
    ),
    Setting(
        name="host",
        read=values.host,
        default="127.0.0.1",
        help="The address to listen at.",
        metavar="ADDRESS",
    ),
    Setting(
        name="port",
        read=values.whole(0, 65_535),
        default=8080,
        help="The port to listen at; 0 takes a free one.",
        metavar="N",
    ),
    Setting(
        name="workers",
        read=values.whole(1, 1024),
        default=1,
        help="Server processes; more than 1 need PostgreSQL and Redis.",
        metavar="N",
    ),
    Setting(
        name="rate_limit",
        read=values.whole(0, MAX_LIMIT),
        default=DEFAULT_LIMIT,
        help="Requests per 60 s, where nothing narrower is set.",
        metavar="N",
    ),
    Setting(
        name="rate_limits",
        read=values.rate_limits,
        default="",
        help="The same for single operations: get_credits=1000,…",
        metavar="NAME=N,…",
    ),
    Setting(
        name="window_ms",
        read=values.whole(1, WINDOW_MS),
        default=WINDOW_MS,
        help="What requests are counted in, 60 s; for tests, which cannot wait so long.",
        metavar="MS",
    ),
    Setting(
        name="trusted_proxies",
        read=values.proxies,
        default="",
        help="Addresses whose X-Forwarded-For is believed.",
        metavar="ADDRESS,…",
    ),
    Setting(
        name="allow_public",
        read=values.truth,
        default=False,
        help="Listen where other machines can connect, without TLS.",
    ),
    Setting(
        name="demo",
        read=values.truth,
        default=False,
        help="Make an organization with a month of usage, and show how to ask for its credits.",
    ),
    Setting(
        name="log_level",
        read=values.choice("debug", "info", "warning", "error"),
        default="info",
        help="The least that is logged: debug, info, warning or error.",
        metavar="LEVEL",
    ),
    Setting(
        name="log_format",
        read=values.choice("auto", "text", "json"),
        default="auto",
        help="How: text, json, or auto (text on a terminal).",
        metavar="FORMAT",
    ),
    Setting(
        name="admin_key",
        read=values.admin_key,
        default=None,
        help="An operator key that is valid while it is set.",
        secret=True,
    ),
    Setting(
        name="pepper",
        read=values.pepper,
        default=None,
        help="Makes the stored hashes of keys useless without it; it can never be changed.",
        secret=True,
    ),
)
_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
