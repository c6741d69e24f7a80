"""Tensors as bytes, as the Open Inference Protocol and its clients lay them out: row by row, the low byte first.

A text is its length in four bytes and then its UTF-8; a truth is one byte. A NaN is a value that is not known, as null
is in JSON. Behind the JSON of a request stand the bytes of its tensors, in their order; a header tells where.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np

from loopwright.gateway.refused import Refused

HEADER = "inference-header-content-length"
"""The length in bytes of the JSON that comes first."""
TYPE = "application/octet-stream"
Data: TypeAlias = list[Any]
_DTYPES: Mapping[str, str] = {
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
    "BOOL": "<u1",
}
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """An input whose values came as bytes; they are read when they are asked for."""

    name: str
    shape: Sequence[int]
    datatype: str
    content: memoryview

    def values(self) -> Data:
        """Flat. Raises `Refused` for bytes that are not what the shape and the datatype say."""
        return unpacked(self.content, self.datatype, prod(self.shape), self.name)


def split(content: bytes, header: str) -> tuple[bytes, memoryview]:
    """The JSON of a request, and the bytes behind it. Raises `Refused` for a header that cannot be."""
    is_length = header.isascii() and header.isdecimal() and len(header) < 20
    if not is_length or int(header) > len(content):
        raise Refused(
            400,
            f"{HEADER} is {header[:20]!r}, and the body has {len(content)} bytes",
            fix="send there the number of bytes of the JSON that the body begins with",
        )
    return content[: int(header)], memoryview(content)[int(header) :]


def parted(content: memoryview, sizes: Iterable[int]) -> list[memoryview]:
    """The bytes of each tensor, one after the other, and no more. Raises `Refused`."""
    parts, at = [], 0
    for size in sizes:
        parts.append(content[at : at + size])
        at += size
    if at != len(content):
        raise Refused(400, f"the tensors say they have {at} bytes, and {len(content)} came")
    return parts


def unpacked(content: memoryview, datatype: str, count: int, name: str) -> Data:
    """So many values; a NaN as None. Raises `Refused`.

    >>> unpacked(memoryview(packed([1.5, -2.0], "FP32")), "FP32", 2, "x")
    [1.5, -2.0]
    >>> unpacked(memoryview(packed(["UA", "東京"], "BYTES")), "BYTES", 2, "x")
    ['UA', '東京']
    """
    if datatype == "BYTES":
        return _texts(content, count, name)
    dtype = np.dtype(_DTYPES[datatype])
    if len(content) != count * dtype.itemsize:
        raise _wrong(name, f"{len(content)} bytes, and {count} of {datatype} have {count * dtype.itemsize}")
    values = np.frombuffer(content, dtype)
    if datatype == "BOOL":
        if values.size and values.max() > 1:
            raise _wrong(name, "a byte that is no BOOL", "send 0 or 1")
        values = values.astype(bool)
    found: Data = values.tolist()
    if datatype.startswith("FP"):
        for at in np.flatnonzero(np.isnan(values)).tolist():
            found[at] = None
    return found


def packed(values: Sequence[Any], datatype: str) -> bytes:
    """Values as bytes; each fits its datatype."""
    if datatype == "BYTES":
        coded = [str(value).encode() for value in values]
        return b"".join(_LENGTH.pack(len(one)) + one for one in coded)
    return np.array(values, dtype=_DTYPES[datatype]).tobytes()


def _texts(content: memoryview, count: int, name: str) -> Data:
    found: Data = []
    at = 0
    while at + _LENGTH.size <= len(content) and len(found) < count:
        (length,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size + length
        if at > len(content):
            raise _wrong(name, "a text that is longer than the bytes that came")
        found.append(text(content[at - length : at], name))
    if at != len(content) or len(found) != count:
        raise _wrong(name, f"{len(content)} bytes, which are no {count} texts", "send each as its length and its UTF-8")
    return found


def text(content: memoryview | bytes, name: str) -> str:
    """Of one value of a tensor. Raises `Refused`."""
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError:
        raise _wrong(name, "a text that is not UTF-8") from None


def _wrong(name: str, what: str, fix: str | None = None) -> Refused:
    return Refused(400, f"{name[:80]!r} has {what}", fix=fix)
