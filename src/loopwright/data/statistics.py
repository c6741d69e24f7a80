"""What a table's columns hold, column by column, in one pass of Polars. A bundle carries them as its reference."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from loopwright.data.schema import Kind
from loopwright.errors import DataError

FORMAT = 1
MOST_VALUES = 100
"""So many of a column's most frequent values are counted."""
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
Number = int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnStatistics:
    """One column: what fits its kind, None for the rest. Times are RFC 3339 text, in UTC."""

    name: str
    kind: Kind
    rows: int
    missing: int
    """Nulls; of strings also the empty ones, of floats also what is not finite."""
    distinct: int
    """Estimated (HyperLogLog++, about 1 %) beyond a few thousand; missing ones count for none."""
    mean: float | None = None
    deviation: float | None = None
    """Standard deviation, of the sample."""
    low: float | str | None = None
    high: float | str | None = None
    quantiles: Mapping[str, float] | None = None
    """By share, as text: `0.5` is the median."""
    values: Mapping[str, int] | None = None
    """Counts of the most frequent values, of strings and booleans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """All columns of some rows."""

    rows: int
    columns: tuple[ColumnStatistics, ...]
    format: int = FORMAT

    def column(self, name: str) -> ColumnStatistics:
        """Raises `LookupError`."""
        return next(one for one in self.columns if one.name == name)

    def to_json(self) -> str:
        """Equal statistics give equal bytes."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)


def describe(rows: pl.LazyFrame) -> Statistics:
    """The statistics of these rows. Raises `DataError` for a column of a kind that is not described (lists, structs).

    >>> found = describe(pl.LazyFrame({"carrier": ["UA", "B6", "UA", ""], "distance": [1400, 733, None, 2475]}))
    >>> found.column("carrier").values, found.column("carrier").missing, found.column("distance").low
    ({'UA': 2, 'B6': 1}, 1, 733)
    """
    schema = rows.collect_schema()
    kinds = {name: kind_of(name, dtype) for name, dtype in schema.items()}
    plain = rows.select(_plain(name, kind) for name, kind in kinds.items())
    asked = [one for name, kind in kinds.items() for one in _questions(name, kind)]
    counted = [name for name, kind in kinds.items() if kind in ("string", "boolean")]
    answers, *tops = pl.collect_all(
        [plain.select(pl.len().alias("\0rows"), *asked), *(_top(plain, n) for n in counted)]
    )
    found = answers.row(0, named=True)
    values = dict(zip(counted, tops, strict=True))
    return Statistics(
        rows=found["\0rows"],
        columns=tuple(_column(name, kind, found, values.get(name)) for name, kind in kinds.items()),
    )


def kind_of(name: str, dtype: Any) -> Kind:
    """Raises `DataError` for a type that is none of the five kinds.

    >>> kind_of("distance", pl.Int32)
    'integer'
    """
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "float"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "string"
    if dtype in (pl.Datetime, pl.Date):
        return "time"
    raise DataError(
        f"a column of type {dtype} cannot be described",
        where=f"column {name!r}",
        fix="turn it into numbers, strings or timestamps, or list it in never=",
    )


def _plain(name: str, kind: Kind) -> pl.Expr:
    """One form of missing for each kind."""
    column = pl.col(name)
    if kind == "string":
        text = column.cast(pl.String)
        return pl.when(text != "").then(text).alias(name)
    if kind == "time":
        return column.cast(pl.Datetime("us", "UTC"))
    if kind == "float":
        number = column.cast(pl.Float64)
        return pl.when(number.is_finite()).then(number).alias(name)
    return column


def _questions(name: str, kind: Kind) -> Sequence[pl.Expr]:
    column = pl.col(name)
    asked = [
        column.null_count().alias(f"{name}\0missing"),
        column.drop_nulls().approx_n_unique().alias(f"{name}\0distinct"),
    ]
    if kind == "string":
        return asked
    asked += [column.min().alias(f"{name}\0low"), column.max().alias(f"{name}\0high")]
    if kind == "time":
        return asked
    asked += [column.mean().alias(f"{name}\0mean"), column.cast(pl.Float64).std().alias(f"{name}\0deviation")]
    if kind == "boolean":
        return asked
    return [*asked, *(column.quantile(share).alias(f"{name}\0{share}") for share in QUANTILES)]


def _top(plain: pl.LazyFrame, name: str) -> pl.LazyFrame:
    value = pl.col(name).cast(pl.String).alias("value")
    counts = plain.select(value).drop_nulls().group_by("value").len("rows")
    return counts.sort(["rows", "value"], descending=[True, False]).head(MOST_VALUES)


def _column(name: str, kind: Kind, found: Mapping[str, Any], values: pl.DataFrame | None) -> ColumnStatistics:
    shares = {str(share): found.get(f"{name}\0{share}") for share in QUANTILES}
    numbers = {share: float(value) for share, value in shares.items() if value is not None}
    return ColumnStatistics(
        name=name,
        kind=kind,
        rows=found["\0rows"],
        missing=found[f"{name}\0missing"],
        distinct=found[f"{name}\0distinct"],
        mean=found.get(f"{name}\0mean"),
        deviation=found.get(f"{name}\0deviation"),
        low=_told(found.get(f"{name}\0low")),
        high=_told(found.get(f"{name}\0high")),
        quantiles=numbers or None,
        values=None if values is None else dict(values.iter_rows()),
    )


def _told(bound: Any) -> float | str | None:
    if isinstance(bound, datetime):
        return bound.astimezone(UTC).isoformat()
    return bound.isoformat() if isinstance(bound, date) else bound
