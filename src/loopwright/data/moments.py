"""Mean and deviation that merge. Of whole numbers exact; of floats within rounding, and the same however rows came in.

Floats are summed in blocks of 4,096 that are counted from the first value on, each in two passes, and the blocks are
combined by Chan's formula (1979): a relative error of about 1e-15 where deviation and mean are of one size, and of the
mean's rounding against the deviation otherwise. Merging in another order may change the last digits, no more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 4096
_LIMB_BITS = 24


@dataclass(slots=True)
class Moments:
    """Of floats: the weight of all, their mean, and the sum of squared differences from it."""

    weight: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        """Finite ones; all but the last call with a multiple of 4,096 of them."""
        whole = len(values) // BLOCK * BLOCK
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            if whole:
                self._add_blocks(values[:whole].reshape(-1, BLOCK))
            if whole < len(values):
                self._add_blocks(values[whole:].reshape(1, -1))

    def add_weighted(self, values: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        """Of weights of 0 or more."""
        total = float(weights.sum())
        if total > 0:
            mean = float((values * (weights / total)).sum())
            self.merge(Moments(total, mean, float((weights * (values - mean) ** 2).sum())))

    def merge(self, other: Moments) -> None:
        if not other.weight or not self.weight:
            if other.weight:
                self.weight, self.mean, self.squares = other.weight, other.mean, other.squares
            return
        total = self.weight + other.weight
        apart = other.mean - self.mean
        if math.isfinite(apart):
            mean = self.mean + apart * (other.weight / total)
        else:
            mean = self.mean * (self.weight / total) + other.mean * (other.weight / total)
        self.squares += other.squares + apart * apart * (self.weight * other.weight / total)
        self.weight, self.mean = total, mean

    def deviation(self, freedom: float = 1.0) -> float | None:
        """The sample's; None for fewer than two, and where its square is beyond a float."""
        if self.weight <= freedom or not math.isfinite(self.squares):
            return None
        return math.sqrt(self.squares / (self.weight - freedom))

    def to_list(self) -> list[Any]:
        return [self.weight, self.mean, self.squares if math.isfinite(self.squares) else "infinite"]

    @classmethod
    def from_list(cls, found: list[Any]) -> Moments:
        weight, mean, squares = found
        return cls(float(weight), float(mean), math.inf if squares == "infinite" else float(squares))

    def _add_blocks(self, blocks: NDArray[np.float64]) -> None:
        size = blocks.shape[1]
        means = blocks.sum(axis=1) / size
        if not np.isfinite(means).all():
            means = (blocks * 2.0**-13).sum(axis=1) / size * 2.0**13
        apart = blocks - means[:, None]
        apart *= apart
        for mean, squares in zip(means.tolist(), apart.sum(axis=1).tolist(), strict=True):
            self.merge(Moments(float(size), mean, squares))


@dataclass(slots=True)
class ExactMoments:
    """Of whole numbers: how many, their sum, and the sum of their squares, without rounding."""

    count: int = 0
    total: int = 0
    squares: int = 0

    def add(self, values: NDArray[np.int64], low: int, high: int) -> None:
        """At most 32,768 of them, from `low` to `high`."""
        # Limbs of 24 bits above the lowest: no sum of 32,768 products of two leaves 63 bits.
        above = values.view(np.uint64) - np.int64(low).view(np.uint64)
        sums, products = _limbs(above, high - low)
        count = len(values)
        self.count += count
        self.total += sums + low * count
        self.squares += products + 2 * low * sums + low * low * count

    def add_counted(self, values: NDArray[np.int64], counts: NDArray[Any]) -> None:
        """Values that occurred so often."""
        for value, count in zip(values.tolist(), map(int, counts.tolist()), strict=True):
            self.count += count
            self.total += value * count
            self.squares += value * value * count

    def merge(self, other: ExactMoments) -> None:
        self.count += other.count
        self.total += other.total
        self.squares += other.squares

    @property
    def mean(self) -> float:
        """Rounded once."""
        return self.total / self.count

    def deviation(self) -> float | None:
        """The sample's; None for fewer than two. Rounded once or twice."""
        if self.count < 2:
            return None
        return math.sqrt((self.squares * self.count - self.total**2) / (self.count * (self.count - 1)))


def _limbs(above: NDArray[np.uint64], most: int) -> tuple[int, int]:
    """The sum, and the sum of squares."""
    mask = np.uint64((1 << _LIMB_BITS) - 1)
    limbs = [((above >> np.uint64(at)) & mask).view(np.int64) for at in range(0, max(most.bit_length(), 1), _LIMB_BITS)]
    total = sum(int(limb.sum()) << (_LIMB_BITS * i) for i, limb in enumerate(limbs))
    squares = 0
    for i, one in enumerate(limbs):
        for j, other in enumerate(limbs):
            squares += int((one * other).sum()) << (_LIMB_BITS * (i + j))
    return total, squares
