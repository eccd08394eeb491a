"""How the reference's page shows JSON Schemas: the type of a value in few words, and its fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from tallystick.http.markup import Html, join, prose, tag, text
from tallystick.http.openapi_schemas import name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.http.openapi_schemas import Schema

_FORMATS: Final = {"date-time": "time", "decimal": "credits", "uri": "URI"}


def type_label(schema: Schema) -> Html:
    """`time or null`, `array of Grant`, `"list"`; types that have a name link to it."""
    if "$ref" in schema:
        name = name_of(schema["$ref"])
        return tag("a", name, href=f"#schema-{name}")
    if "const" in schema:
        return tag("code", json.dumps(schema["const"]))
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return join((type_label(one) for one in schema[choice]), " or ")
    if "enum" in schema:
        return join((tag("code", json.dumps(value)) for value in schema["enum"]), " or ")
    kind = schema.get("type", "any value")
    kinds = kind if isinstance(kind, list) else [kind]
    return join((_simple(one, schema) for one in kinds), " or ")


def _simple(kind: str, schema: Schema) -> Html:
    if kind == "array":
        return join(["array of ", type_label(schema["items"])])
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return join([type_label(schema["additionalProperties"]), " by name"])
    return text(kind if kind == "null" else _FORMATS.get(schema.get("format", ""), kind))


def constraints(schema: Schema) -> Html | None:
    """What values are allowed beyond their type."""
    found = [_range(schema), _length(schema)]
    if "default" in schema and schema["default"] not in ({}, []):
        found.append(f"default `{json.dumps(schema['default'])}`")
    said = [each for each in found if each]
    return prose(", ".join(said)) if said else None


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and high is None:
        return ""
    if high is None:
        # That credits are not negative is true of all of them, and said once.
        return f"at least {low}" if low and schema.get("format") != "decimal" else ""
    return f"{low} to {high:,}" if low is not None else f"at most {high:,}"


def _length(schema: Schema) -> str:
    for unit, least, most in (
        ("characters", "minLength", "maxLength"),
        ("items", "minItems", "maxItems"),
        ("entries", "minProperties", "maxProperties"),
    ):
        if most in schema:
            return f"{schema.get(least, 0)} to {schema[most]:,} {unit}"
    return ""


def described(name: str, schema: Schema, *notes: str, description: str | None = None) -> Html:
    """A `dt` and `dd` for a field, a parameter or a header."""
    facts = [tag("span", type_label(schema), class_="type")]
    facts += [tag("span", note, class_=f"note {note}") for note in notes]
    said = description or schema.get("description")
    limits = constraints(schema)
    explained = [tag("p", prose(said))] if said else []
    if limits is not None:
        explained.append(tag("p", limits, class_="limits"))
    term = tag("dt", tag("code", name), " ", join(facts, " "))
    return join([term, tag("dd", *explained)] if explained else [term])


def fields(schema: Schema, first: Sequence[str] = ()) -> Html | None:
    """The properties of an object, `first` ones first; None where it names none."""
    properties = schema.get("properties")
    if not properties:
        return None
    properties = {name: properties[name] for name in dict.fromkeys([*first, *properties])}
    required = set(schema.get("required", ()))
    # Of an answer only what may be missing is worth saying; of a request, what must be there.
    is_request = schema.get("additionalProperties") is False
    exceptions = required if is_request else properties.keys() - required if required else set()
    rows = []
    for name, part in properties.items():
        notes = ["required" if is_request else "optional"] if name in exceptions else []
        if part.get("deprecated"):
            notes.append("deprecated")
        rows.append(described(name, part, *notes))
    return tag("dl", *rows, class_="fields")


def schema_section(name: str, schema: Schema) -> Html:
    """A named schema, where links to it lead."""
    parts = [tag("h3", tag("code", name))]
    if "description" in schema:
        parts.append(tag("p", prose(schema["description"])))
    listed = fields(schema)
    parts.append(tag("p", type_label(schema)) if listed is None else listed)
    return tag("section", *parts, id=f"schema-{name}", class_="schema")
