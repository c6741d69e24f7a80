"""When batches are due: at the multiples of an interval since 1970 in UTC, so that a day begins at midnight.

Each due time is met once, whatever the clock does. Of those that passed while nobody looked (the machine was off, the
clock jumped), the newest is met and the others are told as missed, unless all are to be caught up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from loopwright.core.clock import Clock

_logger = logging.getLogger(__name__)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOOK_SECONDS = 30.0
"""A clock that is set may make something due, so it is looked at so often."""


@dataclass(frozen=True, slots=True)
class Due:
    """A moment that has come."""

    at: datetime
    missed: int = 0
    """Those between the one before and this one."""


def newest(now: datetime, every: timedelta) -> datetime:
    """The due time that passed last.

    >>> newest(datetime(2026, 1, 1, 15, 30, tzinfo=UTC), timedelta(hours=6)).hour
    12
    """
    return _EPOCH + (now - _EPOCH) // every * every


def due(last: datetime, now: datetime, every: timedelta, *, catch_up: bool = False) -> Due | None:
    """What is to be met now, after `last` was; None while nothing is, and after the clock was set back."""
    first, latest = newest(last, every) + every, newest(now, every)
    if latest < first:
        return None
    return Due(first) if catch_up else Due(latest, (latest - first) // every)


class Schedule:
    """Meets what is due, one after the other."""

    def __init__(self, clock: Clock, every: timedelta, last: datetime | None, *, catch_up: bool = False) -> None:
        """`last` is the due time met last; without one, what is due already counts as met."""
        self._clock = clock
        self._every = every
        self._last = newest(clock.now(), every) if last is None else last
        self._catch_up = catch_up

    @property
    def next_at(self) -> datetime:
        """The due time that is met next: one that passed is met at once."""
        now = self._clock.now()
        found = due(self._last, now, self._every, catch_up=self._catch_up)
        return found.at if found is not None else newest(max(now, self._last), self._every) + self._every

    def follow(self, meet: Callable[[Due], None], is_over: Callable[[], bool]) -> None:
        """Until it is over. What fails is logged, and its due time is not met again."""
        while not is_over():
            found = due(self._last, self._clock.now(), self._every, catch_up=self._catch_up)
            if found is None:
                self._clock.sleep(self._wait())
                continue
            self._last = found.at
            try:
                meet(found)
            except Exception:  # the loop of a process: the next one may be better
                _logger.exception("the batch due at %s failed", found.at.isoformat())

    def _wait(self) -> float:
        now = self._clock.now()
        left = newest(now, self._every) + self._every - now
        return max(0.01, min(LOOK_SECONDS, left.total_seconds()))
