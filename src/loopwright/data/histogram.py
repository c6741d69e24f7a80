"""Histograms whose bins are powers of two wide: any two of them fold to the wider bins and add up, bit for bit.

Whole numbers: up to a range of 4,096 every value is a bin of its own, and all that is derived is exact; beyond that,
bins 2**shift wide, the narrowest that cover lowest to highest with 2,048. Floats: the same over the number's own bits,
a sign at a time, so that a bin is a share of its value: never wider than 1/64 of it (of denormal ones, than 2**46 of
their steps), and for numbers that lie close together (an offset, a timestamp) as narrow as 1,024 bins allow. Which bins
there are follows from the lowest and the highest value alone; neither the order of the rows nor how they were cut into
batches can be seen in the result.

A bin holds a row of tallies: how many values, then one sum for each column of `extra` (weights, labels).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopwright.data.packed import pack, unpack

EXACT_RANGE = 4096
"""Of whole numbers."""
MOST_BINS = 2048
MOST_FLOAT_BINS = 1024
COARSEST = 46
"""The widest bins of floats drop so many of the 52 bits of the mantissa: 6 stay."""
Tallies = NDArray[Any]
"""`(bins, 1 + extra)`: int64, or float64 where there are extra sums."""
Extra = NDArray[np.float64]
"""`(rows, extra)`."""

_MAGNITUDE = np.int64(0x7FFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True, slots=True)
class Cells:
    """Neighbouring stretches of the number line, lowest first, and what fell into each: `low <= x < high`, or, where
    `low == high`, that very value."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    tallies: Tallies

    def quantiles(self, shares: NDArray[np.float64], by: int = 0) -> NDArray[np.float64]:
        """Straight lines within a cell: off by no more than the share of one cell, and mostly by far less."""
        counts = self.tallies[:, by].astype(np.float64)
        upto = np.cumsum(counts)
        ranks = shares * upto[-1]
        at = np.minimum(np.searchsorted(upto, ranks), len(counts) - 1)
        within = np.clip((ranks - (upto[at] - counts[at])) / np.maximum(counts[at], 1e-300), 0, 1)
        between = self.low[at] * (1 - within) + self.high[at] * within
        return np.asarray(np.clip(between, self.low[at], self.high[at]))

    def below(self, edges: NDArray[np.float64], by: int = 0) -> NDArray[np.float64]:
        """How many lie below each edge; a cell that an edge cuts is taken to be filled evenly."""
        counts = self.tallies[:, by].astype(np.float64)
        upto = np.concatenate([[0.0], np.cumsum(counts)])
        at = np.searchsorted(self.high, edges, side="left")
        inside = np.minimum(at, len(counts) - 1)
        width = self.high[inside] / 2 - self.low[inside] / 2
        part = np.where(width > 0, (edges / 2 - self.low[inside] / 2) / np.where(width > 0, width, 1), 0.0)
        return np.asarray(upto[at] + np.where(at < len(counts), np.clip(part, 0, 1) * counts[inside], 0.0))


class Run:
    """Bins side by side: the one at `first + i` holds the whole numbers that give that when shifted right."""

    __slots__ = ("first", "shift", "tallies")

    def __init__(self, shift: int, first: int, tallies: Tallies) -> None:
        self.shift, self.first, self.tallies = shift, first, tallies

    def add(self, first: int, tallies: Tallies) -> None:
        """Of the same shift."""
        if not len(self.tallies):
            self.first, self.tallies = first, tallies.copy()
            return
        low = min(first, self.first)
        high = max(first + len(tallies), self.first + len(self.tallies))
        if high - low > len(self.tallies):
            grown = np.zeros((high - low, self.tallies.shape[1]), dtype=self.tallies.dtype)
            grown[self.first - low : self.first - low + len(self.tallies)] = self.tallies
            self.first, self.tallies = low, grown
        self.tallies[first - self.first : first - self.first + len(tallies)] += tallies

    def fold(self, shift: int) -> None:
        """To bins that are as wide or wider."""
        by, self.shift = shift - self.shift, shift
        if by and len(self.tallies):
            at = (np.arange(len(self.tallies)) + np.int64(self.first)) >> np.int64(by)
            self.first = int(at[0])
            starts = np.flatnonzero(np.diff(at, prepend=at[0] - 1))
            self.tallies = np.add.reduceat(self.tallies, starts, axis=0)

    def trimmed(self) -> Run:
        """Without empty bins at the ends."""
        filled = np.flatnonzero(self.tallies[:, 0])
        if not len(filled):
            return Run(self.shift, 0, self.tallies[:0])
        low, high = int(filled[0]), int(filled[-1])
        return Run(self.shift, self.first + low, self.tallies[low : high + 1])

    def to_dict(self) -> dict[str, Any]:
        told = self.trimmed()
        return {"first": told.first, "tallies": [pack(column) for column in told.tallies.T]}

    @classmethod
    def from_dict(cls, shift: int, found: Mapping[str, Any], extra: int) -> Run:
        columns = [unpack(one) for one in found["tallies"]]
        first = int(found["first"])
        if len(columns) != 1 + extra or not 0 <= shift < 64 or not -(2**63) <= first < 2**63:
            raise ValueError(f"{len(columns)} tallies from {first} on, shifted by {shift}")
        return cls(shift, first, np.stack(columns, axis=1).astype(tally_type(extra)))


