"""Requests as bytes: as clients send them, as they might, and as nobody should.

Everything is drawn from the generator that is handed in, so a seed says it all.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

CREDITS: Final = b"/v1/organization/credits"
USAGE: Final = b"/v1/organization/credits/usage"

Field = tuple[bytes, bytes]
HOST: Final[Field] = (b"Host", b"a")


@dataclass(slots=True, kw_only=True)
class Senders:
    """Secrets by what becomes of them, and ids of teamspaces that requests may name."""

    good: Sequence[bytes]
    refused: Sequence[bytes]
    teamspaces: Sequence[bytes]
    sent: int = 0

    def secret(self, rng: Random) -> bytes:
        return rng.choice(self.good if rng.random() < 0.8 else self.refused)

    def event_id(self, rng: Random) -> str:
        """A new id, or one that was sent lately."""
        if rng.random() < 0.8 or not self.sent:
            self.sent += 1
            return f"evt-{self.sent}"
        return f"evt-{rng.randint(max(1, self.sent - 9), self.sent)}"


def message(
    method: bytes,
    target: bytes,
    fields: Sequence[Field],
    body: bytes = b"",
    version: bytes = b"1.1",
) -> bytes:
    lines = [b"%b: %b" % one for one in fields]
    return b"\r\n".join([b"%b %b HTTP/%b" % (method, target, version), *lines, b"", b""]) + body


# ── as clients send them ──

_COMMON: Final[Sequence[Field]] = (
    (b"User-Agent", b"Datagrid/Python 0.16.0"),
    (b"Accept-Encoding", b"gzip, deflate"),
    (b"X-Stainless-Lang", b"python"),
    (b"X-Stainless-Package-Version", b"0.16.0"),
    (b"X-Stainless-OS", b"Linux"),
    (b"x-stainless-retry-count", b"0"),
    (b"x-stainless-read-timeout", b"60"),
    (b"Traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    (b"X-Forwarded-For", b"203.0.113.9"),
    (b"Keep-Alive", b"timeout=5"),
    (b"X-Empty", b""),
    (b"X-Latin", b"caf\xe9"),
)
_ACCEPT: Final = (b"application/json", b"*/*", b"application/problem+json", b"text/html, */*;q=0.1")


def usual_fields(rng: Random, senders: Senders) -> list[Field]:
    fields: list[Field] = [
        (b"Host", b"credits.example"),
        (b"Authorization", b"Bearer " + senders.secret(rng)),
        *rng.sample(_COMMON, rng.randrange(len(_COMMON))),
    ]
    if rng.random() < 0.6:
        fields.append((b"Accept", rng.choice(_ACCEPT)))
    if rng.random() < 0.5:
        fields.append((b"Connection", rng.choice((b"keep-alive", b"Keep-Alive"))))
    if rng.random() < 0.3:
        fields.append((b"Datagrid-Teamspace", rng.choice(senders.teamspaces)))
    return fields


def in_some_spelling(rng: Random, fields: list[Field]) -> list[Field]:
    """The same fields in another order and case, with blanks that mean nothing."""
    rng.shuffle(fields)
    change = rng.choice((bytes.lower, bytes.title, bytes.upper, bytes.swapcase))
    blanks = (b"", b"", b"", b" ", b"\t", b"  ")
    return [
        (change(name), rng.choice(blanks) + value + rng.choice(blanks)) for name, value in fields
    ]


def usual_get(rng: Random, senders: Senders) -> bytes:
    fields = usual_fields(rng, senders)
    if rng.random() < 0.1:
        fields.append((b"Content-Length", b"0"))
    return message(b"GET", CREDITS, in_some_spelling(rng, fields))


def usual_post(rng: Random, senders: Senders) -> bytes:
    body = event_body(rng, senders)
    fields = usual_fields(rng, senders)
    fields.append((b"Content-Type", rng.choice((b"application/json", _ODD_JSON))))
    fields.append((b"Content-Length", b"%d" % len(body)))
    return message(b"POST", USAGE, in_some_spelling(rng, fields), body)


_ODD_JSON: Final = b'Application/JSON; charset="utf-8"'


def event(rng: Random, senders: Senders) -> dict[str, object]:
    facts: dict[str, object] = {
        "id": senders.event_id(rng),
        "credits": rng.choice((0, 1, 1.25, 1e-6, 3, 10**7)),
    }
    if rng.random() < 0.3:
        facts["meter"] = "llm.tokens"
    if rng.random() < 0.3:
        facts["dimensions"] = {"model": "m-large", "wo": "Köln"}
    if rng.random() < 0.2:
        facts["on_insufficient"] = "overdraw"
    if rng.random() < 0.1:
        facts["timestamp"] = "2026-03-10T11:00:00+01:00"
    return facts


def event_body(rng: Random, senders: Senders) -> bytes:
    return json.dumps(event(rng, senders)).encode()


# ── as they might ──

BAD_BODIES: Final = (
    b"",
    b" ",
    b"{",
    b"null",
    b"[]",
    b"{}",
    b'{"id": "x"}',
    b'{"id": "x", "credits": "1"}',
    b'{"id": "x", "credits": 1, "credits": 2}',
    b'{"id": "x", "credits": 0.0000001}',
    b'{"id": "x y", "credits": 1}',
    b'{"id": "x", "credits": 1, "more": 1}',
    b'{"id": "x", "credits": NaN}',
    b'{"id": "\xff", "credits": 1}',
    b"[" * 3_000,
    b'{"events": []}',
    b'{"events": [{"id": "x", "credits": -1}]}',
)
TYPES: Final = (
    b"text/plain",
    b"application/jsonp",
    b"application/json, application/json",
    b"",
    b"application/cloudevents+json",
    b"application/cloudevents-batch+json; charset=utf-8",
    b"application/x-ndjson",
    b"Application/X-NDJSON ; a=b",
    b"multipart/form-data; boundary=x",
)
METHODS: Final = (b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"POST", b"GET", b"TRACE")
TARGETS: Final = (
    CREDITS,
    USAGE,
    CREDITS + b"?",
    CREDITS + b"?a=b",
    USAGE + b"?a=%20",
    CREDITS + b"#x",
    b"/v1/organization/%63redits",
    b"/v1/organization/credits%2Fusage",
    b"//v1/organization/credits",
    CREDITS + b"/",
    CREDITS + b"/balance",
    CREDITS + b"/usage/evt-1",
    CREDITS + b"/entries?limit=3",
    CREDITS + b"/entries?limit=0",
    b"/v1/identity",
    b"/healthz",
    b"/nowhere",
    b"http://credits.example" + CREDITS,
    b"https://credits.example:8443" + USAGE,
    b"http://credits.example",
    b"*",
)


ODD_HOSTS: Final = (b"", b"[::1]:80", b"a:", b"a b", b"a/b", b"caf\xe9")

ODD_FIELDS: Final[Sequence[Field]] = (
    (b"Connection", b"close"),
    (b"Connection", b"keep-alive, close"),
    (b"Connection", b"close, keep-alive"),
    (b"Connection", b"te"),
    (b"Connection", b""),
    (b"Proxy-Connection", b"close"),
    (b"Proxy-Connection", b"keep-alive"),
    (b"Upgrade", b"websocket"),
    (b"Expect", b"100-continue"),
    (b"Expect", b"200-ok"),
    (b"TE", b"trailers"),
    (b"Authorization", b"Bearer somebody-else"),
    (b"Accept", b"application/problem+json"),
    (b"Content-Type", b"text/plain"),
    (b"Content-Encoding", b"gzip"),
    (b"Content-Encoding", b"Identity"),
    (b"Datagrid-Teamspace", b""),
    (b"Datagrid-Teamspace", b"caf\xe9"),
)


def odd_body(rng: Random, senders: Senders) -> bytes:
    """One event, several, in several forms, or nonsense."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice(BAD_BODIES)
    if kind == 1:
        events = [event(rng, senders) for _ in range(rng.randrange(1, 5))]
        return json.dumps({"events": events, "atomic": rng.random() < 0.5}).encode()
    if kind == 2:
        return b"\n".join(event_body(rng, senders) for _ in range(3))
    if kind == 3:
        cloud = {"specversion": "1.0", "source": "/a", "type": "t", "data": {"credits": 1}}
        return json.dumps(cloud | {"id": senders.event_id(rng)}).encode()
    if kind == 4:
        return gzip.compress(event_body(rng, senders), mtime=0)
    return event_body(rng, senders)


