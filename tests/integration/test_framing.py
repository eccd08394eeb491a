"""Bytes that are no request: an answer in the envelope, and the end of the connection."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.server import Server, running_server

USAGE = "/v1/organization/credits/usage"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
BODY = b'{"id": "evt-1", "credits": 1}'
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("framing")) as server:
        yield server


def connected(server: Server) -> socket.socket:
    place = urlsplit(server.url)
    return socket.create_connection((place.hostname, place.port), timeout=20)


def rest_of(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    received = b""
    while more := connection.recv(65_536):
        received += more
    return received


def exchange(server: Server, *pieces: bytes) -> list[Answer]:
    """Everything that is answered to these bytes; the server has to close the connection."""
    with connected(server) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return list(answers_in(rest_of(connection)))


def answers_in(received: bytes) -> Iterator[Answer]:
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers["content-length"])
        body, received = received[:length], received[length:]
        yield Answer(int(first.split()[1]), headers, json.loads(body))


def assert_refused(answer: Answer, status: int, code: str) -> None:
    """The envelope and the headers of every answer, and that this was the last one."""
    assert (answer.status, answer.body["status_code"], answer.body["statusCode"]) == (status,) * 3
    assert answer.body["error"] == code
    assert answer.body["details"]["reason"]
    assert answer.body["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-ratelimit-limit"]
    assert answer.headers["x-ratelimit-remaining"]
    assert answer.headers["x-ratelimit-reset"]
    assert answer.headers["x-should-retry"] == "false"
    assert "server" not in answer.headers


def post(*headers: bytes, body: bytes = b"") -> bytes:
    lines = [b"POST %s HTTP/1.1" % USAGE.encode(), b"host: a", *headers]
    return b"\r\n".join([*lines, b"", b""]) + body


BROKEN = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": b"BREW /pot HTTP/1.1\r\nhost: a\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "a version we do not speak": b"GET /healthz HTTP/2.0\r\nhost: a\r\n\r\n",
    "lines without CR": b"GET /healthz HTTP/1.1\nhost: a\n\n",
    "a tunnel": b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n",
    "a path that is not ASCII": b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n",
    "a URL without a path": b"GET http://a HTTP/1.1\r\nhost: a\r\n\r\n",
    "the same with a query": b"GET http://a?b=c HTTP/1.1\r\nhost: a\r\n\r\n",
    "two lengths": post(b"content-length: 29", b"content-length: 29", body=BODY),
    "two different lengths": post(b"content-length: 29", b"content-length: 3", body=BODY),
    "a length and chunks": post(
        b"content-length: 5", b"transfer-encoding: chunked", body=b"0\r\n\r\n"
    ),
    "a length that is none": post(b"content-length: +29", body=BODY),
    "a length beyond all bounds": post(b"content-length: 99999999999999999999999", body=BODY),
    "a length with zeros without end": b"POST /v1/organization/teamspaces HTTP/1.1\r\nhost: a\r\n"
    + b"content-length: %b29\r\n\r\n" % (b"0" * 5_000)
    + BODY,
    "chunks and a length": post(
        b"transfer-encoding: chunked", b"content-length: 5", body=b"0\r\n\r\n"
    ),
    "a transfer coding we do not have": post(b"transfer-encoding: gzip", body=BODY),
    "another coding before chunked": post(b"transfer-encoding: gzip, chunked", body=CHUNKS),
    "the same in two lines": post(
        b"transfer-encoding: gzip", b"transfer-encoding: chunked", body=CHUNKS
    ),
    "an empty coding before chunked": post(b"transfer-encoding: , chunked", body=CHUNKS),
    "chunked twice": post(b"transfer-encoding: chunked, chunked", body=CHUNKS),
    "chunks in HTTP/1.0": post(b"transfer-encoding: chunked", body=CHUNKS).replace(b"1.1", b"1.0"),
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "the same host twice": b"GET /healthz HTTP/1.0\r\nhost: a\r\nhost: a\r\n\r\n",
    "a host that is none": b"GET /healthz HTTP/1.1\r\nhost: a/b\r\n\r\n",
    "two hosts in one": b"GET /healthz HTTP/1.0\r\nhost: a, b\r\n\r\n",
    "chunked, but not last": post(b"transfer-encoding: chunked, gzip", body=BODY),
    "a bad chunk size": post(b"transfer-encoding: chunked", body=b"zz\r\n" + BODY),
    "a chunk without its end": post(b"transfer-encoding: chunked", body=b"2\r\nabcd\r\n"),
    "a NUL in a header": b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-a: b\x00c\r\n\r\n",
    "a lone CR in a header": b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-a: b\rc\r\n\r\n",
    "a folded header": b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-a: b\r\n c\r\n\r\n",
    "a space before the colon": b"GET /healthz HTTP/1.1\r\nhost : a\r\n\r\n",
    "a header without a colon": b"GET /healthz HTTP/1.1\r\nhost\r\n\r\n",
    "a body behind an upgrade": post(
        b"connection: upgrade", b"upgrade: h2c", b"content-length: 29", body=BODY
    ),
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN)
def test_broken_framing_gets_400_in_the_envelope(server: Server, sent: bytes) -> None:
    [answer] = exchange(server, sent)
    assert_refused(answer, 400, "bad_request")


def test_it_is_found_however_the_bytes_are_cut(server: Server) -> None:
    # With a key: without one the answer is there before the body is.
    key = b"authorization: Bearer %s" % server.key(server.organization()).encode()
    sent = post(key, b"transfer-encoding: chunked", body=b"zz\r\n" + BODY)
    [answer] = exchange(server, *(sent[at : at + 1] for at in range(len(sent))))
    assert_refused(answer, 400, "bad_request")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0\r\n",
        b"HTTP/1.0\r\nhost: a\r\n",
        b"HTTP/1.1\r\nhost:\r\n",
        b"HTTP/1.1\r\nhost: \t credits.example:8080 \t\r\n",
        b"HTTP/1.1\r\nhost: 192.0.2.1:\r\n",
        b"HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n",
        b"HTTP/1.1\r\nhost: under_score.example.%61\r\n",
    ],
)
def test_a_host_may_be_empty_and_in_old_requests_missing(server: Server, head: bytes) -> None:
    [answer] = exchange(server, b"GET /healthz " + head + b"connection: close\r\n\r\n")
    assert answer.status == 200


LONG = b"x" * 33_000
LARGE = {
    "one long header": b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-long: " + LONG + b"\r\n\r\n",
    "a long path": b"GET /" + LONG + b" HTTP/1.1\r\nhost: a\r\n\r\n",
    "many long headers": b"GET /healthz HTTP/1.1\r\nhost: a\r\n"
    + b"".join(b"x-%d: %b\r\n" % (number, b"y" * 1_000) for number in range(40))
    + b"\r\n",
    "101 headers": b"GET /healthz HTTP/1.1\r\nhost: a\r\n"
    + b"".join(b"x-%d: y\r\n" % number for number in range(100))
    + b"\r\n",
    "a head without an end": b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-long: " + b"x" * 1_000_000,
}


@pytest.mark.parametrize("sent", LARGE.values(), ids=LARGE)
def test_a_head_that_is_too_large_gets_431(server: Server, sent: bytes) -> None:
    [answer] = exchange(server, sent)
    assert_refused(answer, 431, "headers_too_large")


def test_a_head_is_as_large_in_pieces(server: Server) -> None:
    sent = LARGE["many long headers"]
    [answer] = exchange(server, *(sent[at : at + 5_000] for at in range(0, len(sent), 5_000)))
    assert_refused(answer, 431, "headers_too_large")


def test_a_head_just_within_the_limits_is_served(server: Server) -> None:
    headers = b"".join(b"x-%02d: %b\r\n" % (number, b"y" * 320) for number in range(97))
    sent = b"GET /healthz HTTP/1.1\r\nhost: a\r\n" + headers + b"connection: close\r\n\r\n"
    [answer] = exchange(server, sent)
    assert answer.status == 200


@pytest.mark.parametrize("endless", ["trailers", "chunk extensions", "blank lines"])
def test_nothing_is_read_for_ever(server: Server, endless: str) -> None:
    key = b"authorization: Bearer %s" % server.key(server.organization()).encode()
    chunked = b"transfer-encoding: chunked"
    start, line = {
        "trailers": (post(key, chunked, body=b"0\r\n"), b"x-a: b\r\n"),
        "chunk extensions": (post(key, chunked, body=b"1"), b";a=b"),
        "blank lines": (b"", b"\r\n"),
    }[endless]
    [answer] = exchange(server, start, *([line * 1_000] * 40))
    assert_refused(answer, 400, "bad_request")


def test_an_answer_that_came_early_is_the_only_one(server: Server) -> None:
    """The key is judged before the body, so there is an answer when the body turns out broken."""
    with connected(server) as connection:
        connection.sendall(post(b"transfer-encoding: chunked", body=b"1\r\na\r\n"))
        early = connection.recv(65_536)
        connection.sendall(b"zz" * 100_000)
        [answer] = answers_in(early + rest_of(connection))
    assert answer.status == 401


def test_requests_before_the_broken_one_are_answered_first(server: Server) -> None:
    key = server.key(server.organization(allowance=5))
    head = [b"authorization: Bearer %s" % key.encode(), b"content-type: application/json"]
    good = post(*head, b"content-length: %d" % len(BODY), body=BODY)
    booked, refused = exchange(server, good + b"GARBAGE\r\n\r\n")
    assert (booked.status, booked.body["status"]) == (201, "booked")
    assert_refused(refused, 400, "bad_request")


def test_a_request_whose_body_breaks_is_not_carried_out(server: Server) -> None:
    acme = server.organization(allowance=5)
    key = server.key(acme)
    head = [b"authorization: Bearer %s" % key.encode(), b"content-type: application/json"]
    chunk = b"%x\r\n%b\r\n" % (len(BODY), BODY)
    broken = post(*head, b"transfer-encoding: chunked", body=chunk + b"zz\r\n")
    [answer] = exchange(server, broken)
    assert_refused(answer, 400, "bad_request")
    [answer] = exchange(server, HEALTH + broken)[1:]
    assert_refused(answer, 400, "bad_request")
    close = b"connection: close"
    [credits] = exchange(
        server,
        b"\r\n".join(
            [b"GET /v1/organization/credits HTTP/1.1", b"host: a", head[0], close, b"", b""]
        ),
    )
    assert credits.body == {"remaining": 5, "consumed": 0, "total": 5}


def test_nothing_that_follows_a_broken_request_is_read(server: Server) -> None:
    [answer] = exchange(server, BROKEN["two lengths"] + HEALTH)
    assert answer.status == 400


def test_an_offer_of_another_protocol_is_answered_in_ours(server: Server) -> None:
    offer = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: %b\r\n\r\n"
    for protocol in (b"h2c", b"websocket"):
        [answer] = exchange(server, (offer % protocol) + HEALTH)
        assert (answer.status, answer.body) == (200, {"status": "up"})


def test_trailers_change_nothing(server: Server) -> None:
    key = server.key(server.organization(allowance=5))
    body = b"%x\r\n%b\r\n0\r\ncontent-type: text/html\r\n\r\n" % (len(BODY), BODY)
    head = [b"authorization: Bearer %s" % key.encode(), b"content-type: application/json"]
    [answer] = exchange(
        server, post(*head, b"connection: close", b"transfer-encoding: chunked", body=body)
    )
    assert answer.status == 201


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    sent = HEALTH + b"GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n" + HEALTH
    last = HEALTH.replace(b"host", b"connection: close\r\nhost")
    assert [answer.status for answer in exchange(server, sent + last)] == [200, 404, 200, 200]


def test_a_refused_sender_can_still_send(server: Server) -> None:
    """The answer must not be lost in a reset because the client had not finished."""
    [answer] = exchange(server, b"GARBAGE\r\n\r\n", *([b"x" * 65_536] * 16))
    assert_refused(answer, 400, "bad_request")


@pytest.mark.parametrize(
    "path", ["//v1/organization/credits", "/v1/../v1/identity", "/v1/identity/", "/v1%2Fidentity"]
)
def test_paths_mean_what_they_say(server: Server, tmp_path: Path, path: str) -> None:
    sent = b"GET %s HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" % path.encode()
    [answer] = exchange(server, sent)
    assert (answer.status, answer.body["error"]) == (404, "resource_not_found")


@pytest.mark.parametrize(
    "sent",
    [b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n", b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n" * 3],
)
def test_who_sends_no_more_still_gets_every_answer(server: Server, sent: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answers = list(answers_in(rest_of(connection)))
    assert [answer.status for answer in answers] == [200] * sent.count(b"GET")


@pytest.mark.parametrize(
    "sent", [b"GET /heal", post(b"content-length: 20", body=b'{"id": ')], ids=["a head", "a body"]
)
def test_a_request_that_ends_early_is_told_so(server: Server, sent: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        (answer,) = answers_in(rest_of(connection))
    assert answer.status in {400, 401}
