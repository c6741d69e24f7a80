"""Which windows of event time are closed, and which of them are to be told again: pure, from the clock and a state.

Windows lie on a grid from 1970 on. The clock may jump: set ahead, it closes one empty stretch and not ten thousand
windows; set back, what was closed beyond it is looked at again, and found or not found anew under the same names.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of event time, the end not included."""

    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        return self.until - self.since

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%dT%H:%M:%SZ}/{self.until:%Y-%m-%dT%H:%M:%SZ}"


def window_of(at: datetime, length: timedelta) -> Window:
    """The one that a moment lies in.

    >>> str(window_of(datetime(2026, 3, 1, 13, 5, tzinfo=UTC), timedelta(days=1)))
    '2026-03-01T00:00:00Z/2026-03-02T00:00:00Z'
    """
    since = _EPOCH + (at.astimezone(UTC) - _EPOCH) // length * length
    return Window(since=since, until=since + length)


def split(window: Window, parts: int) -> list[Window]:
    """Into so many, one at least, about equally long.

    >>> [str(one)[11:19] for one in split(window_of(datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)), 2)]
    ['00:00:00', '12:00:00']
    """
    count = max(parts, 1)
    ends = [window.since + window.length * place / count for place in range(count)] + [window.until]
    return [Window(since=since, until=until) for since, until in pairwise(ends)]


def closed(since: datetime, length: timedelta, lateness: timedelta, now: datetime) -> Window | None:
    """The window that begins at `since`, if it is over. It ends on the grid: where windows were of another length
    before, the first one may be shorter.

    >>> noon, now = datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
    >>> str(closed(noon, timedelta(days=1), timedelta(0), now))
    '2026-03-01T12:00:00Z/2026-03-02T00:00:00Z'
    """
    found = Window(since=since, until=window_of(since, length).until)
    return found if found.until + lateness <= now else None


def is_set_back(since: datetime, length: timedelta, now: datetime) -> bool:
    """Whether the clock shows a time that was closed already: it was ahead then, or is behind now."""
    return now < since - length


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A window that is told again as labels come."""

    window: Window
    age: int
    """How many windows had passed when it was told last."""
    fed: datetime | None = None
    """Labels of it that were told until then have been learned from."""
    rows: int = 0
    """How many predictions there are in it."""
    labelled: int = 0
    """How many of them had their label when it was told last."""
    versions: tuple[int, ...] = ()
    """Who made them."""


def due_again(one: Pending, within: timedelta, now: datetime) -> int | None:
    """The age, in windows like it, at which it is to be told again now; None for not yet. Less and less often, and when
    its labels are due.

    >>> first = Pending(window=window_of(datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)), age=0)
    >>> due_again(first, timedelta(days=7), datetime(2026, 3, 3, 1, tzinfo=UTC))
    1
    """
    age = max((now - one.window.until) // one.window.length, 0)
    if is_final(one.window, within, now):
        return age
    reached = _step(age)
    return reached if reached > one.age else None


def is_final(window: Window, within: timedelta, now: datetime) -> bool:
    """Whether every label of it came, or will be called missing."""
    return window.until + within <= now


def _step(age: int) -> int:
    """The last of 1, 2, 3, 4, 6, 8, 12, 16, ... that is reached.

    >>> [_step(age) for age in (0, 1, 3, 5, 7, 11, 12)]
    [0, 1, 3, 4, 6, 8, 12]
    """
    power = (1 << age.bit_length()) >> 1
    return power * 3 // 2 if age >= power * 3 // 2 else power
