"""The edge over HTTP, by the standard library's server: a thread a connection, so many of them and no more."""

from __future__ import annotations

import hmac
import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from loopwright.access.names import LOOPBACK, Names
from loopwright.edge import native
from loopwright.edge.runner import Runner
from loopwright.errors import StoreError, StoreUnavailable, UsageError
from loopwright.gateway.refused import Refused

_logger = logging.getLogger(__name__)
CONNECTIONS = 64
PATIENCE_SECONDS = 30.0
"""For a client that sends or takes nothing."""
_OPEN = ("/healthz", "/readyz")


class Server(ThreadingHTTPServer):
    """Answers for one runner. Raises `UsageError` for an address that others reach without a `key`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, runner: Runner, host: str = "127.0.0.1", port: int = 0, key: str | None = None) -> None:
        if host not in LOOPBACK and not key:
            raise UsageError(
                f"on {host!r} others could ask too, and nobody would be asked for a key",
                fix="write one to a file: --key-file FILE; or leave --host out",
            )
        self.runner = runner
        self.key = key
        self.names = Names([host])
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Connection)
        except OSError as error:
            raise StoreUnavailable(f"the port {port} cannot be had: {error.strerror}", where=host) from error

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """One connection more than there is room for waits for a while, and is closed then."""
        if not self._room.acquire(timeout=1):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to tell of."""
        _logger.debug("a connection of %s ended", client_address)


class Connection(BaseHTTPRequestHandler):
    """Requests of one client, one after the other."""

    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_SECONDS
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: Server

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        _logger.debug(format, *args)

    def version_string(self) -> str:
        return "loopwright"

    def _answer(self, method: str) -> None:
        try:
            content = self._body() if method == "POST" else b""
            self._refuse_foreign()
            status, told = 200, self._told(method, content)
        except Refused as refused:
            status, told = refused.status, native.refusal(refused)
        except StoreError as error:
            _logger.error("nothing could be recorded: %s", error.what)  # noqa: TRY400 - a full disk needs no traceback
            status, told = 503, native.refusal(Refused(503, error.what, fix=error.fix))
        except TimeoutError:
            self.close_connection = True
            status, told = 408, native.refusal(Refused(408, f"nothing came for {PATIENCE_SECONDS:g} seconds"))
        except OSError:
            raise
        except Exception:  # the one place where whatever fails becomes an answer
            _logger.exception("a request failed")
            status, told = 500, native.refusal(Refused(500, "the edge failed at this", fix="see its log"))
        self._send(status, native.encoded(told))

    def _told(self, method: str, content: bytes) -> dict[str, Any]:
        runner, path = self.server.runner, self.path.partition("?")[0]
        name = runner.place.loop
        known: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
            "/healthz": ("GET", lambda: {"status": "alive"}),
            "/readyz": ("GET", lambda: {"status": "ready"}),
            "/v1/loops": ("GET", lambda: native.loops(runner)),
            f"/v1/loops/{name}": ("GET", lambda: native.loop(runner)),
            f"/v1/loops/{name}/predict": ("POST", lambda: native.predict(runner, content)),
        }
        if path not in _OPEN:
            self._refuse_stranger()
        if path not in known:
            raise Refused(404, f"there is nothing at {path[:80]}", fix=f"known: {', '.join(known)}")
        takes, tell = known[path]
        if takes != method:
            raise Refused(405, f"{path} takes no {method}", fix=f"use {takes}")
        return tell()

    def _body(self) -> bytes:
        length = self.headers.get("content-length", "")
        if self.headers.get("transfer-encoding") or not length.isdecimal() or len(length) > 18:
            self.close_connection = True
            raise Refused(411, "the length of the body is not said", fix="send content-length")
        if int(length) > native.BODY_BYTES:
            self.close_connection = True
            raise Refused(413, f"the body has more than {native.BODY_BYTES:,} bytes", fix="send fewer rows at once")
        return self.rfile.read(int(length))

    def _refuse_foreign(self) -> None:
        """As a gateway does: what a page of another place sends through a browser is not answered."""
        hosts, origins = self.headers.get_all("host", []), self.headers.get_all("origin", [])
        if len(hosts) != 1 or not self.server.names.has(hosts[0], str(self.connection.getsockname()[0])):
            raise Refused(403, "this edge does not go by that name", fix="ask for its address")
        if origins:
            raise Refused(403, "pages may not ask this edge", fix="ask without a browser")

    def _refuse_stranger(self) -> None:
        if self.server.key is None:
            return
        given = self.headers.get("authorization", "").removeprefix("Bearer ").strip() or self.headers.get("x-api-key")
        if not given or not hmac.compare_digest(given.encode(), self.server.key.encode()):
            raise Refused(401, "an API key is missing, or good for nothing", fix="send Authorization: Bearer KEY")

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json; charset=utf-8")
        self.send_header("content-length", str(len(content)))
        if status == 401:
            self.send_header("www-authenticate", 'Bearer realm="loopwright"')
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()
