"""The lines for a shell in the reference do what they say, when their ids are real ones."""

from __future__ import annotations

import shlex
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tallystick.domain.directory import Scope
from tallystick.http.handlers.table import OPERATIONS, REFERENCE
from tallystick.http.openapi import PATH_PARAMETERS
from tallystick.http.openapi_examples import HOST
from tallystick.http.operations import Operation
from tests.answers import body_of
from tests.harness import Headers, World, in_world
from tests.moves import book, issue, place
from tests.pricing import price_of


async def real_ids(w: World, operation: Operation) -> dict[str, str]:
    """An object of each kind, by the parameter that names it."""
    acme = await w.organization(allowance=100)
    grant = await issue(w, acme, "10")
    of_operators = "organization_id" not in operation.path
    keys = "/v1/admin/keys" if of_operators else f"/v1/admin/organizations/{acme.id}/keys"
    hold = await place(w, acme, "25")
    entry = await book(w, acme, "chat/7", "5")
    key = body_of(await w.client.post(keys, json={"name": "x"}, headers=w.admin), 201)
    price = await price_of(w, "llm.tokens", credits=3, per=1_000_000)
    refused = await w.client.get("/v1/organization/credits/holds/-", headers=await w.key(acme))
    return {
        "organization_id": acme.id,
        "teamspace_id": acme.default_teamspace_id,
        "grant_id": grant.id,
        "hold_id": hold.id,
        "event_id": quote(entry.event_id or "", safe=""),
        "subject_id": acme.default_teamspace_id,
        "key_id": key["id"],
        "price_id": price["id"],
        "period_index": "0",
        "request_id": refused.headers["x-request-id"],
    }


async def run(w: World, line: str, secrets: dict[str, Headers]) -> httpx.Response:
    """What curl would do."""
    words = iter(shlex.split(line.replace("\\\n", "")))
    assert next(words) == "curl"
    method, url, headers, body = "GET", "", {}, None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, value = next(words).split(": ")
            headers[name.lower()] = value
        elif word == "-d":
            body = next(words)
        else:
            url = word.removeprefix(HOST)
    for variable, real in secrets.items():
        if headers.get("authorization") == f"Bearer {variable}":
            headers |= real
    return await w.client.request(method, url, headers=headers, content=body)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: str(operation.name))
@in_world
async def test_the_line_for_a_shell_works(w: World, operation: Operation) -> None:
    described: Any = REFERENCE.document["paths"][operation.path][operation.method.lower()]
    [sample] = described["x-codeSamples"]
    line = sample["source"]
    ids = await real_ids(w, operation)
    for name, parameter in PATH_PARAMETERS.items():
        line = line.replace(parameter["schema"]["examples"][0], ids[name])
    organization = await w.service.reads.reader.organization(ids["organization_id"])
    assert organization is not None
    secrets = {
        "$TALLYSTICK_ADMIN_KEY": w.admin,
        "$TALLYSTICK_KEY": await w.key(organization, scopes=list(Scope)),
    }
    answer = await run(w, line, secrets)
    assert answer.status_code == operation.status, answer.text
