"""Refused requests are read back as written: the latest of each organization, for a while."""

from __future__ import annotations

from tallystick.ledger.ports import Changes
from tallystick.ledger.refused import Kept, NoteRefused, RefusedRequest
from tests.conformance.backend import START, Backend
from tests.conformance.samples import ACME, HOME, OTHER, UNICODE

MANY = Kept(latest=1_000, since=0)


def refused(number: int = 0, organization_id: str = ACME) -> RefusedRequest:
    return RefusedRequest(
        organization_id=organization_id,
        id=f"req_{number:03}",
        at=START + number,
        operation="book_usage",
        method="POST",
        path="/v1/{x}",
        status=402,
        code="credit_exceeded",
        details=f'{{"reason":"{number} ≥ é\\u0000"}}'.encode(),
        teamspace_id=HOME,
        api_key_id="key_1",
        event_ids=("evt-1", '"\\'),
        rejected=number,
    )


def found(backend: Backend, *requests: RefusedRequest) -> list[RefusedRequest]:
    """Those that are there, as they are read."""
    read = [
        backend.run(backend.reader.refused_request(one.organization_id, one.id)) for one in requests
    ]
    return [one for one in read if one is not None]


def note(backend: Backend, *requests: RefusedRequest, kept: Kept = MANY) -> None:
    backend.decide(NoteRefused(requests, kept))


def test_refused_requests(backend: Backend) -> None:
    full = refused(1)
    bare = refused(2)._replace(api_key_id=None, event_ids=(), rejected=0, code=UNICODE)
    note(backend, full, bare)
    assert found(backend, full, bare) == [full, bare]
    assert found(backend, refused(1, OTHER), refused(3)) == []


def test_what_is_written_again_stays_as_it_was(backend: Backend) -> None:
    note(backend, refused(1))
    note(backend, refused(1)._replace(status=500), refused(2), refused(1, OTHER))
    assert found(backend, refused(1), refused(2)) == [refused(1), refused(2)]
    assert found(backend, refused(1, OTHER)) == [refused(1, OTHER)]


def test_the_latest_of_each_organization_stay(backend: Backend) -> None:
    mine, others = [refused(n) for n in range(5)], [refused(n, OTHER) for n in range(3)]
    kept = Kept(latest=3, since=0)
    note(backend, *mine[:4], *others, kept=kept)
    assert found(backend, *mine, *others) == [*mine[1:4], *others]
    note(backend, mine[4], kept=kept)
    assert found(backend, *mine, *others) == [*mine[2:], *others]


def test_what_is_too_old_goes_whosever_it_is(backend: Backend) -> None:
    mine, others = [refused(n) for n in range(4)], [refused(n, OTHER) for n in range(4)]
    note(backend, *mine, *others)
    note(backend, kept=MANY._replace(since=START + 2))
    assert found(backend, *mine, *others) == [*mine[2:], *others[2:]]
    # An organization's next one is not taken for one of those that went.
    note(backend, refused(4), kept=Kept(latest=3, since=START + 2))
    assert found(backend, *mine, refused(4)) == [*mine[2:], refused(4)]


def test_requests_share_a_batch_with_what_else_is_written(backend: Backend) -> None:
    backend.decide(NoteRefused([refused(1)], MANY), NoteRefused([refused(1, OTHER)], MANY))
    assert found(backend, refused(1), refused(1, OTHER)) == [refused(1), refused(1, OTHER)]
    assert Changes(refused=[refused(1)], refused_kept=MANY).is_empty() is False
