"""How the journal is: what could not be written, since when, and what is to be told of it. Counting costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from loopwright.core.clock import Clock

SUBJECT = "journal:predictions"
_CALM_SECONDS = 5.0
"""So long without a failure, and with something written, before the journal is said to be well again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The journal at one moment. The numbers are rows, since the process began."""

    is_degraded: bool
    since: datetime | None
    """When it became so."""
    what: str
    """The newest failure; empty before the first."""
    refused: int
    """Not written, and so not answered."""
    unrecorded: int
    """Not written, and answered all the same."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of the journal: to be written as an event."""

    kind: str
    """`JournalDegraded` or `JournalRecovered`."""
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)


class Watch:
    """Counts what fails. Any thread may tell it; one alone asks for `changes`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: datetime | None = None
        self._what = ""
        self._failed_at: float | None = None
        self._is_told = False
        self._has_written = True
        self._refused = self._unrecorded = 0

    def failed(self, what: str, count: int, *, is_answered: bool) -> None:
        """Of several threads at once a count may lack some: nothing is decided by it."""
        self._what, self._failed_at, self._has_written = what, self._clock.monotonic(), False
        self._since = self._since or self._clock.now()
        if is_answered:
            self._unrecorded += count
        else:
            self._refused += count

    def wrote(self) -> None:
        self._has_written = True

    def now(self) -> Health:
        return Health(
            is_degraded=self._since is not None,
            since=self._since,
            what=self._what,
            refused=self._refused,
            unrecorded=self._unrecorded,
        )

    def changes(self) -> list[Change]:
        """What became of it since this was asked last."""
        if self._since is None or self._failed_at is None:
            return []
        found, numbers = [], {"refused": self._refused, "unrecorded": self._unrecorded}
        if not self._is_told:
            self._is_told = True
            found.append(Change("JournalDegraded", self._since, {"what": self._what, **numbers}))
        if self._has_written and self._clock.monotonic() - self._failed_at >= _CALM_SECONDS:
            told = {"since": self._since.isoformat(), **numbers}
            self._since, self._is_told = None, False
            found.append(Change("JournalRecovered", self._clock.now(), told))
        return found


def tell(note: Callable[[str, str, str, Mapping[str, Any]], None], changes: Iterable[Change]) -> None:
    """Hand them on to be written: kind, subject, reason and data of an event each."""
    for one in changes:
        note(one.kind, SUBJECT, str(one.data.get("what", "")), one.data)
