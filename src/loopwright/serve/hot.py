"""The protocol of a connection: a request for a prediction goes straight to its lane, everything else to Starlette.

A hot request never becomes a scope or a task. It is read by the same parser, meets the same guard, and is answered with
the same bytes; whatever is odd about it (an old version of HTTP, a second request behind one that waits, a key that was
not seen before) makes it a plain one. A client that repeats the head of its last request byte for byte is not parsed
again. Who is slow, or gone, costs a socket for a while: one sweep a second closes what has been silent for too long.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from loopwright.access import keys
from loopwright.core.access import Scope
from loopwright.core.clock import Clock
from loopwright.gateway.answering import Call, Form, Outcome
from loopwright.gateway.guard import Unverified
from loopwright.gateway.lanes import Lanes
from loopwright.gateway.note import Tracer
from loopwright.gateway.refused import Refused
from loopwright.protocols.door import AUTHORITY, Entry, is_here
from loopwright.protocols.watching import TRACED
from loopwright.serve import framing

_NAME = rb"([a-z][a-z0-9_-]{0,63})"
_PATHS = {
    "v1": re.compile(rb"/v1/loops/" + _NAME + rb"/predict"),
    "v2": re.compile(rb"/v2/models/" + _NAME + rb"/infer"),
}
"""Of the requests for predictions, by the form in which they come."""
_SINGLE = (b"host", b"origin", b"authorization", b"x-api-key", b"content-length")
_ODD = frozenset((b"expect", b"transfer-encoding", b"content-encoding", b"inference-header-content-length"))
_JSON = b"application/json"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_SWEEP_SECONDS = 1.0
_MOST_HEADS = 1024
_MOST_HEAD_BYTES = 65_536
_END = b"\r\n\r\n"
_AUTHORITY = re.compile(rb"[a-z][a-z0-9+.-]*://([^/?#]*)", re.IGNORECASE)
"""Of a target that names a server, as those of proxies do."""
_Asked: TypeAlias = tuple[str, Form]
"""The loop that is asked for predictions, and how."""
_CROWDED = 0.8
"""Of the connections there may be: beyond it, patience is a tenth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """How many connections there may be, and how long one may be silent."""

    most: int = 10_000
    request_seconds: float = 30.0
    """A head or a body that has begun, without another byte."""
    whole_seconds: float = 120.0
    """A request, from its first byte to its last."""
    idle_seconds: float = 75.0
    """Between two requests."""


class _Known:
    """What a head means that was parsed once: what is asked, the length of the body, the key that was shown."""

    __slots__ = ("asked", "length", "shown")

    def __init__(self, asked: _Asked, length: int, shown: str | None) -> None:
        self.asked = asked
        self.length = length
        self.shown = shown


