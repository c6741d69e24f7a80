"""One append, from source to version: agree on a schema, stage fragments while checking, land them in one commit.

Rows are written once, before anything is decided against other writers; what is repeated after a lost race is only
the look at the files that came in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from loopwright.core.clock import Clock, new_id
from loopwright.data import columns, fragments, keys, labels, log
from loopwright.data.folder import Folder, store_errors
from loopwright.data.fragments import Fragment
from loopwright.data.source import Source, SourceLike, open_source
from loopwright.data.table import Table
from loopwright.errors import DeclarationError, SchemaMismatch, StoreUnavailable

_KEYS = "loopwright.keys"
_BATCH = "loopwright.batch/"


@dataclass(frozen=True, slots=True)
class Append:
    """What one append works with. `label_type` is the type labels came in before any row did carry one."""

    folder: Folder
    table: Table
    clock: Clock
    label_type: pa.DataType | None = None

    def run(self, source: SourceLike, batch_id: str | None) -> int | None:
        """The version the rows landed as, or had landed as before; None for a source without rows."""
        handle = log.open_table(self.folder)
        if handle is not None:
            refuse_other_contract(handle, self.table)
            if (before := landed_as(self.folder, handle, batch_id)) is not None:
                return before
        expected = self._expected(handle)
        opened = open_source(source, expected)
        schema = agreed(opened, self.table, expected)
        commit_id = f"part-{new_id(self.clock)}"
        try:
            staged = fragments.stage(self.folder, checked(opened, self.table, schema), schema, commit_id)
        except BaseException:
            self.folder.remove_when_empty()
            raise
        return self._land(staged, schema, opened.name, commit_id, batch_id)

    def _expected(self, handle: DeltaTable | None) -> pa.Schema | None:
        """The table's columns and types, with the label's, which may be known from late labels alone."""
        if handle is None:
            return None
        schema = log.schema_of(handle)
        label = self.table.label
        if label is not None and label not in schema.names and self.label_type is not None:
            return schema.append(pa.field(label, self.label_type))
        return schema

    def _land(
        self, staged: Sequence[Fragment], schema: pa.Schema, source: str, commit_id: str, batch_id: str | None
    ) -> int | None:
        try:
            with store_errors(self.folder):
                if self.table.key and staged:
                    rows = keys.staged_keys(self.folder, staged, self.table.key)
                    keys.refuse_repeats(rows, self.table.key, f"{source}: in the rows being appended")
                landed = self._commit(staged, schema, commit_id, batch_id)
        except BaseException:
            self._undo(staged, commit_id)
            raise
        return landed

    def _commit(
        self, staged: Sequence[Fragment], schema: pa.Schema, commit_id: str, batch_id: str | None
    ) -> int | None:
        """Land the fragments, looking again after each lost race. Ends with one version, or none and an error."""
        seen: set[str] = set()
        handle = log.open_table(self.folder) or log.create(self.folder, schema, self.table.name, self.table)
        for _ in range(log.TRIES):
            refuse_other_contract(handle, self.table)
            if (before := landed_as(self.folder, handle, batch_id)) is not None:
                fragments.discard(self.folder, staged)
                return before
            if not staged:
                return None
            handle = self._with_label(handle, schema)
            if self.table.key:
                keys.refuse_known(self.folder, handle, staged, self.table.key, seen)
            seen |= log.paths(handle)
            with suppress(CommitFailedError):
                at = self.clock.now().astimezone(UTC)
                serials = self._serials(batch_id)
                log.commit(handle, staged, commit_id=commit_id, at=at, serials=serials, batch_id=batch_id)
                return log.version_of(self.folder, commit_id, after=handle.version())
            handle = log.reopen(self.folder)
        raise StoreUnavailable(f"{log.TRIES} other writers came first", where=self.folder.url, fix="append again")

    def _serials(self, batch_id: str | None) -> list[str]:
        batch = [] if batch_id is None else [_BATCH + batch_id]
        return [_KEYS, *batch] if self.table.key else batch

    def _with_label(self, handle: DeltaTable, schema: pa.Schema) -> DeltaTable:
        """The table with a column for the label, when these rows are the first to bring one; and still in this
        schema."""
        label = self.table.label
        if label is not None and label in schema.names and label not in log.schema_of(handle).names:
            log.add_column(handle, schema.field(label))
            handle = log.reopen(self.folder)
        columns.check_schema(schema, log.schema_of(handle), self.folder.url, may_miss=[label] if label else [])
        for field in schema:
            kept = log.schema_of(handle).field(field.name).type
            if kept != field.type:
                raise SchemaMismatch(
                    f"another writer made the table first, with {field.name!r} as {kept}, not {field.type}",
                    where=self.folder.url,
                    fix="append again: the rows are then cast to the table's types",
                )
        return handle

    def _undo(self, staged: Sequence[Fragment], commit_id: str) -> None:
        """Remove the fragments, unless the commit landed though it was reported lost, or nobody can tell."""
        if log.version_of(self.folder, commit_id, after=0) is None:
            fragments.discard(self.folder, staged)
            self.folder.remove_when_empty()


def agreed(source: Source, table: Table, expected: pa.Schema | None) -> pa.Schema:
    """The schema that rows of `source` are kept in: the table's, or for a new table the source's.

    Raises `SchemaMismatch` for columns that do not fit.
    """
    table.check_columns(source.schema.names)
    label = table.label
    known = expected is not None and label in expected.names
    found = source.schema if known else labels.without_unknown(source.schema, label)
    if expected is None:
        schema = columns.stored_schema(found, source.name)
        keys.check_key_types(schema, table.key, source.name)
        check_time_type(schema, table, source.name)
        return schema
    if label is not None and label in found.names and not known:
        field = columns.stored_schema(pa.schema([found.field(label)]), source.name).field(0)
        expected = expected.append(field)
    columns.check_schema(found, expected, source.name, may_miss=[label] if label else [])
    return expected


def checked(source: Source, table: Table, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows in this schema. Raises `SchemaMismatch` for values that do not fit, or lack in key or time."""
    needed = [*table.key, *([table.time] if table.time else [])]
    for part in source.parts:
        for batch, before in source.placed(part):
            fitted = columns.fit(batch, schema, part.name, before)
            columns.refuse_missing(fitted, needed, part.name, before)
            yield fitted


