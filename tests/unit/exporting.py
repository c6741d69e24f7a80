"""Flights, made up, and transforms and comparisons for the tests of the export."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from sklearn.base import clone  # type: ignore[import-untyped]
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.impute import SimpleImputer  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import (  # type: ignore[import-untyped]
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from loopwright.transform.export import export
from loopwright.transform.exported import Exported
from loopwright.transform.features import Calendar, Cross, Log1p
from loopwright.transform.inputs import Frame, Inputs
from loopwright.transform.parity import ParityReport, answers, check_parity


def flights(rows: int = 600, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "carrier": random.choice(["UA", "DL", "AA", "B6", "ZZ"], rows, p=[0.4, 0.3, 0.2, 0.08, 0.02]),
            "origin": random.choice(["JFK", "LGA"], rows),
            "distance": random.gamma(2, 400, rows),
            "value": random.integers(0, 300, rows),
            "weekend": random.random(rows) < 0.3,
            "at": pl.Series(random.integers(-(10**9), 2 * 10**9, rows) * 1_000_000).cast(pl.Datetime("us", "UTC")),
        }
    )
    holes = [pl.when(pl.Series(random.random(rows) > 0.1)).then(pl.col(name)).alias(name) for name in frame.columns]
    return frame.with_columns(holes)


def score(frame: pl.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    late = (frame["carrier"] == "UA").fill_null(value=False).cast(pl.Float64) * 2 + frame["distance"].fill_null(
        500
    ) / 400
    return (late + frame["at"].dt.hour().fill_null(12) / 10).to_numpy()


def transform() -> Any:
    strings = make_pipeline(
        SimpleImputer(missing_values="", strategy="most_frequent"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    )
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", min_frequency=30), ["carrier", "origin"]),
        (strings, ["carrier"]),
        (make_pipeline(Cross(), OneHotEncoder(handle_unknown="ignore")), ["carrier", "origin"]),
        (make_pipeline(Calendar("hour", "weekday"), SimpleImputer()), ["at"]),
        (make_column_transformer((numbers, ["distance"]), remainder=SimpleImputer()), ["distance", "value"]),
        (make_pipeline(SimpleImputer(), RobustScaler()), ["distance"]),
        (make_pipeline(SimpleImputer(), MinMaxScaler(), Log1p()), ["value"]),
        remainder=SimpleImputer(strategy="most_frequent"),
    )  # fmt: skip


def exported(model: Any, target: Any, frame: pl.DataFrame, before: Any = None) -> Exported:
    rows = Inputs.of(frame).frame(frame)
    pipeline = make_pipeline(transform() if before is None else before, clone(model))
    return export(pipeline.fit(rows, target), frame, target)


def compared(found: Exported, rows: Frame) -> ParityReport:
    return check_parity(found.graph.SerializeToString(), found.inputs, found.task, found.classes, answers(found, rows))
