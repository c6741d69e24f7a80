"""What a column tells of the label: the label's mean by value or bin, and their mutual information.

A label is turned into one column of ones and zeros a class (a number: a class between two edges), whose sums by value
and bin are whole numbers like all counts, and merge like them. Which classes there are is settled beforehand, from the
label's own statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loopwright.data.histogram import Extra, Tallies
from loopwright.data.sketch import (
    BooleanSketch,
    ColumnSketch,
    Described,
    FloatSketch,
    NumberSketch,
    TextSketch,
    TimeSketch,
)

MOST_CLASSES = 32
MOST_BINS = 64
"""So many bins of about equal rows are told apart of a column of numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The column and its classes: `values` as text, all others together being one more, or `edges` between numbers."""

    name: str
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.values) == bool(self.edges) or max(len(self.values), len(self.edges)) > MOST_CLASSES:
            raise ValueError(f"label {self.name!r}: give values or edges, at most {MOST_CLASSES}")

    @property
    def width(self) -> int:
        """How many extra sums it takes: one a class, and the sum of a number."""
        return len(self.values) + 1 if self.values else len(self.edges) + 2

    def columns(self, values: NDArray[np.object_] | NDArray[np.float64]) -> Extra:
        """Of texts, or of numbers; a row without a label adds nothing."""
        made = np.zeros((len(values), self.width))
        if self.values:
            number = {value: at for at, value in enumerate(self.values)}
            places = [number.get(value, len(number)) if value is not None else -1 for value in values.tolist()]
            at = np.array(places, dtype=np.int64)
            made[at >= 0, at[at >= 0]] = 1
            return made
        numbers = np.asarray(values, dtype=np.float64)
        there = np.flatnonzero(np.isfinite(numbers))
        made[there, np.searchsorted(self.edges, numbers[there], side="right")] = 1
        made[there, -1] = numbers[there]
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rows of one value, or of one bin from `low` to `high`."""

    value: str | None
    low: float | None
    high: float | None
    rows: int
    """With a label."""
    classes: tuple[int, ...]
    mean: float
    """Of a number; of classes the share of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """Of one column with the label."""

    kind: Described
    """Of the column."""
    information: float
    """Mutual information in bits, over the bins and classes told apart. Chance alone gives about (groups - 1)
    (classes - 1) / (2 rows ln 2), which is taken off."""
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Of all columns with the label."""

    label: str
    of: str
    """What the means of the groups are: `mean`, or the share of which class."""
    columns: Mapping[str, Association]


def associate(sketch: ColumnSketch, label: Label, first: int) -> Association:
    """Of a flushed sketch whose extra sums hold the label's from `first` on."""
    told = [(name, low, high, row[1 + first : 1 + first + label.width]) for name, low, high, row in _rows(sketch)]
    classes = label.width - (1 if label.edges else 0)
    counts = np.array([row[:classes] for _, _, _, row in told]).reshape(-1, classes)
    groups = [
        _group(one, row[:classes], row[-1] if label.edges else row[0])
        for one, row in zip(told, (t[3] for t in told), strict=True)
        if row[:classes].sum() > 0
    ]
    return Association(kind=sketch.kind, information=information(counts), groups=tuple(groups))


def information(counts: NDArray[np.float64]) -> float:
    """Mutual information, in bits, of a table `(groups, classes)`, less what chance gives (Miller and Madow).

    >>> information(np.array([[500.0, 0.0], [0.0, 500.0]])) > 0.99
    True
    """
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    rows = counts.sum()
    if not rows:
        return 0.0
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / rows
    filled = counts > 0
    found = float((counts[filled] / rows * np.log2(counts[filled] / expected[filled])).sum())
    chance = (counts.shape[0] - 1) * (counts.shape[1] - 1) / (2 * rows * np.log(2))
    return max(found - float(chance), 0.0)


_Row = tuple[str | None, float | None, float | None, Tallies]


def _group(told: _Row, classes: NDArray[np.float64], total: float) -> Group:
    value, low, high, _ = told
    rows = int(classes.sum())
    return Group(
        value=value, low=low, high=high, rows=rows, classes=tuple(map(int, classes.tolist())), mean=float(total / rows)
    )


def _rows(sketch: ColumnSketch) -> list[_Row]:
    """By value or bin; missing is a group of its own."""
    found: list[_Row] = []
    missing = sketch.nulls
    if isinstance(sketch, TextSketch):
        texts = sketch.frequent
        missing = missing + sketch.empty
        found = [(str(texts.texts[at]), None, None, texts.tallies[at]) for at in texts.most(MOST_BINS)]
        rest = texts.tallies.sum(axis=0) - sum(row[3] for row in found)
        found.append(("(other)", None, None, rest))
    elif isinstance(sketch, BooleanSketch):
        found = [("false", None, None, sketch.tallies[0]), ("true", None, None, sketch.tallies[1])]
    elif isinstance(sketch, NumberSketch):
        found = _binned(sketch)
        if isinstance(sketch, FloatSketch):
            missing = missing + sketch.odd[0]
            found.append(("(infinite)", None, None, sketch.odd[1] + sketch.odd[2]))
        elif isinstance(sketch, TimeSketch):
            found.append(("(out of range)", None, None, sketch.beyond))
    return [*found, ("(missing)", None, None, missing)]


def _binned(sketch: NumberSketch) -> list[_Row]:
    cells = sketch.cells()
    if not len(cells.low):
        return []
    before = np.cumsum(cells.tallies[:, 0]) - cells.tallies[:, 0]
    number = (before * MOST_BINS // cells.tallies[:, 0].sum()).astype(np.int64)
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    ends = np.append(starts[1:], len(number)) - 1
    tallies: Tallies = np.add.reduceat(cells.tallies, starts, axis=0)
    return [
        (None, float(cells.low[s]), float(cells.high[e]), row) for s, e, row in zip(starts, ends, tallies, strict=True)
    ]
