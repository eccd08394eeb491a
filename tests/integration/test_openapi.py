"""The OpenAPI document is valid, complete, and compatible with Datagrid's.

That it is true to what is answered, every test with the harness holds (see `described`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tallystick.http.errors import CODES
from tallystick.http.handlers.table import OPERATIONS, REFERENCE
from tallystick.http.openapi_errors import codes_of
from tallystick.http.openapi_examples import UNKNOWN
from tallystick.http.operations import Audience, Operation
from tests.described import FORMATS, Description
from tests.harness import World, in_world

Json = Any

DOCUMENT = REFERENCE.document
DESCRIPTION = Description(DOCUMENT)


def described(operation: Operation) -> Json:
    return DOCUMENT["paths"][operation.path][operation.method.lower()]


def named(operation: Operation) -> str:
    return operation.name


each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=named)


def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_nothing_is_described_that_is_not_served() -> None:
    found = [
        (path, method.upper(), one["operationId"])
        for path, methods in DOCUMENT["paths"].items()
        for method, one in methods.items()
    ]
    assert sorted(found) == sorted((one.path, one.method, one.name) for one in OPERATIONS)


@each_operation
def test_an_operation_says_who_may_call_it(operation: Operation) -> None:
    expected: list[dict[str, list[str]]] = []
    if operation.audience is Audience.OPERATOR:
        expected = [{"OperatorAuth": []}]
    elif operation.audience is Audience.TENANT:
        expected = [{"BearerAuth": [operation.scope.value] if operation.scope else []}]
    assert described(operation)["security"] == expected


@each_operation
def test_an_operation_names_its_parameters(operation: Operation) -> None:
    found = {(one["in"], one["name"]) for one in described(operation).get("parameters", ())}
    in_path = {("path", step[1:-1]) for step in operation.path.split("/") if step[:1] == "{"}
    in_query = {("query", one.name) for one in operation.query}
    in_head = {("header", "Datagrid-Teamspace")} if operation.audience is Audience.TENANT else set()
    if operation.idempotent:
        in_head.add(("header", "Idempotency-Key"))
    if 304 in operation.also:
        in_head.add(("header", "If-None-Match"))
    assert found == in_path | in_query | in_head


@each_operation
def test_an_operation_names_its_bodies(operation: Operation) -> None:
    body = described(operation).get("requestBody")
    if operation.request is None:
        assert body is None
    else:
        expected = [*operation.media_types, *operation.streams]
        assert list(body["content"]) == [media_type.decode() for media_type in expected]
        assert body["required"] is not operation.request_optional


@each_operation
def test_an_operation_names_its_answers(operation: Operation) -> None:
    found = described(operation)["responses"]
    statuses = {
        operation.status,
        *operation.also,
        *(CODES[code].status for code in codes_of(operation)),
    }
    assert set(found) == {str(status) for status in statuses}


def test_every_error_code_is_documented_with_an_example() -> None:
    for name, code in CODES.items():
        [found] = [
            response["content"]
            for response in DOCUMENT["components"]["responses"].values()
            if list(response["content"]["application/json"]["examples"]) == [name]
        ]
        example = found["application/json"]["examples"][name]["value"]
        assert (example["error"], example["status_code"]) == (name, code.status)
        assert "application/problem+json" in found


def test_usage_takes_five_kinds_of_body() -> None:
    content = DOCUMENT["paths"]["/v1/organization/credits/usage"]["post"]["requestBody"]["content"]
    assert list(content) == [
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "application/x-ndjson",
    ]
    single_or_batch = content["application/json"]["schema"]["oneOf"]
    assert [one["required"] for one in single_or_batch] == [
        ["id", "credits"],
        ["id", "quantity", "meter"],
        ["events"],
    ]


# ── examples ──


def examples(value: Json, schema: Json = None) -> Iterator[tuple[Json, Json]]:
    """Every example of the document with the schema it stands beside."""
    if isinstance(value, dict):
        beside = value.get("schema", schema)
        if "example" in value:
            yield value["example"], beside
        for one in value.get("examples", ()) if isinstance(value.get("examples"), dict) else ():
            yield value["examples"][one]["value"], beside
        for part in value.values():
            yield from examples(part, beside)
    elif isinstance(value, list):
        for part in value:
            yield from examples(part, schema)


def test_examples_are_what_their_schemas_allow() -> None:
    found = list(examples(DOCUMENT))
    assert len(found) > 50
    for example, schema in found:
        validator = DESCRIPTION.validator(json.dumps(schema))
        assert validator.format_checker is FORMATS
        assert [error.message for error in validator.iter_errors(example)] == []


def test_no_example_is_made_up_of_nothing() -> None:
    for example, _ in examples(DOCUMENT):
        assert f'"{UNKNOWN}"' not in json.dumps(example), example


@each_operation
def test_an_operation_has_a_line_for_a_shell(operation: Operation) -> None:
    [sample] = described(operation)["x-codeSamples"]
    assert sample["source"].startswith("curl ")
    assert "{" not in sample["source"].split("\\")[0], "the path is filled in"
    assert ("Authorization: Bearer $" in sample["source"]) is (
        operation.audience is not Audience.OPEN
    )


def test_patterns_are_those_of_json_schema() -> None:
    assert r"\\Z" not in json.dumps(DOCUMENT)


# ── Datagrid's own description of the credits report ──

DATAGRID_REPORT = {"remaining": "number", "consumed": "number", "total": "number"}
DATAGRID_LIMIT_ERROR = {
    "status_code": "integer",
    "statusCode": "integer",
    "error": "string",
    "message": "string",
    "mitigation": "string",
    "retryable": "boolean",
    "details": "object",
}
REQUIRED_OF_LIMIT_ERROR = {"error", "message", "retryable", "status_code"}


def merged(schema: Json) -> Json:
    """An object's schema with what `allOf` adds to it."""
    schema = DESCRIPTION.resolve(schema)
    properties, required = dict(schema.get("properties", {})), set(schema.get("required", ()))
    for part in map(merged, schema.get("allOf", ())):
        for name, one in part["properties"].items():
            properties[name] = {**properties.get(name, {}), **one}
        required |= set(part["required"])
    return {"properties": properties, "required": required}


