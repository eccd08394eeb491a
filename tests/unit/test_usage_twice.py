"""Keys that occur twice are found by counting, exactly where the thorough scan finds them."""

from __future__ import annotations

import random
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.http.errors import ApiError
from tallystick.http.handlers import usage_events
from tallystick.http.handlers.usage_events import read_request
from tallystick.http.wire import refuse_duplicate_keys

KEYS = ("id", "credits", "meter", "timestamp", "dimensions", "on_insufficient")
TEXTS = st.text(alphabet='ab"\\/{}:,é😀', min_size=1, max_size=5)
SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/"}


class Speller:
    """Spells JSON in one of the many ways in which it can be spelled."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def text(self, text: str) -> str:
        return '"' + "".join(map(self._character, text)) + '"'

    def _character(self, character: str) -> str:
        units = character.encode("utf-16-be").hex()
        escaped = "".join("\\u" + units[at : at + 4] for at in range(0, len(units), 4))
        short = SHORT.get(character, character)
        plain = short if character in '"\\' else character
        return self._chance.choice([escaped, short, plain])

    def object(self, pairs: list[tuple[str, str]]) -> str:
        space = self._chance.choice(["", " ", "\n\t"])
        members = [f"{space}{self.text(name)}{space}:{value}" for name, value in pairs]
        return f"{{{','.join(members)}}}"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Valid requests, but for keys that occur twice in some object of some of them."""
    spell = Speller(draw(st.randoms(use_true_random=False)))
    if draw(st.booleans()):
        return draw(_events(spell)).encode()
    events = draw(st.lists(_events(spell), min_size=1, max_size=3))
    pairs = [("events", f"[{','.join(events)}]")]
    pairs += [("atomic", "true")] * draw(st.integers(0, 2))
    return spell.object(draw(st.permutations(pairs))).encode()


@st.composite
def _events(draw: st.DrawFn, spell: Speller) -> str:
    optional = draw(st.lists(st.sampled_from(KEYS[2:]), max_size=3))
    again = draw(st.lists(st.sampled_from(KEYS), max_size=1))
    names = draw(st.permutations(["id", "credits", *optional, *again]))
    return spell.object([(name, draw(_values(spell, name))) for name in names])


@st.composite
def _values(draw: st.DrawFn, spell: Speller, name: str) -> str:
    match name:
        case "id":
            return spell.text(draw(st.text(alphabet='ab|"\\', min_size=1, max_size=4)))
        case "credits":
            return draw(st.sampled_from(["0", "1.5", "1e-6"]))
        case "dimensions":
            pairs = draw(st.lists(st.tuples(TEXTS, TEXTS), max_size=3))
            return spell.object([(dimension, spell.text(value)) for dimension, value in pairs])
        case _ if draw(st.booleans()):
            return "null"
        case "meter":
            return spell.text(draw(TEXTS))
        case "timestamp":
            return '"2026-03-10T12:00:00Z"'
        case _:
            return spell.text("overdraw")


def repeats_a_key(body: bytes) -> bool:
    try:
        refuse_duplicate_keys(body)
    except ApiError as error:
        return error.errors[0].code == "duplicate_key"
    return False


@given(requests())
def test_a_key_that_occurs_twice_is_found_wherever_it_is_however_it_is_spelled(
    body: bytes,
) -> None:
    found = ""
    try:
        read_request(body)
    except ApiError as error:
        found = error.errors[0].code
    assert found == ("duplicate_key" if repeats_a_key(body) else "")


@given(requests())
def test_a_body_is_scanned_only_where_a_key_occurs_twice(body: bytes) -> None:
    with mock.patch.object(usage_events, "refuse_duplicate_keys") as scan:
        read_request(body)
    assert scan.called == repeats_a_key(body)


def test_the_key_that_occurs_twice_is_named_however_many_there_are() -> None:
    attributes = "".join(f'"a{number}":1,' for number in range(50_000))
    with pytest.raises(ApiError, match="'a49999' occurs twice"):
        refuse_duplicate_keys(f'{{{attributes}"a49999":2}}'.encode())
