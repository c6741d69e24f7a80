"""The process above the workers of a gateway: starts them, starts another one for each that ends, and ends them.

It holds what must outlive a worker, the sockets, and imports nothing heavy, for workers are copies of it: they begin
with what it has loaded, and it is small. It opens no store and has one thread, so that a copy is always whole.

SIGTERM and SIGINT end all once they have answered what they began; a second one ends them at once, and the end of the
lifeline it was given, when what started it is gone, is the same as the first. SIGHUP replaces
every worker, one after the other: the old one goes when the new one answers, and for all loops that the old one did.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from loopwright.core.clock import Clock
from loopwright.gateway.at_work import AtWork
from loopwright.processes import how_it_ended, rest_seconds
from loopwright.serve.worker import DRAIN_SECONDS, STUCK, Desk

_logger = logging.getLogger(__name__)
Loops = Mapping[str, Sequence[int]]
Ended = tuple[str | None, str | None]
"""Why a worker ended, and the version it died of."""
_NOT_YET: Ended = (None, None)
_TICK_SECONDS = 0.1
_SHORT_SECONDS = 2.0
"""A worker that ends sooner than this after it was ready has not been of use."""
_LATER_SECONDS = 1.0
_LAST_SECONDS = 1.0
"""Beyond what a worker may take to drain."""
_BLOCK_BYTES = 1 << 16
_BY_ITSELF = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGTRAP}
"""Signals of what a process did itself. SIGKILL is none: a person sends it, or a machine that wants for memory."""


class Companion(Protocol):
    """Another process of the gateway's: started with it, kept alive, ended with it."""

    def start(self) -> None: ...
    def keep(self) -> None: ...
    def stop(self) -> None: ...


@dataclass(kw_only=True)
class Child:
    """A worker, as its supervisor knows it."""

    pid: int
    number: int
    told: int
    at_work: AtWork
    ready_at: float | None = None
    loops: Loops | None = None
    """What it answers, and by which versions: none for a loop of which nothing could be loaded."""
    reason: str | None = None
    until: float | None = None
    """When it is ended, having been told to go."""
    said: bytes = b""


def lost_loops(old: Loops, new: Loops) -> str:
    """Loops that one worker answers, and another knows of and cannot answer.

    >>> lost_loops({"fares": [1], "flights": [1], "gone": [2]}, {"fares": [1], "flights": []})
    'flights'
    """
    return ", ".join(loop for loop, versions in new.items() if not versions and old.get(loop))


def ending(status: int, reason: str | None) -> str:
    """How a worker ended, by what the system says of it, and what it said itself.

    >>> ending(9, None), ending(70 << 8, "flights v2 hangs")
    ('was ended by SIGKILL, perhaps for want of memory', 'gave up: flights v2 hangs')
    """
    if reason is not None:
        return f"gave up: {reason}"
    return how_it_ended(os.waitstatus_to_exitcode(status))


def died_of(status: int, at_work: set[str]) -> str | None:
    """The version that ended a worker: the one that ran when it broke, or hung. None where several did.

    >>> died_of(11, {"flights:2"}), died_of(9, {"flights:2"}), died_of(11, {"flights:1", "flights:2"})
    ('flights:2', None, None)
    """
    code = os.waitstatus_to_exitcode(status)
    return next(iter(at_work)) if len(at_work) == 1 and (-code in _BY_ITSELF or code == STUCK) else None


