"""What is fitted again is fitted as it was, with its weights and as many trees, and must come out close to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from lightgbm import LGBMClassifier, early_stopping
from sklearn.calibration import CalibratedClassifierCV  # type: ignore[import-untyped]
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.decomposition import PCA  # type: ignore[import-untyped]
from sklearn.ensemble import (  # type: ignore[import-untyped]
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from tests.unit.exporting import compared, exported, flights, score, transform
from xgboost import XGBClassifier
from xgboost.callback import EarlyStopping

from loopwright.errors import DeclarationError
from loopwright.transform.export import export
from loopwright.transform.inputs import Inputs
from loopwright.transform.refit import split

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")

LIGHT: dict[str, Any] = {"verbose": -1, "n_jobs": 1, "num_leaves": 4}
ROWS = flights(400).select("distance", "value").cast(pl.Float32).fill_null(1.0)
MATRIX = ROWS.to_numpy()
NOISY = (MATRIX[:, 0] > 700) ^ (np.random.default_rng(0).random(400) < 0.3)
STOPPED = [
    (
        LGBMClassifier(**LIGHT, n_estimators=300),
        {"eval_set": [(MATRIX[:100], ~NOISY[:100])], "callbacks": [early_stopping(5, verbose=False)]},
        lambda model: model.booster_.num_trees(),
    ),
    (
        LGBMClassifier(**LIGHT, num_iterations=300, early_stopping_round=5),
        {"eval_set": [(MATRIX[:100], ~NOISY[:100])]},
        lambda model: model.booster_.num_trees(),
    ),
    (
        XGBClassifier(n_estimators=300, max_depth=2, early_stopping_rounds=4, n_jobs=1),
        {"eval_set": [(MATRIX[:100], NOISY[:100])], "verbose": False},
        lambda model: getattr(model, "best_iteration", model.get_booster().num_boosted_rounds() - 1) + 1,
    ),
    (
        XGBClassifier(n_estimators=300, max_depth=2, callbacks=[EarlyStopping(rounds=4)], n_jobs=1),
        {"eval_set": [(MATRIX[:100], NOISY[:100])], "verbose": False},
        lambda model: getattr(model, "best_iteration", model.get_booster().num_boosted_rounds() - 1) + 1,
    ),
    (HistGradientBoostingClassifier(max_iter=300, early_stopping=True, random_state=0), {}, lambda one: one.n_iter_),
    (GradientBoostingClassifier(n_estimators=300, n_iter_no_change=3), {}, lambda one: len(one.estimators_)),
]  # fmt: skip


@pytest.mark.parametrize(("model", "given", "trees"), STOPPED, ids=lambda one: type(one).__name__)
def test_what_stopped_early_keeps_its_number_of_trees(model: Any, given: dict[str, Any], trees: Any) -> None:
    fitted = model.fit(MATRIX, NOISY, **given)
    found = export(fitted, ROWS, NOISY)
    assert 1 <= trees(fitted) < 300
    assert trees(found.estimator) == trees(fitted)
    compared(found, ROWS)


def test_what_did_not_stop_early_keeps_its_number_of_trees() -> None:
    for model in (LGBMClassifier(**LIGHT, n_estimators=7), XGBClassifier(n_estimators=7, n_jobs=1)):
        again = export(model.fit(MATRIX, NOISY), ROWS, NOISY).estimator
        assert again.n_estimators == 7


def rounded(model: Any) -> Any:
    """Behind a transform that the graph cannot follow to the last bit, so that trees must be fitted again."""
    return make_pipeline(make_column_transformer((PCA(), ["distance", "value"])), model)


BOOSTED: list[Any] = [HistGradientBoostingClassifier(max_iter=60), HistGradientBoostingRegressor(max_iter=60)]


@pytest.mark.parametrize("model", BOOSTED, ids=lambda one: type(one).__name__)
def test_what_rounding_moves_is_fitted_again_and_stays_close(model: Any) -> None:
    rows, target = many_rows()
    fitted = rounded(model).fit(rows, target if "Class" in type(model).__name__ else rows["distance"])
    found = export(fitted, rows, target if "Class" in type(model).__name__ else rows["distance"])
    assert found.reads_graph
    assert found.estimator is not fitted[-1]
    compared(found, rows)


def test_weights_reach_the_model_that_is_fitted_again() -> None:
    rows, target = many_rows()
    weights = pl.Series(np.where(target, 25.0, 0.04))
    fitted = rounded(BOOSTED[0]).fit(rows, target, histgradientboostingclassifier__sample_weight=weights.to_numpy())
    for name in ("sample_weight", "histgradientboostingclassifier__sample_weight"):
        found = export(fitted, rows, target, **{name: weights})  # type: ignore[arg-type]
        assert found.reads_graph
        compared(found, rows)
    with pytest.raises(DeclarationError, match=r"(?s)fitted on all rows and columns .mean difference.*drop the scaler"):
        export(fitted, rows, target)


def test_weights_that_the_model_did_not_have_are_left_out() -> None:
    rows, target = many_rows()
    fitted = rounded(BOOSTED[0]).fit(rows, target)
    assert export(fitted, rows, target, sample_weight=np.where(target, 25.0, 0.04)).reads_graph


def test_a_model_made_on_other_rows_is_not_passed_off_as_fitted_again() -> None:
    rows, target = many_rows()
    some = np.flatnonzero(target | (np.arange(len(target)) % 8 == 0))
    for given, labels in ((rows[some.tolist()], target[some]), (rows[:2000], target[:2000])):
        with pytest.raises(DeclarationError, match=r"(?s)cannot be made as it is, because the graph.*differ on"):
            export(rounded(BOOSTED[0]).fit(given, labels), rows, target)


def many_rows() -> tuple[pl.DataFrame, Any]:
    rows = flights(3000).select("distance", "value").cast(pl.Float32).fill_null(1.0)
    noise = np.random.default_rng(0).normal(size=3000)
    return rows, (rows["distance"] / 400 + noise > 2).to_numpy()


@pytest.mark.parametrize("inside", [False, True], ids=["the search holds the pipeline", "the pipeline ends in it"])
@pytest.mark.parametrize("search", [GridSearchCV, RandomizedSearchCV])
def test_a_search_gives_its_best(search: Any, inside: bool) -> None:
    frame = flights()
    rows, target = Inputs.of(frame).frame(frame), score(frame) > 3
    model = LGBMClassifier(**LIGHT, n_estimators=3)
    more = {"n_iter": 2, "random_state": 0} if search is RandomizedSearchCV else {}
    if inside:
        fitted = make_pipeline(transform(), search(model, {"n_estimators": [3, 30]}, cv=2, **more)).fit(rows, target)
        best = fitted[-1].best_params_["n_estimators"]
    else:
        choices = {"lgbmclassifier__n_estimators": [3, 30]}
        fitted = search(make_pipeline(transform(), model), choices, cv=2, **more).fit(rows, target)
        best = fitted.best_params_["lgbmclassifier__n_estimators"]
    found = export(fitted, frame, target)
    assert (type(found.estimator), found.estimator.n_estimators) == (LGBMClassifier, best)
    compared(found, flights(200, seed=1))


def test_a_pipeline_in_a_pipeline_is_one() -> None:
    model = make_pipeline(transform(), make_pipeline("passthrough", LogisticRegression()))
    frame = flights(100)
    before, final = split(model.fit(Inputs.of(frame).frame(frame), score(frame) > 3))
    assert before is not None
    assert (len(before.steps), type(final)) == (1, LogisticRegression)


LR = LogisticRegression(max_iter=50)
LGBM = LGBMClassifier(**LIGHT, n_estimators=4)
COMPOSED = [
    CalibratedClassifierCV(LR, cv=2),
    CalibratedClassifierCV(RandomForestClassifier(4), cv=2, ensemble=False),
    CalibratedClassifierCV(XGBClassifier(n_estimators=3, n_jobs=1), cv=2),
    VotingClassifier([("a", LR), ("b", LGBM)], voting="soft"),
    VotingClassifier([("a", LR), ("b", RandomForestClassifier(4))], voting="soft", weights=[1, 2]),
    StackingClassifier([("a", LR), ("b", LGBM)], cv=2, final_estimator=LGBM, passthrough=True),
    BaggingClassifier(LR, 3),
    BaggingClassifier(LGBM, 3, max_features=0.7),
    BaggingClassifier(XGBClassifier(n_estimators=3, n_jobs=1), 2),
    AdaBoostClassifier(n_estimators=4),
]


@pytest.mark.parametrize("names", [[False, True], ["late", "on time", "very late"]], ids=["two", "three"])
@pytest.mark.parametrize("model", COMPOSED, ids=lambda one: type(one).__name__)
def test_models_made_of_models_are_right(model: Any, names: list[Any]) -> None:
    if isinstance(getattr(model, "estimator", None), XGBClassifier) and len(names) > 2:
        names = [0, 1, 2]  # which is what it takes
    frame = flights(300)
    target = np.array(names)[np.digitize(score(frame), [3.0] if len(names) == 2 else [2.0, 4.0])]
    found = exported(model, target, frame)
    report = compared(found, flights(150, seed=1))
    assert (found.classes, report.refused, report.labels_differ) == (tuple(names), 0, 0)


def test_a_model_gives_the_same_graph_twice() -> None:
    frame, model = flights(200), RandomForestClassifier(3, random_state=0)
    assert len({exported(model, score(frame) > 3, frame).graph.SerializeToString() for _ in range(2)}) == 1
