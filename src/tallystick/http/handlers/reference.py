"""The reference: the OpenAPI document and the page made of it.

Both are made once, from the table that they are part of. What is sent lies ready when a server
starts, compressed and not, so that nobody without a key can make the service work.
"""

from __future__ import annotations

import gzip
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tallystick.http.docs_page import content_security_policy, render_page
from tallystick.http.etags import not_modified, weak_etag
from tallystick.http.openapi import build_document
from tallystick.http.operations import Answer, Audience, Call, Operation
from tallystick.http.weights import weights
from tallystick.http.wire import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

_JSON = b"application/json"
_HTML = b"text/html; charset=utf-8"


class Prepared:
    """An answer that lies ready."""

    def __init__(self, body: bytes, content_type: bytes, *headers: tuple[bytes, bytes]) -> None:
        self._etag = weak_etag(body)
        own = ((b"etag", self._etag), (b"vary", b"Accept-Encoding"), *headers)
        self._plain = Answer(200, body, content_type, own)
        self._gzipped = Answer(
            200, gzip.compress(body, mtime=0), content_type, (*own, (b"content-encoding", b"gzip"))
        )

    def answer(self, call: Call) -> Answer:
        body = self._gzipped if _takes_gzip(call.header(b"accept-encoding")) else self._plain
        return not_modified(call, self._etag) or body


def _takes_gzip(accept_encoding: bytes | None) -> bool:
    return weights(accept_encoding or b"").get(b"gzip", 0) > 0


class Reference:
    """Describes `operations`, and the two that serve the description.

    Describing takes a while, and commands that read the table have no use for it: it is done when
    a server starts (`prepare`), or when somebody asks.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = self._own_operations()
        self._described = (*operations, *self.operations)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return build_document(self._described, version("tallystick"))

    @cached_property
    def _document(self) -> Prepared:
        return Prepared(encode(self.document), _JSON)

    @cached_property
    def _page(self) -> Prepared:
        return Prepared(
            render_page(self.document),
            _HTML,
            (b"content-security-policy", content_security_policy()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        )

    def prepare(self) -> None:
        """Makes what is served, so that no request has to wait for it."""
        _ = self._document, self._page

    def get_openapi(self, call: Call) -> Answer:
        return self._document.answer(call)

    def get_docs(self, call: Call) -> Answer:
        return self._page.answer(call)

    def _own_operations(self) -> tuple[Operation, ...]:
        unchanged = {304: "Nothing changed since the ETag in If-None-Match"}
        return (
            Operation(
                name="get_openapi",
                method="GET",
                path="/openapi.json",
                handle=self.get_openapi,
                audience=Audience.OPEN,
                tag="Reference",
                also=unchanged,
                summary="Get the OpenAPI document",
            ),
            Operation(
                name="get_docs",
                method="GET",
                path="/docs",
                handle=self.get_docs,
                audience=Audience.OPEN,
                tag="Reference",
                produces=_HTML,
                also=unchanged,
                summary="Get the reference as a page",
            ),
        )
