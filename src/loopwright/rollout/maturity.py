"""From which age of a prediction on its label counts: at one age for both versions, or the one whose mistakes are heard
of first would seem the worse.

The age is the least by which 95 % of the labels of each version came, looked for among predictions at least twice as
old: younger ones tell of early labels alone. It never shrinks within a release. Until it is known, and where it turns
out too small and a greater one is not known yet, nothing counts before `labels_within` is over. What counts then counts
in the order of the predictions. A label that comes later than the age counts when it comes, and not for the coverage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush

import msgspec
import numpy as np

SHARE = 0.95
LEAST = 20
"""Labels of each version, of predictions old enough, before an age is believed."""
_MOST = 4_096
"""Delays of one version that are remembered; beyond it every other one."""
_FIRST, _GROWS = 60.0, 1.25
"""The ages that are tried: none, a minute, and each so many times the one before."""


class Ripe(msgspec.Struct, frozen=True, kw_only=True):
    """How far labels have counted. Kept with the cursor, so that nothing counts twice."""

    seconds: float | None = None
    """The age; None before it is known."""
    until: datetime | None = None
    """Of the predictions, the last that counted: what is older counts as soon as its label is there."""


@dataclass(slots=True)
class _Delays:
    """Of the labels of one version: when the prediction was made, and how much later the label came, in seconds."""

    at: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    every: int = 1
    seen: int = 0

    def add(self, at: float, late: float) -> None:
        self.seen += 1
        if self.seen % self.every:
            return
        self.at.append(at)
        self.late.append(late)
        if len(self.at) > _MOST:
            self.at, self.late, self.every = self.at[1::2], self.late[1::2], 2 * self.every

    def shares_by(self, ages: Iterable[float], now: float) -> Iterator[float | None]:
        """Of the labels of predictions twice as old, those that came within so many seconds; None of too few."""
        at, told = np.asarray(self.at), np.asarray(self.late)
        for seconds in ages:
            late = told[at <= now - 2 * seconds]
            yield float((late <= seconds).mean()) if len(late) >= LEAST else None


class Maturity:
    """Of the labels of one release, or of one outcome: what waits until it may count."""

    def __init__(self, ripe: Ripe, horizon: timedelta) -> None:
        self.ripe = ripe
        self._horizon = horizon.total_seconds()
        self._delays = {True: _Delays(), False: _Delays()}
        self._waiting: list[tuple[datetime, str]] = []

    def put(self, identity: str, at: datetime, told_at: datetime, *, is_canary: bool) -> None:
        """A label of a prediction, by when it was told."""
        self._delays[is_canary].add(at.timestamp(), max(0.0, (told_at - at).total_seconds()))
        heappush(self._waiting, (at, identity))

    def is_timely(self, at: datetime, told_at: datetime) -> bool:
        """Whether the label was there when its prediction was as old as all are that are compared."""
        return (told_at - at).total_seconds() <= (self._horizon if self.ripe.seconds is None else self.ripe.seconds)

    def take(self, now: datetime) -> Iterator[str]:
        """What may count from now on, in the order of the predictions."""
        if not self._waiting:
            return
        is_known = self._grow(now.timestamp())
        age = self.ripe.seconds if is_known and self.ripe.seconds is not None else self._horizon
        limit = now - timedelta(seconds=age)
        yield from self._until(limit if self.ripe.until is None else max(limit, self.ripe.until))

    def again(self) -> Iterator[str]:
        """What counted before, by another reader."""
        if self.ripe.until is not None:
            yield from self._until(self.ripe.until)

    def _until(self, limit: datetime) -> Iterator[str]:
        while self._waiting and self._waiting[0][0] <= limit:
            at, identity = heappop(self._waiting)
            if self.ripe.until is None or at > self.ripe.until:
                self.ripe = msgspec.structs.replace(self.ripe, until=at)
            yield identity

    def _grow(self, now: float) -> bool:
        """Whether the age is known, and holds by all that is known of it."""
        known = self.ripe.seconds
        ages = list(_ages(self._horizon, known or 0.0))
        for seconds, *shares in zip(ages, *(one.shares_by(ages, now) for one in self._delays.values()), strict=True):
            if all(share is not None and share >= SHARE for share in shares):
                self.ripe = msgspec.structs.replace(self.ripe, seconds=seconds)
                return True
            if seconds == known and not any(share is not None and share < SHARE for share in shares):
                return True
        return False


def _ages(horizon: float, least: float) -> Iterator[float]:
    """The ages that are tried, in seconds, from one of them on."""
    seconds = least
    while seconds < horizon:
        yield seconds
        seconds = _FIRST if not seconds else seconds * _GROWS
