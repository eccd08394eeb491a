"""Weights in `Accept`, and which form of an error they ask for."""

from __future__ import annotations

import pytest

from tallystick.http.errors import JSON, PROBLEM_JSON, ApiError, error_body
from tallystick.http.weights import weights


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"gzip", {b"gzip": 1000}),
        (b"gzip;q=0", {b"gzip": 0}),
        (b"gzip; Q=0.5, br ;q=1.000,*;q=0.001", {b"gzip": 500, b"br": 1000, b"*": 1}),
        (b"a/b;charset=utf-8;q=0.25;more=1", {b"a/b": 250}),
        (b"a;q=0.1, a", {b"a": 1000}),
        (
            b"a;q=1.1, b;q=, c;q=high, d;q=0.1234, e;q=-1",
            dict.fromkeys((b"a", b"b", b"c", b"d", b"e"), 0),
        ),
        (b"", {b"": 1000}),
    ],
)
def test_weights_are_read(header: bytes, found: dict[bytes, int]) -> None:
    assert weights(header) == found


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, JSON),
        (b"*/*", JSON),
        (b"application/json", JSON),
        (b"application/problem+json", PROBLEM_JSON),
        (b"Application/Problem+JSON; charset=utf-8", PROBLEM_JSON),
        (b"application/json, application/problem+json", PROBLEM_JSON),
        (b"application/problem+json;q=0.5, */*;q=0.1", PROBLEM_JSON),
        (b"application/problem+json;q=0", JSON),
        (b"application/problem+json;q=0.000, */*;q=0", JSON),
        (b"application/json, application/problem+json;q=0.9", JSON),
        (b"application/*, application/problem+json;q=0.9", JSON),
        (b"*/*, application/problem+json;q=0.9", JSON),
        (b"application/json;q=0, */*, application/problem+json;q=0.9", PROBLEM_JSON),
        (b"text/html, application/problem+json;q=0.9", PROBLEM_JSON),
        (b"application/problem+json-seq", JSON),
    ],
)
def test_problem_details_are_for_who_names_them_and_likes_nothing_better(
    accept: bytes | None, kind: bytes
) -> None:
    assert error_body(ApiError("conflict", "so it is"), "req_1", accept)[0] == kind
