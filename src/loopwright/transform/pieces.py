"""How many rows at once, where a graph splits texts into words: its table of words is as wide as the longest text.

One long text among many short ones would fill the memory: rows go in pieces, each bounded by that table. NumPy alone:
the gateway reads it too. A graph that splits nothing gets its rows as they come.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Feed: TypeAlias = Mapping[str, Array]

_PRODUCTS = (b"LinearClassifier", b"LinearRegressor", b"SVM", b"Gemm", b"MatMul")
MOST_ROWS = 8_192
"""Each has its counts of all words known; measured, this many also go three times as fast as 65,536."""

MOST_WORDS = 1 << 20
"""Places in the tables of a piece together, of 32 bytes each. A row that alone has more is a piece of its own."""


def splits(graph: bytes) -> bool:
    """Whether the graph may split texts; names of operators stand in it as they are."""
    return b"StringSplit" in graph


def multiplies(graph: bytes) -> bool:
    """Whether the graph may multiply matrices, which the runtime does in another order for a row that is alone."""
    return any(name in graph for name in _PRODUCTS)


def doubled(feed: Feed) -> Feed:
    """A row twice, so that it is answered to the bit as among others."""
    return {name: np.concatenate((array, array)) for name, array in feed.items()}


def run(running: Any, outputs: list[str] | None, feed: Feed, *, in_pieces: bool, options: Any = None) -> list[Array]:
    """What a session of ONNX Runtime answers, each output whole."""
    if not in_pieces or len(next(iter(feed.values()))) < 2:
        return [np.asarray(one) for one in running.run(outputs, feed, options)]
    parts = [running.run(outputs, piece, options) for piece in pieces(feed)]
    return [np.concatenate(one) if len(parts) > 1 else np.asarray(one[0]) for one in zip(*parts, strict=True)]


def pieces(feed: Feed) -> list[Feed]:
    """The rows in their order, in as few pieces as the bounds allow; no rows are one piece.

    >>> texts = np.array([["a b"], ["x " * MOST_WORDS], ["c"]], dtype=object)
    >>> [len(piece["note"]) for piece in pieces({"note": texts})]
    [1, 1, 1]
    """
    bounds = _bounds(_widths(feed))
    return [{name: array[first:last] for name, array in feed.items()} for first, last in pairwise(bounds)]


def _bounds(widths: list[int]) -> list[int]:
    found, widest = [0], 0
    for row, width in enumerate(widths):
        widest, rows = max(widest, width), row - found[-1]
        if rows and (rows == MOST_ROWS or (rows + 1) * widest > MOST_WORDS):
            found.append(row)
            widest = width
    return [*found, len(widths)]


def _widths(feed: Feed) -> list[int]:
    """For each row, how many words its texts could have together."""
    rows = len(next(iter(feed.values())))
    found = np.zeros(rows, dtype=np.int64)
    for array in feed.values():
        if array.dtype.kind == "O":
            found += np.fromiter((text.count(" ") + 1 for text in array.ravel()), np.int64, rows)
        elif array.dtype.kind in "SU":
            flat = array.ravel()
            found += np.char.count(flat, np.array(" ", dtype=array.dtype.kind)) + 1
    return [int(width) for width in found]
