"""The final model, taken out of searches and pipelines; and, where that is needed, fitted again on the graph's output.

It gets then as many trees as it had: what stopped early has no rows to stop by when it is fitted again. Without a seed
it gets the seed 0, so that the same training gives the same graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import clone  # type: ignore[import-untyped]
from sklearn.exceptions import NotFittedError  # type: ignore[import-untyped]
from sklearn.model_selection._search import BaseSearchCV  # type: ignore[import-untyped]
from sklearn.pipeline import Pipeline  # type: ignore[import-untyped]
from sklearn.utils.validation import check_is_fitted  # type: ignore[import-untyped]

from loopwright.errors import DeclarationError
from loopwright.transform.inputs import Array
from loopwright.transform.refusals import Estimator, not_a_model

_LIGHTGBM_TREES = (
    *("n_estimators", "num_iterations", "num_iteration", "n_iter", "num_tree", "num_trees", "num_round", "num_rounds"),
    *("nrounds", "num_boost_round", "max_iter"),
)
_LIGHTGBM_STOPS = ("early_stopping_round", "early_stopping_rounds", "early_stopping", "n_iter_no_change")


def split(estimator: Estimator) -> tuple[Estimator | None, Estimator]:
    """The fitted transform, None where there is none, and the fitted final model. Raises `DeclarationError`."""
    estimator = _best(estimator)
    if not isinstance(estimator, Pipeline):
        return None, _fitted(estimator)
    steps = [(name, step) for name, step in estimator.steps if step not in (None, "passthrough")]
    if not steps:
        raise not_a_model(estimator)
    inner, final = split(steps[-1][1])
    steps = [*steps[:-1], *([("inner", inner)] if inner is not None else [])]
    if steps:
        _fitted(steps[-1][1])
    return (Pipeline(steps) if steps else None), final


def fit_again(model: Estimator, matrix: Array, labels: Array, parameters: Mapping[str, object]) -> Estimator:
    """A copy of the model, fitted on the matrix. Raises `DeclarationError` when that cannot be done.

    True and False become 1 and 0, which several converters cannot tell from numbers anyway.
    """
    given = {name: np.asarray(value) if hasattr(value, "__array__") else value for name, value in parameters.items()}
    try:
        return unfitted(model).fit(matrix, labels.astype(np.int64) if labels.dtype == bool else labels, **given)
    except (TypeError, ValueError) as error:
        raise DeclarationError(
            f"{type(model).__name__} could not be fitted again on the graph's features: {error}",
            where="the export",
            fix="pass what its fit() took, such as sample_weight, to export() too; nothing else",
        ) from error


def unfitted(model: Estimator) -> Estimator:
    """A copy to fit again, with the number of trees that the model has."""
    fresh = clone(model)
    fresh.set_params(**dict.fromkeys(unseeded(model), 0))
    return _as_many_trees(model, fresh)


def unseeded(model: Estimator) -> list[str]:
    """Parameters that are seeds and are not set; boosters take their own seed then."""
    if hasattr(model, "booster_") or hasattr(model, "get_booster"):
        return []
    return [
        name for name, value in model.get_params().items() if value is None and name.split("__")[-1] == "random_state"
    ]


def _as_many_trees(model: Estimator, fresh: Estimator) -> Estimator:
    given = model.get_params(deep=False)
    if hasattr(model, "booster_"):  # LightGBM
        return _lightgbm(model, given) if model.best_iteration_ else fresh
    if hasattr(model, "get_booster"):  # XGBoost
        return _xgboost(model, fresh, given)
    if hasattr(model, "n_iter_") and type(model).__name__.startswith("HistGradientBoosting"):
        return fresh.set_params(early_stopping=False, max_iter=model.n_iter_)
    if type(model).__name__ == "VotingClassifier":  # its converter knows these forms only
        weights = None if model.weights is None else np.asarray(model.weights)
        return fresh.set_params(flatten_transform=False, weights=weights)
    if hasattr(model, "n_estimators_") and given.get("n_iter_no_change") is not None:  # gradient boosting
        return fresh.set_params(n_iter_no_change=None, n_estimators=model.n_estimators_)
    return fresh


def _lightgbm(model: Estimator, given: Mapping[str, Any]) -> Estimator:
    """Made anew: a parameter that has several names cannot be unset under one of them."""
    kept = {name: value for name, value in given.items() if name not in (*_LIGHTGBM_TREES, *_LIGHTGBM_STOPS)}
    return type(model)(**_cloned(kept), n_estimators=model.best_iteration_)


def _cloned(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: clone(value, safe=False) for name, value in parameters.items()}


def _xgboost(model: Estimator, fresh: Estimator, given: Mapping[str, Any]) -> Estimator:
    best = getattr(model, "best_iteration", None)
    if best is None:
        return fresh
    kept = [one for one in given.get("callbacks") or [] if type(one).__name__ != "EarlyStopping"]
    return fresh.set_params(early_stopping_rounds=None, callbacks=kept or None, n_estimators=best + 1)


def _best(estimator: Estimator) -> Estimator:
    if not isinstance(estimator, BaseSearchCV):
        return estimator
    _fitted(estimator)
    if not hasattr(estimator, "best_estimator_"):
        raise DeclarationError(
            f"{type(estimator).__name__}(refit=False) holds no fitted estimator",
            where="what train() returns",
            fix="write refit=True, or return the estimator fitted with the best parameters",
        )
    return estimator.best_estimator_


def _fitted(model: Estimator) -> Estimator:
    if isinstance(model, type) or not all(hasattr(model, name) for name in ("fit", "get_params")):
        raise not_a_model(model)
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise DeclarationError(
            f"{type(model).__name__} is not fitted",
            where="what train() returns",
            fix="call .fit(...) in train() and return what was fitted",
        ) from None
    return model
