"""Rows that fail what was found, set aside whole, each with its reasons. Which rows these are, the schema's limits say:
a finding tells but the first few of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from loopwright.data import texts
from loopwright.data.declare import Validate
from loopwright.data.examine import failed_checks, is_no_utf8
from loopwright.data.examples import beyond, is_missing, is_out_of_range
from loopwright.data.finding_kinds import OF_ROWS
from loopwright.data.findings import Finding, Severity
from loopwright.data.frequent import KEPT_WHOLE, is_shortened
from loopwright.data.rows import PLACE
from loopwright.data.schema import Column, Schema

REASON = "reason"


def wanted(found: Sequence[Finding], validating: Validate) -> list[Finding]:
    """Those that the declaration sets rows aside for, and that single rows fail."""
    kinds = validating.quarantine
    if isinstance(kinds, bool):
        return [one for one in found if kinds and one.severity is Severity.ERROR and one.kind in OF_ROWS]
    return [one for one in found if one.kind in kinds]


def failing(rows: pl.LazyFrame, found: Sequence[Finding], schema: Schema) -> pl.DataFrame:
    """The rows that fail what was found, with their place among all and the reason: two are joined by "; ".

    Of equal keys, and of values that may not repeat, the first row is right. `reason` is called `(reason)` where the
    table has such a column.

    >>> from loopwright.data.check import check
    >>> from loopwright.data.statistics import describe
    >>> fares = pl.LazyFrame({"fare": [7.5, 950.0, 12.0]})
    >>> schema = Schema(columns=(Column(name="fare", kind="float", missing=False, most=500.0),))
    >>> failing(fares, check(describe(fares).profile(), schema), schema).rows()
    [(950.0, 1, 'number too big: fare')]
    """
    types = rows.collect_schema()
    reasons = dict(_conditions(rows, found, schema, types))
    told = [pl.when(reasons[one].fill_null(value=False)).then(pl.lit(one)) for one in sorted(reasons)]
    name = REASON if REASON not in types else f"({REASON})"
    if not told:
        return rows.head(0).with_columns(pl.lit(0, pl.UInt32).alias(PLACE), pl.lit("").alias(name)).collect()
    numbered = rows.with_row_index(PLACE).with_columns(
        pl.concat_str(told, separator="; ", ignore_nulls=True).alias(name)
    )
    return numbered.filter(pl.col(name) != "").select(*types, PLACE, name).collect(engine="streaming")


def counted(aside: pl.DataFrame) -> dict[str, int]:
    """Rows by reason, most first; a row that fails twice counts for both."""
    reasons = aside.to_series(-1).str.split("; ").explode().drop_nulls()
    counts = reasons.value_counts().sort(["count", reasons.name], descending=[True, False])
    return dict(counts.iter_rows())


def _conditions(
    rows: pl.LazyFrame, found: Sequence[Finding], schema: Schema, types: Mapping[str, pl.DataType]
) -> Iterator[tuple[str, pl.Expr]]:
    known = {column.name: column for column in schema.columns}
    kinds = {one.kind for one in found}
    if "check failed" in kinds:
        yield from ((f"check failed: {check.name}", fails) for check, fails in failed_checks(rows, schema))
    if "duplicate keys" in kinds:
        yield "duplicate keys", ~pl.struct(schema.key).is_first_distinct()
    for one in found:
        if one.column in types and (fails := _fails(one, known.get(one.column or ""), types)) is not None:
            yield f"{one.kind}: {one.column}", fails
    if "list lengths differ" in kinds:
        for names in schema.same_length:
            lists = [pl.col(name).list.len() for name in names if isinstance(types.get(name), pl.List)]
            differs = [one.ne_missing(lists[0]) for one in lists[1:]]
            yield f"list lengths differ: {', '.join(names)}", pl.any_horizontal(differs)


def _fails(one: Finding, limits: Column | None, types: Mapping[str, pl.DataType]) -> pl.Expr | None:
    """True on the rows of one column that are at fault; None where no single row is."""
    column, dtype = pl.col(str(one.column)), types[str(one.column)]
    match one.kind:
        case "too many missing":
            return is_missing(column, dtype) if not one.limit else None
        case "weights missing":
            return is_missing(column, dtype)
        case "NaN":
            return column.is_nan()
        case "infinity":
            return column.is_infinite()
        case "time out of range":
            return is_out_of_range(column, dtype)
        case "not unique":
            return column.is_not_null() & ~column.is_first_distinct()
        case "value out of domain" if limits is not None and limits.values:
            return _is_text(column) & ~_is_known(column, limits.values)
        case "pattern not matched" if limits is not None and limits.pattern is not None:
            pattern = re.compile(limits.pattern)
            return _is_text(column) & _holds(column, lambda value: pattern.fullmatch(value) is None)
        case "invalid text":
            return _holds(column, is_no_utf8 if dtype == pl.Binary else texts.is_invalid)
        case "mojibake":
            return _holds(column, texts.is_mojibake)
    return beyond(one, column, dtype) if one.kind in OF_ROWS else None


def _is_text(column: pl.Expr) -> pl.Expr:
    """An empty one is missing."""
    return column.is_not_null() & (column != "")


def _is_known(column: pl.Expr, values: Sequence[str]) -> pl.Expr:
    """Long texts are kept in a schema as their beginning and a hash."""
    begins = [column.str.starts_with(value[:KEPT_WHOLE]) for value in values if is_shortened(value)]
    return pl.any_horizontal(column.cast(pl.String).is_in(list(values)), *begins)


def _holds(column: pl.Expr, is_so: Callable[[Any], bool]) -> pl.Expr:
    return column.map_elements(is_so, return_dtype=pl.Boolean)
