"""Labels and predictions of the same rows, checked once: what every formula is computed on.

Everything that would turn into a silent NaN later is refused here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from loopwright.errors import DataError
from loopwright.judge.catalog import Task

Floats = NDArray[np.float64]
ROUNDING = 1e-6
"""How far a float32 probability may lie outside 0 to 1; it is then held to the range."""
SUM_ROUNDING = 1e-3
"""How far a row's float32 probabilities may sum from 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Rows that were predicted and labelled. Made by `sample`, which checks; the arrays are not copied again."""

    task: Task
    labels: Floats
    """`(rows,)`: 0 or 1; the class's position; or a number."""
    predictions: Floats
    """`(rows,)`, or `(rows, classes)` for multiclass."""
    weights: Floats
    """`(rows,)`, mean 1 over the rows first given."""
    classes: tuple[object, ...] = ()
    keys: NDArray[Any] | None = None
    """What tells the rows apart, where known: two samples are compared only on equal keys."""
    groups: NDArray[np.intp] | None = None
    """`(rows,)`: rows of one number depend on one another, and are resampled together; from 0."""

    @property
    def rows(self) -> int:
        return len(self.labels)

    @property
    def positives(self) -> int | None:
        """Rows labelled 1; None unless binary."""
        return int(np.count_nonzero(self.labels)) if self.task is Task.BINARY else None

    def take(self, rows: NDArray[np.intp]) -> Sample:
        """The rows at these positions, as a sample of its own."""
        return Sample(
            task=self.task,
            labels=self.labels[rows],
            predictions=self.predictions[rows],
            weights=self.weights[rows],
            classes=self.classes,
            groups=None if self.groups is None else np.unique(self.groups[rows], return_inverse=True)[1],
        )


def sample(
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    task: Task | str | None = None,
    weights: ArrayLike | None = None,
    classes: Sequence[object] | None = None,
    keys: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Sample:
    """Check labels `(rows,)` and predictions `(rows,)` or `(rows, classes)` and hold them together.

    `task` is told from the predictions' shape and the labels when None: two dimensions are multiclass, labels all
    0 or 1 with predictions all from 0 to 1 are binary, else regression. `classes` names the columns of multiclass
    predictions, in order (default 0, 1, 2, ...). Labels must be there: rows whose label has not arrived are left out
    before. Weights are scaled to mean 1. Rows with the same value in `groups` `(rows,)`, a customer say, depend on one
    another: intervals are then as wide as so many groups deserve, and not so many rows.

    Raises `DataError` for no rows, lengths that differ, NaN or infinite values, labels that do not fit the task,
    and probabilities out of range.

    >>> sample([0, 1, 1], [0.2, 0.7, 0.4]).positives
    2
    >>> sample([0, 1], [0.2])
    Traceback (most recent call last):
    loopwright.errors.DataError: 2 labels and 1 predictions
      to do: give one prediction for each label, in the same order
    """
    predicted = _numbers(predictions, "prediction")
    given = np.asarray(labels)
    if given.ndim != 1 or predicted.ndim not in (1, 2):
        raise DataError(
            f"labels of shape {given.shape} and predictions of shape {predicted.shape}",
            fix="give labels (rows,) and predictions (rows,) or (rows, classes)",
        )
    _same_length(given, predicted, "predictions", "give one prediction for each label, in the same order")
    if not len(given):
        raise DataError("there are no rows", fix="judge on rows whose label has arrived")
    chosen = Task(task) if task is not None else _guess(given, predicted)
    checked = {Task.BINARY: _binary, Task.REGRESSION: _regression}
    if chosen is Task.MULTICLASS:
        found, predicted = _multiclass(given, predicted, classes)
    else:
        found, predicted = checked[chosen](given, predicted)
    names = tuple(classes if classes is not None else range(predicted.shape[1])) if predicted.ndim == 2 else ()
    return Sample(
        task=chosen,
        labels=found,
        predictions=predicted,
        weights=_weights(weights, given),
        classes=names,
        keys=_keys(keys, given),
        groups=_groups(groups, given),
    )


def _numbers(values: ArrayLike, what: str) -> Floats:
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"a {what} is not a number", fix=f"give each {what} as a number") from None
    bad = ~np.isfinite(found)
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        raise DataError(
            f"{int(bad.sum())} of {found.size} {what}s are NaN or infinite, the first at row {row}",
            fix=f"leave out rows that have no {what}",
        )
    return found


