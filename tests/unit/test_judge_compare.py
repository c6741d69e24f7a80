"""Comparison: paired, direction-aware, covering, and only ever on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopwright.errors import DataError
from loopwright.judge.compare import compare, outcome_of
from loopwright.judge.evaluation import Comparison, Difference, Outcome
from loopwright.judge.sample import Sample, sample


def pair(rows: int, seed: int = 0, noise: float = 0.6) -> tuple[Sample, Sample]:
    """A champion, and a challenger that sees through more noise."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=rows)
    labels = (truth + generator.normal(size=rows) > 0).astype(int)
    worse = truth + noise * generator.normal(size=rows)
    return sample(labels, 1 / (1 + np.exp(-truth))), sample(labels, 1 / (1 + np.exp(-worse)))


def one(found: Comparison, metric: str) -> Difference:
    difference = found.difference(metric)
    assert difference is not None
    return difference


def test_a_worse_challenger_is_shown_worse_in_either_direction() -> None:
    champion, challenger = pair(4000)
    found = compare(champion, challenger)
    for metric in ("roc_auc", "log_loss", "brier", "average_precision"):
        assert one(found, metric).outcome is Outcome.WORSE, metric
        assert one(compare(challenger, champion), metric).outcome is Outcome.BETTER, metric
    area, loss = one(found, "roc_auc").value, one(found, "log_loss").value
    assert area is not None
    assert area < 0
    assert loss is not None
    assert loss > 0


def test_a_model_against_itself_differs_by_exactly_nothing() -> None:
    champion, _ = pair(500)
    for difference in compare(champion, champion).differences:
        assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0)
        assert difference.outcome is Outcome.NO_DIFFERENCE_SHOWN


def test_pairing_makes_the_interval_much_narrower_than_two_separate_ones() -> None:
    champion, challenger = pair(3000, noise=0.1)
    found = one(compare(champion, challenger, metrics=["roc_auc"]), "roc_auc")
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low < 0.01  # one area alone is known to about 0.03


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_the_interval_covers_the_true_difference_about_as_often_as_it_says(metric: str) -> None:
    truth = one(compare(*pair(300_000, seed=999), metrics=[metric], draws=20), metric).value
    assert truth is not None
    covered = 0
    for seed in range(150):
        found = one(compare(*pair(400, seed=seed), metrics=[metric], draws=200), metric)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    assert covered >= 133  # four standard deviations below 95 %


def test_equal_models_are_seldom_told_apart() -> None:
    told = 0
    for seed in range(150):
        generator = np.random.default_rng(seed)
        truth = generator.normal(size=(3, 300))
        labels = truth[0] + truth[0] > 0
        left, right = (1 / (1 + np.exp(-(truth[0] + truth[side]))) for side in (1, 2))
        found = one(compare(sample(labels, left), sample(labels, right), metrics=["brier"], draws=100), "brier")
        told += found.outcome is not Outcome.NO_DIFFERENCE_SHOWN
    assert told <= 20


def test_bias_is_compared_by_its_distance_from_zero() -> None:
    labels = np.arange(200.0)
    noise = np.random.default_rng(0).normal(size=200)
    found = compare(sample(labels, labels + noise - 5), sample(labels, labels + noise + 1), metrics=["bias"])
    assert one(found, "bias").outcome is Outcome.BETTER
    assert one(found, "bias").value == pytest.approx(-4, abs=0.3)


@given(st.floats(-1, 1), st.floats(0, 1), st.booleans())
@settings(deadline=None)
def test_an_interval_mirrored_means_the_opposite(low: float, width: float, bigger: bool) -> None:
    found, mirrored = (
        outcome_of(*ends, bigger_is_better=bigger) for ends in ((low, low + width), (-low - width, -low))
    )
    opposite = {Outcome.BETTER: Outcome.WORSE, Outcome.WORSE: Outcome.BETTER}
    assert mirrored is opposite.get(found, Outcome.NO_DIFFERENCE_SHOWN)
    assert outcome_of(low, low + width, bigger_is_better=not bigger) is mirrored


@pytest.mark.parametrize(
    ("challenger", "message"),
    [
        (sample([0, 1, 1], [0.1, 0.2, 0.3]), "the champion has 2 rows, the challenger 3"),
        (sample([1, 0], [0.1, 0.2]), "the labels of champion and challenger differ, the first at row 0"),
        (sample([0, 1], [0.1, 0.2], keys=["a", "c"]), "the keys of champion and challenger differ, the first at row 1"),
        (sample([0, 1], [0.1, 0.2], weights=[1, 3]), "the weights of champion and challenger differ"),
        (sample([0, 1], [0.1, 0.2], task="regression"), "do not answer the same question"),
    ],
)
def test_other_rows_are_refused(challenger: Sample, message: str) -> None:
    with pytest.raises(DataError, match=message):
        compare(sample([0, 1], [0.3, 0.4], keys=["a", "b"]), challenger)


def test_a_difference_of_undefined_metrics_says_why() -> None:
    found = compare(sample([1, 1], [0.2, 0.3]), sample([1, 1], [0.2, 0.4]))
    area: Any = one(found, "roc_auc")
    assert (area.value, area.reason) == (None, "every label is 1; both 0 and 1 are needed")


def test_a_comparison_comes_back_equal_from_json_and_is_the_same_for_the_same_seed() -> None:
    found = compare(*pair(300), seed=3)
    assert Comparison.from_json(found.to_json()) == found
    assert compare(*pair(300), seed=3) == found
    assert found.difference("mae") is None
