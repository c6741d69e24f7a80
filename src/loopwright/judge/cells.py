"""Slices: which rows share the values of some columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loopwright.errors import DataError, did_you_mean
from loopwright.judge.evaluation import Value

MOST_SLICES = 200
"""Slices of one set of columns that are kept, the largest first; the rest are counted together."""
Columns = Mapping[str, Any] | pl.DataFrame


def cells(columns: Columns, by: Sequence[str], rows: int) -> list[tuple[tuple[Value, ...], NDArray[np.intp]]]:
    """Values and row positions of every slice, the largest first. Missing values are a slice of their own.

    Raises `DataError` for a column that is not there or not as long as the rows.

    >>> [(values, where.tolist()) for values, where in cells({"carrier": ["AA", "UA", "AA"]}, ["carrier"], 3)]
    [(('AA',), [0, 2]), (('UA',), [1])]
    """
    frame = pl.DataFrame([_series(columns, name, rows) for name in by]).with_row_index("\0row")
    grouped = frame.group_by(list(by)).agg(pl.col("\0row").sort())
    found = [
        (tuple(plain(value) for value in row[:-1]), np.asarray(row[-1], dtype=np.intp)) for row in grouped.iter_rows()
    ]
    return sorted(found, key=lambda one: (-len(one[1]), str(one[0])))


def _series(columns: Columns, name: str, rows: int) -> pl.Series:
    known = columns.columns if isinstance(columns, pl.DataFrame) else list(columns)
    if name not in known:
        raise DataError(f"there is no column {name!r} to slice by", fix=did_you_mean(name, known))
    given = columns[name]
    if isinstance(given, np.ndarray) and given.dtype == object:
        given = given.tolist()
    found = given.rename(name) if isinstance(given, pl.Series) else pl.Series(name, given, strict=False)
    if len(found) != rows:
        raise DataError(f"column {name!r} has {len(found)} values for {rows} rows", fix="give one value for each row")
    return found.fill_nan(None) if found.dtype.is_float() else found


def plain(value: object) -> Value:
    """The value as JSON can hold it: times and the like become text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def column_sets(slices: Iterable[str | Sequence[str]]) -> list[tuple[str, ...]]:
    """Each set of columns once, as a tuple, in the order given."""
    return list(dict.fromkeys((one,) if isinstance(one, str) else tuple(one) for one in slices))
