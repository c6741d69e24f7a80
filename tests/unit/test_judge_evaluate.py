"""Evaluation: intervals that cover, slices that count, JSON that comes back equal."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import polars as pl
import pytest

from loopwright.errors import DataError, UsageError
from loopwright.judge.cells import MOST_SLICES
from loopwright.judge.evaluate import _gap_bounds, evaluate, generator_for
from loopwright.judge.evaluation import Evaluation
from loopwright.judge.metrics import Formulas, measure, summed, values
from loopwright.judge.resample import BINS, bounds, poisson_weights
from loopwright.judge.sample import sample


def scored(rows: int, seed: int = 0) -> tuple[Any, Any]:
    """Labels and probabilities of an honest binary model, area about 0.76."""
    generator = np.random.default_rng(seed)
    margin = generator.normal(-1, 1.1, rows)
    scores = 1 / (1 + np.exp(-margin))
    return (generator.random(rows) < scores).astype(int), scores


def test_poisson_weights_have_mean_and_variance_one() -> None:
    drawn = np.concatenate(list(poisson_weights(50_000, 20, np.random.default_rng(0))))
    assert drawn.shape == (20, 50_000)
    assert drawn.mean() == pytest.approx(1, abs=0.005)
    assert drawn.var() == pytest.approx(1, abs=0.01)
    assert (drawn == 0).mean() == pytest.approx(np.exp(-1), abs=0.003)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_metric_has_a_value_inside_its_interval(task: str) -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 3000) if task == "multiclass" else scored(3000)[0]
    scores = generator.dirichlet(np.ones(3), 3000) if task == "multiclass" else scored(3000)[1]
    if task == "regression":
        labels, scores = labels + scores + 1, scores + 1.2
    found = evaluate(labels, scores, task=task)
    for one in found.metrics:
        assert one.value is not None, one
        assert one.low is not None, one
        assert one.high is not None, one
        assert one.low <= one.value <= one.high
        assert one.high - one.low < 0.25
        assert one.value == pytest.approx(measure(one.metric, labels, scores, task=task).value, abs=1e-12)


def test_a_resample_in_bins_is_close_to_the_exact_one() -> None:
    """The stated approximation: 1,024 rank groups and single precision, after the common shift is taken off."""
    rows = sample(*scored(30_000))
    names = ["roc_auc", "average_precision", "log_loss", "brier", "accuracy", "calibration_error", "f1"]
    weights = next(poisson_weights(rows.rows, 20, np.random.default_rng(3)))
    exact = Formulas(rows, names)(weights.astype(np.float64))
    binned = Formulas(rows, names, BINS)
    shift = values(rows, names) - binned(rows.weights[None, :].astype(np.float32))[0]
    error = np.abs(binned(weights) + shift - exact).max(axis=0)
    assert dict(zip(names, error > [2e-5, 2e-4, 1e-6, 1e-6, 1e-6, 1e-6, 1e-6], strict=True)) == dict.fromkeys(
        names, False
    )
    assert error[0] < exact[:, 0].std() / 100
    assert error[1] < exact[:, 1].std() / 20


def test_a_median_in_bins_is_close_to_the_exact_one() -> None:
    generator = np.random.default_rng(4)
    rows = sample(generator.normal(size=20_000), np.zeros(20_000))
    weights = next(poisson_weights(rows.rows, 20, generator))
    exact = Formulas(rows, ["median_ae"])(weights.astype(np.float64))
    shift = values(rows, ["median_ae"]) - Formulas(rows, ["median_ae"], BINS)(np.ones((1, rows.rows), np.float32))[0]
    error = Formulas(rows, ["median_ae"], BINS)(weights) + shift - exact
    assert np.abs(error).max() < exact.std() / 10


def test_sums_in_pieces_are_the_matrix_product() -> None:
    generator = np.random.default_rng(0)
    for draws, rows, width in [(1, 1, 1), (3, 5000, 7), (200, 333, 21), (2, 70_001, 3)]:
        weights, columns = generator.random((draws, rows)), generator.random((rows, width))
        assert summed(weights, columns) == pytest.approx(weights @ columns, rel=1e-10)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "brier"])
def test_an_interval_covers_the_truth_about_as_often_as_it_says(metric: str) -> None:
    """Of 150 honest models, 95 % intervals; the bounds are what chance leaves at four standard deviations."""
    labels, scores = scored(400_000, seed=99)
    truth = measure(metric, labels, scores).value
    covered = 0
    for seed in range(150):
        one = evaluate(*scored(500, seed=seed), metrics=[metric], draws=100).metrics[0]
        assert one.low is not None
        assert one.high is not None
        assert truth is not None
        covered += one.low <= truth <= one.high
    assert covered >= 131


def test_the_same_seed_gives_the_same_evaluation_and_another_seed_another_interval() -> None:
    labels, scores = scored(500)
    assert evaluate(labels, scores) == evaluate(labels, scores)
    assert evaluate(labels, scores).metrics[0].low != evaluate(labels, scores, seed=1).metrics[0].low


def test_one_more_slice_changes_no_other_interval() -> None:
    labels, scores = scored(1000)
    columns = {"a": np.arange(1000) % 2, "b": np.arange(1000) % 3}
    few = evaluate(labels, scores, columns=columns, slices=["b"])
    many = evaluate(labels, scores, columns=columns, slices=["a", "b", ("a", "b")])
    assert many.metrics == few.metrics
    assert [one for one in many.slices if one.columns == ("b",)] == list(few.slices)


def test_a_slice_is_measured_as_its_rows_alone_would_be() -> None:
    labels, scores = scored(2000)
    weights = np.random.default_rng(0).random(2000) + 0.1
    origin = np.where(np.arange(2000) % 3 == 0, "JFK", "LGA")
    found = evaluate(labels, scores, weights=weights, columns={"origin": origin}, slices=["origin"])
    assert [(one.name, one.rows) for one in found.slices] == [("origin=LGA", 1333), ("origin=JFK", 667)]
    rows = origin == "JFK"
    assert found.slices[1].positives == labels[rows].sum()
    for one in found.slices[1].metrics:
        alone = measure(one.metric, labels[rows], scores[rows], weights=weights[rows])
        assert one.value == pytest.approx(alone.value, abs=1e-12)


def test_a_small_slice_is_counted_and_not_measured() -> None:
    labels, scores = scored(1000)
    columns = {"c": ["big"] * 700 + ["small"] * 199 + ["rare"] * 101}
    labels[-101:] = 0
    found = evaluate(labels, scores, columns=columns, slices=["c"], least_rows=100, metrics=["roc_auc"])
    reasons = {one.name: (one.is_enough, len(one.metrics), one.reason) for one in found.slices}
    assert reasons["c=big"] == (True, 1, "")
    assert reasons["c=rare"] == (False, 0, "not enough data: 0 rows of one label, 20 needed")
    small = evaluate(labels, scores, columns=columns, slices=["c"]).slices[1]
    assert (small.is_enough, small.reason) == (False, "not enough data: 199 rows, 200 needed")


@pytest.mark.parametrize(
    "column",
    [
        np.array(["x", None] * 50, dtype=object),
        pl.Series(["x", None] * 50),
        np.array([1.5, np.nan] * 50),
        np.array(["2013-01-01", "NaT"] * 50, dtype="datetime64[D]"),
        pl.Series(["a", "b"] * 50, dtype=pl.Categorical),
        [True, False] * 50,
    ],
)
def test_a_slice_column_may_be_of_any_kind_and_missing_is_a_slice(column: Any) -> None:
    labels, scores = scored(100)
    found = evaluate(labels, scores, columns={"c": column}, slices=["c"], least_rows=10, draws=20)
    assert [one.rows for one in found.slices] == [50, 50]
    assert Evaluation.from_json(found.to_json()) == found


def test_columns_taken_together_are_cut_together() -> None:
    labels, scores = scored(400)
    frame = pl.DataFrame({"a": [0, 1] * 200, "b": ["x"] * 200 + ["y"] * 200})
    found = evaluate(labels, scores, columns=frame, slices=[("a", "b")], least_rows=50, draws=20)
    assert {one.name: one.rows for one in found.slices} == {f"a={a}, b={b}": 100 for a in (0, 1) for b in ("x", "y")}


def test_only_the_largest_slices_are_kept() -> None:
    labels, scores = scored(1000)
    found = evaluate(labels, scores, columns={"id": np.arange(1000)}, slices=["id"], metrics=["brier"])
    assert len(found.slices) == MOST_SLICES
    assert found.gaps[0].left_out == 1000
    assert found.gaps[0].measured.reason == "not enough data: 0 of 1000 slices can be measured, 2 needed"


def test_a_gap_names_the_best_and_the_worst_slice() -> None:
    labels, scores = scored(3000)
    where = np.arange(3000) % 3
    scores = np.where(where == 2, 1 - scores, scores)
    gap = evaluate(labels, scores, columns={"c": where}, slices=["c"]).gap("roc_auc", ("c",))
    assert gap is not None
    assert gap.worst == "c=2"
    assert gap.measured.value == pytest.approx(0.5, abs=0.1)
    assert gap.measured.low is not None
    assert gap.measured.low > 0.3
    loss = evaluate(labels, scores, columns={"c": where}, slices=["c"]).gap("log_loss", ("c",))
    assert loss is not None
    assert loss.worst == "c=2"


def test_a_gap_among_equal_slices_is_seldom_shown_to_be_above_zero() -> None:
    """Ten slices that differ by chance alone; the percentiles of the resampled gap would show one every time."""
    shown = 0
    for seed in range(40):
        gap = evaluate(*scored(3000, seed=seed), columns=TENTHS, slices=["c"], metrics=["brier"]).gaps[0].measured
        assert gap.low is not None
        assert gap.value is not None
        shown += gap.low > 0
    assert shown <= 6


TENTHS = {"c": np.arange(3000) % 10}


def test_the_upper_end_of_a_gap_seldom_lies_below_the_true_gap() -> None:
    missed = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        truth = generator.normal(size=6) * generator.choice([0, 1, 3])
        values = truth + generator.normal(size=6)
        low, high = _gap_bounds(values, values + generator.normal(size=(200, 6)), 0.95)
        assert low is not None
        assert high is not None
        assert low <= np.ptp(values) <= high
        missed += high < np.ptp(truth)
    assert missed <= 12


def test_an_undefined_metric_stands_beside_the_others_with_its_reason() -> None:
    found = evaluate([1] * 50, [0.7] * 50)
    area, loss = found.metric("roc_auc"), found.metric("log_loss")
    assert area is not None
    assert (area.value, area.reason) == (None, "every label is 1; both 0 and 1 are needed")
    assert loss is not None
    assert loss.value == pytest.approx(-np.log(0.7))
    assert found.metric("mae") is None


def test_a_metric_that_most_resamples_lack_has_no_interval() -> None:
    area = evaluate([1] + [0] * 50, np.linspace(1, 0, 51), metrics=["roc_auc"]).metrics[0]
    assert (area.value, area.low) == (1.0, None)
    assert area.reason == "undefined in too many resamples for an interval"
    assert bounds(1.0, np.full(100, np.nan), 0.95) is None


def test_an_evaluation_comes_back_equal_from_json() -> None:
    labels, scores = scored(600)
    found = evaluate(labels, scores, columns={"c": ["ä", "b"] * 300}, slices=["c"], weights=np.ones(600))
    text = found.to_json()
    assert Evaluation.from_json(text) == found
    assert json.loads(text)["format"] == 1
    assert Evaluation.from_json(text).to_json() == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the evaluation is no JSON"),
        ("[]", "it names no format"),
        ('{"format": 2}', "of format 2, newer than 1"),
    ],
)
def test_text_that_is_no_evaluation_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Evaluation.from_json(text)


@pytest.mark.parametrize(
    ("more", "kind", "message"),
    [
        ({"slices": ["carier"], "columns": {"carrier": [1, 2]}}, DataError, "did you mean 'carrier'"),
        ({"slices": ["c"], "columns": {"c": [1]}}, DataError, "column 'c' has 1 values for 2 rows"),
        ({"draws": 5}, UsageError, "too few"),
        ({"level": 95}, UsageError, "no share"),
        ({"metrics": ["auc"]}, UsageError, "no metric 'auc'"),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused(more: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        evaluate([0, 1], [0.2, 0.9], **more)


def test_a_hundred_thousand_rows_by_ten_slices_take_a_few_seconds() -> None:
    """Six metrics, 200 draws, 10 sets of slices; processor time, because others use the machine too."""
    labels, scores = scored(100_000)
    generator = generator_for(0, "columns")
    columns = {f"c{count}": generator.integers(0, count, 100_000) for count in (2, 3, 4, 5, 6, 8, 10, 12, 16, 20)}
    metrics = ["roc_auc", "average_precision", "log_loss", "brier", "accuracy", "calibration_error"]
    begun = time.process_time()
    found = evaluate(labels, scores, metrics=metrics, columns=columns, slices=list(columns))
    assert time.process_time() - begun < 12
    assert len(found.slices) == 86
