"""Settings: where they come from, which are refused, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.config import SETTINGS, ConfigError, Resolved, Url, resolve

ADMIN_KEY = "an-admin-key-of-30-characters."
PEPPER = "sixteen bytes at least"
SECRET_URL = "postgresql://ada:hunter2@db/ledger"


def resolved(
    folder: Path,
    *,
    flags: dict[str, str] | None = None,
    environ: dict[str, str] | None = None,
    toml: str | None = None,
) -> Resolved:
    given: dict[str, str | None] = {"port": None, **(flags or {})}
    if toml is not None:
        path = folder / "settings.toml"
        path.write_text(toml)
        given["config"] = str(path)
    return resolve(given, {"PATH": "/bin", **(environ or {})})


def problems(folder: Path, **given: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolved(folder, **given)  # type: ignore[arg-type]  # passed on as it came
    return caught.value.problems


def test_without_settings_there_are_defaults(tmp_path: Path) -> None:
    settings, sources = resolved(tmp_path)
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8080, 1)
    assert (settings.database, settings.limits) == (Path("tallystick.db"), "memory")
    assert (settings.rate_limit, settings.rate_limits) == (200, {})
    assert (settings.admin_key, settings.pepper) == (None, None)
    assert not settings.allow_public
    assert not settings.demo
    assert set(sources.values()) == {"default"}


def test_a_flag_beats_the_environment_beats_the_file(tmp_path: Path) -> None:
    toml = "port = 1\nrate_limit = 1\nhost = '127.0.0.3'"
    environ = {"TALLYSTICK_PORT": "2", "TALLYSTICK_RATE_LIMIT": "2"}
    settings, sources = resolved(tmp_path, flags={"port": "3"}, environ=environ, toml=toml)
    assert (settings.port, settings.rate_limit, settings.host) == (3, 2, "127.0.0.3")
    assert sources["port"] == "--port"
    assert sources["rate_limit"] == "TALLYSTICK_RATE_LIMIT"
    assert sources["host"] == f"{tmp_path}/settings.toml: host"
    assert sources["workers"] == "default"


def test_the_file_can_be_named_in_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "named.toml"
    path.write_text("port = 17\n[rate_limits]\nget_credits = 5")
    settings, _ = resolved(tmp_path, environ={"TALLYSTICK_CONFIG": str(path)})
    assert (settings.port, settings.rate_limits) == (17, {"get_credits": 5})


def test_every_setting_has_all_its_places(tmp_path: Path) -> None:
    everything = {
        "database": "sqlite:////var/lib/a%20b.db",
        "database_lanes": "3",
        "database_partitions": "0",
        "database_wait": "5",
        "limits": "memory",
        "limits_fallback": "closed",
        "host": "10.0.0.1",
        "port": "0",
        "workers": "1",
        "rate_limit": "7",
        "rate_limits": "get_credits=5, book_usage=6",
        "window_ms": "1000",
        "trusted_proxies": "10.0.0.1, ::1",
        "allow_public": "true",
        "demo": "yes",
        "log_level": "debug",
        "log_format": "json",
        "admin_key": ADMIN_KEY,
        "pepper": PEPPER,
    }
    assert set(everything) == {setting.name for setting in SETTINGS}
    variables = {f"TALLYSTICK_{name.upper()}": text for name, text in everything.items()}
    flags = {setting.name: everything[setting.name] for setting in SETTINGS if not setting.secret}
    secrets = {name: text for name, text in variables.items() if name.endswith(("KEY", "PEPPER"))}
    toml = "\n".join(f'{name} = "{text}"' for name, text in everything.items())
    by_environment = resolved(tmp_path, environ=variables).settings
    assert by_environment == resolved(tmp_path, flags=flags, environ=secrets).settings
    assert by_environment == resolved(tmp_path, toml=toml).settings
    assert by_environment.database == Path("/var/lib/a b.db")
    assert by_environment.rate_limits == {"get_credits": 5, "book_usage": 6}
    assert by_environment.trusted_proxies == {"10.0.0.1", "::1"}
    assert (by_environment.admin_key, by_environment.pepper) == (ADMIN_KEY, PEPPER.encode())


def test_the_file_has_types_of_its_own(tmp_path: Path) -> None:
    toml = "port = 9\ndemo = true\ntrusted_proxies = ['10.0.0.1']\n[rate_limits]\nget_credits = 0"
    settings, _ = resolved(tmp_path, toml=toml)
    assert (settings.port, settings.demo, settings.trusted_proxies) == (
        9,
        True,
        frozenset({"10.0.0.1"}),
    )
    assert settings.rate_limits == {"get_credits": 0}


def test_a_secret_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{ADMIN_KEY}\n")
    settings, sources = resolved(tmp_path, environ={"TALLYSTICK_ADMIN_KEY_FILE": str(path)})
    assert settings.admin_key == ADMIN_KEY
    assert sources["admin_key"] == "TALLYSTICK_ADMIN_KEY_FILE"


@pytest.mark.parametrize("path", ["ledger.db", "sqlite:///ledger.db"])
def test_a_database_is_a_path_or_a_url(tmp_path: Path, path: str) -> None:
    assert resolved(tmp_path, flags={"database": path}).settings.database == Path("ledger.db")


SERVERS = {
    SECRET_URL: "postgresql://ada:********@db/ledger",
    "postgres://ada@[::1]:5433/ledger?sslmode=require": None,
    "postgresql:///ledger?host=/run/postgresql": None,
    "postgresql://ada@db1:5432,[::1]:5433,db3/ledger": None,
    "postgresql://db/l?password=hunter2&x=1": "postgresql://db/l?password=********&x=1",
}


@pytest.mark.parametrize(("url", "shown"), SERVERS.items())
def test_a_database_may_be_a_server(tmp_path: Path, url: str, shown: str | None) -> None:
    """What is shown of it holds no password."""
    found = resolved(tmp_path, environ={"TALLYSTICK_DATABASE": url})
    assert found.settings.database == Url(url)
    assert found.shown()["database"] == str(found.settings.database) == (shown or url)
    assert "hunter2" not in f"{found!r} {found.shown()}"


@pytest.mark.parametrize(
    "url", ["redis://h", "rediss://:hunter2@h:6380/3", "valkey://h", "unix:///run/redis.sock"]
)
def test_limits_may_be_counted_by_a_server(tmp_path: Path, url: str) -> None:
    found = resolved(tmp_path, environ={"TALLYSTICK_LIMITS": url})
    assert found.settings.limits == Url(url)
    assert "hunter2" not in f"{found!r} {found.shown()}"


def test_many_workers_write_to_one_server_and_count_in_another(tmp_path: Path) -> None:
    flags = {"workers": "8", "database": "postgresql://h/x", "limits": "redis://h"}
    assert resolved(tmp_path, flags=flags).settings.workers == 8


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_this_machine_alone_needs_no_permission(tmp_path: Path, host: str) -> None:
    assert resolved(tmp_path, flags={"host": host}).settings.host == host.strip("[]")


WRONG_FLAGS = {
    "port is no number": ({"port": "x"}, "--port: must be a whole number from 0 to 65535, not 'x'"),
    "port is too large": (
        {"port": "65536"},
        "--port: must be a whole number from 0 to 65535, not '65536'",
    ),
    "port is empty": ({"port": ""}, "--port: must be a whole number from 0 to 65535, not ''"),
    "port is negative": ({"port": "-1"}, "--port: must be a whole number"),
    "port is in other digits": ({"port": "٣"}, "--port: must be a whole number"),
    "port has no end": ({"port": "9" * 5_000}, "--port: must be a whole number"),
    "two workers of one file": (
        {"workers": "2"},
        (
            "--workers: an SQLite file is served by one process. More of them need a PostgreSQL to "
            "write to and a Redis to count in: --database postgresql://… --limits redis://…"
        ),
    ),
    "two workers that count for themselves": (
        {"workers": "2", "database": "postgresql://h/x"},
        "--workers: each process would count requests by itself, and admit as many as all of them",
    ),
    "parts of a file": (
        {"database_partitions": "4"},
        "--database-partitions: an SQLite file has no partitions",
    ),
    "no workers": ({"workers": "0"}, "--workers: must be a whole number from 1"),
    "limits elsewhere": ({"limits": "moon"}, "--limits: must be memory, or redis://"),
    "a Redis that is nowhere": ({"limits": "redis://"}, "--limits: must be of the form redis://"),
    "two Redis servers": (
        {"limits": "redis://h1,h2"},
        "--limits: must be of the form redis://",
    ),
    "a PostgreSQL that is nowhere": (
        {"database": "postgresql://"},
        "--database: must be of the form postgresql://user@host/database",
    ),
    "a PostgreSQL at no port": (
        {"database": "postgresql://h:port/x"},
        "--database: must be of the form postgresql://user@host/database",
    ),
    "a PostgreSQL of which one is at no port": (
        {"database": "postgresql://h1:5432,h2:port/x"},
        "--database: must be of the form postgresql://user@host/database",
    ),
    "a driver's name": (
        {"database": "postgresql+asyncpg://h/x"},
        "--database: postgresql+asyncpg is not supported: give the path of an SQLite file",
    ),
    "another database": ({"database": "oracle://h/x"}, "--database: oracle is not supported"),
    "no database": ({"database": ""}, "--database: must be the path of a file"),
    "a database in memory": ({"database": ":memory:"}, "--database: must be the path of a file"),
    "a folder": ({"database": "/folder/"}, "--database: must be the path of a file"),
    "half a URL": ({"database": "sqlite://x.db"}, "--database: must be the path of a file"),
    "a URL with more": ({"database": "sqlite:///x?mode=ro"}, "--database: must be the path"),
    "an address for everybody": (
        {"host": "10.0.0.1"},
        "--host: 10.0.0.1 can be reached from other machines, and keys would travel in the clear",
    ),
    "a name for everybody": ({"host": "example.com"}, "--host: example.com can be reached"),
    "no host": ({"host": ""}, "--host: must be an address or a name"),
    "a URL for a host": ({"host": "http://a"}, "--host: must be an address or a name"),
    "a rate beyond counting": ({"rate_limit": "1000001"}, "--rate-limit: must be a whole number"),
    "rates without numbers": (
        {"rate_limits": "get_credits"},
        "--rate-limits: the limit of get_credits must be a whole number",
    ),
    "a network of proxies": (
        {"trusted_proxies": "10.0.0.0/8"},
        "--trusted-proxies: must be IP addresses (no networks, no names), not '10.0.0.0/8'",
    ),
    "a level of no log": (
        {"log_level": "loud"},
        "--log-level: must be one of debug, info, warning, error, not 'loud'",
    ),
    "a form of no log": ({"log_format": "xml"}, "--log-format: must be one of auto, text, json"),
    "half a truth": ({"demo": "maybe"}, "--demo: must be true or false, not 'maybe'"),
    "a password": (
        {"database": SECRET_URL},
        (
            "--database: holds a password, which every user of this machine could read in the list "
            "of processes. Put the URL into TALLYSTICK_DATABASE, or into a file that "
            "TALLYSTICK_DATABASE_FILE names"
        ),
    ),
    "a password in a query": (
        {"limits": "redis://h?password=hunter2"},
        "--limits: holds a password",
    ),
    "a file that is not there": (
        {"config": "/nowhere.toml"},
        "--config: cannot read /nowhere.toml: No such file or directory",
    ),
}


@pytest.mark.parametrize(("flags", "said"), WRONG_FLAGS.values(), ids=WRONG_FLAGS)
def test_a_wrong_flag_is_named(tmp_path: Path, flags: dict[str, str], said: str) -> None:
    [problem] = problems(tmp_path, flags=flags)
    assert problem.startswith(said)
    assert "hunter2" not in problem


WRONG_VARIABLES = {
    "a number": ({"TALLYSTICK_PORT": "x"}, "TALLYSTICK_PORT: must be a whole number"),
    "a short admin key": (
        {"TALLYSTICK_ADMIN_KEY": "hunter2"},
        "TALLYSTICK_ADMIN_KEY: must have at least 24 characters, and has 7",
    ),
    "an empty admin key": (
        {"TALLYSTICK_ADMIN_KEY": ""},
        "TALLYSTICK_ADMIN_KEY: must have at least 24 characters, and has 0",
    ),
    "an admin key that no header can carry": (
        {"TALLYSTICK_ADMIN_KEY": "hunter2\n" * 5},
        "TALLYSTICK_ADMIN_KEY: must be of printable ASCII characters",
    ),
    "a short pepper": (
        {"TALLYSTICK_PEPPER": "hunter2"},
        "TALLYSTICK_PEPPER: must have at least 16 bytes, and has 7",
    ),
    "bytes that are no text": (
        {"TALLYSTICK_PEPPER": "hunter2" * 3 + "\udcff"},
        "TALLYSTICK_PEPPER: must be UTF-8",
    ),
    "a password in a URL that is none": (
        {"TALLYSTICK_DATABASE": SECRET_URL.replace("db/", "db:port/")},
        "TALLYSTICK_DATABASE: must be of the form postgresql://user@host/database",
    ),
    "a slip of the pen": (
        {"TALLYSTICK_DATABSE": "hunter2"},
        "TALLYSTICK_DATABSE: is no setting; did you mean TALLYSTICK_DATABASE?",
    ),
    "nothing like it": ({"TALLYSTICK_XYZZY": "1"}, "TALLYSTICK_XYZZY: is no setting"),
    "what Kubernetes says": (
        {"TALLYSTICK_SERVICE_HOST": "10.0.0.1"},
        (
            "TALLYSTICK_SERVICE_HOST: is no setting; Kubernetes sets it unless the pod says "
            "'enableServiceLinks: false'"
        ),
    ),
    "a secret's file that is not there": (
        {"TALLYSTICK_PEPPER_FILE": "/nowhere"},
        "TALLYSTICK_PEPPER_FILE: cannot read /nowhere: No such file or directory",
    ),
    "a file for what is no secret": (
        {"TALLYSTICK_PORT_FILE": "/nowhere"},
        "TALLYSTICK_PORT_FILE: is no setting",
    ),
    "a secret twice": (
        {"TALLYSTICK_PEPPER": PEPPER, "TALLYSTICK_PEPPER_FILE": "/nowhere"},
        "TALLYSTICK_PEPPER_FILE: TALLYSTICK_PEPPER is set too; unset one of them",
    ),
}


@pytest.mark.parametrize(("environ", "said"), WRONG_VARIABLES.values(), ids=WRONG_VARIABLES)
def test_a_wrong_variable_is_named(tmp_path: Path, environ: dict[str, str], said: str) -> None:
    [problem] = problems(tmp_path, environ=environ)
    assert problem.startswith(said)
    assert "hunter2" not in problem


WRONG_LINES = {
    "a number": ("port = 'x'", "port: must be a whole number from 0 to 65535, not 'x'"),
    "a truth for a number": ("port = true", "port: must be a whole number"),
    "a fraction": ("port = 80.0", "port: must be a whole number"),
    "a number for text": ("host = 127", "host: must be text"),
    "a number for a secret": ("pepper = 1234567890123456", "pepper: must be text"),
    "text for a table": ("rate_limits = 7", "rate_limits: must name a limit for each operation"),
    "a word in the table": (
        "[rate_limits]\nget_credits = 'x'",
        "rate_limits: the limit of get_credits must be a whole number",
    ),
    "a number for a list": ("trusted_proxies = 7", "trusted_proxies: must be a list"),
    "a slip of the pen": ("rate_limt = 7", "rate_limt is no setting; did you mean rate_limit?"),
    "a table of no setting": ("[server]\nport = 1", "server is no setting"),
}


@pytest.mark.parametrize(("toml", "said"), WRONG_LINES.values(), ids=WRONG_LINES)
def test_a_wrong_line_is_named(tmp_path: Path, toml: str, said: str) -> None:
    [problem] = problems(tmp_path, toml=toml)
    assert problem.startswith(f"{tmp_path}/settings.toml: {said}")
    assert "1234567890123456" not in problem


def test_what_is_no_toml_is_said_with_its_place(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, toml="port = 1\nhost = x\n")
    assert problem.startswith(f"{tmp_path}/settings.toml: is no TOML: ")
    assert "line 2" in problem


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    for content in (b"\xff\xfe", b" " * 70_000):
        path = tmp_path / "binary"
        path.write_bytes(content)
        [problem] = problems(tmp_path, flags={"config": str(path)})
        assert problem == f"--config: {path} is no text of at most 65536 bytes"


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        flags={"port": "x"},
        environ={"TALLYSTICK_WORKERS": "0", "TALLYSTICK_OOPS": ""},
        toml="limits = 'moon'",
    )
    assert [each.partition(":")[0] for each in found] == [
        "TALLYSTICK_OOPS",
        f"{tmp_path}/settings.toml",
        "--port",
        "TALLYSTICK_WORKERS",
    ]


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    environ = {"TALLYSTICK_ADMIN_KEY": ADMIN_KEY, "TALLYSTICK_PEPPER": PEPPER}
    found = resolved(tmp_path, environ=environ)
    for text in (repr(found), repr(found.settings), repr(found.shown())):
        assert ADMIN_KEY not in text
        assert PEPPER not in text
    assert found.shown()["admin_key"] == found.shown()["pepper"] == "********"
    assert resolved(tmp_path).shown()["admin_key"] is None
