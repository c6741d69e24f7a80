"""Intervals for the mean of a stream, and for the difference of two arms, that may be looked at whenever.

The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit
theory", arXiv 2103.06476: the running mean, give or take the boundary of Robbins' normal mixture. Arms are compared
within one stage, where their shares do not change; never over stages, where share and mean move together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from loopwright.errors import DataError

TIGHTEST_AT = 1_000.0
"""Units at which the interval is as narrow as it can be made."""
LEAST = 30
"""Of each arm: before, nothing is said, for the theory is one of many units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Count, mean and sum of squares of deviations (Welford); merges (Chan).

    >>> Moments().add([1.0, 2.0]).merge(Moments().add([3.0])).mean
    2.0
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: Sequence[float]) -> Moments:
        """Raises `DataError` for what is no number."""
        found = np.asarray(values, dtype=np.float64)
        if not np.isfinite(found).all():
            raise DataError("an outcome is no finite number", fix="leave out what is not known")
        if not len(found):
            return self
        mean = float(found.mean())
        return self.merge(Moments(count=len(found), mean=mean, squares=float(((found - mean) ** 2).sum())))

    def merge(self, other: Moments) -> Moments:
        count = self.count + other.count
        if not count:
            return self
        apart = other.mean - self.mean
        mean = self.mean + apart * other.count / count
        squares = self.squares + other.squares + apart * apart * self.count * other.count / count
        return replace(self, count=count, mean=mean, squares=squares)

    @property
    def variance(self) -> float:
        return self.squares / self.count if self.count else 0.0


def difference(challenger: Moments, champion: Moments, alpha: float) -> tuple[float, float] | None:
    """An interval for how much higher the challenger's mean is, right at all times with probability 1 - alpha; None
    before each arm has `LEAST` units.

    >>> one, other = Moments().add([1.0, 2.0, 3.0] * 400), Moments().add([1.0, 1.5, 2.0] * 400)
    >>> low, high = difference(one, other, 0.05)
    >>> 0 < low < 0.5 < high
    True
    """
    if not 0 < alpha < 1:
        raise DataError(f"alpha is {alpha:g}", fix="give one between 0 and 1")
    if min(challenger.count, champion.count) < LEAST:
        return None
    units = challenger.count + champion.count
    spread = units * (challenger.variance / challenger.count + champion.variance / champion.count)
    radius = math.sqrt(spread) * _boundary(units, alpha)
    apart = challenger.mean - champion.mean
    return apart - radius, apart + radius


def _boundary(units: int, alpha: float) -> float:
    """Of a mean of `units` values of deviation 1 (equation 14 of the paper)."""
    grown = units * _ratio(alpha) / TIGHTEST_AT + 1
    return math.sqrt(2 * grown / (units * (grown - 1)) * math.log(math.sqrt(grown) / alpha))


def _ratio(alpha: float) -> float:
    """The mixture's variance, times the units at which the interval is to be narrowest (equation 23)."""
    return -2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)
