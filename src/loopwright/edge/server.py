"""The edge over HTTP, by the standard library's server: a thread a connection, so many of them and no more."""

from __future__ import annotations

import hmac
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from loopwright.access.names import LOOPBACK, Names
from loopwright.core.clock import Clock, SystemClock
from loopwright.edge import native
from loopwright.edge.room import Room
from loopwright.edge.runner import Runner
from loopwright.errors import StoreError, StoreUnavailable, UsageError
from loopwright.gateway.refused import Refused

_logger = logging.getLogger(__name__)
PATIENCE_SECONDS, SHORT_SECONDS = 30.0, 1.0
"""For a client that sends or takes nothing; the second where there is no place for it yet."""
_PASSED_OVER_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16
_OPEN = ("/healthz", "/readyz")


class Server(ThreadingHTTPServer):
    """Answers for one runner. Raises `UsageError` for an address that others reach without a `key`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        runner: Runner,
        host: str = "127.0.0.1",
        port: int = 0,
        key: str | None = None,
        *,
        room: Room | None = None,
        clock: Clock | None = None,
    ) -> None:
        if host not in LOOPBACK and not key:
            raise UsageError(
                f"on {host!r} others could ask too, and nobody would be asked for a key",
                fix="write one to a file: --key-file FILE; or leave --host out",
            )
        self.runner = runner
        self.key = key
        self.names = Names([host])
        self.room = room or Room(clock or SystemClock())
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
        """Waits for nothing: what there is no room for is closed."""
        if self.room.enter(request):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.room.leave(request)

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

    def setup(self) -> None:
        super().setup()
        if self.server.room.is_beside(self.request):
            self.connection.settimeout(SHORT_SECONDS)

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        _logger.debug(format, *args)

    def version_string(self) -> str:
        return "loopwright"

    def handle_expect_100(self) -> bool:
        """Said once the body is wanted."""
        return True

    def _answer(self, method: str) -> None:
        self.server.room.asks(self.request)
        self._is_read = method != "POST" and not self._says_body()
        self.close_connection = self.close_connection or (method != "POST" and not self._is_read)
        status, told = self._found(method)
        self._send(status, native.encoded(told))
        if not self._is_read:
            self._pass_over()
        self.server.room.is_answered(self.request)

    def _says_body(self) -> bool:
        """Whether something follows that would be taken for the next request, were it not read."""
        lengths = self.headers.get_all("content-length", [])
        return any(one.strip() != "0" for one in lengths) or "transfer-encoding" in self.headers

    def _found(self, method: str) -> tuple[int, dict[str, Any]]:
        try:
            self._refuse_foreign()
            return 200, self._told(method)
        except Refused as refused:
            self.close_connection = self.close_connection or not self._is_read
            return refused.status, native.refusal(refused)
        except StoreError as error:
            _logger.error("nothing could be recorded: %s", error.what)  # noqa: TRY400 - a full disk needs no traceback
            return 503, native.refusal(Refused(503, error.what, fix=error.fix))
        except TimeoutError:
            self.close_connection = True
            return 408, native.refusal(Refused(408, f"nothing came for {PATIENCE_SECONDS:g} seconds"))
        except OSError:
            raise
        except Exception:  # the one place where whatever fails becomes an answer
            _logger.exception("a request failed")
            return 500, native.refusal(Refused(500, "the edge failed at this", fix="see its log"))

    def _told(self, method: str) -> dict[str, Any]:
        runner, path = self.server.runner, self.path.partition("?")[0]
        name = runner.place.loop
        known: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
            "/healthz": ("GET", lambda: {"status": "alive"}),
            "/readyz": ("GET", lambda: {"status": "ready"}),
            "/v1/loops": ("GET", lambda: native.loops(runner)),
            f"/v1/loops/{name}": ("GET", lambda: native.loop(runner)),
            f"/v1/loops/{name}/predict": ("POST", lambda: native.predict(runner, self._body())),
        }
        if path not in _OPEN:
            self._refuse_without_place()
            self._refuse_stranger()
        if path not in known:
            raise Refused(404, f"there is nothing at {path[:80]}", fix=f"known: {', '.join(known)}")
        takes, tell = known[path]
        if takes != method:
            raise Refused(405, f"{path} takes no {method}", fix=f"use {takes}")
        return tell()

    def _refuse_without_place(self) -> None:
        if not self.server.room.gets_place(self.request, SHORT_SECONDS):
            self.close_connection = True
            raise Refused(503, "more connections ask than there is room for", fix="ask again")
        self.connection.settimeout(PATIENCE_SECONDS)

    def _body(self) -> bytes:
        """Read only once it is known that it will be answered."""
        length = self.headers.get("content-length", "")
        if len(set(self.headers.get_all("content-length", []))) > 1:
            self.close_connection = True
            raise Refused(400, "the length of the body is said twice, and not the same", fix="send one content-length")
        if self.headers.get("transfer-encoding") or not length.isdecimal() or len(length) > 18:
            self.close_connection = True
            raise Refused(411, "the length of the body is not said", fix="send content-length")
        if int(length) > native.BODY_BYTES:
            self.close_connection = True
            raise Refused(413, f"the body has more than {native.BODY_BYTES:,} bytes", fix="send fewer rows at once")
        if self.headers.get("expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        content = self.rfile.read(int(length))
        self._is_read = True
        return content

    def _pass_over(self) -> None:
        """What comes of a body that nobody wants, so that the client, still sending, gets to read the answer."""
        with suppress(OSError):
            self.connection.settimeout(SHORT_SECONDS)
            self.connection.shutdown(socket.SHUT_WR)
            for _ in range(_PASSED_OVER_BYTES // _PIECE_BYTES):
                if not self.connection.recv(_PIECE_BYTES):
                    return

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
