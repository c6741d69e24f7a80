"""What cannot be exported is refused before anything is written, by name and with the nearest thing that can."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.calibration import CalibratedClassifierCV  # type: ignore[import-untyped]
from sklearn.cluster import KMeans  # type: ignore[import-untyped]
from sklearn.compose import TransformedTargetRegressor, make_column_transformer  # type: ignore[import-untyped]
from sklearn.decomposition import PCA  # type: ignore[import-untyped]
from sklearn.dummy import DummyClassifier  # type: ignore[import-untyped]
from sklearn.ensemble import (  # type: ignore[import-untyped]
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction import FeatureHasher  # type: ignore[import-untyped]
from sklearn.feature_extraction.text import (  # type: ignore[import-untyped]
    CountVectorizer,
    HashingVectorizer,
    TfidfVectorizer,
)
from sklearn.impute import SimpleImputer  # type: ignore[import-untyped]
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier  # type: ignore[import-untyped]
from sklearn.model_selection import (  # type: ignore[import-untyped]
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import FunctionTransformer, StandardScaler, TargetEncoder  # type: ignore[import-untyped]
from sklearn.svm import SVC, LinearSVC  # type: ignore[import-untyped]
from tests.unit.exporting import flights
from xgboost import XGBClassifier, XGBRFClassifier

from loopwright.errors import DataError, DeclarationError, LoopwrightError
from loopwright.transform.export import export
from loopwright.transform.inputs import Inputs
from loopwright.transform.refusals import refuse, refuse_final

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")

ROWS = flights(60).select("distance", "value", "weekend").cast(pl.Float32).fill_null(1)
LATE = np.arange(60) % 2 == 0
THREE = np.arange(60) % 3


def foreign(library: str, name: str, **above: type) -> Any:
    """As from a library that is not installed here."""
    return type(name, (), {"__module__": f"{library}.inner"})()


TRANSFORMS = [
    (TfidfVectorizer(), "carrier", 'TfidfVectorizer.*no standard operator splits.*Words.n, weight="tfidf"'),
    (CountVectorizer(), "carrier", "CountVectorizer.*no standard operator splits.*Words"),
    (HashingVectorizer(n_features=8), "carrier", "HashingVectorizer.*Words"),
    (FeatureHasher(8, input_type="string"), "carrier", "FeatureHasher.*HashBuckets"),
    (FunctionTransformer(np.log1p), ["value"], "FunctionTransformer.*Log1p"),
    (SimpleImputer(add_indicator=True), ["distance"], "add_indicator.*drops the indicator"),
    (TargetEncoder(cv=2), ["carrier"], "TargetEncoder.*leak the label.*OrdinalEncoder"),
    ("passthrough", ["carrier", "value"], "lets strings"),
]


@pytest.mark.parametrize(("part", "column", "why"), TRANSFORMS, ids=lambda one: type(one).__name__)
def test_a_transform_that_has_no_graph_is_refused(part: Any, column: Any, why: str) -> None:
    frame = flights(60)
    rows = Inputs.of(frame).frame(frame)
    before = make_column_transformer((part, column))
    before.fit(rows if not isinstance(part, FeatureHasher) else rows.to_pandas().assign(carrier=[["a"]] * 60), LATE)
    model = HistGradientBoostingClassifier(max_iter=2).fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(DeclarationError, match=f"(?s){why}"):
        export(make_pipeline(before, model), frame, LATE)


LR = LogisticRegression()
FOREST = RandomForestClassifier(3)
LIGHT: dict[str, Any] = {"n_estimators": 2, "verbose": -1, "n_jobs": 1}
MODELS = [
    (TransformedTargetRegressor(LinearRegression()), "its inverse function has no graph"),
    (HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]), "categorical_features.*OrdinalEncoder"),
    (FixedThresholdClassifier(LR, threshold=0.3), "FixedThreshold.*return the classifier in it"),
    (TunedThresholdClassifierCV(LR, cv=2), "TunedThreshold.*return the classifier in it"),
    (CalibratedClassifierCV(LR, method="isotonic", cv=2), 'isotonic.*method="sigmoid"'),
    (CalibratedClassifierCV(LGBMClassifier(**LIGHT), cv=2), "LGBMClassifier.*calibrate an XGBClassifier"),
    (XGBRFClassifier(n_estimators=2, n_jobs=1), "XGBRFClassifier.*RandomForestClassifier"),
    (XGBClassifier(n_estimators=2, booster="gblinear"), 'gblinear.*booster="gbtree"'),
    (XGBClassifier(n_estimators=2, missing=1.0, n_jobs=1), "missing=1.0.*leave missing= out"),
    (LGBMClassifier(**LIGHT, linear_tree=True), "linear_tree=True.*set it False"),
    (LGBMClassifier(**LIGHT, zero_as_missing=True), "zero_as_missing=True.*set it False"),
    (LGBMClassifier(**LIGHT, boosting_type="rf", subsample=0.5, subsample_freq=1), "rf.*RandomForestClassifier"),
    (LGBMClassifier(**LIGHT, objective="multiclassova", num_class=3), 'multiclassova.*use "multiclass"'),
    (SVC(), "SVC without probabilities.*CalibratedClassifierCV"),
    (LinearSVC(), "LinearSVC without probabilities.*CalibratedClassifierCV"),
    (RidgeClassifier(), "RidgeClassifier without probabilities.*LogisticRegression"),
    (VotingClassifier([("a", LR), ("b", FOREST)]), "VotingClassifier without probabilities"),
    (
        VotingClassifier([("a", LR), ("b", make_pipeline(StandardScaler(), FOREST))], voting="soft"),
        "a transform before trees within VotingClassifier",
    ),
    (KMeans(2, n_init=1), "neither classifies nor predicts"),
    (DummyClassifier(), "no converter for sklearn.dummy.DummyClassifier"),
    (HistGradientBoostingRegressor(loss="poisson", max_iter=2), r"loss='poisson'.*LGBMRegressor"),
    (LGBMRegressor(**LIGHT, reg_sqrt=True), "reg_sqrt=True.*set it False"),
    (GridSearchCV(LR, {"C": [1, 2]}, cv=2, refit=False), "refit=False.*refit=True"),
]


@pytest.mark.parametrize(("model", "why"), MODELS, ids=lambda one: type(one).__name__)
def test_a_model_that_has_no_right_graph_is_refused(model: Any, why: str) -> None:
    rows = ROWS.cast(pl.Float32).to_numpy()
    labels = LATE if "Threshold" in type(model).__name__ else THREE
    fitted = model.fit(rows, labels)
    with pytest.raises(DeclarationError, match=f"(?s){why}"):
        export(fitted, ROWS, labels)


def test_boosters_fitted_on_categories_are_refused() -> None:
    rows = pd.DataFrame({"a": pd.Categorical(["x", "y", "z"] * 20), "b": np.arange(60.0)})
    for model in (LGBMClassifier(**LIGHT), XGBClassifier(n_estimators=2, enable_categorical=True, n_jobs=1)):
        fitted = model.fit(rows, LATE)
        with pytest.raises(DeclarationError, match=r"(?s)with categorical features.*OrdinalEncoder"):
            refuse(fitted)


@pytest.mark.parametrize("name", ["CatBoostClassifier", "CatBoostRegressor", "CatBoost"])
def test_catboost_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match=r"(?s)catboost.*use LGBM"):
        export(foreign("catboost", name), ROWS, LATE)


def test_the_boosters_own_objects_are_refused_and_their_estimators_named() -> None:
    light = LGBMClassifier(**LIGHT).fit(ROWS.to_pandas(), LATE).booster_
    extreme = XGBClassifier(n_estimators=2, n_jobs=1).fit(ROWS.to_pandas(), LATE).get_booster()
    with pytest.raises(DeclarationError, match=r"(?s)lightgbm Booster.*LGBMClassifier.*instead of lightgbm.train"):
        export(light, ROWS, LATE)
    with pytest.raises(DeclarationError, match=r"(?s)xgboost Booster.*XGBClassifier.*instead of xgboost.train"):
        export(extreme, ROWS, LATE)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (None, "returned None, which is no fitted model.*return the model that train"),
        (0.93, "returned 0.93.*return a fitted scikit-learn"),
        ("model.pkl", "returned 'model.pkl'.*return a fitted"),
        (LogisticRegression, "the class LogisticRegression"),
        (LogisticRegression(), "LogisticRegression is not fitted.*call .fit"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "not fitted"),
        ((LogisticRegression(), 0.9), "which is no fitted model"),
        (foreign("keras", "Sequential"), "a keras Sequential.*torch.nn.Module"),
        (foreign("tensorflow", "Model"), "a tensorflow Model.*tf2onnx"),
        (b"PK", "these bytes are no ONNX graph|it is not valid"),
    ],
    ids=lambda value: type(value).__name__ if " at 0x" in repr(value) else repr(value),
)
def test_what_is_no_fitted_model_is_refused_with_what_to_return(given: Any, why: str) -> None:
    with pytest.raises(DeclarationError, match=f"(?s){why}"):
        export(given, ROWS, LATE)


TARGETS: list[tuple[Any, str | None, str]] = [
    (np.ones(60), None, "every training row has the same label: 1"),
    (["late"] * 60, None, "every training row has the same label: 'late'"),
    ([None, *LATE[1:]], None, "labels are missing"),
    ([float("nan"), *LATE[1:].astype(float)], None, "labels are missing"),
    (["late", *LATE[1:].tolist()], None, "the types bool, str"),
    (LATE + 0.5, None, "holds fractions such as"),
    (np.zeros((60, 2)), None, r"has the shape \(60, 2\)"),
    (LATE, "multiclass", r"the task is multiclass.*make binary \(2 classes\)"),
    (LATE, "regression", "the task is regression.*make binary"),
    (LATE, "clasification", "is no task"),
]


@pytest.mark.parametrize(("target", "task", "why"), TARGETS, ids=lambda one: str(one)[:20])
def test_a_target_that_makes_no_classes_is_refused(target: Any, task: str | None, why: str) -> None:
    model = LogisticRegression().fit(ROWS.cast(pl.Float32).to_numpy(), LATE)
    with pytest.raises((DataError, DeclarationError), match=f"(?s){why}"):
        export(model, ROWS, target, task=task)


def test_a_target_that_makes_no_numbers_is_refused() -> None:
    model = LinearRegression().fit(ROWS.cast(pl.Float32).to_numpy(), LATE)
    for target, why in ((["late"] * 60, "the target is"), ([None, *range(59)], "missing or infinite")):
        with pytest.raises(DataError, match=why):
            export(model, ROWS, target)


def test_timestamps_reach_a_model_through_the_calendar_only() -> None:
    at = [datetime(2024, 1, 1 + day % 28, day % 24, tzinfo=UTC) for day in range(60)]
    frame = ROWS.with_columns(at=pl.Series(at), until=pl.Series(at))
    for columns in (["at"], ["at", "until"]):
        before = make_column_transformer(("passthrough", columns)).fit(frame)
        model = RandomForestClassifier(3).fit(np.zeros((60, len(columns))), LATE)
        with pytest.raises(DeclarationError, match=r"(?s)the timestamp 'at'.*put Calendar on it"):
            export(make_pipeline(before, model), frame, LATE)


def test_fit_parameters_that_the_model_does_not_know_are_told() -> None:
    rows = flights(3000).select("distance", "value").cast(pl.Float32).fill_null(1)
    late = (rows["distance"] + np.random.default_rng(0).normal(size=3000) * 300 > 800).to_numpy()
    before = make_column_transformer((PCA(), ["distance", "value"]))
    model = make_pipeline(before, HistGradientBoostingClassifier(max_iter=60)).fit(rows, late)
    with pytest.raises(DeclarationError, match=r"(?s)could not be fitted again.*such as sample_weight"):
        export(model, rows, late, weight=[1])


def test_every_refusal_says_where_and_what_to_do() -> None:
    for given in (None, LogisticRegression(), foreign("catboost", "CatBoost")):
        with pytest.raises(LoopwrightError) as refused:
            export(given, ROWS, LATE)
        assert refused.value.where == "what train() returns"
        assert refused.value.fix


def test_what_can_be_exported_is_not_refused() -> None:
    for model in (FOREST, LR, VotingClassifier([("a", LR), ("b", FOREST)], voting="soft")):
        refuse_final(model.fit(ROWS.cast(pl.Float32).to_numpy(), LATE))
