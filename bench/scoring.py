"""Scoring a batch through our predictor, beside ONNX Runtime called by hand with the same rows in the same chunks.

By hand is told twice: with feeds made from the frame the natural way while the clock runs, and with feeds that were
made before it, which costs nobody nothing. The target holds against the second.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
import polars as pl
from lightgbm import LGBMClassifier
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder  # type: ignore[import-untyped]

from bench.figure import Figure, Section
from loopwright.transform import scoring
from loopwright.transform.export import export
from loopwright.transform.exported import Exported
from loopwright.transform.features import Calendar
from loopwright.transform.inputs import Inputs
from loopwright.transform.predictor import Predictor

Feed = dict[str, np.ndarray[Any, np.dtype[Any]]]
_FITTED_ROWS = 20_000
_DISTINCT = {"class": 3, "carrier": 16, "type": 40, "origin": 100, "destination": 300, "plane": 4000, "user": 40_000}
_BASE, _FED, _OURS = "ONNX Runtime by hand, feeds ready", "ONNX Runtime by hand, feeds made", "scoring.score"


def measure(rounds: int, _: Path, *, rows: int = 1_000_000) -> list[Section]:
    """A model of usual size, and a small one, beside which everything else weighs more. One thread on every side."""
    frame = make_rows(rows, seed=0)
    return [_section(rounds, frame, trees) for trees in (100, 10)]


def _section(rounds: int, frame: pl.DataFrame, trees: int) -> Section:
    fitted = _fit(trees)
    graph, columns = fitted.graph.SerializeToString(), fitted.inputs.columns
    predictor = Predictor.from_graph(graph, columns, "binary", fitted.classes, batches=True)
    by_hand = _session(graph)
    chunks = [frame[at : at + scoring.CHUNK_ROWS] for at in range(0, len(frame), scoring.CHUNK_ROWS)]
    ready = [natural_feed(chunk) for chunk in chunks]
    ways: dict[str, Callable[[], object]] = {
        _BASE: lambda: [by_hand.run(None, feed) for feed in ready],
        _FED: lambda: [by_hand.run(None, natural_feed(chunk)) for chunk in chunks],
        _OURS: lambda: list(scoring.score(predictor, [frame])),
    }
    seconds: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for name, way in ways.items():
            begun = perf_counter()
            way()
            if number:
                seconds[name].append(perf_counter() - begun)
    figures = [Figure(what=one, samples=seconds[one], most_ratio=1.5 if one == _OURS else None) for one in ways]
    title = f"{len(frame):,} rows of {len(frame.columns)} columns, {trees} trees"
    return Section(title=title, figures=figures, base=figures[0])


def natural_feed(frame: pl.DataFrame) -> Feed:
    """What one would write by hand."""
    return {series.name: _array(series).reshape(-1, 1) for series in frame}


def _array(series: pl.Series) -> np.ndarray[Any, np.dtype[Any]]:
    if series.dtype == pl.String:
        return series.fill_null("").to_numpy()
    return series.cast(pl.Int64 if series.dtype == pl.Datetime else pl.Float32).to_numpy()


def _session(graph: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def make_rows(rows: int, seed: int) -> pl.DataFrame:
    """Twenty columns: texts from 3 to 40,000 distinct ones, numbers, a boolean and a time, most with missing values."""
    draw = np.random.default_rng(seed)
    texts = {
        name: np.array([f"{name[:2]}{i:x}" for i in range(n)])[draw.integers(0, n, rows)]
        for name, n in _DISTINCT.items()
    }
    numbers = {f"measure{i}": draw.normal(size=rows) for i in range(8)}
    counts = {f"count{i}": draw.integers(0, 3000, rows) for i in range(3)}
    frame = pl.DataFrame({**texts, **numbers, **counts})
    holes = [pl.when(pl.Series(draw.random(rows) > 0.05)).then(pl.col(name)).alias(name) for name in frame.columns]
    at = pl.Series("at", 1_700_000_000_000_000 + draw.integers(0, 10**13, rows)).cast(pl.Datetime("us", "UTC"))
    return frame.with_columns(holes).with_columns(pl.Series("is_holiday", draw.random(rows) < 0.3), at)


def _fit(trees: int) -> Exported:
    frame = make_rows(_FITTED_ROWS, seed=1)
    target = ((frame["measure0"].fill_null(0) + frame["at"].dt.hour() / 24) > 0.5).to_numpy()
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=50), ["class", "carrier", "type"]),
        (
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
            ["origin", "destination", "plane", "user"],
        ),
        (Calendar("hour", "weekday"), ["at"]),
        remainder="passthrough",
    )
    model = make_pipeline(encode, LGBMClassifier(n_estimators=trees, random_state=0, verbose=-1, n_jobs=2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(Inputs.of(frame).frame(frame), target)
        return export(model, frame, target)
