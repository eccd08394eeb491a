"""Settings that hold for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.backends import backends_of, opening_on
from tests.harness import Opening
from tests.servers.postgres import Postgres, running

# On a build server hypothesis would repeat the same examples in each run. New ones are wanted
# everywhere; a failure prints the blob that reproduces it. There is no deadline for an example,
# since the machine may be busy with something else.
settings.register_profile(
    "tallystick", settings.get_profile("default"), deadline=None, print_blob=True
)
settings.load_profile("tallystick")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One cluster for the whole run; each test makes databases of its own in it."""
    with running() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def durable() -> Iterator[Postgres]:
    """Another one, which keeps what it acknowledges: the service refuses any other."""
    with running(fsync=True) as cluster:
        yield cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--everywhere", action="store_true", help="run every test of a service on PostgreSQL too"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "opening" in metafunc.fixturenames:
        everywhere = metafunc.config.getoption("--everywhere")
        backends = backends_of(metafunc.definition, everywhere=everywhere)
        if len(backends) > 1:
            metafunc.parametrize("opening", backends, indirect=True)


@pytest.fixture
def opening(request: pytest.FixtureRequest) -> Iterator[Opening]:
    backend = getattr(request, "param", "sqlite")
    with opening_on(backend, lambda: request.getfixturevalue("postgres")) as opening:
        yield opening
