"""What is counted, traced and logged of every request that is not answered in the hot path.

A prediction goes under the loop, version and arm that answered; anything else under the route it took. A path that no
route takes is told as `none`, and a loop that nobody serves as nothing: a client cannot make a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loopwright.core import access
from loopwright.core.clock import Clock
from loopwright.errors import StoreError
from loopwright.gateway import note
from loopwright.gateway.metrics import Tally
from loopwright.gateway.note import Note, Tracer
from loopwright.gateway.refused import Refused
from loopwright.protocols.door import Guarded

TRACED = "loopwright.traced"
"""In the scope of a request: whether it is traced, where that was settled already."""
NO_ROUTE = "none"
_TRACE_HEADERS = ("traceparent", "tracestate")


class Watching:
    """Stands before the door, so that those it turns away are counted too."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        tally: Tally,
        clock: Clock,
        routes: Iterable[Guarded],
        knows: Callable[[str], bool],
        tracer: Tracer | None = None,
    ) -> None:
        """`knows` says whether a loop is one of ours."""
        self._app = app
        self._tally = tally
        self._clock = clock
        self._routes = {one.endpoint: one for one in routes}
        self._knows = knows
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(self._clock, receive, send)
        noted = Note(is_traced=self._is_traced(scope))
        try:
            with note.noting(noted):
                await self._app(scope, exchange.receive, exchange.send)
        finally:
            self._tell(scope, noted, exchange)

    def _is_traced(self, scope: Scope) -> bool:
        if self._tracer is None:
            return False
        settled = scope.get(TRACED)
        return self._tracer.wants(_trace(scope).get("traceparent")) if settled is None else bool(settled)

    def _tell(self, scope: Scope, noted: Note, exchange: _Exchange) -> None:
        route = self._routes.get(scope.get("endpoint", _nowhere))
        now = self._clock.monotonic()
        if not noted.loop:
            name = scope.get("path_params", {}).get("name", "")
            noted.loop = name if self._knows(name) else ""
        if route is not None and route.needs is access.Scope.PREDICT and noted.loop:
            noted.protocol = noted.protocol or _protocol(route.path)
            note.count(self._tally, noted, exchange.status, now - exchange.begun)
        else:
            self._tally.exchanged(NO_ROUTE if route is None else route.path, exchange.status, now - exchange.begun)
        if noted.is_traced and self._tracer is not None:
            self._tracer.tell(noted, _trace(scope), exchange.status, exchange.begun, now)


class _Exchange:
    """One request: what its answer is, and since when it was there whole."""

    def __init__(self, clock: Clock, receive: Receive, send: Send) -> None:
        self.status = 500
        """What the server says where the application says nothing."""
        self.begun = clock.monotonic()
        self._clock = clock
        self._receive = receive
        self._send = send

    async def receive(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self.begun = self._clock.monotonic()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


class Calls:
    """Counts requests for predictions that come by another way than HTTP, under the name of that protocol."""

    def __init__(self, protocol: str, tally: Tally, clock: Clock, knows: Callable[[str], bool]) -> None:
        self._protocol = protocol
        self._tally = tally
        self._clock = clock
        self._knows = knows

    @contextmanager
    def one(self, loop: str) -> Iterator[None]:
        """A call for that loop; how it ends is told by what it raises."""
        noted, status = Note(protocol=self._protocol, loop=loop if self._knows(loop) else ""), 500
        begun = self._clock.monotonic()
        try:
            with note.noting(noted):
                yield
            status = 200
        except Refused as refused:
            status = refused.status
            raise
        except StoreError:
            status = 503
            raise
        finally:
            seconds = self._clock.monotonic() - begun
            if noted.loop:
                note.count(self._tally, noted, status, seconds)
            else:
                self._tally.exchanged(self._protocol, status, seconds)


def _nowhere() -> None:
    """The endpoint of what took no route."""


def _trace(scope: Scope) -> dict[str, str]:
    found = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
    return {name: found[name] for name in _TRACE_HEADERS if name in found}


def _protocol(path: str) -> str:
    """Of a route for predictions: v1, v2, or a platform's.

    >>> _protocol("/v2/models/{name}/infer"), _protocol("/invocations")
    ('v2', 'platform')
    """
    first = path.split("/")[1]
    return first if first in ("v1", "v2") else "platform"
