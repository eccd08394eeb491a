"""The OpenAPI 3.1 document, generated from the operations table.

Nothing about an operation is written here: what it takes and answers is what its line in the table
says, and the types named there are those that decode and encode. What stands here is what all
operations have in common (keys, headers, errors), once, so that no operation can forget it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from tallystick.http.errors import CODES
from tallystick.http.exports import CONTENT_TYPES, NDJSON
from tallystick.http.openapi_errors import codes_of, error_content, error_schemas
from tallystick.http.openapi_examples import example_of, sample_curl
from tallystick.http.openapi_guide import GUIDE, TAGS
from tallystick.http.openapi_schemas import describe_types, name_of, sentence
from tallystick.http.operations import Audience

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tallystick.http.openapi_schemas import Schema
    from tallystick.http.operations import Operation, Parameter

TENANT_KEY: Final = "BearerAuth"
OPERATOR_KEY: Final = "OperatorAuth"

_BODILESS: Final = {204, 304}
_JSON_OBJECT: Final[Schema] = {"type": "object"}
_INTEGER: Final = {"type": "integer"}
_TEXT: Final = {"type": "string"}


def _id(prefix: str, description: str) -> Schema:
    example = f"{prefix}_01kaw5r7k2e3vthq0d8m4x9f6c"
    return {"description": description, "schema": {**_TEXT, "examples": [example]}}


PATH_PARAMETERS: Final[Mapping[str, Schema]] = {
    "organization_id": _id("org", "The organization's id."),
    "teamspace_id": _id("ts", "The teamspace's id."),
    "grant_id": _id("grant", "The grant's id."),
    "hold_id": _id("hold", "The hold's id."),
    "subject_id": _id("ts", "The id of the teamspace or of the API key."),
    "key_id": _id("key", "The API key's id."),
    "period_index": {
        "description": "The billing period's index; 0 is that of the organization's creation.",
        "schema": {**_TEXT, "examples": ["0"]},
    },
    "price_id": _id("price", "The price's id."),
    "request_id": {
        "description": "The request's id: the answer's header X-Request-Id.",
        "schema": {**_TEXT, "examples": ["req_7f3a9c2e51b804d600000001"]},
    },
    "event_id": {
        "description": "The usage event's id, percent-encoded.",
        "schema": {**_TEXT, "examples": ["evt-42"]},
    },
}

_HEADERS: Final[Mapping[str, Schema]] = {
    "X-Request-Id": {
        "description": "Names this request in errors and logs.",
        "required": True,
        "schema": _TEXT,
    },
    "X-RateLimit-Limit": {
        "description": "Requests that are admitted in any 60 seconds.",
        "required": True,
        "schema": _INTEGER,
    },
    "X-RateLimit-Remaining": {
        "description": "Requests that are left in the window now.",
        "required": True,
        "schema": _INTEGER,
    },
    "X-RateLimit-Reset": {
        "description": "The epoch second at which the oldest counted request leaves the window.",
        "required": True,
        "schema": _INTEGER,
    },
    "Retry-After": {
        "description": "Seconds until a request is admitted; there whenever Remaining is 0.",
        "schema": {**_INTEGER, "minimum": 1, "maximum": 60},
    },
    "Cache-Control": {"description": "Answers are private.", "required": True, "schema": _TEXT},
    "Vary": {
        "description": "The request headers that the answer depends on.",
        "required": True,
        "schema": _TEXT,
    },
    "ETag": {
        "description": "Names this state of the resource; send it as If-None-Match.",
        "required": True,
        "schema": _TEXT,
    },
    "Content-Disposition": {
        "description": "The name of the file, where the answer is one.",
        "schema": _TEXT,
    },
    "Idempotent-Replayed": {
        "description": "`true` where this is the answer to an earlier request with the same key.",
        "schema": {**_TEXT, "const": "true"},
    },
    "Retry-After-Ms": {
        "description": "Milliseconds until a request is admitted.",
        "required": True,
        "schema": {**_INTEGER, "minimum": 1, "maximum": 60_000},
    },
    "X-Should-Retry": {
        "description": "`false` where the same request cannot succeed later.",
        "schema": {**_TEXT, "enum": ["true", "false"]},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "required": True,
        "schema": {**_TEXT, "const": "Bearer"},
    },
    "Allow": {"description": "The methods of this path.", "required": True, "schema": _TEXT},
}
_EVERYWHERE: Final = tuple(_HEADERS)[:7]
_OF_STATUS: Final[Mapping[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    429: ("Retry-After-Ms",),
}

_TEAMSPACE: Final[Schema] = {
    "name": "Datagrid-Teamspace",
    "in": "header",
    "description": (
        "The teamspace to act in, for keys of level `account`; other keys act in their own."
    ),
    "schema": _TEXT,
}
_IDEMPOTENCY_KEY: Final[Schema] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes the request safe to send again for 24 hours: it is carried out once.",
    "schema": {**_TEXT, "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]+$"},
}
_IF_NONE_MATCH: Final[Schema] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "An ETag: the answer is 304 while nothing has changed.",
    "schema": _TEXT,
}


def build_document(operations: Sequence[Operation], version: str) -> Schema:
    """The document, as JSON values."""
    types = Types(operations)
    paths: Schema = {}
    for operation in operations:
        methods = paths.setdefault(operation.path, {})
        methods[operation.method.lower()] = _operation(operation, types)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallystick",
            "version": version,
            "summary": "How many credits are left, exactly, and where they went.",
            "description": GUIDE,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{TENANT_KEY: []}],
        "tags": _tags(operations),
        "paths": paths,
        "components": {
            "schemas": dict(sorted(types.components.items())),
            "responses": {
                response_name(codes): _error_response(codes)
                for codes in dict.fromkeys(
                    [*((code,) for code in CODES), *_error_groups(operations)]
                )
            },
            "headers": dict(_HEADERS),
            "securitySchemes": {
                TENANT_KEY: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of an organization, with the scopes an operation needs.",
                },
                OPERATOR_KEY: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An operator's key, which belongs to no organization.",
                },
            },
        },
    }


class Types:
    """Schemas of all types that the operations name, found by the type."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        types = [kind for operation in operations for kind in _types_of(operation)]
        schemas, components = describe_types(types)
        self._types = types
        self._schemas = schemas
        self.components = {**components, **error_schemas()}

    def schema(self, kind: object) -> Schema:
        return self._schemas[self._types.index(kind)]


