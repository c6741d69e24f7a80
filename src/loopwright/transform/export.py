"""What train() returns as one ONNX graph from raw columns to the prediction, right by construction.

A scaler before trees would move values across their split thresholds by float32's rounding. So the transform is
exported first and run through ONNX Runtime; the final model is fitted *again*, on exactly that output; the two graphs
are merged. What the graph computes is then what the model was fitted on. The graph, and the model fitted again, are the
result: the estimator given is only read. A PyTorch module has no thresholds at which rounding matters: it is exported
as it is. An ONNX graph is taken as it is.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import onnx
from onnx import TensorProto
from skl2onnx import to_onnx  # type: ignore[import-untyped]
from skl2onnx.common.data_types import (  # type: ignore[import-untyped]
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.base import is_classifier  # type: ignore[import-untyped]
from sklearn.pipeline import Pipeline  # type: ignore[import-untyped]

from loopwright.errors import DeclarationError
from loopwright.transform import graphs, torch
from loopwright.transform.assembly import FEATURES, IR_VERSION, OPSET, finish, matrix_of, merge, opsets, side_by_side
from loopwright.transform.converters import register
from loopwright.transform.exported import Exported, Model, target_of
from loopwright.transform.inputs import Frame, Inputs, Kind
from loopwright.transform.refit import fit_again, split
from loopwright.transform.refusals import Estimator, refuse, refuse_final, refused

_TENSORS = {Kind.STRING: StringTensorType, Kind.NUMBER: FloatTensorType, Kind.TIME: Int64TensorType}
_CONVERSION = (ArithmeticError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)
_MOVES = {"Identity", "Concat", "Gather", "ArrayFeatureExtractor", "Split", "Slice", "Reshape", "Transpose", "Flatten"}
_CALENDAR = {"Equal", "Min"}
_GREW = {"TreeEnsembleClassifier", "TreeEnsembleRegressor"}
"""Converters write them for ai.onnx.ml 1, although told 3, which but lets their numbers be doubles too."""


def export(model: Model, rows: Frame, target: object, *, task: str | None = None, **fit_parameters: object) -> Exported:
    """Export what train() returned; `rows` and `target` are the training rows.

    Takes a fitted scikit-learn, LightGBM or XGBoost estimator, bare or last in a pipeline or search; a
    `torch.nn.Module`, bare or as (fitted transform, module); an ONNX graph. `fit_parameters` (sample_weight=...) go to
    the final estimator's `fit`. Raises `DeclarationError` naming what cannot be exported, `DataError` for the target.
    """
    if torch.is_network(model):
        return _network(model, rows, target, task, fit_parameters)
    if graphs.is_graph(model):
        _no_parameters(fit_parameters)
        return graphs.exported(model, Inputs.of(rows), rows, target, task)
    return _estimator(model, rows, target, task, fit_parameters)


def _estimator(
    estimator: Estimator, rows: Frame, target: object, task: str | None, parameters: dict[str, object]
) -> Exported:
    register()
    transform, final = split(estimator)
    refuse(transform)
    refuse_final(final)
    inputs, known = Inputs.of(rows), target_of(target, task, classifies=is_classifier(final))
    transform_graph = _transform_graph(transform, inputs)
    matrix = matrix_of(transform_graph, inputs, inputs.feed(rows))
    final = fit_again(final, matrix, known.values, _own(estimator, parameters))
    merged = merge(transform_graph, _final_graph(final, matrix.shape[1]))
    return Exported(
        graph=finish(merged, inputs, known.task, known.classes),
        inputs=inputs,
        task=known.task,
        classes=known.classes,
        transform=transform,
        transform_graph=transform_graph,
        estimator=final,
    )


def _network(model: Model, rows: Frame, target: object, task: str | None, parameters: dict[str, object]) -> Exported:
    _no_parameters(parameters)
    register()
    transform, module = model if isinstance(model, tuple) else (None, model)
    if transform is not None:
        transform, last = split(Pipeline([("transform", transform)]))
        transform = last if transform is None else Pipeline([("before", transform), ("last", last)])
        refuse(transform)
    inputs, known = Inputs.of(rows), target_of(target, task)
    transform_graph = _transform_graph(transform, inputs)
    matrix = matrix_of(transform_graph, inputs, inputs.feed(rows))
    network = torch.Network.of(module, matrix, known)
    merged = merge(transform_graph, _at_one_opset(network.graph()))
    return Exported(
        graph=finish(merged, inputs, known.task, known.classes),
        inputs=inputs,
        task=known.task,
        classes=known.classes,
        transform=transform,
        transform_graph=transform_graph,
        estimator=network,
    )


def _no_parameters(parameters: dict[str, object]) -> None:
    if parameters:
        raise DeclarationError(
            f"export() got {', '.join(parameters)}, but only an estimator is fitted again", fix="leave them out"
        )


def _own(estimator: Estimator, parameters: dict[str, object]) -> dict[str, object]:
    """Named as for the whole pipeline's fit, or as for the final model's."""
    last = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
    return {name.removeprefix(last): value for name, value in parameters.items()}


def _transform_graph(transform: Estimator | None, inputs: Inputs) -> onnx.ModelProto:
    if transform is None:
        return side_by_side(inputs)
    types = [(column.name, _TENSORS[column.kind]([None, 1])) for column in inputs.columns]
    graph = _converted(transform, types, {})
    output = graph.graph.output[0]
    numbers = output.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.INT64)
    if len(graph.graph.output) != 1 or not numbers:
        raise DeclarationError(
            "the transform lets strings or several matrices through to the model",
            where="what train() returns",
            fix="encode every string (OneHotEncoder, OrdinalEncoder) and timestamp (Calendar), or drop the column",
        )
    for name in inputs.named(Kind.TIME):
        _refuse_raw_time(graph.graph, name)
    return graph


def _refuse_raw_time(graph: onnx.GraphProto, name: str) -> None:
    """Microseconds as float32 would be minutes off. Only `Calendar` may read them, however they are moved around."""
    moved = {name}
    for node in graph.node:
        reads = moved & set(node.input)
        if reads and node.op_type in _MOVES:
            moved |= set(node.output)
        elif reads and node.op_type not in _CALENDAR:
            raise _raw_time(name)
    if moved & {one.name for one in graph.output}:
        raise _raw_time(name)


def _raw_time(name: str) -> DeclarationError:
    return DeclarationError(
        f"the transform lets the timestamp {name!r} through to the model as a number",
        where="what train() returns",
        fix="put Calendar on it, or drop the column",
    )


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
        raise refused(type(estimator).__name__, _reason(error)) from error
    return _at_one_opset(graph)


def _reason(error: Exception) -> str:
    told = " ".join(str(error).split())
    unknown = re.search(r"Unable to find a (?:shape calculator|converter) for type '<class '([\w.]+)'>'", told)
    return f"there is no converter for {unknown[1]}: use another" if unknown else f"its converter says: {told[:300]}"


def _at_one_opset(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Merging needs both sides to say the same.

    Converters write for `OPSET`, or say that they wrote for less: no operator may have changed since.
    """
    said = {one.domain: one.version for one in graph.opset_import}
    foreign = said.keys() - OPSET.keys()
    if foreign:
        raise refused(f"an estimator that needs the operators of {sorted(foreign)}", "leave its column out")
    changed = {one.op_type for one in graph.graph.node if _version(one, said) != _version(one, OPSET)} - _GREW
    if changed:
        raise refused(f"an estimator whose converter writes older {sorted(changed)}", "use another estimator")
    del graph.opset_import[:]
    graph.opset_import.extend(opsets())
    graph.ir_version = IR_VERSION
    return graph


def _version(node: onnx.NodeProto, opset: Mapping[str, int]) -> int:
    """The operator set that gave the node's operator the meaning which it has in another."""
    newest = opset.get(node.domain, OPSET[node.domain])
    return int(onnx.defs.get_schema(node.op_type, newest, node.domain).since_version)


def _final_graph(final: Estimator, width: int) -> onnx.ModelProto:
    options: dict[int, object] = {id(final): {"zipmap": False}} if is_classifier(final) else {}
    return _converted(final, [(FEATURES, FloatTensorType([None, width]))], options)
