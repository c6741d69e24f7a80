"""Metrics of a sample: the value, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from loopwright.errors import UsageError
from loopwright.judge.additive import ADDITIVE
from loopwright.judge.catalog import Task, find_metric, metrics_of
from loopwright.judge.evaluation import Measured
from loopwright.judge.ranked import RANKED, Weights
from loopwright.judge.sample import Floats, Sample, sample

ONE_THREAD = 1 << 18
"""Multiplications up to which OpenBLAS stays in one thread."""


class Formulas:
    """Several metrics of one sample, for many weightings of its rows at a time.

    `bins` bounds the groups a ranked metric uses, and sums are in single precision; None is exact, in double.
    """

    def __init__(self, sample: Sample, names: Sequence[str], bins: int | None = None) -> None:
        self._names = names
        orders = dict.fromkeys(RANKED[name].order for name in names if name in RANKED)
        self._orders = {order: order(sample, bins) for order in orders}
        asked = {name: ADDITIVE[name].columns for name in names if name in ADDITIVE}
        made = {columns: columns(sample) for columns in dict.fromkeys(asked.values())}
        widths = np.cumsum([1, *(columns.shape[1] for columns in made.values())])
        found = {columns: slice(widths[i], widths[i + 1]) for i, columns in enumerate(made)}
        self._places = {name: found[columns] for name, columns in asked.items()}
        stacked = np.column_stack([np.ones(sample.rows), *made.values()])
        self._columns: NDArray[Any] = stacked if bins is None else stacked.astype(np.float32)

    def __call__(self, weights: Weights) -> Floats:
        """Values `(draws, metrics)` under weights `(draws, rows)`; NaN where undefined."""
        sums = summed(weights, self._columns)
        ordered = {order: found(weights) for order, found in self._orders.items()}
        return np.column_stack(
            [
                RANKED[name].combine(ordered[RANKED[name].order])
                if name in RANKED
                else ADDITIVE[name].combine(sums[:, self._places[name]], sums[:, 0])
                for name in self._names
            ]
        )


def summed(weights: Weights, columns: NDArray[Any]) -> Floats:
    """`weights @ columns`, in products too small for BLAS to spread over threads.

    Its threads wait for one another by spinning: beside other busy processes they made this ten times slower, and
    alone no faster. Summing the pieces in double precision also keeps more digits.
    """
    rows, width = columns.shape
    piece = max(16, ONE_THREAD // (len(weights) * width))
    whole = rows - rows % piece
    left = weights[:, :whole].reshape(len(weights), -1, piece).swapaxes(0, 1)
    right = columns[:whole].reshape(-1, piece, width)
    tail = weights[:, whole:] @ columns[whole:]
    return np.asarray(np.matmul(left, right).sum(axis=0, dtype=np.float64) + tail)


def values(sample: Sample, names: Sequence[str]) -> Floats:
    """Exact values `(metrics,)`; NaN where undefined."""
    return np.asarray(Formulas(sample, names)(sample.weights[None, :])[0])


def why_undefined(name: str, sample: Sample) -> str:
    """Why the metric has no value on these rows, in words."""
    present = sample.labels[sample.weights > 0]
    if name == "mape":
        return f"{int((present == 0).sum())} labels are 0, and an error relative to 0 is undefined"
    if name == "r2":
        return "every label is the same, so there is nothing to explain"
    if name in ("precision", "f1"):
        return "no row is predicted 1" + (" or labelled 1" if name == "f1" else "")
    if sample.task is Task.MULTICLASS:
        seen = set(present.astype(int).tolist())
        missing = [repr(one) for place, one in enumerate(sample.classes) if place not in seen]
        return f"no row is labelled {', '.join(missing)}" if missing else "every row is of one class"
    return f"every label is {present[0]:g}; both 0 and 1 are needed" if len(present) else "no row has weight"


def checked_names(names: Sequence[str] | None, task: Task) -> tuple[str, ...]:
    """The metrics to compute: all of the task's when None.

    Raises `UsageError` for an unknown metric and for one of another task.
    """
    chosen = metrics_of(task) if names is None else tuple(dict.fromkeys(names))
    for name in chosen:
        if task not in find_metric(name).tasks:
            raise UsageError(
                f"{name!r} is no metric of a {task.value} model", fix=f"choose from: {', '.join(metrics_of(task))}"
            )
    return chosen


def measure(
    name: str,
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    task: Task | str | None = None,
    classes: Sequence[object] | None = None,
) -> Measured:
    """One metric of labels `(rows,)` and predictions `(rows,)` or `(rows, classes)`, exact, without an interval.

    An undefined metric is a value without number and with the reason. Raises `UsageError` for an unknown metric, and
    `DataError` as `sample` does.

    >>> measure("roc_auc", [0, 1, 1, 0], [0.1, 0.8, 0.4, 0.4]).value
    0.875
    >>> measure("roc_auc", [1, 1], [0.1, 0.8]).reason
    'every label is 1; both 0 and 1 are needed'
    """
    metric = find_metric(name)
    wanted = task if task is not None or len(metric.tasks) > 1 else metric.tasks[0]
    rows = sample(labels, predictions, task=wanted, weights=weights, classes=classes)
    checked_names([name], rows.task)
    value = float(values(rows, [name])[0])
    if np.isnan(value):
        return Measured(metric=name, reason=why_undefined(name, rows))
    return Measured(metric=name, value=value)
