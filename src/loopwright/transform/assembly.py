"""How two graphs become one, with the inputs and outputs that every model here has.

Inputs: one a column, of shape (rows, 1), used or not. Outputs: `label` (rows,) and `probabilities` (rows, classes), or
`value` (rows,). Nothing is learned here. Until `finish`, a column is called by its place: converters make other names
of those that are no identifiers, and have names of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort  # type: ignore[import-untyped]
from onnx import TensorProto, compose, helper

from loopwright.errors import DeclarationError
from loopwright.transform.exported import Label, Task
from loopwright.transform.inputs import Array, Feed, Inputs, Kind
from loopwright.transform.pieces import run, splits

OPSET = {"": 20, "ai.onnx.ml": 3}
"""What every part of a graph is written for, so that parts can be merged: 20 is the first that splits texts, and the
newest that PyTorch's exporter writes. Nothing is lifted from one operator set to another: each converter is told."""

IR_VERSION = 9
FEATURES = "features"
ELEMENTS = {Kind.STRING: TensorProto.STRING, Kind.NUMBER: TensorProto.FLOAT, Kind.TIME: TensorProto.INT64}


def session(graph: onnx.ModelProto | bytes) -> Any:
    """ONNX Runtime with one thread (best for one row) that writes nothing to the disk."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    content = graph if isinstance(graph, bytes) else graph.SerializeToString()
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def opsets() -> list[onnx.OperatorSetIdProto]:
    return [helper.make_opsetid(domain, version) for domain, version in OPSET.items()]


def matrix_of(transform_graph: onnx.ModelProto, inputs: Inputs, feed: Feed) -> Array:
    """What the model is fitted on: the transform's output as float32, shape (rows, features)."""
    content = transform_graph.SerializeToString()
    running = session(content)
    raw = by_place(inputs, feed)
    given = {one.name: raw[one.name] for one in running.get_inputs()}
    return np.asarray(run(running, None, given, in_pieces=splits(content))[0], dtype=np.float32)


def places(inputs: Inputs) -> dict[str, str]:
    """What each column is called in a graph that is not finished.

    >>> places(Inputs.from_dict([{"name": "petal (cm)", "kind": "number"}]))
    {'petal (cm)': 'column_0'}
    """
    return {column.name: f"column_{place}" for place, column in enumerate(inputs.columns)}


def by_place(inputs: Inputs, feed: Feed) -> Feed:
    """A feed for a graph that is not finished."""
    called = places(inputs)
    return {called[column.name]: feed[column.input] for column in inputs.columns}


def side_by_side(inputs: Inputs, taken: Sequence[str] | None = None) -> onnx.ModelProto:
    """Numbers as they are, of all columns or of those named, in that order: what a bare model sees."""
    kinds = {column.name: column.kind for column in inputs.columns}
    wanted = list(kinds) if taken is None else list(taken)
    for name in wanted:
        if kinds[name] is not Kind.NUMBER:
            raise DeclarationError(
                f"a bare model cannot take the {kinds[name].value} column {name!r}",
                where="what train() returns",
                fix="put a ColumnTransformer with OrdinalEncoder, OneHotEncoder or Calendar before it",
            )
    called = places(inputs)
    names = [called[name] for name in wanted]
    node = helper.make_node("Concat", names, ["loopwright/features"], axis=1)
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in names]
    result = [helper.make_tensor_value_info("loopwright/features", TensorProto.FLOAT, [None, len(names)])]
    graph = helper.make_graph([node], "loopwright", given, result)
    return helper.make_model(graph, opset_imports=opsets(), ir_version=IR_VERSION)


def merge(first: onnx.ModelProto, second: onnx.ModelProto) -> onnx.ModelProto:
    """The two graphs joined; the columns' places stay, all else is prefixed so that nothing can meet."""
    first = compose.add_prefix(first, "transform/", rename_inputs=False)
    second = compose.add_prefix(second, "model/")
    matrix = first.graph.output[0]
    joint = matrix.name
    if matrix.type.tensor_type.elem_type != TensorProto.FLOAT:
        joint = "transform/as_float"
        first.graph.node.append(helper.make_node("Cast", [matrix.name], [joint], to=TensorProto.FLOAT))
        first.graph.output[0].CopyFrom(helper.make_tensor_value_info(joint, TensorProto.FLOAT, None))
    return compose.merge_models(first, second, io_map=[(joint, second.graph.input[0].name)])


