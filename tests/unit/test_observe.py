"""What is logged, and what never is."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tallystick.domain.keys import make_secret
from tallystick.observe import configure, logger

API_KEY = make_secret(bytes(range(40)))
ADMIN_KEY = "an-admin-key-of-30-characters."


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging as it was before, for the tests that follow."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure(level="debug", form="json", secrets=[ADMIN_KEY], stream=stream)
    return stream


def said(stream: io.StringIO) -> dict[str, Any]:
    [line] = stream.getvalue().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_is_an_event_with_fields(stream: io.StringIO) -> None:
    logger().info("serving", port=8080, ok=True, ratio=None)
    line = said(stream)
    assert line.pop("timestamp").endswith("Z")
    expected = {"event": "serving", "level": "info", "port": 8080, "ok": True, "ratio": None}
    assert line == expected


def test_what_is_below_the_level_is_not_logged() -> None:
    stream = io.StringIO()
    configure(level="warning", form="json", stream=stream)
    logger().info("quiet")
    logging.getLogger("uvicorn.error").info("quiet too")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("name", ["authorization", "Authorization", "secret", "pepper", "password"])
def test_fields_that_are_secrets_by_name_are_removed(stream: io.StringIO, name: str) -> None:
    logger().warning("event", **{name: "hunter2"})
    assert said(stream)[name] == "[removed]"


@pytest.mark.parametrize("secret", [API_KEY, API_KEY[:-1], ADMIN_KEY])
def test_secrets_are_removed_by_their_looks(stream: io.StringIO, secret: str) -> None:
    logger().warning(f"got {secret}", header=[f"Bearer {secret}"], text=f"({secret})")
    assert secret not in stream.getvalue()
    assert "[removed]" in said(stream)["event"]


def test_a_key_can_still_be_told_from_others(stream: io.StringIO) -> None:
    """Its public part is what a person looks for."""
    logger().warning("event", key=API_KEY)
    assert said(stream)["key"] == f"{API_KEY[:16]}…[removed]"


def fail() -> None:
    local = "a local variable".upper()
    raise ValueError(f"{API_KEY} and {ADMIN_KEY} are no use" + local[:0])


def test_tracebacks_hold_no_secrets_and_no_local_variables(stream: io.StringIO) -> None:
    try:
        fail()
    except ValueError:
        logger().exception("failed")
    text = said(stream)["exception"]
    assert "ValueError" in text
    assert "are no use" in text
    assert API_KEY not in text
    assert ADMIN_KEY not in text
    assert "A LOCAL VARIABLE" not in text


def test_what_libraries_log_goes_the_same_way(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").error("failed for %s", API_KEY)
    line = said(stream)
    assert line["level"] == "error"
    assert line["event"].startswith("failed for tsk_")
    assert API_KEY not in line["event"]


def test_people_get_text(stream: io.StringIO) -> None:
    stream = io.StringIO()
    configure(form="text", stream=stream)
    logger().info("serving", port=8080)
    assert "serving port=8080" in " ".join(stream.getvalue().split())
    assert not stream.getvalue().startswith("{")


def test_what_is_no_terminal_gets_json() -> None:
    stream = io.StringIO()
    configure(form="auto", stream=stream)
    logger().info("serving")
    assert said(stream)["event"] == "serving"
