"""What is noted of a request that is refused, so that its sender can ask later why it was.

Noted are requests of tenants' keys, from the moment the gate has let them pass or found the scope
missing: so none without a valid key, and none that the window refused, which are as many as a
client cares to send. Of what was sent, a note holds no more than the error says, and of that not
the names of keys and dimensions, which may say something of persons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tallystick.http.wire import encode
from tallystick.ledger.refused import RefusedRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tallystick.http.auth import Principal
    from tallystick.http.errors import Rejected
    from tallystick.http.operations import Call, Operation
    from tallystick.http.service import Service

MOST_EVENTS: Final = 100
"""Rejected events that a note names."""
_LONGEST_REASON: Final = 500
_DIMENSIONS: Final = "/dimensions"
_GROUPS: Final = "?group_by"


def note_refused(
    service: Service,
    operation: Operation,
    principal: Principal,
    request_id: str,
    status: int,
    envelope: Mapping[str, Any],
    rejected: Rejected,
) -> None:
    """Notes a request, where it is a tenant's; `envelope` is the error's, or the first event's."""
    if principal.is_operator:
        return
    service.refused.note(
        RefusedRequest(
            organization_id=principal.organization_id,
            id=request_id,
            at=service.clock(),
            operation=operation.name,
            method=operation.method,
            path=operation.path,
            status=status,
            code=envelope["error"],
            details=encode({**envelope["details"], "reason": _reason(envelope)}),
            teamspace_id=principal.teamspace_id,
            api_key_id=principal.api_key_id,
            event_ids=tuple(rejected.ids[:MOST_EVENTS]),
            rejected=rejected.events,
        )
    )


def note_rejected(call: Call, first: Mapping[str, Any] | None, rejected: Rejected) -> None:
    """Notes a request that succeeds although some of its events were rejected, if so; `first` is
    the first one's envelope."""
    if first is not None:
        service, operation, who = call.service, call.operation, call.principal
        note_refused(service, operation, who, call.request_id, 200, first, rejected)


def _reason(envelope: Mapping[str, Any]) -> str:
    """The reason as it was answered, but for names that are the sender's own."""
    for error in envelope.get("errors", ()):
        before, dimensions, name = error["pointer"].partition(f"{_DIMENSIONS}/")
        if error["code"] == "duplicate_key":
            return "a key occurs twice in one object"
        if error["pointer"] == _GROUPS:
            return "query parameter 'group_by' names what usage cannot be grouped by"
        if dimensions and name:
            return f"{before}{_DIMENSIONS}: {error['message']}"
    reason: str = envelope["details"]["reason"]
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"
