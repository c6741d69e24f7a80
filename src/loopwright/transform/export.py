"""A fitted estimator as one ONNX graph from raw columns to the prediction, right by construction.

A scaler before trees would move values across their split thresholds by float32's rounding. So the transform is
exported first and run through ONNX Runtime; the final model is fitted *again*, on exactly that output; the two graphs
are merged. What the graph computes is then what the model was fitted on. The graph, and the model fitted again, are the
result: the estimator given is only read.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
import onnxruntime as ort  # type: ignore[import-untyped]
from onnx import TensorProto, compose, helper
from skl2onnx import to_onnx  # type: ignore[import-untyped]
from skl2onnx.common.data_types import (  # type: ignore[import-untyped]
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.base import clone, is_classifier  # type: ignore[import-untyped]
from sklearn.pipeline import Pipeline  # type: ignore[import-untyped]

from loopwright.errors import DeclarationError
from loopwright.transform.converters import register
from loopwright.transform.inputs import Array, Feed, Frame, Inputs, Kind
from loopwright.transform.refusals import Estimator, refuse, refused

OPSET = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 8
Task: TypeAlias = Literal["classification", "regression"]
_TENSORS = {Kind.STRING: StringTensorType, Kind.NUMBER: FloatTensorType, Kind.TIME: Int64TensorType}
_ELEMENTS = {Kind.STRING: TensorProto.STRING, Kind.NUMBER: TensorProto.FLOAT, Kind.TIME: TensorProto.INT64}
_CONVERSION = (ArithmeticError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The graph, and the Python model it must agree with.

    `transform` and `estimator` are the fitted transform as given (None: the columns side by side) and the final model
    fitted again on `transform_graph`'s output. `classes` is empty for a regressor.
    """

    graph: onnx.ModelProto
    inputs: Inputs
    task: Task
    classes: tuple[str | int | bool, ...]
    transform: Estimator | None
    transform_graph: onnx.ModelProto
    estimator: Estimator


def export(estimator: Estimator, rows: Frame, target: object, **fit_parameters: object) -> Exported:
    """Export a fitted scikit-learn, LightGBM or XGBoost model, bare or last in a pipeline.

    `rows` and `target` are the training rows; `fit_parameters` (sample_weight=...) go to the final model's `fit`.
    Raises `DeclarationError` naming what cannot be exported.
    """
    register()
    estimator = getattr(estimator, "best_estimator_", estimator)
    refuse(estimator)
    inputs = Inputs.of(rows)
    transform, final = _split(estimator)
    transform_graph = _transform_graph(transform, inputs)
    matrix = _matrix(transform_graph, inputs.feed(rows))
    final = _unfitted(final).fit(matrix, np.asarray(target), **fit_parameters)
    task: Task = "classification" if is_classifier(final) else "regression"
    classes = tuple(np.asarray(final.classes_).tolist()) if task == "classification" else ()
    merged = _merge(transform_graph, _final_graph(final, matrix.shape[1]))
    return Exported(
        graph=_finish(merged, inputs, task, classes),
        inputs=inputs,
        task=task,
        classes=classes,
        transform=transform,
        transform_graph=transform_graph,
        estimator=final,
    )


def session(graph: onnx.ModelProto | bytes) -> Any:
    """ONNX Runtime with one thread (best for one row) that writes nothing to the disk."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    content = graph if isinstance(graph, bytes) else graph.SerializeToString()
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _split(estimator: Estimator) -> tuple[Estimator | None, Estimator]:
    if not isinstance(estimator, Pipeline):
        return None, _final(estimator)
    steps = [(name, step) for name, step in estimator.steps if step not in (None, "passthrough")]
    return (Pipeline(steps[:-1]) if steps[:-1] else None), _final(steps[-1][1])


def _final(model: Estimator) -> Estimator:
    if hasattr(model, "predict") and hasattr(model, "fit") and hasattr(model, "get_params"):
        return model
    raise refused(
        type(model).__name__, "return a fitted scikit-learn estimator or pipeline; of the boosters, LGBM... or XGB..."
    )


def _unfitted(model: Estimator) -> Estimator:
    """A copy to fit again. What stopped early is given the number of trees it stopped at."""
    fresh, given = clone(model), model.get_params()
    if given.get("early_stopping_rounds") and hasattr(model, "get_booster"):
        fresh.set_params(early_stopping_rounds=None, n_estimators=model.best_iteration + 1)
    elif getattr(model, "best_iteration_", None) and hasattr(model, "booster_"):
        fresh.set_params(n_estimators=model.best_iteration_)
    return fresh


def _transform_graph(transform: Estimator | None, inputs: Inputs) -> onnx.ModelProto:
    if transform is None:
        return _side_by_side(inputs)
    types = [(column.name, _TENSORS[column.kind]([None, 1])) for column in inputs.columns]
    graph = _converted(transform, types, {})
    output = graph.graph.output[0]
    if len(graph.graph.output) != 1 or output.type.tensor_type.elem_type not in (
        TensorProto.FLOAT,
        TensorProto.INT64,
    ):
        raise DeclarationError(
            "the transform lets strings or several matrices through to the model",
            where="the estimator train() returns",
            fix="encode every string (OneHotEncoder, OrdinalEncoder) and timestamp (Calendar), or drop the column",
        )
    return graph


def _side_by_side(inputs: Inputs) -> onnx.ModelProto:
    """Numbers as they are: what a bare model sees."""
    for column in inputs.columns:
        if column.kind is not Kind.NUMBER:
            raise DeclarationError(
                f"a bare model cannot take the {column.kind.value} column {column.name!r}",
                fix="put a ColumnTransformer with OrdinalEncoder, OneHotEncoder or Calendar before it",
            )
    names = [column.name for column in inputs.columns]
    node = helper.make_node("Concat", names, ["features"], axis=1)
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in names]
    result = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(names)])]
    graph = helper.make_graph([node], "loopwright", given, result)
    return helper.make_model(graph, opset_imports=_opsets(), ir_version=IR_VERSION)


def _converted(estimator: Estimator, types: list[tuple[str, Any]], options: dict[int, object]) -> onnx.ModelProto:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = to_onnx(
                estimator, initial_types=types, target_opset=OPSET, options=options or None, name="loopwright"
            )
    except DeclarationError:
        raise
    except _CONVERSION as error:
        reason = " ".join(str(error).split())[:300]
        raise refused(type(estimator).__name__, f"its converter says: {reason}") from error
    return _at_one_opset(graph)


def _at_one_opset(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Every node skl2onnx writes for a target is valid at that target; merging needs both sides to say the same."""
    foreign = {one.domain for one in graph.opset_import} - set(OPSET)
    if foreign:
        raise refused(f"an estimator that needs the operators of {sorted(foreign)}", "leave its column out")
    del graph.opset_import[:]
    graph.opset_import.extend(_opsets())
    graph.ir_version = IR_VERSION
    return graph


