"""How raw columns enter the graph: one typed input a column, of shape (rows, 1), the same for training and serving.

| column | graph input | missing |
| --- | --- | --- |
| string, category | tensor(string) | "" |
| float, integer, boolean, decimal | tensor(float) | NaN |
| timestamp, date | tensor(int64), microseconds since 1970 in UTC | `MISSING_TIME` |

An empty string therefore *is* a missing one. Integers beyond 2**24 are not exact as float32: training on such a column
is refused; a larger value met later is rounded, as is a float64 to 7 digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa

from loopwright.errors import DeclarationError, SchemaMismatch, did_you_mean
from loopwright.transform.columns import MISSING_TIME, OUTPUTS, Column, Kind

__all__ = [
    "MISSING_TIME",
    "OUTPUTS",
    "Array",
    "Column",
    "Feed",
    "Frame",
    "Inputs",
    "Kind",
    "microseconds",
    "polars_frame",
]

Frame: TypeAlias = Any  # a polars or pandas frame, an Arrow table or batch
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Feed: TypeAlias = dict[str, Array]

EXACT_INTEGER = 2**24


@dataclass(frozen=True, slots=True)
class Inputs:
    """The columns a graph takes, in order.

    >>> inputs = Inputs.of(pl.DataFrame({"carrier": ["UA", None], "distance": [1400, None]}))
    >>> [(column.name, column.kind.value) for column in inputs.columns]
    [('carrier', 'string'), ('distance', 'number')]
    >>> inputs.feed(pl.DataFrame({"carrier": ["UA", None], "distance": [1400, None]}))["distance"].tolist()
    [[1400.0], [nan]]
    """

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, rows: Frame) -> Inputs:
        """The inputs for training rows. Raises `DeclarationError` for a column the graph could not take faithfully."""
        frame = polars_frame(rows)
        for series in frame:
            _refuse_unnameable(series.name)
            _refuse_inexact(series)
        return cls(tuple(Column(name=series.name, kind=_kind(series)) for series in frame))

    @classmethod
    def from_dict(cls, listed: list[dict[str, str]]) -> Inputs:
        return cls(tuple(Column(name=one["name"], kind=Kind(one["kind"])) for one in listed))

    def to_dict(self) -> list[dict[str, str]]:
        return [{"name": column.name, "kind": column.kind.value} for column in self.columns]

    def named(self, kind: Kind) -> list[str]:
        return [column.name for column in self.columns if column.kind is kind]

    def frame(self, rows: Frame) -> pl.DataFrame:
        """The rows as a Python model is fitted on: missing strings "", numbers float32 with NaN, times null."""
        frame = polars_frame(rows)
        return pl.DataFrame({column.name: _canonical(self._column(frame, column), column) for column in self.columns})

    def feed(self, rows: Frame) -> Feed:
        """The rows as ONNX Runtime takes them. Raises `SchemaMismatch` for a missing column or one of another kind."""
        frame = polars_frame(rows)
        return {column.input: _array(self._column(frame, column), column) for column in self.columns}

    def _column(self, frame: pl.DataFrame, column: Column) -> pl.Series:
        if column.name in frame.columns:
            return frame[column.name]
        raise SchemaMismatch(
            f"the model needs the column {column.name!r}, which the rows do not have",
            fix=did_you_mean(column.name, frame.columns),
        )


def polars_frame(rows: Frame) -> pl.DataFrame:
    if isinstance(rows, pl.DataFrame):
        return rows
    if isinstance(rows, pa.Table | pa.RecordBatch):
        return pl.DataFrame(pl.from_arrow(rows))
    if hasattr(rows, "iloc"):
        return pl.DataFrame(pl.from_pandas(_without_zones(rows)))
    raise SchemaMismatch(
        f"rows of type {type(rows).__name__} are no table", fix="pass a polars or pandas frame, or an Arrow table"
    )


def _without_zones(rows: Frame) -> Frame:
    """Zoned timestamps as naive UTC: what crosses from pandas without a warning."""
    zoned = [name for name in rows.columns if getattr(rows[name].dtype, "tz", None) is not None]
    return rows.assign(**{name: rows[name].dt.tz_convert(None) for name in zoned}) if zoned else rows


def microseconds(series: pl.Series) -> Array:
    """Microseconds since 1970 in UTC, shape (rows,); naive timestamps are UTC, missing ones `MISSING_TIME`.

    >>> microseconds(pl.Series(["1969-12-31T23:59:59"]).str.to_datetime()).tolist()
    [-1000000]
    """
    if series.dtype == pl.Date:
        series = series.cast(pl.Datetime("us"))
    if isinstance(series.dtype, pl.Datetime):
        series = series.dt.cast_time_unit("us")
    return np.asarray(series.cast(pl.Int64).fill_null(MISSING_TIME).to_numpy())


def _kind(series: pl.Series) -> Kind:
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        return Kind.NUMBER
    if series.dtype in (pl.String, pl.Categorical, pl.Enum):
        return Kind.STRING
    if series.dtype in (pl.Datetime, pl.Date):
        return Kind.TIME
    raise DeclarationError(
        f"a column of type {series.dtype} cannot enter a model's graph",
        where=f"column {series.name!r}",
        fix="turn it into numbers, strings or timestamps, or leave it out",
    )


def _refuse_unnameable(name: str) -> None:
    if "\0" in name:
        raise DeclarationError(
            f"the column {name!r} has a NUL in its name, which ends a name for the runtime", fix="rename the column"
        )


def _refuse_inexact(series: pl.Series) -> None:
    if not series.dtype.is_integer() or series.len() == series.null_count():
        return
    lowest, highest = int(series.min()), int(series.max())  # type: ignore[arg-type]
    if max(-lowest, highest) > EXACT_INTEGER:
        raise DeclarationError(
            f"integers from {lowest} to {highest} are not exact as float32 (beyond {EXACT_INTEGER:,})",
            where=f"column {series.name!r}",
            fix="cast it to string if it names something, to float if it measures something, or list it in never=",
        )


def _fits(series: pl.Series, column: Column) -> bool:
    return series.dtype == pl.Null or _kind(series) is column.kind


def _canonical(series: pl.Series, column: Column) -> pl.Series:
    if not _fits(series, column):
        raise SchemaMismatch(
            f"{column.name!r} is {series.dtype}; the model was trained on a {column.kind.value}",
            where=f"column {column.name!r}",
            fix=f"send it as a {column.kind.value}",
        )
    if column.kind is Kind.STRING:
        return series.cast(pl.String).fill_null("")
    if column.kind is Kind.NUMBER:
        return series.cast(pl.Float32).fill_null(float("nan"))
    return series.cast(pl.Datetime("us", "UTC"))


def _array(series: pl.Series, column: Column) -> Array:
    canonical = _canonical(series, column)
    values = microseconds(canonical) if column.kind is Kind.TIME else canonical.to_numpy()
    return np.asarray(values).reshape(-1, 1)
