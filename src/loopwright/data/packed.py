"""Arrays of whole numbers as short text for JSON, and back. Equal arrays give equal text under one build of zlib."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KINDS = ("<u1", "<u2", "<u4", "<u8", "<i8", "<f8")
_MOST_BYTES = 1 << 28
"""What a text may unpack to: a short one that stands for gigabytes is refused."""


def pack(numbers: NDArray[Any]) -> str:
    """The narrowest type that holds them all, lowest bytes first, compressed.

    >>> unpack(pack(np.array([3, 0, 70000])))
    array([    3,     0, 70000])
    """
    kind = _narrowest(numbers)
    planes = np.ascontiguousarray(numbers.astype(kind)).view(np.uint8).reshape(-1, np.dtype(kind).itemsize).T
    return f"{_KINDS.index(kind)}{base64.b85encode(_deflated(planes.tobytes())).decode()}"


def unpack(text: str) -> NDArray[Any]:
    """As int64, or as the float64 that they were. Raises `ValueError`."""
    kind = np.dtype(_KINDS[int(text[:1])])
    planes = np.frombuffer(_inflated(base64.b85decode(text[1:])), dtype=np.uint8).reshape(kind.itemsize, -1)
    numbers = np.ascontiguousarray(planes.T).reshape(-1).view(kind)
    return numbers.astype(np.float64 if kind.kind == "f" else np.int64)


def pack_text(text: str) -> str:
    return base64.b85encode(_deflated(text.encode("utf-8", "surrogatepass"))).decode()


def unpack_text(text: str) -> str:
    """Raises `ValueError`."""
    return _inflated(base64.b85decode(text)).decode("utf-8", "surrogatepass")


def _deflated(content: bytes) -> bytes:
    """Noise, which counts mostly are, gets shorter when no repetitions are looked for."""
    made = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY):
        stream = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 8, strategy)
        made.append(stream.compress(content) + stream.flush())
    return min(made, key=len)


def _inflated(content: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        made = stream.decompress(content, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if stream.unconsumed_tail or not stream.eof:
        raise ValueError("the packed numbers are cut off, or too many")
    return made


def _narrowest(numbers: NDArray[Any]) -> str:
    if numbers.dtype.kind == "f":
        whole = numbers.astype(np.int64) if len(numbers) == 0 or np.abs(numbers).max() < 2.0**53 else None
        if whole is None or not np.array_equal(whole, numbers):
            return "<f8"
    low, high = (numbers.min(), numbers.max()) if len(numbers) else (0, 0)
    if low < 0:
        return "<i8"
    return next(kind for kind, most in zip(_KINDS, (8, 16, 32, 64), strict=False) if high < 1 << most)
