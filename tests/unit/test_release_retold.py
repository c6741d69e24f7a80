"""Releases read from a prediction log of users who come again, with labels that come late: a small seeded version of
`python -m bench --only release`, through the reader and the reconciler."""

from __future__ import annotations

from typing import Any

import pytest
from bench.retold import Setting, release

from loopwright.rollout.plan import Canary
from loopwright.rollout.state import Status

PLAN = Canary(shadow="1h", hold="3h", shares=[0.25, 0.5, 1.0], watch="3h", hold_back=0.1)
USUAL: dict[str, Any] = {"users": 1_000, "requests": 180, "fails": 0.03, "slow": 0.03}


def soon(_version: int, chance: float) -> float:
    return 0.1 + 0.9 * chance


def test_a_version_as_good_is_hardly_ever_taken_back() -> None:
    """Alpha is 5 % in all. Of 12 releases 3 and more are as good as impossible."""
    went = [release(Setting(name="as good", late=soon, **USUAL), seed, PLAN, hours=12) for seed in range(12)]
    assert len([one.reason for one in went if one.status is Status.ROLLED_BACK]) <= 2
    assert min(one.touched for one in went) > 100


@pytest.mark.parametrize(("shadow", "most"), [("1h", 0), (None, 2_000)])
def test_a_version_that_is_worse_at_everything_is_taken_back(shadow: str | None, most: int) -> None:
    """From the shadow, before anybody hears it; without one, soon."""
    plan = Canary(shadow=shadow, hold="3h", shares=[0.25, 0.5, 1.0], watch="3h", hold_back=0.1)
    went = [release(Setting(name="worse", late=soon, times=3.0, **USUAL), seed, plan, hours=40) for seed in range(3)]
    assert {one.status for one in went} == {Status.ROLLED_BACK}
    assert max(one.touched for one in went) <= most
