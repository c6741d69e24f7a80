"""Labelled rows scored by a bundle: what every metric of a loop is computed on. Never by the Python model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loopwright.errors import DataError, DeclarationError
from loopwright.judge.catalog import Task
from loopwright.judge.declare import Judge
from loopwright.judge.sample import Sample, sample
from loopwright.transform.predictor import Predictor
from loopwright.transform.scoring import score


def scored(
    predictor: Predictor, rows: pl.DataFrame, label: str, weight: str | None = None, group: Sequence[str] = ()
) -> Sample:
    """The rows, all labelled, with the bundle's scores; rows with the same values in `group` depend on one another.

    Raises `SchemaMismatch` for rows that lack a column, `DataError` for a label that the bundle does not know.
    """
    scores = np.concatenate([found.scores for found in score(predictor, [rows])])
    return sampled(predictor.task, predictor.classes, rows, scores, label, weight, group)


def sampled(
    task: str,
    classes: Sequence[object],
    rows: pl.DataFrame,
    scores: NDArray[np.float64],
    label: str,
    weight: str | None = None,
    group: Sequence[str] = (),
) -> Sample:
    """Scores of whatever made them: of a binary model the probability of its second class."""
    weights = None if weight is None else rows[weight].cast(pl.Float64).to_numpy()
    groups = rows.select(pl.struct(group).rank("dense")).to_series().to_numpy() if group else None
    labels = rows[label]
    if task == "regression":
        return sample(labels.cast(pl.Float64).to_numpy(), scores, task=Task.REGRESSION, weights=weights, groups=groups)
    unknown = set(labels.unique().to_list()) - set(classes)
    if unknown:
        raise DataError(
            f"held-out rows have the label {min(unknown, key=str)!r}, which no training row has",
            where=f"column {label!r}",
            fix="train on a span that holds every label, or split otherwise",
        )
    if task == "binary":
        is_second = (labels == classes[1]).cast(pl.Float64).to_numpy()
        return sample(is_second, scores, task=Task.BINARY, weights=weights, groups=groups)
    return sample(
        labels.to_numpy(), scores, task=Task.MULTICLASS, weights=weights, classes=list(classes), groups=groups
    )


def refuse_other_task(judge: Judge, task: str) -> None:
    """Raises `DeclarationError` when what is asked cannot be measured of such a model."""
    if Task(task) not in judge.tasks:
        right = " or ".join(one.value for one in judge.tasks)
        raise DeclarationError(
            f"{judge.metric} and the gates are for {right} models, and train() returned a {task} one",
            where=f"Judge({judge.metric!r})",
            fix="return another model, or name other metrics",
        )
