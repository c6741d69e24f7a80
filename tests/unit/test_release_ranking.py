"""Mistakes of models that are judged by ranking: pairs of rows, in the shadow, in the ramp, and after a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from bench import ranked
from tests.unit.street import LOOP, Street

from loopwright.core.version import Version
from loopwright.rollout import yardstick
from loopwright.rollout.plan import Canary, Shadow
from loopwright.rollout.ranking import CLOSE, Pair, Pairs, Scored
from loopwright.rollout.state import SHADOW, ReleaseState, Status
from loopwright.testing.clock import START

Second = Callable[[float, float], float]
"""The challenger's score of a row, from the champion's and from chance."""


def judged_by_ranking(folder: Path) -> Street:
    """A street whose versions predict two classes, and whose loop is judged by AUC."""
    street = Street(folder)
    get = street.stores.versions.get

    def ranked_version(loop: str, name: str) -> Version:
        return replace(get(loop, name), task="binary", metric="roc_auc")

    street.stores.versions.get = ranked_version  # type: ignore[method-assign]
    return street


def day(street: Street, number: int, second: Second, rows: int = 600) -> None:
    """Of a base rate of its own; the champion's scores tell something."""
    draw = np.random.default_rng(number)
    base = draw.uniform(0.1, 0.5)
    for _ in range(rows):
        street.clock.advance(86_400 / rows)
        late = bool(draw.random() < base)
        score = float(np.clip(draw.normal(0.6 if late else 0.45, 0.15), 0.01, 0.99))
        row = {"x": 1.0}
        street.scored(f"unit-{street.asked}", {1: score, 2: second(score, float(draw.random()))}, late, row)


def after(street: Street, days: int, second: Second, *, forgets: bool = False) -> ReleaseState:
    for number in range(days):
        day(street, number, second)
        if forgets:
            street.reconciler = street.another()
        street.reconciler.reconcile()
    return street.standing().state


SHADOWED = Canary(shadow="30d", hold="1d", shares=[0.25, 1.0], patience="40d")


def test_a_version_that_is_calibrated_otherwise_makes_no_mistake_for_that(tmp_path: Path) -> None:
    """By one threshold it would be wrong about every positive, alone."""
    street = judged_by_ranking(tmp_path)
    street.start(SHADOWED)
    state = after(street, 3, lambda score, _: score / 3)
    assert state.scored > 1_700
    assert state.guard("mistakes").unheard.canary + state.guard("mistakes").unheard.champion == 0


def test_a_version_that_ranks_by_chance_is_taken_back_in_the_shadow(tmp_path: Path) -> None:
    street = judged_by_ranking(tmp_path)
    street.start(SHADOWED)
    state = after(street, 3, lambda _, chance: chance)
    assert (state.stage, state.ended) == (SHADOW, Status.ROLLED_BACK)
    assert "v2 is wrong more often on the same requests" in street.moves()[-1].cause.reason


def test_in_the_ramp_pairs_are_of_one_version_and_as_many_as_its_share(tmp_path: Path) -> None:
    street = judged_by_ranking(tmp_path)
    street.start(Canary(hold="20d", shares=[0.25, 1.0], patience="30d"))
    found = after(street, 4, lambda score, _: score / 3).guard("mistakes").worse
    assert 60 < found.canary + found.champion < 400
    assert found.canary / (found.canary + found.champion) == pytest.approx(0.25, abs=0.1)


def test_a_version_that_ranks_by_chance_is_taken_back_in_the_ramp(tmp_path: Path) -> None:
    street = judged_by_ranking(tmp_path)
    street.start(Canary(hold="20d", shares=[0.5, 1.0], patience="30d"))
    state = after(street, 6, lambda _, chance: chance)
    assert state.ended is Status.ROLLED_BACK
    assert "v2 is wrong more often: " in street.moves()[-1].cause.reason


