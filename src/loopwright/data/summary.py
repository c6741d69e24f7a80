"""What statistics tell, as plain values. Nothing here computes more than a sketch holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from loopwright.data.frequent import MOST_NUMBERS, MOST_TEXTS
from loopwright.data.gaps import gaps
from loopwright.data.histogram import EXACT_RANGE, Cells
from loopwright.data.sketch import (
    BooleanSketch,
    ColumnSketch,
    Described,
    FloatSketch,
    IntegerSketch,
    NumberSketch,
    TextSketch,
    TimeSketch,
)

MOST_VALUES = 100
"""So many of a column's most frequent values are told."""
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnStatistics:
    """One column: what fits its kind, None for the rest. Times are RFC 3339 text, in UTC; of lists the lengths."""

    name: str
    kind: Described
    rows: int
    missing: int
    """Nulls; of strings also the empty ones, of floats also NaN."""
    distinct: int
    """Exact for booleans, for whole numbers within 4,096 of each other, up to 256 other numbers and 1,024 strings;
    beyond that within 1.6 % (one standard error). Missing ones count for none."""
    nulls: int = 0
    empty: int | None = None
    """Empty strings."""
    nan: int | None = None
    minus_infinity: int | None = None
    plus_infinity: int | None = None
    out_of_range: int | None = None
    """Times beyond the years 1 to 9999."""
    zeros: int | None = None
    negatives: int | None = None
    mean: float | None = None
    """Of booleans the share of true. Exact but for one rounding; of floats within about 1e-15 of the largest."""
    deviation: float | None = None
    """Standard deviation, of the sample."""
    weighted_mean: float | None = None
    weighted_deviation: float | None = None
    low: float | str | None = None
    high: float | str | None = None
    quantiles: Mapping[str, float] | None = None
    """By share, as text: `0.5` is the median. Exact for whole numbers within 4,096 of each other and for up to 256
    other numbers; otherwise interpolated in a bin, whose rows bound the error in rank."""
    values: Mapping[str, int] | None = None
    """Counts of the most frequent values; of numbers only where all are known. None is too high; too low by at most
    `values_error`."""
    values_error: int = 0
    shortest: int | None = None
    """Length in characters, of strings that are not empty."""
    mean_length: float | None = None
    longest: int | None = None
    gaps: tuple[tuple[str, str], ...] | None = None
    """Of times: the stretches without rows that are unlike all others, at most ten, in order."""

    @property
    def infinite(self) -> int:
        """Of both signs."""
        return (self.minus_infinity or 0) + (self.plus_infinity or 0)

    @property
    def there(self) -> int:
        """Rows with a value that all else describes: neither missing, nor infinite, nor out of range."""
        return self.rows - self.missing - self.infinite - (self.out_of_range or 0)

    @property
    def is_counted(self) -> bool:
        """Whether `distinct` is exact, and no estimate."""
        if self.kind == "boolean" or self.distinct <= (MOST_TEXTS if self.kind == "string" else MOST_NUMBERS):
            return True
        low, high = self.low, self.high
        ends = not isinstance(low, str | None) and not isinstance(high, str | None)
        return self.kind in ("integer", "list") and ends and high - low < EXACT_RANGE  # type: ignore[operator]

    @property
    def is_constant(self) -> bool:
        """One value in every row."""
        return self.distinct == 1 and self.there == self.rows


def column_statistics(name: str, sketch: ColumnSketch) -> ColumnStatistics:
    """Of a flushed sketch."""
    nulls = int(sketch.nulls[0])
    common: dict[str, Any] = {"name": name, "kind": sketch.kind, "rows": sketch.rows, "nulls": nulls}
    match sketch:
        case TextSketch():
            return ColumnStatistics(**common, **_of_texts(sketch, nulls))
        case BooleanSketch():
            return ColumnStatistics(**common, **_of_booleans(sketch, nulls))
        case FloatSketch():
            return ColumnStatistics(**common, **_of_floats(sketch, nulls))
        case TimeSketch():
            return ColumnStatistics(**common, **_of_times(sketch, nulls))
        case IntegerSketch():
            return ColumnStatistics(**common, **_of_integers(sketch, nulls))
    raise TypeError(type(sketch))


