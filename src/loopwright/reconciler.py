"""A process that keeps something as it should be: look, decide, write once, rest; killed anywhere, it goes on.

Here is the rhythm alone: what is looked at and decided is each reconciler's own. One of several processes of a name
leads; what they write is fenced by revisions all the same, so two leaders do no harm.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from loopwright.core.clock import Clock, new_ulid
from loopwright.core.event import Cause
from loopwright.core.stores import Events, Leaders
from loopwright.errors import LoopwrightError, StoreUnavailable

_logger = logging.getLogger(__name__)
LEASE_SECONDS = 15.0
"""A leader that falls silent for so long is replaced."""
_LONGEST_REST_SECONDS = 60.0
FAILED, RECOVERED = "ReconcilerFailed", "ReconcilerRecovered"


class Reconciler(Protocol):
    """One of the live loops: release, monitor, retrain, alerts."""

    @property
    def name(self) -> str: ...

    def reconcile(self) -> int:
        """Look at everything once, and do what is due: how many things changed. Raises for nothing that concerns one
        loop alone: that is logged, and the others go on."""
        ...


def seat_here(clock: Clock) -> str:
    """A name to lead under that no other has: containers may share a host's name and the number of a process."""
    return f"{socket.gethostname()}:{os.getpid()}:{new_ulid(clock)}"


def keep(
    reconciler: Reconciler,
    *,
    leaders: Leaders,
    holder: str,
    clock: Clock,
    seconds: float,
    is_over: Callable[[float], bool],
    on_lead: Callable[[bool], None] = lambda _: None,
    lease_seconds: float = LEASE_SECONDS,
) -> None:
    """One pass every so many seconds while this process leads, until it is over.

    `is_over` waits so long and says whether to end: a pass that has begun is finished first. `holder` is a name that no
    other process has. `clock` is that of the processes, also where a replay turns another one by hand: who leads is no
    matter of what time it is there. `on_lead` is called when this process begins or ceases to lead, and at first. A
    pass that fails is logged, and tried again after a rest that doubles, up to a minute.
    """
    lead = Lead(
        name=reconciler.name, leaders=leaders, holder=holder, clock=clock, seconds=lease_seconds, on_lead=on_lead
    )
    failures = 0
    try:
        while True:
            try:
                if lead.hold():
                    with lead.held():
                        reconciler.reconcile()
                failures = _recovered(reconciler.name, failures)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next pass may succeed
                failures += 1
                _tell(reconciler.name, error, failures)
            if is_over(rest_seconds(seconds, failures)):
                return
    finally:
        lead.leave()


class Troubles:
    """What keeps single loops from being looked at, as events of theirs: told when it begins and when it is over, and
    once, whoever of several processes is at it. Of a store that was away for one pass nothing is said."""

    def __init__(self, reconciler: str, events: Events, clock: Clock, actor: str) -> None:
        self._reconciler, self._events, self._clock, self._actor = reconciler, events, clock, actor
        self._known: dict[str, str] | None = None
        """Loop to what is wrong with it, as the trail has it; None before that was read."""
        self._away: set[str] = set()

    def failed(self, loop: str, error: LoopwrightError) -> None:
        is_first = loop not in self._away
        self._away.add(loop)
        if isinstance(error, StoreUnavailable) and is_first:
            return
        with self._as_far_as_the_store_is_there():
            if self._open().get(loop) != error.what:
                _logger.warning("%s of %s: %s", self._reconciler, loop, error)
                self._tell(FAILED, loop, error.what, {"kind": type(error).__name__, "reason": error.what})
                self._open()[loop] = error.what

    def well(self, loop: str) -> None:
        """It was looked at."""
        self._away.discard(loop)
        with self._as_far_as_the_store_is_there():
            if loop in self._open():
                self._tell(RECOVERED, loop, "it goes on", {})
                del self._open()[loop]

    @contextmanager
    def _as_far_as_the_store_is_there(self) -> Iterator[None]:
        """What cannot be said now is said when it is back, if it is still so."""
        try:
            yield
        except StoreUnavailable:
            self._known = None

    def _open(self) -> dict[str, str]:
        if self._known is None:
            known: dict[str, str] = {}
            for event in self._events.list(kinds=[FAILED, RECOVERED], newest_first=True):
                if event.data.get("reconciler") == self._reconciler:
                    is_open = event.kind == FAILED
                    known.setdefault(event.subject.removeprefix("loop:"), event.data["reason"] if is_open else "")
            self._known = {loop: what for loop, what in known.items() if what}
        return self._known

    def _tell(self, kind: str, loop: str, reason: str, data: Mapping[str, str]) -> None:
        """With its moment: the same again later is news."""
        now = self._clock.now()
        told = {"reconciler": self._reconciler, **data, "since": now.isoformat()}
        self._events.add(kind, f"loop:{loop}", Cause(actor=self._actor, at=now, reason=reason), told)


def rest_seconds(seconds: float, failures: int) -> float:
    """Between two passes, the last so many of which failed.

    >>> [rest_seconds(1.0, failures) for failures in (0, 1, 2, 3, 99)]
    [1.0, 2.0, 4.0, 8.0, 60.0]
    """
    return max(seconds, min(_LONGEST_REST_SECONDS, seconds * 2.0 ** min(failures, 32)))


def _recovered(name: str, failures: int) -> int:
    if failures:
        _logger.info("%s works again, after %d that failed", name, failures)
    return 0


def _tell(name: str, error: Exception, failures: int) -> None:
    """What we raise says all there is to say; of anything else the place is wanted, once."""
    is_ours = isinstance(error, LoopwrightError)
    _logger.error("%s failed (%d in a row): %s", name, failures, error, exc_info=not is_ours and failures == 1)


@dataclass(kw_only=True)
class Lead:
    """The lead of a name, as one process holds it."""

    name: str
    leaders: Leaders
    holder: str
    clock: Clock
    seconds: float
    """How long a lease lasts; it is renewed when a third of that is over."""
    on_lead: Callable[[bool], None]
    _taken_at: float | None = None
    _told: bool | None = None

    def hold(self) -> bool:
        """Lead, or go on leading: whether this process does. Asks the store when a third of the lease is over."""
        now = self.clock.monotonic()
        if self._taken_at is not None and now - self._taken_at < self.seconds / 3:
            return True
        is_held = self.leaders.take(self.name, self.holder, self.clock.now(), self.seconds)
        self._taken_at = now if is_held else None
        if is_held is not self._told:
            self._told = is_held
            self.on_lead(is_held)
        return is_held

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the lead during a pass, however long that takes."""
        is_done = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(is_done,), name=f"lead of {self.name}", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            is_done.set()
            renewing.join()

    def _renew(self, is_done: threading.Event) -> None:
        while not is_done.wait(self.seconds / 3):
            try:
                self.hold()
            except LoopwrightError as error:  # the store may be back before the lease is over
                _logger.warning("the lead of %s cannot be renewed: %s", self.name, error.what)

    def leave(self) -> None:
        """Make room for another process. What cannot be said now, the end of the lease says."""
        if self._taken_at is None:
            return
        self._taken_at = None
        try:
            self.leaders.leave(self.name, self.holder)
        except LoopwrightError as error:
            _logger.warning("the lead of %s cannot be left: %s", self.name, error.what)