class Supervisor:
    """Keeps one worker a socket. `work` is the life of a worker: it is called in the new process, and ends with it."""

    def __init__(
        self,
        *,
        work: Callable[[Desk], int],
        sockets: Sequence[socket.socket],
        clock: Clock,
        on_ready: Callable[[Loops], None],
        companions: Sequence[Companion] = (),
        lifeline: int | None = None,
    ) -> None:
        self._work = work
        self._sockets = list(sockets)
        self._clock = clock
        self._on_ready = on_ready
        self._companions = companions
        self._children: dict[int, Child] = {}
        """All there are, by process."""
        self._seats: list[Child | None] = [None] * len(sockets)
        """Who has which place now."""
        self._due: dict[int, tuple[float, Ended]] = dict.fromkeys(range(len(sockets)), (0.0, _NOT_YET))
        """Places to fill: from when on, and why the one before ended."""
        self._short_lives = [0] * len(sockets)
        self._to_roll: deque[int] = deque()
        self._rolling: Child | None = None
        self._signals: deque[int] = deque()
        self._is_ready = self._is_stopping = False
        self._code: int | None = None
        self._companions_at: float | None = float("inf")
        """When they are started; None once they are: who answers goes first."""
        self._ending: list[threading.Thread] = []
        self._selector = selectors.DefaultSelector()
        self._lifeline = os.pipe()
        self._above = lifeline
        self._alarm = os.pipe()

    def run(self) -> int:
        """Until it is told to stop; the exit code. A first worker that cannot begin ends it all, with its own code."""
        os.set_blocking(self._alarm[1], False)
        self._selector.register(self._alarm[0], selectors.EVENT_READ)
        if self._above is not None:
            self._selector.register(self._above, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._alarm[1], warn_on_full_buffer=False)
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(one, lambda number, _: self._signals.append(number))
        try:
            while self._children or not self._is_stopping:
                self._turn()
        finally:
            self._kill_all()
            for thread in self._ending:
                thread.join()
        return self._code or 0

    def _turn(self) -> None:
        for key, _ in self._selector.select(_TICK_SECONDS):
            if key.fd == self._alarm[0]:
                os.read(key.fd, _BLOCK_BYTES)
            elif key.fd == self._above:
                self._heed_above(key.fd)
            else:
                self._hear(self._selector.get_map()[key.fd].data)
        while self._signals:
            self._heed(self._signals.popleft())
        self._reap()
        if not self._is_stopping:
            self._fill()
            self._roll()
            self._keep_companions()
        self._end_late()

    def _heed(self, number: int) -> None:
        if number == signal.SIGHUP and not self._is_stopping:
            self._to_roll = deque(range(len(self._seats)))
        elif number in (signal.SIGTERM, signal.SIGINT):
            if self._is_stopping:
                self._kill_all()
            else:
                self._stop()

    def _heed_above(self, lifeline: int) -> None:
        if not os.read(lifeline, _BLOCK_BYTES):
            self._selector.unregister(lifeline)
            _logger.error("what started this gateway is gone, and it goes too")
            self._heed(signal.SIGTERM)

    def _stop(self) -> None:
        """Nobody new comes in, and what has begun is answered."""
        self._is_stopping = True
        for one in self._sockets:
            one.close()
        self._due.clear()
        for child in self._children.values():
            self._dismiss(child)
        self._ending = [threading.Thread(target=companion.stop) for companion in self._companions]
        for thread in self._ending:  # nothing is copied any more, so there may be threads
            thread.start()

    def _keep_companions(self) -> None:
        if self._companions_at is None:
            for companion in self._companions:
                companion.keep()
        elif self._clock.monotonic() >= self._companions_at:
            self._companions_at = None
            for companion in self._companions:
                companion.start()

    def _dismiss(self, child: Child) -> None:
        if child.until is None:
            child.until = self._clock.monotonic() + DRAIN_SECONDS + _LAST_SECONDS
            _send(child, signal.SIGTERM if child.ready_at is not None else signal.SIGKILL)

    def _kill_all(self) -> None:
        for child in self._children.values():
            child.until = 0.0
            _send(child, signal.SIGKILL)

    def _end_late(self) -> None:
        now = self._clock.monotonic()
        for child in self._children.values():
            if child.until is not None and now >= child.until:
                _send(child, signal.SIGKILL)

    def _fill(self) -> None:
        now = self._clock.monotonic()
        for number, (at, ended) in list(self._due.items()):
            if now >= at:
                del self._due[number]
                self._seats[number] = self._start(number, *ended)

    def _start(self, number: int, ended: str | None = None, crashed: str | None = None) -> Child:
        (ours, theirs), at_work = os.pipe(), AtWork()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            desk = Desk(
                number=number,
                sockets=self._sockets,
                told=theirs,
                lifeline=self._lifeline[0],
                at_work=at_work,
                ended=ended,
                crashed=crashed,
            )
            self._become(desk, ours)
        os.close(theirs)
        child = self._children[pid] = Child(pid=pid, number=number, told=ours, at_work=at_work)
        self._selector.register(ours, selectors.EVENT_READ, child)
        return child

    def _become(self, desk: Desk, ours: int) -> NoReturn:
        """The rest of a worker's life."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for one in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(one, signal.SIG_DFL)
            for one in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all: the supervisor decides
                signal.signal(one, signal.SIG_IGN)
            self._selector.close()
            others = [child.told for child in self._children.values()]
            for descriptor in (ours, self._lifeline[1], *self._alarm, *others):
                os.close(descriptor)
            code = self._work(desk)
        except BaseException:
            _logger.exception("worker %d failed", desk.number)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _hear(self, child: Child) -> None:
        content = os.read(child.told, _BLOCK_BYTES)
        *lines, child.said = (child.said + content).split(b"\n")
        for line in lines:
            self._take_in(child, json.loads(line))
        if not content:
            self._selector.unregister(child.told)

    def _take_in(self, child: Child, said: Mapping[str, Any]) -> None:
        child.reason = said.get("reason", child.reason)
        child.loops = said.get("loops", child.loops)
        if "ready" in said:
            child.ready_at, child.loops = self._clock.monotonic(), said["ready"]
            self._tell_ready()

    def _tell_ready(self) -> None:
        """Once, when every worker answers, or has failed to."""
        seated = [child for child in self._seats if child is not None]
        if self._is_ready or any(child.ready_at is None for child in seated):
            return
        first = next((child.loops for child in seated if child.loops is not None), None)
        if first is not None:
            self._is_ready = True
            self._on_ready(first)
            self._companions_at = self._clock.monotonic() + _LATER_SECONDS

    def _reap(self) -> None:
        for pid, child in list(self._children.items()):
            with suppress(ChildProcessError):
                found, status = os.waitpid(pid, os.WNOHANG)
                if found == pid:
                    del self._children[pid]
                    self._bury(child, status)

    def _bury(self, child: Child, status: int) -> None:
        while child.told in self._selector.get_map():
            self._hear(child)  # its last words
        os.close(child.told)
        if child is self._rolling:
            self._rolling, self._to_roll = None, deque()
            _logger.error("the new worker %s: the old ones stay", ending(status, child.reason))
        elif child.until is None:
            self._replace(child, status)

    def _replace(self, child: Child, status: int) -> None:
        """It ended though nobody told it to."""
        told, now = ending(status, child.reason), self._clock.monotonic()
        self._seats[child.number] = None
        if child.ready_at is None and not self._is_ready and not any(self._seats):
            self._code = os.waitstatus_to_exitcode(status) or 1
            self._stop()
            return
        is_short = child.ready_at is None or now - child.ready_at < _SHORT_SECONDS
        lives = self._short_lives[child.number] = self._short_lives[child.number] + 1 if is_short else 0
        version = died_of(status, child.at_work.versions())
        told += f", running {version}" if version else ""
        self._due[child.number] = now + rest_seconds(lives), (f"the process {child.pid} {told}", version)
        _logger.error("worker %d, process %d, %s; another is started", child.number, child.pid, told)
        self._tell_ready()

    def _roll(self) -> None:
        """One step of the replacement of all workers."""
        new = self._rolling
        if new is None and self._to_roll:
            number = self._to_roll.popleft()
            if self._seats[number] is not None:
                self._rolling = self._start(number)
        elif new is not None and new.ready_at is not None:
            old, self._rolling = self._seats[new.number], None
            if old is not None and (lost := lost_loops(old.loops or {}, new.loops or {})):
                self._to_roll.clear()
                _logger.error("the new worker cannot load %s, which the old one answers: the old ones stay", lost)
                self._dismiss(new)
                return
            self._seats[new.number] = new
            self._due.pop(new.number, None)
            _logger.info("worker %d was replaced", new.number)
            if old is not None:
                self._dismiss(old)


def _send(child: Child, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(child.pid, number)
