"""Processes side by side: started, started again when one ends, and ended together.

Each has a lifeline for its input: when the one above them is gone, in whatever way, the input ends, and who reads it
goes too. What a process says on its output, a line at a time, is handed on. Light, and of one thread.
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from loopwright.core.clock import Clock

WRONG_USAGE = 2
"""How a process ends that has no use as it was asked for: it is not started again."""
GRACE_SECONDS = 20.0
"""For what was begun, once a process is told to end."""
_TICK_SECONDS = 0.1
_SHORT_SECONDS = 5.0
"""A process that ends sooner than this after it was at work has not been of use."""
_LONGEST_REST_SECONDS = 30.0
_AT_ONCE_SECONDS = 1.0
_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the processes."""

    name: str
    command: Callable[[], Sequence[str]]
    """Asked before every start."""
    is_vital: bool = False
    """Where it cannot begin, all end."""


class Listener(Protocol):
    """What is told of processes as it happens."""

    def said(self, name: str, pid: int, line: str) -> bool:
        """Whether it says that the process is at work."""
        ...

    def ended(self, name: str, pid: int, how: str, rest_seconds: float | None) -> None:
        """None: it is not started again."""
        ...

    def stopping(self) -> None:
        """All are told to end."""
        ...


@dataclass(kw_only=True)
class _Seat:
    """A part, with the process that has its place now."""

    part: Part
    process: subprocess.Popen[bytes] | None = None
    due_at: float | None = 0.0
    """When to start another one; None while one runs, or none is to."""
    spoke_at: float | None = None
    """Since when the process is at work, by its own word."""
    has_lived: bool = False
    """Whether one of its processes was."""
    short_lives: int = 0
    until: float | None = None
    """When it is killed, having been told to end."""
    half: bytes = field(default=b"")
    """A line it has not finished."""


def rest_seconds(short_lives: int) -> float:
    """Before another process is started, after so many in a row that ended before they were of use.

    >>> [rest_seconds(lives) for lives in (0, 1, 2, 3, 4, 99)]
    [0.0, 0.5, 1.0, 2.0, 4.0, 30.0]
    """
    return min(_LONGEST_REST_SECONDS, 2.0 ** (min(short_lives, 32) - 2)) if short_lives else 0.0


def how_it_ended(code: int) -> str:
    """
    >>> how_it_ended(1), how_it_ended(-9)
    ('ended with exit code 1', 'was ended by SIGKILL, perhaps for want of memory')
    """
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was ended by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")