def landed_as(folder: Folder, handle: DeltaTable, batch_id: str | None) -> int | None:
    """The version a batch landed as; None when it has not."""
    if batch_id is None or not log.taken(handle, _BATCH + batch_id):
        return None
    return next((one.version for one in log.entries(folder, handle) if one.batch_id == batch_id), handle.version())


def refuse_other_contract(handle: DeltaTable, table: Table) -> None:
    """Refuse a declaration that differs from the one the table was made with, showing both."""
    kept = log.contract_of(handle, table.name)
    if kept != table:
        raise DeclarationError(
            f"table {table.name!r} is declared otherwise than it was made",
            where=f"made with {kept}\n         declared {table}",
            fix="declare it as it was made, or say so once: tables.redeclare(table)",
        )


def refuse_other_key(kept: Table, table: Table) -> None:
    """Refuse another key than the table was made with: its rows were checked against that."""
    if kept.key == table.key:
        return
    raise DeclarationError(
        f"the key of table {table.name!r} is {kept.key}, not {table.key}",
        where=f"table {table.name!r}",
        fix="a key cannot change; append the rows to a table of another name",
    )


def check_time_type(schema: pa.Schema, table: Table, where: str) -> None:
    """Refuse a time that is no timestamp or date."""
    if table.time is None or columns.family(schema.field(table.time).type) == "moment":
        return
    raise SchemaMismatch(
        f"column {table.time!r} is the time and of type {schema.field(table.time).type}",
        where=where,
        fix=f"make {table.time!r} a timestamp or a date: in text, 2026-01-31 or 2026-01-31T12:00:00Z",
    )
