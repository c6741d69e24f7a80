"""Holding a run: who holds it, whether that worker still lives, and the heartbeat that says so."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path

from loopwright.core.clock import Clock
from loopwright.core.run import Lease
from loopwright.core.stores import Runs
from loopwright.errors import LeaseLost, StoreUnavailable


def holder_of(pid: int) -> str:
    """Names a process for ever: `host/boot/pid namespace/pid/start time`."""
    return f"{_machine()}/{pid}/{_started(pid) or '?'}"


def is_alive(holder: str) -> bool | None:
    """Whether a holder's process still runs; None when it is on another machine or cannot be told.

    >>> import os
    >>> is_alive(holder_of(os.getpid())), is_alive("elsewhere/1/2/3/4")
    (True, None)
    """
    machine, pid, started = holder.rsplit("/", 2)
    if machine != _machine() or started == "?":
        return None
    return _started(int(pid)) == started


@cache
def _machine() -> str:
    boot = namespace = "?"
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return f"{platform.node()}/{boot}/{namespace}"


def _started(pid: int) -> str | None:
    """When the process started, in the kernel's ticks; None when there is no such process, or no /proc to ask."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, started = (stat.rpartition(")")[2].split()[position] for position in (0, 19))
    return None if state in "ZX" else started


class Heartbeat:
    """Extends a lease from a thread of its own, and listens for what the store says back.

    `on_lost(error)` is called once when another worker has the run; `on_cancel()` once when somebody asked for it. A
    store that does not answer is asked again until the lease has run out on it: then the run counts as lost, because
    another worker may have taken it.
    """

    def __init__(
        self,
        runs: Runs,
        lease: Lease,
        clock: Clock,
        *,
        every_seconds: float,
        lease_seconds: float,
        on_lost: Callable[[Exception], None],
        on_cancel: Callable[[], None],
    ) -> None:
        self._runs, self._lease, self._clock = runs, lease, clock
        self._every_seconds, self._lease_seconds = every_seconds, lease_seconds
        self._on_lost, self._on_cancel = on_lost, on_cancel
        self._stop = threading.Event()
        self._cancelled = False
        self._last_beat = clock.monotonic()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_seconds):
            try:
                self.beat()
            except LeaseLost as error:
                if not self._stop.is_set() and not self._is_finished():
                    self._on_lost(error)
                return
            except StoreUnavailable as error:
                if self._clock.monotonic() - self._last_beat > self._lease_seconds:
                    self._on_lost(error)
                    return

    def _is_finished(self) -> bool:
        """By this very worker, between two beats: nothing is lost then."""
        run = self._runs.get(self._lease.run_id)
        return run.status.is_final and run.lease is not None and run.lease.token == self._lease.token

    def beat(self) -> None:
        """Once. Raises LeaseLost and StoreUnavailable."""
        asked_at = self._clock.monotonic()  # the term counts from here, however long the store takes to answer
        run = self._runs.heartbeat(self._lease, self._clock.now() + timedelta(seconds=self._lease_seconds))
        self._last_beat = asked_at
        if run.cancel_requested_at is not None and not self._cancelled:
            self._cancelled = True
            self._on_cancel()


def this_process() -> str:
    return holder_of(os.getpid())
