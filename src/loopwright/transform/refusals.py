"""What cannot go into the graph, refused before the conversion and by name, with the nearest thing that can.

Here stands what converts *wrongly* without a word, what needs operators outside the standard, and what could not be
fitted again on the graph's own output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from sklearn.base import BaseEstimator, is_classifier, is_regressor  # type: ignore[import-untyped]
from sklearn.pipeline import Pipeline  # type: ignore[import-untyped]

from loopwright.errors import DeclarationError

Estimator: TypeAlias = Any  # scikit-learn has no types

_BY_NAME = {
    "TfidfVectorizer": 'no standard operator splits texts as it does: use Words(n, weight="tfidf")',
    "CountVectorizer": "no standard operator splits texts as it does: use Words(n)",
    "HashingVectorizer": "no standard operator hashes words: use Words(n), or HashBuckets on short texts",
    "FeatureHasher": "no standard operator looks into a string: use HashBuckets",
    "FunctionTransformer": "a Python function has no graph: use Log1p, Ratio, Calendar, Cross or Distance",
    "TargetEncoder": "fitting again on its output would leak the label: use OrdinalEncoder",
    "TransformedTargetRegressor": "its inverse function has no graph: fit the regressor on the transformed label",
    "CatBoostClassifier": "use LGBMClassifier, XGBClassifier or HistGradientBoostingClassifier",
    "CatBoostRegressor": "use LGBMRegressor, XGBRegressor or HistGradientBoostingRegressor",
    "XGBRFClassifier": "use RandomForestClassifier",
    "XGBRFRegressor": "use RandomForestRegressor",
    "FixedThresholdClassifier": "a label here is the class of the largest probability: return the classifier in it",
    "TunedThresholdClassifierCV": "a label here is the class of the largest probability: return the classifier in it",
}
_FOREIGN = {
    ("lightgbm", "Booster"): "fit lightgbm.LGBMClassifier or LGBMRegressor instead of lightgbm.train()",
    ("xgboost", "Booster"): "fit xgboost.XGBClassifier or XGBRegressor instead of xgboost.train()",
    ("catboost", "CatBoostClassifier"): _BY_NAME["CatBoostClassifier"],
    ("catboost", ""): _BY_NAME["CatBoostRegressor"],
    ("keras", ""): "return a torch.nn.Module, or export it to ONNX yourself (model.export) and return the graph",
    ("tensorflow", ""): "return a torch.nn.Module, or export it to ONNX yourself (tf2onnx) and return the graph",
    ("torch", ""): "return the torch.nn.Module itself, or (fitted transform, module)",
}
_ACCEPTED = "a fitted scikit-learn, LightGBM or XGBoost estimator or pipeline, a torch.nn.Module, or an ONNX graph"
_TREES = ("sklearn.tree", "sklearn.ensemble", "lightgbm", "xgboost")


def not_a_model(given: object) -> DeclarationError:
    """For what train() returned and is no estimator, with the nearest thing that is."""
    kind = given if isinstance(given, type) else type(given)
    what = f"the class {kind.__name__}" if isinstance(given, type) else repr(given)[:80]
    for above in kind.__mro__:
        library = above.__module__.split(".")[0]
        nearest = _FOREIGN.get((library, above.__name__)) or _FOREIGN.get((library, ""))
        if nearest and not isinstance(given, type):
            return DeclarationError(
                f"train() returned a {library} {kind.__name__}", where="what train() returns", fix=nearest
            )
    fix = "return the model that train() fitted" if given is None else f"return {_ACCEPTED}"
    return DeclarationError(f"train() returned {what}, which is no fitted model", where="what train() returns", fix=fix)


def refuse(estimator: Estimator) -> None:
    """Raises `DeclarationError` for the first part of the estimator that cannot be exported."""
    for part in parts(estimator):
        name = type(part).__name__
        if name in _BY_NAME and not _is_passthrough(part):
            raise refused(name, _BY_NAME[name])
        if name.startswith("HistGradientBoosting") and _has_categories(part):
            raise refused(
                f"{name} with categorical_features", "its converter gives every row wrong: use OrdinalEncoder before it"
            )
        if name == "HistGradientBoostingRegressor" and part.loss in ("poisson", "gamma"):
            raise refused(f"{name}(loss={part.loss!r})", f"use LGBMRegressor(objective={part.loss!r})")
        if name == "SimpleImputer" and part.add_indicator:
            raise refused("SimpleImputer(add_indicator=True)", "its converter drops the indicator: set it False")
        if name == "CalibratedClassifierCV" and part.method != "sigmoid":
            raise refused(f"{name}(method={part.method!r})", 'its converter gives it wrong: use method="sigmoid"')
        if name == "CalibratedClassifierCV" and type(part.estimator).__name__ == "LGBMClassifier":
            raise refused(f"{name}(LGBMClassifier)", "the two converters do not fit: calibrate an XGBClassifier")
        if hasattr(part, "booster_"):
            _refuse_lightgbm(name, part)
        elif hasattr(part, "get_booster"):
            _refuse_xgboost(name, part)


def refuse_final(model: Estimator) -> None:
    """As `refuse`, and for what can be part of a model and no model by itself."""
    refuse(model)
    name = type(model).__name__
    if is_classifier(model):
        if not hasattr(model, "predict_proba"):
            raise refused(
                f"{name} without probabilities", "use LogisticRegression, or wrap it: CalibratedClassifierCV(...)"
            )
    elif not is_regressor(model):
        raise refused(f"{name}, which neither classifies nor predicts a number,", f"return {_ACCEPTED}")
    for part in parts(model):
        if isinstance(part, Pipeline) and type(part.steps[-1][1]).__module__.startswith(_TREES):
            raise refused(
                f"a transform before trees within {name}", f"put the transform before the whole {name}, in one pipeline"
            )


def _refuse_lightgbm(name: str, model: Estimator) -> None:
    given = model.get_params()
    if model.booster_.params.get("categorical_column") or model.booster_.pandas_categorical:
        raise refused(f"{name} with categorical features", "its converter knows numbers only: use OrdinalEncoder")
    for parameter in ("linear_tree", "linear_trees", "zero_as_missing", "reg_sqrt"):
        if given.get(parameter):
            raise refused(f"{name}({parameter}=True)", "its converter leaves that out: set it False")
    if getattr(model, "n_classes_", 1) > 2 and given["boosting_type"] == "rf":
        raise refused(f'{name}(boosting_type="rf") of several classes', "use RandomForestClassifier")
    if given.get("objective") in ("multiclassova", "multiclass_ova", "ova", "ovr"):
        raise refused(f"{name}(objective={given['objective']!r})", 'its converter gives it wrong: use "multiclass"')


def _refuse_xgboost(name: str, model: Estimator) -> None:
    given = model.get_params()
    if model.__sklearn_is_fitted__() and "c" in (model.get_booster().feature_types or ()):
        raise refused(f"{name} with categorical features", "its converter knows numbers only: use OrdinalEncoder")
    if given.get("booster") not in (None, "gbtree"):
        raise refused(f"{name}(booster={given['booster']!r})", 'its converter knows trees only: use booster="gbtree"')
    if given.get("missing") is not None and given["missing"] == given["missing"]:
        raise refused(f"{name}(missing={given['missing']!r})", "missing numbers are NaN here: leave missing= out")


def refused(name: str, nearest: str) -> DeclarationError:
    return DeclarationError(f"{name} cannot be exported to the graph", where="what train() returns", fix=nearest)


def parts(estimator: Estimator) -> Iterator[Estimator]:
    """The estimator and all it is made of, fitted ones where there are such."""
    if estimator is None:
        return
    yield estimator
    for inner in _inner(estimator):
        yield from parts(inner)


def _inner(estimator: Estimator) -> list[Estimator]:
    if hasattr(estimator, "transformers_"):
        found = [one[1] for one in estimator.transformers_]
    else:
        found = list(estimator.get_params(deep=False).values()) if hasattr(estimator, "get_params") else []
    flat = [one for value in found for one in (value if isinstance(value, list) else [value])]
    return [one[1] if isinstance(one, tuple) and len(one) == 2 else one for one in flat if _holds_estimator(one)]


def _holds_estimator(value: object) -> bool:
    inner = value[1] if isinstance(value, tuple) and len(value) == 2 else value
    return isinstance(inner, BaseEstimator)


def _is_passthrough(part: Estimator) -> bool:
    """What scikit-learn puts in place of "passthrough"."""
    return type(part).__name__ == "FunctionTransformer" and part.func is None


def _has_categories(model: Estimator) -> bool:
    declared = model.categorical_features
    if getattr(model, "is_categorical_", None) is not None:
        return bool(model.is_categorical_.any())
    return declared is not None and not (isinstance(declared, str) and declared == "from_dtype")
