"""Tensors of the Open Inference Protocol (version 2, REST) as rows and back: one tensor a column, row-major.

A column comes as the datatypes that hold its values exactly; a shape, a name or a value that does not fit is refused.
Binary tensor data is an extension of the protocol that is not offered here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from loopwright.data.schema import Column, Kind, Schema
from loopwright.errors import did_you_mean
from loopwright.gateway.refused import Refused
from loopwright.predictions.journal import Line
from loopwright.protocols.bodies import Scalar, too_many
from loopwright.transform.columns import MISSING_TIME

Data = list[Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = {f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)} | {
    f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)
}
_FLOATS = {"FP16": 65504.0, "FP32": 3.4028234663852886e38, "FP64": 1.7976931348623157e308}
_NUMBERS = (*_FLOATS, *_WHOLE)
_TAKES: Mapping[Kind, Sequence[str]] = {
    "string": ("BYTES",),
    "integer": _NUMBERS,
    "float": _NUMBERS,
    "boolean": ("BOOL",),
    "time": ("BYTES", "INT64"),
}
"""Datatypes that a column may come as. A time is RFC 3339 text, or microseconds since 1970 in UTC."""
_TELLS: Mapping[Kind, str] = {
    "string": "BYTES",
    "integer": "INT64",
    "float": "FP32",
    "boolean": "BOOL",
    "time": "BYTES",
}


class Tensor(msgspec.Struct, frozen=True):
    """An input as it comes."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Scalar | tuple[Scalar]]
    """Flat, or nested by one."""


class Wanted(msgspec.Struct, frozen=True):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Scalar] | None = None


class Request(msgspec.Struct, frozen=True):
    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Scalar] | None = None
    outputs: list[Wanted] | None = None


def rows(inputs: Sequence[Tensor], schema: Schema, most: int) -> list[dict[str, Any]]:
    """The rows that the tensors hold, side by side. Raises `Refused`, also for more than `most`."""
    columns = _columns(inputs, schema)
    counts = {_count(tensor) for tensor in inputs}
    if len(counts) != 1:
        raise _wrong(f"the tensors have different numbers of rows: {', '.join(map(str, sorted(counts)))}")
    if counts.pop() > most:
        raise too_many(most)
    values = [_values(tensor, columns[tensor.name]) for tensor in inputs]
    names = [tensor.name for tensor in inputs]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def outputs(lines: Sequence[Line], classes: Sequence[Any], wanted: Sequence[Wanted]) -> list[dict[str, Any]]:
    """The predictions as tensors: those wanted, or all. Raises `Refused`."""
    return [_output(name, lines, classes) for name in check_wanted(classes, wanted)]


def check_wanted(classes: Sequence[Any], wanted: Sequence[Wanted]) -> list[str]:
    """The names of the outputs to give. Raises `Refused` for what cannot be given."""
    known = [tensor["name"] for tensor in output_metadata(classes)]
    for one in wanted:
        if one.name not in known:
            raise _wrong(f"there is no output {one.name[:80]!r}", did_you_mean(one.name[:80], known))
        if (one.parameters or {}).get("binary_data"):
            raise _wrong("binary tensor data is not offered", "ask for JSON: leave binary_data out")
    return [one.name for one in wanted] or known


def input_metadata(schema: Schema) -> list[dict[str, Any]]:
    return [{"name": column.name, "datatype": _TELLS[column.kind], "shape": [-1]} for column in schema.columns]