def _types_of(operation: Operation) -> list[Any]:
    named = [operation.request, operation.response]
    found = [*named, *operation.bodies.values(), *operation.responses.values()]
    return [kind for kind in found if kind is not None]


def _tags(operations: Sequence[Operation]) -> list[Schema]:
    used = dict.fromkeys(operation.tag for operation in operations)
    return [{"name": name, "description": TAGS[name]} for name in used]


def _operation(operation: Operation, types: Types) -> Schema:
    described: Schema = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description:
        described["description"] = operation.description
    described["security"] = _security(operation)
    if parameters := _parameters(operation):
        described["parameters"] = parameters
    if operation.request is not None:
        described["requestBody"] = _body(operation, types)
    described["responses"] = {**_successes(operation, types), **_errors(operation)}
    described["x-codeSamples"] = [
        {"lang": "Shell", "label": "curl", "source": sample_curl(operation, described)}
    ]
    return described


def _security(operation: Operation) -> list[Schema]:
    if operation.audience is Audience.OPEN:
        return []
    if operation.audience is Audience.OPERATOR:
        return [{OPERATOR_KEY: []}]
    return [{TENANT_KEY: [] if operation.scope is None else [operation.scope.value]}]


def _parameters(operation: Operation) -> list[Schema]:
    steps = operation.path.split("/")
    names = [step[1:-1] for step in steps if step.startswith("{")]
    found = [
        {"name": name, "in": "path", "required": True, **PATH_PARAMETERS[name]} for name in names
    ]
    found += [_query_parameter(parameter) for parameter in operation.query]
    if operation.audience is Audience.TENANT:
        found.append(_TEAMSPACE)
    if operation.idempotent:
        found.append(_IDEMPOTENCY_KEY)
    if 304 in operation.also:
        found.append(_IF_NONE_MATCH)
    return found


def _query_parameter(parameter: Parameter) -> Schema:
    return {
        "name": parameter.name,
        "in": "query",
        "description": sentence(parameter.description),
        "schema": dict(parameter.schema),
    }


