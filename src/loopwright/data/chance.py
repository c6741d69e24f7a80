"""What chance alone would do: tails of distributions, and many of them at once. The standard library and NumPy.

The gateway's live window is compared where no SciPy is installed; the tests hold these against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
_MOST_TERMS = 100_000
_SMALLEST = 1e-300


def chi2_above(statistic: float, freedom: int) -> float:
    """The probability that chi-square of so many degrees of freedom is at least this.

    >>> round(chi2_above(3.841, 1), 4), chi2_above(1.0, 0)
    (0.05, 1.0)
    """
    if freedom <= 0 or statistic <= 0:
        return 1.0
    shape, at = freedom / 2, statistic / 2
    scale = shape * math.log(at) - at - math.lgamma(shape)
    if at < shape + 1:
        return max(1 - math.exp(scale) * _series(shape, at), 0.0)
    return math.exp(scale) * _fraction(shape, at) if scale > -740 else 0.0


def chi2_quantile(share: float, freedom: int) -> float:
    """Wilson and Hilferty (1931): within 1 % for shares of 0.9 to 0.999 and 2 or more degrees, 4 % for one."""
    if freedom <= 0:
        return 0.0
    spread = 2 / (9 * freedom)
    return freedom * max(1 - spread + NormalDist().inv_cdf(share) * math.sqrt(spread), 0.0) ** 3


def kolmogorov_above(distance: float, reference: float, current: float) -> float:
    """That two samples of these sizes from one distribution are at least so far apart at some point; Stephens' (1970)
    correction for few rows. Too high where values repeat, never too low.

    >>> round(kolmogorov_above(0.1, 1000, 1000), 5)
    8e-05
    """
    if min(reference, current) <= 0:
        return 1.0
    rows = math.sqrt(reference * current / (reference + current))
    scaled = (rows + 0.12 + 0.11 / rows) * distance
    if scaled < 0.3:
        return 1.0
    terms = (math.exp(-2 * (term * scaled) ** 2) * (1 if term % 2 else -1) for term in range(1, 20))
    return min(max(2 * sum(terms), 0.0), 1.0)


def split_above(counts: Numbers, totals: Numbers) -> Numbers:
    """By cell, a bound on the probability that its rows split between two samples as unevenly as this: Chernoff's, for
    draws without replacement too (Hoeffding 1963). Holds for any counts, however few. `counts`: (2, cells)."""
    expected = (totals / (totals[0] + totals[1]))[:, None] * (counts[0] + counts[1])
    exponent = (counts * np.log(np.where(counts > 0, counts, 1.0) / np.where(counts > 0, expected, 1.0))).sum(axis=0)
    return np.asarray(np.minimum(2 * np.exp(-np.maximum(exponent, 0.0)), 1.0))


def discoveries(probabilities: Sequence[float]) -> list[float]:
    """Each as the least false discovery rate at which it would be one: Benjamini and Yekutieli (2001).

    Their rule holds however the tests depend on each other, and columns of a table do; it asks for 3.6 times stronger
    evidence at 20 columns and 8.2 times at 2,000 than Benjamini and Hochberg's, that is, for few rows more.

    >>> [round(one, 4) for one in discoveries([0.001, 0.5, 0.02])]
    [0.0055, 0.9167, 0.055]
    """
    count = len(probabilities)
    if not count:
        return []
    order = np.argsort(probabilities, kind="stable")
    ranks = np.arange(1, count + 1)
    raised = np.asarray(probabilities, dtype=np.float64)[order] * (count * (1 / ranks).sum()) / ranks
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return adjusted.tolist()


def _series(shape: float, at: float) -> float:
    """The lower incomplete gamma function over its scale."""
    term = total = 1 / shape
    for step in range(1, _MOST_TERMS):
        term *= at / (shape + step)
        total += term
        if term < total * 1e-16:
            break
    return total


def _fraction(shape: float, at: float) -> float:
    """The upper one, by Lentz's method."""
    below = at + 1 - shape
    ahead, behind = 1 / _SMALLEST, 1 / below
    total = behind
    for step in range(1, _MOST_TERMS):
        factor = -step * (step - shape)
        below += 2
        behind = 1 / _away(factor * behind + below)
        ahead = _away(below + factor / ahead)
        total *= ahead * behind
        if abs(ahead * behind - 1) < 1e-15:
            break
    return total


def _away(number: float) -> float:
    return number if abs(number) > _SMALLEST else _SMALLEST
