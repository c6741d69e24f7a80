"""Two clients, each on a core of its own: wrk, which asks as fast as it is answered, and one that asks at a rate.

The second is ours, for Debian has no wrk2: sockets that are asked in turn whether there is anything, without a pause,
arrivals drawn beforehand (Poisson), and time counted from when a request was due, not from when it was sent. It is a
process of its own: `python -m bench.load` with what `Open` holds as JSON; what it saw is printed as JSON.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from bench.environment import ours
from bench.timing import Failed

_LUA = """
local requests, at = {}, 0
function init(args)
  local headers = {["Content-Type"] = args[2]}
  if args[4] == "whole" then
    local file = io.open(args[3], "rb")
    requests[1] = wrk.format("POST", args[1], headers, file:read("*a"))
    return
  end
  for body in io.lines(args[3]) do requests[#requests + 1] = wrk.format("POST", args[1], headers, body) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\\n{"requests": %d, "micros": %d, "refused": %d, "broken": %d, "p50": %f, "p99": %f}\\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
"""
JSON = "application/json"
_ALONE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A server and what it is asked: bodies of a file, one a line, in turn; or the whole file."""

    port: int
    path: str
    file: Path
    kind: str = JSON
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    count: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds


def wrk(asked: Asked, connections: int, seconds: float, core: int | None) -> Answered:
    """As many as it can. Raises Failed where one was not 200."""
    script = asked.file.with_name("ask.lua")
    script.write_text(_LUA, encoding="utf-8")
    words = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", str(script)]
    words += [f"http://127.0.0.1:{asked.port}", "--", asked.path, asked.kind, str(asked.file)]
    done = _run([*pinned(core), *words, *(["whole"] if asked.whole else [])])
    told = json.loads(done.strip().splitlines()[-1])
    if told["refused"] or told["broken"] or not told["requests"]:
        raise Failed(f"of {told['requests']} answers {told['refused']} were refusals, {told['broken']} broke off")
    return Answered(count=told["requests"], seconds=told["micros"] / 1e6)


def pinned(core: int | None) -> list[str]:
    return [] if core is None else ["taskset", "-c", str(core)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """So many requests a second for so long, whatever comes back."""

    port: int
    path: str
    file: str
    rate: float
    seconds: float
    connections: int
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """By the client; seconds from when each request was due."""

    p50: float
    p99: float
    answered: int
    """With 200."""
    in_time: int
    """Of them, before the last request was due."""
    refused: int
    """With 503, told when to come back."""
    failed: int
    """Everything else, and what was never answered."""
    late: float
    """Share of the requests that the client sent more than ten milliseconds after they were due."""


def at_rate(asked: Asked, rate: float, seconds: float, connections: int, core: int | None, seed: int = 0) -> Seen:
    given = Open(
        port=asked.port, path=asked.path, file=str(asked.file), rate=rate, seconds=seconds, connections=connections,
        seed=seed,
    )  # fmt: skip
    told = _run([*pinned(core), sys.executable, "-m", "bench.load", json.dumps(asdict(given))])
    return Seen(**json.loads(told))


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=ours())
    if done.returncode:
        raise Failed(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-300:]}")
    return done.stdout


class Client:
    """Sockets, those that are free, and what came back."""

    def __init__(self, given: Open) -> None:
        draw = np.random.default_rng(given.seed)
        gaps = draw.exponential(1 / given.rate, int(given.rate * given.seconds))
        self._due: list[float] = np.cumsum(gaps).tolist()
        self._requests = [_request(given.path, body) for body in Path(given.file).read_bytes().splitlines()]
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._free: deque[int] = deque()
        self._since: dict[int, float] = {}
        """When what a socket waits for was due."""
        for _ in range(given.connections):
            self._open(given.port)
        self._port = given.port
        self.took: list[float] = []
        self.in_time = self.refused = self.failed = self.late = 0

    def _open(self, port: int) -> None:
        made = socket.create_connection(("127.0.0.1", port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setblocking(False)
        self._poll.register(made, select.EPOLLIN)
        self._sockets[made.fileno()] = made
        self._free.append(made.fileno())

    def run(self) -> None:
        begun = perf_counter()
        sent, count, due = 0, len(self._due), self._due
        while sent < count or self._since:
            now = perf_counter() - begun
            while sent < count and due[sent] <= now and self._free:
                self._send(sent, due[sent], now)
                sent += 1
            for number, _ in self._poll.poll(0):
                self._read(number, begun)
            if now > due[-1] + _ALONE_SECONDS:
                break
        self.failed += count - sent + len(self._since)

    def _send(self, turn: int, due: float, now: float) -> None:
        number = self._free.popleft()
        self.late += now - due > 0.01
        self._since[number] = due
        content = self._requests[turn % len(self._requests)]
        if self._sockets[number].send(content) < len(content):
            raise Failed("a request did not fit into the socket's buffer")

    def _read(self, number: int, begun: float) -> None:
        """An answer of ours is small and comes in one piece; one that does not is counted as failed."""
        try:
            content = self._sockets[number].recv(65536)
        except OSError:
            content = b""
        since = self._since.pop(number, None)
        if since is not None:
            if content.startswith(b"HTTP/1.1 200"):
                now = perf_counter() - begun
                self.took.append(now - since)
                self.in_time += now <= self._due[-1]
            elif content.startswith(b"HTTP/1.1 503") and b"etry-" in content:
                self.refused += 1
            else:
                self.failed += 1
        if content and b"onnection: close" not in content:
            self._free.append(number)
            return
        self._poll.unregister(number)
        self._sockets.pop(number).close()
        self._open(self._port)


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def bodies(file: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A file with a body a line."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def main(asked: str) -> None:
    given = Open(**json.loads(asked))
    client = Client(given)
    gc.disable()
    client.run()
    took = client.took or [float("inf")]
    seen = Seen(
        p50=float(np.quantile(took, 0.5)), p99=float(np.quantile(took, 0.99)), answered=len(client.took),
        in_time=client.in_time, refused=client.refused, failed=client.failed,
        late=client.late / (given.rate * given.seconds),
    )  # fmt: skip
    print(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main(*sys.argv[1:])
