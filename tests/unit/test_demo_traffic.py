"""The demo's users: one request a row over kept connections, against a server that answers as it is told."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from loopwright.demo.client import Client
from loopwright.demo.traffic import Traffic, bodies, identity
from loopwright.errors import LoopwrightError

Answer = Callable[[bytes], list[bytes]]
"""Of a body: the pieces in which the answer is sent."""


def well(body: bytes) -> list[bytes]:
    return [b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)]


def in_pieces(body: bytes) -> list[bytes]:
    whole = well(body)[0]
    return [whole[:9], whole[9:30], whole[30:]]


def badly(_: bytes) -> list[bytes]:
    return [b"HTTP/1.1 422 Unprocessable\r\ncontent-length: 6\r\n\r\nno row"]


@contextmanager
def answering(answer: Answer, *, most: int = 1_000_000) -> Iterator[tuple[str, list[bytes]]]:
    """A server's URL, and the bodies that came to it. It hangs up after `most` answers on a connection."""
    heard: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for _ in range(most):
                length = 0
                while (line := self.rfile.readline()) not in (b"\r\n", b""):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                if not line:
                    return
                body = self.rfile.read(length)
                heard.append(body)
                for piece in answer(body):
                    self.wfile.write(piece)
                    self.wfile.flush()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", heard
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("answer", [well, in_pieces], ids=["whole", "in pieces"])
def test_answers_come_back_in_the_order_of_the_requests(answer: Answer) -> None:
    asked = [b'{"row":%d}' % number for number in range(300)]
    with answering(answer) as (url, heard), Traffic(url, "late", connections=7) as traffic:
        assert traffic.send(asked) == asked
        assert traffic.send(asked[:3]) == asked[:3]
    assert sorted(heard) == sorted([*asked, *asked[:3]])


def test_nothing_is_sent_for_no_rows() -> None:
    with Traffic("http://127.0.0.1:9", "late") as traffic:
        assert traffic.send([]) == []


def test_an_answer_that_is_no_answer_is_told() -> None:
    with (
        answering(badly) as (url, _),
        Traffic(url, "late") as traffic,
        pytest.raises(LoopwrightError, match=r"422.*no row"),
    ):
        traffic.send([b"{}"] * 5)


def test_a_gateway_that_is_not_there_is_told() -> None:
    with Traffic("http://127.0.0.1:9", "late") as traffic, pytest.raises(LoopwrightError, match="cannot be reached"):
        traffic.send([b"{}"])


def test_a_connection_that_was_let_go_between_two_sends_is_made_anew() -> None:
    with answering(well, most=1) as (url, heard), Traffic(url, "late", connections=2) as traffic:
        for number in range(3):
            threading.Event().wait(0.05)
            assert traffic.send([b"%d" % number]) == [b"%d" % number]
        assert len(heard) == 3


def test_the_plain_client_connects_again_too() -> None:
    with answering(well, most=1) as (url, heard), Client(url) as client:
        assert [client.post("/v1/labels", number) for number in range(3)] == [0, 1, 2]
    assert heard == [b"0", b"1", b"2"]


def test_each_row_has_its_unit_beside_it() -> None:
    assert bodies([{"carrier": "UA", "flight": 7}], lambda row: f"{row['carrier']}{row['flight']}") == [
        b'{"row":{"carrier":"UA","flight":7},"unit":"UA7"}'
    ]


def test_an_answer_without_an_id_is_told() -> None:
    with pytest.raises(LoopwrightError, match="names no prediction"):
        identity(b'{"predictions":[]}')
