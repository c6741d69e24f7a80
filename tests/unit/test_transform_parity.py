"""Estimators x column types x missing x unseen: the exported graph is the Python model, or the export is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import clone  # type: ignore[import-untyped]
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.ensemble import (  # type: ignore[import-untyped]
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import OneHotEncoder, StandardScaler  # type: ignore[import-untyped]
from tests.unit.exporting import compared, exported, flights, score, transform
from xgboost import XGBClassifier, XGBRegressor

from loopwright.errors import DeclarationError, ParityFailed
from loopwright.transform.assembly import session
from loopwright.transform.export import export
from loopwright.transform.features import Calendar
from loopwright.transform.inputs import Inputs

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")

TREES: dict[str, Any] = {"n_estimators": 12, "random_state": 0}
CLASSIFIERS = [
    LogisticRegression(max_iter=500),
    RandomForestClassifier(**TREES),
    HistGradientBoostingClassifier(max_iter=12),
    GradientBoostingClassifier(**TREES),
    LGBMClassifier(**TREES, verbose=-1, n_jobs=1),
    XGBClassifier(**TREES, n_jobs=1),
]
REGRESSORS = [
    LinearRegression(),
    RandomForestRegressor(**TREES),
    HistGradientBoostingRegressor(max_iter=12),
    GradientBoostingRegressor(**TREES),
    LGBMRegressor(**TREES, verbose=-1, n_jobs=1),
    XGBRegressor(**TREES, n_jobs=1),
]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda model: type(model).__name__)
def test_a_classifiers_graph_is_the_python_model(model: Any, classes: int) -> None:
    frame = flights()
    target = np.digitize(score(frame), [3.0] if classes == 2 else [2.0, 4.0])
    found = exported(model, target, frame)
    report = compared(found, flights(300, seed=1))
    assert (report.refused, report.labels_differ, len(found.classes)) == (0, 0, classes)
    assert report.worst <= 1e-5
    assert [one.name for one in found.graph.graph.output] == ["label", "probabilities"]


@pytest.mark.parametrize("model", REGRESSORS, ids=lambda model: type(model).__name__)
def test_a_regressors_graph_is_the_python_model(model: Any) -> None:
    frame = flights()
    report = compared(exported(model, score(frame), frame), flights(300, seed=1))
    assert report.refused == 0


@pytest.mark.parametrize(
    "model", [HistGradientBoostingClassifier(max_iter=9), CLASSIFIERS[4], CLASSIFIERS[5]], ids=repr
)
def test_missing_numbers_reach_trees_as_missing(model: Any) -> None:
    frame = flights()
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["carrier", "origin"]),
        (Calendar("hour"), ["at"]),
        remainder="passthrough",
    )
    report = compared(exported(model, score(frame) > 3, frame, encode), flights(300, seed=1))
    assert (report.refused, report.labels_differ) == (0, 0)


@pytest.mark.parametrize("labels", [["late", "on time"], [7, 3], [True, False]])
def test_labels_come_back_as_they_were_given(labels: list[Any]) -> None:
    frame = flights()
    for model in (CLASSIFIERS[0], CLASSIFIERS[1], CLASSIFIERS[4]):
        target = np.array(labels)[(score(frame) > 3).astype(int)]
        found = exported(model, target, frame)
        compared(found, frame)
        running = session(found.graph)
        label, probabilities = running.run(None, found.inputs.feed(frame))
        assert found.classes == tuple(sorted(labels))
        assert {type(one) for one in label.tolist()} == {type(labels[0])}
        assert probabilities.shape == (600, 2)
        assert label.shape == (600,)


@pytest.mark.parametrize(
    "model", [CLASSIFIERS[2], CLASSIFIERS[4], CLASSIFIERS[5], REGRESSORS[4], REGRESSORS[5]], ids=repr
)
def test_a_bare_model_takes_columns_of_numbers(model: Any) -> None:
    frame = flights().select("distance", "value", "weekend")
    target = (flights()["distance"].fill_null(500) > 700).to_numpy().astype(int)
    fitted = clone(model).fit(Inputs.of(frame).frame(frame).to_numpy(), target)
    report = compared(export(fitted, frame, target), frame)
    assert report.refused == 0
    with pytest.raises(DeclarationError, match="on 3 columns without names, and the table has 6"):
        export(fitted, flights(), target)
    with pytest.raises(DeclarationError, match="bare model cannot take the string column 'carrier'"):
        export(fitted, flights().select("carrier", "value", "weekend"), target)


def test_what_python_refuses_is_counted_and_named() -> None:
    frame = flights().drop_nulls()
    encode = make_column_transformer((StandardScaler(), ["distance"]), (Calendar("hour"), ["at"]))
    report = compared(exported(LogisticRegression(), score(frame) > 3, frame, encode), frame)
    assert report.refuses_missing == ("distance", "at")


def test_pandas_frames_are_taken_as_well() -> None:
    frame = flights()
    target = score(frame) > 3
    rows = Inputs.of(frame).frame(frame)
    found = export(
        make_pipeline(transform(), clone(CLASSIFIERS[4])).fit(rows.to_pandas(), target), frame.to_pandas(), target
    )
    compared(found, frame.to_pandas())


def test_a_graph_that_differs_is_refused_with_its_worst_rows() -> None:
    frame = flights()
    found = exported(REGRESSORS[4], score(frame), frame)
    other = exported(REGRESSORS[4], score(frame) + 1, frame)
    with pytest.raises(ParityFailed, match=r"(?s)differ on .* rows; the worst:.*carrier.*difference"):
        compared(replace(found, graph=other.graph), frame)


def test_an_integer_that_float32_cannot_hold_is_refused() -> None:
    with pytest.raises(DeclarationError, match="not exact as float32"):
        Inputs.of(pl.DataFrame({"id": [2**24 + 1]}))


def test_the_same_training_gives_the_same_bytes() -> None:
    frame, at = flights(), datetime(2024, 1, 1, tzinfo=UTC)
    assert at in Inputs.of(frame).frame(frame.with_columns(at=pl.lit(at)))["at"]
    graphs = {exported(CLASSIFIERS[4], score(frame) > 3, frame).graph.SerializeToString() for _ in range(2)}
    assert len(graphs) == 1
