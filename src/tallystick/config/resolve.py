"""Settings: each by flag, else by environment, else by file, else its default.

A setting called `rate_limit` is the flag `--rate-limit`, the variable `TALLYSTICK_RATE_LIMIT` and
the line `rate_limit = …` of the TOML file that `--config` or `TALLYSTICK_CONFIG` names. Secrets
have no flag, since every user of a machine can read the flags of every process; they, and URLs that
may hold a password, can also stand alone in a file that `TALLYSTICK_<NAME>_FILE` names.

Everything that is wrong is reported at once, each with the source in which to mend it. What has the
look of a setting and is none (a variable `TALLYSTICK_…`, a key of the file) is wrong too: it was
meant for something.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from tallystick.config.table import PREFIX, SETTINGS, Setting
from tallystick.config.urls import Url, holds_password
from tallystick.config.values import Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONFIG: Final = f"{PREFIX}CONFIG"
_MOST_FILE_BYTES: Final = 65_536
_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
# What Kubernetes gives every container when there is a Service with our name.
_SERVICE_LINK: Final = re.compile(r"TALLYSTICK_(SERVICE_|PORT_\d)")


class ConfigError(Exception):
    """Settings that cannot be used; `problems` has one sentence for each, with its source."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set, checked. Rate limits count requests in `window_ms`."""

    database: Path | Url
    database_lanes: int
    database_partitions: int
    database_wait: int
    limits: Url | Literal["memory"]
    limits_fallback: str
    host: str
    port: int
    workers: int
    rate_limit: int
    rate_limits: Mapping[str, int]
    window_ms: int
    trusted_proxies: frozenset[str]
    allow_public: bool
    demo: bool
    log_level: str
    log_format: str
    admin_key: str | None = field(repr=False)
    pepper: bytes | None = field(repr=False)


class Resolved(NamedTuple):
    """Settings, and by name where each came from: `--port`, `TALLYSTICK_PORT`, …"""

    settings: Settings
    sources: Mapping[str, str]

    def shown(self) -> dict[str, object]:
        """The settings as JSON values, secrets masked."""
        return {
            setting.name: _show(setting, getattr(self.settings, setting.name))
            for setting in SETTINGS
        }


def _show(setting: Setting, value: object) -> object:
    if setting.secret:
        return None if value is None else "********"
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, MappingProxyType):
        return dict(value)
    return str(value) if isinstance(value, Path | Url) else value


class _Given(NamedTuple):
    source: str
    value: object


def resolve(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Resolved:
    """The settings in force; `flags` has those that were given, by setting (and `config`).

    Raises ConfigError.
    """
    problems: list[str] = []
    layers = (
        _from_flags(flags, problems),
        _from_environment(environ, problems),
        _from_file(flags, environ, problems),
    )
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for setting in SETTINGS:
        given = [layer[setting.name] for layer in layers if setting.name in layer]
        source, value = given[0] if given else _Given("default", setting.default)
        sources[setting.name] = source
        try:
            values[setting.name] = None if value is None else setting.read(value)
        except Wrong as error:
            problems.append(f"{source}: {error}")
    if not problems:
        problems.extend(_unsafe(values, sources))
    if problems:
        raise ConfigError(problems)
    return Resolved(Settings(**values), sources)


def _unsafe(values: Mapping[str, Any], sources: Mapping[str, str]) -> Iterator[str]:
    """What each value by itself does not say."""
    if not values["allow_public"] and not is_loopback(values["host"]):
        yield (
            f"{sources['host']}: {values['host']} can be reached from other machines, and keys "
            "would travel in the clear. Listen at 127.0.0.1 behind a proxy that speaks TLS, or ask "
            "for it with --allow-public"
        )
    if values["workers"] > 1 and isinstance(values["database"], Path):
        yield (
            f"{sources['workers']}: an SQLite file is served by one process. More of them need a "
            "PostgreSQL to write to and a Redis to count in: "
            "--database postgresql://… --limits redis://…"
        )
    elif values["workers"] > 1 and values["limits"] == "memory":
        yield (
            f"{sources['workers']}: each process would count requests by itself, and admit as many "
            "as all of them may. Give them a Redis to count in: --limits redis://…"
        )
    if values["database_partitions"] and isinstance(values["database"], Path):
        yield f"{sources['database_partitions']}: an SQLite file has no partitions"


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to `host`; names other than localhost do not count."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _from_flags(flags: Mapping[str, str | None], problems: list[str]) -> dict[str, _Given]:
    given = {
        name: _Given(_BY_NAME[name].flag, value)
        for name, value in flags.items()
        if value is not None and name != "config"
    }
    for name in [name for name in given if _BY_NAME[name].url]:
        if holds_password(str(given[name].value)):
            setting = _BY_NAME[name]
            problems.append(
                f"{setting.flag}: holds a password, which every user of this machine could read "
                f"in the list of processes. Put the URL into {setting.variable}, or into a file "
                f"that {setting.file_variable} names"
            )
            del given[name]
    return given


def _from_environment(environ: Mapping[str, str], problems: list[str]) -> dict[str, _Given]:
    plain = {setting.variable: setting for setting in SETTINGS}
    filed = {setting.file_variable: setting for setting in SETTINGS if setting.file_variable}
    given: dict[str, _Given] = {}
    for variable, text in environ.items():
        if variable in plain:
            given[plain[variable].name] = _Given(variable, text)
        elif variable.startswith(PREFIX) and variable != CONFIG and variable not in filed:
            problems.append(f"{variable}: {_unknown(variable, [*plain, *filed, CONFIG])}")
    for variable, setting in filed.items():
        if variable not in environ:
            continue
        if setting.name in given:
            problems.append(f"{variable}: {setting.variable} is set too; unset one of them")
        elif (text_in_file := _read(variable, environ[variable], problems)) is not None:
            given[setting.name] = _Given(variable, text_in_file.removesuffix("\n").rstrip("\r"))
    return given


def _unknown(name: str, known: list[str]) -> str:
    if _SERVICE_LINK.match(name):
        return "is no setting; Kubernetes sets it unless the pod says 'enableServiceLinks: false'"
    near = difflib.get_close_matches(name, known, n=1)
    return f"is no setting; did you mean {near[0]}?" if near else "is no setting"


def _read(source: str, path: str, problems: list[str]) -> str | None:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_FILE_BYTES + 1)
    except OSError as error:
        problems.append(f"{source}: cannot read {path}: {error.strerror}")
        return None
    try:
        if len(content) <= _MOST_FILE_BYTES:
            return content.decode()
    except UnicodeDecodeError:
        pass
    problems.append(f"{source}: {path} is no text of at most {_MOST_FILE_BYTES} bytes")
    return None


def _from_file(
    flags: Mapping[str, str | None], environ: Mapping[str, str], problems: list[str]
) -> dict[str, _Given]:
    flag = flags.get("config")
    path = environ.get(CONFIG) if flag is None else flag
    if path is None:
        return {}
    text = _read(CONFIG if flag is None else "--config", path, problems)
    if text is None:
        return {}
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{path}: is no TOML: {error}")
        return {}
    known = list(_BY_NAME)
    problems.extend(
        f"{path}: {name} {_unknown(name, known)}" for name in table if name not in known
    )
    return {
        name: _Given(f"{path}: {name}", value) for name, value in table.items() if name in known
    }
