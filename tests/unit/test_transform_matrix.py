"""Estimators x column types x missing x unseen categories: the graph is the Python model, and refuses what it refuses.

Every frame has all five types. `clean` rows hold no missing value at training; held-out rows then lack one column each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import clone, is_classifier  # type: ignore[import-untyped]
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.ensemble import (  # type: ignore[import-untyped]
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer  # type: ignore[import-untyped]
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge  # type: ignore[import-untyped]
from sklearn.neural_network import MLPClassifier  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler  # type: ignore[import-untyped]
from sklearn.svm import SVR  # type: ignore[import-untyped]
from tests.unit.exporting import compared
from xgboost import XGBClassifier, XGBRegressor

from loopwright.transform.export import export
from loopwright.transform.features import Calendar
from loopwright.transform.inputs import Inputs

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")

TREES: dict[str, Any] = {"n_estimators": 8, "random_state": 0, "n_jobs": 1}
LIGHT: dict[str, Any] = {**TREES, "verbose": -1, "min_child_samples": 5}
FOREST: dict[str, Any] = {**TREES, "max_depth": 8}
TAKES_MISSING = [
    RandomForestClassifier(**FOREST),
    RandomForestRegressor(**FOREST),
    HistGradientBoostingClassifier(max_iter=8),
    HistGradientBoostingRegressor(max_iter=8),
    LGBMClassifier(**LIGHT),
    LGBMRegressor(**LIGHT),
    XGBClassifier(**TREES),
    XGBRegressor(**TREES),
]
NEEDS_ALL = [
    LogisticRegression(max_iter=300),
    LinearRegression(),
    Ridge(),
    SVR(),
    MLPClassifier((8,), max_iter=20, random_state=0),
]
COLUMNS = ["string", "integer", "float", "boolean", "timestamp"]
NUMBERS = ["integer", "float", "boolean"]
CLASSES = {"two": 2, "three": 3}


def rows(count: int, seed: int, *, holes: bool, unseen: bool = False) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "string": random.choice(["a", "b", "c", "new" if unseen else "d"], count),
            "integer": random.integers(-50, 2000, count),
            "float": random.normal(1013, 7, count),
            "boolean": random.random(count) < 0.4,
            "timestamp": pl.Series(random.integers(-(10**9), 2 * 10**9, count) * 1_000_000).cast(
                pl.Datetime("us", "UTC")
            ),
        }
    )
    if not holes:
        return frame
    drawn = random.integers(0, 2 * len(COLUMNS), count)  # each row lacks one column, or none
    return frame.with_columns(
        pl.when(pl.Series(drawn != at)).then(pl.col(name)).alias(name) for at, name in enumerate(COLUMNS)
    )


def target(frame: pl.DataFrame, model: Any, classes: int) -> Any:
    known = frame.select(pl.col("string").fill_null("a") == "a", pl.col("float").fill_null(1013) / 7)
    values = (known["string"].cast(pl.Float64) + known["float"]).to_numpy()
    if not is_classifier(model):
        return values
    return np.digitize(values, np.quantile(values, np.arange(1, classes) / classes))


def transform(*, scaled: bool, imputed: bool) -> Any:
    strings = [
        (OneHotEncoder(handle_unknown="ignore"), ["string"]),
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["string"]),
    ]
    numbers = [*([SimpleImputer()] if imputed else []), *([StandardScaler()] if scaled else [])]
    times = [Calendar("hour", "weekday", "year"), *([SimpleImputer()] if imputed else [])]
    return make_column_transformer(
        *strings,
        (make_pipeline(*times), ["timestamp"]),
        (make_pipeline(*numbers) if numbers else "passthrough", NUMBERS),
    )


def fitted(model: Any, frame: pl.DataFrame, classes: int, *, scaled: bool, imputed: bool) -> tuple[Any, Any]:
    labels = target(frame, model, classes)
    pipeline = make_pipeline(transform(scaled=scaled, imputed=imputed), clone(model))
    return pipeline.fit(Inputs.of(frame).frame(frame), labels), labels


@pytest.mark.parametrize("trained", ["on clean rows", "on rows with holes"])
@pytest.mark.parametrize("scaled", [False, True], ids=["as it is", "scaled"])
@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("model", TAKES_MISSING, ids=lambda model: type(model).__name__)
def test_trees_take_every_column_missing_and_unseen(model: Any, classes: str, scaled: bool, trained: str) -> None:
    if classes == "three" and not is_classifier(model):
        return
    frame = rows(400, 0, holes=trained == "on rows with holes")
    pipeline, labels = fitted(model, frame, CLASSES[classes], scaled=scaled, imputed=False)
    report = compared(export(pipeline, frame, labels), rows(400, 1, holes=True, unseen=True))
    assert (report.refused, report.labels_differ, report.refuses_missing) == (0, 0, ())


@pytest.mark.parametrize("trained", ["on clean rows", "on rows with holes"])
@pytest.mark.parametrize("model", [*TAKES_MISSING, *NEEDS_ALL], ids=lambda model: type(model).__name__)
def test_imputed_columns_may_be_missing_for_every_estimator(model: Any, trained: str) -> None:
    frame = rows(400, 0, holes=trained == "on rows with holes")
    pipeline, labels = fitted(model, frame, 2, scaled=True, imputed=True)
    report = compared(export(pipeline, frame, labels), rows(400, 1, holes=True, unseen=True))
    assert (report.refused, report.labels_differ, report.refuses_missing) == (0, 0, ())


@pytest.mark.parametrize("model", NEEDS_ALL, ids=lambda model: type(model).__name__)
def test_what_an_estimator_cannot_take_missing_is_counted_and_named(model: Any) -> None:
    frame, held = rows(400, 0, holes=False), rows(400, 1, holes=True, unseen=True)
    pipeline, labels = fitted(model, frame, 2, scaled=True, imputed=False)
    report = compared(export(pipeline, frame, labels), held)
    needed = [*NUMBERS, "timestamp"]
    lacking = len(held) - len(held.drop_nulls(needed))
    assert report.refuses_missing == tuple(name for name in COLUMNS if name in needed)
    assert report.refused == lacking + len(needed) + 1  # one edge row for each, one with all missing
    assert report.labels_differ == 0


@pytest.mark.parametrize("scaled", [False, True], ids=["as it is", "scaled"])
def test_a_network_takes_every_column(scaled: bool) -> None:
    torch: Any = pytest.importorskip("torch")
    torch.manual_seed(0)
    frame = rows(400, 0, holes=True)
    before = transform(scaled=scaled, imputed=True).fit(Inputs.of(frame).frame(frame))
    width = before.transform(Inputs.of(frame).frame(frame)).shape[1]
    module = torch.nn.Sequential(torch.nn.BatchNorm1d(width), torch.nn.Linear(width, 8), torch.nn.Linear(8, 1))
    module(torch.from_numpy(before.transform(Inputs.of(frame).frame(frame)).astype(np.float32)))
    labels = target(frame, LogisticRegression(), 2)
    report = compared(export((before, module), frame, labels), rows(400, 1, holes=True, unseen=True))
    assert (report.refused, report.labels_differ) == (0, 0)
