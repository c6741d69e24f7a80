"""The HTTP server of a worker: takes connections, says when it answers, and goes without losing a request.

Told to go, it takes the connections that already wait and no others, then answers what is at work and what still comes
over open connections, each with `Connection: close`. A connection between two requests is closed once it was silent for
a moment; a request that has begun and does not end is given up; ten seconds end it all.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import cast

import uvicorn
from starlette.applications import Starlette

from loopwright.serve.hot import Connection, Hub
from loopwright.serve.worker import DRAIN_SECONDS

_logger = logging.getLogger(__name__)
SILENT_SECONDS = 0.3
"""After which a connection between two requests is closed in a drain: a client that goes on at once gets its answer."""
UNFINISHED_SECONDS = 2.0
"""What a request that has begun has for the rest of it in a drain."""
_LOOK_SECONDS = 0.02
_HELP_SECONDS = 0.05
"""How often a worker looks whether connections wait that their own worker does not take."""
_CLOSE = (b"connection", b"close")


def serve(
    app: Starlette,
    hub: Hub,
    own: socket.socket,
    others: Sequence[socket.socket] = (),
    *,
    on_ready: Callable[[], None],
) -> None:
    """Take connections from a socket until SIGTERM or an interrupt; and what waits at other workers' for too long."""
    config = uvicorn.Config(
        app,
        http=connections(hub),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=1,  # what is left after the drain
    )
    Server(config, hub, on_ready, others).run(sockets=[own])


def connections(hub: Hub) -> type[asyncio.Protocol]:
    """What makes a connection of the hub's, as the server wants it."""
    return cast("type[asyncio.Protocol]", partial(Connection, hub))


class Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(
        self, config: uvicorn.Config, hub: Hub, on_ready: Callable[[], None], others: Sequence[socket.socket] = ()
    ) -> None:
        super().__init__(config)
        self._hub = hub
        self._on_ready = on_ready
        self._others = list(others)
        self._taken: set[asyncio.Task[object]] = set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As the server does it, but for what it raises again at its end: it has been heeded."""
        with suppress(ValueError):  # only the first thread has signals
            for one in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(one) is not signal.SIG_IGN:
                    signal.signal(one, self.handle_exit)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._hub.open(loop)
        await super().startup(sockets=sockets)
        if self._others:
            loop.call_later(_HELP_SECONDS, self._help, loop)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._hub.is_draining = True
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
        await self._close(sockets or [])
        await self._drain(asyncio.get_running_loop().time)
        await super().shutdown(sockets=[])

    async def _close(self, own: Sequence[socket.socket]) -> None:
        """Take no connections but those that wait. A server closes its socket in its own time, and what waits there
        then is lost: so a copy is kept open until it has, and is closed in the moment in which nobody waits."""
        loop, kept = asyncio.get_running_loop(), [one.dup() for one in own]
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LOOK_SECONDS)
        for one in own:
            one.close()
        for one in [*kept, *self._others]:
            self._take(loop, one)
            one.close()
        if self._taken:
            await asyncio.wait(self._taken)

    async def _drain(self, now: Callable[[], float]) -> None:
        begun = now()
        while self._hub.connections and now() < begun + DRAIN_SECONDS:
            passed = now() - begun
            for connection in list(self._hub.connections):
                connection.drain(self._hub.now(), passed, SILENT_SECONDS, UNFINISHED_SECONDS)
            await asyncio.sleep(_LOOK_SECONDS)
        if self._hub.connections:
            _logger.warning("%d requests took too long to be waited for", len(self._hub.connections))

    def _help(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take what another worker does not: it may be starting, or busy."""
        if not self._hub.is_draining:
            for one in self._others:
                self._take(loop, one)
            loop.call_later(_HELP_SECONDS, self._help, loop)

    def _take(self, loop: asyncio.AbstractEventLoop, listening: socket.socket) -> None:
        """All connections that wait there."""
        with suppress(BlockingIOError, ConnectionAbortedError):
            while True:
                accepted, _ = listening.accept()
                accepted.setblocking(False)
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                task: asyncio.Task[object] = loop.create_task(loop.connect_accepted_socket(self._connection, accepted))
                self._taken.add(task)
                task.add_done_callback(self._taken.discard)

    def _connection(self) -> asyncio.Protocol:
        make = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
