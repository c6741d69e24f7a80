"""Windows of rows that are drawn, and their statistics: of nothing that changes, or of one column that moved.

Rows are drawn anew for every window, so whatever is told about two windows of the same kind is told about chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from loopwright.data.statistics import TableProfile

Array = np.ndarray[Any, np.dtype[Any]]
_AT_ONCE = 131_072


def rows_of(draw: np.random.Generator, rows: int) -> pa.RecordBatch:
    """Twenty columns of every kind, nothing of which ever changes but the rows."""
    numbers: dict[str, Array] = {
        "lognormal": draw.lognormal(size=rows),
        "lognormal_wide": draw.lognormal(sigma=3, size=rows),
        "normal": draw.normal(size=rows),
        "normal_offset": 1e6 + draw.normal(size=rows),
        "uniform": draw.random(rows),
        "rounded": draw.normal(size=rows).round(1),
        "mostly_zero": np.where(draw.random(rows) < 0.9, 0.0, draw.exponential(size=rows)),
        "few": draw.poisson(2.0, rows),
        "hours": draw.integers(0, 24, rows),
        "wide": draw.integers(-(10**12), 10**12, rows),
        "half": draw.random(rows) < 0.5,
        "rare": draw.random(rows) < 0.01,
    }
    arrays: dict[str, pa.Array] = {name: pa.array(values) for name, values in numbers.items()}
    for name in ("normal", "uniform"):
        arrays[f"{name}_missing"] = pa.array(numbers[name] * 2, mask=draw.random(rows) < 0.05)
    for categories in (5, 50, 1000, 10_000):
        arrays[f"zipf_{categories}"] = _texts(draw, rows, 1 / np.arange(1, categories + 1) ** 1.1)
    arrays["even_10000"] = _texts(draw, rows, np.ones(10_000))
    arrays["text_missing"] = _texts(draw, rows, np.ones(8), missing=0.3)
    return pa.record_batch(arrays)


def profiled(*batches: pa.RecordBatch) -> TableProfile:
    made = TableProfile.of_schema(batches[0].schema)
    for batch in batches:
        made.update(batch)
    return made


def windows_of(rows: int, seed: int) -> Iterator[TableProfile]:
    """Endless."""
    return (profiled(*batches) for batches in batches_of(rows, seed))


def batches_of(rows: int, seed: int) -> Iterator[list[pa.RecordBatch]]:
    """The rows of the same windows; of large ones in batches, as a table is read."""
    draw = np.random.default_rng([seed, rows])
    sizes = [_AT_ONCE] * (rows // _AT_ONCE) + [rows % _AT_ONCE]
    while True:
        yield [rows_of(draw, size) for size in sizes if size]


def shifted(kind: str, amount: float | None, draw: np.random.Generator, rows: int) -> pa.RecordBatch:
    """One column that moved by an amount, or not at all; nineteen that stay."""
    batch = rows_of(draw, rows).drop_columns(["half"])
    one: pa.Array
    match kind:
        case "normal":
            one = pa.array(draw.normal(size=rows) + (amount or 0.0))
        case "wider":
            one = pa.array(draw.normal(size=rows) * (amount or 1.0))
        case "share":
            one = pa.array(draw.random(rows) < (amount or 0.23))
        case "missing":
            one = pa.array(draw.normal(size=rows), mask=draw.random(rows) < (amount or 0.05))
        case _:
            values = np.where(draw.random(rows) < (amount or 0.0), 99, draw.integers(0, 20, rows))
            one = pa.array(values.astype(str))
    return batch.append_column("moved", one)


def _texts(draw: np.random.Generator, rows: int, weights: Array, missing: float = 0.0) -> pa.DictionaryArray:
    upto = np.cumsum(weights / weights.sum())
    codes = np.minimum(np.searchsorted(upto, draw.random(rows)), len(weights) - 1).astype(np.int32)
    names = pa.array([f"value {number}" for number in range(len(weights))])
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=draw.random(rows) < missing), names)