def quantiles(sketch: NumberSketch, by: int = 0) -> Mapping[str, float] | None:
    """Of a flushed sketch; `by` 1 counts weights (where these are the first extra sums)."""
    cells = _values_as_cells(sketch) or sketch.cells()
    if not len(cells.low) or cells.tallies[:, by].sum() <= 0:
        return None
    found = cells.quantiles(np.array(QUANTILES), by)
    return {str(share): float(value) for share, value in zip(QUANTILES, found, strict=True)}


def _values_as_cells(sketch: NumberSketch) -> Cells | None:
    """Where all values are known there is no need to interpolate."""
    if not isinstance(sketch, FloatSketch | IntegerSketch) or sketch.few.values is None or not len(sketch.few.values):
        return None
    bits = sketch.few.values
    values = bits.view(np.float64) if isinstance(sketch, FloatSketch) else bits.astype(np.float64)
    order = np.argsort(values, kind="stable")
    return Cells(low=values[order], high=values[order], tallies=sketch.few.tallies[order])


def equal_width(cells: Cells, bins: int) -> tuple[list[float], list[float]]:
    """A histogram of bins of one width from lowest to highest: `bins + 1` edges, and counts. What a fine bin holds is
    spread evenly over it, so a count is off by no more than the two fine bins at its edges hold.

    >>> from loopwright.data.histogram import IntegerHistogram
    >>> made = IntegerHistogram()
    >>> made.add(np.array([1, 1, 2, 5]), 1, 5)
    >>> equal_width(made.cells(), 2)
    ([1.0, 3.0, 5.0], [3.0, 1.0])
    """
    if not len(cells.low):
        return [], []
    low, high = float(cells.low[0]), float(cells.high[-1])
    edges = low + (high / 2 - low / 2) * 2 * (np.arange(bins + 1) / bins) if high < 1e307 > -low else _wide(cells, bins)
    edges[0], edges[-1] = low, high
    upto = cells.below(edges)
    upto[-1] = cells.tallies[:, 0].sum()
    return edges.tolist(), np.diff(upto).tolist()


