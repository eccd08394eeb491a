"""A statement as a page to print, file and send: no script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from importlib import resources
from typing import TYPE_CHECKING, Final

from tallystick.domain.credits import format_credits
from tallystick.domain.periods import format_instant, local_offset
from tallystick.http.markup import Html, join, tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tallystick.domain.statements import Statement, UsageLine

_STYLE: Final = Html(
    resources.files(__package__).joinpath("statement.css").read_text(encoding="utf-8")
)
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_MINUS: Final = "−"

CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
).encode()


def render_statement(
    statement: Statement, organization: str, teamspaces: Mapping[str, str]
) -> bytes:
    """The page, UTF-8; `organization` is its name, `teamspaces` are theirs, by id."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"Credits of {organization}, period {statement.index}"),
        tag("style", _STYLE),
    )
    body = tag(
        "body",
        tag(
            "main",
            _masthead(statement, organization),
            _balance(statement),
            _usage(statement, _labels(teamspaces)),
            _foot(statement),
        ),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n".encode()


def _masthead(statement: Statement, organization: str) -> Html:
    state = "" if statement.is_over else tag("span", "so far", class_="state")
    return tag(
        "header",
        tag("p", "Statement of credits", class_="what"),
        tag("h1", organization, " ", state),
        tag(
            "p",
            f"Period {statement.index}: ",
            _time(statement.start, statement.timezone),
            " to ",
            _time(statement.end, statement.timezone),
            class_="when",
        ),
        tag("p", f"Times are those of {statement.timezone}.", class_="note"),
    )


def _time(instant: int, timezone: str) -> Html:
    """As clocks there show it, to the minute or as exactly as it takes; a time element says all."""
    local = format_instant(instant + local_offset(instant, timezone)).removesuffix("Z")
    shown = local.replace("T", " ").removesuffix(".000000").removesuffix(":00")
    return tag("time", shown, datetime=format_instant(instant))


def _labels(teamspaces: Mapping[str, str]) -> dict[str, str]:
    """What teamspaces are called here: by name, and where two have the same one, by id too."""
    times = Counter(teamspaces.values())
    return {
        name: label if times[label] == 1 else f"{label} ({name})"
        for name, label in teamspaces.items()
    }


def _balance(statement: Statement) -> Html:
    rows = [
        _line("Opening balance", statement.opening, "", "total"),
        _line("Granted", statement.granted, "+"),
        _line("Returned for usage of earlier periods", statement.returned, "+"),
        _line("Consumed", statement.consumed, _MINUS),
        _line("of which no grant covered", statement.overage, "+", "part"),
        _line("Expired", statement.expired, _MINUS),
        _line("Voided", statement.voided, _MINUS),
        _line("Closing balance", statement.closing, "", "total"),
    ]
    return tag("table", tag("caption", "Balance"), tag("tbody", *rows), class_="balance")


def _line(label: str, micro: int, sign: str, kind: str = "") -> Html:
    shown = f"{sign} {_amount(micro)}" if micro and sign else _amount(micro)
    return tag(
        "tr", tag("th", label, scope="row"), tag("td", shown), **({"class_": kind} if kind else {})
    )


def _amount(micro: int) -> str:
    """With thousands set apart, as a person reads it."""
    whole, point, decimals = format_credits(micro).partition(".")
    return f"{int(whole):,}{point}{decimals}"


def _usage(statement: Statement, labels: Mapping[str, str]) -> Html:
    if not statement.usage:
        return tag("p", "Nothing was used.", class_="note")
    columns = (("Meter", "col"), ("Teamspace", "col"), ("Events", "col"), ("Credits", "col"))
    head = tag("thead", tag("tr", *(tag("th", name, scope=scope) for name, scope in columns)))
    foot = tag(
        "tfoot",
        tag(
            "tr",
            tag("th", "Consumed", scope="row", colspan="2"),
            tag("td", f"{sum(line.events for line in statement.usage):,}"),
            tag("td", _amount(statement.consumed)),
        ),
    )
    body = tag("tbody", *(_usage_line(line, labels) for line in statement.usage))
    table = tag("table", tag("caption", "Usage"), head, body, foot, class_="usage")
    return tag("div", table, class_="wide", tabindex="0")


def _usage_line(line: UsageLine, labels: Mapping[str, str]) -> Html:
    def cells() -> Iterator[Html]:
        yield tag("td", line.meter or tag("i", "none"))
        yield tag("td", labels.get(line.teamspace_id, line.teamspace_id) or tag("i", "none"))
        yield tag("td", f"{line.events:,}")
        yield tag("td", _amount(line.credits))

    return tag("tr", join(cells()))


def _foot(statement: Statement) -> Html:
    said = "The period is over." if statement.is_over else "The period still runs."
    return tag(
        "footer",
        tag(
            "p",
            f"{said} As of ",
            _time(statement.as_of, statement.timezone),
            ". Amounts are exact credits.",
        ),
    )
