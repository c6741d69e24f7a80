"""Requests of `/v2/models/NAME/infer` as the hot path reads and tells them: tensors side by side as rows of the model.

Says byte for byte what `v2` says. What is not plainly right goes there, and so does what is rare: tensors as bytes,
outputs that are chosen, numbers of 16 bits, times as numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any

import msgspec
from starlette.responses import Response

from loopwright.gateway.answering import Read
from loopwright.gateway.model import LoadedModel
from loopwright.gateway.typed import Misfit
from loopwright.gateway.unit import is_unit
from loopwright.predictions.journal import Line
from loopwright.protocols import inference, tensors
from loopwright.protocols.bodies import Limits, most_objects, most_values
from loopwright.protocols.plain import Plain
from loopwright.protocols.tensors import Request, Tensor

_REQUEST = msgspec.json.Decoder(Request)
_ENCODE = msgspec.json.Encoder().encode
_NOTHING = type(None)
_RARE = frozenset(("FP16",))
_TYPES: Mapping[str, frozenset[Any]] = {
    "BYTES": frozenset((str, _NOTHING)),
    "BOOL": frozenset((bool, _NOTHING)),
    **dict.fromkeys(tensors.NUMBERS, frozenset((int, float, _NOTHING))),
    **dict.fromkeys(tensors.WHOLE, frozenset((int, _NOTHING))),
}
_LARGEST_WHOLE = 2**63 - 1


class Inferring(Read):
    """A request, with what its answer repeats of it."""

    __slots__ = ("identity",)

    def __init__(self, rows: Sequence[Any], unit: str | None, identity: str | None) -> None:
        super().__init__(rows, unit, is_one=False)
        self.identity = identity


class Infer(Plain):
    """Requests of `/v2/models/NAME/infer`."""

    name = "v2"

    def __init__(self, limits: Limits, plainly: Callable[[str, bytes], Response]) -> None:
        super().__init__("/v2", plainly)
        self._limits = limits

    def decoder(self, model: LoadedModel) -> _Reader:
        return _Reader(model, self._limits.rows)

    def read(self, decoder: _Reader, content: bytes) -> Inferring:
        """Raises `Misfit`, or an error of msgspec."""
        if content.count(b",") > decoder.most_values or content.count(b"{") > decoder.most_objects:
            raise Misfit  # where it is counted exactly
        asked = _REQUEST.decode(content)
        if asked.outputs:
            raise Misfit
        parameters = asked.parameters or {}
        unit = parameters.get("unit")
        if parameters.get("binary_data_output") or not is_unit(unit):
            raise Misfit
        return Inferring(decoder.rows(asked.inputs, self._limits.rows), unit, asked.id)

    def tell(self, read: Inferring, model: LoadedModel, lines: Sequence[Line]) -> bytes:
        return _ENCODE(inference.inferred(model, lines).told(read.identity))


class _Reader:
    """Reads tensors as rows of one schema."""

    def __init__(self, model: LoadedModel, most_rows: int) -> None:
        self.most_values, self.most_objects = most_values(model.schema, most_rows), most_objects(model.schema)
        self._type = list.__class_getitem__(model.typed.row)
        self._takes = tensors.datatypes(model.schema)
        self._times = {column.name for column in model.schema.columns if column.kind == "time"}

    def rows(self, inputs: Sequence[Tensor], most: int) -> Sequence[Any]:
        """Raises `Misfit`, or an error of msgspec: for a column too many, or one that lacks."""
        count = inputs[0].shape[0] if inputs and inputs[0].shape else 0
        names = [tensor.name for tensor in inputs]
        if not 0 < count <= most or len(set(names)) < len(names):
            raise Misfit
        values = [self._values(tensor, count) for tensor in inputs]
        return msgspec.convert(  # type: ignore[no-any-return]
            [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)], self._type
        )

    def _values(self, tensor: Tensor, count: int) -> Sequence[Any]:
        datatype = tensor.datatype
        is_rare = datatype in _RARE or (datatype == "INT64" and tensor.name in self._times)
        if is_rare or datatype not in self._takes.get(tensor.name, ()):
            raise Misfit
        if tensor.data is msgspec.UNSET or "binary_data_size" in (tensor.parameters or ()):
            raise Misfit
        values = _flat(tensor)
        if tensor.shape not in ([count], [count, 1]) or len(values) != count or not _fit(values, datatype):
            raise Misfit
        return values


def _flat(tensor: Tensor) -> Sequence[Any]:
    """As they came, or out of lists of one."""
    data: Any = tensor.data
    if len(tensor.shape) == 1 or type(data[0] if data else None) is not tuple:
        return data  # type: ignore[no-any-return]
    if not all(map(isinstance, data, repeat(tuple))):
        raise Misfit
    return [value for (value,) in data]


def _fit(values: Sequence[Any], datatype: str) -> bool:
    """Whether each is of the datatype, beyond doubt.

    >>> _fit([1, None], "INT8"), _fit([128], "INT8"), _fit([True], "INT8"), _fit([1.5, 2], "FP32"), _fit([1e39], "FP32")
    (True, False, False, True, False)
    """
    types = set(map(type, values))
    if not types <= _TYPES[datatype]:
        return False
    bounds = tensors.BOUNDS.get(datatype)
    if bounds is None:
        return True
    known = [value for value in values if value is not None] if _NOTHING in types else values
    if not known:
        return True
    low, high = min(known), max(known)
    if int in types and not -_LARGEST_WHOLE <= low <= high <= _LARGEST_WHOLE:
        return False
    return bool(bounds[0] <= low and high <= bounds[1])
