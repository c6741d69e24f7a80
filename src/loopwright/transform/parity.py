"""The graph against the Python model, on held-out rows and on rows at the edge. What differs is a stop.

What must hold: labels equal (unless Python's two best classes lie within the tolerance of one another), probabilities
within 1e-5, values within 1e-4 of themselves or 1e-5 of their spread: float32 keeps 7 digits, sums of trees and terms
lose some. The transform, whose rounding the model was fitted on, must agree within 1e-3 of the value.
Rows that the Python model itself refuses (a missing value without an imputer) are counted and not compared.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from loopwright.errors import UsageError
from loopwright.transform.export import Exported, session
from loopwright.transform.inputs import Array, Column, Frame, Inputs, Kind

PROBABILITY = 1e-5
RELATIVE, OF_SPREAD = 1e-4, 1e-5
TRANSFORM = 1e-3
SHOWN = 5
_TIMES = [
    datetime(1600, 2, 29, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
    datetime(2400, 2, 29, tzinfo=UTC),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """`worst` is the largest difference of a probability or value, `worst_transform` the transform's (relative)."""

    rows: int
    edge_rows: int
    refused: int
    labels_differ: int
    worst: float
    worst_transform: float
    refuses_missing: tuple[str, ...]


def check_parity(exported: Exported, rows: Frame) -> ParityReport:
    """Compare graph and Python on held-out `rows` and edge rows made from them.

    Raises `UsageError` with the worst rows when they differ beyond the tolerance, or nothing could be compared.
    """
    held, (edges, missing) = exported.inputs.frame(rows), edge_rows(exported.inputs, rows)
    frame = pl.concat([held, edges])
    matrix = np.asarray(_run(exported.transform_graph, exported.inputs, frame, raw=True)[0], dtype=np.float32)
    kept = _accepted(exported, frame, matrix)
    if not kept[: len(held)].any():
        raise UsageError(
            "the Python model refuses every held-out row", where="parity", fix="impute missing values first"
        )
    frame, matrix = frame.filter(pl.Series(kept)), matrix[kept]
    found = _run(exported.graph, exported.inputs, frame, raw=False)
    transform = _transform_gap(exported, frame, matrix)
    gap, allowed, differ = _gaps(exported, matrix, found)
    _stop_if_worse(frame, gap, allowed, differ, transform)
    return ParityReport(
        rows=len(held),
        edge_rows=len(edges),
        refused=int((~kept).sum()),
        labels_differ=int(differ.sum()),
        worst=float(gap.max()),
        worst_transform=float(transform.max()),
        refuses_missing=tuple(name for name, at in missing.items() if not kept[len(held) + at]),
    )


