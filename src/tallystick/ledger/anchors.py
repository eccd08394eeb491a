"""Anchors: where every chain had come to at one moment, in a form that can be signed.

An anchor is text, one line an organization, so that a person can read it and there is one spelling
of it only:

    tallystick/anchor/1
    number 3
    made_at 2026-11-22T10:00:00.000000Z
    previous <SHA-256 of the anchor file before, or zeros>
    <organization> <sequence> <hash>
    …
    <an empty line>
    <signature>

The signature covers everything before it. `previous` chains anchors as entries are chained: of a
row of them that were kept, none can be left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from tallystick.domain.entries import GENESIS
from tallystick.domain.periods import format_instant, parse_instant
from tallystick.ledger.audit import Head

if TYPE_CHECKING:
    from collections.abc import Mapping

_TITLE: Final = "tallystick/anchor/1"
_ID: Final = re.compile(r"[\x21-\x7e]+")
_LINE: Final = re.compile(r"([\x21-\x7e]+) ([1-9][0-9]{0,18}) ([0-9a-f]{64})")
_SIGNED: Final = re.compile(rb"(.*\n\n)([0-9a-f]{128})\n", re.DOTALL)


class InvalidAnchor(ValueError):
    """What was read is no anchor; the message says why."""


class Anchor(NamedTuple):
    """The heads of all chains at `made_at`; `number` counts from 1."""

    number: int
    made_at: int
    previous: bytes
    heads: Mapping[str, Head]


def format_anchor(anchor: Anchor) -> bytes:
    """The bytes to be signed. Raises InvalidAnchor for an id that would not stand in one line."""
    lines = [
        _TITLE,
        f"number {anchor.number}",
        f"made_at {format_instant(anchor.made_at)}",
        f"previous {anchor.previous.hex()}",
    ]
    for name, head in sorted(anchor.heads.items()):
        if _ID.fullmatch(name) is None:
            raise InvalidAnchor(f"an organization cannot have the id {name!r}")
        lines.append(f"{name} {head.sequence} {head.hash.hex()}")
    return ("\n".join(lines) + "\n\n").encode()


def split_signed(content: bytes) -> tuple[bytes, bytes]:
    """What was signed, and the signature. Raises InvalidAnchor."""
    match = _SIGNED.fullmatch(content)
    if match is None:
        raise InvalidAnchor("it does not end with a signature")
    return match[1], bytes.fromhex(match[2].decode())


def parse_anchor(body: bytes) -> Anchor:
    """The inverse of `format_anchor`. Raises InvalidAnchor for any other spelling."""
    try:
        title, number, made_at, previous, *lines = body.decode("ascii").splitlines()
        anchor = Anchor(
            int(number.removeprefix("number ")),
            parse_instant(made_at.removeprefix("made_at ")),
            bytes.fromhex(previous.removeprefix("previous ")),
            dict(map(_head, lines[:-1])),
        )
    except ValueError as error:
        raise InvalidAnchor(f"it is no anchor: {error}") from None
    if title != _TITLE or format_anchor(anchor) != body:
        raise InvalidAnchor(f"it is no {_TITLE}, or not spelled like one")
    return anchor


def _head(line: str) -> tuple[str, Head]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise InvalidAnchor(f"a line is no head of a chain: {line[:100]!r}")
    return match[1], Head(int(match[2]), bytes.fromhex(match[3]))


def following(
    before: Anchor | None, digest: bytes, made_at: int, heads: Mapping[str, Head]
) -> Anchor:
    """The anchor after `before`, whose file has the SHA-256 `digest`."""
    if before is None:
        return Anchor(1, made_at, GENESIS, heads)
    return Anchor(before.number + 1, max(made_at, before.made_at), digest, heads)
