"""Bytes in, checked structures out, and back: JSON as the contract wants it.

msgspec decodes and validates; what it leaves open is closed here. It keeps the last of duplicate
keys (we refuse them), lets raw values pass unread (credits are parsed from their exact spelling),
and names places by its own paths (we answer with JSON pointers).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from tallystick.domain.commands import is_too_early
from tallystick.domain.credits import MAX_AMOUNT, InvalidCredits, format_credits, parse_credits
from tallystick.domain.periods import InvalidInstant, format_instant, parse_instant
from tallystick.domain.quantities import format_quantity
from tallystick.http.errors import ApiError, FieldError, invalid

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_PATH: Final = re.compile(r" - at (?:`key` in )?`\$(.*)`$", re.DOTALL)
_LONGEST_ECHO: Final = 200
"""Characters of what was sent that an error repeats: an answer is not to grow with the nonsense."""
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")

encode: Final = msgspec.json.Encoder(decimal_format="number").encode


def media_type(content_type: bytes | None) -> bytes:
    """The media type without parameters, in lower case."""
    return b"" if content_type is None else content_type.partition(b";")[0].strip().lower()


def quantity_json(nano: int) -> msgspec.Raw:
    """A quantity as an exact JSON number."""
    return msgspec.Raw(format_quantity(nano).encode())


def credits_json(micro: int) -> msgspec.Raw:
    """An amount as an exact JSON number."""
    return msgspec.Raw(format_credits(micro).encode())


def time_json(instant: int | None) -> str | None:
    return None if instant is None else format_instant(instant)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """The request in `body`; raises 422 with a JSON pointer for whatever is wrong with it."""
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _validation_error(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid("", f"not valid JSON: {error}", "malformed_json") from None
    except RecursionError:
        raise invalid("", "nested too deeply", "malformed_json") from None
    return value


def decode_strictly(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """`decode`, and 422 also where an object names a key twice."""
    value = decode(decoder, body)
    refuse_duplicate_keys(body)
    return value


def refuse_duplicate_keys(body: bytes) -> object:
    """Raises 422 where an object in `body` (valid JSON) names a key twice.

    Returns what was read meanwhile; its numbers are text, spelled as they were sent.
    """
    try:
        return json.loads(body, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    except RecursionError:
        raise invalid("", "nested too deeply", "malformed_json") from None
    except UnicodeDecodeError as error:
        raise invalid("", f"not valid JSON: {error}", "malformed_json") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    times = Counter(name for name, _ in pairs)
    twice = next(name for name, count in times.items() if count > 1)
    raise invalid("", f"the key {shorten(twice)!r} occurs twice in one object", "duplicate_key")


def _validation_error(text: str) -> ApiError:
    """422 from msgspec's message: `Expected `str`, got `int` - at `$.events[3].id``."""
    pointer = ""
    if found := _PATH.search(text):
        text = text[: found.start()]
        pointer = "".join(_pointer_step(*step) for step in _STEP.findall(found.group(1)))
    if missing := re.search(r"(?:missing required|unknown) field `([^`]*)`", text):
        pointer += "/" + escape_step(shorten(missing.group(1)))
    text = shorten(text)
    return ApiError(
        "validation_failed",
        f"{pointer or 'the body'}: {text}",
        errors=[FieldError(pointer, "invalid", text)],
    )


def _pointer_step(name: str, index: str) -> str:
    return "/" + (escape_step(name) if name else index or "*")


def shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]}…"


def escape_step(step: str) -> str:
    """A key as a step of a JSON pointer."""
    return step.replace("~", "~0").replace("/", "~1")


def parse_field(pointer: str, parse: Callable[[Any], T], value: object) -> T:
    """`parse(value)`, with what it dislikes as a 422 that points at the field."""
    try:
        return parse(value)
    except ValueError as error:
        raise invalid(pointer, str(error)) from None


def credits_field(
    pointer: str, raw: msgspec.Raw, *, positive: bool = False, most: int = MAX_AMOUNT
) -> int:
    """Micro-credits, up to `most`, from a field's exact spelling."""
    try:
        micro = parse_credits(bytes(raw), most)
    except InvalidCredits as error:
        raise invalid(pointer, str(error)) from None
    if positive and not micro:
        raise invalid(pointer, "must be more than 0")
    return micro


def instant_field(pointer: str, text: str) -> int:
    """An instant from a field's RFC 3339 text."""
    try:
        return parse_instant(text)
    except InvalidInstant as error:
        raise invalid(pointer, str(error)) from None


def recent_instant(pointer: str, text: str) -> int:
    """The same, of an instant that something may take effect at: not before the year 2000."""
    instant = instant_field(pointer, text)
    if is_too_early(instant):
        raise invalid(pointer, "must not lie before 2000-01-01T00:00:00Z")
    return instant


def text_field(pointer: str, text: str) -> str:
    """Free text as it was sent, which storage and every client can hold: no NUL."""
    if "\x00" in text:
        raise invalid(pointer, "must not contain NUL")
    return text