def answer_schema(status: str) -> Json:
    responses = DOCUMENT["paths"]["/v1/organization/credits"]["get"]["responses"]
    return merged(DESCRIPTION.resolve(responses[status])["content"]["application/json"]["schema"])


def test_the_credits_report_has_exactly_datagrids_fields() -> None:
    report = answer_schema("200")
    assert {name: one["type"] for name, one in report["properties"].items()} == DATAGRID_REPORT
    assert report["required"] == set(DATAGRID_REPORT)


def test_the_limits_error_has_datagrids_fields_and_more() -> None:
    error = answer_schema("429")
    for name, kind in DATAGRID_LIMIT_ERROR.items():
        assert error["properties"][name]["type"] == kind
    assert error["properties"]["error"]["enum"] == ["rate_limit_exceeded"]
    assert error["properties"]["statusCode"]["deprecated"] is True
    assert error["properties"]["details"]["properties"]["reason"]["type"] == "string"
    assert error["required"] >= REQUIRED_OF_LIMIT_ERROR


# ── how it is served ──


@in_world
async def test_it_is_served_to_everybody(w: World) -> None:
    answer = await w.client.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == json.loads(json.dumps(DOCUMENT))


@in_world
async def test_who_has_it_is_not_sent_it_again(w: World) -> None:
    first = await w.client.get("/openapi.json")
    again = await w.client.get("/openapi.json", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert {"content-length", "content-type"} & set(again.headers) == set()
    other = await w.client.get("/openapi.json", headers={"if-none-match": 'W/"other"'})
    assert other.status_code == 200


@in_world
async def test_it_is_compressed_for_who_reads_that(w: World) -> None:
    packed = await w.client.get("/openapi.json", headers={"accept-encoding": "gzip"})
    plain = await w.client.get("/openapi.json", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) * 5 < int(plain.headers["content-length"])
    assert "Accept-Encoding" in plain.headers["vary"]


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("x-gzip-2", False),
        ("", False),
    ],
)
@in_world
async def test_who_reads_gzip_says_so(w: World, accepted: str, is_packed: bool) -> None:
    answer = await w.client.get("/openapi.json", headers={"accept-encoding": accepted})
    assert ("content-encoding" in answer.headers) is is_packed