def odd_post(rng: Random, senders: Senders) -> bytes:
    """A body that is not an event, or is not said to be one."""
    body = odd_body(rng, senders)
    fields = usual_fields(rng, senders)
    if rng.random() < 0.9:
        fields.append((b"Content-Type", rng.choice((b"application/json", *TYPES))))
    if rng.random() < 0.2:
        fields.append((b"Content-Encoding", rng.choice((b"gzip", b"identity", b"Identity", b"br"))))
    framing = rng.randrange(4)
    if framing == 0:
        fields.append((b"Transfer-Encoding", rng.choice((b"chunked", b"Chunked"))))
        body = in_chunks(rng, body)
    elif framing < 3 or body:
        fields.append((b"Content-Length", rng.choice((b"%d", b"%05d")) % len(body)))
    return message(b"POST", USAGE, in_some_spelling(rng, fields), body)


def in_chunks(rng: Random, body: bytes) -> bytes:
    chunks = []
    while body:
        size = rng.randint(1, len(body))
        extension = rng.choice((b"", b";a=b"))
        chunks.append(b"%x%b\r\n%b\r\n" % (size, extension, body[:size]))
        body = body[size:]
    trailers = rng.choice((b"", b"X-Trailer: 1\r\n", b"Content-Type: text/html\r\n"))
    return b"".join(chunks) + b"0\r\n" + trailers + b"\r\n"