class Hub:
    """What all connections of a process share."""

    def __init__(
        self,
        *,
        lanes: Lanes,
        entry: Entry,
        clock: Clock,
        forms: Sequence[Form],
        knows: Callable[[str], bool],
        body_bytes: int,
        deadline_seconds: float,
        sockets: Sockets,
        tracer: Tracer | None = None,
    ) -> None:
        self.lanes = lanes
        self.entry = entry
        self.now = clock.monotonic
        self.body_bytes = body_bytes
        self.deadline_seconds = deadline_seconds
        self.sockets = sockets
        self.tracer = tracer
        self.connections: set[Connection] = set()
        self.is_draining = False
        """Whether this process goes: every answer is the last of its connection."""
        self.knows = knows
        self._forms = [(_PATHS[form.name], form) for form in forms]
        self._asked: dict[bytes, _Asked] = {}
        self._heads: dict[str, dict[bytes, _Known]] = {}

    def asked(self, url: bytes) -> _Asked | None:
        """The loop that a path asks for a prediction, and how; None for any other path, and what is not served."""
        found = self._asked.get(url)
        if found is None:
            for path, form in self._forms:
                matched = path.fullmatch(url)
                if matched is not None and self.knows(matched[1].decode()):
                    found = self._asked[url] = (matched[1].decode(), form)  # a few for each loop there is
        return found

    def heads_of(self, address: str) -> dict[bytes, _Known]:
        """Heads that were parsed already, of requests that came in at an address of this machine."""
        return self._heads.setdefault(address, {})

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call it in the event loop, before the first connection."""
        self.lanes.open(loop)
        loop.call_later(_SWEEP_SECONDS, self._sweep, loop)

    def sweep(self) -> None:
        """Let go of who was silent for too long."""
        now = self.now()
        factor = 0.1 if len(self.connections) > _CROWDED * self.sockets.most else 1.0
        for connection in list(self.connections):
            connection.close_if_silent(now, factor)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sweep()
        loop.call_later(_SWEEP_SECONDS, self._sweep, loop)


class _Never:
    """Stands where an event would be that nobody waits for."""

    def set(self) -> None: ...


_NEVER = _Never()


class HotCall(Call):
    """A request on a connection. It looks to the server like one of its own cycles."""

    __slots__ = ("connection", "disconnected", "keep_alive", "message_event", "response_complete")

    def __init__(
        self, connection: Connection, asked: _Asked, content: bytes, begun: float, *, keep_alive: bool
    ) -> None:
        super().__init__(asked[0], asked[1], content, begun, begun + connection.hub.deadline_seconds)
        self.connection = connection
        self.keep_alive = keep_alive
        self.response_complete = self.disconnected = False
        self.message_event = _NEVER

    def answer(self, outcome: Outcome) -> None:
        self.response_complete = True
        self.connection.reply(self, outcome)


class Connection(HttpToolsProtocol):
    """One connection."""

    cycle: Any
    """The newest request: a `HotCall`, or the server's own."""

    def __init__(self, hub: Hub, **given: Any) -> None:
        super().__init__(**given)
        self.hub = hub
        self._wanted: _Asked | None = None
        """What the request asks that comes in now, when it is hot."""
        self._parts: list[bytes] = []
        self._size = 0
        self._count = 0
        """Requests that came in."""
        self._is_between = True
        """The parser is in no request."""
        self._part = self._held = b""
        """Of a head that is not whole yet; and what came before it could be read."""
        self._body: framing.Body = framing.Sized(0)
        """Of the request that comes in: the parser is never given more than that one."""
        self._is_due = False
        self._heads: dict[bytes, _Known] = {}
        self._shown: str | None = None
        """The key that came with the request."""
        self._is_traced: bool | None = None
        """Of the request that comes in now; None where nobody decided."""
        self._seen_at = self._begun_at = 0.0
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connections = self.hub.connections
        self._seen_at = self.hub.now()
        self._heads = self.hub.heads_of(self.server[0] if self.server else "")
        if len(connections) >= self.hub.sockets.most:
            transport.write(_BUSY)
            transport.close()
        connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.hub.connections.discard(self)
        call = self.cycle
        if isinstance(call, HotCall):
            call.is_done = True  # nobody waits any more
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._seen_at = self.hub.now()
        if self._held or self._is_busy():
            self._hold(self._held + data)
        else:
            self._take(data)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._schedule()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._schedule()

    def _is_busy(self) -> bool:
        """Whether what comes next must wait: for an answer that is being worked out, or read by the client."""
        cycle = self.cycle
        return (self._is_between and cycle is not None and not cycle.response_complete) or self.flow.write_paused

    def _hold(self, data: bytes) -> None:
        """Keep what came too early, unread; no more comes meanwhile."""
        self._held = data
        self.flow.pause_reading()

    def _schedule(self) -> None:
        if self._held and not self._is_due:
            self._is_due = True
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """The next request of those that came too early: one a turn, so that others have theirs."""
        self._is_due = False
        if self.transport.is_closing() or not self._held or self._is_busy():
            return
        data, self._held = self._held, b""
        self._take(data)
        if not self._held:
            self.flow.resume_reading()

    def _take(self, data: bytes) -> None:
        """No more than one request; the rest is held."""
        rest = self._take_first(data) if self._is_between else self._take_body(data)
        if rest and not self.transport.is_closing():
            self._hold(rest)
            self._schedule()

    def _take_first(self, data: bytes) -> bytes:
        """The head of a request, and as much of its body as is there. Gives back what is left over."""
        if self._part:
            data = self._part + data
        else:
            self._begun_at = self._seen_at
        end = data.find(_END) + len(_END)
        if end < len(_END):
            self._part = data
            if len(data) > _MOST_HEAD_BYTES:
                self.send_400_response("The head of the request is too long.")
            return b""
        self._part = b""
        head, rest = data[:end], data[end:]
        known = self._heads.get(head)
        if known is not None and len(rest) >= known.length and self._repeat(known, rest[: known.length]):
            return rest[known.length :]
        return self._take_head(head, rest)

    def _take_head(self, head: bytes, rest: bytes) -> bytes:
        """A head that is not known by heart goes to the parser."""
        try:
            self._body = framing.body(head)
        except ValueError as error:
            self.send_400_response(str(error))
            return b""
        count = self._count
        behind = self._take_body(rest, framing.plain(head))
        if self._count == count + 1:
            self._remember(head)
        return behind

    def _take_body(self, data: bytes, head: bytes = b"") -> bytes:
        try:
            given, cut = self._body.take(data)
        except ValueError as error:
            self.send_400_response(str(error))
            return b""
        super().data_received(head + given)
        if self._is_between != self._body.is_done and not self.transport.is_closing():
            self.send_400_response("The request does not end where it says.")
        return data[cut:]

    def _repeat(self, known: _Known, content: bytes) -> bool:
        """A request whose head is known by heart; False where it cannot be taken so."""
        self._shown = known.shown
        if not self._is_let_in(known.asked[0]):
            return False
        self._unset_keepalive_if_required()
        self._begin(HotCall(self, known.asked, content, self._seen_at, keep_alive=True))
        return True

    def _remember(self, head: bytes) -> None:
        """The head of a hot request that came in one piece."""
        call = self.cycle
        if self.hub.tracer is not None:
            return  # which of them is traced is seen in each head
        if isinstance(call, HotCall) and call.keep_alive:
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads[head] = _Known((call.loop, call.form), len(call.content), self._shown)

    def on_message_begin(self) -> None:
        self._is_between = False
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._wanted = self._is_traced = None

    def on_headers_complete(self) -> None:
        self._wanted = self._hot()
        if self._wanted is None:
            url, headers, expects = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            if self._is_traced is not None:
                self.scope[TRACED] = self._is_traced  # type: ignore[literal-required]
            authority = _AUTHORITY.match(url)
            if authority is not None:
                self.scope[AUTHORITY] = authority[1].decode("latin-1")  # type: ignore[literal-required]
            self.url, self.expect_100_continue = url, expects
            self.headers.extend(headers)
            super().on_headers_complete()
            if self.hub.is_draining and self.cycle is not None:
                self.cycle.keep_alive = False
        else:
            self._parts, self._size = [], 0

    def on_body(self, body: bytes) -> None:
        if self._wanted is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        self._is_between = True
        self._count += 1
        if self._wanted is None:
            super().on_message_complete()
            return
        content = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        asked, self._wanted = self._wanted, None
        self._begin(HotCall(self, asked, content, self.hub.now(), keep_alive=self.parser.should_keep_alive()))

    def _hot(self) -> _Asked | None:
        """What is asked, where the request is one for this path, in every way as such requests usually are."""
        cycle = self.cycle
        if (cycle is not None and not cycle.response_complete) or self.parser.get_method() != b"POST":
            return None
        asked = self.hub.asked(self.url)
        if asked is None or self.parser.get_http_version() != "1.1":
            return None
        found: dict[bytes, bytes] = {}
        for name, value in self.headers:
            if name in _ODD or (name in found and name in _SINGLE):
                return None
            found[name] = value
        if not found.get(b"content-type", _JSON).startswith(_JSON):
            return None
        length = found.get(b"content-length", b"")
        if not length.isdigit() or len(length) > 12 or int(length) > self.hub.body_bytes:
            return None
        local = self.server[0] if self.server else None
        origin = found.get(b"origin")
        if not self.hub.entry.names.has(found.get(b"host", b"").decode("latin-1"), local):
            return None
        if origin is not None and not is_here(origin.decode("latin-1")):
            return None
        authorization, api_key = (
            None if value is None else value.decode("latin-1")
            for value in (found.get(b"authorization"), found.get(b"x-api-key"))
        )
        self._shown = keys.presented(authorization, api_key)
        if self._takes_trace(found.get(b"traceparent")):
            return None  # before the guard counts it, which it does on the plain way
        return asked if self._is_let_in(asked[0]) else None

    def _takes_trace(self, parent: bytes | None) -> bool:
        """Whether it is traced: then it goes the plain way, where each part of the work is noted."""
        tracer = self.hub.tracer
        if tracer is None:
            return False
        self._is_traced = tracer.wants(None if parent is None else parent.decode("latin-1"))
        return self._is_traced

    def _is_let_in(self, loop: str) -> bool:
        """Whether models answer and the guard lets the key in; if not, the plain way tells why, or waits."""
        if not self.hub.knows(loop):
            return False
        try:
            self.hub.entry.guard.check(self._shown, Scope.PREDICT, loop)
        except (Refused, Unverified):
            return False
        return True

    def _begin(self, call: HotCall) -> None:
        self.cycle = call
        self.hub.lanes.put(call, at_once=len(self.hub.connections) == 1)

    def reply(self, call: HotCall, outcome: Outcome) -> None:
        """Write the answer, and go on with what came behind it."""
        transport = self.transport
        self.server_state.total_requests += 1
        if transport.is_closing():
            return
        lines = [STATUS_LINE[outcome.status]]
        for name, value in self.server_state.default_headers:
            lines += (name, b": ", value, b"\r\n")
        lines += (b"content-length: ", b"%d" % len(outcome.content), b"\r\ncontent-type: ", outcome.type, b"\r\n")
        lines.append(outcome.headers)
        is_last = self.hub.is_draining  # then the server's own headers say so
        closes = is_last or not call.keep_alive or b"connection: close\r\n" in outcome.headers
        if closes and not is_last and b"connection: close\r\n" not in outcome.headers:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", outcome.content)
        transport.write(b"".join(lines))
        self._seen_at = self.hub.now()
        if closes:
            transport.close()
        elif self._held:
            self._schedule()

    def drain(self, now: float, passed: float, silent_seconds: float, unfinished_seconds: float) -> None:
        """Close it where nothing is at work, some seconds into a drain: once silent, or given the time to finish."""
        if self.cycle is not None and not self.cycle.response_complete and self._is_between:
            self.cycle.keep_alive = False
        elif self._is_between:
            if passed >= silent_seconds and now - self._seen_at >= silent_seconds:
                self.transport.close()
        elif passed >= unfinished_seconds:
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_LATE)
            self.transport.close()

    def close_if_silent(self, now: float, factor: float) -> None:
        """One that sends nothing, takes nothing, or sends a request for ever. `factor` shortens the patience."""
        limits, silent = self.hub.sockets, now - self._seen_at
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            if unsent == self._unsent and silent > limits.request_seconds * factor:
                self.transport.abort()
            self._unsent = unsent
            return
        self._unsent = 0
        if not self._is_between or self._part:
            is_long = now - self._begun_at > limits.whole_seconds * factor
            if is_long or silent > limits.request_seconds * factor:
                if self._wanted is not None or self.cycle is None or self.cycle.response_complete:
                    self.transport.write(_LATE)
                self.transport.close()
        elif silent > limits.idle_seconds * factor and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()
