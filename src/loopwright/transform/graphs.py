"""An ONNX graph that somebody else made, fitted to the columns and to the outputs that every model here has.

Its inputs are columns by name, each of shape (rows, 1) and of the type that `inputs` gives it; or one float matrix
`features` of all columns, which then are numbers. Its outputs are `probabilities` (rows, classes) or `logits`, with a
`label` or without, or `value`. Classes are the sorted labels of the target. Only standard operators; nothing outside
the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, compose
from onnxruntime.capi import onnxruntime_pybind11_state as ort  # type: ignore[import-untyped]

from loopwright.errors import DeclarationError
from loopwright.transform.assembly import (
    ELEMENTS,
    FEATURES,
    by_place,
    classify,
    finish,
    label_element,
    merge,
    places,
    rename,
    session,
    side_by_side,
)
from loopwright.transform.exported import Exported, Target, target_of
from loopwright.transform.inputs import Array, Column, Feed, Frame, Inputs

RUNTIME_ERRORS = (ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.NotImplemented, ort.RuntimeException)
NEWEST = {"": 22, "ai.onnx.ml": 5}
_OLDEST = 13  # ArgMax and Softmax mean what they mean now since then
_TRIED_ROWS = 64
_SUM = 1e-3
_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The finished graph with `predict` and `predict_proba`, which take rows as `Inputs.frame` gives them."""

    running: Any
    inputs: Inputs

    def predict(self, rows: Frame) -> Array:
        return np.asarray(self.running.run(None, self._given(rows))[0])

    def predict_proba(self, rows: Frame) -> Array:
        return np.asarray(self.running.run(None, self._given(rows))[1])

    def _given(self, rows: Frame) -> Feed:
        known = {one.name for one in self.running.get_inputs()}
        return {name: values for name, values in self.inputs.feed(rows).items() if name in known}


def is_graph(model: object) -> TypeGuard[onnx.ModelProto | bytes]:
    return isinstance(model, onnx.ModelProto | bytes)


def exported(model: onnx.ModelProto | bytes, inputs: Inputs, rows: Frame, target: object, task: str | None) -> Exported:
    """Raises `DeclarationError` that says what the graph lacks."""
    given, known = _read(model), target_of(target, task)
    _refuse_unsafe(given)
    fitted = _with_columns(given, inputs)
    feed = inputs.feed(inputs.frame(rows).head(_TRIED_ROWS))
    _with_outputs(fitted, inputs, feed, known)
    finished = finish(fitted, inputs, known.task, known.classes)
    running = _opened(finished)
    _check_answers(_answers(running, feed), known, len(next(iter(feed.values()))))
    return Exported(
        graph=finished,
        inputs=inputs,
        task=known.task,
        classes=known.classes,
        transform=None,
        transform_graph=None,
        estimator=Graph(running=running, inputs=inputs),
    )


def _wrong(what: str, fix: str) -> DeclarationError:
    return DeclarationError(what, where="the ONNX graph that train() returns", fix=fix)


def _read(model: onnx.ModelProto | bytes) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    try:
        copy.ParseFromString(model if isinstance(model, bytes) else model.SerializeToString())
        onnx.checker.check_model(copy)
    except DecodeError:
        raise _wrong("these bytes are no ONNX graph", "return model.SerializeToString(), or the model itself") from None
    except onnx.checker.ValidationError as error:
        raise _wrong(f"it is not valid: {' '.join(str(error).split())[:300]}", "export it anew") from error
    return copy


def _refuse_unsafe(model: onnx.ModelProto) -> None:
    versions = {one.domain: one.version for one in model.opset_import}
    foreign = sorted(set(versions) - set(NEWEST))
    if foreign or model.functions:
        raise _wrong(f"it needs operators that are not standard: {', '.join(foreign) or 'functions'}", "leave them out")
    newer = [domain for domain, version in versions.items() if version > NEWEST[domain]]
    if newer or versions.get("", 0) < _OLDEST:
        told = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in versions.items())
        raise _wrong(
            f"it is written for the operator sets {told}",
            f"export it for ai.onnx {_OLDEST} to {NEWEST['']} and ai.onnx.ml 1 to {NEWEST['ai.onnx.ml']}",
        )
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise _wrong("it keeps weights in other files", "save it with its weights inside")


def _with_columns(model: onnx.ModelProto, inputs: Inputs) -> onnx.ModelProto:
    """The graph with columns as inputs and everything else named apart from them."""
    weights = {tensor.name for tensor in model.graph.initializer}
    given = [one for one in model.graph.input if one.name not in weights]
    columns = {one.input: one for one in inputs.columns} | {one.name: one for one in inputs.columns}
    if [one.name for one in given] == [FEATURES] and FEATURES not in columns:
        return _with_matrix(model, given[0], inputs)
    for one in given:
        if one.name not in columns:
            raise _wrong(
                f"it takes {one.name!r}, which is no column",
                f"name its inputs as the columns ({', '.join(columns)}), or take one float matrix {FEATURES!r}",
            )
        _check_input(one, ELEMENTS[columns[one.name].kind], 1, columns[one.name])
    apart, called = compose.add_prefix(model, "model/", rename_inputs=False), places(inputs)
    rename(apart.graph, {name: called[column.name] for name, column in columns.items()})
    return apart


def _with_matrix(model: onnx.ModelProto, given: onnx.ValueInfoProto, inputs: Inputs) -> onnx.ModelProto:
    _check_input(given, TensorProto.FLOAT, len(inputs.columns), None)
    before = side_by_side(inputs)
    del before.opset_import[:]
    before.opset_import.extend(model.opset_import)
    before.ir_version = model.ir_version
    return merge(before, model)


