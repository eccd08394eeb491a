"""What `deploy/` says is so: its settings are settings, and its proxy serves by three nodes."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from tallystick.cli.app import tallystick
from tallystick.config import SETTINGS
from tests.harness import bearer
from tests.server import Server, running_server
from tests.servers.nginx import proxy
from tests.servers.postgres import Postgres
from tests.servers.redis import redis_server
from tests.tidy.project import ROOT

DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
NODES = 3
USAGE = "/v1/organization/credits/usage"
CREDITS = "/v1/organization/credits"


def read(name: str) -> str:
    return (DEPLOY / name).read_text()


def settings_in(text: str) -> set[str]:
    return set(re.findall(r"\bTALLYSTICK_\w+", text))


def flags_in(text: str) -> set[str]:
    """Those of `tallystick serve`, which is the only command there."""
    lines = [line for line in text.splitlines() if re.search(r"\bserve\b", line)]
    return set(re.findall(r"--[a-z][a-z-]*", " ".join(lines)))


def test_every_setting_is_one() -> None:
    known = {setting.variable for setting in SETTINGS}
    known |= {setting.file_variable for setting in SETTINGS if setting.file_variable}
    named = set[str]().union(*(settings_in(path.read_text()) for path in FILES))
    assert len(named) > 4
    assert named <= known


def test_every_flag_is_one() -> None:
    parameters = tallystick.commands["serve"].params
    known = {option for parameter in parameters for option in parameter.opts}
    named = set[str]().union(*(flags_in(path.read_text()) for path in FILES))
    assert {"--host", "--config"} <= named
    assert named <= known


def test_a_setting_that_is_none_would_be_found() -> None:
    assert settings_in("TALLYSTICK_DATABSE: x") == {"TALLYSTICK_DATABSE"}
    assert flags_in('CMD ["serve", "--hosts", "x"]') == {"--hosts"}


def test_the_nodes_of_the_composition_fit_its_proxy() -> None:
    composition: dict[str, Any] = yaml.safe_load(read("compose.yaml"))
    services = composition["services"]
    nodes = [name for name, service in services.items() if service.get("image") == "tallystick"]
    assert re.findall(r"server (\w+):8080", read("nginx.conf")) == nodes
    address = services["proxy"]["networks"]["default"]["ipv4_address"]
    for name in nodes:
        environment = services[name]["environment"]
        assert environment["TALLYSTICK_TRUSTED_PROXIES"] == address
        assert set(services[name]["depends_on"]) <= set(services)
    secrets = set(re.findall(r"\$\{(\w+):\?\}", read("compose.yaml")))
    assert secrets == {line.partition("=")[0] for line in read(".env.example").splitlines()[1:]}


@pytest.fixture
def nodes(tmp_path: Path, durable: Postgres) -> Iterator[list[Server]]:
    """Three of them on one PostgreSQL and one Redis, which start at once on an empty database."""
    url = durable.empty_database()
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(tmp_path / "redis"))
        yield [
            stack.enter_context(
                running_server(
                    tmp_path, database=url, limits=redis.url, trusted_proxies="127.0.0.1"
                )
            )
            for _ in range(NODES)
        ]


def address_of(node: Server) -> str:
    return node.url.removeprefix("http://")


def test_the_proxy_serves_on_while_a_node_is_killed(nodes: list[Server], tmp_path: Path) -> None:
    """Neither reading nor usage fails, and usage that was sent twice is booked once."""
    acme = nodes[0].organization(allowance=1_000_000)
    key = bearer(nodes[0].key(acme))
    sent, failed, numbers = [0], list[httpx.Response](), itertools.count()
    half, done = threading.Event(), threading.Event()

    def client(url: str) -> None:
        with httpx.Client(base_url=url, headers=key, trust_env=False, timeout=30) as asking:
            while not done.is_set():
                number = next(numbers)
                event = {"id": f"evt-{number}", "credits": 1}
                answers = [asking.post(USAGE, json=event), asking.get(CREDITS)]
                failed.extend(answer for answer in answers if not answer.is_success)
                sent[0] += 1
                if number == 100:
                    half.set()
                elif number == 400:
                    done.set()

    with proxy(tmp_path, [address_of(node) for node in nodes]) as nginx:
        url = f"http://127.0.0.1:{nginx.port}"
        clients = [threading.Thread(target=client, args=(url,)) for _ in range(4)]
        for each in clients:
            each.start()
        assert half.wait(60)
        nodes[1].kill()
        for each in clients:
            each.join(60)
        balance = httpx.get(f"{url}{CREDITS}", headers=key).json()
    assert [(answer.status_code, answer.text) for answer in failed] == []
    assert sent[0] >= 400
    assert balance["consumed"] == sent[0]


def test_the_proxy_hands_on_what_it_has_to(nodes: list[Server], tmp_path: Path) -> None:
    acme = nodes[0].organization(allowance=1_000)
    key = bearer(nodes[0].key(acme))
    lines = "".join(f'{{"id": "evt-{number}", "credits": 1}}\n' for number in range(50))
    with proxy(tmp_path, [address_of(node) for node in nodes]) as nginx:
        url = f"http://127.0.0.1:{nginx.port}"
        stream = httpx.post(
            f"{url}{USAGE}",
            content=lines,
            headers={**key, "Content-Type": "application/x-ndjson"},
            timeout=30,
        )
        assert stream.status_code == 200, stream.text
        assert httpx.get(f"{url}{CREDITS}", headers=key).json()["consumed"] == 50
        # Whoever has no valid key is counted by address, which is the client's.
        forged = {"Authorization": "Bearer x", "X-Forwarded-For": "203.0.113.9"}
        refused = [
            httpx.get(f"{url}{CREDITS}", headers=forged).status_code for _ in range(32 * NODES)
        ]
        assert set(refused) == {401, 429}
        assert httpx.get(f"{url}{CREDITS}", headers=key).status_code == 200
        too_much = httpx.post(f"{url}{USAGE}", headers=key, json={"id": "x", "credits": 10_000})
        assert too_much.status_code == 402
        assert too_much.headers["x-ratelimit-limit"] == "1000000"
