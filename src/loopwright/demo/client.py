"""The demo's other side: a gateway in a process of its own, and a client that asks it over HTTP as anybody would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse, RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loopwright.core.clock import Clock
from loopwright.errors import LoopwrightError

_PATIENCE_SECONDS = 30.0


class Client:
    """One connection, kept open until the end of the `with` block."""

    def __init__(self, url: str) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=_PATIENCE_SECONDS)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> Any:
        """The answer's JSON, None for what is not there. Raises LoopwrightError for anything else but 200."""
        return self._ask("GET", path, None)

    def text(self, path: str) -> str:
        """As `get`, of what is no JSON."""
        return self._content("GET", path, None).decode()

    def post(self, path: str, body: object) -> Any:
        """As `get`, with a body."""
        return self._ask("POST", path, json.dumps(body))

    def _ask(self, method: str, path: str, body: str | None) -> Any:
        content = self._content(method, path, body)
        return json.loads(content) if content else None

    def _content(self, method: str, path: str, body: str | None) -> bytes:
        """Nothing for what is not there."""
        try:
            answer, content = self._once(method, path, body)
        except (ConnectionError, RemoteDisconnected):  # it was silent for so long that the gateway let go of it
            self._connection.close()
            answer, content = self._once(method, path, body)
        if answer.status == 404 and method == "GET":
            return b""
        if answer.status != 200:
            raise LoopwrightError(
                f"the gateway answered {answer.status}: {content.decode(errors='replace')[:500]}", where=path
            )
        return content

    def _once(self, method: str, path: str, body: str | None) -> tuple[HTTPResponse, bytes]:
        self._connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        return answer, answer.read()


@contextmanager
def serving(project: Path, clock: Clock) -> Iterator[str]:
    """`lw serve` on a free port, as a process; its URL. Drained and ended afterwards."""
    with starting(project, clock) as url:
        yield url()


@contextmanager
def starting(project: Path, clock: Clock) -> Iterator[Callable[[], str]]:
    """As `serving`, while other things go on: called, it waits until the gateway answers, and gives its URL."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready"
        command = [sys.executable, "-m", "loopwright.cli", "serve", "--port", "0", "--ready-file", str(ready)]
        with (Path(folder) / "log").open("w+b") as log:
            process = subprocess.Popen(
                [*command, "--project", str(project)], stdout=log, stderr=log, start_new_session=True
            )
            try:
                yield lambda: _url(process, ready, Path(log.name), clock)
            finally:
                _end(process)


def _url(process: subprocess.Popen[bytes], ready: Path, log: Path, clock: Clock) -> str:
    begun = clock.monotonic()
    while clock.monotonic() - begun < _PATIENCE_SECONDS and process.poll() is None:
        if ready.exists():
            return ready.read_text(encoding="ascii").strip()
        clock.sleep(0.02)
    told = log.read_text(encoding="utf-8", errors="replace").strip()
    raise LoopwrightError(f"the gateway did not start: {told or 'it said nothing'}", fix="try it by hand: lw serve")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.kill(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def follow(client: Client, loop: str, version: int, clock: Clock) -> None:
    """Wait until the gateway serves that version. Raises LoopwrightError when it does not in time."""
    begun = clock.monotonic()
    while clock.monotonic() - begun < _PATIENCE_SECONDS:
        told = client.get(f"/v1/loops/{loop}")
        if told is not None and told["version"] == version:
            return
        clock.sleep(0.05)
    raise LoopwrightError(f"the gateway does not serve {loop} v{version}", fix=f"see why: GET /v1/loops/{loop}")


def follow_route(client: Client, loop: str, number: int, clock: Clock) -> None:
    """Wait until the gateway answers by that revision of the route, or a later one. Raises LoopwrightError when it does
    not in time."""
    begun = clock.monotonic()
    while clock.monotonic() - begun < _PATIENCE_SECONDS:
        told = client.get(f"/v1/loops/{loop}")
        if told is not None and told["route"] is not None and told["route"]["number"] >= number:
            return
        clock.sleep(0.02)
    raise LoopwrightError(f"the gateway does not follow route {number} of {loop}", fix=f"see why: GET /v1/loops/{loop}")