def _same_length(labels: NDArray[Any], other: NDArray[Any], what: str, fix: str) -> None:
    if len(labels) != len(other):
        raise DataError(f"{len(labels)} labels and {len(other)} {what}", fix=fix)


def _guess(labels: NDArray[Any], predictions: Floats) -> Task:
    if predictions.ndim == 2:
        return Task.MULTICLASS
    numbers = _numbers(labels, "label")
    is_binary = np.isin(numbers, (0, 1)).all() and predictions.min() >= 0 and predictions.max() <= 1
    return Task.BINARY if is_binary else Task.REGRESSION


def _binary(labels: NDArray[Any], predictions: Floats) -> tuple[Floats, Floats]:
    if predictions.ndim == 2:
        raise DataError("binary predictions have two dimensions", fix="give the probability of 1: predictions[:, 1]")
    numbers = _numbers(labels, "label")
    wrong = ~np.isin(numbers, (0, 1))
    if wrong.any():
        raise DataError(f"{numbers[wrong][0]:g} is not a binary label", fix="write labels as 0 and 1")
    return numbers, _probabilities(predictions)


def _regression(labels: NDArray[Any], predictions: Floats) -> tuple[Floats, Floats]:
    if predictions.ndim == 2:
        raise DataError("regression predictions have two dimensions", fix="give one number a row")
    return _numbers(labels, "label"), predictions


def _multiclass(labels: NDArray[Any], predictions: Floats, classes: Sequence[object] | None) -> tuple[Floats, Floats]:
    if predictions.ndim == 1 or predictions.shape[1] < 2:
        raise DataError("multiclass predictions need a probability for each class", fix="give (rows, classes)")
    names = list(classes) if classes is not None else list(range(predictions.shape[1]))
    if len(names) != predictions.shape[1]:
        raise DataError(f"{len(names)} classes and {predictions.shape[1]} columns", fix="name one class a column")
    sums = predictions.sum(axis=1)
    if np.abs(sums - 1).max() > SUM_ROUNDING:
        row = int(np.abs(sums - 1).argmax())
        raise DataError(f"the probabilities of row {row} sum to {sums[row]:g}", fix="give probabilities that sum to 1")
    positions = {name: position for position, name in enumerate(names)}
    unknown = [label for label in labels.tolist() if label not in positions]
    if unknown:
        raise DataError(f"{unknown[0]!r} is not one of the classes {names!r}", fix="name every class in classes=")
    found = np.array([positions[label] for label in labels.tolist()], dtype=np.float64)
    return found, _probabilities(predictions)


def _probabilities(predictions: Floats) -> Floats:
    low, high = float(predictions.min()), float(predictions.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        wrong = low if low < 0 else high
        raise DataError(f"{wrong:g} is not a probability", fix="give probabilities from 0 to 1, not margins or logits")
    return np.clip(predictions, 0.0, 1.0)


def _weights(weights: ArrayLike | None, labels: NDArray[Any]) -> Floats:
    if weights is None:
        return np.ones(len(labels))
    found = _numbers(weights, "weight")
    _same_length(labels, found, "weights", "give one weight for each label")
    if found.min() < 0 or not found.sum() > 0:
        raise DataError("weights are below 0 or all 0", fix="give weights of 0 or more, some above 0")
    return np.asarray(found / found.mean(), dtype=np.float64)


def _groups(groups: ArrayLike | None, labels: NDArray[Any]) -> NDArray[np.intp] | None:
    if groups is None:
        return None
    found = np.asarray(groups)
    _same_length(labels, found, "groups", "give one group for each label")
    return np.unique(found, return_inverse=True)[1]


def _keys(keys: ArrayLike | None, labels: NDArray[Any]) -> NDArray[Any] | None:
    if keys is None:
        return None
    found = np.asarray(keys)
    _same_length(labels, found, "keys", "give one key for each label")
    return found
