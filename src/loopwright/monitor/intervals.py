"""The intervals of what a window measured, and whether it lies beyond what a version was judged at.

Few resamples say well how far a number spreads, and badly where its rarest half percent begins: so an interval is
Student's, of the spread of the resamples, and no percentiles of them.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from loopwright.judge.catalog import METRICS
from loopwright.judge.evaluation import Measured
from loopwright.judge.resample import MOST_UNDEFINED
from loopwright.judge.sample import Floats


def student(share: float, freedom: int) -> float:
    """The quantile of Student's t: right to 1e-3 from 50 degrees of freedom on (Abramowitz & Stegun 1964, 26.7.5).

    >>> round(student(0.995, 99), 3)
    2.626
    """
    z = NormalDist().inv_cdf(share)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def student_bounds(name: str, value: float, draws: Floats, level: float) -> tuple[float, float] | None:
    """The interval of a metric around its value, from resamples `(draws,)`, held to the metric's range. Of a number
    that noise makes larger it is moved by as much as resamples lie above the value. None when too many are undefined.

    >>> low, high = student_bounds("roc_auc", 0.8, np.linspace(0.79, 0.81, 100), 0.99)
    >>> round(low, 3), round(high, 3)
    (0.785, 0.815)
    """
    defined = draws[np.isfinite(draws)]
    if len(defined) < max(len(draws) * (1 - MOST_UNDEFINED), 2):
        return None
    metric, middle = METRICS[name], value
    if metric.is_biased:
        middle = 2 * value - float(defined.mean())
    half = student((1 + level) / 2, len(defined) - 1) * float(defined.std(ddof=1))
    low, high = min(middle - half, value), max(middle + half, value)
    return max(low, metric.low), min(high, metric.high)


def is_beyond(found: Measured, judged: Measured) -> bool:
    """Whether its interval lies on the worse side of the other, and does not touch it."""
    if METRICS[found.metric].bigger_is_better:
        return found.high is not None and judged.low is not None and found.high < judged.low
    return found.low is not None and judged.high is not None and found.low > judged.high


def is_worse(
    found: Measured, judged: Measured, *, level: float, judged_level: float, draws: int, looks: int = 1
) -> bool:
    """Whether the difference of the two is more than chance explains, which both their widths tell of: one-sided, so
    that of so many `looks` without any difference one says so in `(1 - level) / 2` of all cases at most (Bonferroni).

    `level`, `judged_level` and `draws` are of the intervals: the first Student's, the second percentiles.
    """
    bigger = METRICS[found.metric].bigger_is_better
    worst = judged.low if bigger else judged.high
    if found.value is None or found.low is None or found.high is None or judged.value is None or worst is None:
        return False
    half = max(found.high - found.value, found.value - found.low)  # one may end where the metric's range does
    spread = half / student((1 + level) / 2, draws - 1)
    judged_spread = abs(judged.value - worst) / NormalDist().inv_cdf((1 + judged_level) / 2)
    gap = judged.value - found.value if bigger else found.value - judged.value
    sure = student(1 - (1 - level) / 2 / max(looks, 1), draws - 1)
    return gap > sure * math.hypot(spread, judged_spread)