@pytest.mark.parametrize("plan", [SHADOWED, Canary(hold="20d", shares=[0.25, 1.0], patience="30d")], ids=["shadow", "ramp"])  # fmt: skip  # noqa: E501
def test_whoever_reads_again_makes_the_same_pairs(tmp_path: Path, plan: Canary) -> None:
    states = []
    for forgets in (False, True):
        street = judged_by_ranking(tmp_path / str(forgets))
        street.start(plan)
        states.append(after(street, 4, lambda score, chance: 0.9 * score + 0.1 * chance, forgets=forgets))
    assert states[0].guards == states[1].guards
    mistakes = states[0].guard("mistakes")
    assert mistakes.worse.canary + mistakes.unheard.canary > 5


def a_row(name: str, score: float, hours: float = 0.0) -> Scored:
    return Scored(START + timedelta(hours=hours), name, name, (score,))


def test_pairs_are_disjoint_of_one_share_and_arm_and_close_in_time() -> None:
    draw, pairs, met = np.random.default_rng(3), Pairs(), list[str]()
    for number in range(2_000):
        row = a_row(f"row-{number}", float(draw.random()), number / 10 + float(draw.normal()))
        share, is_canary = (0.1, 0.5)[number // 1_000], bool(draw.random() < 0.3)
        row = replace(row, unit=f"{share} {is_canary}")
        pair = pairs.match(row, share, is_canary=is_canary, is_positive=bool(draw.random() < 0.3))
        if pair is not None:
            assert row in (pair.positive, pair.negative)
            assert pair.positive.unit == pair.negative.unit
            assert abs(pair.positive.at - pair.negative.at) <= CLOSE
            met += [pair.positive.id, pair.negative.id]
    assert len(met) == len(set(met))
    assert len(met) > 900


def test_a_row_is_matched_with_the_nearest_that_waits() -> None:
    pairs = Pairs()
    for hours in (0, 3, 8):
        assert pairs.match(a_row(f"at-{hours}", 0.5, hours), 0.1, is_canary=True, is_positive=False) is None
    found = pairs.match(a_row("late", 0.4, 4), 0.1, is_canary=True, is_positive=True)
    assert found is not None
    assert (found.positive.id, found.negative.id, found.wrong) == ("late", "at-3", (True,))
    pairs.forget(START + timedelta(hours=9))
    assert pairs.match(a_row("later", 0.4, 9), 0.1, is_canary=True, is_positive=True) is None


def test_ties_are_lost_by_half_of_the_rows_and_by_both_versions_alike() -> None:
    found = []
    for number in range(400):
        positive = Scored(START, f"row-{number}", "one", (0.5, 0.2))
        found.append(Pair(positive, Scored(START, "other", "two", (0.5, 0.2))).wrong)
    assert all(one == other for one, other in found)
    assert 150 < sum(one for one, _ in found) < 250


RULES = [
    ("binary", "roc_auc", "ranked wrongly"),
    ("binary", "average_precision", "ranked wrongly"),
    ("binary", "f1", "predicted class that is not the label"),
    ("binary", "log_loss", "the share that this class had in the champion's training rows"),
    ("multiclass", "roc_auc", "predicted class that is not the label"),
    ("regression", "mae", "beyond the champion's frozen 90 % quantile"),
]


@pytest.mark.parametrize(("task", "metric", "words"), RULES)
def test_what_a_mistake_is_follows_the_metric_and_is_told_in_words(
    tmp_path: Path, task: str, metric: str, words: str
) -> None:
    street = Street(tmp_path)
    version = replace(street.stores.versions.get(LOOP, "v2"), task=task, metric=metric)
    assert yardstick.yardstick(street.stores, version, version).ranks is ("ranked" in words)
    assert words in yardstick.told(version)


def test_days_that_share_their_weather_take_back_what_is_worse_and_nothing_that_is_as_good() -> None:
    """A small version of `python -m bench --only release`."""
    assert [ranked.went(ranked.AUC, seed).status for seed in range(4)] == [Status.PROMOTED] * 4
    worse = [ranked.went(ranked.WORSE, seed, Shadow(lasts="30d")) for seed in range(5)]
    assert all(one.status is Status.ROLLED_BACK for one in worse)
    assert np.median([one.labels for one in worse]) <= 4_500
