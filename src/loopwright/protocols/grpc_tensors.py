"""Tensors of the Open Inference Protocol as its gRPC messages hold them: in typed fields, or as raw bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loopwright.gateway.refused import Refused
from loopwright.protocols import binary
from loopwright.protocols.binary import Data, Packed
from loopwright.protocols.grpc_messages import InferResponse
from loopwright.protocols.inference import Inferred
from loopwright.protocols.tensors import Given, Wanted

_FIELDS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the values of a datatype stand; FP16 comes as raw bytes only."""


_MOST_INPUTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """An input whose values came in the field of its datatype."""

    name: str
    shape: Sequence[int]
    datatype: str
    contents: Any

    def values(self) -> Data:
        """Flat; a NaN is a value that is not known. Raises `Refused`."""
        field = _FIELDS.get(self.datatype)
        if field is None:
            raise Refused(400, f"{self.name[:80]!r} is of {self.datatype}, which has no field", fix="send raw bytes")
        found = list(getattr(self.contents, field))
        if self.datatype == "BYTES":
            return [binary.text(one, self.name) for one in found]
        return [None if math.isnan(one) else one for one in found] if self.datatype in ("FP32", "FP64") else found


def inputs(asked: Any) -> list[Given]:
    """Those of a request: all raw, or none. Raises `Refused`."""
    if len(asked.inputs) > _MOST_INPUTS:
        raise Refused(413, f"there are more than {_MOST_INPUTS:,} inputs", fix="send each column once")
    raw = asked.raw_input_contents
    if not raw:
        return [
            Typed(name=one.name, shape=list(one.shape), datatype=one.datatype, contents=one.contents)
            for one in asked.inputs
        ]
    if len(raw) != len(asked.inputs):
        raise Refused(400, f"there are {len(asked.inputs)} inputs, and {len(raw)} contents of raw bytes")
    named = next((one.name for one in asked.inputs if one.HasField("contents")), None)
    if named is not None:
        raise Refused(
            400, f"{named[:80]!r} has contents beside raw bytes", fix="send all inputs in one of the two ways"
        )
    return [
        Packed(name=one.name, shape=list(one.shape), datatype=one.datatype, content=memoryview(content))
        for one, content in zip(asked.inputs, raw, strict=True)
    ]


def wanted(asked: Any) -> list[Wanted]:
    return [Wanted(name=one.name) for one in asked.outputs]


def parameters(asked: Any) -> dict[str, Any]:
    """As the same would stand in JSON."""
    kinds = {name: value.WhichOneof("parameter_choice") for name, value in asked.parameters.items()}
    return {name: getattr(asked.parameters[name], kind) for name, kind in kinds.items() if kind}


def response(asked: Any, inferred: Inferred) -> Any:
    """Its tensors come raw or typed, as those of the request did."""
    answer = InferResponse(model_name=inferred.loop, model_version=str(inferred.version), id=asked.id)
    for name, value in inferred.parameters.items():
        field = "bool_param" if isinstance(value, bool) else "string_param"
        setattr(answer.parameters[name], field, value)
    for tensor in inferred.outputs:
        output = answer.outputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        if asked.raw_input_contents:
            answer.raw_output_contents.append(binary.packed(tensor["data"], tensor["datatype"]))
        else:
            _fill(output.contents, tensor["datatype"], tensor["data"])
    return answer


def _fill(contents: Any, datatype: str, data: Sequence[Any]) -> None:
    values = [str(one).encode() for one in data] if datatype == "BYTES" else data
    getattr(contents, _FIELDS[datatype]).extend(values)
