"""What stands before every endpoint: who may ask, how much may come in, and what a refusal looks like.

Only names of this machine are answered to. A page of the web whose name was turned to 127.0.0.1, or which posts here
from afar, is thereby kept out, though the browser that shows it runs on this machine. No answer tells a traceback or a
path of the server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from loopwright.errors import StoreError
from loopwright.gateway.refused import Refused

_logger = logging.getLogger(__name__)
HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))
V2 = "/v2"
PATIENCE_SECONDS = 30.0
"""Between two parts of a body."""
_ENCODER = msgspec.json.Encoder()
_TYPE = "application/json; charset=utf-8"


class Answer(Response):
    """JSON. Values that JSON cannot say do not reach it: the gateway withholds them."""

    media_type = _TYPE

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(_ENCODER.encode(content), status_code, headers)


class Door:
    """Refuses what is not addressed to this machine, and what a page of another place sends through a browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            hosts, origins = (_header(scope, name) for name in (b"host", b"origin"))
            is_one = len(hosts) == 1 and len(origins) <= 1  # of two, others might go by the one, and we by the other
            if not is_one or not is_here(f"//{hosts[0]}") or not all(map(is_here, origins)):
                refused = Refused(403, "this gateway answers to its own machine alone", fix="ask for http://127.0.0.1")
                await told(refused, scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _header(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def is_here(url: str) -> bool:
    """Whether a URL names this machine.

    >>> [is_here(url) for url in ("//127.0.0.1:8080", "//[::1]", "http://localhost", "//evil.example", "null")]
    [True, True, True, False, False]
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.hostname in HOSTS and "@" not in parts.netloc


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
    headers = {"connection": "close"} if refused.status in (408, 413) else None
    if path == V2 or path.startswith(f"{V2}/"):
        parts = [refused.what, *map(_problem, refused.problems[:10]), refused.fix or ""]
        status = 400 if refused.status == 422 else refused.status  # the protocol knows one way of being wrong
        return Answer({"error": "; ".join(filter(None, parts))}, status, headers)
    error = {"what": refused.what, "where": refused.where, "fix": refused.fix}
    problems = {"problems": refused.problems} if refused.problems else {}
    return Answer({"error": error} | problems, refused.status, headers)


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
    _logger.error("nothing could be recorded: %s", error)
    return told(Refused(503, error.what, fix=error.fix), request.url.path)


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
