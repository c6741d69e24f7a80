"""What the gateway counts of itself, as plain numbers in memory: a request costs it less than a microsecond.

Labels are names of loops that are served, versions, arms, routes, and words of this file: never what a client sent.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the classes of latency; one more holds what is beyond."""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Upper bounds of the classes of batches."""
MIXED = "mixed"
"""The arm of a request whose rows went to several."""
ERRORS = (500, 503, 504)
REASONS = ("key", "scope", "rate", "invalid", "size", "slow", "overload", "deadline")
"""Why requests were refused."""
_BY_STATUS = {
    400: "invalid",
    401: "key",
    403: "scope",
    408: "slow",
    413: "size",
    415: "invalid",
    422: "invalid",
    429: "rate",
}
_SHADOW = {"shadowed": "done", "shadow_dropped": "dropped", "shadow_failed": "failed"}
Answer = tuple[str, int, str, str, int]
"""Loop, version (0 where none was chosen), arm, protocol, status."""
Labels = tuple[str, ...]


class Hearer(Protocol):
    """Is told of every answer, in the thread that gave it."""

    def answered(self, answer: Answer, rows: int, seconds: float) -> None: ...
    def exchanged(self, route: str, status: int, seconds: float) -> None: ...


class Counts(msgspec.Struct, kw_only=True):
    """Numbers of one process, or of several together. Each family's values by their labels."""

    counters: dict[str, list[tuple[Labels, float]]] = {}
    histograms: dict[str, list[tuple[Labels, list[int], float]]] = {}
    """How often in each class, one more than there are bounds; and the sum."""
    gauges: dict[str, list[tuple[Labels, float]]] = {}


class Histogram:
    """How often what was seen fell in each class, and its sum."""

    __slots__ = ("counts", "sum")

    def __init__(self, bounds: int) -> None:
        self.counts = [0] * (bounds + 1)
        self.sum = 0.0


class _Series:
    __slots__ = ("counts", "rows", "seconds")

    def __init__(self) -> None:
        self.rows = 0
        self.seconds = 0.0
        self.counts = [0] * (len(SECONDS) + 1)


class Tally:
    """Counts of one process, from any of its threads."""

    def __init__(self, hearer: Hearer | None = None) -> None:
        self.batches: dict[str, Histogram] = {}
        self.events: Counter[tuple[str, str]] = Counter()
        """By loop and kind: shadowed, shadow_dropped, shadow_failed, overload, deadline, hung."""
        self.exchanges: Counter[tuple[str, int]] = Counter()
        """What was no prediction, by route and status."""
        self._series: defaultdict[Answer, _Series] = defaultdict(_Series)
        self._hearer = hearer
        self._lock = threading.Lock()

    @property
    def requests(self) -> dict[Answer, int]:
        return {key: count for key, one in self._series.copy().items() if (count := sum(one.counts))}

    def answered(
        self, loop: str, version: int, arm: str, protocol: str, status: int, rows: int, seconds: float
    ) -> None:
        """One request got its answer, of whatever status; `seconds` since it was read whole."""
        key = (loop, version, arm, protocol, status)
        place = bisect_left(SECONDS, seconds)
        with self._lock:
            found = self._series[key]
            found.rows += rows
            found.seconds += seconds
            found.counts[place] += 1
        if self._hearer is not None:
            self._hearer.answered(key, rows, seconds)

    def answered_rows(self, loop: str, version: int, arm: str, protocol: str, rows: int) -> None:
        """Rows that one of several arms answered, of a request that is counted as `MIXED`."""
        with self._lock:
            self._series[loop, version, arm, protocol, 200].rows += rows

    def ran(self, loop: str, rows: int) -> None:
        """One call of a model, for so many rows."""
        with self._lock:
            found = self.batches.get(loop)
            if found is None:
                found = self.batches[loop] = Histogram(len(ROWS))
            found.counts[bisect_left(ROWS, rows)] += 1
            found.sum += rows

    def happened(self, loop: str, kind: str, count: int = 1) -> None:
        with self._lock:
            self.events[loop, kind] += count

    def exchanged(self, route: str, status: int, seconds: float) -> None:
        """A request that was for no prediction got its answer. `route` is ours, never the client's."""
        with self._lock:
            self.exchanges[route, status] += 1
        if self._hearer is not None:
            self._hearer.exchanged(route, status, seconds)

    def counts(self, loops: Iterable[str] = ()) -> Counts:
        """All of it now. Of the loops that are named, what never happened stands as 0, so that it can be asked for."""
        with self._lock:
            series = [(key, one.rows, one.seconds, one.counts.copy()) for key, one in self._series.items()]
            events, exchanges = self.events.copy(), self.exchanges.copy()
            batches: list[tuple[Labels, list[int], float]] = [
                ((loop,), one.counts.copy(), one.sum) for loop, one in self.batches.items()
            ]
        found = _Sums(loops)
        for key, rows, _, counts in series:
            found.add_answers(key, sum(counts), rows)
        for (loop, kind), count in events.items():
            found.add_event(loop, kind, count)
        for (route, status), count in exchanges.items():
            found.add_exchange(route, status, count)
        return Counts(
            counters={name: list(values.items()) for name, values in found.sums.items()},
            histograms={"loopwright_latency_seconds": _latency(series), "loopwright_batch_rows": batches},
        )


