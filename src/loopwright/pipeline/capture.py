"""What a step prints and logs, kept apart from what other steps print at the same moment.

`sys.stdout` and `sys.stderr` are replaced once by a router that asks which step the calling thread works for. What
compiled libraries write past Python, and what threads of the step's own print, goes to the worker's log instead.
"""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO

_current: ContextVar[StepLog | None] = ContextVar("step_log", default=None)


class StepLog:
    """The log of one step: a file that is made by the first line and can be read while the step runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def write(self, text: str) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        self._file.write(text)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Router(io.TextIOBase):
    """A text stream that writes to the log of the step at work, else to the original stream."""

    def __init__(self, original: TextIO) -> None:
        self.original = original

    def write(self, text: str) -> int:
        log = _current.get()
        if log is None:
            return self.original.write(text)
        log.write(text)
        return len(text)

    def flush(self) -> None:
        self.original.flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.original.fileno()

    encoding = "utf-8"

    def __getattr__(self, name: str) -> Any:
        """The rest is the original's: its `buffer`, for one."""
        return getattr(self.original, name)


@contextmanager
def routed() -> Iterator[None]:
    """Route what is printed and warned for as long as the block runs."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Router(sys.stdout), Router(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


@contextmanager
def logged_to(path: Path) -> Iterator[StepLog]:
    """Everything this thread prints within the block goes to the file at `path`."""
    log = StepLog(path)
    token = _current.set(log)
    try:
        yield log
    finally:
        _current.reset(token)
        log.close()


def configure_logging() -> None:
    """In a worker process, which is ours: steps' log records, from INFO up, and warnings go to the log of the step."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    warnings.simplefilter("default")
