"""How long answers took, as counts on a fine grid: quantiles to one part in a hundred, in little memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_STEP = math.log(1.01)
_LEAST_MS, _CELLS = 0.001, 2_400
"""From a microsecond to six hours."""


class Latencies:
    """Milliseconds that were seen.

    >>> seen = Latencies()
    >>> seen.add(np.arange(1.0, 101.0))
    >>> seen.count, round(seen.quantile(0.5)), round(seen.quantile(0.99))
    (100, 50, 99)
    """

    def __init__(self) -> None:
        self._cells = np.zeros(_CELLS, dtype=np.int64)

    def add(self, milliseconds: np.ndarray[Any, Any]) -> None:
        there = milliseconds[np.isfinite(milliseconds)]
        places = np.log(np.maximum(there, _LEAST_MS) / _LEAST_MS) / _STEP
        self._cells += np.bincount(np.clip(places.astype(np.int64), 0, _CELLS - 1), minlength=_CELLS)

    @property
    def count(self) -> int:
        return int(self._cells.sum())

    def quantile(self, share: float) -> float:
        """NaN where nothing was seen."""
        if not self.count:
            return math.nan
        place = int(np.searchsorted(np.cumsum(self._cells), share * self.count))
        return float(_LEAST_MS * math.exp((min(place, _CELLS - 1) + 0.5) * _STEP))
