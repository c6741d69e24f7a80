"""Metrics that are functions of weighted sums over rows: columns to be summed, and what is made of the sums.

One formula serves the value (weights of the rows) and every resample (weights of the resample), many at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopwright.judge.catalog import Task
from loopwright.judge.sample import Floats, Sample

CALIBRATION_BINS = 15
SMALLEST = float(np.finfo(np.float64).eps)
"""Probabilities are held this far from 0 and 1 in a logarithm, as scikit-learn does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Additive:
    """A metric as sums: `columns(sample)` is `(rows, k)`, `combine(sums, total)` makes `(draws, k)` into `(draws,)`."""

    columns: Callable[[Sample], Floats]
    combine: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]


def ratio(over: NDArray[Any], under: NDArray[Any]) -> Floats:
    """Elementwise quotient, NaN where nothing is divided by."""
    found: Floats = np.divide(over, under, out=np.full(np.shape(over), np.nan), where=under > 0)
    return found


def _columns(*columns: NDArray[Any]) -> Floats:
    return np.asarray(np.column_stack(columns), dtype=np.float64)


def _mean(sums: NDArray[Any], total: NDArray[Any]) -> NDArray[Any]:
    return ratio(sums[:, 0], total)


def _log_loss(sample: Sample) -> Floats:
    if sample.task is Task.BINARY:
        right = np.where(sample.labels == 1, sample.predictions, 1 - sample.predictions)
    else:
        right = sample.predictions[np.arange(sample.rows), sample.labels.astype(np.intp)]
    return _columns(-np.log(np.clip(right, SMALLEST, 1 - SMALLEST)))


def _predicted(sample: Sample) -> NDArray[Any]:
    """The predicted class: 1 when p > 0.5; the first of the most probable classes."""
    if sample.task is Task.BINARY:
        return np.asarray(sample.predictions > 0.5, dtype=np.float64)
    return np.asarray(sample.predictions.argmax(axis=1), dtype=np.float64)


def _confusion(sample: Sample) -> Floats:
    """True 1, predicted 1, labelled 1, true 0."""
    predicted, labels = _predicted(sample), sample.labels
    return _columns(predicted * labels, predicted, labels, (1 - predicted) * (1 - labels))


def _balanced(sums: NDArray[Any], total: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(ratio(sums[:, 0], sums[:, 2]) + ratio(sums[:, 3], total - sums[:, 2])) / 2


def _calibration(sample: Sample) -> Floats:
    """One column a bin [i/15, (i+1)/15) of p (the last one closed): label - p of the rows in it."""
    bins = np.minimum((sample.predictions * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    columns = np.zeros((sample.rows, CALIBRATION_BINS))
    columns[np.arange(sample.rows), bins] = sample.labels - sample.predictions
    return columns


def _per_class(sample: Sample) -> Floats:
    """For each class: right, predicted, labelled."""
    classes = np.arange(sample.predictions.shape[1])
    predicted = _predicted(sample)[:, None] == classes
    labelled = sample.labels[:, None] == classes
    return _columns(predicted & labelled, predicted, labelled)


def _macro_f1(sums: NDArray[Any], _: NDArray[Any]) -> NDArray[Any]:
    right, predicted, labelled = np.split(sums, 3, axis=1)
    scores = ratio(2 * right, predicted + labelled)
    return ratio(np.nansum(scores, axis=1), np.isfinite(scores).sum(axis=1))


def _error(sample: Sample) -> Floats:
    return sample.predictions - sample.labels


def _r2(sample: Sample) -> Floats:
    """Squared error, label and its square; about the mean label, so that no digits are lost."""
    centred = sample.labels - np.average(sample.labels)
    return _columns(_error(sample) ** 2, centred, centred**2)


def _r2_of(sums: NDArray[Any], total: NDArray[Any]) -> NDArray[Any]:
    spread = sums[:, 2] - ratio(sums[:, 1] ** 2, total)
    return np.asarray(1 - ratio(sums[:, 0], np.where(spread > 1e-12 * sums[:, 2], spread, 0)))


def _relative(sample: Sample) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shares = np.abs(_error(sample)) / np.abs(sample.labels)
    return _columns(np.where(sample.labels == 0, np.nan, shares))


ADDITIVE: dict[str, Additive] = {
    "log_loss": Additive(columns=_log_loss, combine=_mean),
    "brier": Additive(columns=lambda s: _columns(_error(s) ** 2), combine=_mean),
    "accuracy": Additive(columns=lambda s: _columns(_predicted(s) == s.labels), combine=_mean),
    "balanced_accuracy": Additive(columns=_confusion, combine=_balanced),
    "precision": Additive(columns=_confusion, combine=lambda s, _: ratio(s[:, 0], s[:, 1])),
    "recall": Additive(columns=_confusion, combine=lambda s, _: ratio(s[:, 0], s[:, 2])),
    "f1": Additive(columns=_confusion, combine=lambda s, _: ratio(2 * s[:, 0], s[:, 1] + s[:, 2])),
    "calibration_error": Additive(columns=_calibration, combine=lambda s, n: ratio(np.abs(s).sum(axis=1), n)),
    "macro_f1": Additive(columns=_per_class, combine=_macro_f1),
    "mae": Additive(columns=lambda s: _columns(np.abs(_error(s))), combine=_mean),
    "rmse": Additive(columns=lambda s: _columns(_error(s) ** 2), combine=lambda s, n: np.sqrt(_mean(s, n))),
    "r2": Additive(columns=_r2, combine=_r2_of),
    "mape": Additive(columns=_relative, combine=_mean),
    "bias": Additive(columns=lambda s: _columns(_error(s)), combine=_mean),
}
"""The metrics that are sums, by name; the others are in `ranked.py`."""
