"""Which graphs are let in: standard operators, nothing outside the file, the promised inputs and outputs.

A graph is data that a runtime executes. What a runtime would look up elsewhere (another file, an operator that somebody
registered, a function that the model defines) is refused before the runtime sees a byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from loopwright.errors import BundleRefused, did_you_mean
from loopwright.transform import wire
from loopwright.transform.columns import Column, Kind
from loopwright.transform.operators import KNOWN, OPERATORS

Class = str | int | bool
TASKS = ("binary", "multiclass", "regression")
NEWEST_IR = 10
"""The newest version of the file's own format that is known: the one of operator set 22."""

_FLOAT, _INT64, _STRING, _BOOL = 1, 7, 8, 9
_ELEMENTS = {Kind.STRING: _STRING, Kind.NUMBER: _FLOAT, Kind.TIME: _INT64}
_NAMES = {_FLOAT: "float", _INT64: "int64", _STRING: "string", _BOOL: "bool"}
_OTHER_FORMAT = b"ORTM"
"""At byte 4 it makes ONNX Runtime read a file as its own format, whatever else the bytes say."""

_SETTINGS = "ort_config"
"""Metadata that ONNX Runtime may take its settings from, such as files to write."""

_WHERE = "model.onnx"
_EXPORT = "export the model again with Loopwright"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """An input or output as the graph declares it; `shape` has None where any size fits."""

    name: str
    element: int
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name}: {_NAMES.get(self.element, self.element)}[{sizes}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What an admitted graph uses: newest operator set by domain, operators by full name, sorted."""

    opset: Mapping[str, int]
    operators: tuple[str, ...]


def admit(content: bytes, inputs: Sequence[Column], task: str, classes: Sequence[Class]) -> Graph:
    """Check a graph, whole. Raises `BundleRefused`."""
    if content[4:8] == _OTHER_FORMAT:
        _refuse("the bytes say that they are two formats at once")
    try:
        model = wire.read(content)
    except wire.Malformed as error:
        _refuse(f"the file is no ONNX graph: {error}", "fetch the bundle again")
    opset = _opset(model)
    for message in _messages(model):
        _refuse_outside(message)
    operators = {_operator(node, opset) for node in _nodes(model)}
    graph = model.get("graph", {})
    _compare("inputs", [_tensor(one) for one in graph.get("input", ())], expected_inputs(inputs))
    _compare("outputs", [_tensor(one) for one in graph.get("output", ())], expected_outputs(task, classes))
    return Graph(opset=opset, operators=tuple(sorted(operators)))


def expected_inputs(inputs: Sequence[Column]) -> list[Tensor]:
    return [Tensor(name=one.input, element=_ELEMENTS[one.kind], shape=(None, 1)) for one in inputs]


def expected_outputs(task: str, classes: Sequence[Class]) -> list[Tensor]:
    """Raises `BundleRefused` when classes do not fit the task."""
    check_classes(task, classes)
    if task == "regression":
        return [Tensor(name="value", element=_FLOAT, shape=(None,))]
    element = {bool: _BOOL, int: _INT64, str: _STRING}[type(classes[0])]
    return [
        Tensor(name="label", element=element, shape=(None,)),
        Tensor(name="probabilities", element=_FLOAT, shape=(None, len(classes))),
    ]


def check_classes(task: str, classes: Sequence[Class]) -> None:
    """Two for binary, more for multiclass, none for regression; all of one type, none twice."""
    if task not in TASKS:
        _refuse(f"the task {task!r} is not known", did_you_mean(task, TASKS), "outputs")
    fits = {"binary": len(classes) == 2, "multiclass": len(classes) > 2, "regression": not classes}[task]
    kinds = {type(one) for one in classes}
    if not fits or len(kinds) > 1 or len(set(classes)) < len(classes) or not kinds <= {str, int, bool}:
        _refuse(
            f"{task} does not fit the classes {list(classes)!r}",
            "give two classes for binary, more for multiclass, all text, integers or booleans; none for regression",
            "outputs",
        )


def _opset(model: wire.Message) -> dict[str, int]:
    if not 1 <= model.get("ir_version", 0) <= NEWEST_IR:
        _refuse(f"the file has IR version {model.get('ir_version', 'none')}; known are 1 to {NEWEST_IR}")
    found: dict[str, int] = {}
    for one in model.get("opset_import", ()):
        domain, version = one.get("domain", ""), one.get("version", 0)
        if found.get(domain, version) != version:
            _refuse(f"the domain {domain!r} is imported in two versions")
        if not 1 <= version <= KNOWN.get(domain, 0):
            _refuse(f"it needs operator set {version} of the domain {domain!r}; known are {KNOWN}")
        found[domain] = version
    return found


def _operator(node: wire.Message, opset: Mapping[str, int]) -> str:
    domain, name = node.get("domain", ""), node.get("op_type", "")
    full = f"{domain}.{name}" if domain else name
    if domain not in opset or name not in OPERATORS[domain]:
        _refuse(
            f"{full!r} (node {node.get('name', '')!r}) is no standard operator",
            "use the standard's operators alone: a custom one is code that the bundle does not hold",
        )
    return full


def _refuse_outside(message: wire.Message) -> None:
    """What only some messages have, wherever they lie."""
    if "functions" in message:
        _refuse("the model defines functions of its own", "write them out as standard operators")
    if "training_info" in message:
        _refuse("the file holds training steps", "export for inference alone")
    if "external_data" in message or message.get("data_location", 0):
        _refuse(
            f"the tensor {message.get('name', '')!r} lies in another file",
            "save the model with its data inside the file",
        )
    if any(one.get("key") == _SETTINGS for one in message.get("metadata_props", ())):
        _refuse("the file holds settings for the runtime", "remove ort_config from its metadata")


def _messages(value: Any) -> Iterator[wire.Message]:
    """The message and all within it: subgraphs, attributes, tensors. The reader has bounded how deep they lie."""
    if isinstance(value, Mapping):
        yield value
        for inner in value.values():
            yield from _messages(inner)
    elif isinstance(value, list):
        for one in value:
            yield from _messages(one)


def _nodes(model: wire.Message) -> Iterator[wire.Message]:
    for message in _messages(model):
        yield from message.get("node", ())


def _tensor(value: wire.Message) -> Tensor:
    """Of a choice the reader keeps all that is given, the runtime the last: two are refused."""
    kind = value.get("type", {})
    of = kind.get("tensor_type", {})
    shape = of.get("shape", {}).get("dim", ())
    if kind.keys() - {"denotation"} != {"tensor_type"} or any(
        one.keys() >= {"dim_value", "dim_param"} for one in shape
    ):
        _refuse(f"{value.get('name', '')!r} is no plain tensor")
    return Tensor(
        name=value.get("name", ""), element=of.get("elem_type", 0), shape=tuple(one.get("dim_value") for one in shape)
    )


def _compare(what: str, found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    if list(found) == list(expected):
        return
    for have, want in zip(found, expected, strict=False):
        if have != want:
            _refuse(f"the graph's {what} are not those promised: {have}, not {want}")
    _refuse(f"the graph has {len(found)} {what}, and {len(expected)} were promised")


def _refuse(what: str, fix: str = _EXPORT, where: str = _WHERE) -> NoReturn:
    raise BundleRefused(what, where=where, fix=fix)
