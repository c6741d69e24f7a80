"""The edge: the same answers and refusals as a gateway's, a journal that stays small, and handing it in."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit import bundled
from tests.unit.serving import Client, Station, a_model

from loopwright import edge
from loopwright.data.schema import Column, Schema
from loopwright.edge import native, place
from loopwright.edge.__main__ import main
from loopwright.edge.handing import HandIn, poster
from loopwright.edge.journal import Journal
from loopwright.edge.room import Room
from loopwright.edge.runner import Runner
from loopwright.edge.server import Server
from loopwright.errors import BundleRefused, StoreUnavailable, UsageError
from loopwright.gateway.refused import Refused
from loopwright.predictions.journal import Line
from loopwright.testing import HandClock
from loopwright.transform.predictor import Predictor

ROW = {"carrier": "UA", "distance": 21}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As `lw bundle edge` writes it."""
    made = tmp_path / "edge"
    sealed = bundled.sealed(made / "bundle")
    found = place.look(sealed)
    place.write(made, found.loop, 3, found.digest)
    return made


@pytest.fixture
def runner(folder: Path) -> Runner:
    return edge.load(folder, clock=HandClock())


def lines(runner: Runner) -> list[Line]:
    content = b"".join(file.read_bytes() for file in runner.journal.closed())
    return [msgspec.json.decode(line, type=Line) for line in content.splitlines()]


def test_rows_are_answered_in_order_and_recorded_as_a_gateway_would(runner: Runner) -> None:
    found = runner.predict([ROW | {"id": 7}, {"carrier": None, "distance": 4.0}], unit="me")
    assert [one["value"] for one in found] == [42.0, 8.0]
    assert [(one["version"], one["arm"]) for one in found] == [(3, "edge")] * 2
    recorded = lines(runner)
    assert [one.id for one in recorded] == [one["id"] for one in found]
    assert [(one.loop, one.version, one.digest, one.arm, one.unit) for one in recorded] == [
        ("delays", 3, runner.place.digest, "edge", "me")
    ] * 2
    assert [(one.row, one.key, one.value) for one in recorded] == [
        (ROW, {"id": 7}, 42.0),
        ({"carrier": None, "distance": 4.0}, None, 8.0),
    ]


def test_a_bundle_alone_will_do_and_stays_as_it_is(tmp_path: Path) -> None:
    sealed = bundled.sealed(tmp_path / "bundle")
    assert edge.load(sealed).predict([ROW])[0]["version"] == 0
    assert (tmp_path / "bundle-journal").is_dir()
    assert edge.load(sealed).predict([ROW])[0]["value"] == 42.0


def test_a_bundle_that_was_touched_does_not_start(folder: Path) -> None:
    model = folder / "bundle" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(BundleRefused, match="its digest is"):
        edge.load(folder)


def test_what_tells_of_another_bundle_does_not_start(folder: Path) -> None:
    place.write(folder, "delays", 3, "0" * 64)
    with pytest.raises(BundleRefused, match="another bundle"):
        edge.load(folder)


def test_values_tagged_pii_are_never_written(tmp_path: Path) -> None:
    columns = (
        Column(name="carrier", kind="string", missing=True, tags=("pii",)),
        bundled.SCHEMA.columns[1],
    )
    made = bundled.fill(tmp_path / "bundle", schema=Schema(columns=columns, key=("id",), pii=("id",)))
    bundled.seal(made)
    runner = edge.load(made)
    runner.predict([ROW | {"id": "someone"}])
    assert [(one.row, one.key) for one in lines(runner)] == [({"distance": 21}, None)]


BODIES: dict[str, object] = {
    "a row": {"row": ROW},
    "rows": {"rows": [ROW, ROW | {"distance": 7.0}]},
    "a unit": {"row": ROW, "unit": "UA1545"},
    "null where it may be": {"row": ROW | {"carrier": None}},
    "null where it may not be": {"row": ROW | {"distance": None}},
    "a number in quotes": {"row": ROW | {"distance": "21"}},
    "a fraction": {"row": ROW | {"distance": 2.5}},
    "an integer beyond 64 bits": {"row": ROW | {"distance": 2**70}},
    "a column too many": {"row": ROW | {"gate": 5}},
    "a column too few": {"row": {"carrier": "UA"}},
    "a value that is a list": {"row": ROW | {"distance": [1]}},
    "a row that is none": {"row": 5},
    "no rows": {"rows": []},
    "row and rows": {"row": ROW, "rows": [ROW]},
    "neither": {},
    "an empty unit": {"row": ROW, "unit": ""},
    "a unit that is a number": {"row": ROW, "unit": 7},
    "a field too many": {"row": ROW, "more": 1},
    "no object": [1, 2],
    "no JSON": b"{",
    "nothing": b"",
    "no UTF-8": b'{"row": {"carrier": "\xff"}}',
    "half a surrogate": b'{"row": {"carrier": "\\ud800", "distance": 1}}',
    "infinity": b'{"row": {"carrier": "UA", "distance": 1e999}}',
    "NaN": b'{"row": {"carrier": "UA", "distance": NaN}}',
    "depth": b'{"row": ' + b"[" * 100_000,
    "many bad rows": {"rows": [ROW | {"distance": "x"}] * 150},
}


