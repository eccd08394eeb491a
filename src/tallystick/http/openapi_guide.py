"""What the reference says before it comes to the operations, in the little Markdown that
`docs_page` knows: headings, paragraphs, lists and code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

GUIDE: Final = """\
Tallystick answers how many credits an organization has left, meters what it spends, and refuses \
what is not covered. `GET /v1/organization/credits` is wire-compatible with Datagrid's, so its \
official clients work against it.

## Authentication

Send `Authorization: Bearer <key>` with every request, except to those that say they are open. A \
tenant's key acts for its organization within its scopes. Operators' keys are for paths under \
`/v1/admin`, and for nothing else. A key of level `account` may name the teamspace it acts in with \
the header `Datagrid-Teamspace`.

## Numbers, times and ids

- Credits are JSON numbers, exact to 6 decimals: `0.1 + 0.2` reads back `0.3`. More decimals are \
refused, never rounded.
- Times are RFC 3339 with an offset; answers are in UTC, with six fraction digits. Spans of time \
are half-open: they contain their start and not their end.
- Ids that you choose are 1 to 255 characters from `!` to `~`; in a path they are percent-encoded.
- Fields that a request does not know, and keys that occur twice, are refused. Answers may gain \
fields: ignore those you do not know.

## Sending again

A usage event's `id` and the `reference` of a grant, a hold or a reversal are used once, for ever: \
sending the same again \
gives the first answer and books nothing, sending something else under it is a `conflict`. Other \
requests that change something take an `Idempotency-Key`, which is remembered for 24 hours.

## Rate limits

Each operation has a window of its own in each teamspace: a number of requests in any 60 seconds, \
200 unless the operator says otherwise. Every answer says how many are left. When none are, \
`Retry-After` says how many seconds to wait; a client that waits so long is admitted.

## Lists

Lists are pages of `limit` objects, newest first. For the next page send the last object's id as \
`after`; for the page in front of this one, the first object's id as `before`. `has_more` looks in \
the direction travelled. `order=asc` turns the list round.

## Errors

Every error has the same shape. `error` is a code that never changes, `retryable` says whether the \
same request may succeed later, `details.reason` says what was wrong. Send \
`Accept: application/problem+json` to get RFC 9457 problem details instead. A path asked with a \
method that it does not have answers 405 `method_not_allowed` and names those it has in `Allow`; \
every `GET` answers `HEAD` as well. Why a request was refused can be asked for 7 days, by the id \
that its answer has in `X-Request-Id`.
"""

TAGS: Final[Mapping[str, str]] = {
    "Credits": "How many credits there are, booking usage, and the ledger behind the numbers.",
    "Holds": "Credits set aside for work whose cost is not known yet.",
    "Budgets": "What one teamspace or one key may consume. Operators set them.",
    "Identity": "Who is asking.",
    "Teamspaces": "Divisions of an organization. Each API key lives in one.",
    "Organizations": "Who owns credits, and on which terms. For operators.",
    "Grants": "Lots of credits that an organization is given. For operators.",
    "Prices": "What a quantity of what a meter measures costs, and from when. For operators.",
    "Keys": "API keys: made, imported, rotated, revoked. For operators.",
    "Health": "Whether the service is up and ready. Open to everybody.",
    "Reference": "This document, for people and for machines. Open to everybody.",
}
