"""What an export is: one graph, the Python model it must agree with, and what the target says of the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import onnx

from loopwright.errors import DataError, DeclarationError, did_you_mean
from loopwright.transform.inputs import Array, Inputs

Task: TypeAlias = Literal["binary", "multiclass", "regression"]
Label: TypeAlias = str | int | bool
Model: TypeAlias = Any
"""Has `predict(matrix)` and, for a classifier, `predict_proba(matrix)`; scikit-learn has no types."""

_ASIDE = "drop the rows without a label in the step before train()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The graph, and the Python model it must agree with.

    `transform` is the fitted transform as given (None: the columns side by side), and `estimator` the fitted model as
    given, which takes what `transform` makes of the columns `taken`. Where `reads_graph`, it takes what
    `transform_graph` makes of them: a module, and a model that was fitted again there. `by_name` says whether columns
    go in as a frame or as an array. For an ONNX graph `transform_graph` is None, and `estimator`, which runs the graph
    itself, takes the rows. `classes` is empty for regression.
    """

    graph: onnx.ModelProto
    inputs: Inputs
    task: Task
    classes: tuple[Label, ...]
    transform: Model | None
    transform_graph: onnx.ModelProto | None
    estimator: Model
    taken: tuple[str, ...] = ()
    by_name: bool = True
    reads_graph: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The labels of the training rows, shape (rows,), and the task they make. Numbers have no classes."""

    values: Array
    task: Task
    classes: tuple[Label, ...]


def target_of(target: object, task: str | None, *, classifies: bool | None = None) -> Target:
    """The target as the task has it: labels are bool, int or str, numbers are float64.

    `classifies` is what the model is, where that is known; otherwise fractions mean regression, all else classes.
    Raises `DataError` for labels that are missing, mixed or all the same; `DeclarationError` when `task` is another.
    """
    if task is not None and task not in get_args(Task):
        raise DeclarationError(f"{task!r} is no task", where="task=", fix=did_you_mean(task, get_args(Task)))
    flat = _flat(target)
    if classifies is None:
        classifies = flat.dtype.kind != "f" if task is None else task != "regression"
    if not classifies:
        return _agreed(Target(values=_numbers(flat), task="regression", classes=()), task)
    values = _labels(flat)
    classes = tuple(sorted(set(values.tolist())))
    if len(classes) < 2:
        raise DataError(
            f"every training row has the same label: {classes[0]!r}",
            where="the target",
            fix="train on a span that holds rows of two classes at least",
        )
    return _agreed(Target(values=values, task="binary" if len(classes) == 2 else "multiclass", classes=classes), task)


def _agreed(target: Target, asked: str | None) -> Target:
    if asked is None or asked == target.task:
        return target
    told = f"{len(target.classes)} classes" if target.classes else "numbers"
    raise DeclarationError(
        f"the task is {asked}, but the model and its target make {target.task} ({told})",
        where="task=",
        fix=f"ask for {target.task}, or return a model for {asked}",
    )


def _flat(target: object) -> Array:
    values = np.asarray(target)
    if values.dtype.kind in "US":
        values = np.asarray(target, dtype=object)  # NumPy would make words of True and of 1 beside words
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or not len(values):
        raise DataError(
            f"the target has the shape {values.shape}", where="the target", fix="give one label a row, and some rows"
        )
    return values


def _numbers(values: Array) -> Array:
    try:
        found = values.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"the model predicts numbers, but the target is {values.dtype}: {values[0]!r}",
            where="the target",
            fix="return a classifier, or give numbers",
        ) from None
    if not np.isfinite(found).all():
        raise DataError("the target holds numbers that are missing or infinite", where="the target", fix=_ASIDE)
    return found


def _labels(values: Array) -> Array:
    if values.dtype.kind == "f":
        return _whole(values)
    if values.dtype.kind in "biu":
        return values
    cells = values.tolist()
    if any(cell is None or cell != cell for cell in cells):
        raise DataError("some labels are missing", where="the target", fix=_ASIDE)
    for kind, dtype in ((str, object), (bool, bool), (int, np.int64)):
        if all(type(cell) is kind for cell in cells):
            return np.asarray(cells, dtype=dtype)
    kinds = sorted({type(cell).__name__ for cell in cells})
    raise DataError(
        f"the labels are of the types {', '.join(kinds)}", where="the target", fix="make all of them bool, int or str"
    )


def _whole(values: Array) -> Array:
    """Labels that became floats on their way are integers again."""
    if np.isnan(values).any():
        raise DataError("some labels are missing", where="the target", fix=_ASIDE)
    if not (values == np.floor(values)).all():
        broken = values[values != np.floor(values)][0]
        raise DataError(
            f"the model predicts classes, but the target holds fractions such as {broken}",
            where="the target",
            fix="return a regressor, or make classes of the numbers",
        )
    return values.astype(np.int64)
