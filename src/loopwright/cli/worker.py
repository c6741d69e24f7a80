"""The worker process: `python -m loopwright.cli.worker`. Started by a supervisor, never by hand.

Its input is a lifeline: the first line is the request, later lines are orders, and its end means that the supervisor is
gone; then the worker stops at once, and whoever comes next goes on from the records. Its output is for reports alone:
what the user's code prints goes to logs.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TextIO

from loopwright import system
from loopwright.errors import LoopwrightError, StoreUnavailable
from loopwright.pipeline import capture
from loopwright.pipeline.request import Report, Request
from loopwright.pipeline.worker import Worker, refusal

_RIGHTS = "check that the workspace may be written to, or choose another: --set workspace=FOLDER"


class Lines:
    """The two pipes to the supervisor, taken off the standard streams before any user code runs."""

    def __init__(self) -> None:
        self._orders: TextIO = os.fdopen(os.dup(0), encoding="utf-8")
        self._reports: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._lock = threading.Lock()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)

    def request(self) -> Request:
        line = self._orders.readline()
        if not line:
            leave(1)
        return Request.from_line(line)

    def tell(self, report: Report) -> None:
        with self._lock:
            try:
                self._reports.write(report.to_line())
                self._reports.flush()
            except BrokenPipeError:
                leave(1)

    def listen(self, on_cancel: Callable[[], None]) -> None:
        threading.Thread(target=self._obey, args=(on_cancel,), name="orders", daemon=True).start()

    def _obey(self, on_cancel: Callable[[], None]) -> None:
        for line in self._orders:
            if line.strip() == "cancel":
                on_cancel()
        os.killpg(0, signal.SIGKILL)  # the supervisor is gone: end with all that steps have started


def leave(code: int) -> NoReturn:
    """End now: threads of steps cannot be waited for, and helpers must not outlive their worker."""
    for process in multiprocessing.active_children():
        process.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def log_to(path: Path) -> None:
    """Everything that no step's log takes: compiled libraries, threads, the traces of crashes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches the whole group; the supervisor decides
    lines = Lines()
    request = lines.request()
    opened = system.open(request.folder, flags=request.settings)
    os.chdir(request.place)
    log = [opened.logs / f"worker-{os.getpid()}.log"]
    log_to(log[0])
    faulthandler.enable()

    def tell(report: Report) -> None:
        if report.told == "run" and not report.is_held:
            log[0] = _settle_log(log[0], opened, report.run)
        lines.tell(report)

    try:
        stores = opened.stores
    except (LoopwrightError, OSError) as error:
        known = error if isinstance(error, LoopwrightError) else StoreUnavailable(str(error), fix=_RIGHTS)
        lines.tell(refusal(known))
        leave(1)
    worker = Worker(
        stores=stores,
        clock=opened.clock,
        actor=opened.actor,
        logs=opened.logs,
        open_tables=lambda: opened.tables,
        workspace=opened.workspace,
        workers=opened.settings.integer("workers"),
        lease_seconds=opened.settings.number("lease_seconds"),
        heartbeat_seconds=opened.settings.number("heartbeat_seconds"),
        tell=tell,
        leave=leave,
        listen=lines.listen,
    )
    with capture.routed():
        capture.configure_logging()
        worker.do(request)
    _drop_empty(log[0])
    opened.close()  # settles what SQLite kept aside into the database file
    leave(0)


def _drop_empty(log: Path) -> None:
    """Most workers have nothing to say; a folder without logs goes too."""
    sys.stderr.flush()
    if log.stat().st_size == 0:
        log.unlink()
        with suppress(OSError):
            log.parent.rmdir()


def _settle_log(waiting: Path, opened: system.System, run: str) -> Path:
    """Once it is known, the log goes to the run's, numbered by the lease."""
    lease = opened.stores.runs.get(run).lease
    folder = opened.logs / run
    folder.mkdir(parents=True, exist_ok=True)
    return waiting.rename(folder / f"worker-{lease.token if lease else 0}.log")


if __name__ == "__main__":
    main()
