"""What stands before every endpoint: who may ask, how much may come in, and what a refusal looks like.

Only names of this machine are answered to. A page of the web whose name was turned to 127.0.0.1, or which posts here
from afar, is thereby kept out, though the browser that shows it runs on this machine. No answer tells a traceback or a
path of the server.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from loopwright.errors import StoreError
from loopwright.serve.refused import Refused

_logger = logging.getLogger(__name__)
HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))
V2 = "/v2"
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
            headers = {
                name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"host", b"origin")
            }
            if not is_here(f"//{headers.get(b'host', '')}") or not is_here(headers.get(b"origin", "//localhost")):
                refused = Refused(403, "this gateway answers to its own machine alone", fix="ask for http://127.0.0.1")
                await told(refused, scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


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


async def body(request: Request, limit: int) -> bytes:
    """The whole body, refused as soon as more has come in than may. Raises `Refused`."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and len(announced) < 20 and int(announced) > limit:
        raise _too_big(limit)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise _too_big(limit)
        parts.append(part)
    return b"".join(parts)


def parsed(content: bytes, decoder: msgspec.json.Decoder[Any], form: str) -> Any:
    """JSON of the expected shape, of which `form` is an example. Raises `Refused`: 400 for no JSON, 422 for another."""
    try:
        return decoder.decode(content)
    except msgspec.ValidationError as error:
        raise Refused(422, f"the body is not what is expected here: {error}", fix=f"send {form}") from None
    except RecursionError:
        raise Refused(400, "the body is nested too deeply", fix=f"send {form}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, f"the body is no JSON: {error}", fix=f"send {form}") from None


def told(refused: Refused, path: str) -> Answer:
    """A refusal in the form of the API it was asked through."""
    headers = {"connection": "close"} if refused.status == 413 else None
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
