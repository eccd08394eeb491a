"""Operators and tenants: neither's key opens what is the other's."""

from __future__ import annotations

import pytest

from tallystick.http.handlers.table import OPERATIONS
from tallystick.http.operations import Audience, Operation
from tests.answers import assert_refused
from tests.harness import World, in_world

OPERATOR = [each for each in OPERATIONS if each.audience is Audience.OPERATOR]
TENANT = [each for each in OPERATIONS if each.audience is Audience.TENANT]


def path_of(operation: Operation, organization_id: str) -> str:
    filled = operation.path.replace("{organization_id}", organization_id)
    for name in ("teamspace_id", "key_id", "grant_id"):
        filled = filled.replace("{" + name + "}", "x")
    return filled


@pytest.mark.parametrize("operation", OPERATOR, ids=lambda each: each.name)
@in_world
async def test_an_operation_of_operators_is_for_their_keys_only(
    w: World, operation: Operation
) -> None:
    acme = await w.organization()
    tenant = await w.key(acme, scopes=["credits:read", "usage:write", "teamspaces:write"])
    path = path_of(operation, acme.id)
    assert_refused(await w.send(operation.method, path, tenant, {}), 403, "permission_denied")
    assert_refused(await w.send(operation.method, path, {}, {}), 401, "no_authentication")


@pytest.mark.parametrize("operation", TENANT, ids=lambda each: each.name)
@in_world
async def test_an_operation_of_tenants_is_not_for_operators(w: World, operation: Operation) -> None:
    answer = await w.send(operation.method, path_of(operation, ""), w.admin, {})
    assert_refused(answer, 403, "permission_denied")
