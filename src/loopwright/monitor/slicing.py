"""The columns that slices are cut by, as the version's own contract has them.

So a slice is called what the judge called it, wherever its rows lie, however a client wrote them, and whatever other
versions take by the same name. What is no such value is missing there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
import polars as pl

from loopwright.monitor.watched import Known


def as_declared(rows: pl.DataFrame, known: Known) -> pl.DataFrame:
    """Columns of rows that were logged, those of the contract in its kinds; the others as they are."""
    kinds = {column.name: column.kind for column in known.contract.columns}
    made = [_READERS[kinds[name]](rows[name]) for name in rows.columns if kinds.get(name) in _READERS]
    times = [_as_judged(one, known) for one in made if one.dtype.is_temporal()]
    return rows.with_columns(made).with_columns(times)


def _texts(values: pl.Series) -> pl.Series:
    """A column of several kinds is JSON, which says so of itself: each of its values can be read, and texts stand in
    quotation marks."""
    if values.dtype != pl.String or not values.str.starts_with('"').any():
        return values.cast(pl.String)
    distinct = values.drop_nulls().unique().to_list()
    try:
        read = [msgspec.json.decode(one) for one in distinct]
    except msgspec.DecodeError:
        return values
    texts = [one if isinstance(one, str) else None for one in read]
    return values.replace_strict(distinct, texts, default=None, return_dtype=pl.String)


def _integers(values: pl.Series) -> pl.Series:
    """Also those that were written 4.0."""
    if values.dtype.is_integer() or values.dtype == pl.Null:
        return values.cast(pl.Int64, strict=False)
    numbers = _floats(values)
    whole = numbers.set(numbers != numbers.floor(), None).cast(pl.Int64, strict=False)
    if values.dtype != pl.String:
        return whole
    exact = values.cast(pl.Int64, strict=False)
    return exact.zip_with(exact.is_not_null(), whole)


def _floats(values: pl.Series) -> pl.Series:
    return values.cast(pl.Float64, strict=False) if values.dtype != pl.Boolean else _nothing(values, pl.Float64())


def _booleans(values: pl.Series) -> pl.Series:
    if values.dtype == pl.String:
        said = {"true": True, "false": False}
        return values.replace_strict(said, default=None, return_dtype=pl.Boolean)
    return values if values.dtype == pl.Boolean else _nothing(values, pl.Boolean())


def _times(values: pl.Series) -> pl.Series:
    texts = _texts(values)
    distinct = texts.drop_nulls().unique().to_list()
    moments = pl.Series(map(_moment, distinct), dtype=pl.Datetime("us", "UTC"))
    return texts.replace_strict(pl.Series(distinct, dtype=pl.String), moments, default=None, return_dtype=moments.dtype)


def _moment(text: str) -> datetime | None:
    """Without a zone it is UTC."""
    with suppress(ValueError, OverflowError):
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    return None


def _nothing(values: pl.Series, kind: pl.DataType) -> pl.Series:
    return pl.Series(values.name, [None], dtype=kind).new_from_index(0, len(values))


def _as_judged(moments: pl.Series, known: Known) -> pl.Series:
    """Days, or moments without a zone, where the rows that the version was judged on have those."""
    cuts = known.judged.slices if known.judged else ()
    named = [value for cut in cuts for name, value in zip(cut.columns, cut.values, strict=True) if name == moments.name]
    first = next((one for one in named if isinstance(one, str)), "+00:00")
    if len(first) == len("2026-03-01"):
        return moments.dt.date()
    return moments if "+" in first else moments.dt.replace_time_zone(None)


_READERS: Mapping[str, Callable[[pl.Series], pl.Series]] = {
    "string": _texts, "integer": _integers, "float": _floats, "boolean": _booleans, "time": _times,
}  # fmt: skip
"""By kind."""
