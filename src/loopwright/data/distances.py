"""How far two columns are apart: each of the usual numbers, from rows in the same cells. Pure.

`counts` is `(2, cells)`: the reference's rows, then the current ones; `both` their shares. All but PSI, Wasserstein and
chi-square lie between 0 and 1, whatever the unit of the column. None says what is far: small samples are apart by
chance.
"""

from __future__ import annotations

import math

import numpy as np

from loopwright.data.chance import Numbers


def shares(counts: Numbers) -> Numbers:
    """Of each side's rows."""
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0))


def l_infinity(both: Numbers) -> float:
    """The largest difference of one cell's share."""
    return float(np.abs(both[0] - both[1]).max(initial=0.0))


def absolute_difference(both: Numbers) -> float:
    """The share of rows that would have to change their cell: half the sum of differences (total variation).

    >>> absolute_difference(np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25]]))
    0.25
    """
    return float(np.abs(both[0] - both[1]).sum() / 2)


def jensen_shannon(both: Numbers) -> float:
    """The divergence in bits, 0 to 1. Its square root is the distance."""
    three = np.stack([both[0], both[1], (both[0] + both[1]) / 2])
    bits: list[float] = (three * np.log2(np.where(three > 0, three, 1.0))).sum(axis=1).tolist()
    return float(min(max((bits[0] + bits[1]) / 2 - bits[2], 0.0), 1.0))


def psi(counts: Numbers) -> float:
    """The population stability index, with half a row added to every cell so that an empty one does not decide it."""
    reference, current = shares(counts + 0.5)
    return float(((current - reference) * np.log(current / reference)).sum())


def chi2(counts: Numbers) -> float:
    """Pearson's statistic of homogeneity; its degrees of freedom are one less than the cells that are filled."""
    reference, current = counts.sum(axis=1).tolist()
    pooled = counts[0] + counts[1]
    apart = (counts[0] * current - counts[1] * reference) ** 2
    return float((apart / np.where(pooled > 0, pooled, 1.0)).sum() / max(reference * current, 1.0))


def apart_upto(both: Numbers) -> Numbers:
    """Of cells in order: how much larger a share of one side lies up to the end of each, sign left out."""
    return np.asarray(np.abs(np.cumsum(both[0] - both[1])))


def kolmogorov_smirnov(apart: Numbers) -> float:
    """The largest difference of the shares up to some value: of what `apart_upto` gave."""
    return float(apart.max(initial=0.0))


def wasserstein(both: Numbers, upto: Numbers, at: Numbers) -> float | None:
    """How far rows would have to be moved, on average, in standard deviations of the reference; None where it has none.
    `upto`: of `apart_upto`. `at`: where the cells lie, lowest first; a row lies in the middle of its cell."""
    with np.errstate(over="ignore", invalid="ignore"):
        apart = at - both[0] @ at
        deviation = math.sqrt(float(both[0] @ (apart * apart)))
        moved = float(upto[:-1] @ (at[1:] - at[:-1]))
    found = moved / deviation if deviation > 0 else math.inf
    return found if math.isfinite(found) else None
