"""The statistics of a loop's rows in one pass: of all of them, of the newest span of time, and of the span before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from loopwright.data.reading import stream
from loopwright.data.rows import Rows
from loopwright.data.sketch import FIRST_TIME, LAST_TIME
from loopwright.data.statistics import Statistics, TableProfile, batch_rows
from loopwright.data.tables import Tables

_PART = "(part)"
_BEFORE, _NEWEST = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Features, label, key, time and weight; columns that must `never` reach training are not described."""

    rows: Statistics
    """All of them, labelled or not."""
    span: Statistics | None = None
    """The newest, up to the last row's time; None for a table without time, or without rows that have one."""
    before: Statistics | None = None
    """The span before that; None where it has no row, or the rows do not reach back over all of it but a twentieth:
    a stub of a span tells nothing of how many rows there are in one, and which values."""


def described(rows: Rows, tables: Tables, span: timedelta) -> Described:
    """Streamed: memory is that of a batch and of the statistics. Raises `DataError` for a column of structs."""
    frame = rows.scan(tables, columns(rows))
    parts, is_before_whole = _parts(frame, rows.table.time, span)
    known = pa.schema(pl.DataFrame(schema=frame.collect_schema()).to_arrow().schema)
    found = [TableProfile.of_schema(known) for _ in range(3)]
    for batch in _batches(frame if parts is None else frame.with_columns(parts), len(known)):
        found[0].update(batch)
        for part in () if parts is None else (_BEFORE, _NEWEST):
            found[part].update(batch.filter(pc.equal(batch.column(_PART), part)))
    whole, before, newest = (Statistics.of(one) if one.rows or one is found[0] else None for one in found)
    assert whole is not None
    return Described(rows=whole, span=newest, before=before if is_before_whole else None)


def columns(rows: Rows) -> list[str]:
    """Those that are described, in this order."""
    table = rows.table
    beside = [*table.key, *([table.time] if table.time else []), *([rows.weight] if rows.weight else [])]
    return list(dict.fromkeys([*rows.features, rows.label, *beside]))


def _parts(frame: pl.LazyFrame, time: str | None, span: timedelta) -> tuple[pl.Expr | None, bool]:
    """The part that each row's time falls into, null where it has none; and whether there are rows from the beginning
    of the span before on."""
    if time is None:
        return None, False
    at = pl.col(time).cast(pl.Datetime("us", "UTC"))
    at = pl.when(at.to_physical().is_between(FIRST_TIME, LAST_TIME)).then(at)
    ends = frame.select(at.min().alias("first"), at.max().alias("last")).collect(engine="streaming")
    first, last = ends.row(0)
    if last is None:
        return None, False
    end = last + timedelta(microseconds=1)
    part = ((at >= end - 2 * span).cast(pl.Int8) + (at >= end - span).cast(pl.Int8)).alias(_PART)
    return part, first <= end - 2 * span + span / 20


def _batches(frame: pl.LazyFrame, width: int) -> Iterator[pa.RecordBatch]:
    return stream(frame, batch_rows(width))
