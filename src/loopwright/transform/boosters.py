"""The converters of LightGBM and XGBoost, from onnxmltools, made known to skl2onnx."""

from __future__ import annotations

from onnxmltools.convert.lightgbm.operator_converters.LightGbm import (  # type: ignore[import-untyped]
    convert_lightgbm,
)
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost  # type: ignore[import-untyped]
from skl2onnx import update_registered_converter  # type: ignore[import-untyped]
from skl2onnx.common.shape_calculator import (  # type: ignore[import-untyped]
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)

_CLASSIFIER = {"nocl": [True, False], "zipmap": [True, False, "columns"]}


def register_lightgbm() -> None:
    from lightgbm import LGBMClassifier, LGBMRegressor

    _register(LGBMClassifier, LGBMRegressor, "LightGbm", convert_lightgbm)


def register_xgboost() -> None:
    from xgboost import XGBClassifier, XGBRegressor

    _register(XGBClassifier, XGBRegressor, "XGBoost", convert_xgboost)


def _register(classifier: type, regressor: type, name: str, convert: object) -> None:
    classes, numbers = calculate_linear_classifier_output_shapes, calculate_linear_regressor_output_shapes
    update_registered_converter(classifier, f"{name}Classifier", classes, convert, options=_CLASSIFIER)
    update_registered_converter(regressor, f"{name}Regressor", numbers, convert, options={"split": None})