def output_metadata(classes: Sequence[Any]) -> list[dict[str, Any]]:
    """Label and probabilities; of a regression, which has no classes, the value."""
    if not classes:
        return [{"name": "value", "datatype": "FP32", "shape": [-1]}]
    return [
        {"name": "label", "datatype": _label_type(classes), "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(classes)]},
    ]


def _columns(inputs: Sequence[Tensor], schema: Schema) -> dict[str, Column | None]:
    """The column that each tensor is; None for what only names the rows."""
    known: dict[str, Column | None] = dict.fromkeys((*schema.key, *([schema.time] if schema.time else [])))
    known |= {column.name: column for column in schema.columns}
    names = [tensor.name for tensor in inputs]
    for name in names:
        if name not in known:
            raise _wrong(f"there is no input {name[:80]!r}", did_you_mean(name[:80], known))
        if names.count(name) > 1:
            raise _wrong(f"the input {name!r} is given twice")
    lacking = [name for name in schema.names if name not in names]
    if lacking:
        raise _wrong(f"inputs are left out: {', '.join(lacking)}", "send a tensor for each; GET the model's metadata")
    return known


def _count(tensor: Tensor) -> int:
    shape = tensor.shape
    if len(shape) not in (1, 2) or shape[0] < 1 or shape[1:] not in ([], [1]):
        raise _wrong(f"{tensor.name!r} has the shape {shape[:8]}", "send [rows] or [rows, 1], of at least one row")
    return shape[0]


def _values(tensor: Tensor, column: Column | None) -> Data:
    takes = _TAKES[column.kind] if column else ("BOOL", "BYTES", *_NUMBERS)
    if tensor.datatype not in takes:
        raise _wrong(f"{tensor.name!r} has the datatype {tensor.datatype[:20]!r}", f"send one of {', '.join(takes)}")
    data = _flat(tensor)
    if len(data) != tensor.shape[0]:
        raise _wrong(f"{tensor.name!r} has the shape {tensor.shape} and {len(data)} values")
    for row, value in enumerate(data):
        if value is not None and not _fits(value, tensor.datatype):
            raise _wrong(f"row {row} of {tensor.name!r} is no {tensor.datatype}")
    if column and column.kind == "time" and tensor.datatype == "INT64":
        return [_time(value, tensor.name) for value in data]
    return data


def _flat(tensor: Tensor) -> Data:
    """Flat as it came, or nested as its shape says."""
    if len(tensor.shape) == 1 or not any(isinstance(value, tuple) for value in tensor.data):
        return tensor.data
    if not all(isinstance(value, tuple) for value in tensor.data):
        raise _wrong(f"the data of {tensor.name!r} is not nested as the shape {tensor.shape} says")
    return [value[0] for value in tensor.data if isinstance(value, tuple)]


def _fits(value: Any, datatype: str) -> bool:
    if datatype == "BYTES":
        return isinstance(value, str)
    if datatype == "BOOL":
        return isinstance(value, bool)
    if datatype in _WHOLE:
        low, high = _WHOLE[datatype]
        return type(value) is int and low <= value <= high
    return type(value) in (int, float) and abs(value) <= _FLOATS[datatype]


def _time(value: int | None, name: str) -> str | None:
    """Microseconds as text, so that the row is recorded as it would have come as JSON."""
    if value is None or value == MISSING_TIME:
        return None
    try:
        return (_EPOCH + timedelta(microseconds=value)).isoformat()
    except OverflowError:
        raise _wrong(f"{name!r} has {value}, which is no time", "send microseconds since 1970 in UTC") from None


def _output(name: str, lines: Sequence[Line], classes: Sequence[Any]) -> dict[str, Any]:
    tensor = next(one for one in output_metadata(classes) if one["name"] == name)
    return tensor | {"shape": [len(lines), *tensor["shape"][1:]], "data": _data(name, lines)}


def _data(name: str, lines: Sequence[Line]) -> Data:
    match name:
        case "label":
            return [line.label for line in lines]
        case "value":
            return [line.value for line in lines]
    return [share for line in lines for share in (line.probabilities or {}).values()]


def _label_type(classes: Sequence[Any]) -> str:
    return {bool: "BOOL", int: "INT64"}.get(type(classes[0]), "BYTES")


def _wrong(what: str, fix: str | None = None) -> Refused:
    return Refused(400, what, fix=fix)
