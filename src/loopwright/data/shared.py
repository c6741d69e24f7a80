"""Two columns' sketches on the same cells: how many rows of each fell to every cell that both can tell apart.

Numbers: the bins of both folded to the wider ones (they are powers of two, so nothing is cut). Texts: the values that
either kept, and one cell for all others. What has no place among the values (missing, NaN) is a cell of its own.

Where a count is not exact (rare texts of a column of many) it is taken as the other side would have it, as far as the
sketch's own error allows: what a sketch does not know never looks like a difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopwright.data.chance import Numbers
from loopwright.data.distinct import Hashes
from loopwright.data.frequent import FrequentTexts
from loopwright.data.histogram import FloatHistogram, IntegerHistogram, Run
from loopwright.data.profile import Profile
from loopwright.data.sketch import BooleanSketch, ColumnSketch, FloatSketch, IntegerSketch, TextSketch, TimeSketch

OTHERS = "all other values"
_MOST_BINS = 1 << 15
"""Bins side by side cost less than sorting, as long as they are no more than this."""
_ODD = ("NaN", "-infinity", "infinity")
_NO_VALUE = ("missing", "empty", "NaN")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bins:
    """Side by side."""

    first: int
    counts: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Rows by cell, `(2, cells)`: the reference's, then the current ones. Rows count one each, whatever they weigh."""

    counts: Numbers
    """Of numbers lowest first."""
    apart: Mapping[str, Numbers]
    """What is no value, and texts that neither side keeps: `(2,)` each."""
    names: NDArray[np.object_] | None = None
    """Of the cells of texts and booleans; None for numbers, which have edges."""
    low: Numbers | None = None
    high: Numbers | None = None

    @property
    def has_order(self) -> bool:
        """Numbers, and some on both sides."""
        return self.low is not None and bool(self.counts[0].any()) and bool(self.counts[1].any())

    @property
    def middles(self) -> Numbers:
        """Of the cells of numbers."""
        assert self.low is not None
        assert self.high is not None
        return np.asarray(self.low / 2 + self.high / 2)


def at_rest(profile: Profile) -> Mapping[str, Any]:
    """Its sketches with nothing put aside, to be read."""
    return profile.at_rest().sketches


def shared(reference: ColumnSketch, current: ColumnSketch) -> Shared:
    """Of two sketches of the same kind, both at rest."""
    apart = {"missing": np.array([reference.nulls[0], current.nulls[0]], dtype=np.float64)}
    match (reference, current):
        case TextSketch(), TextSketch():
            return _of_texts(reference, current, apart)
        case BooleanSketch(), BooleanSketch():
            counts = np.stack([reference.tallies[:, 0], current.tallies[:, 0]]).astype(np.float64)
            return Shared(counts=counts, names=_objects("false", "true"), apart=apart)
        case FloatSketch(), FloatSketch():
            odd = np.stack([reference.odd[:, 0], current.odd[:, 0]]).astype(np.float64)
            apart |= {name: odd[:, at] for at, name in enumerate(_ODD)}
            counts, low, high = _of_floats(reference.histogram, current.histogram)
            return Shared(counts=counts, low=low, high=high, apart=apart)
        case IntegerSketch(), IntegerSketch():
            if isinstance(reference, TimeSketch) and isinstance(current, TimeSketch):
                apart["out of range"] = np.array([reference.beyond[0], current.beyond[0]], dtype=np.float64)
            counts, low, high = _of_integers(reference.histogram, current.histogram)
            return Shared(counts=counts, low=low, high=high, apart=apart)
    raise TypeError(f"{reference.kind} and {current.kind} have no cells in common")


def missing(both: Shared) -> Numbers:
    """`(2,)`: rows with whatever is no value: null, empty, NaN."""
    return sum((both.apart[name] for name in _NO_VALUE if name in both.apart), np.zeros(2))


def with_one_missing(both: Shared) -> Shared:
    """With all that is no value in one cell."""
    others = {name: one for name, one in both.apart.items() if name not in _NO_VALUE}
    return replace(both, apart={"missing": missing(both), **others})


def _of_texts(reference: TextSketch, current: TextSketch, apart: dict[str, Numbers]) -> Shared:
    both = (reference, current)
    present = np.array([one.rows - one.nulls[0] - one.empty[0] for one in both], dtype=np.float64)
    kept = [one.frequent for one in both]
    hashes = np.union1d(kept[0].hashes, kept[1].hashes)
    least, most = np.stack([_bounds(one, hashes) for one in kept], axis=1)
    counts = _alike(least, most, present)
    names = np.empty(len(hashes), dtype=object)
    for one in kept:
        names[np.searchsorted(hashes, one.hashes)] = one.texts
    apart["empty"] = np.array([one.empty[0] for one in both], dtype=np.float64)
    apart[OTHERS] = np.maximum(present - counts.sum(axis=1), 0.0)
    return Shared(counts=counts, names=names, apart=apart)


