"""Sites that tests share: what they race for is their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.sites import Site, running_site
from tests.servers.postgres import Postgres


@pytest.fixture(scope="session")
def file_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("file")) as site:
        yield site


@pytest.fixture(scope="session")
def postgres_site(tmp_path_factory: pytest.TempPathFactory, durable: Postgres) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("postgres")
    with running_site(folder, count=2, database=durable.database()) as site:
        yield site


@pytest.fixture(
    params=["file", "postgres"], ids=["one server on a file", "two nodes on PostgreSQL"]
)
def site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(f"{request.param}_site")
    return found