class Processes:
    """Keeps one process a part, until it is told to stop: by SIGTERM or SIGINT; a second one ends all at once."""

    def __init__(
        self, parts: Sequence[Part], *, clock: Clock, listener: Listener, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self._seats = [_Seat(part=part) for part in parts]
        self._clock = clock
        self._listener = listener
        self._grace_seconds = grace_seconds
        self._signals: deque[int] = deque()
        self._is_stopping = False
        self._code = 0
        self._selector = selectors.DefaultSelector()

    def run(self) -> int:
        """Until all have ended; the exit code: not 0 where a part could not begin and was not tried again."""
        alarm, ring = os.pipe()
        os.set_blocking(ring, False)
        self._selector.register(alarm, selectors.EVENT_READ)
        signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(one, lambda number, _: self._signals.append(number))
        try:
            while any(seat.process is not None or seat.due_at is not None for seat in self._seats):
                self._turn(alarm)
        finally:
            self._end_all(0.0)
            self._end_late()
            signal.set_wakeup_fd(-1)
        return self._code

    def _turn(self, alarm: int) -> None:
        for key, _ in self._selector.select(_TICK_SECONDS):
            if key.fd == alarm:
                os.read(alarm, _BLOCK_BYTES)
            else:
                self._hear(key.data)
        while self._signals:
            if self._signals.popleft() != signal.SIGCHLD:
                self.stop()
        for seat in self._seats:
            if seat.process is not None and seat.process.poll() is not None:
                self._bury(seat, seat.process)
        if not self._is_stopping:
            self._start_due()
        self._end_late()

    def stop(self) -> None:
        """What was begun is finished first; told a second time, nothing is."""
        self._end_all(_AT_ONCE_SECONDS if self._is_stopping else self._grace_seconds)
        if not self._is_stopping:
            self._listener.stopping()
        self._is_stopping = True
        for seat in self._seats:
            seat.due_at = None

    def _end_all(self, grace_seconds: float) -> None:
        until = self._clock.monotonic() + grace_seconds
        for seat in self._seats:
            if seat.process is not None and seat.process.poll() is None:
                seat.until = until
                seat.process.terminate()

    def _end_late(self) -> None:
        now = self._clock.monotonic()
        for seat in self._seats:
            if seat.process is not None and seat.until is not None and now >= seat.until:
                seat.process.kill()

    def _start_due(self) -> None:
        now = self._clock.monotonic()
        for seat in self._seats:
            if seat.due_at is not None and now >= seat.due_at:
                seat.due_at = seat.spoke_at = None
                self._start(seat)

    def _start(self, seat: _Seat) -> None:
        process = subprocess.Popen(
            seat.part.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C reaches this process alone, which then tells them
        )
        assert process.stdout
        seat.process, seat.half = process, b""
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, seat)

    def _hear(self, seat: _Seat) -> bool:
        """What it has said; whether there may be more."""
        process = seat.process
        assert process is not None
        assert process.stdout
        try:
            content = os.read(process.stdout.fileno(), _BLOCK_BYTES)
        except BlockingIOError:
            return False
        *lines, seat.half = (seat.half + content).split(b"\n")
        for line in lines:
            if self._listener.said(seat.part.name, process.pid, line.decode(errors="replace")):
                seat.spoke_at, seat.has_lived = seat.spoke_at or self._clock.monotonic(), True
        if not content:
            self._forget(process)
        return bool(content)

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(process.stdout)  # type: ignore[arg-type]

    def _bury(self, seat: _Seat, process: subprocess.Popen[bytes]) -> None:
        while self._hear(seat):
            pass  # its last words
        self._forget(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        spoke_at, seat.process = seat.spoke_at, None
        if seat.until is None:
            self._replace(seat, process, spoke_at)

    def _replace(self, seat: _Seat, process: subprocess.Popen[bytes], spoke_at: float | None) -> None:
        """It ended though nobody told it to."""
        code, now = process.returncode, self._clock.monotonic()
        is_short = spoke_at is None or now - spoke_at < _SHORT_SECONDS
        seat.short_lives = seat.short_lives + 1 if is_short else 0
        is_useless = code == WRONG_USAGE and spoke_at is None
        self._code = code if is_useless else self._code
        is_fatal = seat.part.is_vital and not seat.has_lived
        rest = None if is_useless or is_fatal else rest_seconds(seat.short_lives)
        self._listener.ended(seat.part.name, process.pid, how_it_ended(code), rest)
        seat.due_at = None if rest is None else now + rest
        if is_fatal:
            self._code = code if code > 0 else 1
            self.stop()


class Bell:
    """Whether this process was told to end: by SIGTERM, SIGINT, or the end of its lifeline.

    What has been begun then may take its time; of that there is an end too, where nobody is left who would see to it.
    """

    def __init__(self, *, lifeline: bool, clock: Clock, grace_seconds: float = GRACE_SECONDS) -> None:
        """Signals are heard from now on. With a `lifeline`, the input of the process is one."""
        self._heard, self._ring = os.pipe()
        self._clock, self._grace_seconds = clock, grace_seconds
        self._times = 0
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, lambda _number, _frame: self.ring())
        if lifeline:
            threading.Thread(target=self._wait, name="lifeline", daemon=True).start()

    def ring(self) -> None:
        """Told a second time, the process ends at once: whatever it was at, it can be killed there."""
        self._times += 1
        if self._times > 1:
            os._exit(128 + signal.SIGTERM)
        os.write(self._ring, b".")

    def is_over(self, seconds: float) -> bool:
        """Wait so long, or until it is told to end; whether it was."""
        return bool(select.select([self._heard], [], [], seconds)[0])

    def _wait(self) -> None:
        while os.read(sys.stdin.fileno(), _BLOCK_BYTES):
            pass  # nobody writes
        os.write(self._ring, b".")
        self._clock.sleep(self._grace_seconds)
        os._exit(1)
