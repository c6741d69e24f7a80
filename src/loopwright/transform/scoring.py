"""Batches through a predictor: frames of any size in, predictions of the same rows in the same order out.

Memory is bounded by a chunk, not by the data; a graph that splits texts gets a chunk in smaller `pieces`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from loopwright.transform.columns import Kind
from loopwright.transform.inputs import Array, Feed, Frame, Inputs, polars_frame
from loopwright.transform.predictor import Predictions, Predictor

CHUNK_ROWS = 65_536
WIDEST_BYTES = 256
"""Longer texts are handed over one by one: padded to the longest, they would fill the memory."""


def score(predictor: Predictor, frames: Iterable[Frame]) -> Iterator[Predictions]:
    """Predict frames one after the other, at most `CHUNK_ROWS` rows at once; a frame without rows gives none.

    Raises `SchemaMismatch` for a column that is missing or of another kind.
    """
    inputs = Inputs(predictor.inputs)
    for frame in frames:
        rows = polars_frame(frame)
        for first in range(0, len(rows), CHUNK_ROWS):
            yield predictor.run(batch_feed(inputs, rows[first : first + CHUNK_ROWS]))


def batch_feed(inputs: Inputs, rows: pl.DataFrame) -> Feed:
    """`inputs.feed`, with texts as bytes of fixed width, which the runtime takes without a Python object a cell."""
    texts = [column for column in inputs.columns if column.kind is Kind.STRING]
    others = Inputs(tuple(column for column in inputs.columns if column.kind is not Kind.STRING))
    frame = Inputs(tuple(texts)).frame(rows)
    return {column.input: text_array(frame[column.name]) for column in texts} | others.feed(rows)


def text_array(series: pl.Series) -> Array:
    """Texts without nulls as an array (rows, 1) of NUL-ended UTF-8, or of objects where that cannot hold them.

    >>> text_array(pl.Series(["UA", "é", ""])).tolist()
    [[b'UA'], [b'\\xc3\\xa9'], [b'']]
    """
    offsets, letters = _utf8(series)
    lengths = np.diff(offsets)
    width = int(lengths.max(initial=0)) + 1  # one more than the longest, for the runtime reads on to a NUL
    if width > WIDEST_BYTES or not letters.all():
        return series.to_numpy().reshape(-1, 1)
    cells = np.zeros((len(series), width), dtype=np.uint8)
    cells[np.arange(width) < lengths.reshape(-1, 1)] = letters
    return cells.view(f"S{width}")


def _utf8(series: pl.Series) -> tuple[Array, Array]:
    """Where each text begins and the last one ends, and the bytes of all."""
    array = series.to_arrow().cast(pa.large_string())
    _, offsets, letters = array.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    if letters is None or not len(bounds):
        return np.zeros(len(array) + 1, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    return bounds, np.frombuffer(letters, dtype=np.uint8)[bounds[0] : bounds[-1]]
