"""Text with a NUL, which not every database can hold, is nobody's fault but the sender's."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from tallystick.domain.directory import Scope
from tallystick.http.handlers.table import OPERATIONS, REFERENCE
from tallystick.http.operations import Operation
from tests.answers import assert_not_found
from tests.harness import World, in_world

NUL = "a\x00b"
WITH_BODIES = [operation for operation in OPERATIONS if operation.request is not None]
WITH_IDS = [operation for operation in OPERATIONS if "{" in operation.path]


def bodies(operation: Operation) -> Iterator[Any]:
    """The reference's sample with a NUL in each of its texts by turns, and in each field that it
    leaves out."""
    described: Any = REFERENCE.document["paths"][operation.path][operation.method.lower()]
    content = described["requestBody"]["content"]["application/json"]
    sample = content.get("example", {})
    for path in _texts(sample, ()):
        yield _with_nul(sample, path)
    for name in _fields(content["schema"]):
        yield {**sample, name: NUL}


def _texts(value: object, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, str):
        yield path
    if isinstance(value, list):
        value = dict(enumerate(value))
    for step, part in value.items() if isinstance(value, dict) else ():
        yield from _texts(part, (*path, step))


def _with_nul(sample: object, path: tuple[Any, ...]) -> object:
    found: Any = copy.deepcopy(sample)
    inner = found
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = NUL
    return found


def _fields(schema: dict[str, Any]) -> set[str]:
    """Of the schema and of those that it chooses from."""
    if name := schema.get("$ref"):
        return _fields(REFERENCE.document["components"]["schemas"][name.rpartition("/")[2]])
    chosen = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return set(schema.get("properties", ())).union(*map(_fields, chosen))


@in_world
async def test_in_a_body(w: World) -> None:
    acme = await w.organization(allowance=100)
    key = await w.key(acme, scopes=list(Scope))
    tried = 0
    for operation in WITH_BODIES:
        path = operation.path.replace("{organization_id}", acme.id)
        path = path.replace("{subject_id}", acme.default_teamspace_id)
        path = re.sub(r"\{\w+\}", "nothing", path)
        headers = w.admin if path.startswith("/v1/admin") else key
        for body in bodies(operation):
            answer = await w.send(operation.method, path, headers, body)
            assert answer.status_code < 500, (operation.name, json.dumps(body), answer.text)
            tried += 1
    assert tried > 2 * len(WITH_BODIES)


@in_world
async def test_in_a_path(w: World) -> None:
    key = await w.key(await w.organization(), scopes=list(Scope))
    for operation in WITH_IDS:
        headers = w.admin if operation.path.startswith("/v1/admin") else key
        path = re.sub(r"\{\w+\}", quote(NUL), operation.path)
        assert_not_found(await w.send(operation.method, path, headers, {}))
