"""Organizations come into being: each with two teamspaces and two keys, before anything else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tallystick.domain.directory import DEFAULT_SCOPES, Access, ApiKey, CloudProvider, KeyLevel
from tallystick.domain.ids import encode_id
from tallystick.ledger.directory import (
    CreateKey,
    CreateOrganization,
    CreateTeamspace,
    OrganizationState,
)
from tallystick.ledger.ports import StoreError
from tallystick.ledger.work import Unit
from tests.oracle import Oracle
from tests.property import languages as say
from tests.simulation import edges
from tests.simulation.operations import Operation
from tests.simulation.script import Step
from tests.simulation.tenant import Tenant
from tests.simulation.witness import WitnessedUnit

if TYPE_CHECKING:
    from tests.simulation.world import World


async def found(world: World, step: Step) -> None:
    """Makes the organization that `step` describes, and waits until it is there."""
    process = await world.up()
    number = step.number("org")
    organization_id = encode_id("org", number.to_bytes(16, "big"))
    tenant: Any = None

    def judge(outcome: object, now: int) -> None:
        nonlocal tenant
        assert isinstance(outcome, OrganizationState)
        terms = edges.terms(step)
        tenant = Tenant(
            name=f"org {number}",
            id=organization_id,
            teamspaces=[f"ts_{number}_0", f"ts_{number}_1"],
            keys=[f"key_{number}_0", f"key_{number}_1"],
            oracle=Oracle(terms, say.to_datetime(now)),
        )
        world.tenants[step.text("org")] = tenant

    def taken_for_granted(_: object, __: int) -> None:
        """Teamspaces and keys are not the ledger's."""

    create = CreateOrganization(
        organization_id=organization_id,
        teamspace_id=f"ts_{number}_0",
        name=f"org {number}",
        external_id=None,
        plan=say.to_plan(edges.terms(step)),
        rate_limits={},
        content=b"",
    )
    units: list[tuple[Unit, Any]] = [(create, judge)]
    units += [(unit, taken_for_granted) for unit in _directory(number, organization_id)]
    for unit, judging in units:
        operation = Operation(tenant, unit, judging)
        witnessed = WitnessedUnit(unit, operation, process)
        future = process.ledger.submit(organization_id, witnessed)
        await asyncio.wait({future, process.ended}, return_when=asyncio.FIRST_COMPLETED)
        failure = future.exception() if future.done() else None
        # What is wrong here must not pass for an organization that was never founded.
        if failure is not None and not isinstance(failure, StoreError):
            raise failure


def _directory(number: int, organization_id: str) -> list[Unit]:
    teamspace = CreateTeamspace(
        organization_id=organization_id,
        teamspace_id=f"ts_{number}_1",
        name="Second",
        access=Access.OPEN,
        cloud_provider=CloudProvider.GCP,
    )
    keys = [
        CreateKey(
            key=ApiKey(
                id=f"key_{number}_{which}",
                organization_id=organization_id,
                teamspace_id=None,
                name="A key",
                level=KeyLevel.ACCOUNT,
                scopes=tuple(DEFAULT_SCOPES),
                created_at=0,
            ),
            digest=f"digest {number} {which}".encode(),
        )
        for which in range(2)
    ]
    return [teamspace, *keys]
