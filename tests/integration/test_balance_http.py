"""The detailed balance over HTTP: its figures, its pace and its ETag."""

from __future__ import annotations

from tests.harness import World, in_world

BALANCE = "/v1/organization/credits/balance"
USAGE = "/v1/organization/credits/usage"
DAY = 86_400


async def _balance(w: World, headers: dict[str, str]) -> dict[str, object]:
    answer = await w.client.get(BALANCE, headers=headers)
    assert answer.status_code == 200
    shown: dict[str, object] = answer.json()
    return shown


@in_world
async def test_the_figures_of_the_design(w: World) -> None:
    """Allowance 100, usage 120 recorded, top-up 50: 50 / 120 / 150, overage 20."""
    acme = await w.organization(allowance=100)
    key = await w.key(acme)
    event = {"id": "e-1", "credits": 120, "on_insufficient": "overdraw"}
    assert (await w.client.post(USAGE, headers=key, json=event)).status_code == 201
    grant = {"amount": 50, "kind": "top_up"}
    grants = f"/v1/admin/organizations/{acme.id}/grants"
    assert (await w.client.post(grants, headers=w.admin, json=grant)).status_code == 201
    shown = await _balance(w, key)
    figures = ("remaining", "consumed", "total", "held", "available", "overage")
    assert [shown[name] for name in figures] == [50, 120, 150, 0, 50, 20]
    report = (await w.client.get("/v1/organization/credits", headers=key)).content
    assert report == b'{"remaining":50,"consumed":120,"total":150}'


@in_world
async def test_a_tenth_and_two_tenths_are_three_tenths(w: World) -> None:
    key = await w.key(await w.organization(allowance="0.3"))
    for number, spelling in enumerate(["0.1", "2e-1"]):
        body = f'{{"id":"e-{number}","credits":{spelling}}}'.encode()
        headers = {**key, "content-type": "application/json"}
        assert (await w.client.post(USAGE, headers=headers, content=body)).status_code == 201
    report = (await w.client.get("/v1/organization/credits", headers=key)).content
    assert report == b'{"remaining":0,"consumed":0.3,"total":0.3}'


@in_world
async def test_the_pace_is_that_of_the_last_seven_days(w: World) -> None:
    acme = await w.organization(allowance=1000)
    key = await w.key(acme)
    await w.spend(acme, "500")
    w.clock.advance(seconds=8 * DAY)
    await w.spend(acme, "70")
    shown = await _balance(w, key)
    assert shown["burn_rate_per_day"] == 10
    assert shown["projected_exhaustion_at"] == w.clock.text(seconds=43 * DAY)


@in_world
async def test_usage_older_than_the_organization_counts_for_the_pace(w: World) -> None:
    """History that is imported on the first day is no burst of that day."""
    key = await w.key(await w.organization(allowance=1000))
    event = {"id": "e-1", "credits": 20, "timestamp": w.clock.text(seconds=-2 * DAY)}
    assert (await w.client.post(USAGE, headers=key, json=event)).status_code == 201
    assert (await _balance(w, key))["burn_rate_per_day"] == 10


@in_world
async def test_nothing_burns_where_nothing_was_used(w: World) -> None:
    key = await w.key(await w.organization(allowance=1000))
    shown = await _balance(w, key)
    assert shown["burn_rate_per_day"] == 0
    assert shown["projected_exhaustion_at"] is None


@in_world
async def test_no_exhaustion_is_projected_beyond_a_century(w: World) -> None:
    """At this pace the credits outlast every date that there is."""
    acme = await w.organization(allowance=1_000_000_000)
    key = await w.key(acme)
    await w.spend(acme, "0.000001")
    shown = await _balance(w, key)
    assert shown["burn_rate_per_day"] == 0.000024
    assert shown["projected_exhaustion_at"] is None


@in_world
async def test_a_balance_is_of_one_instant(w: World) -> None:
    """The clock may reach the period's end while the balance is computed."""
    key = await w.key(await w.organization(allowance=10))
    w.clock.set("2026-03-31T23:59:59Z")
    read = w.service.reads.clock

    def hurry() -> int:
        now = read()
        w.clock.advance(seconds=1)
        return now

    w.service.reads.clock = hurry
    shown = await _balance(w, key)
    assert shown["as_of"] == "2026-03-31T23:59:59.000000Z"


@in_world
async def test_the_etag_follows_the_ledger_and_not_the_clock(w: World) -> None:
    acme = await w.organization(allowance=10)
    key = await w.key(acme)
    first = await w.client.get(BALANCE, headers=key)
    assert first.headers["etag"].startswith('W/"')
    assert first.headers["cache-control"] == "private, no-cache"
    w.clock.advance(seconds=60)
    known = {**key, "if-none-match": first.headers["etag"]}
    unchanged = await w.client.get(BALANCE, headers=known)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    await w.spend(acme, "1")
    changed = await w.client.get(BALANCE, headers=known)
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


@in_world
async def test_a_renewal_nobody_has_written_yet_changes_the_etag(w: World) -> None:
    key = await w.key(await w.organization(allowance=10))
    first = await w.client.get(BALANCE, headers=key)
    w.clock.set("2026-04-01T00:00:00Z")
    renewed = await w.client.get(BALANCE, headers={**key, "if-none-match": first.headers["etag"]})
    assert renewed.status_code == 200
    assert renewed.json()["sequence"] == first.json()["sequence"] + 3
