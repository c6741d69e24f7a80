"""Unit jumps: columns whose quantiles were all multiplied by one well-known factor since the span before, or turned
from Celsius to Fahrenheit. Told from two histograms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loopwright.data.sketch import NumberSketch

FACTORS: Mapping[float, str] = {
    1.609344: "miles to kilometres", 3.28084: "metres to feet", 2.204623: "kilograms to pounds",
    3.785412: "US gallons to litres", 2.54: "inches to centimetres", 1.852: "nautical miles to kilometres",
    28.34952: "ounces to grams", 10.0: "a factor of 10", 12.0: "feet to inches", 24.0: "days to hours",
    60.0: "minutes to seconds, or hours to minutes", 100.0: "a share to percent, or metres to centimetres",
    1000.0: "thousands to ones", 3600.0: "hours to seconds", 86_400.0: "days to seconds", 1e6: "millions to ones",
    33.8639: "inches of mercury to hectopascals",
}  # fmt: skip
LEAST_VALUES = 200
_SHARES = np.array([0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.95])
_LEAST_RATIO = 1.4
NEAR = 0.04
"""So far, as a share, may the factor found be from a known one, and the quantiles' ratios from one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """`now` is about `factor * before + offset`."""

    factor: float
    offset: float
    meaning: str


def unit_jump(before: NumberSketch, now: NumberSketch) -> Jump | None:
    """Between two settled sketches of numbers.

    >>> from loopwright.data.profile import Profile
    >>> def distances(factor: float) -> NumberSketch:
    ...     profile = Profile({"distance": "float"})
    ...     profile.update({"distance": np.random.default_rng(0).gamma(2, 500, 5000) * factor})
    ...     return profile.settled().sketches["distance"]
    >>> unit_jump(distances(1.0), distances(1.609)).meaning
    'miles to kilometres'
    >>> unit_jump(distances(1.0), distances(1.1)) is None
    True
    """
    then, here = _quantiles(before), _quantiles(now)
    if then is None or here is None or np.ptp(then) == 0 or np.ptp(here) == 0:
        return None
    return _factor(then, here) or _fahrenheit(then, here)


def _quantiles(sketch: NumberSketch) -> NDArray[np.float64] | None:
    cells = sketch.cells()
    if not len(cells.low) or cells.tallies[:, 0].sum() < LEAST_VALUES:
        return None
    return cells.quantiles(_SHARES)


def _factor(then: NDArray[np.float64], here: NDArray[np.float64]) -> Jump | None:
    """All quantiles that are not about zero have the same ratio."""
    large = np.abs(then) > 0.02 * np.abs(then).max()
    if np.count_nonzero(large) < 5:
        return None
    ratios = here[large] / then[large]
    ratio = float(np.median(ratios))
    if ratio <= 0 or 1 / _LEAST_RATIO < ratio < _LEAST_RATIO or np.abs(ratios / ratio - 1).max() > 2 * NEAR:
        return None
    back = ratio < 1
    near = min(FACTORS, key=lambda one: abs(np.log((1 / ratio if back else ratio) / one)))
    if abs((1 / ratio if back else ratio) / near - 1) > NEAR:
        return None
    return Jump(factor=ratio, offset=0.0, meaning=f"{FACTORS[near]}{', the other way' if back else ''}")


def _fahrenheit(then: NDArray[np.float64], here: NDArray[np.float64]) -> Jump | None:
    """The conversion itself explains nearly all, and staying the same explains little."""
    spread = float(np.ptp(here))
    for factor, offset, meaning in ((1.8, 32.0, "Celsius to Fahrenheit"), (5 / 9, -160 / 9, "Fahrenheit to Celsius")):
        off = np.abs(then * factor + offset - here).max() / spread
        if off < 2 * NEAR and np.abs(then - here).min() > 4 * off * spread and np.abs(then - here).max() > spread / 4:
            return Jump(factor=factor, offset=offset, meaning=meaning)
    return None