def _latency(series: list[Any]) -> list[tuple[Labels, list[int], float]]:
    """Of the answers that were given, for a refusal is quick and says nothing of the model."""
    return [(_labels(key[:4]), counts, seconds) for key, _, seconds, counts in series if key[4] == 200 and any(counts)]


def _labels(key: tuple[Any, ...]) -> Labels:
    """A version that nobody chose is no version."""
    return tuple("" if one == 0 else str(one) for one in key)


class _Sums:
    """Counters of a tally under the names by which they are told."""

    def __init__(self, loops: Iterable[str]) -> None:
        self.sums: dict[str, Counter[Labels]] = {}
        for loop in loops:
            for status in ERRORS:
                self._add("errors", (loop, str(status)), 0)
            for reason in REASONS:
                self._add("refused", (loop, reason), 0)
            for outcome in _SHADOW.values():
                self._add("shadow_rows", (loop, outcome), 0)
            self._add("hangs", (loop,), 0)

    def add_answers(self, key: Answer, requests: int, rows: int) -> None:
        loop, _, _, _, status = key
        if requests:
            self._add("requests", _labels(key), requests)
        if status == 200:
            self._add("rows", _labels(key[:4]), rows)
        if status >= 500:
            self._add("errors", (loop, str(status)), requests)
        if status in _BY_STATUS:
            self._add("refused", (loop, _BY_STATUS[status]), requests)

    def add_event(self, loop: str, kind: str, count: int) -> None:
        if kind in _SHADOW:
            self._add("shadow_rows", (loop, _SHADOW[kind]), count)
        elif kind == "hung":
            self._add("hangs", (loop,), count)
        else:
            self._add("refused", (loop, kind), count)

    def add_exchange(self, route: str, status: int, count: int) -> None:
        self._add("other_requests", (route, str(status)), count)
        if status in _BY_STATUS:
            self._add("refused", ("", _BY_STATUS[status]), count)

    def _add(self, name: str, labels: Labels, count: float) -> None:
        values = self.sums.setdefault(f"loopwright_{name}", Counter())
        values[labels] += count  # type: ignore[assignment]


def together(ended: Iterable[Counts], live: Iterable[Counts]) -> Counts:
    """The sum of several processes': what was counted lasts, a gauge ends with its process."""
    counters: dict[str, Counter[Labels]] = {}
    gauges: dict[str, Counter[Labels]] = {}
    histograms: dict[str, dict[Labels, tuple[list[int], float]]] = {}
    live = list(live)
    for one in [*ended, *live]:
        for name, values in one.counters.items():
            _sum(counters.setdefault(name, Counter()), values)
        for name, seen in one.histograms.items():
            mine = histograms.setdefault(name, {})
            for labels, counts, total in seen:
                before, sum_before = mine.get(labels, ([0] * len(counts), 0.0))
                mine[labels] = ([a + b for a, b in zip(before, counts, strict=True)], sum_before + total)
    for one in live:
        for name, values in one.gauges.items():
            _sum(gauges.setdefault(name, Counter()), values)
    return Counts(
        counters={name: list(values.items()) for name, values in counters.items()},
        histograms={name: [(of, *value) for of, value in mine.items()] for name, mine in histograms.items()},
        gauges={name: list(values.items()) for name, values in gauges.items()},
    )


def _sum(into: Counter[Labels], values: Iterable[tuple[Labels, float]]) -> None:
    for labels, value in values:
        into[labels] += value  # type: ignore[assignment]
