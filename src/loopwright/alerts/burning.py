"""How fast the room for failure is used up: counts in five-minute buckets, and the pairs of windows that page.

Beyer et al., "The Site Reliability Workbook", chapter 5: a rate over a long window says that it matters, the same over
a short one that it still goes on. Event time: what counts is when a request was answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from loopwright.alerts.declare import Promise
from loopwright.alerts.urgency import Urgency

BUCKET_SECONDS = 300
KEPT = timedelta(days=3)
LEAST_BAD = 5
"""Below so many in the long window nobody is told: one failure of ten requests in a quiet night is no incident."""
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    rate: float
    """So many times faster than the promise allows."""
    long: timedelta
    short: timedelta
    urgency: Urgency


PAIRS = (
    Pair(14.4, _HOUR, 5 * _MINUTE, Urgency.PAGE),
    Pair(6.0, 6 * _HOUR, 30 * _MINUTE, Urgency.PAGE),
    Pair(1.0, 3 * _DAY, 6 * _HOUR, Urgency.TICKET),
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Requests of five minutes."""

    answered: int = 0
    slow: int = 0
    """Of those answered."""
    failed: int = 0

    def plus(self, other: Bucket) -> Bucket:
        return Bucket(self.answered + other.answered, self.slow + other.slow, self.failed + other.failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Burning:
    """One promise that is not kept just now."""

    what: str
    """`availability` or `latency`."""
    urgency: Urgency
    rate: float
    window: timedelta
    bad: int
    requests: int
    allowed: float

    def __str__(self) -> str:
        bad = "failed" if self.what == "availability" else "were slow"
        hours = self.window / _HOUR
        return (
            f"{self.bad:,} of {self.requests:,} requests {bad} within {hours:g} h: {self.rate:.1f} times what the "
            f"promise allows ({self.allowed:.3g})"
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one loop, by the number of the five minutes since 1970.

    >>> from datetime import UTC
    >>> now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> bad = Counts().plus([(now - timedelta(minutes=one), Bucket(90, 0, 10)) for one in range(60)], now)
    >>> [str(one) for one in bad.burning(Promise(), now)][0]
    '560 of 5,600 requests failed within 1 h: 100.0 times what the promise allows (0.001)'
    """

    buckets: Mapping[int, Bucket] = field(default_factory=dict)

    def plus(self, found: Iterable[tuple[datetime, Bucket]], now: datetime) -> Counts:
        """With these, and without what is too old by now."""
        kept = dict(self.buckets)
        for at, bucket in found:
            number = _number(at)
            kept[number] = kept.get(number, Bucket()).plus(bucket)
        oldest = _number(now - KEPT) - 1
        return Counts({number: bucket for number, bucket in kept.items() if number >= oldest})

    def within(self, span: timedelta, now: datetime) -> Bucket:
        """The buckets that begin in the span before now; what is dated later, for clocks differ, counts as now."""
        first, total = _number(now - span) + 1, Bucket()
        for number, bucket in self.buckets.items():
            if number >= first:
                total = total.plus(bucket)
        return total

    def burning(self, promise: Promise, now: datetime) -> list[Burning]:
        """Of each promise that is not kept, the most urgent pair of windows that says so."""
        found = []
        for what, kept in (("availability", promise.availability), ("latency", promise.fast)):
            worst = next((one for pair in PAIRS if (one := self._pair(what, 1 - kept, pair, now))), None)
            if worst is not None:
                found.append(worst)
        return found

    def _pair(self, what: str, allowed: float, pair: Pair, now: datetime) -> Burning | None:
        bad, requests = _bad(what, self.within(pair.long, now))
        lately, requests_lately = _bad(what, self.within(pair.short, now))
        if bad < LEAST_BAD or not requests_lately:
            return None
        rate = bad / requests / allowed
        if rate < pair.rate or lately / requests_lately / allowed < pair.rate:
            return None
        return Burning(
            what=what, urgency=pair.urgency, rate=rate, window=pair.long, bad=bad, requests=requests, allowed=allowed
        )

    def to_dict(self) -> dict[str, list[int]]:
        return {str(number): [one.answered, one.slow, one.failed] for number, one in sorted(self.buckets.items())}

    @classmethod
    def from_dict(cls, found: Mapping[str, list[int]]) -> Counts:
        return cls({int(number): Bucket(*counts) for number, counts in found.items()})


def _bad(what: str, total: Bucket) -> tuple[int, int]:
    """How many were bad, of how many."""
    if what == "availability":
        return total.failed, total.answered + total.failed
    return total.slow, total.answered


def _number(at: datetime) -> int:
    return int(at.timestamp()) // BUCKET_SECONDS
