"""Slowness is counted by runs of models: a process that stalls takes no good version back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from loopwright.evidence.events import Evidence, Hypothesis
from loopwright.rollout.runs import LEAST, Runs

BEGUN = datetime(2026, 3, 14, tzinfo=UTC)
ALPHA, SHARE = 0.01, 0.1


def crosses(seed: int, *, slower: float = 1.0, by_request: bool = False) -> bool:
    """Whether a challenger is told to be slow, on a gateway whose batches have ten requests, of both versions mostly;
    in one of a hundred the process stalls during the run of one of them, `slower` times as often the challenger's."""
    draws, runs, worse = np.random.default_rng(seed), Runs(), Evidence.none(Hypothesis.no_worse())
    for number in range(4_000):
        canary = int(draws.binomial(10, SHARE))
        groups = [is_canary for is_canary, count in ((False, 10 - canary), (True, canary)) if count]
        stalls = [bool(draws.random() < 0.01 * (slower if is_canary else 1)) for is_canary in groups]
        shares, arms = [], []
        for place, (is_canary, is_slow) in enumerate(zip(groups, stalls, strict=True)):
            at = BEGUN + timedelta(milliseconds=10 * number + place)
            for _ in range(canary if is_canary else 10 - canary):
                share = runs.slow(at, 1, is_canary=is_canary, is_slow=is_slow)
                if by_request:
                    share = SHARE if is_slow else None
                if share is not None:
                    shares.append(share)
                    arms.append(is_canary)
        for share, is_canary in zip(shares, arms, strict=True):
            worse = worse.add(share=share, canary=int(is_canary), champion=int(not is_canary))
        if worse.refutes(ALPHA):
            return True
    return False


def test_stalls_of_the_process_take_no_good_version_back() -> None:
    assert sum(crosses(seed) for seed in range(20)) <= 1
    assert sum(crosses(seed, by_request=True) for seed in range(20)) >= 3, "counted by requests they would"


def test_a_version_that_is_slow_more_often_is_told() -> None:
    assert sum(crosses(seed, slower=6.0) for seed in range(10)) >= 9


@pytest.mark.parametrize("runs", [0, LEAST - 1])
def test_of_few_runs_nothing_is_said(runs: int) -> None:
    seen = Runs()
    for number in range(runs):
        seen.slow(BEGUN + timedelta(seconds=number), 1, is_canary=number % 2 == 0, is_slow=False)
    assert seen.slow(BEGUN + timedelta(hours=1), 1, is_canary=True, is_slow=True) is None


def test_another_share_begins_anew() -> None:
    seen = Runs()
    for number in range(2 * LEAST):
        seen.slow(BEGUN + timedelta(seconds=number), 1, is_canary=number % 4 == 0, is_slow=False)
    assert seen.slow(BEGUN + timedelta(hours=1), 1, is_canary=True, is_slow=True) == 0.25
    assert seen.slow(BEGUN + timedelta(hours=2), 2, is_canary=True, is_slow=True) is None


def test_a_unit_that_was_slow_once_makes_the_share_no_more() -> None:
    """It asks for half of all, of the champion; of the others every tenth comes to the challenger."""
    seen = Runs()
    for number in range(2_000):
        unit, is_canary = ("partner", False) if number % 2 else (f"unit-{number}", number % 20 == 0)
        seen.slow(BEGUN + timedelta(seconds=number), 1, unit, is_canary=is_canary, is_slow=False)
    later = BEGUN + timedelta(hours=1)
    assert seen.slow(later, 1, "partner", is_canary=False, is_slow=True) == 0.05
    assert seen.slow(later + timedelta(seconds=1), 1, "unit-7", is_canary=False, is_slow=True) == 0.1
