"""What cannot go into the graph, refused before the conversion and by name, with the nearest thing that can.

Here stands what converts *wrongly* without a word, what needs operators outside the standard, and what could not be
fitted again on the graph's own output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from sklearn.base import BaseEstimator  # type: ignore[import-untyped]

from loopwright.errors import DeclarationError

Estimator: TypeAlias = Any  # scikit-learn has no types

_BY_NAME = {
    "TfidfVectorizer": "no standard operator splits strings: use HashBuckets or OneHotEncoder on short texts",
    "CountVectorizer": "no standard operator splits strings: use HashBuckets or OneHotEncoder on short texts",
    "HashingVectorizer": "no standard operator looks into a string: use HashBuckets",
    "FeatureHasher": "no standard operator looks into a string: use HashBuckets",
    "FunctionTransformer": "a Python function has no graph: use Log1p, Ratio, Calendar, Cross or Distance",
    "TargetEncoder": "fitting again on its output would leak the label: use OrdinalEncoder",
    "TransformedTargetRegressor": "its inverse function has no graph: fit the regressor on the transformed label",
    "CatBoostClassifier": "use LGBMClassifier, XGBClassifier or HistGradientBoostingClassifier",
    "CatBoostRegressor": "use LGBMRegressor, XGBRegressor or HistGradientBoostingRegressor",
}


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
        if name == "SimpleImputer" and part.add_indicator:
            raise refused("SimpleImputer(add_indicator=True)", "its converter drops the indicator: set it False")


def refused(name: str, nearest: str) -> DeclarationError:
    return DeclarationError(
        f"{name} cannot be exported to the graph", where="the estimator train() returns", fix=nearest
    )


def parts(estimator: Estimator) -> Iterator[Estimator]:
    """The estimator and all it is made of, fitted ones where there are such."""
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