@pytest.fixture
def station(tmp_path: Path, folder: Path) -> Iterator[Station]:
    """A gateway with the same bundle."""
    made = Station(tmp_path / "workspace")
    made.models["delays", 3] = a_model(
        3, Predictor.from_folder(folder / "bundle"), loop="delays", schema=bundled.SCHEMA
    )
    made.table.put(("champion", 3, 1.0), loop="delays")
    made.gateway.refresh()
    yield made
    made.close()


@pytest.mark.parametrize("name", BODIES)
def test_what_a_gateway_answers_the_edge_answers_and_what_it_refuses_is_refused(
    runner: Runner, station: Station, name: str
) -> None:
    body = BODIES[name]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    expected = Client(station.client.served).post("/v1/loops/delays/predict", content)
    try:
        status, told = 200, native.predict(runner, content)
    except Refused as refused:
        status, told = refused.status, native.refusal(refused)
    if name in ("infinity", "depth"):  # a parser that knows the types meets another problem first
        assert (status, expected.status) == (400, 422)
        return
    assert status == expected.status
    assert json.loads(native.encoded(told)).keys() == expected.json.keys()
    if status == 200:
        assert values(told) == values(expected.json)
    if name not in ("a row that is none", "a value that is a list", "an integer beyond 64 bits"):  # told by the parser
        assert told.get("problems") == expected.json.get("problems")


def values(told: dict[str, Any]) -> list[float]:
    return [one["value"] for one in told.get("predictions", [told.get("prediction")])]


def test_a_full_journal_answers_nothing_more(folder: Path) -> None:
    runner = edge.load(folder, limit_bytes=2000, clock=HandClock())
    answered = 0
    with contextlib.suppress(StoreUnavailable):
        while answered < 100:
            runner.predict([ROW])
            answered += 1
    assert 0 < answered == len(lines(runner)) < 100
    with pytest.raises(StoreUnavailable, match="the journal is full"):
        edge.load(folder, limit_bytes=2000, clock=HandClock()).predict([ROW])


def test_a_full_journal_that_may_drops_the_oldest_and_counts_them(folder: Path) -> None:
    clock = HandClock()
    runner = edge.load(folder, limit_bytes=8000, when_full="drop", clock=clock)
    ids = []
    for _ in range(200):
        clock.advance(1)
        ids.append(runner.predict([ROW])[0]["id"])
    kept = [one.id for one in lines(runner)]
    standing = runner.journal.standing()
    assert standing.waiting_bytes <= 8000
    assert kept == ids[standing.dropped :]
    assert 0 < standing.dropped < 200


