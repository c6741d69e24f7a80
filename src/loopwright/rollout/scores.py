"""Whether the challenger's scores lie elsewhere than the champion's: it holds a release, and takes nobody back.

Two models of one task differ a little, and may. What holds is a difference that changes what is done with the answers:
one that data drift would find, and that moves scores by a good part of how far they lie apart. The second is asked
because few distinct inputs give few distinct scores: two that are nearly equal then share no value, and no bin.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

LEAST, MOST = 500, 5_000
"""Scores of each arm: before, nothing is said; beyond, the newest stand for all."""
MOST_OF_ONE = 10
"""Of one unit, of all these."""
FLOOR = 0.25
"""Jensen-Shannon, of at most 1: about a mean that moved by two thirds of a standard deviation."""
LEAST_MOVE = 1 / 3
"""By how many of the champion's standard deviations scores move on average, quantile by quantile (Wasserstein-1)."""
NEAR = 0.8
"""Of both limits: what holds because it is beyond them holds until it is no longer so near. The mean of two thousand
scores of each has a standard error of a tenth of a limit, so what lies at one would hold, go on and hold again."""


class Apart(NamedTuple):
    """In words; empty where they are not so far apart, or too few."""

    beyond: str = ""
    near: str = ""
    """Beyond the limits, or near them."""


@dataclass(slots=True)
class Scores:
    """The newest of each version, by whether the challenger gave them.

    >>> given = Scores()
    >>> for _ in range(100):
    ...     given.add(0.5, "partner", is_canary=True)
    >>> len(given.of[True]), len(given.of[False])
    (10, 0)
    """

    of: dict[bool, deque[float]] = field(
        default_factory=lambda: {is_canary: deque[float](maxlen=MOST) for is_canary in (True, False)}
    )
    _units: Counter[str] = field(default_factory=Counter)

    def add(self, score: float, unit: str | None, *, is_canary: bool) -> None:
        """Of a named unit only the first few: one who asks for much would move the whole."""
        if unit is not None:
            self._units[unit] += 1
        if unit is None or self._units[unit] <= MOST_OF_ONE:
            self.of[is_canary].append(score)


def apart(found: Mapping[bool, Sequence[float]]) -> Apart:
    """How far they are.

    >>> apart({True: [0.9, 0.8] * 300, False: [0.2, 0.1] * 300}).beyond
    'scores lie elsewhere: 0.85 on average where the champion gives 0.15 (14.0 of its standard deviations, limit 0.33)'
    >>> apart({True: [0.91, 0.11] * 300, False: [0.9, 0.1] * 300})
    Apart(beyond='', near='')
    """
    if not found or min(map(len, found.values())) < LEAST:
        return Apart()
    effect = _effect(found)
    moved = move(found[True], found[False]) if effect else 0.0
    if moved < NEAR * LEAST_MOVE:
        return Apart()
    means = [sum(found[one]) / len(found[one]) for one in (True, False)]
    told = (
        f"scores lie elsewhere: {means[0]:.3g} on average where the champion gives {means[1]:.3g} "
        f"({moved:.1f} of its standard deviations, limit {LEAST_MOVE:.2f})"
    )
    return Apart(told if effect > FLOOR and moved >= LEAST_MOVE else "", told)


def _effect(found: Mapping[bool, Sequence[float]]) -> float:
    """Jensen-Shannon, as data drift measures it; 0 where that is near no limit, or may be chance."""
    from loopwright.data.drift import Limits, compare
    from loopwright.data.profile import Profile

    profiles = {}
    for is_canary, values in found.items():
        profiles[is_canary] = Profile({"score": "float"})
        profiles[is_canary].update({"score": list(values)})
    limits = Limits(floor=NEAR * FLOOR, least_rows=LEAST)
    drift = compare(profiles[False], profiles[True], limits=limits)
    return max((one.effect for one in (*drift.suspected, *drift.drifted)), default=0.0)


def move(challenger: Sequence[float], champion: Sequence[float]) -> float:
    """Wasserstein-1 between two samples, in standard deviations of the second; infinite where that does not vary.

    >>> round(move([1.0, 2.0, 3.0], [0.0, 1.0, 2.0]), 2)
    1.22
    """
    places = np.linspace(0, 1, 201)
    one, other = (np.quantile(np.asarray(values, dtype=np.float64), places) for values in (challenger, champion))
    apart_by, spread = float(np.abs(one - other).mean()), float(np.std(np.asarray(champion, dtype=np.float64)))
    return apart_by / spread if spread > 0 else math.inf if apart_by > 0 else 0.0
