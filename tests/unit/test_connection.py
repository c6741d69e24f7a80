"""Where one request ends and the next begins, and whose names they are asked by: read in one way alone."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.keyed import a_key, added
from tests.unit.serving import ROW
from tests.unit.wires import PREDICT, Gatehouse, Wire, request

from loopwright.core.access import Scope
from loopwright.gateway.guard import Guard
from loopwright.gateway.note import Tracer
from loopwright.serve import framing

OTHER = b"GET /v1/loops HTTP/1.1\r\nhost: localhost\r\n\r\n"
BODY = json.dumps({"row": ROW}).encode()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path)
    made.station.promote(1)
    yield made
    made.close()


def crowd(house: Gatehouse) -> Wire:
    """A connection among others: what it asks waits for its turn."""
    wire, *_others = [house.connect() for _ in range(4)]
    return wire


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def head(*lines: str, target: str = PREDICT, method: str = "POST", host: str = "127.0.0.1") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode("latin-1")


def chunked(*trailers: str, size: int = 40, host: str = "127.0.0.1") -> bytes:
    told = b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in pieces(BODY, size))
    return head("Transfer-Encoding: chunked", host=host) + told + "\r\n".join(["0", *trailers, "", ""]).encode()


def statuses(house: Gatehouse, data: bytes, count: int, size: int = 1 << 20) -> list[int]:
    """Of the answers to what comes in pieces of that size, over a connection among others."""
    found: list[int] = []

    async def story(house: Gatehouse) -> None:
        wire = crowd(house)
        for piece in pieces(data, size):
            wire.send(piece)
        found.extend(one.status for one in await wire.answers(count))

    house.run(story)
    return found


def refused(house: Gatehouse, data: bytes) -> str:
    """What is said to who is answered 400 at once, and let go, without a byte of an answer to what stood behind."""
    said: list[str] = []

    async def story(house: Gatehouse) -> None:
        wire = crowd(house)
        wire.send(data + OTHER)
        (answer,) = await wire.answers()
        assert (answer.status, wire.is_closed, wire.got) == (400, True, b"")
        said.append(answer.content.decode())

    house.run(story)
    return said[0]


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
@pytest.mark.parametrize("size", [1, 50, 1 << 20])
def test_a_wish_for_another_protocol_is_not_heard_and_the_body_stays_a_body(
    house: Gatehouse, protocol: str, size: int
) -> None:
    smuggled = head("Connection: Upgrade", f"Upgrade: {protocol}", f"Content-Length: {len(OTHER)}") + OTHER
    good = head("Connection: Upgrade", f"upgrade:{protocol}", f"Content-Length: {len(BODY)}") + BODY
    assert statuses(house, smuggled + good + OTHER, 3, size) == [400, 200, 200]


def test_the_body_of_an_upgrade_that_comes_later_is_no_request(house: Gatehouse) -> None:
    async def story(house: Gatehouse) -> None:
        wire = crowd(house)
        wire.send(head("Connection: Upgrade", "Upgrade: websocket", f"Content-Length: {len(OTHER)}"))
        wire.send(OTHER)
        (answer,) = await wire.answers()
        assert (answer.status, "JSON" in answer.json["error"]["what"]) == (400, True)
        wire.send(OTHER)
        assert [one.json.keys() for one in await wire.answers()] == [{"loops"}]
        assert wire.got == b""

    house.run(story)


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize("first", ["hot", "plain", "chunked"])
def test_what_comes_in_pieces_loses_no_request_behind_it(house: Gatehouse, first: str, size: int) -> None:
    asked = {"hot": request(), "plain": request(expect="nothing"), "chunked": chunked()}[first]
    assert statuses(house, (asked + request() + OTHER) * 3, 9, size) == [200] * 9


def test_a_body_of_three_segments_with_the_next_request_in_the_third_leaves_nothing_behind(house: Gatehouse) -> None:
    async def story(house: Gatehouse) -> None:
        wire, data = crowd(house), request()
        begin = data.index(b"\r\n\r\n") + 4
        for piece in (data[: begin + 3], data[begin + 3 : begin + 6], data[begin + 6 :] + data):
            wire.send(piece)
        assert [one.status for one in await wire.answers(2)] == [200, 200]
        assert wire.connection.cycle.response_complete
        assert not wire.connection.pipeline

    house.run(story)


@pytest.mark.parametrize("size", [1, 13, 1 << 20])
def test_any_number_of_requests_may_stand_behind_a_chunked_one(house: Gatehouse, size: int) -> None:
    assert statuses(house, (chunked() + request()) * 20, 40, size) == [200] * 40


def test_what_trails_a_body_opens_nothing_and_names_nobody(house: Gatehouse) -> None:
    key = added(house.station.stores, a_key(Scope.ADMIN))
    guard = Guard(lambda: house.station.stores.keys, house.station.clock)
    guard.refresh()
    house.guard_by(guard)
    assert statuses(house, chunked(f"Authorization: Bearer {key}", f"X-Api-Key: {key}"), 1) == [401]
    assert statuses(house, chunked(f"Authorization: Bearer {key}", "a: b") + OTHER, 2, 1) == [401, 401]
    guard.stop()


def test_a_trailer_takes_nothing_away_either(house: Gatehouse) -> None:
    trailers = ("Host: evil.example", "Content-Length: 5", "Connection: Upgrade, close", "Upgrade: h2c")
    assert statuses(house, chunked(*trailers) + OTHER, 2, 11) == [200, 200]


BROKEN: dict[str, tuple[bytes, str]] = {
    "another encoding": (head("Transfer-Encoding: gzip, chunked"), "chunked alone"),
    "no encoding": (head("Transfer-Encoding: identity"), "chunked alone"),
    "an encoding unknown": (head("Transfer-Encoding: xchunked"), "chunked alone"),
    "two encodings": (head("Transfer-Encoding: identity", "Transfer-Encoding: chunked"), "twice"),
    "a length and chunks": (head("Content-Length: 5", "Transfer-Encoding: chunked"), "twice"),
    "chunks and a length": (head("transfer-encoding:\tchunked", "content-length:5"), "twice"),
    "two lengths": (head("Content-Length: 5", "X: y", "Content-Length: 7"), "twice"),
    "a list of lengths": (head("Content-Length: 5, 5"), "no number"),
    "a length with a sign": (head("Content-Length: +5"), "no number"),
    "an endless length": (head("Content-Length: 99999999999999999999999"), "no number"),
    "a folded length": (head("Content-Length:\r\n 5"), "broken"),
    "a bare line feed": (head("X: y\nContent-Length: 5"), "broken"),
    "a bare carriage return": (head("X: y\rContent-Length: 5"), "broken"),
    "a tunnel": (head(method="CONNECT", target="127.0.0.1:22"), "no proxy"),
    "a name before a space": (head("Transfer-Encoding : chunked") + b"0\r\n\r\n", "Invalid"),
    "a chunk below nothing": (head("Transfer-Encoding: chunked") + b"-1\r\n", "not in chunks"),
    "a chunk beyond everything": (head("Transfer-Encoding: chunked") + b"ffffffffffffffff1\r\n", "not in chunks"),
    "a chunk longer than it says": (head("Transfer-Encoding: chunked") + b"1\r\nabc\r\n0\r\n\r\n", "not in chunks"),
    "a chunk that goes on": (head("Transfer-Encoding: chunked") + b"1\r\nabb0\r\n\r\n", "Invalid"),
    "a long line": (head("Transfer-Encoding: chunked") + b"1;" + b"a" * 5000, "too long"),
    "too much beside": (head("Transfer-Encoding: chunked") + (b"1;%s\r\na\r\n" % (b"a" * 4000)) * 20, "too much"),
    "endless trailers": (head("Transfer-Encoding: chunked") + b"0\r\n" + b"a: b\r\n" * 20_000, "too much"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_closed(house: Gatehouse, name: str) -> None:
    data, said = BROKEN[name]
    assert said in refused(house, data)


@pytest.mark.parametrize("size", range(1, 12))
def test_chunks_end_where_they_end_however_they_come(size: int) -> None:
    data, body, given, used = chunked("a: b", "c: d", size=7), framing.Chunks(), b"", 0
    content = data[data.index(b"\r\n\r\n") + 4 :]
    for piece in pieces(content + OTHER, size):
        found, cut = body.take(piece)
        given, used = given + found, used + cut
        if body.is_done:
            break
    assert (used, given) == (len(content), content.replace(b"a: b\r\nc: d\r\n", b""))


HOSTS = {
    "127.0.0.1": 200,
    "LocalHost:80": 200,
    "[::1]:8080": 200,
    "127.0.0.1:": 200,
    "127.0.0.1/evil": 403,
    "127.0.0.1#.evil.example": 403,
    "127.0.0.1?.evil.example": 403,
    "127.0.0.1\\.evil.example": 403,
    "127.0.0.1:abc": 403,
    "127.0.0.1:80:80": 403,
    "me@127.0.0.1": 403,
    "127.0.0.1 evil.example": 403,
    "127.0.0.1,evil.example": 403,
    "[::1": 403,
    "localhost.": 403,
    "": 403,
}


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_is_a_name_and_a_port_and_nothing_else(house: Gatehouse, host: str) -> None:
    asked = head("Content-Type: application/json", f"Content-Length: {len(BODY)}", host=host) + BODY
    assert statuses(house, asked, 1) == [HOSTS[host]]
    assert statuses(house, chunked(host=host), 1) == [HOSTS[host]]
    assert sum(house.tally.requests.values()) == (HOSTS[host] == 200)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://127.0.0.1:8080/v1/loops", 200),
        ("HTTP://localhost/v1/loops", 200),
        ("http://evil.example/v1/loops", 403),
        ("http://me@127.0.0.1/v1/loops", 403),
        ("https://127.0.0.1.evil.example/v1/loops", 403),
        ("/v1/loops?from=http://evil.example/", 200),
    ],
)
def test_a_target_that_names_a_server_names_this_one(house: Gatehouse, target: str, status: int) -> None:
    assert statuses(house, head(method="GET", target=target), 1) == [status]


def test_a_body_is_packed_as_its_door_takes_it(house: Gatehouse) -> None:
    for path in (PREDICT, "/v1/labels", "/v2/models/flights/infer"):
        for encoding in ("gzip", "br", "identity, gzip"):
            assert statuses(house, request(gzip.compress(BODY), path, content_encoding=encoding), 1) == [415]
    assert statuses(house, request(content_encoding="identity") + request(content_encoding="Identity"), 2) == [200] * 2


class EveryOne:
    """Traces every request."""

    def wants(self, _parent: str | None) -> bool:
        return True


def test_a_traced_request_is_counted_once_against_the_rate_of_its_key(house: Gatehouse) -> None:
    key = added(house.station.stores, a_key(Scope.PREDICT, rate_per_second=3))
    guard = Guard(lambda: house.station.stores.keys, house.station.clock)
    guard.refresh()
    house.guard_by(guard)
    house.hub.tracer = cast("Tracer", EveryOne())
    asked: Any = request(authorization=f"Bearer {key}")
    assert statuses(house, asked * 4, 4) == [200, 200, 200, 429]
    guard.stop()
