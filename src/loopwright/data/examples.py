"""A few rows for what statistics told: each finding as a condition on rows, all of them looked for in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any

import polars as pl

from loopwright.data.contradictions import moment
from loopwright.data.findings import Finding
from loopwright.data.frequent import KEPT_WHOLE, is_shortened
from loopwright.data.schema import Schema
from loopwright.data.sketch import FIRST_TIME, LAST_TIME

SHOWN = 3
MOST_SEARCHES = 200
"""Findings beyond these have no examples."""
_LONGEST = 100
_MOST_ITEMS = 20
ROW = "(row)"
"""Number of the row, from 1, where the table has no key."""


def with_examples(findings: Sequence[Finding], rows: pl.LazyFrame, schema: Schema) -> list[Finding]:
    """The findings, each with rows that show it, where rows can."""
    types = rows.collect_schema()
    key = [name for name in (*schema.key, schema.time) if name in types]
    searched = [(at, one) for at, found in enumerate(findings) if (one := condition(found, types)) is not None]
    searched = [(at, one) for at, one in searched if not findings[at].examples][:MOST_SEARCHES]
    numbered = rows if key else rows.with_row_index(ROW, offset=1)
    beside = list(dict.fromkeys(key)) or [ROW]
    wanted = []
    for at, one in searched:
        column = findings[at].column
        shown = [*beside, *([column] if column is not None and column not in beside else [])]
        wanted.append(numbered.filter(one).select(shown).head(SHOWN))
    made = list(findings)
    for (at, _), frame in zip(searched, pl.collect_all(wanted, engine="streaming"), strict=True):
        made[at] = replace(findings[at], examples=told(frame))
    return made


def told(rows: pl.DataFrame) -> tuple[Mapping[str, Any], ...]:
    """As JSON values."""
    odd = {
        name: one for name, dtype in rows.schema.items() if (one := is_out_of_range(pl.col(name), dtype)) is not None
    }
    beyond = [name for name, one in odd.items() if rows.select(one.any()).item()]
    rows = rows.with_columns([_sayable(name, rows.schema[name], odd[name]) for name in beyond])
    return tuple({name: _plain(value) for name, value in row.items()} for row in rows.iter_rows(named=True))


def _sayable(name: str, dtype: pl.DataType, beyond: pl.Expr) -> pl.Expr:
    """Python has no times beyond its years: these are told as what they are kept as."""
    column, unit = pl.col(name), getattr(dtype, "time_unit", "us")
    kept = pl.format(f"{{}} {unit} since 1970", column.to_physical())
    return pl.when(beyond).then(kept).otherwise(column.dt.to_string("iso")).alias(name)


def condition(found: Finding, types: Mapping[str, pl.DataType]) -> pl.Expr | None:
    """True on the rows that a finding is about; None where it is about no single row."""
    if found.column is None or found.column not in types:
        return None
    column, dtype = pl.col(found.column), types[found.column]
    if found.kind in ("too many missing", "weights missing", "too few values"):
        return is_missing(column, dtype)
    if found.kind in _OF_ANY_ROW:
        return column.is_not_null()
    if found.values and found.kind == "near-constant":
        return column.is_not_null() & (column.cast(pl.String) != found.values[0][0])
    if found.values and (dtype == pl.String or dtype.is_integer()):
        # Long texts are kept as their beginning and a hash.
        begins = [column.str.starts_with(one[:KEPT_WHOLE]) for one, _ in found.values if is_shortened(one)]
        known = column.cast(pl.String).is_in([value for value, _ in found.values])
        return pl.any_horizontal(known, *begins) if begins and dtype == pl.String else known
    if dtype.is_float() and found.kind in ("NaN", "infinity"):
        return column.is_nan() if found.kind == "NaN" else column.is_infinite()
    if found.kind == "time out of range":
        return is_out_of_range(column, dtype)
    return beyond(found, column, dtype)


_OF_ANY_ROW = ("wrong type", "unexpected repetition", "looks like another type", "new column")
"""What a column holds is best told by some of it."""


def beyond(found: Finding, column: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """True on the rows past the limit of a finding about one; None for others."""
    limit: pl.Expr | float | str | None = found.limit
    if limit is None or found.kind not in _BEYOND:
        return None
    above = _BEYOND[found.kind]
    if dtype == pl.String:
        column = column.str.len_chars()
    elif isinstance(dtype, pl.List | pl.Array):
        column = column.list.len() if isinstance(dtype, pl.List) else column.arr.len()
    elif dtype.is_temporal():
        at = moment(str(limit))
        limit = pl.lit(None if at is None else at.astimezone(UTC).replace(tzinfo=None), dtype=pl.Datetime("us"))
        column = _naive(column, dtype)
    elif dtype.is_float():
        column = pl.when(column.is_finite()).then(column)
    elif not dtype.is_numeric():
        return None
    if above is None:
        return column != limit
    return column > limit if above else column < limit


_BEYOND: Mapping[str, bool | None] = {
    "number too big": True, "time too late": True, "text too long": True, "list too long": True,
    "rows from the future": True, "number too small": False, "time too early": False, "text too short": False,
    "list too short": False, "weights mismatched": False, "wrong shape": None,
}  # fmt: skip


def _naive(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """In UTC."""
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(pl.Datetime("us"))


def is_missing(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """As statistics count it: null, empty text, a number that is none."""
    if dtype == pl.String:
        return column.is_null() | (column == "")
    return column.is_null() | column.is_nan() if dtype.is_float() else column.is_null()


def is_out_of_range(column: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """Times that no calendar of the years 1 to 9999 has; None for what is no time, or always is within them."""
    if not isinstance(dtype, pl.Datetime) or dtype.time_unit == "ns":
        return None
    unit = 1 if dtype.time_unit == "us" else 1000
    return ~column.to_physical().is_between(FIRST_TIME // unit, LAST_TIME // unit)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | pl.Series) and len(value) <= _MOST_ITEMS:
        return [_plain(one) for one in value]
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
