"""What the bytes of an ONNX file say, by the standard library alone: the gateway has no package that reads it.

Protocol buffers' wire format, read by the fields of `onnx.proto`. Strict, because what this reader and the runtime's
read differently could hide something: no field that is not known, none twice that may stand once, no number in more
bytes than it needs, no groups. What is heavy (weights, the numbers of trees) is checked for form and skipped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

Message: TypeAlias = Mapping[str, Any]
"""By field: a number, a text, a message, or a list of these; `True` for what is there and was skipped."""

DEEPEST = 64
"""How many messages may lie within one another; a subgraph costs three. The runtime's own limit is 100."""

_INT, _TEXT, _FLOAT, _DOUBLE, _BYTES = "int", "text", "float", "double", "bytes"
_WIRE = {_INT: 0, _DOUBLE: 1, _FLOAT: 5}
_ONE = {
    _INT: rb"(?:[\x00-\x7f]|[\x80-\xff]{1,8}[\x01-\x7f]|[\x80-\xff]{9}\x01)",
    _DOUBLE: rb".{8}",
    _FLOAT: rb".{4}",
    _BYTES: rb"(?:%s)" % rb"|".join(rb"\x%02x.{%d}" % (length, length) for length in range(128)),
}
"""How one looks; of bytes, the short ones: trees say with millions of them how each node compares."""

_PAIRS = "Pair*"
_FIELDS: Mapping[str, Mapping[int, tuple[str, str]]] = {
    "Model": {
        1: ("ir_version", _INT),
        2: ("producer_name", _TEXT),
        3: ("producer_version", _TEXT),
        4: ("domain", _TEXT),
        5: ("model_version", _INT),
        6: ("doc_string", _TEXT),
        7: ("graph", "Graph"),
        8: ("opset_import", "Opset*"),
        14: ("metadata_props", _PAIRS),
        20: ("training_info", "bytes*"),
        25: ("functions", "bytes*"),
    },
    "Opset": {1: ("domain", _TEXT), 2: ("version", _INT)},
    "Pair": {1: ("key", _TEXT), 2: ("value", _TEXT)},
    "Graph": {
        1: ("node", "Node*"),
        2: ("name", _TEXT),
        5: ("initializer", "Tensor*"),
        10: ("doc_string", _TEXT),
        11: ("input", "Value*"),
        12: ("output", "Value*"),
        13: ("value_info", "Value*"),
        14: ("quantization_annotation", "Annotation*"),
        15: ("sparse_initializer", "Sparse*"),
        16: ("metadata_props", _PAIRS),
    },
    "Node": {
        1: ("input", "text*"),
        2: ("output", "text*"),
        3: ("name", _TEXT),
        4: ("op_type", _TEXT),
        5: ("attribute", "Attribute*"),
        6: ("doc_string", _TEXT),
        7: ("domain", _TEXT),
        8: ("overload", _TEXT),
        9: ("metadata_props", _PAIRS),
    },
    "Attribute": {
        1: ("name", _TEXT),
        2: ("f", _FLOAT),
        3: ("i", _INT),
        4: ("s", _BYTES),
        5: ("t", "Tensor"),
        6: ("g", "Graph"),
        7: ("floats", "float*"),
        8: ("ints", "int*"),
        9: ("strings", "bytes*"),
        10: ("tensors", "Tensor*"),
        11: ("graphs", "Graph*"),
        13: ("doc_string", _TEXT),
        14: ("tp", "Type"),
        15: ("type_protos", "Type*"),
        20: ("type", _INT),
        21: ("ref_attr_name", _TEXT),
        22: ("sparse_tensor", "Sparse"),
        23: ("sparse_tensors", "Sparse*"),
    },
    "Tensor": {
        1: ("dims", "int*"),
        2: ("data_type", _INT),
        3: ("segment", "Segment"),
        4: ("float_data", "float*"),
        5: ("int32_data", "int*"),
        6: ("string_data", "bytes*"),
        7: ("int64_data", "int*"),
        8: ("name", _TEXT),
        9: ("raw_data", _BYTES),
        10: ("double_data", "double*"),
        11: ("uint64_data", "int*"),
        12: ("doc_string", _TEXT),
        13: ("external_data", _PAIRS),
        14: ("data_location", _INT),
        16: ("metadata_props", _PAIRS),
    },
    "Segment": {1: ("begin", _INT), 2: ("end", _INT)},
    "Sparse": {1: ("values", "Tensor"), 2: ("indices", "Tensor"), 3: ("dims", "int*")},
    "Annotation": {1: ("tensor_name", _TEXT), 2: ("quant_parameter_tensor_names", _PAIRS)},
    "Value": {1: ("name", _TEXT), 2: ("type", "Type"), 3: ("doc_string", _TEXT), 4: ("metadata_props", _PAIRS)},
    "Type": {
        1: ("tensor_type", "TensorType"),
        4: ("sequence_type", "ElementType"),
        5: ("map_type", "MapType"),
        6: ("denotation", _TEXT),
        8: ("sparse_tensor_type", "TensorType"),
        9: ("optional_type", "ElementType"),
    },
    "TensorType": {1: ("elem_type", _INT), 2: ("shape", "Shape")},
    "ElementType": {1: ("elem_type", "Type")},
    "MapType": {1: ("key_type", _INT), 2: ("value_type", "Type")},
    "Shape": {1: ("dim", "Dimension*")},
    "Dimension": {1: ("dim_value", _INT), 2: ("dim_param", _TEXT), 3: ("denotation", _TEXT)},
}


