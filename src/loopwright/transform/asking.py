"""The Python model asked about rows: its probabilities or values, its labels, and which rows it refuses.

It is asked as whoever made it would: with the columns that it was fitted on, through its own transform. Where the
export stands on a model that was fitted again, or on a module, it is asked with what the graph makes of the rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from loopwright.errors import ParityFailed
from loopwright.transform.assembly import matrix_of
from loopwright.transform.exported import Exported
from loopwright.transform.inputs import Array

MOST_CALLS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`kept` has one entry a row asked, the others one a row kept."""

    kept: Array
    predictions: Array
    labels: list[Any]
    differs: Array


class Asking:
    """Asks the Python model about frames of rows, by halves where it refuses, until the refused rows stand alone."""

    def __init__(self, exported: Exported) -> None:
        self.exported = exported
        self.calls = 0

    def __call__(self, frame: pl.DataFrame, refused: Array | None = None) -> Answer:
        """`refused` are rows known to be refused: asking about each alone would take long where they are many."""
        ask = np.ones(len(frame), dtype=bool) if refused is None else ~refused
        self.calls = 0
        parts = list(self._asked(frame.filter(pl.Series(ask)))) if ask.any() else []
        kept = np.zeros(len(frame), dtype=bool)
        kept[ask] = np.concatenate([part.kept for part in parts]) if parts else False
        width = len(self.exported.classes) or 1
        return Answer(
            kept=kept,
            predictions=np.concatenate([np.empty((0, width)), *(part.predictions for part in parts)]),
            labels=[label for part in parts for label in part.labels],
            differs=np.concatenate([np.empty(0), *(part.differs for part in parts)]),
        )

    def _asked(self, frame: pl.DataFrame) -> Iterator[Answer]:
        """Beyond `MOST_CALLS`, what still holds a refused row is left out whole."""
        self.calls += 1
        try:
            yield self._answer(frame)
        except ValueError:
            if len(frame) > 1 and self.calls < MOST_CALLS:
                half = len(frame) // 2
                yield from self._asked(frame[:half])
                yield from self._asked(frame[half:])
            else:
                width = len(self.exported.classes) or 1
                none = np.zeros(len(frame), dtype=bool)
                yield Answer(kept=none, predictions=np.empty((0, width)), labels=[], differs=np.empty(0))

    def _answer(self, frame: pl.DataFrame) -> Answer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matrix, differs = _transformed(self.exported, frame)
            found, labels = _predicted(self.exported, matrix)
        kept = np.asarray(np.isfinite(found).all(axis=1))
        return Answer(
            kept=kept,
            predictions=found[kept],
            labels=labels[kept].tolist() if labels is not None else [],
            differs=differs[kept],
        )


def _transformed(exported: Exported, frame: pl.DataFrame) -> tuple[Any, Array]:
    """What the estimator takes, and how far Python's transform is from the graph's in each row, where that is taken."""
    none = np.zeros(len(frame))
    if exported.transform_graph is None:
        return frame, none
    given = frame.select(exported.taken)
    rows = given if exported.by_name else given.to_numpy()
    python = rows if exported.transform is None else exported.transform.transform(rows)
    if not exported.reads_graph:
        return python, none
    matrix = matrix_of(exported.transform_graph, exported.inputs, exported.inputs.feed(frame))
    return matrix, _gaps(np.asarray(python.toarray() if hasattr(python, "toarray") else python, np.float64), matrix)


def _gaps(python: Array, matrix: Array) -> Array:
    """Of each row, relative to the value."""
    if python.shape != matrix.shape:
        raise ParityFailed(
            f"the transform gives {python.shape[1]} columns in Python and {matrix.shape[1]} in the graph",
            where="parity",
            fix="leave out the transformer whose columns are lost",
        )
    same = (np.isnan(python) & np.isnan(matrix)) | (python == matrix)
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(same, 0, np.abs(python - matrix) / np.maximum(1, np.abs(python)))
    return np.asarray(np.nan_to_num(gap, nan=np.inf).max(axis=1))


def _predicted(exported: Exported, matrix: Any) -> tuple[Array, Array | None]:
    if exported.task == "regression":
        return np.asarray(exported.estimator.predict(matrix), dtype=np.float64).reshape(-1, 1), None
    found = np.asarray(exported.estimator.predict_proba(matrix), dtype=np.float64)
    return found, _named(exported, np.asarray(exported.estimator.predict(matrix)).ravel())


def _named(exported: Exported, labels: Array) -> Array:
    """The model's labels as the target's, by their place: it may know them as numbers."""
    known = getattr(exported.estimator, "classes_", None)
    return labels if known is None else np.asarray(exported.classes)[np.searchsorted(known, labels)]