class Wire:
    """A gateway's end: what came, and what it says."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.taken: list[str] = []

    def post(self, content: bytes) -> int:
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            raise ConnectionRefusedError("away")
        if status == 200:
            self.taken += [json.loads(line)["id"] for line in gzip.decompress(content).splitlines()]
        return status


def test_what_was_recorded_is_handed_in_once_the_network_is_back(runner: Runner) -> None:
    ids = [one["id"] for one in runner.predict([ROW] * 2500)]
    wire = Wire(0, 200, 503)
    handing = HandIn(runner.journal, wire.post, HandClock())
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            handing.once()
    assert wire.taken == ids[:1000]
    assert handing.once() == 1500
    assert wire.taken == ids
    assert runner.journal.standing().waiting_bytes == 0
    assert [one.name for one in runner.journal.folder.iterdir()] == []
    assert handing.once() == 0


def test_a_file_that_will_never_be_taken_is_set_aside_and_stops_no_other(runner: Runner) -> None:
    runner.predict([ROW])
    handing = HandIn(runner.journal, Wire(422).post, HandClock())
    assert handing.once() == 0
    (aside,) = runner.journal.folder.iterdir()
    assert aside.suffix == ".refused"
    runner.predict([ROW])
    assert handing.once() == 1
    assert Journal(runner.journal.folder, HandClock()).standing().waiting_bytes == aside.stat().st_size


def test_a_line_torn_by_a_power_cut_is_left_out(runner: Runner) -> None:
    runner.predict([ROW])
    (file,) = runner.journal.closed()
    with file.open("ab") as opened:
        opened.write(b'{"id":"01')
    wire = Wire()
    assert HandIn(runner.journal, wire.post, HandClock()).once() == len(wire.taken) == 1


@pytest.fixture
def served(runner: Runner) -> Iterator[Server]:
    server = Server(runner)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def ask(server: Server, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    content = None if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(server.url + path, content, named)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_the_native_protocol_is_served(served: Server) -> None:
    status, told = ask(served, "/v1/loops/delays/predict", {"row": ROW})
    assert (status, told["prediction"]["value"]) == (200, 42.0)
    assert ask(served, "/healthz") == (200, {"status": "alive"})
    assert ask(served, "/readyz") == (200, {"status": "ready"})
    assert ask(served, "/v1/loops")[1]["loops"][0]["predictions"] == 1
    found = ask(served, "/v1/loops/delays")[1]
    assert (found["version"], found["task"], found["journal"]["dropped"]) == (3, "regression", 0)
    assert [one["name"] for one in found["schema"]["columns"]] == ["carrier", "distance"]


def test_what_is_not_there_or_not_for_pages_is_refused(served: Server) -> None:
    assert ask(served, "/nothing")[0] == 404
    assert ask(served, "/v1/loops", {"row": ROW})[0] == 405
    assert ask(served, "/v1/loops", host="evil.example")[0] == 403
    assert ask(served, "/v1/loops", origin="http://evil.example")[0] == 403
    assert ask(served, "/v1/loops/delays/predict", {"row": {}})[0] == 422


def test_an_address_that_others_reach_needs_a_key_and_then_asks_for_it(runner: Runner) -> None:
    with pytest.raises(UsageError, match="nobody would be asked"):
        Server(runner, "0.0.0.0")
    server = Server(runner, key="secret")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        assert ask(server, "/v1/loops")[0] == 401
        assert ask(server, "/v1/loops", authorization="Bearer wrong")[0] == 401
        assert ask(server, "/v1/loops", authorization="Bearer secret")[0] == 200
        assert ask(server, "/healthz")[0] == 200
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def connected(server: Server) -> socket.socket:
    host, port = server.server_address[:2]
    return socket.create_connection((str(host), port), timeout=5)


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it never was")


def test_who_holds_a_connection_and_asks_nothing_makes_place_for_who_asks(runner: Runner) -> None:
    clock = HandClock()
    with serving(Server(runner, room=Room(clock, places=3, beside=2))) as server, contextlib.ExitStack() as held:
        silent = [held.enter_context(connected(server)) for _ in range(3)]
        until(lambda: len(server.room._inside) == 3)
        assert ask(server, "/healthz")[0] == 200  # at once, beside them
        told = ask(server, "/v1/loops")
        assert (told[0], told[1]["error"]["what"]) == (503, "more connections ask than there is room for")
        clock.advance(2)
        assert ask(server, "/v1/loops/delays/predict", {"row": ROW})[0] == 200
        assert silent[0].recv(1) == b""
        silent[1].settimeout(0.05)
        with pytest.raises(TimeoutError):
            silent[1].recv(1)


def test_what_there_is_no_room_for_is_closed_without_waiting(runner: Runner) -> None:
    with serving(Server(runner, room=Room(HandClock(), places=1, beside=0))) as server, contextlib.ExitStack() as held:
        held.enter_context(connected(server))
        until(lambda: len(server.room._inside) == 1)
        second = held.enter_context(connected(server))
        assert second.recv(1) == b""


def test_a_stranger_is_refused_before_the_body_is_read(runner: Runner) -> None:
    with serving(Server(runner, key="secret")) as server:
        with connected(server) as client:
            head = "POST /v1/loops/delays/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n"
            client.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 401 ")
        with connected(server) as client:
            body = json.dumps({"row": ROW}).encode()
            head = head.replace("9000000", str(len(body))) + "Authorization: Bearer secret\r\nExpect: 100-continue\r\n"
            client.sendall(head.encode() + b"\r\n")
            assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(body)
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert ask(server, "/v1/loops/delays/predict", {"row": {"carrier": "x" * 500_000}})[0] == 401


def test_wrong_words_end_it_with_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--gateway", "foo"], ["--host", "0.0.0.0"], ["--key-file", str(folder / "none")]):
        assert main([str(folder), "--port", "0", *words]) == 2
        assert capsys.readouterr().err.startswith("error: ")
    assert main([str(folder / "none")]) == 1


def test_a_gateway_is_named_by_its_url() -> None:
    with pytest.raises(UsageError, match="no URL of a gateway"):
        poster("file:///etc/passwd", None)


TWICE = [
    b"POST /v1/loops/delays/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\nContent-Length: 15\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n",
]


@pytest.mark.parametrize("head", TWICE, ids=["two lengths", "a body of a GET", "chunks of a GET"])
def test_what_may_be_a_body_is_never_taken_for_the_next_request(runner: Runner, head: bytes) -> None:
    with serving(Server(runner)) as server, connected(server) as client:
        client.sendall(head + b"GET /v1/loops HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = client.makefile("rb").read()
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 400 " if head.startswith(b"POST") else b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()