class Malformed(ValueError):
    """Bytes that are no ONNX file; the message says what is wrong and at which byte."""


def read(content: bytes) -> Message:
    """The model that the bytes hold. Raises `Malformed`.

    >>> read(b"\\x08\\x08\\x3a\\x03\\x12\\x01g")
    {'ir_version': 8, 'graph': {'name': 'g'}}
    """
    return _Reader(content).message("Model", 0, len(content), 1)


@cache
def _run(kind: str, tag: bytes) -> re.Pattern[bytes]:
    """Numbers that follow one another, each behind its tag; `tag` is empty within a packed field."""
    return re.compile(rb"(?:" + re.escape(tag) + _ONE[kind] + rb")*+", re.DOTALL)


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def message(self, kind: str, at: int, end: int, depth: int) -> Message:
        if depth > DEEPEST:
            raise Malformed(f"messages lie more than {DEEPEST} deep at byte {at}")
        found: dict[str, Any] = {}
        while at < end:
            start = at
            tag, at = self._number(at, end)
            name, field = _FIELDS[kind].get(tag >> 3, ("", ""))
            if not name:
                raise Malformed(f"{kind} has a field {tag >> 3} at byte {start}, which is not known")
            if field.endswith("*"):
                value, at = self._value(field[:-1], tag & 7, start, at, end, depth)
                found.setdefault(name, []).append(value)
                continue
            if name in found:
                raise Malformed(f"{kind}.{name} is given twice, again at byte {start}")
            found[name], at = self._single(field, tag & 7, at, end, depth)
        return found

    def _value(self, kind: str, wire: int, start: int, at: int, end: int, depth: int) -> tuple[Any, int]:
        """One of many; of numbers and short bytes as many as follow, because trees have millions."""
        if kind in _ONE and wire == _WIRE.get(kind, 2):
            stop = self._matched(_run(kind, self._content[start:at]), start, end)
            if stop > start:
                return True, stop
        elif kind in _WIRE and wire == 2:
            at, stop = self._span(at, end)
            if self._matched(_run(kind, b""), at, stop) == stop:
                return True, stop
        return self._single(kind, wire, at, end, depth)

    def _matched(self, pattern: re.Pattern[bytes], at: int, end: int) -> int:
        found = pattern.match(self._content, at, end)
        return found.end() if found else at

    def _single(self, kind: str, wire: int, at: int, end: int, depth: int) -> tuple[Any, int]:
        if wire != _WIRE.get(kind, 2):
            raise Malformed(f"a field has the wrong wire type {wire} before byte {at}")
        if kind == _INT:
            return self._number(at, end)
        at, stop = self._span(at, end) if wire == 2 else (at, at + (8 if wire == 1 else 4))
        if stop > end:
            raise Malformed(f"the bytes end within a number at byte {at}")
        if kind == _TEXT:
            return self._text(at, stop), stop
        return (self.message(kind, at, stop, depth + 1) if kind in _FIELDS else True), stop

    def _text(self, at: int, end: int) -> str:
        try:
            return self._content[at:end].decode()
        except UnicodeDecodeError:
            raise Malformed(f"a text is not UTF-8 at byte {at}") from None

    def _span(self, at: int, end: int) -> tuple[int, int]:
        length, at = self._number(at, end)
        if length > end - at:
            raise Malformed(f"the bytes end before what byte {at} says they hold")
        return at, at + length

    def _number(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for position in range(at, min(at + 10, end)):
            byte = self._content[position]
            value |= (byte & 0x7F) << 7 * (position - at)
            if byte < 0x80:
                if (byte == 0 and position > at) or value >= 1 << 64:
                    raise Malformed(f"a number is longer than it need be at byte {at}")
                return value, position + 1
        raise Malformed(f"a number does not end at byte {at}")
