"""The access log: a line of JSON for each answer, written in batches by a thread of its own.

Holds what was asked for and how it went; never values of rows, labels, keys or ids that a client chose. A line costs
the one who answers a place in a queue; when that is full, lines are dropped, counted, and the log says so.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from loopwright.core.clock import Clock
from loopwright.errors import UsageError
from loopwright.gateway.metrics import Answer

_logger = logging.getLogger(__name__)
Choice = Literal["off", "errors", "all"]
_MOST_WAITING = 65_536
_TOGETHER = 256
"""Lines written at once: between two batches whoever answers gets the interpreter back."""


class Answered(msgspec.Struct, omit_defaults=True):
    """A request for predictions."""

    at: datetime
    protocol: str
    loop: str
    status: int
    milliseconds: float
    version: int = 0
    arm: str = ""
    rows: int = 0


class Exchanged(msgspec.Struct):
    """Any other request. The route is ours: what a client wrote into a path is not kept."""

    at: datetime
    route: str
    status: int
    milliseconds: float


class _Dropped(msgspec.Struct):
    at: datetime
    dropped: int


_Entry = Answered | Exchanged | _Dropped
_ENCODER = msgspec.json.Encoder()


class AccessLog:
    """Takes lines from any thread. Call `flush` a few times a second, in one thread."""

    def __init__(self, choice: Choice, file: Path | None, clock: Clock) -> None:
        """`errors` are answers with a status of 400 and above. Without a file it is stderr. Raises `UsageError`."""
        self.is_on = choice != "off"
        self.dropped = 0
        self._least = 400 if choice == "errors" else 0
        self._clock = clock
        self._waiting: deque[_Entry] = deque()
        self._told = 0
        self._has_failed = False
        self._file = _opened(file) if file is not None and self.is_on else None

    def answered(self, answer: Answer, rows: int, seconds: float) -> None:
        loop, version, arm, protocol, status = answer
        if status >= self._least:
            self._put(Answered(self._clock.now(), protocol, loop, status, round(seconds * 1000, 3), version, arm, rows))

    def exchanged(self, route: str, status: int, seconds: float) -> None:
        if status >= self._least:
            self._put(Exchanged(self._clock.now(), route, status, round(seconds * 1000, 3)))

    def flush(self) -> None:
        """Write what waits. Never raises: a log that cannot be written stops nothing, and is told once."""
        waiting = self._waiting
        while waiting:
            self._write([waiting.popleft() for _ in range(min(_TOGETHER, len(waiting)))])
        if self.dropped > self._told:
            count, self._told = self.dropped - self._told, self.dropped
            self._write([_Dropped(self._clock.now(), count)])

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            os.close(self._file)

    def _put(self, entry: _Entry) -> None:
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append(entry)
        else:
            self.dropped += 1

    def _write(self, entries: Sequence[_Entry]) -> None:
        """Whole lines with one call, so that those of several processes do not mix."""
        content = _ENCODER.encode_lines(entries)
        try:
            while content:
                content = content[os.write(sys.stderr.fileno() if self._file is None else self._file, content) :]
        except (OSError, ValueError) as error:
            self.dropped += sum(not isinstance(one, _Dropped) for one in entries)
            if not self._has_failed:
                _logger.error("the access log cannot be written: %s", error)  # noqa: TRY400 - the reason says it all
            self._has_failed = True


def _opened(file: Path) -> int:
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    except OSError as error:
        raise UsageError(
            f"the access log cannot be opened: {error.strerror}", where=str(file), fix="set access_log_file to another"
        ) from None
