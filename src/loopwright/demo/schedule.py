"""The year's flights in the order of time: who asks when, which flight has landed, what is written into the table.

Months are read one after the other, as they are needed, and only one is held whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from loopwright.demo import flights, traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A flight that is about to leave, and what its prediction is asked for with."""

    flight: str
    month: int
    at: datetime
    body: bytes


class Schedule:
    """Flights of the months from `first` to `last`. Time goes on: each flight is told once."""

    def __init__(self, first: int, last: int, *, rows_each: int | None = None) -> None:
        """`rows_each` takes only about so many flights of every month, evenly."""
        self._next, self._last, self._rows_each = first, last, rows_each
        self._departures: list[Departure] = []
        self._landings: list[tuple[str, bool, datetime]] = []
        self._left = self._down = 0
        self._months: list[pl.DataFrame] = []

    def departing(self, until: datetime) -> list[Departure]:
        """Those that leave before that moment, and were not told yet."""
        self._read(until)
        first = self._left
        while self._left < len(self._departures) and self._departures[self._left].at < until:
            self._left += 1
        return self._departures[first : self._left]

    def landed(self, until: datetime) -> list[tuple[str, bool]]:
        """`flight_id`, and whether it was late, of flights that `departing` told: where it is known by that moment, and
        was not told yet."""
        first = self._down
        while self._down < len(self._landings) and self._landings[self._down][2] <= until:
            self._down += 1
        return [(flight, late) for flight, late, _ in self._landings[first : self._down]]

    def flown(self, since: datetime, until: datetime) -> pl.DataFrame:
        """Rows for the table, of flights that left in a span of at most a month before what was asked for last. Without
        labels: they come over HTTP."""
        is_in = (pl.col(flights.TIME) >= since) & (pl.col(flights.TIME) < until)
        found = pl.concat([month.filter(is_in) for month in self._months])
        return found.with_columns(pl.lit(None, dtype=pl.Boolean).alias(flights.LABEL))

    def _read(self, until: datetime) -> None:
        """The next month, once the one before has left."""
        while self._next <= self._last and (not self._departures or self._departures[-1].at < until):
            self._take(self._next)
            self._next += 1

    def _take(self, number: int) -> None:
        rows = sampled(flights.serving_rows(number), self._rows_each)
        rows.sort(key=lambda row: str(row[flights.TIME]))
        asked = zip(rows, traffic.bodies(rows, _unit), strict=True)
        fresh = [Departure(flight=row[flights.KEY], month=number, at=_moment(row), body=body) for row, body in asked]
        self._departures = [*self._departures[self._left :], *fresh]
        self._left = 0
        mine = {one.flight for one in fresh}
        landings = flights.landings(number).select(flights.KEY, flights.LABEL, "at").rows()
        known = [one for one in landings if one[0] in mine]
        self._landings = sorted([*self._landings[self._down :], *known], key=lambda one: one[2])
        self._down = 0
        frame = flights.month(number).filter(pl.col(flights.KEY).is_in(list(mine)))
        self._months = [*self._months[-1:], frame]


def sampled(rows: Sequence[dict[str, Any]], rows_each: int | None) -> list[dict[str, Any]]:
    """About so many, evenly; None: all."""
    return list(rows if rows_each is None else rows[:: max(len(rows) // rows_each, 1)])


def _unit(row: Mapping[str, Any]) -> str:
    """The flight as passengers know it, which is the same one every day: `UA-0017`."""
    return str(row[flights.KEY])[-7:]


def _moment(row: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(str(row[flights.TIME]))