def _body(operation: Operation, types: Types) -> Schema:
    content: Schema = {}
    for media_type in operation.media_types:
        schema = types.schema(operation.bodies.get(media_type, operation.request))
        example = operation.example if not content else None
        shown = example_of(schema, types.components) if example is None else example
        content[media_type.decode()] = {"schema": schema, "example": shown}
    for media_type in operation.streams:
        line = types.schema(operation.bodies[media_type])
        content[media_type.decode()] = {
            "schema": {
                **_TEXT,
                "description": "One JSON object a line, each as contentSchema says.",
                "contentMediaType": media_type.decode(),
                "contentSchema": line,
            }
        }
    return {"required": not operation.request_optional, "content": content}


def _successes(operation: Operation, types: Types) -> Schema:
    meanings = {operation.status: HTTPStatus(operation.status).phrase, **operation.also}
    return {
        str(status): _success(operation, status, sentence(meanings[status]), types)
        for status in sorted(meanings)
    }


def _success(operation: Operation, status: int, meaning: str, types: Types) -> Schema:
    names = list(_EVERYWHERE)
    if 304 in operation.also:
        names.append("ETag")
    if operation.idempotent:
        names.append("Idempotent-Replayed")
    if operation.files:
        names.append("Content-Disposition")
    described: Schema = {"description": meaning, "headers": _headers(names)}
    if status not in _BODILESS:
        described["content"] = _content(operation, status, types)
    return described


def _content(operation: Operation, status: int, types: Types) -> Schema:
    content = _whole_content(operation, status, types)
    for media_type in operation.files:
        name = CONTENT_TYPES[media_type].decode()
        content[name] = {"schema": _file(media_type, operation, types)}
    content |= {page.decode(): {"schema": _TEXT} for page in operation.pages}
    return content


def _file(media_type: bytes, operation: Operation, types: Types) -> Schema:
    """A file has what the whole list would."""
    if media_type != NDJSON:
        return {**_TEXT, "description": "A line of names, then one for each object of the list."}
    listed = types.components[name_of(types.schema(operation.response)["$ref"])]
    return {
        **_TEXT,
        "description": "One JSON object a line, each as contentSchema says.",
        "contentMediaType": media_type.decode(),
        "contentSchema": listed["properties"]["data"]["items"],
    }


def _whole_content(operation: Operation, status: int, types: Types) -> Schema:
    kind = operation.responses.get(status, operation.response)
    media_type = operation.produces.decode()
    if kind is None:
        is_json = media_type.startswith("application/json")
        return {media_type: {"schema": _JSON_OBJECT if is_json else _TEXT}}
    schema = types.schema(kind)
    if "anyOf" not in schema:
        return {media_type: {"schema": schema, "example": example_of(schema, types.components)}}
    examples = {
        name_of(choice["$ref"]): {"value": example_of(choice, types.components)}
        for choice in schema["anyOf"]
    }
    return {media_type: {"schema": schema, "examples": examples}}


def _errors(operation: Operation) -> Schema:
    return {
        str(CODES[codes[0]].status): {"$ref": f"#/components/responses/{response_name(codes)}"}
        for codes in _by_status(codes_of(operation))
    }


def _by_status(codes: Sequence[str]) -> list[tuple[str, ...]]:
    grouped: dict[int, tuple[str, ...]] = {}
    for code in codes:
        status = CODES[code].status
        grouped[status] = (*grouped.get(status, ()), code)
    return list(grouped.values())


def _error_groups(operations: Sequence[Operation]) -> list[tuple[str, ...]]:
    return [codes for operation in operations for codes in _by_status(codes_of(operation))]


def response_name(codes: Sequence[str]) -> str:
    """`('service_unavailable', 'outcome_unknown')` → `ServiceUnavailableOrOutcomeUnknown`."""
    return "Or".join("".join(map(str.capitalize, code.split("_"))) for code in codes)


def _error_response(codes: Sequence[str]) -> Schema:
    names = [*_EVERYWHERE, *_OF_STATUS.get(CODES[codes[0]].status, ()), "X-Should-Retry"]
    return {
        "description": " ".join(f"{CODES[code].message} (`{code}`)." for code in codes),
        "headers": _headers(names),
        "content": error_content(codes),
    }


def _headers(names: Sequence[str]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
