"""scikit-learn's scalers as they are in Python: in double, rounded to float32 once, at the end.

skl2onnx multiplies by the rounded inverse instead of dividing, and rounds a mean before it is subtracted: a few of the
last bits, which move values across the thresholds of trees. scikit-learn takes columns of a polars frame as doubles.
What rounds to float32 itself (XGBoost, forests) then meets the same number in Python and in the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from onnx import TensorProto
from skl2onnx.common._registration import get_converter, register_converter  # type: ignore[import-untyped]

from loopwright.transform.inputs import Array
from loopwright.transform.nodes import Nodes, Skl

Steps: TypeAlias = Callable[[Nodes, Skl, str], str]


def register_scalers() -> None:
    steps = {"Scaler": _standard, "RobustScaler": _robust, "MinMaxScaler": _min_max, "MaxAbsScaler": _max_abs}
    for name, scale in steps.items():
        options = get_converter(f"Sklearn{name}").get_allowed_options()
        register_converter(f"Sklearn{name}", _converter(scale), overwrite=True, options=options)


def _converter(scale: Steps) -> Callable[[Skl, Skl, Skl], None]:
    def convert(scope: Skl, operator: Skl, container: Skl) -> None:
        nodes = Nodes(scope, operator, container)
        given = [nodes.cast(one.full_name, TensorProto.DOUBLE) for one in operator.inputs]
        matrix = given[0] if len(given) == 1 else nodes("Concat", *given, axis=1)
        found = nodes.cast(scale(nodes, operator.raw_operator, matrix), TensorProto.FLOAT)
        nodes("Identity", found, to=operator.outputs[0].full_name)

    return convert


def _standard(nodes: Nodes, model: Skl, matrix: str) -> str:
    if model.with_mean:
        matrix = _by(nodes, "Sub", matrix, model.mean_)
    return _by(nodes, "Div", matrix, model.scale_) if model.with_std else matrix


def _robust(nodes: Nodes, model: Skl, matrix: str) -> str:
    if model.with_centering:
        matrix = _by(nodes, "Sub", matrix, model.center_)
    return _by(nodes, "Div", matrix, model.scale_) if model.with_scaling else matrix


def _min_max(nodes: Nodes, model: Skl, matrix: str) -> str:
    moved = _by(nodes, "Add", _by(nodes, "Mul", matrix, model.scale_), model.min_)
    return _clipped(nodes, moved, *model.feature_range) if model.clip else moved


def _max_abs(nodes: Nodes, model: Skl, matrix: str) -> str:
    scaled = _by(nodes, "Div", matrix, model.scale_)
    return _clipped(nodes, scaled, -1, 1) if getattr(model, "clip", False) else scaled


def _by(nodes: Nodes, kind: str, matrix: str, each: Array) -> str:
    """One number a column."""
    return nodes(kind, matrix, nodes.const(each.reshape(1, -1), "d"))


def _clipped(nodes: Nodes, matrix: str, low: float, high: float) -> str:
    """NaN stays."""
    return nodes("Clip", matrix, nodes.const(low, "d"), nodes.const(high, "d"))
