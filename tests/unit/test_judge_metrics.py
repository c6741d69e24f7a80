"""Metrics: equal to scikit-learn's, within their laws, and undefined out loud."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from loopwright.errors import DataError, UsageError
from loopwright.judge.catalog import METRICS, Task, metrics_of
from loopwright.judge.metrics import measure
from loopwright.judge.sample import sample

Array = NDArray[Any]


def calibration(y: Array, p: Array, w: Array | None) -> float:
    weights = np.ones(len(y)) if w is None else w
    edges = np.linspace(0, 1, 16)
    bins = [(low <= p) & ((p < high) | (high == 1)) for low, high in pairwise(edges)]
    return float(sum(abs((weights * (y - p))[rows].sum()) for rows in bins) / weights.sum())


BINARY: dict[str, Callable[[Array, Array, Array | None], float]] = {
    "roc_auc": lambda y, p, w: sk.roc_auc_score(y, p, sample_weight=w),
    "average_precision": lambda y, p, w: sk.average_precision_score(y, p, sample_weight=w),
    "log_loss": lambda y, p, w: sk.log_loss(y, p, sample_weight=w, labels=[0, 1]),
    "brier": lambda y, p, w: sk.brier_score_loss(y, p, sample_weight=w),
    "accuracy": lambda y, p, w: sk.accuracy_score(y, p > 0.5, sample_weight=w),
    "balanced_accuracy": lambda y, p, w: sk.balanced_accuracy_score(y, p > 0.5, sample_weight=w),
    "precision": lambda y, p, w: sk.precision_score(y, p > 0.5, sample_weight=w),
    "recall": lambda y, p, w: sk.recall_score(y, p > 0.5, sample_weight=w),
    "f1": lambda y, p, w: sk.f1_score(y, p > 0.5, sample_weight=w),
    "calibration_error": calibration,
}
MULTICLASS: dict[str, Callable[[Array, Array, Array | None], float]] = {
    "roc_auc": lambda y, p, w: float(
        np.mean([sk.roc_auc_score(y == one, p[:, one], sample_weight=w) for one in range(p.shape[1])])
    ),
    "log_loss": lambda y, p, w: sk.log_loss(y, p, sample_weight=w, labels=range(p.shape[1])),
    "accuracy": lambda y, p, w: sk.accuracy_score(y, p.argmax(axis=1), sample_weight=w),
    "macro_f1": lambda y, p, w: sk.f1_score(y, p.argmax(axis=1), sample_weight=w, average="macro"),
}
REGRESSION: dict[str, Callable[[Array, Array, Array | None], float]] = {
    "mae": lambda y, p, w: sk.mean_absolute_error(y, p, sample_weight=w),
    "rmse": lambda y, p, w: sk.root_mean_squared_error(y, p, sample_weight=w),
    "r2": lambda y, p, w: sk.r2_score(y, p, sample_weight=w),
    "mape": lambda y, p, w: sk.mean_absolute_percentage_error(y, p, sample_weight=w),
    "median_ae": lambda y, p, w: sk.median_absolute_error(y, p, sample_weight=w),
    "bias": lambda y, p, w: float(np.average(p - y, weights=w)),
}
WEIGHTINGS = ["none", "whole", "real"]


def weighting(kind: str, rows: int, generator: np.random.Generator) -> Array | None:
    if kind == "none":
        return None
    return generator.integers(0, 4, rows).astype(float) if kind == "whole" else generator.exponential(size=rows)


@pytest.mark.parametrize("decimals", [1, 2, 9])
@pytest.mark.parametrize("kind", WEIGHTINGS)
@pytest.mark.parametrize("name", BINARY)
def test_a_binary_metric_equals_scikit_learns(name: str, kind: str, decimals: int) -> None:
    """Few decimals make many ties."""
    generator = np.random.default_rng(decimals)
    for rows in (11, 400):
        labels = np.array([0, 1, *generator.integers(0, 2, rows)])
        scores = np.clip(np.round(generator.normal(0.4 + 0.2 * labels, 0.2), decimals), 0, 1)
        weights = weighting(kind, len(labels), generator)
        found = measure(name, labels, scores, weights=weights, task="binary").value
        assert found == pytest.approx(BINARY[name](labels, scores, weights), abs=1e-9)


@pytest.mark.parametrize("kind", WEIGHTINGS)
@pytest.mark.parametrize("name", MULTICLASS)
def test_a_multiclass_metric_equals_scikit_learns(name: str, kind: str) -> None:
    generator = np.random.default_rng(5)
    labels = np.array([0, 1, 2, 3, *generator.integers(0, 4, 300)])
    scores = generator.dirichlet(np.ones(4), len(labels)) + np.eye(4)[labels]
    scores /= scores.sum(axis=1, keepdims=True)
    weights = weighting(kind, len(labels), generator)
    found = measure(name, labels, scores, weights=weights).value
    assert found == pytest.approx(MULTICLASS[name](labels, scores, weights), abs=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e5])
@pytest.mark.parametrize("kind", WEIGHTINGS)
@pytest.mark.parametrize("name", REGRESSION)
def test_a_regression_metric_equals_scikit_learns(name: str, kind: str, offset: float) -> None:
    generator = np.random.default_rng(6)
    for rows in (7, 300, 301):
        labels = generator.normal(size=rows) + offset
        scores = labels + generator.normal(0.1, 0.3, size=rows)
        weights = weighting(kind, rows, generator)
        found = measure(name, labels, scores, weights=weights).value
        assert found == pytest.approx(REGRESSION[name](labels, scores, weights), abs=1e-9, rel=1e-9)


def test_every_metric_is_checked_against_scikit_learn() -> None:
    checked = {Task.BINARY: BINARY, Task.MULTICLASS: MULTICLASS, Task.REGRESSION: REGRESSION}
    assert {task: set(metrics_of(task)) for task in Task} == {task: set(table) for task, table in checked.items()}


ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20).map(lambda n: n / 20)), min_size=1, max_size=60)


@given(ROWS, st.randoms(use_true_random=False), st.sampled_from(sorted(BINARY)))
@settings(deadline=None, max_examples=120)
def test_a_binary_metric_is_in_range_and_blind_to_the_order_of_rows(rows: list[Any], shuffler: Any, name: str) -> None:
    def value(pairs: list[Any]) -> float | None:
        return measure(name, [pair[0] for pair in pairs], [pair[1] for pair in pairs], task="binary").value

    found = value(rows)
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    if found is None:
        assert value(shuffled) is None
    else:
        assert METRICS[name].low <= found <= METRICS[name].high
        assert value(shuffled) == pytest.approx(found, abs=1e-12)


NUMBERS = st.lists(st.tuples(*[st.floats(-1e6, 1e6, allow_subnormal=False)] * 2), min_size=1, max_size=40)


@given(NUMBERS, st.sampled_from(sorted(REGRESSION)))
@settings(deadline=None, max_examples=120)
def test_a_regression_metric_is_in_range_and_blind_to_the_order_of_rows(rows: list[Any], name: str) -> None:
    labels, scores = np.array(rows).T
    found = measure(name, labels, scores)
    other = measure(name, labels[::-1], scores[::-1])
    if found.value is None:
        assert found.reason
    else:
        assert METRICS[name].low <= found.value <= METRICS[name].high
        assert other.value == pytest.approx(found.value, rel=1e-6, abs=1e-9)


@given(ROWS)
@settings(deadline=None, max_examples=60)
def test_a_weight_of_two_is_a_row_given_twice(rows: list[Any]) -> None:
    labels, scores = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    for name in BINARY:
        once = measure(name, labels, scores, task="binary", weights=np.where(np.arange(len(rows)) == 0, 2, 1))
        twice = measure(name, [labels[0], *labels], [scores[0], *scores], task="binary")
        assert once.reason == twice.reason
        assert once.value == (None if twice.value is None else pytest.approx(twice.value, abs=1e-12))


@pytest.mark.parametrize("task", list(Task))
def test_a_perfect_model_has_the_best_value_of_every_metric(task: Task) -> None:
    labels: Any = [1.5, 2.5, -3.0] if task is Task.REGRESSION else [0, 1, 1, 0]
    scores: Any = np.eye(2)[labels] if task is Task.MULTICLASS else labels
    for name in metrics_of(task):
        metric = METRICS[name]
        best = metric.high if metric.bigger_is_better else 0.0
        assert measure(name, labels, scores, task=task).value == pytest.approx(best, abs=1e-12), name


@pytest.mark.parametrize(
    ("name", "labels", "scores", "reason"),
    [
        ("roc_auc", [1, 1], [0.2, 0.4], "every label is 1; both 0 and 1 are needed"),
        ("average_precision", [0, 0], [0.2, 0.4], "every label is 0; both 0 and 1 are needed"),
        ("balanced_accuracy", [0], [0.2], "every label is 0; both 0 and 1 are needed"),
        ("recall", [0, 0], [0.2, 0.9], "every label is 0; both 0 and 1 are needed"),
        ("precision", [0, 1], [0.2, 0.4], "no row is predicted 1"),
        ("f1", [0, 0], [0.2, 0.4], "no row is predicted 1 or labelled 1"),
        ("r2", [3.0, 3.0], [2.0, 4.0], "every label is the same, so there is nothing to explain"),
        ("mape", [0.0, 5.0], [2.0, 4.0], "1 labels are 0, and an error relative to 0 is undefined"),
    ],
)
def test_an_undefined_metric_says_why(name: str, labels: Any, scores: Any, reason: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure(name, labels, scores)
    assert (found.value, found.reason) == (None, reason)


def test_a_class_without_rows_leaves_the_area_undefined_and_is_named() -> None:
    scores = np.full((3, 3), 1 / 3)
    found = measure("roc_auc", ["a", "b", "a"], scores, classes=["a", "b", "c"])
    assert (found.value, found.reason) == (None, "no row is labelled 'c'")


NAN = float("nan")


@pytest.mark.parametrize(
    ("labels", "scores", "more", "message"),
    [
        ([], [], {}, "there are no rows"),
        ([0, 1], [0.5], {}, "2 labels and 1 predictions"),
        ([0, 1], [0.5, NAN], {}, "1 of 2 predictions are NaN or infinite, the first at row 1"),
        ([0, NAN], [0.5, 0.5], {}, "1 of 2 labels are NaN or infinite, the first at row 1"),
        ([0, 1], [0.5, 1.5], {"task": "binary"}, "1.5 is not a probability"),
        ([0, 2], [0.5, 0.5], {"task": "binary"}, "2 is not a binary label"),
        ([0, 1], [[0.5, 0.5]] * 2, {"task": "binary"}, "binary predictions have two dimensions"),
        ([0, 1], [0.5, 0.5], {"task": "multiclass"}, "multiclass predictions need a probability for each class"),
        ([0, 1], [[0.5, 0.5]] * 2, {"task": "regression"}, "regression predictions have two dimensions"),
        ([0, 2], [[0.5, 0.5]] * 2, {}, r"2 is not one of the classes \[0, 1\]"),
        ([0, 1], [[0.5, 0.7]] * 2, {}, "the probabilities of row 0 sum to 1.2"),
        ([0, 1], [[0.5, 0.5]] * 2, {"classes": ["a"]}, "1 classes and 2 columns"),
        ([0, 1], ["x", "y"], {}, "a prediction is not a number"),
        ([0, 1], [0.5, 0.5], {"weights": [1]}, "2 labels and 1 weights"),
        ([0, 1], [0.5, 0.5], {"weights": [1, -1]}, "weights are below 0 or all 0"),
        ([0, 1], [0.5, 0.5], {"weights": [0, 0]}, "weights are below 0 or all 0"),
        ([0, 1], [0.5, 0.5], {"keys": ["a"]}, "2 labels and 1 keys"),
        ([[0], [1]], [0.5, 0.5], {}, r"labels of shape \(2, 1\)"),
    ],
)
def test_rows_that_would_turn_into_nonsense_are_refused(labels: Any, scores: Any, more: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        sample(labels, scores, **more)


def test_float32_probabilities_that_round_over_one_are_taken() -> None:
    assert sample([0, 1], [0.0, 1 + 1e-7], task="binary").predictions[1] == 1.0


def test_an_unknown_metric_names_the_closest_and_one_of_another_task_the_choices() -> None:
    with pytest.raises(UsageError, match=r"(?s)no metric 'roc_auk'.*did you mean 'roc_auc'"):
        measure("roc_auk", [0, 1], [0.1, 0.9])
    with pytest.raises(UsageError, match=r"(?s)'roc_auc' is no metric of a regression model.*choose from: mae"):
        measure("roc_auc", [0.5, 1], [0.1, 0.9])
