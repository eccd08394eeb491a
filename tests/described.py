"""Holds exchanges against the OpenAPI document: what was answered, and what was accepted.

Every status, media type, body and header of an answer has to be documented for the operation, and
what is documented as always there has to be there. A body that an operation accepted has to be one
that the document allows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker

from tallystick.domain.periods import InvalidInstant, parse_instant
from tallystick.http.handlers.table import REFERENCE

Json = Any

FRAMING = {"content-type", "content-length", "content-encoding"}
PAGE_ONLY = {"content-security-policy", "x-content-type-options", "referrer-policy"}

FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=InvalidInstant)
def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or parse_instant(value) is not None


class Description:
    """The document, as a judge of exchanges."""

    def __init__(self, document: Mapping[str, Json]) -> None:
        self.document = document
        self._routes = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), methods)
            for path, methods in document["paths"].items()
        ]
        self.validator: Callable[[str], Draft202012Validator] = cache(self._validator)

    async def check(self, response: httpx.Response) -> None:
        """Raises AssertionError where the exchange is not as the document says."""
        await response.aread()
        request = response.request
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")
        method = "get" if request.method == "HEAD" else request.method.lower()
        operation = self._operation(path, method)
        asked = f"{request.method} {path} → {response.status_code}"
        described = self._response(operation, response.status_code)
        assert described is not None, f"{asked}: no such status is documented"
        self._check_headers(asked, described, response)
        if request.method != "HEAD" and "content" in described:
            self._check_body(asked, described["content"], response)
        if operation is not None and response.is_success:
            self._check_accepted(asked, operation, request)

    def _operation(self, path: str, method: str) -> Json | None:
        for pattern, methods in self._routes:
            if pattern.fullmatch(path):
                return methods.get(method)
        return None

    def _response(self, operation: Json | None, status: int) -> Json | None:
        if operation is None:
            name = {404: "ResourceNotFound", 405: "MethodNotAllowed"}.get(status)
            return self.document["components"]["responses"].get(name)
        return self.resolve(operation["responses"].get(str(status)))

    def resolve(self, value: Json) -> Json:
        """What a reference stands for; other values stand for themselves."""
        while isinstance(value, dict) and "$ref" in value:
            found: Json = self.document
            for step in value["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            value = found
        return value

    def _check_headers(self, asked: str, described: Json, response: httpx.Response) -> None:
        known = {name.lower(): self.resolve(one) for name, one in described["headers"].items()}
        for name, header in known.items():
            if header.get("required"):
                assert name in response.headers, f"{asked}: {name} is missing"
        for name in set(response.headers) - FRAMING - PAGE_ONLY:
            assert name in known, f"{asked}: {name} is not documented"
            text, schema = response.headers[name], known[name]["schema"]
            value = int(text) if schema["type"] == "integer" else text
            self._validate(f"{asked}: {name}", schema, value)

    def _check_body(self, asked: str, content: Json, response: httpx.Response) -> None:
        media_type = response.headers["content-type"]
        assert media_type in content, f"{asked}: {media_type} is not documented"
        if media_type == "application/x-ndjson":
            schema = content[media_type]["schema"]["contentSchema"]
            for line in response.text.splitlines():
                self._validate(asked, schema, json.loads(line))
        elif media_type.startswith("application/"):
            self._validate(asked, content[media_type]["schema"], response.json())

    def _check_accepted(self, asked: str, operation: Json, request: httpx.Request) -> None:
        """What was accepted is allowed. Streams are read by the line and judged elsewhere."""
        content = operation.get("requestBody", {}).get("content", {})
        media_type = request.headers.get("content-type", "").partition(";")[0].lower()
        if media_type.endswith("json") and media_type != "application/x-ndjson" and request.content:
            schema = content[media_type]["schema"]
            self._validate(f"{asked}: accepted", schema, json.loads(request.content))

    def _validate(self, what: str, schema: Json, value: Json) -> None:
        found = [
            f"{error.json_path}: {error.message[:300]}"
            for error in self.validator(json.dumps(schema)).iter_errors(value)
        ]
        assert not found, f"{what}: {found}"

    def _validator(self, schema: str) -> Draft202012Validator:
        whole = {"components": self.document["components"], **json.loads(schema)}
        return Draft202012Validator(whole, format_checker=FORMATS)


DESCRIPTION = Description(REFERENCE.document)
