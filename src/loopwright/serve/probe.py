"""The process in which bundles are tried before a gateway opens them: `python -m loopwright.serve.probe`.

It reads jobs as lines of JSON, and forks for each a child that may take so much memory, processor and time, may write
no file, and tells what it found through a pipe. Whatever a graph does there, it ends nothing but that child. Started by
`probing`, never by hand; it ends with its input, or when it was not asked for a while.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loopwright.core.clock import Clock, SystemClock
from loopwright.errors import BundleRefused

_IDLE_SECONDS = 60.0
_BLOCK_BYTES = 1 << 16
_BATCH_ROWS = 64
_FILES = 64


@dataclass(kw_only=True)
class _Trial:
    """A child at work."""

    number: int
    pid: int
    name: str
    until: float
    said: bytes = b""
    is_late: bool = False


@dataclass
class Probe:
    """Takes jobs from one descriptor, and tells of each on another."""

    jobs: int
    told: int
    clock: Clock
    _waiting: bytes = b""
    _is_over: bool = False
    _trials: dict[int, _Trial] = field(default_factory=dict)

    def follow(self) -> None:
        """Until the input ends, or nobody asked for a minute."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.jobs, selectors.EVENT_READ)
            asked_at = self.clock.monotonic()
            while not self._is_over and self.clock.monotonic() - asked_at < _IDLE_SECONDS:
                for key, _ in selector.select(0.05 if self._trials else 1.0):
                    asked_at = self.clock.monotonic()
                    self._hear(key.fd, selector)
                self._end_late()
        for trial in self._trials.values():
            _kill(trial.pid)

    def _hear(self, descriptor: int, selector: selectors.BaseSelector) -> None:
        content = os.read(descriptor, _BLOCK_BYTES)
        if descriptor == self.jobs:
            self._is_over = not content
            *lines, self._waiting = (self._waiting + content).split(b"\n")
            for line in lines:
                selector.register(self._begin(json.loads(line)), selectors.EVENT_READ)
        elif content:
            self._trials[descriptor].said += content
        else:
            selector.unregister(descriptor)
            os.close(descriptor)
            self._finish(self._trials.pop(descriptor))

    def _begin(self, job: Mapping[str, Any]) -> int:
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ours)
            _in_child(job, theirs, [self.jobs, *self._trials])
        os.close(theirs)
        until = self.clock.monotonic() + job["seconds"]
        self._trials[ours] = _Trial(number=job["number"], pid=pid, name=job["name"], until=until)
        return ours

    def _end_late(self) -> None:
        now = self.clock.monotonic()
        for trial in self._trials.values():
            if now >= trial.until and not trial.is_late:
                trial.is_late = True
                _kill(trial.pid)

    def _finish(self, trial: _Trial) -> None:
        _, status = os.waitpid(trial.pid, 0)
        found = json.loads(trial.said) if trial.said.endswith(b"\n") else {"what": _ending(trial, status)}
        os.write(self.told, json.dumps(found | {"number": trial.number}).encode() + b"\n")


def _ending(trial: _Trial, status: int) -> str:
    """How a trial ended that could not tell itself."""
    if trial.is_late:
        return f"{trial.name} hung when it was tried"
    if not os.WIFSIGNALED(status):
        return f"{trial.name} ended the process in which it was tried"
    ended = signal.Signals(os.WTERMSIG(status))
    if ended is signal.SIGXCPU:
        return f"{trial.name} took too much of the processor when it was tried"
    return f"{trial.name} crashed when it was tried: {ended.name}"


def _in_child(job: Mapping[str, Any], told: int, others: list[int]) -> None:
    """Never returns."""
    for descriptor in others:
        os.close(descriptor)
    try:
        found = _tried(job)
    except BundleRefused as error:
        found = {"what": error.what, "fix": error.fix}
    except MemoryError:
        found = {"what": f"{job['name']} took too much memory when it was tried"}
    except BaseException as error:  # noqa: BLE001 - of a library, at a graph: in any way
        is_memory = "alloc" in str(error).lower()
        how = "took too much memory" if is_memory else f"failed with a {type(error).__name__}"
        found = {"what": f"{job['name']} {how} when it was tried", "detail": str(error)[:1000]}
    os.write(told, json.dumps(found).encode() + b"\n")
    os._exit(0)


def _tried(job: Mapping[str, Any]) -> dict[str, Any]:
    from loopwright.gateway import model
    from loopwright.transform.bundle import read

    before = _own_bytes()
    _limit(job["memory_bytes"], job["cpu_seconds"])
    bundle = read(Path(job["folder"]))
    if bundle.manifest.digest != job["digest"]:
        raise BundleRefused("its digest is another one", fix="fetch the bundle again")
    decoder, predictor = model.opened(bundle, job["name"])
    row_seconds = model.tried(predictor, decoder, job["name"])
    model.tried(predictor, decoder, job["name"], _BATCH_ROWS)
    return {"what": None, "row_seconds": row_seconds, "memory_bytes": max(0, _own_bytes() - before)}


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    """From now on, for this process."""
    most = _address_space_bytes() + memory_bytes
    with suppress(ValueError, OSError):  # where the system knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))


def _own_bytes() -> int:
    """What this process has in memory that is no file's. 0 where the system does not tell."""
    with suppress(OSError, IndexError, ValueError):
        told = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return int(told.partition("RssAnon:")[2].split()[0]) * 1024
    return 0


def _address_space_bytes() -> int:
    """Of this process. 0 where the system does not tell."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    return 0


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it says when it is over
    from loopwright.gateway import model  # noqa: F401 - before the first job, and once for all of them

    Probe(sys.stdin.fileno(), sys.stdout.fileno(), SystemClock()).follow()


if __name__ == "__main__":
    main()
