"""Tensors of the Open Inference Protocol (version 2) as rows and back: one tensor a column, row-major.

A column comes as the datatypes that hold its values exactly; a shape, a name or a value that does not fit is refused.
Their values come as JSON, or as bytes (`binary`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

from loopwright.data.schema import Column, Kind, Schema
from loopwright.errors import did_you_mean
from loopwright.gateway.refused import Refused
from loopwright.predictions.journal import Line
from loopwright.protocols import binary
from loopwright.protocols.binary import Data, Packed
from loopwright.protocols.bodies import Scalar, too_many
from loopwright.transform.columns import MISSING_TIME

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WHOLE = {f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)} | {
    f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)
}
_FLOATS = {"FP16": 65504.0, "FP32": 3.4028234663852886e38, "FP64": 1.7976931348623157e308}
NUMBERS = (*_FLOATS, *WHOLE)
BOUNDS: Mapping[str, tuple[float, float]] = {**WHOLE, **{name: (-most, most) for name, most in _FLOATS.items()}}
"""The least and the most of each datatype of numbers."""
_TAKES: Mapping[Kind, Sequence[str]] = {
    "string": ("BYTES",),
    "integer": NUMBERS,
    "float": NUMBERS,
    "boolean": ("BOOL",),
    "time": ("BYTES", "INT64"),
}
"""Datatypes that a column may come as. A time is RFC 3339 text, or microseconds since 1970 in UTC."""
_BESIDE = ("BOOL", "BYTES", *NUMBERS)
"""Of what only names the rows."""
_TELLS: Mapping[Kind, str] = {
    "string": "BYTES",
    "integer": "INT64",
    "float": "FP32",
    "boolean": "BOOL",
    "time": "BYTES",
}


class Given(Protocol):
    """An input, in whatever form its values came."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> Sequence[int]: ...
    @property
    def datatype(self) -> str: ...
    def values(self) -> Data:
        """Flat, None for what is not known. Raises `Refused`."""
        ...


class Tensor(msgspec.Struct, frozen=True):
    """An input as it comes."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Scalar | tuple[Scalar]] | msgspec.UnsetType = msgspec.UNSET
    """Flat, or nested by one; of binary data nothing."""
    parameters: dict[str, Scalar] | None = None

    def values(self) -> Data:
        """Flat as it came, or nested as its shape says."""
        data = self.data
        if data is msgspec.UNSET:
            raise _wrong(
                f"{self.name!r} has no data", f"send it, or bytes behind the JSON and the header {binary.HEADER}"
            )
        if len(self.shape) == 1 or not any(isinstance(value, tuple) for value in data):
            return data
        if not all(isinstance(value, tuple) for value in data):
            raise _wrong(f"the data of {self.name!r} is not nested as the shape {self.shape} says")
        return [value[0] for value in data if isinstance(value, tuple)]


class Wanted(msgspec.Struct, frozen=True):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Scalar] | None = None


class Request(msgspec.Struct, frozen=True):
    """What is asked."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Scalar] | None = None
    outputs: list[Wanted] | None = None


def given(inputs: Sequence[Tensor], content: memoryview) -> list[Given]:
    """The inputs with the bytes that came behind the JSON. Raises `Refused`."""
    sizes = [_size(tensor) for tensor in inputs]
    parts = iter(binary.parted(content, [size for size in sizes if size is not None]))
    return [
        tensor
        if size is None
        else Packed(name=tensor.name, shape=tensor.shape, datatype=tensor.datatype, content=next(parts))
        for tensor, size in zip(inputs, sizes, strict=True)
    ]


def rows(inputs: Sequence[Given], schema: Schema, most: int) -> list[dict[str, Any]]:
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


def datatypes(schema: Schema) -> dict[str, Sequence[str]]:
    """What each column may come as, and what names the rows beside them."""
    beside = dict.fromkeys((*schema.key, *([schema.time] if schema.time else [])), _BESIDE)
    return {**beside, **{column.name: _TAKES[column.kind] for column in schema.columns}}


def check_wanted(classes: Sequence[Any], wanted: Sequence[Wanted]) -> list[str]:
    """The names of the outputs to give. Raises `Refused` for what cannot be given."""
    known = [tensor["name"] for tensor in output_metadata(classes)]
    for one in wanted:
        if one.name not in known:
            raise _wrong(f"there is no output {one.name[:80]!r}", did_you_mean(one.name[:80], known))
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


def outputs(lines: Sequence[Line], classes: Sequence[Any], wanted: Sequence[Wanted]) -> list[dict[str, Any]]:
    """The predictions as tensors with flat data: those wanted, or all. Raises `Refused`."""
    known = {tensor["name"]: tensor for tensor in output_metadata(classes)}
    return [
        {"name": name, "datatype": known[name]["datatype"], "shape": [len(lines), *known[name]["shape"][1:]]}
        | {"data": _data(name, lines)}
        for name in check_wanted(classes, wanted)
    ]


def _size(tensor: Tensor) -> int | None:
    """Of its bytes; None for a tensor that came as JSON."""
    size = (tensor.parameters or {}).get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise _wrong(f"the binary_data_size of {tensor.name[:80]!r} is no number of bytes")
    if tensor.data is not msgspec.UNSET:
        raise _wrong(f"{tensor.name[:80]!r} has both data and a binary_data_size", "send one of them")
    return size


def _columns(inputs: Sequence[Given], schema: Schema) -> dict[str, Column | None]:
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


def _count(tensor: Given) -> int:
    shape = tensor.shape
    if len(shape) not in (1, 2) or shape[0] < 1 or list(shape[1:]) not in ([], [1]):
        raise _wrong(
            f"{tensor.name!r} has the shape {list(shape[:8])}", "send [rows] or [rows, 1], of at least one row"
        )
    return shape[0]


def _values(tensor: Given, column: Column | None) -> Data:
    takes = _TAKES[column.kind] if column else _BESIDE
    if tensor.datatype not in takes:
        raise _wrong(f"{tensor.name!r} has the datatype {tensor.datatype[:20]!r}", f"send one of {', '.join(takes)}")
    data = tensor.values()
    if len(data) != tensor.shape[0]:
        raise _wrong(f"{tensor.name!r} has the shape {list(tensor.shape)} and {len(data)} values")
    for row, value in enumerate(data):
        if value is not None and not _fits(value, tensor.datatype):
            raise _wrong(f"row {row} of {tensor.name!r} is no {tensor.datatype}")
    if column and column.kind == "time" and tensor.datatype == "INT64":
        return [_time(value, tensor.name) for value in data]
    return data


def _fits(value: Any, datatype: str) -> bool:
    if datatype == "BYTES":
        return isinstance(value, str)
    if datatype == "BOOL":
        return isinstance(value, bool)
    if datatype in WHOLE:
        low, high = WHOLE[datatype]
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
