"""What a fitted model says of rows, quickly: for comparing trials. What is judged and served is the bundle."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loopwright.train.data import TrainingData
from loopwright.transform.predictor import Predictor


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """`scores` are `(rows,)`, of classes beyond two `(rows, classes)`."""

    task: str
    classes: tuple[Any, ...]
    scores: NDArray[np.float64]


def said(model: Any, data: TrainingData, rows: pl.DataFrame) -> Said:
    """Of a scikit-learn model by asking it, of any other by its graph. Raises `DeclarationError` for no model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if hasattr(model, "predict_proba"):
            return _classified(model, data, rows)
        if hasattr(model, "predict") and not hasattr(model, "classes_"):
            values = model.predict(_taken(model, data, rows))
            return Said(task="regression", classes=(), scores=np.asarray(values, dtype=np.float64).ravel())
    from loopwright.transform.export import export  # the converters: most models need none here

    exported = export(model, data.raw.select(column.name for column in data.inputs.columns), data.y)
    predictor = Predictor.from_graph(
        exported.graph.SerializeToString(), data.inputs.columns, exported.task, exported.classes
    )
    return Said(task=exported.task, classes=exported.classes, scores=predictor.run(data.inputs.feed(rows)).scores)


def _classified(model: Any, data: TrainingData, rows: pl.DataFrame) -> Said:
    """By the target's classes, which the model may know as numbers."""
    from loopwright.transform.classes import is_encoded  # scikit-learn: not where all is reused
    from loopwright.transform.exported import target_of

    target = target_of(data.y, None, classifies=True)
    is_encoded(model, target)
    found = np.asarray(model.predict_proba(_taken(model, data, rows)), dtype=np.float64)
    return Said(task=target.task, classes=target.classes, scores=found[:, 1] if target.task == "binary" else found)


def _taken(model: Any, data: TrainingData, rows: pl.DataFrame) -> pl.DataFrame:
    """The columns that the model was fitted on."""
    from loopwright.transform.taken import taken

    return data.inputs.frame(rows).select(taken(model, data.inputs))