def _bounds(kept: FrequentTexts, hashes: Hashes) -> Numbers:
    """The least and the most that each may have occurred: `(2, hashes)`."""
    at = np.searchsorted(hashes, kept.hashes)
    least, most = np.zeros(len(hashes)), np.full(len(hashes), float(kept.error))
    least[at] = kept.tallies[:, 0]
    most[at] = np.maximum(kept.ranks + kept.error, kept.tallies[:, 0])
    return np.stack([least, most])


def _alike(least: Numbers, most: Numbers, present: Numbers) -> Numbers:
    """Within the bounds, the counts whose shares are closest to each other."""
    rows = np.maximum(present, 1.0)[:, None]
    return np.asarray(np.clip((least / rows).max(axis=0) * rows, least, most))


def _of_integers(reference: IntegerHistogram, current: IntegerHistogram) -> tuple[Numbers, Numbers, Numbers]:
    shift = max(reference.run.shift, current.run.shift)
    keys, counts = _together([[_folded(one.run, shift)] for one in (reference, current)])
    width = np.float64(2) ** shift
    low: Numbers = keys.astype(np.float64) * width
    return counts, low, low + (width - 1)


def _of_floats(reference: FloatHistogram, current: FloatHistogram) -> tuple[Numbers, Numbers, Numbers]:
    """Keys of one line: zero is 0, the bins above it are 1 and on, the bins below it -1 and on."""
    both = (reference, current)
    shift = max(one.above.shift for one in both)
    sides = [[_folded(one.above, shift), _folded(one.below, shift)] for one in both]
    before = min((one.first for side in sides for one in side if len(one.counts)), default=1) - 1
    keys, counts = _together([_on_one_line(side, one, before) for side, one in zip(sides, both, strict=True)])
    bins = np.abs(keys) + np.int64(before)
    near, far = _value(bins, shift), _value(bins + 1, shift)
    ends = [one for one in both if not one.is_empty]
    least, most = min((one.low for one in ends), default=0.0), max((one.high for one in ends), default=0.0)
    below, zeros = np.searchsorted(keys, [0, 1])
    low = np.concatenate([-far[:below], np.zeros(zeros - below), near[zeros:]])
    high = np.concatenate([-near[:below], np.zeros(zeros - below), far[zeros:]])
    return counts, np.clip(low, least, most), np.clip(high, least, most)


def _on_one_line(sides: list[_Bins], histogram: FloatHistogram, before: int) -> list[_Bins]:
    above, below = sides
    mirrored = _Bins(first=before - (below.first + len(below.counts) - 1), counts=below.counts[::-1])
    return [
        mirrored,
        _Bins(first=0, counts=histogram.zeros[:, 0]),
        _Bins(first=above.first - before, counts=above.counts),
    ]


def _value(bins: NDArray[np.int64], shift: int) -> Numbers:
    """Where a bin begins; the last one ends at the largest number."""
    largest = np.int64(0x7FEF_FFFF_FFFF_FFFF)
    found: Numbers = np.minimum(np.clip(bins, 0, largest >> np.int64(shift)) << np.int64(shift), largest).view(
        np.float64
    )
    return found


def _folded(run: Run, shift: int) -> _Bins:
    """To bins that are as wide or wider."""
    by, counts = shift - run.shift, run.tallies[:, 0]
    if not by or not len(counts):
        return _Bins(first=run.first, counts=counts)
    width = 1 << by
    starts = np.append(0, np.arange(width - run.first % width, len(counts), width))
    return _Bins(first=run.first >> by, counts=np.add.reduceat(counts, starts))


def _together(sides: list[list[_Bins]]) -> tuple[NDArray[np.int64], Numbers]:
    """The bins that are filled on any side, lowest first, and the counts of both."""
    filled = [one for side in sides for one in side if len(one.counts)]
    low = min((one.first for one in filled), default=0)
    bins = max((one.first + len(one.counts) for one in filled), default=0) - low
    if bins > _MOST_BINS:
        return _together_apart(sides)
    counts = np.zeros((2, bins))
    for row, side in zip(counts, sides, strict=True):
        for one in side:
            if len(one.counts):
                row[one.first - low : one.first - low + len(one.counts)] += one.counts
    at = np.flatnonzero(counts[0] + counts[1])
    return (at + low).astype(np.int64), counts.take(at, axis=1)


def _together_apart(sides: list[list[_Bins]]) -> tuple[NDArray[np.int64], Numbers]:
    """Of bins that lie too far from each other to be laid side by side."""
    keys = [np.concatenate([np.flatnonzero(one.counts) + one.first for one in side]) for side in sides]
    counts = [np.concatenate([one.counts[one.counts > 0] for one in side]) for side in sides]
    found, at = np.unique(np.concatenate(keys), return_inverse=True)
    parts = np.split(at, [len(keys[0])])
    laid = [np.bincount(part, one, len(found)) for part, one in zip(parts, counts, strict=True)]
    return found.astype(np.int64), np.stack(laid).astype(np.float64)


def _objects(*names: str) -> NDArray[np.object_]:
    made = np.empty(len(names), dtype=object)
    made[:] = names
    return made
