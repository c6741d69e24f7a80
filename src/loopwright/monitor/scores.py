"""What a version said in a window, kept so that its expected quality can be computed, in bounded memory.

Of a binary model the probabilities of the second class, as counts on a fine grid; of more classes every n-th row, where
n doubles as rows come, so that there are never more than `MOST`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
CELLS = 20_000
MOST = 65_536


class Scores:
    """Of two classes `(rows, 2)`, or of more `(rows, classes)`."""

    def __init__(self, classes: int) -> None:
        self.classes, self.rows = classes, 0
        self._cells = np.zeros(CELLS + 1, dtype=np.int64)
        self._kept: list[Array] = []
        self._every = 1

    def add(self, shares: Array) -> None:
        """Rows with a probability that is none are left out."""
        found = shares[np.isfinite(shares).all(axis=1)]
        if self.classes == 2:
            places = np.rint(np.clip(found[:, 1], 0.0, 1.0) * CELLS).astype(np.int64)
            self._cells += np.bincount(places, minlength=CELLS + 1)
        elif len(found):
            first = -self.rows % self._every
            self._kept.append(found[first :: self._every])
            if sum(map(len, self._kept)) > MOST:
                self._kept = [np.concatenate(self._kept)[::2]]
                self._every *= 2
        self.rows += len(found)

    def weighted(self) -> tuple[Array, Array]:
        """Probabilities `(points, classes)`, and how many rows each stands for."""
        if self.classes == 2:
            places = np.flatnonzero(self._cells)
            second = places / CELLS
            return np.column_stack([1 - second, second]), self._cells[places].astype(np.float64)
        kept = np.concatenate(self._kept) if self._kept else np.zeros((0, self.classes))
        return kept, np.full(len(kept), float(self._every))
