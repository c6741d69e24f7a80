"""Runs of models, by which slowness is counted: requests that one version answered at one moment were one batch.

A process that stalls makes a whole batch slow, and meets the one that runs at that moment. On a busy gateway, where
each batch has a part for each version, that is the challenger's as often as the champion's, however small its share of
the requests. So the batch is what counts, once, and the challenger's share is that of the batches.

Of a unit the first slow answer counts, so only batches of units that had none yet can bring one, and only they make the
share. A partner who asks for half of all is slow at once, and then no more: were his batches counted on, all others
would seem to come to the other version too often.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime

LEAST = 100
"""Runs of a stretch before its share of them is known."""
_AT_ONCE = 64
"""Processes may write at once: so many moments of a version are remembered."""


class Runs:
    """Of both versions, in the stretch in force. Where the clock stands still, as in a replay, all is one run.

    >>> from datetime import UTC, timedelta
    >>> runs, begun = Runs(), datetime(2026, 1, 1, tzinfo=UTC)
    >>> for number in range(200):
    ...     at = begun + timedelta(seconds=number // 2)
    ...     share = runs.slow(at, 1, is_canary=bool(number % 2), is_slow=False)
    >>> [runs.slow(begun + timedelta(hours=1), 1, is_canary=True, is_slow=True) for _ in range(3)]
    [0.5, None, None]
    """

    def __init__(self) -> None:
        self._stretch = 0
        self._counts = [0, 0]
        """Of the challenger, and of the champion."""
        self._of: dict[str, int] = {}
        """By named unit, what of them is its."""
        self._moments: dict[bool, deque[datetime]] = {}
        self._told: dict[bool, deque[datetime]] = {}
        self._begin(0)

    def slow(
        self, at: datetime, stretch: int, unit: str | None = None, *, is_canary: bool, is_slow: bool
    ) -> float | None:
        """What to hold a slow answer against: the challenger's share of the runs before; None where it says nothing
        more, for its run is told already, or too few were seen.

        To be called in order with every answer to a unit, if it is named, until something is told of it.
        """
        if stretch != self._stretch:
            self._begin(stretch)
        before, total = self._counts[0], sum(self._counts)
        if at not in self._moments[is_canary]:
            self._moments[is_canary].append(at)
            self._counts[not is_canary] += 1
            if unit is not None:
                self._of[unit] = self._of.get(unit, 0) + 1
        if not is_slow or at in self._told[is_canary]:
            return None
        self._told[is_canary].append(at)
        share = round(before / total, 3) if total >= LEAST and before < total else 0.0
        if share and unit is not None:
            self._counts[not is_canary] -= self._of.pop(unit, 0)
        return share or None

    def _begin(self, stretch: int) -> None:
        self._stretch, self._counts, self._of = stretch, [0, 0], {}
        self._moments = {is_canary: deque(maxlen=_AT_ONCE) for is_canary in (True, False)}
        self._told = {is_canary: deque(maxlen=_AT_ONCE) for is_canary in (True, False)}
