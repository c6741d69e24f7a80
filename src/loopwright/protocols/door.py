"""What stands before every endpoint: who may ask, how much may come in, and what a refusal looks like.

Only the gateway's own names are answered to. A page of the web whose name was turned to 127.0.0.1, or which posts here
from afar, is thereby kept out, though the browser that shows it runs on this machine. Whatever path is asked for, the
key is looked at first; only health is told to everybody (`OPEN`). An endpoint is reached by a route that says which
scope it takes, and by no other. No answer tells a traceback or a path of the server.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from loopwright.access import keys
from loopwright.access.names import LOOPBACK, Names, hostname
from loopwright.core import access
from loopwright.core.access import ApiKey
from loopwright.errors import DeclarationError, StoreError
from loopwright.gateway.guard import Guard, Unverified, authorise, authorise_loop, crowded
from loopwright.gateway.refused import Refused

_logger = logging.getLogger(__name__)
OPEN = ("/healthz", "/readyz", "/health", "/ping", "/v2/health/live", "/v2/health/ready")
"""What is told to everybody: whether the process lives, and whether it can answer. Nothing else is."""
V2 = "/v2"
PATIENCE_SECONDS = 30.0
"""Between two parts of a body."""
_ENCODER = msgspec.json.Encoder()
_TYPE = "application/json; charset=utf-8"
_KEY = "loopwright.key"
"""In the scope of a request: whose it is; None before the workspace has any key."""
AUTHORITY = "loopwright.authority"
"""In the scope of a request: the server that its target names, where it names one beside the header `Host`."""
_GUARDED = "loopwright.guarded"
Endpoint = Callable[[Request], Awaitable[Response]]


class Answer(Response):
    """JSON. Values that JSON cannot say do not reach it: the gateway withholds them."""

    media_type = _TYPE

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(_ENCODER.encode(content), status_code, headers)


@dataclass(frozen=True, slots=True)
class Entry:
    """What decides who comes in."""

    guard: Guard
    names: Names


class Door:
    """Refuses what is not addressed to this gateway, what a page of another place sends through a browser, and who
    shows no good key, whatever they ask for that is not open."""

    def __init__(self, app: ASGIApp, entry: Entry, opened: Iterable[str] = OPEN, trusted: Iterable[str] = ()) -> None:
        """What comes to the `trusted` paths was let in by the platform that alone reaches them, by whatever name."""
        self._app = app
        self._entry = entry
        self._opened = frozenset(opened)
        self._trusted = frozenset(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[_GUARDED] = self._entry.guard.is_on
            try:
                self._refuse_foreign(scope)
                if scope["path"] in self._trusted:
                    scope[_KEY] = None
                elif scope["path"] not in self._opened:
                    scope[_KEY] = await self._identified(scope)
            except Refused as refused:
                await told(refused, scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refuse_foreign(self, scope: Scope) -> None:
        hosts, origins = (_header(scope, name) for name in (b"host", b"origin"))
        local = (scope.get("server") or [None])[0]
        is_one = len(hosts) == 1 and len(origins) <= 1  # of two, others might go by the one, and we by the other
        told = [*hosts, scope[AUTHORITY]] if AUTHORITY in scope else hosts
        is_ours = scope["path"] in self._trusted or all(self._entry.names.has(host, local) for host in told)
        if not is_one or not is_ours:
            fix = "ask for http://127.0.0.1, or name this host in the setting allowed_hosts"
            raise Refused(403, "this gateway does not go by that name", fix=fix)
        if not all(map(is_here, origins)):
            raise Refused(403, "pages of other places may not ask this gateway", fix="ask without a browser")

    async def _identified(self, scope: Scope) -> ApiKey | None:
        given = [_header(scope, name) for name in (b"authorization", b"x-api-key")]
        if any(len(found) > 1 for found in given):
            raise Refused(401, "there is more than one API key", fix="send one")
        authorization, api_key = (found[0] if found else None for found in given)
        return await identified(self._entry.guard, keys.presented(authorization, api_key))


async def identified(guard: Guard, presented: str | None) -> ApiKey | None:
    """Whose request it is, once that is known. Raises `Refused`."""
    try:
        return guard.identify(presented)
    except Unverified as unverified:
        await asyncio.shield(asyncio.wrap_future(unverified.done))  # others may wait for the same
    try:
        return guard.identify(presented)
    except Unverified:
        raise crowded() from None


class Guarded(Route):
    """A route whose endpoint is reached with its scope alone; without one, by everybody."""

    needs: access.Scope | None = None


def route(
    path: str,
    endpoint: Endpoint,
    methods: Sequence[str],
    *,
    scope: access.Scope | None,
    sees_loops: bool = False,
    is_health: bool = False,
    encodings: Sequence[str] = (),
) -> Guarded:
    """The only way to an endpoint. The loop of a path is its `{name}`.

    A path without one is not for keys that are limited to loops, unless the endpoint `sees_loops`: asks `may_see`, or
    `refuse_loop`, for each it touches. Without a scope a path is open, which only those in `OPEN` may be, and the one
    that a platform chose to ask for health (`is_health`). A body that is packed otherwise than in one of the
    `encodings` is refused. Raises DeclarationError.
    """
    if (scope is None) != (is_health or path in OPEN):
        raise DeclarationError(f"the route {path} is {'open' if scope is None else 'not open'}", fix="see door.OPEN")

    async def guarded(request: Request) -> Response:
        _authorise(request, scope, sees_loops=sees_loops)
        _refuse_packed(request, encodings)
        return await endpoint(request)

    made = Guarded(path, guarded, methods=list(methods), name=getattr(endpoint, "__name__", path))
    made.needs = scope
    return made


def opened(routes: Iterable[BaseRoute]) -> list[str]:
    """The paths that are open. Raises DeclarationError for a route that was made otherwise than by `route`."""
    found = []
    for one in routes:
        if not isinstance(one, Guarded):
            raise DeclarationError(f"{one} says nothing of who may take it", fix="make it with door.route(..., scope=)")
        if one.needs is None:
            found.append(one.path)
    return found


def is_guarded(request: Request) -> bool:
    """Whether a key is asked for: then what is open tells no names."""
    return bool(request.scope.get(_GUARDED, True))


def may_see(request: Request, loop: str) -> bool:
    """Whether the request's key is for a loop."""
    key = request.scope.get(_KEY)
    return key is None or key.is_for(loop)


