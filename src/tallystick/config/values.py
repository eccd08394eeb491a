"""How the text of a setting becomes its value.

Each function takes what stood in a flag, a variable (text) or a file (what TOML has) and raises
`Wrong` with the rest of a sentence that begins with the source. What may be secret is not repeated.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote, urlsplit

from tallystick.config.urls import Url
from tallystick.limits.policy import MAX_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LEAST_ADMIN_KEY: Final = 24
LEAST_PEPPER: Final = 16
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_POSTGRES: Final = frozenset({"postgresql", "postgres"})
_UNSUPPORTED: Final = ("postgres", "mysql", "mariadb", "mongodb", "oracle", "mssql")
_REDIS: Final = frozenset({"redis", "rediss", "valkey", "valkeys", "unix"})
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


class Wrong(ValueError):
    """A value that a setting cannot have."""


def whole(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        digits = str(value)
        plain = digits.isascii() and digits.isdecimal() and len(digits) < 20
        if isinstance(value, bool) or not plain or not least <= int(digits) <= most:
            raise Wrong(f"must be a whole number from {least} to {most}, not {value!r}")
        return int(digits)

    return read


def truth(value: object) -> bool:
    word = str(value).lower()
    if word not in _TRUE | _FALSE:
        raise Wrong(f"must be true or false, not {value!r}")
    return word in _TRUE


def choice(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise Wrong(f"must be one of {', '.join(choices)}, not {value!r}")
        return str(value)

    return read


def text(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong("must be text")
    # Bytes of the environment that are no UTF-8 arrive as lone surrogates.
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise Wrong("must be UTF-8")
    return value


def host(value: object) -> str:
    name = text(value).removeprefix("[").removesuffix("]")
    if not name or not name.isascii() or not name.isprintable() or "/" in name or " " in name:
        raise Wrong(f"must be an address or a name of this machine, not {value!r}")
    return name


def database(value: object) -> Path | Url:
    path = text(value)
    scheme = _SCHEME.match(path)
    if scheme is not None and scheme[1].lower() in _POSTGRES:
        return _url(path, "postgresql://user@host/database", several=True)
    if scheme is not None and scheme[1].lower().startswith(_UNSUPPORTED):
        raise Wrong(
            f"{scheme[1]} is not supported: give the path of an SQLite file, sqlite:///path, or "
            "postgresql://user@host/database"
        )
    if scheme is not None and (scheme[1].lower() == "sqlite" or "://" in path):
        path = _sqlite_path(path)
    if not path or path == ":memory:" or "\0" in path or path.endswith("/"):
        raise Wrong("must be the path of a file, sqlite:///path or postgresql://…")
    return Path(path)


def _url(value: str, form: str, *, several: bool = False) -> Url:
    """The address of a server, or of several; nothing of it is repeated, since it may hold a
    password."""
    if not _names_server(value, several=several) or any(
        each.isspace() or each < " " for each in value
    ):
        raise Wrong(
            f"must be of the form {form}, with / ? # @ : % in a password percent-encoded (/ as %2F)"
        )
    return Url(value)


def _names_server(url: str, *, several: bool) -> bool:
    try:
        parts = urlsplit(url)
        servers = [urlsplit(f"//{each}") for each in parts.netloc.rpartition("@")[2].split(",")]
        ports = [server.port for server in servers]
    except ValueError:
        return False
    if len(servers) > 1 and not several:
        return False
    named = bool(servers[0].hostname or parts.path.strip("/") or parts.query)
    return named and 0 not in ports and not parts.fragment


def _sqlite_path(url: str) -> str:
    if url.lower().startswith("sqlite:///"):
        parts = urlsplit(url)
        if not parts.query and not parts.fragment:
            return unquote(parts.path.removeprefix("/"))
    raise Wrong("must be the path of a file, or sqlite:///path and nothing more")


def limits(value: object) -> Url | Literal["memory"]:
    if value == "memory":
        return "memory"
    scheme = _SCHEME.match(text(value))
    if scheme is not None and scheme[1].lower() in _REDIS:
        return _url(str(value), "redis://host:port/number")
    raise Wrong("must be memory, or redis://… (rediss:// with TLS; Valkey's names work too)")


def rate_limits(value: object) -> Mapping[str, int]:
    """A table, or `operation=number,…` where there can be no table."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part]
        value = {name.strip(): number.strip() for name, _, number in pairs}
    if not isinstance(value, dict):
        raise Wrong(f"must name a limit for each operation, not {value!r}")
    found: dict[str, int] = {}
    for name, number in value.items():
        try:
            found[name] = whole(0, MAX_LIMIT)(number)
        except Wrong as error:
            raise Wrong(f"the limit of {name} {error}") from None
    return MappingProxyType(found)


def proxies(value: object) -> frozenset[str]:
    addresses = value.split(",") if isinstance(value, str) else value
    if not isinstance(addresses, list):
        raise Wrong(f"must be a list of IP addresses, not {value!r}")
    return frozenset(_address(address) for address in addresses if address != "")


def _address(value: object) -> str:
    try:
        return str(ipaddress.ip_address(str(value).strip()))
    except ValueError:
        raise Wrong(f"must be IP addresses (no networks, no names), not {value!r}") from None


def admin_key(value: object) -> str:
    key = text(value)
    if len(key) < LEAST_ADMIN_KEY:
        raise Wrong(
            f"must have at least {LEAST_ADMIN_KEY} characters, and has {len(key)}: make one with "
            "'openssl rand -hex 24'"
        )
    if not key.isascii() or not key.isprintable() or key != key.strip():
        raise Wrong("must be of printable ASCII characters, without spaces around it")
    return key


def pepper(value: object) -> bytes:
    encoded = text(value).encode()
    if len(encoded) < LEAST_PEPPER:
        raise Wrong(f"must have at least {LEAST_PEPPER} bytes, and has {len(encoded)}")
    return encoded
