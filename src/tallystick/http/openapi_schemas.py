"""JSON Schemas of the types in the operations table, as people and generators want to read them.

msgspec derives them from the very types that decode requests and encode answers. What it says for
decoders is put right here: an answer has all its fields, also those that have a default; patterns
are those of JSON Schema, which knows no `\\Z`; a set of one value is a constant. A type that is
called `GrantView` in the code, where `Grant` is something else, is a `Grant` to the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from msgspec.inspect import Field, StructType

from tallystick.http.shapes import Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Schema = dict[str, Any]

_AT: Final = "#/components/schemas/"
_SUFFIX: Final = "View"


def ref(name: str) -> Schema:
    return {"$ref": _AT + name}


def name_of(reference: str) -> str:
    """`#/components/schemas/Grant` → `Grant`."""
    return reference.removeprefix(_AT)


def describe_types(types: Sequence[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """A schema for each type, and the named schemas that they refer to."""
    schemas, named = msgspec.json.schema_components(types, ref_template=_AT + "{name}")
    components = {}
    for name, schema in sorted(named.items()):
        public = _public(name)
        if public in components:
            raise ValueError(f"two types are called {public}")
        components[public] = _tidied(schema)
    for struct in _structs(msgspec.inspect.multi_type_info(types)):
        if issubclass(struct.cls, Response):
            _complete(components[_public(struct.cls.__name__)], struct)
    return [_tidied(schema) for schema in schemas], components


def _public(name: str) -> str:
    if "." in name:
        raise ValueError(f"two types are called {name.rpartition('.')[2]}; one is {name}")
    return name.removesuffix(_SUFFIX)


def _complete(schema: Schema, struct: StructType) -> None:
    """Says of an answer which fields it always has: those that it may leave out are UNSET."""
    if not struct.cls.__struct_config__.omit_defaults:
        fields = [field.encode_name for field in struct.fields if not _may_be_unset(field)]
        tag = [struct.tag_field] if struct.tag_field else []
        schema["required"] = [*tag, *fields]
    for part in schema["properties"].values():
        part.pop("default", None)


def _may_be_unset(field: Field) -> bool:
    is_unset = field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
    return is_unset and not field.required


def _structs(infos: Iterable[object]) -> Iterator[StructType]:
    """Every struct within these types, once."""
    seen: set[type] = set()
    waiting = list(infos)
    while waiting:
        info = waiting.pop()
        if isinstance(info, StructType):
            if info.cls in seen:
                continue
            seen.add(info.cls)
            yield info
        waiting.extend(_parts(info))


def _parts(info: object) -> list[object]:
    if isinstance(info, StructType):
        return [field.type for field in info.fields]
    inner = [getattr(info, name, None) for name in ("type", "item_type", "key_type", "value_type")]
    return [part for part in (*inner, *getattr(info, "types", ())) if part is not None]


def _tidied(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return [_tidied(item) for item in value]
    if isinstance(value, str) and value.startswith(_AT):
        return _AT + _public(name_of(value))
    if not isinstance(value, dict):
        return value
    schema = {key: _tidied(item) for key, item in value.items() if not _is_title(key, item)}
    for rule in (_name_constants, _merge_null, _translate_pattern, _end_sentence, _drop_null):
        rule(schema)
    return schema


def _is_title(key: str, value: object) -> bool:
    """msgspec gives each struct its class's name as title; a property may be called so too."""
    return key == "title" and isinstance(value, str)


def _name_constants(schema: Schema) -> None:
    values = schema.get("enum")
    if not isinstance(values, list):
        return
    if all(isinstance(value, str) for value in values):
        schema["type"] = "string"
    if len(values) == 1:
        del schema["enum"]
        schema["const"] = values[0]


def _merge_null(schema: Schema) -> None:
    """`anyOf` a simple type and null is that type, or null; what is said of it is said of both."""
    match schema.get("anyOf"):
        case [{"type": str() as kind, **rest}, {"type": "null"}] if not rest.keys() & _CLOSED:
            del schema["anyOf"]
            described = {"description": schema["description"]} if "description" in schema else {}
            schema.update({"type": [kind, "null"], **cast("Schema", rest), **described})
        case [{"description": str() as text} as first, {"type": "null"}]:
            del first["description"]
            schema.setdefault("description", text)


_CLOSED: Final = {"enum", "const"}
"""What would have to name null as well."""


def _translate_pattern(schema: Schema) -> None:
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and pattern.endswith(r"\Z"):
        schema["pattern"] = pattern.removesuffix(r"\Z") + "$"


def _end_sentence(schema: Schema) -> None:
    text = schema.get("description")
    if isinstance(text, str):
        schema["description"] = sentence(text)


def sentence(text: str) -> str:
    """With its full stop, which notes in the code do without."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _drop_null(schema: Schema) -> None:
    """That a field may be left out says enough."""
    if "default" in schema and schema["default"] is None:
        del schema["default"]