def refuse_loop(request: Request, loop: str) -> None:
    """Raises `Refused` where the request's key is not for a loop."""
    key = request.scope.get(_KEY)
    if key is not None:
        authorise_loop(key, loop)


def _authorise(request: Request, scope: access.Scope | None, *, sees_loops: bool) -> None:
    if scope is None:
        return
    if _KEY not in request.scope:  # nobody looked: a door is missing
        raise Refused(401, "nobody asked for a key")
    key: ApiKey | None = request.scope[_KEY]
    if key is None:
        return
    authorise(key, scope)
    loop = request.path_params.get("name")
    if isinstance(loop, str):
        authorise_loop(key, loop)
    elif key.loops and not sees_loops:
        raise Refused(403, f"the key {key.id} is for some loops, and this is of all", fix="use another key")


def encoding(request: Request) -> str:
    """What the body is packed with, such as gzip; nothing where it is plain."""
    found = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    return "" if found == "identity" else found


def _refuse_packed(request: Request, encodings: Sequence[str]) -> None:
    found = encoding(request)
    if found and found not in encodings:
        fix = f"send it plain, or as {' or '.join(encodings)}" if encodings else "send it plain"
        raise Refused(415, f"a body in the encoding {found[:80]!r} is not taken here", fix=fix)


def _header(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def is_here(url: str) -> bool:
    """Whether a URL is of this machine.

    >>> [is_here(url) for url in ("//127.0.0.1:8080", "//[::1]", "http://localhost", "//evil.example", "null")]
    [True, True, True, False, False]
    """
    return hostname(url) in LOOPBACK


async def body(request: Request, limit: int, patience_seconds: float = PATIENCE_SECONDS) -> bytes:
    """The whole body, refused as soon as more has come in than may, or nothing for a while. Raises `Refused`."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and len(announced) < 20 and int(announced) > limit:
        raise _too_big(limit)
    parts, size = [], 0
    stream = request.stream()
    while (part := await _next(stream, patience_seconds)) is not None:
        size += len(part)
        if size > limit:
            raise _too_big(limit)
        parts.append(part)
    return b"".join(parts)


async def _next(stream: AsyncGenerator[bytes, None], patience_seconds: float) -> bytes | None:
    """None at the end. Raises `Refused`: who sends nothing must not hold a connection for ever."""
    try:
        async with asyncio.timeout(patience_seconds):
            return await anext(stream, None)
    except TimeoutError:
        raise Refused(408, f"nothing came for {patience_seconds:g} seconds", fix="send the whole body") from None


def told(refused: Refused, path: str) -> Answer:
    """A refusal in the form of the API it was asked through."""
    headers = _headers(refused)
    if path == V2 or path.startswith(f"{V2}/"):
        status = 400 if refused.status == 422 else refused.status  # the protocol knows one way of being wrong
        return Answer({"error": sentence(refused)}, status, headers)
    error = {"what": refused.what, "where": refused.where, "fix": refused.fix}
    problems = {"problems": refused.problems} if refused.problems else {}
    return Answer({"error": error} | problems, refused.status, headers)


def _headers(refused: Refused) -> dict[str, str]:
    headers = {"connection": "close"} if refused.status in (408, 413) else {}
    if refused.status == 401:
        headers["www-authenticate"] = 'Bearer realm="loopwright"'
    if refused.retry_seconds is not None:
        headers["retry-after"] = str(math.ceil(refused.retry_seconds))
    return headers


def sentence(refused: Refused) -> str:
    """A refusal in one line, for protocols that know no other."""
    return "; ".join(filter(None, [refused.what, *map(_problem, refused.problems[:10]), refused.fix or ""]))


async def on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return told(error, request.url.path)


async def on_http(request: Request, error: Exception) -> Response:
    """What the router itself refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    path = request.url.path[:80]
    what = f"there is nothing at {path}" if error.status_code == 404 else f"{path} takes no {request.method}"
    answer = told(Refused(error.status_code, what, fix="see what there is: GET /openapi.json"), request.url.path)
    answer.headers.update(error.headers or {})
    return answer


async def on_store(request: Request, error: Exception) -> Response:
    """A disk that is full: nothing was recorded, so nothing is answered."""
    assert isinstance(error, StoreError)
    return told(unrecorded(error), request.url.path)


def unrecorded(error: StoreError) -> Refused:
    _logger.error("nothing could be recorded: %s", error)
    return Refused(503, error.what, fix=error.fix)


async def on_gone(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ClientDisconnect)
    return Response(status_code=400)  # to nobody


async def on_failure(request: Request, _error: Exception) -> Response:
    """Whatever else: the server's log has the traceback."""
    return told(Refused(500, "the gateway failed at this", fix="see its log"), request.url.path)


def _too_big(limit: int) -> Refused:
    return Refused(
        413,
        f"the body has more than {limit:,} bytes",
        fix="send fewer rows at once, or raise the setting max_body_bytes",
    )


def _problem(problem: Any) -> str:
    where = f"column {problem.column!r}, " if problem.column else ""
    return f"row {problem.row}: {where}{problem.value!r} is not {problem.expected}"
