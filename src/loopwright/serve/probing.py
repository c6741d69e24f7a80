"""Bundles tried in a limited process before they are opened here; what came of it is kept, by digest.

A bundle is tried once on each machine and under each release of ONNX Runtime, whichever process asks first. What was
found wanting is tried again after a while, for the machine may have been short of something itself.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from loopwright.core.clock import Clock
from loopwright.core.version import Version
from loopwright.errors import BundleRefused

_logger = logging.getLogger(__name__)
FOLDER = "probes"
"""Of a workspace: what came of the trials."""
_COMMAND = (sys.executable, "-P", "-m", "loopwright.serve.probe")
_DOUBTED_FOR = timedelta(minutes=5)
_SLACK_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a model may take while it is tried."""

    memory_bytes: int = 4 << 30
    cpu_seconds: int = 20
    seconds: float = 30.0

    @classmethod
    def of(cls, memory_bytes: int) -> Bounds:
        """For models that may take so much memory; 0 says nothing of it."""
        return cls(memory_bytes=memory_bytes) if memory_bytes else cls()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a trial."""

    at: datetime
    what: str | None
    """What was found wanting; None where nothing was."""
    fix: str | None = None
    row_seconds: float = 0.0
    memory_bytes: int = 0


class Probing:
    """Threads may share it. Call `stop` at the end."""

    def __init__(self, folder: Path, clock: Clock, bounds: Bounds = Bounds()) -> None:
        self._folder = folder
        self._clock = clock
        self._bounds = bounds
        self._mark = _mark()
        self._process: _Process | None = None
        self._number = 0
        self._lock = threading.Lock()

    def start_early(self) -> None:
        """Start the process before it is needed, where nothing was tried yet: it takes a while to be ready."""
        if not self._folder.exists():
            with self._lock:
                self._running()

    def __call__(self, bundle: Path, version: Version) -> int:
        """The bytes of memory that its model takes. Raises `BundleRefused` for one that is not to be opened."""
        verdict = self._kept(version.digest)
        if verdict is None:
            verdict = self._tried(bundle, version)
            self._keep(version.digest, verdict)
        if verdict.what is not None:
            raise BundleRefused(verdict.what, fix=verdict.fix or "run the loop again, or promote another version")
        return verdict.memory_bytes

    def stop(self) -> None:
        with self._lock:
            if self._process is not None:
                self._process.end()

    def _tried(self, bundle: Path, version: Version) -> Verdict:
        found = self._ask(bundle, version) or self._ask(bundle, version)  # it may have gone to rest that moment
        if found is None:
            raise BundleRefused(f"{version.name} could not be tried", fix="see the gateway's log")
        if "detail" in found:
            _logger.error("%s: %s", found["what"], found["detail"])
        return Verdict(
            at=self._clock.now(),
            what=found["what"],
            fix=found.get("fix"),
            row_seconds=found.get("row_seconds", 0.0),
            memory_bytes=found.get("memory_bytes", 0),
        )

    def _ask(self, bundle: Path, version: Version) -> dict[str, Any] | None:
        """None when the process ended meanwhile."""
        bounds = self._bounds
        job: dict[str, Any] = {"folder": str(bundle), "digest": version.digest, "name": version.name}
        job |= {"memory_bytes": bounds.memory_bytes, "cpu_seconds": bounds.cpu_seconds, "seconds": bounds.seconds}
        with self._lock:
            self._number += 1
            answer = self._running().ask(self._number, job)
        try:
            return answer.result(bounds.seconds + _SLACK_SECONDS)
        except (TimeoutError, EOFError):
            return None

    def _running(self) -> _Process:
        """Call it with the lock."""
        if self._process is None or self._process.has_ended:
            self._process = _Process()
        return self._process

    def _file(self, digest: str) -> Path:
        return self._folder / f"{digest}.{self._mark}.json"

    def _kept(self, digest: str) -> Verdict | None:
        with suppress(OSError, msgspec.DecodeError):
            found = msgspec.json.decode(self._file(digest).read_bytes(), type=Verdict)
            if found.what is None or self._clock.now() - found.at < _DOUBTED_FOR:
                return found
        return None

    def _keep(self, digest: str, verdict: Verdict) -> None:
        """Where that cannot be kept, it is tried again next time."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = self._file(digest).with_suffix(f".{os.getpid()}-{threading.get_ident()}")
            temporary.write_bytes(msgspec.json.encode(verdict))
            temporary.replace(self._file(digest))


class _Process:
    """One that tries bundles. `ask` it one at a time; several may be tried side by side."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._asked: dict[int, Future[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._hearing = threading.Thread(target=self._hear, name="probing", daemon=True)
        self._hearing.start()

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def ask(self, number: int, job: Mapping[str, Any]) -> Future[dict[str, Any]]:
        """Gets what came of it, or `EOFError` when the process ended first."""
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            self._asked[number] = answer
            jobs = self._process.stdin
            assert jobs is not None
            try:
                jobs.write(json.dumps({**job, "number": number}).encode() + b"\n")
                jobs.flush()
            except (BrokenPipeError, ValueError):  # it has ended, and perhaps been closed
                answer.set_exception(EOFError())
                del self._asked[number]
        return answer

    def end(self) -> None:
        self._process.kill()
        self._hearing.join()

    def _hear(self) -> None:
        """Hand out what the process tells, until it ends."""
        assert self._process.stdout is not None
        with self._process.stdout as told:
            for line in told:
                found = json.loads(line)
                with self._lock:
                    answer = self._asked.pop(found.pop("number"), None)
                if answer is not None:
                    answer.set_result(found)
        self._process.wait()
        with self._lock, suppress(BrokenPipeError):
            jobs = self._process.stdin
            assert jobs is not None
            jobs.close()
        self._give_up()

    def _give_up(self) -> None:
        with self._lock:
            left, self._asked = self._asked, {}
        for answer in left.values():
            answer.set_exception(EOFError())


def _mark() -> str:
    """Of this machine and its runtime: elsewhere a trial may end otherwise."""
    known = "\0".join([platform.node(), platform.machine(), metadata.version("onnxruntime")])
    return blake2b(known.encode(), digest_size=8).hexdigest()