def _wide(cells: Cells, bins: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    share = np.arange(bins + 1) / bins
    return np.asarray(cells.low[0] * (1 - share) + cells.high[-1] * share)


def _of_texts(sketch: TextSketch, nulls: int) -> dict[str, Any]:
    frequent = sketch.frequent
    there = sketch.rows - nulls - int(sketch.empty[0])
    return {
        "missing": sketch.rows - there,
        "empty": int(sketch.empty[0]),
        "distinct": frequent.count(),
        "values": {str(frequent.texts[at]): int(frequent.tallies[at, 0]) for at in frequent.most(MOST_VALUES)},
        "values_error": frequent.error,
        "shortest": sketch.shortest if there else None,
        "mean_length": sketch.length / there if there else None,
        "longest": sketch.longest if there else None,
    }


def _of_booleans(sketch: BooleanSketch, nulls: int) -> dict[str, Any]:
    zeros, ones = map(int, sketch.tallies[:, 0].tolist())
    there = zeros + ones
    mean = ones / there if there else None
    counts = sorted([("true", ones), ("false", zeros)], key=lambda one: one[1], reverse=True)
    weights = float(sketch.tallies[:, 1].sum()) if sketch.weighted else 0.0
    return {
        "missing": nulls,
        "distinct": (zeros > 0) + (ones > 0),
        "mean": mean,
        "deviation": (ones * zeros / there / (there - 1)) ** 0.5 if there > 1 else None,
        "weighted_mean": float(sketch.tallies[1, 1]) / weights if weights else None,
        "values": {value: count for value, count in counts if count},
    }


def _of_floats(sketch: FloatSketch, nulls: int) -> dict[str, Any]:
    odd = list(map(int, sketch.odd[:, 0].tolist()))
    histogram, few = sketch.histogram, sketch.few
    told: dict[str, Any] = {
        "missing": nulls + odd[0],
        "nan": odd[0],
        "minus_infinity": odd[1],
        "plus_infinity": odd[2],
        "zeros": int(histogram.zeros[0, 0]),
        "negatives": int(histogram.below.tallies[:, 0].sum()),
        "distinct": few.count(),
    }
    if histogram.is_empty:
        return told
    values = None if few.values is None else list(map(repr, few.values.view(np.float64).tolist()))
    return told | {
        "low": histogram.low,
        "high": histogram.high,
        "mean": sketch.moments.mean,
        "deviation": sketch.moments.deviation(),
        "quantiles": quantiles(sketch),
        "values": None if values is None else _most(values, few.tallies[:, 0]),
        **_weighted(sketch),
    }


def _of_integers(sketch: IntegerSketch, nulls: int) -> dict[str, Any]:
    few, moments, zeros = sketch.settled()
    told: dict[str, Any] = {"missing": nulls, "zeros": zeros, "distinct": _distinct(sketch)}
    cells = sketch.cells()
    told["negatives"] = int(cells.tallies[cells.low < 0, 0].sum())
    if not moments.count:
        return told
    values, tallies = sketch.histogram.values() if sketch.histogram.is_exact else (few.values, few.tallies)
    return told | {
        "low": sketch.histogram.low,
        "high": sketch.histogram.high,
        "mean": moments.mean,
        "deviation": moments.deviation(),
        "quantiles": quantiles(sketch),
        "values": None if values is None else _most(values.tolist(), tallies[:, 0]),
        **_weighted(sketch),
    }


def _of_times(sketch: TimeSketch, nulls: int) -> dict[str, Any]:
    beyond = int(sketch.beyond[0])
    told: dict[str, Any] = {"missing": nulls, "out_of_range": beyond, "distinct": _distinct(sketch)}
    if sketch.rows == nulls + beyond:
        return told
    found = tuple((moment(start), moment(end)) for start, end in gaps(sketch))
    return told | {"low": moment(sketch.histogram.low), "high": moment(sketch.histogram.high), "gaps": found}


def _distinct(sketch: IntegerSketch) -> int:
    if sketch.histogram.is_exact:
        return len(sketch.histogram.values()[0])
    return sketch.few.count()


def moment(microseconds: int) -> str:
    """RFC 3339, in UTC. What lies beyond the years 1 to 9999 is told as the nearest of these.

    >>> moment(-1)
    '1969-12-31T23:59:59.999999+00:00'
    """
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    bounds = ((first - _EPOCH) // timedelta(microseconds=1), (last - _EPOCH) // timedelta(microseconds=1))
    return (_EPOCH + timedelta(microseconds=min(max(microseconds, bounds[0]), bounds[1]))).isoformat()


def minute(microseconds: int) -> str:
    """As `moment`, for people: to the minute, in UTC.

    >>> minute(-1)
    '1969-12-31 23:59'
    """
    return moment(microseconds)[:16].replace("T", " ")


def _weighted(sketch: NumberSketch) -> dict[str, Any]:
    if not sketch.weighted or not sketch.of_weight.weight:
        return {}
    return {"weighted_mean": sketch.of_weight.mean, "weighted_deviation": sketch.of_weight.deviation(0.0)}


def _most(values: Sequence[object], counts: np.ndarray[Any, np.dtype[Any]]) -> dict[str, int]:
    """The most frequent, as text; of equally frequent ones the first."""
    order = np.argsort(-counts, kind="stable")[:MOST_VALUES].tolist()
    return {str(values[at]): int(counts[at]) for at in order}
