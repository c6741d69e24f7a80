"""The graph is the model that train() returned: on its columns, rows, weights and labels, however it was fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor, early_stopping
from sklearn.base import clone  # type: ignore[import-untyped]
from sklearn.calibration import CalibratedClassifierCV  # type: ignore[import-untyped]
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.ensemble import (  # type: ignore[import-untyped]
    AdaBoostClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import (  # type: ignore[import-untyped]
    LabelEncoder,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from tests.unit.exporting import compared
from xgboost import XGBClassifier

from loopwright.errors import DeclarationError
from loopwright.train.data import TrainingData
from loopwright.train.fitted import said
from loopwright.transform.assembly import session
from loopwright.transform.conversion import transform_graph
from loopwright.transform.converters import register
from loopwright.transform.export import export
from loopwright.transform.inputs import Array, Inputs

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")

COUNT = 1500
DRAW: Any = np.random.default_rng(3)
FRAME = pl.DataFrame({"a": DRAW.normal(size=COUNT), "b": DRAW.normal(size=COUNT), "c": DRAW.normal(1013, 7, COUNT)})
X = Inputs.of(FRAME).frame(FRAME)
ALL = X.columns
YES = (X["a"] + 3 * X["b"] + pl.Series(DRAW.normal(size=COUNT)) > 2).to_numpy()
PRICE = (X["a"] + X["b"]).exp().to_numpy()
THREE = np.array(["low", "mid", "top"])[np.digitize(FRAME["b"], [-0.5, 0.5])]
TREES: dict[str, Any] = {"n_estimators": 300, "n_jobs": 1}
FIRST, REST = slice(0, 1000), slice(1000, None)


def answer(model: Any, target: Any) -> tuple[Array, list[Array]]:
    found = export(model, FRAME, target)
    assert not found.reads_graph
    compared(found, FRAME)
    given = [np.asarray(one) for one in session(found.graph).run(None, found.inputs.feed(FRAME))]
    return given[-1], given


def in_batches() -> Any:
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=1e-4, random_state=0)
    for first in range(0, COUNT, 100):
        model.partial_fit(X[first : first + 100], YES[first : first + 100], classes=[False, True])
    return model


def edited() -> Any:
    model = LogisticRegression().fit(X, YES)
    model.coef_[:] = 0.25
    return model


def stopped(model: Any, **more: Any) -> Any:
    rows: Array = X.to_numpy()
    return model.fit(rows[FIRST], YES[FIRST], eval_set=[(rows[REST], YES[REST])], **more)


RARE = np.flatnonzero(YES | (np.arange(COUNT) % 10 == 0))
CASES: dict[str, tuple[Callable[[], Any], Any, list[str]]] = {
    "some columns": (lambda: LogisticRegression().fit(X.select("a"), YES), YES, ["a"]),
    "another order": (lambda: LogisticRegression().fit(X.select("c", "a", "b"), YES), YES, ["c", "a", "b"]),
    "weights": (lambda: LogisticRegression().fit(X, YES, sample_weight=np.where(YES, 5.0, 1.0)), YES, ALL),
    "undersampling": (lambda: LogisticRegression().fit(X[RARE.tolist()], YES[RARE]), YES, ALL),
    "logarithm by hand": (lambda: Ridge().fit(X, np.log1p(PRICE)), PRICE, ALL),
    "batches": (in_batches, YES, ALL),
    "XGBoost stopped": (lambda: stopped(XGBClassifier(**TREES, early_stopping_rounds=5), verbose=False), YES, ALL),
    "LightGBM stopped": (
        lambda: stopped(LGBMClassifier(**TREES, verbose=-1), callbacks=[early_stopping(5, verbose=False)]), YES, ALL
    ),
    "edited": (edited, YES, ALL),
    "LightGBM on some": (lambda: LGBMRegressor(n_estimators=9, verbose=-1).fit(X.select("b"), PRICE), PRICE, ["b"]),
    "XGBoost on some": (lambda: XGBClassifier(n_estimators=9).fit(X.select("c", "b"), YES), YES, ["c", "b"]),
    "pipeline on some": (
        lambda: make_pipeline(StandardScaler(), HistGradientBoostingClassifier()).fit(X.select("b", "a"), YES),
        YES, ["b", "a"],
    ),
    "rest of some": (
        lambda: make_pipeline(
            make_column_transformer((StandardScaler(), ["c"]), remainder="passthrough"), RandomForestClassifier(9)
        ).fit(X.select("b", "c"), YES),
        YES, ["b", "c"],
    ),
    "calibrated": (lambda: CalibratedClassifierCV(LogisticRegression(), cv=2).fit(X, YES), YES, ALL),
    "of booleans": (lambda: AdaBoostClassifier(n_estimators=4).fit(X, YES), YES, ALL),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_graph_gives_what_the_users_model_gives(case: str) -> None:
    make, target, columns = CASES[case]
    model = make()
    found, given = answer(model, target)
    rows = X.select(columns)
    if target is PRICE:
        np.testing.assert_allclose(found, model.predict(rows).ravel(), rtol=1e-4, atol=1e-5)
        return
    np.testing.assert_allclose(found, model.predict_proba(rows), atol=1e-5)
    assert given[0].tolist() == model.predict(rows).astype(bool).tolist()


SCALERS = [StandardScaler(), RobustScaler(), MinMaxScaler(), MinMaxScaler(clip=True), MaxAbsScaler()]
LEFT_OUT = [StandardScaler(with_mean=False), StandardScaler(with_std=False), RobustScaler(with_centering=False)]


@pytest.mark.parametrize("scaler", [*SCALERS, *LEFT_OUT], ids=repr)
def test_a_scaler_is_the_same_to_the_bit_and_trees_behind_it_are_not_fitted_again(scaler: Any) -> None:
    register()
    fitted = scaler.fit(X[FIRST])
    graph = transform_graph(fitted, Inputs.of(FRAME), X.columns)
    feed = {f"column_{at}": X[name].to_numpy().reshape(-1, 1) for at, name in enumerate(X.columns)}
    np.testing.assert_array_equal(session(graph).run(None, feed)[0], fitted.transform(X).astype(np.float32))
    for model in (XGBClassifier(n_jobs=1), RandomForestClassifier(20)):
        answer(make_pipeline(fitted, model.fit(fitted.transform(X[RARE.tolist()]), YES[RARE])), YES)


REFUSED: list[tuple[Any, Any, str]] = [
    ((X.select("a").to_numpy(), YES), YES, r"on 1 columns without names.*3 .a, b, c.*data.X"),
    ((X.select(pl.col("a").alias("aa")), YES), YES, "fitted on 'aa', which is no column"),
    ((X, THREE), YES, r"classes \['low', 'mid', 'top'\], and the target's are \[False, T"),
    ((X, np.where(YES, "good", "bad")), YES, r"\['bad', 'good'\].*LabelEncoder"),
    ((X.filter(pl.Series(THREE != "mid")), THREE[THREE != "mid"]), THREE, r"\['low', 'top'\]"),
]


@pytest.mark.parametrize(("fitted_on", "target", "why"), REFUSED, ids=range(len(REFUSED)))
def test_what_the_model_was_fitted_on_must_be_known(fitted_on: tuple[Any, Any], target: Any, why: str) -> None:
    model = LogisticRegression(max_iter=2000).fit(*fitted_on)
    with pytest.raises(DeclarationError, match=f"(?s){why}"):
        export(model, FRAME, target)


ENCODED = {"text": THREE, "two texts": np.where(YES, "yes", "no"), "numbers": np.where(THREE == "mid", 7, 3)}


@pytest.mark.parametrize("kind", ENCODED)
@pytest.mark.parametrize("model", [XGBClassifier(n_estimators=9), LogisticRegression(max_iter=500)], ids=["xgb", "lr"])
def test_labels_that_were_encoded_come_back_as_the_targets(model: Any, kind: str) -> None:
    labels = ENCODED[kind]
    encoder = LabelEncoder().fit(labels)
    fitted = make_pipeline(StandardScaler(), clone(model)).fit(X, encoder.transform(labels))
    found, given = answer(fitted, labels)
    np.testing.assert_allclose(found, fitted.predict_proba(X), atol=1e-5)
    assert given[0].tolist() == encoder.inverse_transform(fitted.predict(X)).tolist()
    told = said(fitted, TrainingData.of(FRAME, labels), FRAME)
    assert told.classes == tuple(encoder.classes_.tolist())
    np.testing.assert_allclose(told.scores, found[:, 1] if found.shape[1] == 2 else found, atol=1e-5)


def test_labels_that_were_encoded_in_another_order_are_refused() -> None:
    order = {"top": 0, "low": 1, "mid": 2}
    fitted = XGBClassifier(n_estimators=9).fit(X, [order[one] for one in THREE])
    with pytest.raises(DeclarationError, match=r"training rows say that these are \{'low': 1, 'mid': 2, 'top': 0"):
        export(fitted, FRAME, THREE)


def test_a_trial_is_asked_with_the_columns_that_it_was_fitted_on() -> None:
    data = TrainingData.of(FRAME, YES)
    fitted = LogisticRegression().fit(data.X.select("b"), data.y)
    np.testing.assert_array_equal(said(fitted, data, FRAME).scores, fitted.predict_proba(X.select("b"))[:, 1])