def classify(model: onnx.ModelProto, scores: str, width: int, classes: tuple[Label, ...], *, logits: bool) -> None:
    """Make `scores`, shape (rows,) or (rows, width), the outputs label and probabilities, in this order.

    A single column is the second of two classes. Logits pass a sigmoid or softmax first. `probabilities_of` is the same
    in Python.
    """
    add = _Adding(model.graph)
    flat = add("Reshape", scores, add.constant(np.array([-1, width])))
    if width == 1:
        other = (
            add("Sigmoid", add("Neg", flat)) if logits else add("Sub", add.constant(np.ones((1, 1), np.float32)), flat)
        )
        found = add("Concat", other, add("Sigmoid", flat) if logits else flat, axis=1)
    else:
        found = add("Softmax", flat, axis=1) if logits else add("Identity", flat)
    label = add("Gather", add.constant(_listed(classes)), add("ArgMax", found, axis=1, keepdims=0))
    del model.graph.output[:]
    element = label_element(classes)
    model.graph.output.append(helper.make_tensor_value_info(label, element, [None]))
    model.graph.output.append(helper.make_tensor_value_info(found, TensorProto.FLOAT, [None, len(classes)]))


def probabilities_of(scores: Array, *, logits: bool) -> Array:
    """As `classify`, of scores of shape (rows, width), in float64."""
    wide = scores.astype(np.float64)
    if wide.shape[1] == 1:
        second = _sigmoid(wide) if logits else wide
        return np.hstack([_sigmoid(-wide) if logits else 1 - wide, second])
    if not logits:
        return wide
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def finish(model: onnx.ModelProto, inputs: Inputs, task: Task, classes: tuple[Label, ...]) -> onnx.ModelProto:
    """Name and shape the outputs as everywhere: label and probabilities, or value."""
    graph, found = model.graph, [one.name for one in model.graph.output]
    del graph.output[:]
    _name_inputs(graph, inputs)
    add = _Adding(graph)
    flat = add("Reshape", found[0], add.constant(np.array([-1])))
    if task == "regression":
        add("Cast", flat, to=TensorProto.FLOAT, called="value")
        graph.output.append(helper.make_tensor_value_info("value", TensorProto.FLOAT, [None]))
    else:
        element = label_element(classes)
        if element == TensorProto.STRING:
            add("Identity", flat, called="label")
        else:
            add("Cast", flat, to=element, called="label")
        add("Cast", found[1], to=TensorProto.FLOAT, called="probabilities")
        graph.output.append(helper.make_tensor_value_info("label", element, [None]))
        graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, len(classes)]))
    model.graph.name, model.producer_name = "loopwright", "loopwright"
    onnx.checker.check_model(model)
    return model


def decode_label(model: onnx.ModelProto, classes: tuple[Label, ...]) -> None:
    """Make the first output, the number of a class, that class."""
    add, found = _Adding(model.graph), model.graph.output[0]
    named = add("Gather", add.constant(_listed(classes)), add("Cast", found.name, to=TensorProto.INT64))
    found.CopyFrom(helper.make_tensor_value_info(named, label_element(classes), [None]))


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Inputs, by another name; within branches and loops too."""
    for one in graph.input:
        one.name = names.get(one.name, one.name)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                rename(inner, names)


def _listed(classes: tuple[Label, ...]) -> Array:
    return np.asarray(classes, dtype=object if isinstance(classes[0], str) else None)


def label_element(classes: tuple[Label, ...]) -> int:
    if all(isinstance(one, bool) for one in classes):
        return int(TensorProto.BOOL)
    return int(TensorProto.STRING if isinstance(classes[0], str) else TensorProto.INT64)


class _Adding:
    """Adds nodes to a finished graph, under names that nothing else has; each call gives its output's name."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph

    def __call__(self, kind: str, *inputs: str, called: str | None = None, **attributes: Any) -> str:
        output = called or self._new()
        self.graph.node.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, value: Array) -> str:
        name = self._new()
        texts = value.dtype == object
        element = TensorProto.STRING if texts else helper.np_dtype_to_tensor_dtype(value.dtype)
        content: Any = [str(text).encode() for text in value] if texts else value.ravel().tolist()
        self.graph.initializer.append(helper.make_tensor(name, element, list(value.shape), content))
        return name

    def _new(self) -> str:
        return f"loopwright/{len(self.graph.node)}.{len(self.graph.initializer)}"


def _sigmoid(values: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-values)))


def _name_inputs(graph: onnx.GraphProto, inputs: Inputs) -> None:
    """Columns get their names; every one is an input, used or not."""
    called = places(inputs)
    rename(graph, {called[column.name]: column.input for column in inputs.columns})
    del graph.input[:]
    for column in inputs.columns:
        graph.input.append(helper.make_tensor_value_info(column.input, ELEMENTS[column.kind], [None, 1]))
