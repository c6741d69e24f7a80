"""The cells that a verdict is reached by: as many as the rows bear, and chosen without looking at which side has them.

Which cells there are follows from both sides' rows taken together, so that a cell is never chosen for being different:
what chance does to the counts stays known. Numbers: at most 20 stretches of about equal rows. Texts: every value with
enough rows; the others together. The one exception is a rare cell that split between the sides as chance would not
in a hundred columns (a new value, a first missing one): it stays, and counts for the effect alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loopwright.data.chance import Numbers, split_above
from loopwright.data.shared import OTHERS, Shared
from loopwright.data.summary import minute

MOST_STRETCHES = 20
LEAST_EXPECTED = 5.0
"""So many rows of the smaller side a cell must stand for, or chi-square's distribution is not known."""
_ROWS_A_STRETCH = 10
_RARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Coarse:
    """Counts by cell, `(2, cells)`."""

    counts: Numbers
    dense: NDArray[np.bool_]
    """Cells with enough rows; the others are those that a look at them alone gives away."""
    uneven: float
    """A bound on the probability that any cell, the rare ones included, splits as unevenly as the most uneven did."""
    names: NDArray[np.object_] | None
    """None for stretches of numbers."""
    low: Numbers
    high: Numbers
    apart: tuple[str, ...]
    """The names of the last cells."""

    def name(self, at: int, *, is_time: bool = False) -> str:
        """For people."""
        values: int = self.counts.shape[1] - len(self.apart)
        if at >= values:
            return self.apart[at - values]
        if self.names is not None:
            return repr(str(self.names[at]))
        low, high = float(self.low[at]), float(self.high[at])
        ends = (minute(int(low)), minute(int(high))) if is_time else (f"{low:g}", f"{high:g}")
        return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def coarse(fine: Shared) -> Coarse:
    """At least one row on each side."""
    totals = fine.counts.sum(axis=1) + sum(fine.apart.values())
    smaller = min(totals.tolist()) / sum(totals.tolist())
    counts, low, high = _stretches(fine, smaller)
    values = counts.shape[1]
    apart = np.array([name for name, one in fine.apart.items() if name != OTHERS and (one[0] or one[1])], dtype=object)
    counts = np.concatenate([counts, *(fine.apart[name][:, None] for name in apart)], axis=1)
    uneven = split_above(counts, totals) * counts.shape[1]
    dense = (counts[0] + counts[1]) * smaller >= LEAST_EXPECTED
    kept = dense | (uneven <= _RARE)
    gathered, dense, is_gathered = _gathered(counts, dense, kept, totals, smaller)
    if is_gathered:
        uneven = split_above(gathered, totals) * counts.shape[1]
    names = [*apart[kept[values:]].tolist(), *([OTHERS] if is_gathered else [])]
    return Coarse(
        counts=gathered,
        dense=dense,
        uneven=min(float(uneven.min(initial=1.0)), 1.0),
        names=None if fine.names is None else fine.names[kept[:values]],
        low=low[kept[:values]] if fine.names is None else low,
        high=high[kept[:values]] if fine.names is None else high,
        apart=tuple(names),
    )


def _gathered(
    counts: Numbers, dense: NDArray[np.bool_], kept: NDArray[np.bool_], totals: Numbers, smaller: float
) -> tuple[Numbers, NDArray[np.bool_], bool]:
    """What is not kept together in one cell, the last; where even that has not enough rows, it is left out."""
    if not kept.all():
        counts, dense = counts.compress(kept, axis=1), dense[kept]
    rest = np.maximum(totals - counts.sum(axis=1), 0.0)
    if (rest[0] + rest[1]) * smaller < LEAST_EXPECTED:
        return counts, dense, False
    return np.concatenate([counts, rest[:, None]], axis=1), np.append(dense, True), True


def _stretches(fine: Shared, smaller: float) -> tuple[Numbers, Numbers, Numbers]:
    """Of numbers neighbouring cells together; of texts each alone."""
    pooled = fine.counts[0] + fine.counts[1]
    if fine.low is None or fine.high is None:
        return fine.counts, pooled[:0], pooled[:0]
    if not len(pooled):
        return fine.counts, fine.low, fine.high
    starts = _starts(pooled, smaller)
    return np.add.reduceat(fine.counts, starts, axis=1), fine.low[starts], fine.high[np.append(starts[1:], 0) - 1]


def _starts(pooled: Numbers, smaller: float) -> NDArray[np.int64]:
    """Where each stretch begins. A value that many rows have is a stretch of its own."""
    upto = np.cumsum(pooled)
    total = float(upto[-1])
    most = int(min(max(total * smaller / _ROWS_A_STRETCH, 2), MOST_STRETCHES))
    at = ((upto - pooled / 2) * (most / total)).astype(np.int64)
    starts = np.append(0, np.flatnonzero(at[1:] != at[:-1]) + 1)
    rows = np.add.reduceat(pooled, starts)
    least = LEAST_EXPECTED / smaller
    return starts if rows.min() >= least else starts[_joined(rows.tolist(), least)]


def _joined(rows: list[float], least: float) -> list[int]:
    """Stretches of too few rows go together with the next, the last with the one before."""
    kept, gathered = [0], 0.0
    for at, count in enumerate(rows):
        if gathered >= least:
            kept.append(at)
            gathered = 0.0
        gathered += count
    return kept[:-1] if gathered < least and len(kept) > 1 else kept
