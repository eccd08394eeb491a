"""A client that has the present state is not sent it again."""

from __future__ import annotations

from typing import cast

import pytest

from tallystick.http.etags import not_modified, weak_etag
from tallystick.http.operations import Call

ETAG = weak_etag("org_1", "7")


def asked(if_none_match: bytes | None) -> bool:
    """Whether a client that sends this header is told that nothing changed."""

    class Asking:
        def header(self, name: bytes) -> bytes | None:
            assert name == b"if-none-match"
            return if_none_match

    found = not_modified(cast("Call", Asking()), ETAG)
    assert found is None or (found.status, found.headers) == (304, ((b"etag", ETAG),))
    return found is not None


def test_facts_are_told_apart() -> None:
    assert weak_etag("org_1", "7") == ETAG
    assert weak_etag("org_17", "") != ETAG
    assert weak_etag("org_", "17") != ETAG
    assert ETAG.startswith(b'W/"')


@pytest.mark.parametrize(
    "named", [ETAG, ETAG[2:], b"*", b'"other", ' + ETAG, b'"other",' + ETAG[2:] + b' , "more"']
)
def test_the_present_state_is_recognised(named: bytes) -> None:
    assert asked(named)


@pytest.mark.parametrize("named", [None, b"", b'"other"', ETAG[3:-1]])
def test_another_state_is_not(named: bytes | None) -> None:
    assert not asked(named)
