"""Many requests of one row each, over connections that are kept open: what the users of a gateway look like to it.

Each connection has one request on its way. An answer is read only as far as it must be: its status and its end.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from loopwright.errors import LoopwrightError

CONNECTIONS = 64
_PATIENCE_SECONDS = 60.0
"""For all that is sent at once."""
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_WELL = b"HTTP/1.1 200 "
_ID = re.compile(rb'"id": ?"([0-9A-Z.]+)"')


def _event_loop() -> asyncio.AbstractEventLoop:
    """The gateway's own, where there is one: who asks is not to be what is waited for."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Traffic:
    """Connections to one gateway, for one loop. Close it at the end, or use it in a `with` block."""

    def __init__(self, url: str, loop: str, *, connections: int = CONNECTIONS) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname or "127.0.0.1", place.port or 80
        path = f"POST /v1/loops/{loop}/predict HTTP/1.1\r\nHost: {place.netloc}\r\n"
        self._head = f"{path}Content-Type: application/json\r\nContent-Length: ".encode()
        self._events = _event_loop()
        self._most = connections
        self._open: list[_Connection] = []

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for connection in self._open:
            connection.close()
        self._open.clear()
        self._events.run_until_complete(asyncio.sleep(0))
        self._events.close()

    def send(self, bodies: Sequence[bytes]) -> list[bytes]:
        """One request each; the bodies of the answers, in the same order.

        Raises LoopwrightError for any answer but 200, and for a connection that is lost.
        """
        return self._events.run_until_complete(asyncio.wait_for(self._send(bodies), _PATIENCE_SECONDS))

    async def _send(self, bodies: Sequence[bytes]) -> list[bytes]:
        if not bodies:
            return []
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # what the gateway closed meanwhile is seen now
        await self._connect(min(self._most, len(bodies)))
        batch = _Batch(bodies, self._head, self._events.create_future())
        for connection in self._open[: len(bodies)]:
            connection.take(batch)
        await batch.done
        return batch.answers

    async def _connect(self, wanted: int) -> None:
        """As many connections as are wanted; one that the gateway has closed meanwhile is made anew."""
        self._open = [connection for connection in self._open if connection.is_open]
        for _ in range(wanted - len(self._open)):
            made = self._events.create_connection(_Connection, self._host, self._port)
            try:
                self._open.append((await made)[1])
            except OSError as error:
                place = f"{self._host}:{self._port}"
                raise LoopwrightError(f"the gateway cannot be reached: {error}", where=place) from error


class _Batch:
    """What is sent at once, and what came back of it."""

    def __init__(self, bodies: Sequence[bytes], head: bytes, done: asyncio.Future[None]) -> None:
        self.answers = [b""] * len(bodies)
        self.done = done
        self._bodies = bodies
        self._head = head
        self._next, self._left = 0, len(bodies)

    def take(self) -> tuple[int, bytes] | None:
        """The next request, whole, with its place; None where all are on their way."""
        place = self._next
        if place == len(self._bodies) or self.done.done():
            return None
        self._next = place + 1
        body = self._bodies[place]
        return place, b"%b%d%b%b" % (self._head, len(body), _END, body)

    def answered(self, place: int, content: bytes) -> None:
        self.answers[place] = content
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(None)

    def failed(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(LoopwrightError(reason, fix="see what the gateway says: lw serve"))


class _Connection(asyncio.Protocol):
    """One connection, with one request on its way at most."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._batch: _Batch | None = None
        self._place = 0
        self._held = b""
        """Of an answer that is not whole yet."""

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._batch is not None:
            self._batch.failed(f"the gateway hung up: {exc or 'it closed the connection'}")

    def close(self) -> None:
        self._batch = None
        self._transport.close()

    def take(self, batch: _Batch) -> None:
        """Send the next request of a batch, if there is one."""
        found = batch.take()
        self._batch = None if found is None else batch
        if found is not None:
            self._place = found[0]
            self._transport.write(found[1])

    def data_received(self, data: bytes) -> None:
        answer = self._held + data if self._held else data
        head = answer.find(_END) + len(_END)
        told = _LENGTH.search(answer, 0, head) if head >= len(_END) else None
        if told is None or len(answer) < head + int(told[1]):
            self._held = answer
            return
        self._held = b""
        self._heard(answer, head)

    def _heard(self, answer: bytes, head: int) -> None:
        batch = self._batch
        if batch is None:
            return
        if not answer.startswith(_WELL):
            status = answer[9:12].decode(errors="replace")
            batch.failed(f"the gateway answered {status}: {answer[head:].decode(errors='replace')[:500]}")
            return
        batch.answered(self._place, answer[head:])
        self.take(batch)


def bodies(rows: Sequence[Mapping[str, Any]], unit: Callable[[Mapping[str, Any]], str]) -> list[bytes]:
    """What asks for a prediction of each row, with its unit.

    >>> bodies([{"carrier": "UA"}], lambda row: row["carrier"])
    [b'{"row":{"carrier":"UA"},"unit":"UA"}']
    """
    encode = msgspec.json.Encoder().encode
    return [encode({"row": row, "unit": unit(row)}) for row in rows]


def identity(answer: bytes) -> str:
    """The id of the prediction that an answer tells. Raises LoopwrightError where it tells none.

    >>> identity(b'{"prediction":{"id":"01K.0","version":1}}')
    '01K.0'
    """
    found = _ID.search(answer)
    if found is None:
        raise LoopwrightError(f"the answer names no prediction: {answer[:200].decode(errors='replace')}")
    return found[1].decode()