def _check_input(given: onnx.ValueInfoProto, element: int, width: int, column: Column | None) -> None:
    kind = given.type.tensor_type
    dims = [one.dim_value if one.HasField("dim_value") else None for one in kind.shape.dim]
    if kind.elem_type == element and len(dims) == 2 and dims[0] is None and dims[1] in (None, width):
        return
    found = f"{TensorProto.DataType.Name(kind.elem_type)} {['rows' if one is None else one for one in dims]}"
    told = f"a {column.kind.value} column" if column else "the columns side by side"
    raise _wrong(
        f"its input {given.name!r} is {found}",
        f"{told} must enter as {TensorProto.DataType.Name(element)} ['rows', {width}], with any number of rows",
    )


def _with_outputs(model: onnx.ModelProto, inputs: Inputs, feed: Feed, target: Target) -> None:
    """Order the outputs as `finish` wants them: label and probabilities, or the value."""
    outputs = {one.name.rpartition("/")[2]: one for one in model.graph.output}
    if target.task == "regression":
        _keep(model, [_only(outputs, ("value",), target)])
        return
    scores = _only(outputs, ("probabilities", "logits"), target)
    label = outputs.get("label")
    logits = scores.name.endswith("logits")
    width = _width(model, inputs, feed, scores.name, target)
    if label is not None and not logits and width == len(target.classes):
        element = label_element(target.classes)
        if label.type.tensor_type.elem_type != element:
            raise _wrong(
                f"its label is {TensorProto.DataType.Name(label.type.tensor_type.elem_type)}, the target's"
                f" {TensorProto.DataType.Name(element)}",
                "leave the label out: it is then the class of the largest probability",
            )
        _keep(model, [label, scores])
        return
    classify(model, scores.name, width, target.classes, logits=logits)


def _only(outputs: dict[str, onnx.ValueInfoProto], names: tuple[str, ...], target: Target) -> onnx.ValueInfoProto:
    """The output of one of these names, or the only one there is of numbers."""
    named = [outputs[name] for name in names if name in outputs]
    others = [one for name, one in outputs.items() if name != "label"]
    found = named[:1] or (others if len(others) == 1 and len(names) == 1 else [])
    if found and found[0].type.tensor_type.elem_type in _FLOATS:
        return found[0]
    told = ", ".join(
        f"{name} ({TensorProto.DataType.Name(one.type.tensor_type.elem_type)})" for name, one in outputs.items()
    )
    wanted = (
        "'value', a float a row"
        if target.task == "regression"
        else f"'probabilities' or 'logits', floats of shape (rows, {len(target.classes)}), and if you like 'label'"
    )
    raise _wrong(f"its outputs are {told}", f"name them: {wanted}; a ZipMap must be left out (zipmap=False)")


def _keep(model: onnx.ModelProto, outputs: list[onnx.ValueInfoProto]) -> None:
    kept = [onnx.ValueInfoProto.FromString(one.SerializeToString()) for one in outputs]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def _width(model: onnx.ModelProto, inputs: Inputs, feed: Feed, scores: str, target: Target) -> int:
    """By running it: a graph need not say its shapes."""
    found = _answers(_opened(model), by_place(inputs, feed), [scores])[0]
    rows = len(next(iter(feed.values())))
    width = 1 if found.ndim == 1 else found.shape[-1]
    fits = {1, len(target.classes)} if target.task == "binary" else {len(target.classes)}
    if found.ndim > 2 or found.shape[:1] != (rows,) or width not in fits:
        raise _wrong(
            f"its output {scores.rpartition('/')[2]!r} has the shape {found.shape} for {rows} rows",
            f"give one number for each of the {len(target.classes)} classes: (rows, {len(target.classes)})",
        )
    return width


def _opened(model: onnx.ModelProto) -> Any:
    try:
        return session(model)
    except RUNTIME_ERRORS as error:
        raise _wrong(
            f"ONNX Runtime does not take it: {' '.join(str(error).split())[:300]}", "export it anew"
        ) from error


def _answers(running: Any, feed: Feed, outputs: list[str] | None = None) -> list[Array]:
    given = {one.name: feed[one.name] for one in running.get_inputs()}
    try:
        return [np.asarray(one) for one in running.run(outputs, given)]
    except RUNTIME_ERRORS as error:
        raise _wrong(
            f"it does not run on training rows: {' '.join(str(error).split())[:300]}", "try it on several rows at once"
        ) from error


def _check_answers(found: list[Array], target: Target, rows: int) -> None:
    """On training rows; rows that hold what the graph cannot take give NaN and say nothing."""
    wanted = [(rows,)] if target.task == "regression" else [(rows,), (rows, len(target.classes))]
    if [one.shape for one in found] != wanted:
        told = ", ".join(str(one.shape) for one in found)
        raise _wrong(f"its outputs have the shapes {told} for {rows} rows", f"give {', '.join(map(str, wanted))}")
    if target.task == "regression":
        return
    labels, probabilities = found
    known = ~np.isnan(probabilities).any(axis=1)
    sums = probabilities[known].sum(axis=1)
    if (np.abs(sums - 1) > _SUM).any() or (probabilities[known] < 0).any():
        raise _wrong("its probabilities do not sum to 1", "if they are logits, call the output 'logits'")
    strange = sorted(set(labels[known].tolist()) - set(target.classes))
    if strange:
        raise _wrong(
            f"it gives labels that the target does not hold: {strange[:3]}",
            "leave the label out: it is then the class of the largest probability",
        )
