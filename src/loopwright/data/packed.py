"""Arrays of whole numbers as short text for JSON, and back. Equal arrays give equal text under one build of zlib."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KINDS = ("<u1", "<u2", "<u4", "<u8", "<i8", "<f8")
_SIGNS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_ALPHABET = np.frombuffer(_SIGNS, dtype=np.uint8)
_PLACES = np.full(256, 255, dtype=np.uint8)
_PLACES[_ALPHABET] = np.arange(85)
_POWERS = 85 ** np.arange(4, -1, -1)
_OF_TEXTS = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY)
_OF_NUMBERS = (zlib.Z_RLE, zlib.Z_HUFFMAN_ONLY)
"""Counts are noise, and runs of the same: to look for other repetitions costs ten times as much, and finds none."""
_MOST_BYTES = 1 << 28
"""What a text may unpack to: a short one that stands for gigabytes is refused."""


def pack(numbers: NDArray[Any]) -> str:
    """The narrowest type that holds them all, lowest bytes first, compressed.

    >>> unpack(pack(np.array([3, 0, 70000])))
    array([    3,     0, 70000])
    """
    kind = _narrowest(numbers)
    planes = np.ascontiguousarray(numbers.astype(kind)).view(np.uint8).reshape(-1, np.dtype(kind).itemsize).T
    return f"{_KINDS.index(kind)}{_encoded(_deflated(planes.tobytes(), _OF_NUMBERS))}"


def unpack(text: str) -> NDArray[Any]:
    """As int64, or as the float64 that they were. Raises `ValueError`."""
    kind = np.dtype(_KINDS[int(text[:1])])
    planes = np.frombuffer(_inflated(_decoded(text[1:])), dtype=np.uint8).reshape(kind.itemsize, -1)
    numbers = np.ascontiguousarray(planes.T).reshape(-1).view(kind)
    return numbers.astype(np.float64 if kind.kind == "f" else np.int64)


def pack_text(text: str) -> str:
    return _encoded(_deflated(text.encode("utf-8", "surrogatepass"), _OF_TEXTS))


def unpack_text(text: str) -> str:
    """Raises `ValueError`."""
    return _inflated(_decoded(text)).decode("utf-8", "surrogatepass")


def _deflated(content: bytes, strategies: Sequence[int]) -> bytes:
    """By that which makes it shortest."""
    made = []
    # No more memory than the content fills: most of the time of a short one went into clearing the rest.
    bits = min(max((len(content) - 1).bit_length(), 9), zlib.MAX_WBITS)
    memory = min(max(bits - 6, 1), 8)
    for strategy in strategies:
        stream = zlib.compressobj(9, zlib.DEFLATED, bits, memory, strategy)
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


def _encoded(content: bytes) -> str:
    """What `base64.b85encode` gives: Python's own took a third of the time that statistics take to be written."""
    short = -len(content) % 4
    words = np.frombuffer(content + bytes(short), dtype=">u4").astype(np.uint32)
    digits = np.empty((len(words), 5), dtype=np.uint8)
    for at in range(4, -1, -1):
        words, digits[:, at] = np.divmod(words, np.uint32(85))
    return _ALPHABET[digits].tobytes()[: 5 * len(digits) - short].decode("ascii")


def _decoded(text: str) -> bytes:
    """Raises `ValueError`."""
    short = -len(text) % 5
    digits = _PLACES[np.frombuffer(text.encode() + b"~" * short, dtype=np.uint8)].reshape(-1, 5).astype(np.int64)
    words = digits @ _POWERS
    if digits.max(initial=0) > 84 or words.max(initial=0) >> 32:
        raise ValueError("the packed numbers hold signs that are none of base 85")
    content = words.astype(">u4").tobytes()
    return content[: len(content) - short]


def _narrowest(numbers: NDArray[Any]) -> str:
    if numbers.dtype.kind == "f":
        whole = numbers.astype(np.int64) if len(numbers) == 0 or np.abs(numbers).max() < 2.0**53 else None
        if whole is None or not np.array_equal(whole, numbers):
            return "<f8"
    low, high = (numbers.min(), numbers.max()) if len(numbers) else (0, 0)
    if low < 0:
        return "<i8"
    return next(kind for kind, most in zip(_KINDS, (8, 16, 32, 64), strict=False) if high < 1 << most)