def _opsets() -> list[onnx.OperatorSetIdProto]:
    return [helper.make_opsetid(domain, version) for domain, version in OPSET.items()]


def _matrix(graph: onnx.ModelProto, feed: Feed) -> Array:
    running = session(graph)
    known = {one.name for one in running.get_inputs()}
    raw = {name.removeprefix("column:"): values for name, values in feed.items()}
    return np.asarray(running.run(None, {name: raw[name] for name in known})[0], dtype=np.float32)


def _final_graph(final: Estimator, width: int) -> onnx.ModelProto:
    options: dict[int, object] = {id(final): {"zipmap": False}} if is_classifier(final) else {}
    return _converted(final, [("features", FloatTensorType([None, width]))], options)


def _merge(first: onnx.ModelProto, second: onnx.ModelProto) -> onnx.ModelProto:
    """The two graphs joined; raw column names stay, all else is prefixed so that nothing can meet."""
    first = compose.add_prefix(first, "transform/", rename_inputs=False)
    second = compose.add_prefix(second, "model/")
    matrix = first.graph.output[0]
    joint = matrix.name
    if matrix.type.tensor_type.elem_type != TensorProto.FLOAT:
        joint = "transform/as_float"
        first.graph.node.append(helper.make_node("Cast", [matrix.name], [joint], to=TensorProto.FLOAT))
        first.graph.output[0].CopyFrom(helper.make_tensor_value_info(joint, TensorProto.FLOAT, None))
    return compose.merge_models(first, second, io_map=[(joint, second.graph.input[0].name)])


def _finish(model: onnx.ModelProto, inputs: Inputs, task: Task, classes: tuple[object, ...]) -> onnx.ModelProto:
    """Name and shape the outputs as everywhere: label and probabilities, or value."""
    graph, found = model.graph, [one.name for one in model.graph.output]
    del graph.output[:]
    _name_inputs(graph, inputs)
    if task == "regression":
        graph.initializer.append(helper.make_tensor("loopwright/flat", TensorProto.INT64, [1], [-1]))
        graph.node.append(helper.make_node("Reshape", [found[0], "loopwright/flat"], ["value"]))
        graph.output.append(helper.make_tensor_value_info("value", TensorProto.FLOAT, [None]))
    else:
        element = _label_element(classes)
        graph.initializer.append(helper.make_tensor("loopwright/flat", TensorProto.INT64, [1], [-1]))
        graph.node.append(helper.make_node("Reshape", [found[0], "loopwright/flat"], ["loopwright/label"]))
        kind = "Identity" if element == TensorProto.STRING else "Cast"
        cast: dict[str, Any] = {} if kind == "Identity" else {"to": element}
        graph.node.append(helper.make_node(kind, ["loopwright/label"], ["label"], **cast))
        graph.node.append(helper.make_node("Identity", [found[1]], ["probabilities"]))
        graph.output.append(helper.make_tensor_value_info("label", element, [None]))
        graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, len(classes)]))
    model.graph.name, model.producer_name = "loopwright", "loopwright"
    onnx.checker.check_model(model)
    return model


def _label_element(classes: tuple[object, ...]) -> int:
    if all(isinstance(one, bool) for one in classes):
        return int(TensorProto.BOOL)
    return int(TensorProto.STRING if isinstance(classes[0], str) else TensorProto.INT64)


def _name_inputs(graph: onnx.GraphProto, inputs: Inputs) -> None:
    """Columns called like an output are renamed; every column is an input, used or not."""
    renamed = {column.name: column.input for column in inputs.columns if column.input != column.name}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    del graph.input[:]
    for column in inputs.columns:
        graph.input.append(helper.make_tensor_value_info(column.input, _ELEMENTS[column.kind], [None, 1]))
