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
    frame = data.inputs.frame(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if hasattr(model, "predict_proba"):
            classes = tuple(np.asarray(model.classes_).tolist())
            found = np.asarray(model.predict_proba(frame), dtype=np.float64)
            binary = len(classes) == 2
            return Said(
                task="binary" if binary else "multiclass", classes=classes, scores=found[:, 1] if binary else found
            )
        if hasattr(model, "predict") and not hasattr(model, "classes_"):
            return Said(
                task="regression", classes=(), scores=np.asarray(model.predict(frame), dtype=np.float64).ravel()
            )
    from loopwright.transform.export import export  # the converters: most models need none here

    exported = export(model, data.raw.select(column.name for column in data.inputs.columns), data.y)
    predictor = Predictor.from_graph(
        exported.graph.SerializeToString(), data.inputs.columns, exported.task, exported.classes
    )
    return Said(task=exported.task, classes=exported.classes, scores=predictor.run(data.inputs.feed(rows)).scores)
