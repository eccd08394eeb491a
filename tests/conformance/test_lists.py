"""Lists: their order, pages in both directions, cursors, and whose objects are on them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from tallystick.ledger.ports import Changes, Wanted
from tallystick.ledger.reading import Page, Reader, UnknownCursor
from tallystick.ledger.units import AccountUnit
from tests.conformance.backend import START, Backend
from tests.conformance.samples import (
    ACME,
    OTHER,
    api_key,
    new_organization,
    organization,
    teamspace,
    top_up,
)
from tests.pricing import price

Fetch = Callable[[Reader, Page], Coroutine[Any, Any, Sequence[Any]]]
COUNT = 7


class Listed(NamedTuple):
    """A list of `COUNT` objects, how to fill it, and an object of the same kind on another list."""

    fill: Callable[[Backend], list[str]]
    fetch: Fetch
    foreign: str


def fill_organizations(backend: Backend) -> list[str]:
    """Two of each moment of creation, so that ids decide."""
    names = [f"org_{number}" for number in range(COUNT)]
    made = {
        name: replace(organization(name), created_at=START + number // 2)
        for number, name in enumerate(names)
    }
    backend.write(Changes(organizations=made))
    return names


def fill_teamspaces(backend: Backend) -> list[str]:
    organizations = {name: organization(name) for name in (ACME, OTHER)}
    spaces = [*(teamspace(n) for n in range(COUNT)), teamspace(99, OTHER)]
    backend.write(
        Changes(
            organizations=organizations,
            teamspaces={(one.organization_id, one.id): one for one in spaces},
        )
    )
    return [one.id for one in spaces[:-1]]


def fill_keys(owner: str | None) -> Callable[[Backend], list[str]]:
    def fill(backend: Backend) -> list[str]:
        keys = [*(api_key(n, owner) for n in range(COUNT)), api_key(99, OTHER)]
        backend.write(Changes(keys={(one.organization_id, one.id): one for one in keys}))
        return [one.id for one in keys[:-1]]

    return fill


def fill_grants(backend: Backend) -> list[str]:
    backend.write(new_organization())
    backend.write(new_organization(OTHER))
    (outcomes,) = backend.decide(AccountUnit(ACME, [top_up() for _ in range(COUNT - 1)]))
    account = backend.load(Wanted(organizations={ACME})).accounts[ACME]
    return [account.allowance_grant_id or "", *(outcome.grant.id for outcome in outcomes)]


def fill_prices(backend: Backend) -> list[str]:
    made = [
        replace(price(f"price_{number}", since=number), created_at=START + number // 2)
        for number in range(COUNT)
    ]
    backend.write(Changes(prices=made))
    return [one.id for one in made]


LISTS = {
    "organizations": Listed(fill_organizations, lambda r, page: r.organizations(page), "org_?"),
    "teamspaces": Listed(fill_teamspaces, lambda r, page: r.teamspaces(ACME, page), "ts_099"),
    "keys": Listed(fill_keys(ACME), lambda r, page: r.keys(ACME, page), "key_099"),
    "operator keys": Listed(fill_keys(None), lambda r, page: r.keys(None, page), "key_099"),
    "grants": Listed(fill_grants, lambda r, page: r.grants(ACME, page), "grant_?"),
    "prices": Listed(fill_prices, lambda r, page: r.prices(page), "price_?"),
}


@pytest.fixture(params=sorted(LISTS))
def listed(request: pytest.FixtureRequest) -> Listed:
    return LISTS[request.param]


def ids(backend: Backend, listed: Listed, page: Page) -> list[str]:
    return [one.id for one in backend.run(listed.fetch(backend.reader, page))]


@pytest.mark.parametrize("ascending", [True, False])
def test_the_newest_come_first_unless_turned(
    backend: Backend, listed: Listed, ascending: bool
) -> None:
    oldest_first = listed.fill(backend)
    expected = oldest_first if ascending else oldest_first[::-1]
    assert ids(backend, listed, Page(100, ascending=ascending)) == expected


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("limit", [1, 2, COUNT - 1, COUNT])
def test_pages_tile_the_list(backend: Backend, listed: Listed, limit: int, ascending: bool) -> None:
    oldest_first = listed.fill(backend)
    found: list[str] = []
    more = True
    while more:
        after = found[-1] if found else None
        page = ids(backend, listed, Page(limit, after=after, ascending=ascending))
        more = len(page) > limit
        assert len(page) <= limit + 1
        found += page[:limit]
    assert found == (oldest_first if ascending else oldest_first[::-1])


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("at", range(COUNT))
def test_before_walks_against_the_order_from_the_cursor(
    backend: Backend, listed: Listed, at: int, ascending: bool
) -> None:
    oldest_first = listed.fill(backend)
    order = oldest_first if ascending else oldest_first[::-1]
    page = Page(2, before=order[at], ascending=ascending)
    assert ids(backend, listed, page) == order[:at][::-1][:3]


@pytest.mark.parametrize("direction", ["after", "before"])
def test_a_cursor_must_be_on_the_list(backend: Backend, listed: Listed, direction: str) -> None:
    listed.fill(backend)
    for cursor in (listed.foreign, "", "'"):
        page = Page(2, after=cursor) if direction == "after" else Page(2, before=cursor)
        with pytest.raises(UnknownCursor):
            ids(backend, listed, page)


def test_an_empty_list_is_empty(backend: Backend, listed: Listed) -> None:
    assert ids(backend, listed, Page(20)) == []


@pytest.mark.parametrize("ascending", [True, False])
def test_grants_end_with_the_sequence_that_is_named(backend: Backend, ascending: bool) -> None:
    oldest_first = fill_grants(backend)
    grants = backend.run(backend.reader.grants(ACME, Page(100)))
    sequences = sorted(one.issued for one in grants)

    def up_to(sequence: int, page: Page) -> list[str]:
        found = backend.run(backend.reader.grants(ACME, page, sequence))
        return [one.id for one in found]

    page = Page(2, ascending=ascending)
    for count, sequence in enumerate(sequences, start=1):
        known = oldest_first[:count] if ascending else oldest_first[:count][::-1]
        assert up_to(sequence, page) == known[:3]
        assert up_to(sequence, page._replace(after=known[0])) == known[1:4]


def test_due_accounts_come_longest_due_first(backend: Backend) -> None:
    names = {}
    for number, due in enumerate((30, 10, 40, 20)):
        created = new_organization(f"org_{number}")
        (account,) = created.accounts
        created.accounts = [replace(account, next_due_at=due)]
        backend.write(created)
        names[due] = account.organization_id

    def found(now: int, limit: int) -> list[str]:
        return list(backend.run(backend.reader.due(now, limit)))

    assert found(9, 10) == []
    assert found(30, 10) == [names[10], names[20], names[30]]
    assert found(30, 2) == [names[10], names[20]]
