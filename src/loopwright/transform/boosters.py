"""The converters of LightGBM and XGBoost, from onnxmltools, made known to skl2onnx."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from skl2onnx import update_registered_converter  # type: ignore[import-untyped]
from skl2onnx.common.shape_calculator import (  # type: ignore[import-untyped]
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)

_CLASSIFIER = {"nocl": [True, False], "zipmap": [True, False, "columns"]}


def _register_lightgbm() -> None:
    from lightgbm import LGBMClassifier, LGBMRegressor
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import (  # type: ignore[import-untyped]
        convert_lightgbm,
    )

    def convert(scope: object, operator: object, container: object) -> None:
        convert_lightgbm(scope, operator, _RoundedDown(container))

    _register(LGBMClassifier, LGBMRegressor, "LightGbm", convert)


class _RoundedDown:
    """A container whose trees get thresholds that mean to float32 what LightGBM's, which are doubles, mean.

    A threshold lies in the middle of two values, which may be next to a value of float32: rounded to the nearest, it
    would let that value pass on the wrong side. `x <= t` is the same for every float32 x when t is rounded down.
    """

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *args: Any, **attributes: Any) -> None:
        if "nodes_values" in attributes:
            attributes["nodes_values"] = rounded_down(attributes["nodes_values"])
        self._container.add_node(*args, **attributes)


def rounded_down(thresholds: Sequence[float]) -> list[float]:
    """To the largest float32 that is no larger.

    >>> rounded_down([0.5, 35.32999992370606])
    [0.5, 35.32999801635742]
    """
    exact = np.asarray(thresholds, dtype=np.float64)
    nearest = exact.astype(np.float32)
    lower = np.nextafter(nearest, np.float32(-np.inf))
    found: list[float] = np.where(nearest.astype(np.float64) > exact, lower, nearest).astype(np.float64).tolist()
    return found


def _register_xgboost() -> None:
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost  # type: ignore[import-untyped]
    from xgboost import XGBClassifier, XGBRegressor

    _register(XGBClassifier, XGBRegressor, "XGBoost", convert_xgboost)


def _register(classifier: type, regressor: type, name: str, convert: object) -> None:
    classes, numbers = calculate_linear_classifier_output_shapes, calculate_linear_regressor_output_shapes
    update_registered_converter(classifier, f"{name}Classifier", classes, convert, options=_CLASSIFIER)
    update_registered_converter(regressor, f"{name}Regressor", numbers, convert, options={"split": None})


REGISTER: Mapping[str, Callable[[], None]] = {"lightgbm": _register_lightgbm, "xgboost": _register_xgboost}
"""By the name of the library, which is imported."""