def edge_rows(inputs: Inputs, rows: Frame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Each column missing, unseen and extreme one at a time, all missing at once; and where each is missing."""
    frame = inputs.frame(rows)
    first = frame.head(1)
    found: list[pl.DataFrame] = []
    missing: dict[str, int] = {}
    for column in inputs.columns:
        missing[column.name] = len(found)
        kind = frame.schema[column.name]
        values = _edges(frame[column.name], column)
        found += [first.with_columns(pl.Series(column.name, [value], dtype=kind)) for value in values]
    found.append(pl.DataFrame({one.name: [_missing(one)] for one in inputs.columns}, schema=frame.schema))
    return pl.concat(found), missing


def _missing(column: Column) -> object:
    return {Kind.STRING: "", Kind.NUMBER: float("nan"), Kind.TIME: None}[column.kind]


def _edges(series: pl.Series, column: Column) -> list[Any]:
    """The missing value first."""
    if column.kind is Kind.STRING:
        return ["", "never seen \u2603", "x" * 300, " "]
    if column.kind is Kind.TIME:
        return [None, *_TIMES]
    known = series.drop_nans()
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)  # type: ignore[arg-type]
    spread = 1000 * (high - low or 1.0)
    return [float("nan"), low, high, low - spread, high + spread, 0.0, -0.0]


def _run(graph: Any, inputs: Inputs, frame: pl.DataFrame, *, raw: bool) -> list[Array]:
    feed, running = inputs.feed(frame), session(graph)
    named = {column.name if raw else column.input: feed[column.input] for column in inputs.columns}
    given = {one.name for one in running.get_inputs()}
    return [np.asarray(one) for one in running.run(None, {name: named[name] for name in given})]


def _python_transform(exported: Exported, frame: pl.DataFrame) -> Array:
    if exported.transform is None:
        return frame.to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = exported.transform.transform(frame)
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found, dtype=np.float64)


def _python(exported: Exported, matrix: Array) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exported.task == "regression":
            return np.asarray(exported.estimator.predict(matrix), dtype=np.float64).reshape(-1, 1)
        return np.asarray(exported.estimator.predict_proba(matrix), dtype=np.float64)


def _accepted(exported: Exported, frame: pl.DataFrame, matrix: Array) -> Array:
    """Which rows the Python model takes, by halving until the refused ones stand alone."""
    try:
        _python_transform(exported, frame)
        _python(exported, matrix)
    except ValueError:
        if len(frame) == 1:
            return np.array([False])
        half = len(frame) // 2
        parts = [(frame[:half], matrix[:half]), (frame[half:], matrix[half:])]
        return np.concatenate([_accepted(exported, *part) for part in parts])
    return np.ones(len(frame), dtype=bool)


def _transform_gap(exported: Exported, frame: pl.DataFrame, matrix: Array) -> Array:
    python = _python_transform(exported, frame)
    if python.shape != matrix.shape:
        raise UsageError(
            f"the transform gives {python.shape[1]} columns in Python and {matrix.shape[1]} in the graph",
            where="parity",
            fix="leave out the transformer whose columns are lost",
        )
    same = (np.isnan(python) & np.isnan(matrix)) | (python == matrix)
    gap = np.where(same, 0, np.abs(python - matrix) / np.maximum(1, np.abs(python)))
    return np.asarray(np.nan_to_num(gap, nan=np.inf).max(axis=1))


def _gaps(exported: Exported, matrix: Array, found: list[Array]) -> tuple[Array, Array, Array]:
    """The difference, the difference allowed, and whether the label differs, of each row."""
    python = _python(exported, matrix)
    if exported.task == "regression":
        gap = np.abs(python[:, 0] - found[0])
        allowed = RELATIVE * np.abs(python[:, 0]) + OF_SPREAD * float(np.std(python))
        return np.nan_to_num(gap, nan=np.inf), allowed, np.zeros(len(gap), dtype=bool)
    gap = np.nan_to_num(np.abs(python - found[1]).max(axis=1), nan=np.inf)
    best = np.sort(python, axis=1)
    clear = best[:, -1] - best[:, -2] > 2 * PROBABILITY
    differ = clear & (np.asarray(exported.estimator.predict(matrix)).ravel().astype(object) != found[0].astype(object))
    return gap, np.full(len(gap), PROBABILITY), np.asarray(differ)


def _stop_if_worse(frame: pl.DataFrame, gap: Array, allowed: Array, differ: Array, transform: Array) -> None:
    wrong = (gap > allowed) | differ | (transform > TRANSFORM)
    if not wrong.any():
        return
    worst = np.argsort(np.where(wrong, np.maximum(gap, transform), -1))[::-1][: min(SHOWN, int(wrong.sum()))]
    table = frame[worst.tolist()].with_columns(
        pl.Series("difference", gap[worst]),
        pl.Series("allowed", allowed[worst]),
        pl.Series("label differs", differ[worst]),
        pl.Series("transform differs by", transform[worst]),
    )
    with pl.Config(tbl_width_chars=400, tbl_cols=12, tbl_rows=SHOWN, tbl_hide_dataframe_shape=True, fmt_str_lengths=20):
        raise UsageError(
            f"the graph and the Python model differ on {int(wrong.sum())} of {len(frame)} rows; the worst:\n{table}",
            where="parity",
            fix="nothing was written: leave out the part whose graph is wrong, or report it with these rows",
        )