class IntegerHistogram:
    """Of whole numbers of 64 bits: counts, times in microseconds, lengths. Exact up to a range of 4,096."""

    def __init__(self, extra: int = 0) -> None:
        self.extra = extra
        self.low = self.high = 0
        self.run = _empty(extra)

    @property
    def is_exact(self) -> bool:
        """Every value is a bin of its own."""
        return self.run.shift == 0

    def stays_exact(self, low: int, high: int) -> bool:
        """With numbers from `low` to `high` added."""
        if len(self.run.tallies):
            low, high = min(low, self.low), max(high, self.high)
        return high - low < EXACT_RANGE

    def add(self, values: NDArray[np.int64], low: int, high: int, extra: Extra | None = None) -> None:
        """Some of them, from `low` to `high`."""
        self._cover(low, high)
        shift, first = self.run.shift, low >> self.run.shift
        at = (values >> np.int64(shift)) - np.int64(first) if shift else values - np.int64(first)
        self.run.add(first, tally(at, (high >> shift) - first + 1, extra))

    def merge(self, other: IntegerHistogram) -> None:
        if len(other.run.tallies):
            self._cover(other.low, other.high)
            theirs = Run(other.run.shift, other.run.first, other.run.tallies)
            theirs.fold(self.run.shift)
            self.run.add(theirs.first, theirs.tallies)

    def values(self) -> tuple[NDArray[np.int64], Tallies]:
        """Of an exact one: the values that occurred, lowest first."""
        filled = np.flatnonzero(self.run.tallies[:, 0])
        return filled + np.int64(self.run.first), self.run.tallies[filled]

    def cells(self) -> Cells:
        filled = np.flatnonzero(self.run.tallies[:, 0])
        low = (filled + np.int64(self.run.first)) << np.int64(self.run.shift)
        last = low + np.int64((1 << self.run.shift) - 1)
        return Cells(
            np.maximum(low, self.low).astype(np.float64),
            np.minimum(last, self.high).astype(np.float64),
            self.run.tallies[filled],
        )

    def to_dict(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "shift": self.run.shift, **self.run.to_dict()}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any], extra: int) -> IntegerHistogram:
        made = cls(extra)
        made.low, made.high = int(found["low"]), int(found["high"])
        made.run = Run.from_dict(int(found["shift"]), found, extra)
        return made

    def _cover(self, low: int, high: int) -> None:
        if len(self.run.tallies):
            low, high = min(low, self.low), max(high, self.high)
        self.low, self.high = low, high
        self.run.fold(0 if high - low < EXACT_RANGE else _shift(low, high, MOST_BINS))


