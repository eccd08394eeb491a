"""Schemas say of answers and requests what callers have to know."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType

from tallystick.http.openapi_schemas import Schema, describe_types
from tallystick.http.shapes import Amount, CallerId, Request, Response, Time


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class InnerView(Response, kw_only=True):
    at: Time | None
    colour: Colour


class OuterView(Response, kw_only=True):
    object: Literal["outer"] = "outer"
    inner: Annotated[list[InnerView], Meta(description="In order")]
    note: str | None = None
    secret: str | UnsetType = UNSET


class Sparse(Response, kw_only=True, omit_defaults=True):
    always: int
    sometimes: int = 0


class Tagged(Response, kw_only=True, tag_field="object", tag="tagged"):
    size: int


class NewThing(Request, kw_only=True):
    amount: Amount
    id: CallerId | None = None
    count: int = 1
    colour: Colour | None = None


def component(kind: type[msgspec.Struct], name: str) -> Schema:
    return describe_types([kind])[1][name]


def test_an_answer_has_its_defaults_and_lacks_what_may_be_unset() -> None:
    schema = component(OuterView, "Outer")
    assert schema["required"] == ["object", "inner", "note"]
    assert "default" not in schema["properties"]["note"]


def test_an_answer_that_omits_defaults_may_lack_them() -> None:
    assert component(Sparse, "Sparse")["required"] == ["always"]


def test_a_tag_is_always_there() -> None:
    assert component(Tagged, "Tagged")["required"] == ["object", "size"]


def test_a_view_goes_by_the_name_of_what_it_shows() -> None:
    [schema], components = describe_types([OuterView])
    assert schema == {"$ref": "#/components/schemas/Outer"}
    assert set(components) == {"Outer", "Inner", "Colour"}
    assert components["Outer"]["properties"]["inner"] == {
        "description": "In order.",
        "type": "array",
        "items": {"$ref": "#/components/schemas/Inner"},
    }


def test_two_types_of_one_name_are_refused() -> None:
    twin = msgspec.defstruct("Outer", [("x", int)], kw_only=True)
    with pytest.raises(ValueError, match="two types are called Outer"):
        describe_types([OuterView, twin])
    other = msgspec.defstruct("OuterView", [("x", int)], kw_only=True, module="elsewhere")
    with pytest.raises(ValueError, match="two types are called OuterView"):
        describe_types([OuterView, other])


def test_null_is_one_of_the_types_unless_values_are_listed() -> None:
    assert component(InnerView, "Inner")["properties"]["at"] == {
        "type": ["string", "null"],
        "format": "date-time",
    }
    listed = component(NewThing, "NewThing")["properties"]["colour"]
    assert listed["anyOf"] == [{"$ref": "#/components/schemas/Colour"}, {"type": "null"}]


def test_what_is_said_of_a_field_is_said_of_the_field() -> None:
    class Thing(Request, kw_only=True):
        way: Annotated[Literal["a", "b"], Meta(description="Which way")] | None = None

    assert component(Thing, "Thing")["properties"]["way"] == {
        "anyOf": [{"type": "string", "enum": ["a", "b"]}, {"type": "null"}],
        "description": "Which way.",
    }


def test_a_set_of_one_is_a_constant_and_sets_of_text_say_so() -> None:
    assert component(OuterView, "Outer")["properties"]["object"] == {
        "type": "string",
        "const": "outer",
    }
    assert component(InnerView, "Colour") == {"type": "string", "enum": ["blue", "red"]}


def test_a_request_says_what_it_must_have_and_refuses_the_rest() -> None:
    schema = component(NewThing, "NewThing")
    assert schema["required"] == ["amount"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["count"] == {"type": "integer", "default": 1}
    assert "default" not in schema["properties"]["id"]


def test_patterns_end_as_json_schema_wants_them() -> None:
    assert component(NewThing, "NewThing")["properties"]["id"]["pattern"] == "^[\\x21-\\x7e]+$"
