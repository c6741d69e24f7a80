"""Stretches of time without rows that are unlike all others. Told from a histogram; NumPy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopwright.data.histogram import Cells
from loopwright.data.sketch import TimeSketch

FAR = 5.0
"""A stretch without rows is a gap when it is so many times as long as those that are usual: nights, weekends."""
_USUAL_AT, _USUAL_SHARE = 10, 0.01
"""What is usual is the eleventh longest stretch, or the longest hundredth of all."""
_LEAST_CELLS = 40
_LISTED = 10
_LEAST_ROWS, _FEW = 100, 0.01
"""Where all but a hundredth of the rows lie close together, the others are far off."""


def gaps(sketch: TimeSketch) -> list[tuple[int, int]]:
    """From the last row before to the first after, in microseconds since 1970, to within a 2,048th of the whole range;
    the longest ten, in order.

    >>> from loopwright.data.profile import Profile
    >>> profile = Profile({"at": "time"})
    >>> profile.update({"at": [*range(1000), *range(1500, 2500)]})
    >>> gaps(profile.settled().sketches["at"])
    [(999, 1500)]
    """
    cells = sketch.cells()
    if len(cells.low) < 2:
        return []
    lengths = cells.low[1:] - cells.high[:-1]
    found = _unusual(cells, lengths) if len(cells.low) >= _LEAST_CELLS else _far_off(cells, lengths)
    longest = found[np.argsort(-lengths[found])][:_LISTED]
    return [(int(cells.high[at]), int(cells.low[at + 1])) for at in sorted(longest.tolist())]


def _unusual(cells: Cells, lengths: NDArray[np.float64]) -> NDArray[np.intp]:
    usual = float(np.sort(lengths)[::-1][min(max(_USUAL_AT, int(len(lengths) * _USUAL_SHARE)), len(lengths) - 1)])
    width = float(np.max(cells.high - cells.low))
    return np.flatnonzero(lengths > FAR * max(usual, width))


def _far_off(cells: Cells, lengths: NDArray[np.float64]) -> NDArray[np.intp]:
    """Few times, so far from the others that these fall into a handful of cells: dates that stand for no date."""
    upto = np.cumsum(cells.tallies[:, 0])
    share = np.minimum(upto[:-1], upto[-1] - upto[:-1]) / upto[-1]
    rest = cells.high[-1] - cells.low[0] - lengths
    return np.flatnonzero((lengths > FAR * rest) & (share <= _FEW) & (upto[-1] >= _LEAST_ROWS))