def odd_head(rng: Random, senders: Senders) -> bytes:
    """Any method, any target, and headers that make a request unusual."""
    fields = usual_fields(rng, senders)
    if rng.random() < 0.6:
        fields.append(rng.choice(ODD_FIELDS))
    if rng.random() < 0.1:
        fields[0] = (b"Host", rng.choice(ODD_HOSTS))
    elif rng.random() < 0.1:
        del fields[0]
    target, method = rng.choice(TARGETS), rng.choice(METHODS)
    if rng.random() < 0.5:
        method, target = (b"GET", CREDITS)
    body = b""
    if rng.random() < 0.3:
        body = event_body(rng, senders)
        fields.append((b"Content-Length", b"%d" % len(body)))
    version = b"1.0" if rng.random() < 0.1 else b"1.1"
    return message(method, target, in_some_spelling(rng, fields), body, version)


def expecting(rng: Random, senders: Senders) -> bytes:
    """Says that it waits to be told to go on, and does not."""
    return with_line(usual_post(rng, senders), b"Expect: 100-continue")


def upgrading(rng: Random, senders: Senders) -> bytes:
    fields = usual_fields(rng, senders)
    fields += [(b"Connection", b"Upgrade"), (b"Upgrade", rng.choice((b"websocket", b"h2c")))]
    return message(b"GET", CREDITS, fields)


def strange_key(rng: Random, senders: Senders) -> bytes:
    """The key in spellings that work, and in some that do not."""
    secret = senders.secret(rng)
    spelled = rng.choice(
        (
            b"bearer " + secret,
            b"BEARER   " + secret,
            b"Bearer\t" + secret,
            b"Bearer " + secret + b" x",
            b"Bearer",
            b"Bearer " + secret[:-1],
            b"Basic " + secret,
            b"Bearer caf\xe9",
            b"",
        )
    )
    return message(b"GET", CREDITS, [(b"Host", b"a"), (b"Authorization", spelled)])


# ── as nobody should ──


HOSTILE_LINES: Final = (
    b"Host: a",
    b"Host: b",
    b"Content-Length: 3",
    b"Content-Length: 1, 1",
    b"Content-Length: +1",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length:",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding : chunked",
    b"X-Folded: a\r\n b",
    b"X-Folded: a\r\n\tb",
    b"X-Bare: a\nX-Other: b",
    b"X-Bare: a\rX-Other: b",
    b"X-Nul: a\x00b",
    b"X-Control: a\x01b",
    b"X Space: a",
    b": no name",
    b"no colon",
    b"X-Long: " + b"y" * 2_000,
    b"X-Long: " + b"y" * 33_000,
    b"\r\n".join([b"X-Many: y"] * 90),
    b"\r\n".join([b"X-Many: y"] * 101),
)


def with_line(good: bytes, extra: bytes) -> bytes:
    """The request with one more line in its head."""
    line, _, rest = good.partition(b"\r\n")
    return b"\r\n".join([line, extra, rest])


def hostile(rng: Random, senders: Senders) -> bytes:
    """A good request with something in it that nobody should trust."""
    good = rng.choice((usual_get, usual_post))(rng, senders)
    length = len(good.partition(b"\r\n\r\n")[2])
    return with_line(good, rng.choice((*HOSTILE_LINES, b"Content-Length: %d" % length)))


def disturbed(rng: Random, senders: Senders) -> bytes:
    """A good request of which some bytes are lost, doubled or changed."""
    found = bytearray(rng.choice((usual_get, usual_post))(rng, senders))
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(found))
        what = rng.randrange(3)
        if what == 0:
            del found[at]
        elif what == 1:
            found[at] = rng.choice(b"\r\n\x00 :\t\xff0aZ,;%?#")
        else:
            found.insert(at, rng.choice(b"\r\n\x00 :\t\xff0aZ,;%?#"))
    return bytes(found)


AROUND: Final = (
    *((before, b"") for before in (b"\r\n", b"\r\n\r\n", b"\n", b" ", b"\r")),
    *((b"", after) for after in (b"\r\n", b"GARBAGE\r\n\r\n", b"\x00", b"\n", b"{}")),
)


def around(rng: Random, senders: Senders) -> bytes:
    """Something before a good request, or after it."""
    good = rng.choice((usual_get, usual_post))(rng, senders)
    before, after = rng.choice(AROUND)
    return before + good + after


def bare(rng: Random, senders: Senders) -> bytes:
    """A good request whose lines end as they should not."""
    good = rng.choice((usual_get, usual_post))(rng, senders)
    return rng.choice(
        (
            good.replace(b"\r\n", b"\n"),
            good.replace(b"\r\n\r\n", b"\n\n", 1),
            good.replace(b"\r\n\r\n", b"\r\n\n", 1),
            good.replace(b"\r\n", b"\r", 1),
            good.replace(b"HTTP/1.1", rng.choice((b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"H"))),
            good.replace(b" HTTP", b"  HTTP", 1),
            good.replace(b" /", b"   /", 1),
            good.replace(b" /", b"\t/", 1),
        )
    )


USUAL: Final = (usual_get, usual_post)
ODD: Final = (odd_post, odd_head, expecting, upgrading, strange_key)
HOSTILE: Final = (hostile, disturbed, around, bare)


def any_message(rng: Random, senders: Senders) -> bytes:
    kind = rng.random()
    makers = USUAL if kind < 0.5 else ODD if kind < 0.8 else HOSTILE
    return rng.choice(makers)(rng, senders)
