"""Whether the challenger's scores lie elsewhere than the champion's: it holds a release, and takes nobody back.

Two models of one task differ a little, and may. What holds is a difference that changes what is done with the answers:
one that data drift would find, and several times as large as what it takes for worth a look.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

LEAST, MOST = 500, 5_000
"""Scores of each arm: before, nothing is said; beyond, the newest stand for all."""
FLOOR = 0.25
"""Jensen-Shannon, of at most 1: about a mean that moved by two thirds of a standard deviation."""


def nothing() -> dict[bool, deque[float]]:
    """Of the challenger (True) and the champion."""
    return {True: deque(maxlen=MOST), False: deque(maxlen=MOST)}


def apart(found: Mapping[bool, Sequence[float]]) -> str:
    """In words; empty where they are alike, or too few.

    >>> apart({True: [0.9, 0.8] * 300, False: [0.2, 0.1] * 300})
    'scores lie elsewhere: 0.85 on average where the champion gives 0.15 (Jensen-Shannon 1.00, limit 0.25)'
    """
    if not found or min(map(len, found.values())) < LEAST:
        return ""
    from loopwright.data.drift import Limits, compare
    from loopwright.data.profile import Profile

    profiles = {}
    for is_canary, values in found.items():
        profiles[is_canary] = Profile({"score": "float"})
        profiles[is_canary].update({"score": list(values)})
    limits = Limits(floor=FLOOR, least_rows=LEAST)
    drift = compare(profiles[False], profiles[True], limits=limits)
    if not (drift.suspected or drift.drifted):
        return ""
    means = [sum(found[one]) / len(found[one]) for one in (True, False)]
    effect = drift.column("score").effect
    return (
        f"scores lie elsewhere: {means[0]:.3g} on average where the champion gives {means[1]:.3g} "
        f"(Jensen-Shannon {effect:.2f}, limit {FLOOR:g})"
    )
