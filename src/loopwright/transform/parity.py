"""The graph against the Python model, on held-out rows and on rows at the edge. What differs is a stop.

What must hold: labels equal (unless Python's two best classes lie within the tolerance of one another), probabilities
within 1e-5, values within 1e-4 of themselves or 1e-5 of their spread: float32 keeps 7 digits, sums of trees and terms
lose some. Where the export stands on the user's own model, the whole of it answers, its transform included. Where it
stands on a module, or on a model that was fitted again on the graph's own features, the transform alone must agree
besides, within 1e-3 of the value: a wrong transform is looked for there, not rounding.

Rows that the Python model refuses (a missing value without an imputer), or answers with no finite number, are counted
and not compared. Python's answers are plain values, so that a pipeline can keep them without pickle.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import onnx
import polars as pl

from loopwright.errors import ParityFailed
from loopwright.transform.asking import Asking
from loopwright.transform.assembly import session
from loopwright.transform.exported import Exported, Label
from loopwright.transform.graphs import RUNTIME_ERRORS
from loopwright.transform.inputs import Array, Column, Frame, Inputs, Kind
from loopwright.transform.pieces import run, splits

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
class Answers:
    """What the Python model says of the rows it takes: of `held_rows` held-out and `edge_rows` made ones, all but
    `refused`. `rows` is as `Inputs.frame` gives it, the first `held_taken` of them held-out; `predictions`, float64,
    has the shape (rows, classes) or (rows, 1).

    `labels` is None for regression; `transform_differs` is the transform's largest relative difference in each row;
    `refuses_missing` names the columns that must not be missing.
    """

    rows: pl.DataFrame
    held_rows: int
    held_taken: int
    edge_rows: int
    refused: int
    refuses_missing: tuple[str, ...]
    predictions: Array
    labels: Array | None
    transform_differs: Array


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


def answers(exported: Exported, rows: Frame, *, most_rows: int = 20_000, seed: int = 0) -> Answers:
    """Ask the Python model about held-out `rows`, a sample where there are more, and about edge rows made from them.

    Raises `ParityFailed` when it refuses every held-out row.
    """
    held = exported.inputs.frame(rows)
    if len(held) > most_rows:
        drawn = np.random.default_rng(seed).choice(len(held), most_rows, replace=False)
        held = held[np.sort(drawn).tolist()]
    edges, missing = edge_rows(exported.inputs, held)
    ask = Asking(exported)
    at_edges = ask(edges)
    refuses = [name for name, at in missing.items() if not at_edges.kept[at]]
    at_held = ask(held, _lacks(exported.inputs, held, refuses))
    if not at_held.kept.any():
        raise ParityFailed(
            f"the Python model refuses each of the {len(held)} rows",
            where="parity",
            fix="impute missing values, and let encoders take unknown categories (handle_unknown=)",
        )
    kept = np.concatenate([at_held.kept, at_edges.kept])
    return Answers(
        rows=pl.concat([held, edges]).filter(pl.Series(kept)),
        held_rows=len(held),
        held_taken=int(at_held.kept.sum()),
        edge_rows=len(edges),
        refused=int((~kept).sum()),
        refuses_missing=tuple(refuses),
        predictions=np.concatenate([at_held.predictions, at_edges.predictions]),
        labels=_plain([*at_held.labels, *at_edges.labels]) if exported.classes else None,
        transform_differs=np.concatenate([at_held.differs, at_edges.differs]),
    )


def check_parity(
    graph: bytes | onnx.ModelProto, inputs: Inputs, task: str, classes: tuple[Label, ...], answers: Answers
) -> ParityReport:
    """Run the graph alone on the rows that Python answered, and compare.

    Raises `ParityFailed` with the worst rows when they differ beyond the tolerance.
    """
    found = _run(graph, inputs, answers.rows)
    _check_shapes(found, len(answers.rows), task, classes)
    gap, allowed, differ = _value_gaps(answers, found) if task == "regression" else _class_gaps(answers, found)
    _stop_if_worse(answers, gap, allowed, differ)
    return ParityReport(
        rows=answers.held_rows,
        edge_rows=answers.edge_rows,
        refused=answers.refused,
        labels_differ=int(differ.sum()),
        worst=float(gap.max()),
        worst_transform=float(answers.transform_differs.max()),
        refuses_missing=answers.refuses_missing,
    )


def edge_rows(inputs: Inputs, rows: Frame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Each column missing, unseen and extreme one at a time, all missing at once; and where each is missing."""
    frame = inputs.frame(rows)
    first = _fullest(inputs, frame)
    found: list[pl.DataFrame] = []
    missing: dict[str, int] = {}
    for column in inputs.columns:
        missing[column.name] = len(found)
        kind = frame.schema[column.name]
        values = _edges(frame[column.name], column)
        found += [first.with_columns(pl.Series(column.name, [value], dtype=kind)) for value in values]
    found.append(pl.DataFrame({one.name: [_missing(one)] for one in inputs.columns}, schema=frame.schema))
    return pl.concat(found), missing


