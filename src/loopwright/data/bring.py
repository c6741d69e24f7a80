"""Bring what is new in a loop's source into its table: rows, and labels of rows that are there already.

A source may be brought again and again, grown or with labels filled in. What is in the table is never rewritten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from loopwright.data import columns, keys
from loopwright.data.appending import agreed, checked, refuse_other_key
from loopwright.data.labels import arrived
from loopwright.data.rows import declare
from loopwright.data.source import Part, Source, SourceLike, open_source
from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.errors import BadSource, DataError, TableNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """Rows that were `new`; rows there before whose label was missing and is `labelled` now; rows that have `changed`
    in the source, and stay in the table as they are."""

    new: int = 0
    changed: int = 0
    labelled: int = 0

    def told(self, table: str) -> str:
        """For people.

        >>> print(Brought(new=1, labelled=20).told("flights"))
        1 new row was appended to flights, 20 rows got their label
        """
        parts = [f"{_rows(self.new, 'new ')} {'was' if self.new == 1 else 'were'} appended to {table}"]
        if self.labelled:
            parts.append(f"{_rows(self.labelled)} got {'its' if self.labelled == 1 else 'their'} label")
        if self.changed:
            differ = "differs from the one in it, which stays"
            parts.append(
                f"{_rows(self.changed)} {differ if self.changed == 1 else 'differ from those in it, which stay'}"
            )
        return ", ".join(parts)


def bring(tables: Tables, table: Table, source: SourceLike | Callable[[], SourceLike]) -> Brought:
    """Append what is new in the source, and take labels that have arrived in it for rows that are there without one.

    With a key, rows are told apart by it. Without one, the rows that are there must be the first of the source, and
    what follows them is new; the same content again changes nothing. The source is held in memory, and so are the
    rows of the table that it is compared with.

    Raises `BadSource` for a source without rows where there is no table yet, `DataError` for one without a key that
    has changed, and what `Tables.append` and `Tables.label` raise.
    """
    given = source() if callable(source) else source
    known = _declared(tables, table.name)
    if known is None:
        return _first(tables, table, _held(open_source(given)))
    refuse_other_key(known, table)
    expected = _schema(tables, table.name)
    held = _held(open_source(given, expected))
    schema = agreed(held, table, expected)
    rows = pa.Table.from_batches(checked(held, table, schema), schema=schema)
    if known != table:
        declare(tables, table, [*expected.names, *held.schema.names])
    return (_by_key if table.key else _by_place)(tables, table, rows, held.name)


def _first(tables: Tables, table: Table, held: Source) -> Brought:
    if not any(batch.num_rows for batch in held.batches()):
        raise BadSource(
            "the source has no rows", where=held.name, fix=f"give it rows: there is no table {table.name!r} yet"
        )
    schema = agreed(held, table, None)
    rows = pa.Table.from_batches(checked(held, table, schema), schema=schema)
    tables.append(table, _as_source(rows, held.name), batch_id=_batch_id(rows))
    return Brought(new=len(rows))


def _by_key(tables: Tables, table: Table, rows: pa.Table, name: str) -> Brought:
    given = pl.DataFrame(rows)
    keys.refuse_repeats(given.lazy().select(table.key), table.key, name)
    have = tables.read(table.name)
    place = _places(given, have, table.key)
    new, there, kept = place.is_null(), given.filter(place.is_not_null()), have[place.drop_nulls()]
    came, differs = _labels(there, kept, table.label)
    changed = _changed(there, kept, [*table.key, table.label]) | differs
    if new.any():
        fresh = given.filter(new).to_arrow().cast(rows.schema)
        tables.append(table, _as_source(fresh, name), batch_id=_batch_id(fresh))
    if came.any():
        tables.label(table, there.filter(came).select(*table.key, str(table.label)), origin="source")
    return Brought(new=int(new.sum()), changed=int(changed.sum()), labelled=int(came.sum()))


def _places(given: pl.DataFrame, have: pl.DataFrame, key: tuple[str, ...]) -> pl.Series:
    """Where in the table each given row is; missing for one that is not there."""
    at = have.select(key).with_row_index("\0at")
    return given.select(key).join(at, on=list(key), how="left", maintain_order="left")["\0at"]


def _labels(there: pl.DataFrame, kept: pl.DataFrame, label: str | None) -> tuple[pl.Series, pl.Series]:
    """Which rows have a label now and had none, and which have another than before. A label that the source lacks is
    no difference: it may have come another way."""
    if label is None or label not in there.columns:
        return _none(there), _none(there)
    now = there.select(arrived(label, there.schema[label])).to_series()
    if label not in kept.columns:
        return now.is_not_null(), _none(there)
    before = kept.select(arrived(label, kept.schema[label])).to_series()
    return now.is_not_null() & before.is_null(), (now != before).fill_null(value=False)


def _changed(there: pl.DataFrame, kept: pl.DataFrame, but: list[str | None]) -> pl.Series:
    changed = _none(there)
    for name in there.columns:
        if name not in but:
            changed |= there[name].ne_missing(kept[name])
    return changed


def _none(rows: pl.DataFrame) -> pl.Series:
    return pl.repeat(value=False, n=rows.height, eager=True)


def _by_place(tables: Tables, table: Table, rows: pa.Table, name: str) -> Brought:
    batch_id = _batch_id(rows)
    if any(version.batch_id == batch_id for version in tables.versions(table.name)):
        return Brought()
    given, have = pl.DataFrame(rows), tables.read(table.name)
    both = min(given.height, have.height)
    if given.columns != have.columns or not given.head(both).equals(have.head(both)):
        raise DataError(
            f"the source of table {table.name!r} is another than before, and without a key its new rows cannot be told "
            "from those that are there",
            where=name,
            fix=f'make a table of another name with a key: Table("{table.name}2", key="..."); a source without one may '
            "only grow at its end",
        )
    if given.height > both:
        tables.append(table, _as_source(rows.slice(both), name), batch_id=batch_id)
    return Brought(new=given.height - both)


def _declared(tables: Tables, name: str) -> Table | None:
    try:
        return tables.declared(name)
    except TableNotFound:
        return None


def _schema(tables: Tables, name: str) -> pa.Schema:
    """The table's columns, with the label when one has come."""
    found = pl.DataFrame(schema=tables.scan(name).collect_schema()).to_arrow().schema
    return columns.stored_schema(found, name)


def _held(source: Source) -> Source:
    """The same source, read once and kept."""
    parts = []
    for part in source.parts:
        batches = [batch for batch, _ in source.placed(part)]
        parts.append(Part(name=part.name, schema=source.schema, open=_stream(batches)))
    return Source(name=source.name, schema=source.schema, parts=tuple(parts))


def _as_source(rows: pa.Table, name: str) -> Source:
    part = Part(name=name, schema=rows.schema, open=_stream(rows.to_batches()))
    return Source(name=name, schema=rows.schema, parts=(part,))


def _stream(batches: list[pa.RecordBatch]) -> Callable[[pa.Schema], Iterator[pa.RecordBatch]]:
    return lambda _: iter(batches)


def _batch_id(rows: pa.Table) -> str:
    """Of the values, whatever the batches they came in."""
    digest = hashlib.sha256(str(rows.schema).encode())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows.combine_chunks())
    digest.update(sink.getvalue())
    return f"source-{digest.hexdigest()[:32]}"


def _rows(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}{'row' if count == 1 else 'rows'}"
