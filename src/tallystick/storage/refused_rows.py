"""Rows of refused requests and what they stand for (see `rows`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from tallystick.ledger.refused import RefusedRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.storage.rows import Row

_encode: Final = msgspec.json.encode
_decode_ids: Final = msgspec.json.Decoder(tuple[str, ...]).decode


def refused_row(request: RefusedRequest) -> Row:
    *before, details, teamspace_id, api_key_id, event_ids, rejected = request
    ids = _encode(event_ids).decode()
    return (*before, details.decode(), teamspace_id, api_key_id, ids, rejected)


def refused_from(row: Sequence[Any]) -> RefusedRequest:
    *before, details, teamspace_id, api_key_id, ids, rejected = row
    after = (details.encode(), teamspace_id, api_key_id, _decode_ids(ids), rejected)
    return RefusedRequest._make((*before, *after))
