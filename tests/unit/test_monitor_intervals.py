"""Intervals that hold what they promise, and notices that are not made of chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t  # type: ignore[import-untyped]
from tests.unit.monitoring import World

from loopwright.core.finding import Level
from loopwright.judge.evaluation import Measured
from loopwright.monitor.declare import Monitor
from loopwright.monitor.intervals import is_beyond, is_worse, student, student_bounds
from loopwright.monitor.quality import DRAWS, LEVEL

TRUTH = 50.0


@pytest.mark.parametrize("share", [0.9, 0.995, 0.99999])
@pytest.mark.parametrize("freedom", [50, 99, 1000])
def test_students_quantiles_are_those_of_the_tables(share: float, freedom: int) -> None:
    assert student(share, freedom) == pytest.approx(t.ppf(share, freedom), abs=1e-3)


def test_intervals_of_a_hundred_resamples_miss_as_seldom_as_they_say() -> None:
    draw, missed = np.random.default_rng(1), 0
    for _ in range(4000):
        value = TRUTH + float(draw.normal())
        found = student_bounds("mae", value, value + draw.normal(size=DRAWS), LEVEL)
        assert found is not None
        missed += not found[0] <= TRUTH <= found[1]
    assert 0.006 < missed / 4000 < 0.014


def test_an_interval_is_held_to_the_metrics_range_and_needs_resamples_that_are_defined() -> None:
    draws = np.linspace(0.9, 1.0, DRAWS)
    found = student_bounds("accuracy", 0.97, draws, LEVEL)
    assert found is not None
    assert found[1] == 1.0
    draws[:10] = np.nan
    assert student_bounds("accuracy", 0.97, draws, LEVEL) is None


def measured(metric: str, value: float, half: float) -> Measured:
    return Measured(metric=metric, value=value, low=value - half, high=value + half)


def is_noticed(found: Measured, judged: Measured, looks: int) -> bool:
    return is_worse(found, judged, level=LEVEL, judged_level=0.95, draws=DRAWS, looks=looks)


@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_of_many_windows_without_a_change_hardly_one_is_noticed_however_many_its_rows(spread: float) -> None:
    """A window that is measured exactly is held against a number that is not."""
    draw, looks, noticed = np.random.default_rng(2), 10, 0
    for _ in range(3000):
        pairs = [
            (measured("mae", TRUTH + float(draw.normal(scale=spread)), 2.626 * spread),
             measured("mae", TRUTH + float(draw.normal()), 1.96))
            for _ in range(looks)
        ]  # fmt: skip
        noticed += any(is_noticed(found, judged, looks) for found, judged in pairs)
    assert noticed / 3000 < 0.01


@pytest.mark.parametrize(("metric", "sign"), [("mae", 1), ("roc_auc", -1)])
def test_what_is_worse_by_far_is_noticed_and_what_is_better_by_far_is_not(metric: str, sign: int) -> None:
    judged = measured(metric, 0.8, 0.0196)
    assert is_noticed(measured(metric, 0.8 + sign * 0.06, 0.02626), judged, 10)
    assert not is_noticed(measured(metric, 0.8 + sign * 0.03, 0.02626), judged, 10)
    assert not is_noticed(measured(metric, 0.8 - sign * 0.06, 0.02626), judged, 10)
    assert is_beyond(measured(metric, 0.8 + sign * 0.06, 0.02626), judged)
    assert not is_beyond(measured(metric, 0.8 - sign * 0.06, 0.02626), judged)


def test_many_rows_of_a_model_that_stays_as_good_are_noticed_in_no_metric_and_no_slice(tmp_path: Path) -> None:
    for seed in range(3):
        world = World(tmp_path / str(seed), seed=seed, monitor=Monitor())
        world.answer(world.ask(world.flights(8000)))
        world.pass_days()
        found = world.stores.findings.list("late", monitor="quality")
        assert {one.level for one in found} == {Level.FINE}
