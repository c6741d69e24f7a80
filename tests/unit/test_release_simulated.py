"""Releases of simulated traffic, a small seeded version of `python -m bench --only release`; and a controller that is
killed after every step."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bench import release
from bench.ramping import BEGAN, SETTINGS, Traffic, ramp

from loopwright.rollout.controller import begin, decide
from loopwright.rollout.plan import Canary
from loopwright.rollout.state import ReleaseState, Status

BY_NAME = {setting.name: setting for setting in SETTINGS}
QUICK = Canary(hold="3h", patience="10d", shares=[0.05, 0.25, 1.0])


@pytest.mark.parametrize("name", BY_NAME)
def test_a_version_no_worse_is_hardly_ever_taken_back(name: str) -> None:
    """Alpha is 5 % in all; 2 to 3 % come about. Of 40 runs 6 and more are as good as impossible."""
    went = [ramp(BY_NAME[name], seed, plan=QUICK).status for seed in range(40)]
    assert went.count(Status.ROLLED_BACK) <= 5
    assert went.count(Status.PROMOTED) >= 34


@pytest.mark.parametrize("name", BY_NAME)
def test_a_version_many_times_as_bad_is_taken_back(name: str) -> None:
    times = 20.0 if name == "rare events" else 5.0
    went = [ramp(BY_NAME[name], seed, {"errors": times}, QUICK) for seed in range(10)]
    assert all(one.status is Status.ROLLED_BACK for one in went)


@pytest.mark.parametrize(("times", "requests"), [(2.0, 1_900), (5.0, 190), (10.0, 65)])
def test_a_worse_version_is_found_soon(times: float, requests: int) -> None:
    """Medians of 60, wide of those of the benchmark: 1,000, 90 and 28."""
    found = release.detections(times, 0.05, 60)
    assert np.median(found["ours"]) <= requests
    assert np.median(found["ours"]) <= 2.6 * np.median(found["best"])


def test_a_version_that_fails_every_fifth_request_touches_few() -> None:
    found = [release.until_taken_back({"errors": (0.2, 0.01)}, 0.05, seed) for seed in range(40)]
    assert np.median(found) <= 25
    assert np.quantile(found, 0.9) <= 60


def test_a_version_half_as_quick_again_touches_few() -> None:
    found = [release.until_taken_back({"slow": (release.slower(0.4), 0.01)}, 0.05, seed) for seed in range(40)]
    assert np.median(found) <= 100


def test_a_version_that_always_fails_touches_five_at_most() -> None:
    assert max(release.until_taken_back({"errors": (1.0, 0.01)}, 0.01, seed) for seed in range(10)) <= 5


def test_a_controller_killed_after_every_step_decides_as_one_that_never_was() -> None:
    """A hundred releases, good and bad; of the killed one nothing is left but what was stored."""
    for seed in range(100):
        risks = {"errors": (1.0, 2.0, 6.0)[seed % 3]}
        traffic = Traffic(SETTINGS[0], risks, np.random.default_rng(seed))
        state, _ = begin(QUICK, loop="late", challenger=2, champion=1, at=BEGAN)
        killed = json.dumps(state.to_dict())
        for _ in range(4):
            if state.ended is not None:
                break
            facts, _, _ = traffic.next(state.share, 3_000)
            state, decision = decide(QUICK, state, facts)
            again, same = decide(QUICK, ReleaseState.from_dict(json.loads(killed)), facts)
            killed = json.dumps(again.to_dict())
            assert same == decision
        assert ReleaseState.from_dict(json.loads(killed)) == state