class FloatHistogram:
    """Of finite floats. -0.0 is 0.0."""

    def __init__(self, extra: int = 0) -> None:
        self.extra = extra
        self.low = self.high = 0.0
        self.zeros: Tallies = np.zeros((1, 1 + extra), dtype=tally_type(extra))
        self.above, self.below = _empty(extra), _empty(extra)
        self.is_empty = True

    def add(self, values: NDArray[np.float64], low: float, high: float, extra: Extra | None = None) -> None:
        """Some of them, from `low` to `high`."""
        self._cover(low, high)
        bits = values.view(np.int64)
        if low > 0:
            self._add_side(self.above, bits, _bits(low), _bits(high), extra)
        elif high < 0:
            self._add_side(self.below, bits & _MAGNITUDE, _bits(-high), _bits(-low), extra)
        else:
            self._add_both(values, bits, extra)

    def merge(self, other: FloatHistogram) -> None:
        if other.is_empty:
            return
        self._cover(other.low, other.high)
        self.zeros += other.zeros
        for mine, side in ((self.above, other.above), (self.below, other.below)):
            theirs = Run(side.shift, side.first, side.tallies)
            theirs.fold(mine.shift)
            if len(theirs.tallies):
                mine.add(theirs.first, theirs.tallies)

    def cells(self) -> Cells:
        above_low, above_high, above = _side(self.above)
        below_low, below_high, below = _side(self.below)
        zeros = self.zeros[self.zeros[:, 0] > 0]
        nothing = np.zeros(len(zeros))
        low = np.concatenate([-below_high[::-1], nothing, above_low])
        high = np.concatenate([-below_low[::-1], nothing, above_high])
        tallies = np.concatenate([below[::-1], zeros, above])
        return Cells(np.clip(low, self.low, self.high), np.clip(high, self.low, self.high), tallies)

    def to_dict(self) -> dict[str, Any]:
        return {
            "low": self.low,
            "high": self.high,
            "shift": self.above.shift,
            "zeros": self.zeros[0].tolist(),
            "above": self.above.to_dict(),
            "below": self.below.to_dict(),
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any], extra: int) -> FloatHistogram:
        made, shift = cls(extra), int(found["shift"])
        made.low, made.high = float(found["low"]), float(found["high"])
        made.zeros = np.array([found["zeros"]], dtype=tally_type(extra)).reshape(1, 1 + extra)
        made.above = Run.from_dict(shift, found["above"], extra)
        made.below = Run.from_dict(shift, found["below"], extra)
        made.is_empty = not (made.zeros[0, 0] or len(made.above.tallies) or len(made.below.tallies))
        return made

    def _cover(self, low: float, high: float) -> None:
        if not self.is_empty:
            low, high = min(low, self.low), max(high, self.high)
        self.low, self.high, self.is_empty = low, high, False
        shift = _float_shift(low, high)
        if shift > self.above.shift:
            self.above.fold(shift)
            self.below.fold(shift)

    def _add_side(self, side: Run, bits: NDArray[np.int64], low: int, high: int, extra: Extra | None) -> None:
        first = low >> side.shift
        at = bits >> np.int64(side.shift)
        at -= np.int64(first)
        side.add(first, tally(at, (high >> side.shift) - first + 1, extra))

    def _add_both(self, values: NDArray[np.float64], bits: NDArray[np.int64], extra: Extra | None) -> None:
        filled = values != 0
        if not filled.all():
            zero = None if extra is None else extra[~filled]
            self.zeros += tally(np.zeros(len(values) - int(np.count_nonzero(filled)), dtype=np.int64), 1, zero)
            bits, extra = bits[filled], None if extra is None else extra[filled]
        if not len(bits):
            return
        at = bits & _MAGNITUDE
        at >>= np.int64(self.above.shift)
        first, last = int(at.min()), int(at.max())
        width = last - first + 1
        at -= np.int64(first)
        sign = bits >> np.int64(63)
        sign &= np.int64(width)
        at += sign
        tallies = tally(at, 2 * width, extra)
        self.above.add(first, tallies[:width])
        self.below.add(first, tallies[width:])


def tally(at: NDArray[np.int64], bins: int, extra: Extra | None) -> Tallies:
    """How many of `at` fall to each of the bins, and the sums of the extra columns."""
    counts = np.bincount(at, minlength=bins)
    if extra is None:
        return counts.reshape(-1, 1)
    sums = [np.bincount(at, weights=column, minlength=bins) for column in extra.T]
    return np.stack([counts, *sums], axis=1, dtype=np.float64)  # of no values NumPy gives whole numbers


def tally_type(extra: int) -> Any:
    return np.float64 if extra else np.int64


def _empty(extra: int) -> Run:
    return Run(0, 0, np.zeros((0, 1 + extra), dtype=tally_type(extra)))


def _shift(low: int, high: int, most: int) -> int:
    """The narrowest bins, of which `most` cover both."""
    shift = max((high - low).bit_length() - most.bit_length() + 1, 0)
    while (high >> shift) - (low >> shift) >= most:
        shift += 1
    return shift


def _float_shift(low: float, high: float) -> int:
    if low <= 0 <= high:
        return COARSEST
    ends = sorted((_bits(abs(low)), _bits(abs(high))))
    return min(_shift(ends[0], ends[1], MOST_FLOAT_BINS), COARSEST)


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))


def _side(run: Run) -> tuple[NDArray[np.float64], NDArray[np.float64], Tallies]:
    filled = np.flatnonzero(run.tallies[:, 0])
    low = (filled + np.int64(run.first)) << np.int64(run.shift)
    high = np.minimum(low + np.int64(1 << run.shift), np.int64(0x7FEF_FFFF_FFFF_FFFF))
    return low.view(np.float64), high.view(np.float64), run.tallies[filled]
