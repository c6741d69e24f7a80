"""Connections without a network: the protocol of a gateway, fed with bytes, and what it would have sent."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn
from tests.unit.serving import ROW, Answered, Station
from uvicorn.server import ServerState

from loopwright.access.names import Names
from loopwright.core.clock import Clock, SystemClock
from loopwright.gateway.answering import Answering
from loopwright.gateway.guard import Guard
from loopwright.gateway.lanes import Lanes, Patience
from loopwright.gateway.metrics import Tally
from loopwright.gateway.shadow import Shadows
from loopwright.gateway.watch import Watch
from loopwright.protocols import v1, v2
from loopwright.protocols.door import Entry
from loopwright.protocols.infer import Infer
from loopwright.protocols.inference import Inference
from loopwright.protocols.labelling import Labelling
from loopwright.protocols.native import Native
from loopwright.serve import app
from loopwright.serve.hot import Connection, Hub, Sockets

PREDICT = "/v1/loops/flights/predict"
_ID = re.compile(rb"[0-9A-HJKMNP-TV-Z]{26}(?=\.)")


class Wire(asyncio.Transport):
    """The other end of a connection."""

    def __init__(self, connection: Connection) -> None:
        super().__init__({"sockname": ("127.0.0.1", 8080), "peername": ("127.0.0.1", 50000)})
        self.connection = connection
        self.got = b""
        self.is_closed = False
        self.unsent = 0
        connection.connection_made(self)

    def write(self, data: Any) -> None:
        self.got += bytes(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def send(self, data: bytes) -> None:
        self.connection.data_received(data)

    async def answers(self, count: int = 1) -> list[Answered]:
        """Waits for so many, and takes them off the wire."""
        for _ in range(4000):
            found, rest = _split(self.got)
            if len(found) >= count:
                self.got = rest
                return found
            await asyncio.sleep(0.001)
        raise AssertionError(f"only {self.got!r} came")


class Gatehouse:
    """A station with everything that its hot path needs."""

    def __init__(self, workspace: Path, *, clock: Clock | None = None, **given: Any) -> None:
        patience, sockets = given.pop("patience", Patience()), given.pop("sockets", Sockets())
        self.stuck: list[str] = []
        clock = clock or SystemClock()
        self.watch = Watch(clock, recycle_seconds=patience.recycle_seconds, on_stuck=self.stuck.append)
        self.station = Station(workspace, watched=(self.watch, patience.deadline_seconds), **given)
        self.tally = Tally()
        journal, gateway, limits = self.station.journal, self.station.gateway, self.station.limits
        self.shadows = Shadows(
            journal=journal, watch=self.watch, clock=SystemClock(), tally=self.tally, failures=gateway.failures
        )
        gateway.shadows = self.shadows
        answering = Answering(gateway=gateway, journal=journal, watch=self.watch, clock=clock, tally=self.tally)
        self.lanes = Lanes(answering, patience=patience, clock=clock, tally=self.tally, after=self.shadows.offer)
        self.hub = Hub(
            lanes=self.lanes,
            entry=Entry(self.station.guard, Names()),
            clock=clock,
            forms=[
                Native(limits, partial(v1.answer, gateway, limits)),
                Infer(limits, partial(v2.answer, Inference(gateway, limits.rows))),
            ],
            knows=gateway.serves,
            body_bytes=limits.body_bytes,
            deadline_seconds=patience.deadline_seconds,
            sockets=sockets,
        )
        self.watch.start()
        self.shadows.start()

    def guard_by(self, guard: Guard) -> None:
        """From now on, on both ways."""
        station = self.station
        entry = self.hub.entry = Entry(guard, Names())
        labelling = Labelling(
            workspace=station.workspace, journal=station.label_journal, gateway=station.gateway, clock=station.clock
        )
        station.client.served = app.create(station.gateway, labelling, station.limits, entry)

    def run(self, story: Callable[[Gatehouse], Awaitable[None]]) -> None:
        """In an event loop of its own."""
        asyncio.run(self._run(story))

    def connect(self) -> Wire:
        config = uvicorn.Config(cast("Any", self.station.client.served), log_config=None, lifespan="off")
        config.load()
        loop = asyncio.get_running_loop()
        return Wire(Connection(self.hub, config=config, server_state=ServerState(), app_state={}, _loop=loop))

    async def ask(self, body: object, path: str = PREDICT, *, plainly: bool = False, **headers: str) -> Answered:
        """By the hot path, or by the endpoint it stands for."""
        wire = self.connect()
        also = {"expect": "nothing"} if plainly else {}  # a header that makes it an odd request
        wire.send(request(body, path, **headers, **also))
        (answered,) = await wire.answers()
        wire.connection.connection_lost(None)
        return answered

    def close(self) -> None:
        self.lanes.close()
        self.shadows.stop()
        self.watch.stop()
        self.station.close()

    async def _run(self, story: Callable[[Gatehouse], Awaitable[None]]) -> None:
        self.hub.open(asyncio.get_running_loop())
        await story(self)


def request(body: object = None, path: str = PREDICT, **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps({"row": ROW} if body is None else body).encode()
    named = {"host": "127.0.0.1:8080", "content-type": "application/json", "content-length": str(len(content))}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in (named | headers).items()]
    return f"POST {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + content


def nameless(content: bytes) -> bytes:
    """With every id made the same."""
    return _ID.sub(b"ULID", content)


def _split(data: bytes) -> tuple[list[Answered], bytes]:
    found = []
    while b"\r\n\r\n" in data:
        head, rest = data.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        size = int(headers.get("content-length", "0"))
        if len(rest) < size:
            break
        found.append(Answered(int(first.split()[1]), headers, rest[:size]))
        data = rest[size:]
    return found, data
