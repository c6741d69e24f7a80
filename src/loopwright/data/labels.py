"""Labels that come later than the rows they belong to: an append-only Delta table beside the rows.

Each batch of labels keeps when it came and from where. The newest label of a key wins, by `labelled_at` and then by
order of arrival, so that what was known at any moment can be read again.
"""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from loopwright.core.clock import Clock, new_id
from loopwright.data import columns, fragments, keys, log
from loopwright.data.folder import Folder, store_errors
from loopwright.data.source import Source
from loopwright.data.table import Table
from loopwright.errors import DeclarationError, SchemaMismatch, StoreUnavailable, UsageError, did_you_mean

_ADDED = pa.schema([("labelled_at", columns.TIMESTAMP), ("origin", pa.string()), ("sequence", pa.int64())])
_SERIAL = "loopwright.labels"


def check_can_label(table: Table) -> None:
    """Refuse a table that has no key to find rows by, or no label."""
    lacking = "key" if not table.key else "label" if table.label is None else None
    if lacking:
        raise UsageError(
            f"table {table.name!r} has no {lacking}, so labels cannot find their rows",
            where=f"label({table.name!r})",
            fix=f'declare it: Table({table.name!r}, key="...", label="...")',
        )
    for name in (*table.key, table.label):
        if name in _ADDED.names:
            raise UsageError(
                f"{name!r} is a column of the label table itself",
                where=f"label({table.name!r})",
                fix=f"rename the column {name!r}; {', '.join(_ADDED.names)} are taken",
            )


def add(folder: Folder, table: Table, rows: pa.Schema, source: Source, clock: Clock, origin: str) -> None:
    """Append one batch of labels, all of which become known at this moment.

    `rows` is the schema of the rows' table: keys and label take its types. A key that stands twice, a missing key and
    a missing label are refused; a key without a row is kept, for a row may come after its label.
    """
    held = _checked(table, rows, source)
    for _ in range(log.TRIES):
        if _try_to_add(folder, table, held, clock, origin):
            return
    raise StoreUnavailable(f"{log.TRIES} other writers came first", where=folder.url, fix="send the labels again")


def _checked(table: Table, rows: pa.Schema, source: Source) -> pa.Table:
    """Keys and labels of one batch, held in memory: they are few and narrow, and a lost race writes them again."""
    wanted = _schema(table, rows, source)
    columns.check_schema(source.schema, wanted, source.name)
    batches = []
    for part in source.parts:
        for batch, before in source.placed(part):
            fitted = _arrived(columns.fit(batch, wanted, part.name, before), str(table.label))
            columns.refuse_missing(fitted, wanted.names, part.name, before)
            batches.append(fitted)
    held = pa.Table.from_batches(batches, schema=wanted)
    keys.refuse_repeats(pl.LazyFrame(held), table.key, source.name)
    return held


def _arrived(batch: pa.RecordBatch, label: str) -> pa.RecordBatch:
    index, column = batch.schema.get_field_index(label), batch.column(label)
    if pt.is_floating(column.type):
        none = pc.is_nan(column)
    elif pt.is_string(column.type):
        none = pc.equal(column, "")
    else:
        return batch
    return batch.set_column(index, batch.schema.field(index), pc.if_else(none, pa.scalar(None, column.type), column))


def _schema(table: Table, rows: pa.Schema, source: Source) -> pa.Schema:
    label = str(table.label)
    if label in rows.names:
        return pa.schema([rows.field(name) for name in (*table.key, label)])
    if label not in source.schema.names:
        raise SchemaMismatch(
            f"column {label!r}, the label, is missing", where=source.name, fix=did_you_mean(label, source.schema.names)
        )
    found = pa.schema([source.schema.field(label)])
    return pa.schema([*(rows.field(name) for name in table.key), *columns.stored_schema(found, source.name)])


def _try_to_add(folder: Folder, table: Table, held: pa.Table, clock: Clock, origin: str) -> bool:
    now = clock.now().astimezone(UTC)
    handle = log.open_table(folder) or log.create(folder, pa.schema([*held.schema, *_ADDED]), f"{table.name}.labels")
    _check_label_type(handle, held, table, folder)
    sequence = log.taken(handle, _SERIAL) + 1
    added = [pa.scalar(now, columns.TIMESTAMP), pa.scalar(origin), pa.scalar(sequence)]
    full = held
    for field, value in zip(_ADDED, added, strict=True):
        full = full.append_column(field, pa.repeat(value, held.num_rows))
    commit_id = f"part-{new_id(clock)}"
    staged = fragments.stage(folder, full.to_batches(), full.schema, commit_id)
    try:
        with store_errors(folder):
            log.commit(handle, staged, commit_id=commit_id, at=now, serials=[_SERIAL], batch_id=None)
    except CommitFailedError:
        fragments.discard(folder, staged)
        return False
    return True


def _check_label_type(handle: DeltaTable, held: pa.Table, table: Table, folder: Folder) -> None:
    kept, found = label_type(handle, table), held.schema.field(str(table.label)).type
    if kept != found:
        raise SchemaMismatch(
            f"labels are kept as {kept}; these are {found}", where=folder.url, fix="send the labels again, cast"
        )


def label_type(handle: DeltaTable, table: Table) -> pa.DataType | None:
    """The type labels have come in so far; None when none came under this name."""
    schema = log.schema_of(handle)
    return schema.field(table.label).type if table.label in schema.names else None


def refuse_other_label(handle: DeltaTable, kept: Table, table: Table) -> None:
    """Refuse to declare another label than the one that labels have come under: they would be lost."""
    if kept.label == table.label or kept.label not in log.schema_of(handle).names:
        return
    raise DeclarationError(
        f"labels of table {table.name!r} came as {kept.label!r}; it cannot be declared with label={table.label!r}",
        where=f"table {table.name!r}",
        fix=f"write label={kept.label!r}, or append the rows to a table of another name",
    )


def without_unknown(schema: pa.Schema, label: str | None) -> pa.Schema:
    """A source's schema without a label that has no value in it: none has arrived, and its type is not known yet."""
    if label is None or label not in schema.names or not pt.is_null(schema.field(label).type):
        return schema
    return schema.remove(schema.get_field_index(label))


def arrived(label: str, kind: pl.DataType) -> pl.Expr:
    """The label, missing where it is NaN or empty text: neither is one that has arrived."""
    if kind.is_float():
        return pl.col(label).fill_nan(None)
    if kind == pl.String:
        return pl.when(pl.col(label) != "").then(pl.col(label)).alias(label)
    return pl.col(label)


def join(rows: pl.LazyFrame, labels: pl.LazyFrame, table: Table, as_known_at: datetime | None) -> pl.LazyFrame:
    """Rows with the newest label known at `as_known_at` (by default, ever) before the row's own.

    A row's own label counts as known from the start. Memory is bounded by the labels of the table, never by its rows.
    """
    label = str(table.label)
    if as_known_at is not None:
        labels = labels.filter(pl.col("labelled_at") <= as_known_at)
    order = pl.struct("labelled_at", "sequence")
    late = f"late {label}"
    newest = labels.group_by(table.key).agg(pl.col(label).sort_by(order).last().alias(late))
    joined = rows.join(newest, on=list(table.key), how="left", maintain_order="left")
    if label in rows.collect_schema().names():
        return joined.with_columns(pl.coalesce(late, label).alias(label)).drop(late)
    return joined.rename({late: label})