def _fullest(inputs: Inputs, frame: pl.DataFrame) -> pl.DataFrame:
    """The first row that lacks the least, so that only what an edge row changes can make it refused."""
    holes = sum(
        (_lack(frame[one.name], one).cast(pl.Int32) for one in inputs.columns), pl.repeat(0, len(frame), eager=True)
    )
    return frame[int(holes.arg_min() or 0)]


def _lack(series: pl.Series, column: Column) -> pl.Series:
    if column.kind is Kind.NUMBER:
        return series.is_nan()
    return series == "" if column.kind is Kind.STRING else series.is_null()


def _lacks(inputs: Inputs, frame: pl.DataFrame, names: list[str]) -> Array:
    lacks = np.zeros(len(frame), dtype=bool)
    for column in inputs.columns:
        if column.name in names:
            lacks |= _lack(frame[column.name], column).to_numpy()
    return lacks


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


def _plain(labels: list[Any]) -> Array:
    """Of a type that NumPy writes without pickle."""
    return np.asarray(labels, dtype=str if isinstance(labels[0], str) else None)


def _run(graph: bytes | onnx.ModelProto, inputs: Inputs, frame: pl.DataFrame) -> list[Array]:
    try:
        content = graph if isinstance(graph, bytes) else graph.SerializeToString()
        feed, running = inputs.feed(frame), session(content)
        given = {one.name: feed[one.name] for one in running.get_inputs()}
        return run(running, None, given, in_pieces=splits(content))
    except RUNTIME_ERRORS as error:
        reason = " ".join(str(error).split())[:300]
        raise ParityFailed(
            f"the graph does not run on rows that the Python model takes: {reason}",
            where="parity",
            fix="leave out the part of the model that is named",
        ) from error


def _check_shapes(found: list[Array], rows: int, task: str, classes: tuple[Label, ...]) -> None:
    wanted = [(rows,)] if task == "regression" else [(rows,), (rows, len(classes))]
    shapes = [one.shape for one in found]
    if shapes != wanted:
        raise ParityFailed(
            f"the graph's outputs have the shapes {shapes}, not {wanted}",
            where="parity",
            fix="a module must treat each row alone, whatever the number of rows",
        )


def _value_gaps(answers: Answers, found: list[Array]) -> tuple[Array, Array, Array]:
    """The difference, the difference allowed, and whether the label differs, of each row."""
    python = answers.predictions[:, 0]
    gap = np.nan_to_num(np.abs(python - found[0]), nan=np.inf)
    spread = np.full(len(python), float(np.std(python)))  # far out at the edges, terms a thousand times larger cancel
    spread[: answers.held_taken] = float(np.std(python[: answers.held_taken]))
    allowed = RELATIVE * np.abs(python) + OF_SPREAD * spread
    return gap, allowed, np.zeros(len(gap), dtype=bool)


def _class_gaps(answers: Answers, found: list[Array]) -> tuple[Array, Array, Array]:
    python, labels = answers.predictions, np.asarray(answers.labels)
    gap = np.nan_to_num(np.abs(python - found[1]).max(axis=1), nan=np.inf)
    best = np.sort(python, axis=1)
    clear = best[:, -1] - best[:, -2] > 2 * PROBABILITY
    differ = clear & (labels.astype(object) != found[0].astype(object))
    return gap, np.full(len(gap), PROBABILITY), np.asarray(differ)


def _stop_if_worse(answers: Answers, gap: Array, allowed: Array, differ: Array) -> None:
    frame, transform = answers.rows, answers.transform_differs
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
        raise ParityFailed(
            f"the graph and the Python model differ on {int(wrong.sum())} of {len(frame)} rows; the worst:\n{table}",
            where="parity",
            fix="nothing was written: leave out the part whose graph is wrong, or report it with these rows",
        )
