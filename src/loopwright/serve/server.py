"""The process that serves: one HTTP server on one address of this machine, until it is told to stop.

Only loopback: whoever reaches the port may predict and label, for who may is not asked yet.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from loopwright.core.clock import Clock
from loopwright.core.stores import Stores
from loopwright.errors import StoreUnavailable, UsageError
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.model import load
from loopwright.predictions import journal, labels
from loopwright.predictions.journal import Journal
from loopwright.protocols.bodies import Limits
from loopwright.protocols.door import HOSTS
from loopwright.protocols.labelling import Labelling
from loopwright.serve import app

_DRAIN_SECONDS = 10
BUNDLES = "bundles"
"""Of a workspace: the bundles that were fetched to be served."""


class Gate:
    """A gateway with its journals, wired to a workspace. Close it at the end."""

    def __init__(self, *, stores: Callable[[], Stores], workspace: Path, clock: Clock, limits: Limits) -> None:
        self._predictions = Journal(workspace / journal.FOLDER, clock)
        self._labels = Journal(workspace / labels.FOLDER, clock)
        self.gateway = Gateway(
            routes=lambda: stores().routes,
            load=lambda loop, number: load(stores(), workspace / BUNDLES, loop, number),
            journal=self._predictions,
            clock=clock,
        )
        labelling = Labelling(workspace=workspace, journal=self._labels, gateway=self.gateway, clock=clock)
        self.app = app.create(self.gateway, labelling, limits)

    def close(self) -> None:
        self.gateway.stop()
        self._predictions.close()
        self._labels.close()


def listen(host: str, port: int) -> socket.socket:
    """An open port of this machine; 0 gives a free one. Raises `UsageError`, `StoreUnavailable` when it is taken."""
    if not is_loopback(host):
        raise UsageError(
            f"the gateway serves on this machine only, not on {host!r}",
            fix="leave --host out; authentication, without which nobody else may ask, comes later",
        )
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise StoreUnavailable(
            f"the port {port} cannot be had: {error.strerror}",
            where=host,
            fix="choose another with --port, or 0 for a free one",
        ) from error


def is_loopback(host: str) -> bool:
    """
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    return host in HOSTS


def url(opened: socket.socket) -> str:
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: Starlette, opened: socket.socket, *, on_ready: Callable[[], None]) -> None:
    """Until SIGTERM or an interrupt; then requests at work are answered first, for ten seconds at most."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    signal.signal(signal.SIGTERM, lambda *_: None)  # what the server raises again once it has drained
    _Server(config, on_ready).run(sockets=[opened])


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_ready()
