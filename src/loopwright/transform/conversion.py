"""A fitted transform or model as a graph, by skl2onnx and the converters registered with it.

The estimator is only read. Columns go in by their places, so that no name meets one of skl2onnx's own.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from skl2onnx import to_onnx  # type: ignore[import-untyped]
from skl2onnx.common.data_types import (  # type: ignore[import-untyped]
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.base import is_classifier  # type: ignore[import-untyped]
from sklearn.compose import ColumnTransformer  # type: ignore[import-untyped]

from loopwright.errors import DeclarationError
from loopwright.transform.assembly import FEATURES, IR_VERSION, OPSET, opsets, places, side_by_side
from loopwright.transform.inputs import Inputs, Kind
from loopwright.transform.refusals import Estimator, parts, refused

_TENSORS = {Kind.STRING: StringTensorType, Kind.NUMBER: FloatTensorType, Kind.TIME: Int64TensorType}
_CONVERSION = (ArithmeticError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)
_MOVES = {"Identity", "Concat", "Gather", "ArrayFeatureExtractor", "Split", "Slice", "Reshape", "Transpose", "Flatten"}
_CALENDAR = {"Equal", "Min"}
_GREW = {"TreeEnsembleClassifier", "TreeEnsembleRegressor"}
"""Converters write them for ai.onnx.ml 1, although told 3, which but lets their numbers be doubles too."""


def transform_graph(transform: Estimator | None, inputs: Inputs, taken: Sequence[str]) -> onnx.ModelProto:
    """From the columns `taken`, in that order, to the matrix. Raises `DeclarationError`."""
    if transform is None:
        return side_by_side(inputs, taken)
    called, kinds = places(inputs), {column.name: column.kind for column in inputs.columns}
    with _columns_by_number(transform):
        graph = _converted(transform, [(called[name], _TENSORS[kinds[name]]([None, 1])) for name in taken], {})
    output = graph.graph.output[0]
    numbers = output.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.INT64)
    if len(graph.graph.output) != 1 or not numbers:
        raise DeclarationError(
            "the transform lets strings or several matrices through to the model",
            where="what train() returns",
            fix="encode every string (OneHotEncoder, OrdinalEncoder) and timestamp (Calendar), or drop the column",
        )
    for name in inputs.named(Kind.TIME):
        _refuse_raw_time(graph.graph, called[name], name)
    return graph


def final_graph(final: Estimator, width: int) -> onnx.ModelProto:
    """From `features` to label and probabilities, or to the value. Raises `DeclarationError`."""
    known = _as_its_converter_knows(final)
    options: dict[int, object] = {id(known): {"zipmap": False}} if is_classifier(known) else {}
    return _converted(known, [(FEATURES, FloatTensorType([None, width]))], options)


def at_one_opset(graph: onnx.ModelProto) -> onnx.ModelProto:
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


def _as_its_converter_knows(model: Estimator) -> Estimator:
    """The same model, or a copy that predicts the same in the one form that its converter knows."""
    changed: dict[str, Any] = {}
    if type(model).__name__ == "VotingClassifier":
        weights = None if model.weights is None else np.asarray(model.weights)
        changed = {"flatten_transform": False, "weights": weights}
    classes = vars(model).get("classes_")
    if isinstance(classes, np.ndarray) and classes.dtype == bool:  # to several converters no number
        changed["classes_"] = classes.astype(np.int64)
    if hasattr(model, "get_booster"):
        changed["_Booster"] = _nameless(model.get_booster())
    if not changed:
        return model
    shown = copy.copy(model)
    vars(shown).update(changed)
    return shown


def _nameless(booster: Any) -> Any:
    """XGBoost's trees, whose converter reads a column's place from its name."""
    copied = booster.copy()
    copied.feature_names = copied.feature_types = None
    return copied


@contextmanager
def _columns_by_number(transform: Estimator) -> Iterator[None]:
    """Every ColumnTransformer within for a moment as if its columns had been given by number."""
    given = {id(one): (one, one.transformers_) for one in parts(transform) if isinstance(one, ColumnTransformer)}
    try:
        for one, transformers in given.values():
            numbers = one._transformer_to_input_indices
            one.transformers_ = [(name, part, [int(at) for at in numbers[name]]) for name, part, _ in transformers]
        yield
    finally:
        for one, transformers in given.values():
            one.transformers_ = transformers


def _refuse_raw_time(graph: onnx.GraphProto, called: str, name: str) -> None:
    """Microseconds as float32 would be minutes off. Only `Calendar` may read them, however they are moved around."""
    moved = {called}
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
    return at_one_opset(graph)


def _reason(error: Exception) -> str:
    told = " ".join(str(error).split())
    unknown = re.search(r"Unable to find a (?:shape calculator|converter) for type '<class '([\w.]+)'>'", told)
    return f"there is no converter for {unknown[1]}: use another" if unknown else f"its converter says: {told[:300]}"
