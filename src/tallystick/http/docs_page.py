"""The reference as one page for people, made of the OpenAPI document.

It needs no script and asks nobody for anything: its style is inside it, and the content security
policy that it is served with allows that style, by its hash, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from tallystick.http.docs_schemas import described, fields, schema_section, type_label
from tallystick.http.markup import Html, anchor, join, markdown, path, prose, tag, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tallystick.http.openapi_schemas import Schema

_STYLE: Final = Html(resources.files(__package__).joinpath("docs.css").read_text(encoding="utf-8"))

Found = list[tuple[str, str, "Schema"]]
"""Operations: path, method and what the document says of them."""


def content_security_policy() -> bytes:
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ).encode()


def render_page(document: Schema) -> bytes:
    """The page, UTF-8."""
    info = document["info"]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{info['title']} API reference"),
        tag("style", _STYLE),
    )
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#content", class_="skip"),
        _masthead(info),
        tag("div", _contents(document), _main(document), class_="columns"),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n".encode()


def _masthead(info: Schema) -> Html:
    return tag(
        "header",
        tag("h1", info["title"], " ", tag("span", "API reference", class_="what")),
        tag("p", info["summary"]),
        tag(
            "p",
            f"Version {info['version']} · ",
            tag("a", "OpenAPI 3.1 document", href="/openapi.json"),
            class_="version",
        ),
    )


def _tagged(document: Schema, name: str) -> Found:
    return [
        (at, method, operation)
        for at, methods in document["paths"].items()
        for method, operation in methods.items()
        if name in operation["tags"]
    ]


def _contents(document: Schema) -> Html:
    parts = [_link("Start", "#content")]
    for each in document["tags"]:
        inner = [
            tag("li", _link(operation["summary"], f"#{operation['operationId']}"))
            for _, _, operation in _tagged(document, each["name"])
        ]
        parts.append(join([_link(each["name"], f"#{anchor(each['name'])}"), tag("ul", *inner)]))
    parts += [_link("Error codes", "#error-codes"), _link("Schemas", "#schemas")]
    return tag("nav", tag("ul", *(tag("li", part) for part in parts)), aria_label="Contents")


def _link(label: str, href: str) -> Html:
    return tag("a", label, href=href)


def _main(document: Schema) -> Html:
    groups = [_group(document, each) for each in document["tags"]]
    guide = tag("section", markdown(document["info"]["description"], 2), class_="guide")
    rest = [_error_codes(document), _schemas(document)]
    return tag("main", guide, *groups, *rest, id="content")


def _group(document: Schema, each: Schema) -> Html:
    found = _tagged(document, each["name"])
    parts = [
        tag("h2", each["name"], id=anchor(each["name"])),
        tag("p", prose(each["description"])),
        tag(
            "ul",
            *(
                tag("li", _link(operation["summary"], f"#{operation['operationId']}"))
                for _, _, operation in found
            ),
            class_="within",
        ),
    ]
    common = _common_statuses(document)
    parts += [_operation(*one, document, common) for one in found]
    return tag("section", *parts)


def _common_statuses(document: Schema) -> set[str]:
    """What every operation can answer is said once, beside the error codes."""
    every = [set(one["responses"]) for each in document["paths"].values() for one in each.values()]
    return set.intersection(*every) - {"200"}


def _operation(at: str, method: str, operation: Schema, document: Schema, common: set[str]) -> Html:
    name = operation["operationId"]
    parts = [
        tag(
            "h3", operation["summary"], " ", tag("a", "#", href=f"#{name}", aria_label="Link here")
        ),
        tag(
            "p",
            tag("span", method.upper(), class_=f"method {method}"),
            " ",
            tag("code", path(at)),
            class_="route",
        ),
    ]
    if "description" in operation:
        parts.append(tag("p", prose(operation["description"])))
    parts.append(tag("p", prose(_who(operation)), class_="who"))
    parts += _parameters(operation)
    parts += _body(operation, document)
    parts += [tag("h4", "Example"), _code(operation["x-codeSamples"][0]["source"])]
    parts += _answers(operation, document, common)
    return tag("article", *parts, id=name)


def _who(operation: Schema) -> str:
    if not operation["security"]:
        return "Open: needs no key."
    [(scheme, scopes)] = operation["security"][0].items()
    if scheme == "OperatorAuth":
        return "Needs an operator's key."
    return f"Needs a key with the scope `{scopes[0]}`." if scopes else "Needs any key."


def _parameters(operation: Schema) -> Iterator[Html]:
    if "parameters" not in operation:
        return
    yield tag("h4", "Parameters")
    rows = [
        described(
            parameter["name"],
            parameter["schema"],
            parameter["in"],
            *(["required"] if parameter.get("required") else []),
            description=parameter["description"],
        )
        for parameter in operation["parameters"]
    ]
    yield tag("dl", *rows, class_="fields")


def _body(operation: Schema, document: Schema) -> Iterator[Html]:
    body = operation.get("requestBody")
    if body is None:
        return
    first = next(iter(body["content"].values()))
    yield tag("h4", "Body" if body["required"] else "Body, if any")
    rows = []
    for media_type, content in body["content"].items():
        schema = content["schema"]
        label = type_label(schema)
        if "contentSchema" in schema:
            label = join([type_label(schema["contentSchema"]), ", one a line"])
        elif "oneOf" in schema:
            label = join([label, text(" with "), _alternatives(schema["oneOf"])])
        rows.append(tag("dt", tag("code", media_type), " ", tag("span", label, class_="type")))
    yield tag("dl", *rows, class_="fields")
    listed = fields(resolve(document, first["schema"]["$ref"]), list(first["example"]))
    if listed is not None:
        yield tag("p", "Fields of ", type_label(first["schema"]), ":", class_="caption")
        yield listed


def _alternatives(choices: list[Schema]) -> Html:
    """Fields of which an object has one set or another."""
    sets = [join((tag("code", name) for name in choice["required"]), " and ") for choice in choices]
    return join(sets, ", or with ")


def _answers(operation: Schema, document: Schema, common: set[str]) -> Iterator[Html]:
    yield tag("h4", "Answers")
    found = operation["responses"].items()
    successes = [(status, one) for status, one in found if "$ref" not in one]
    yield tag("dl", *(_success(status, one) for status, one in successes), class_="fields")
    yield from _answer_examples(successes)
    refusals = [
        _refusal(status, resolve(document, one["$ref"]))
        for status, one in found
        if "$ref" in one and status not in common
    ]
    if refusals:
        yield tag("p", "Refusals:", class_="caption")
        yield tag("ul", *refusals, class_="refusals")


def _success(status: str, response: Schema) -> Html:
    label = _answer_type(response)
    term = tag("dt", tag("code", status), *([" ", label] if label else []))
    said = response["description"]
    if said == f"{HTTPStatus(int(status)).phrase}.":
        return term
    return join([term, tag("dd", tag("p", prose(said)))])


def _refusal(status: str, response: Schema) -> Html:
    codes = response["content"]["application/json"]["examples"]
    links = join((tag("a", code, href=f"#error-{code}") for code in codes), " or ")
    return tag("li", tag("code", status), " ", links)


def _answer_type(response: Schema) -> Html | None:
    for media_type, content in response.get("content", {}).items():
        if not media_type.startswith("application/json"):
            return tag("span", media_type.partition(";")[0], class_="type")
        return tag("span", type_label(content["schema"]), class_="type")
    return None


def _answer_examples(successes: list[tuple[str, Schema]]) -> Iterator[Html]:
    """Each example once, with all that it is an example of."""
    labels: dict[str, list[str]] = {}
    for status, response in successes:
        for content in response.get("content", {}).values():
            found = content.get("examples") or {"": {"value": content.get("example")}}
            for name, example in found.items():
                labels.setdefault(_json(example["value"]), []).append(f"{status} {name}".strip())
    labels.pop("null", None)
    for example, named in labels.items():
        yield tag("p", " and ".join(named), class_="caption")
        yield _code(example)


def _error_codes(document: Schema) -> Html:
    parts = [
        tag("h2", "Error codes", id="error-codes"),
        tag("p", prose(_everywhere(document))),
    ]
    rows = []
    for response in document["components"]["responses"].values():
        examples = response["content"]["application/json"]["examples"]
        if len(examples) == 1:
            [(code, example)] = examples.items()
            rows.append(_error_code(code, example["value"], response, document))
    parts.append(tag("dl", *rows, class_="fields"))
    sample = document["components"]["responses"]["ValidationFailed"]
    value = sample["content"]["application/json"]["examples"]["validation_failed"]["value"]
    parts += [tag("p", "An error in full:", class_="caption"), _code(_json(value))]
    return tag("section", *parts)


def _everywhere(document: Schema) -> str:
    statuses = ", ".join(f"`{status}`" for status in sorted(_common_statuses(document)))
    return f"Any request can also meet {statuses}, whichever operation it is for."


def _error_code(code: str, example: Schema, response: Schema, document: Schema) -> Html:
    notes = [tag("span", f"{example['status_code']}", class_="type")]
    if example["retryable"]:
        notes.append(tag("span", "retryable", class_="note"))
    said = [tag("p", f"{example['message']}. {example['mitigation']}.")]
    details = _details(resolve(document, response["content"]["application/json"]["schema"]["$ref"]))
    if details is not None:
        said += [tag("p", prose("In `details`:"), class_="caption"), details]
    term = tag("dt", tag("code", code), " ", join(notes, " "), id=f"error-{code}")
    return join([term, tag("dd", *said)])


def _details(schema: Schema) -> Html | None:
    """What an error's `details` say besides the reason."""
    return fields(schema["allOf"][1]["properties"].get("details", {}))


def _schemas(document: Schema) -> Html:
    # What narrows the common error to one code stands with the error codes.
    sections = [
        schema_section(name, schema)
        for name, schema in document["components"]["schemas"].items()
        if "allOf" not in schema
    ]
    return tag("section", tag("h2", "Schemas", id="schemas"), *sections)


def _code(source: str) -> Html:
    # What scrolls sideways must be reachable by the keyboard.
    return tag("pre", tag("code", source), tabindex="0")


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return json.dumps(value, indent=2, ensure_ascii=False)


def resolve(document: Schema, reference: str) -> Any:  # noqa: ANN401 - any JSON value
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found
