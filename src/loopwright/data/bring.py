"""Bring new rows from a loop's source into its table: the same content once, however often it is brought."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import polars as pl
import pyarrow as pa

from loopwright.data.source import SourceLike, open_source
from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.errors import TableNotFound


def bring(tables: Tables, table: Table, source: SourceLike | Callable[[], SourceLike]) -> int:
    """Append what is new in the source; how many rows that was.

    Rows whose key the table has already are left as they are there, so that a source may grow. Without a key, the same
    content is appended once. Raises what `Tables.append` raises.
    """
    opened = open_source(source() if callable(source) else source)
    rows = pa.Table.from_batches(opened.batches(), schema=opened.schema)
    batch_id = f"source-{_digest(rows)[:32]}"
    known = _known(tables, table.name)
    if batch_id in known:
        return 0
    if known and table.key:
        rows = _unknown(tables, table, rows)
    if len(rows):
        tables.append(table, rows, batch_id=batch_id)
    return len(rows)


def _unknown(tables: Tables, table: Table, rows: pa.Table) -> pa.Table:
    """The rows whose key the table does not have."""
    table.check_columns(rows.column_names)
    have = tables.scan(table.name, columns=list(table.key)).collect()
    given = pl.DataFrame(rows)
    keys = given.select(pl.col(name).cast(kind) for name, kind in have.schema.items()).with_row_index("\0row")
    new = keys.join(have, on=list(table.key), how="anti", maintain_order="left")
    return given[new["\0row"].to_list()].to_arrow()


def _known(tables: Tables, name: str) -> set[str | None]:
    try:
        return {version.batch_id for version in tables.versions(name)}
    except TableNotFound:
        return set()


def _digest(rows: pa.Table) -> str:
    """Of the values, whatever the batches they came in."""
    digest = hashlib.sha256(str(rows.schema).encode())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows.combine_chunks())
    digest.update(sink.getvalue())
    return digest.hexdigest()
