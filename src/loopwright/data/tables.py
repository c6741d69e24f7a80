"""Named, versioned tables on Delta Lake: appended to, labelled late, read at any version and span.

Appends and labels are all or nothing, from any number of processes at once; nothing here rewrites a row. A table's data
version is its row version and its label version together, and `TableVersion.digest` stands for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.fs as pa_fs

from loopwright.core.clock import Clock
from loopwright.data import labels, log
from loopwright.data.appending import Append, check_time_type, refuse_other_contract, refuse_other_key
from loopwright.data.files import shown
from loopwright.data.folder import Folder, store_errors
from loopwright.data.reach import Reach, reach
from loopwright.data.reading import Selection, State, TableVersion, open_state, stream
from loopwright.data.source import SourceLike, open_source
from loopwright.data.table import Table, check_table_name
from loopwright.errors import TableNotFound, did_you_mean

__all__ = ["TableVersion", "Tables"]


class Tables:
    """The tables under one folder or object-store URL.

    >>> from tempfile import mkdtemp
    >>> from loopwright.core.clock import SystemClock
    >>> tables = Tables(mkdtemp(), SystemClock())
    >>> flights = Table("flights", key="id", label="late")
    >>> tables.append(flights, pl.DataFrame({"id": [1, 2], "carrier": ["UA", "B6"]})).rows
    2
    >>> _ = tables.label(flights, pl.DataFrame({"id": [2], "late": [True]}), origin="airport")
    >>> tables.read(flights)["late"].to_list()
    [None, True]
    """

    def __init__(self, url: str | Path, clock: Clock, *, storage_options: Mapping[str, str] | None = None) -> None:
        where = str(url) if "://" in str(url) else str(Path(url).resolve())
        self._folder = Folder(where.removeprefix("file://").rstrip("/"), dict(storage_options or {}))
        self._clock = clock
        self._reached: dict[str, tuple[str, Reach]] = {}

    def append(self, table: Table, source: SourceLike, *, batch_id: str | None = None) -> TableVersion:
        """Add every row of `source` as one new version, or none of them.

        The first append makes the table, its columns and types, and keeps the declaration with it. Later ones must
        bring the same columns, in any order; the label may be missing, or have no value yet. Values are cast only
        where none changes. Naive timestamps are taken as UTC. The same `batch_id` again changes nothing and gives the
        version it made the first time. A source without a row makes no version.

        Raises `BadSource` for data that cannot be read, `SchemaMismatch` for columns or values that do not fit,
        `DuplicateKeys` for a key that repeats, in the batch or against the table, `DeclarationError` when the table
        is declared otherwise, `StoreUnavailable` when the disk is full. The table stays as it was after each of them.
        """
        labels_folder = self._labels_folder(table.name)
        late = log.open_table(labels_folder)
        label_type = labels.label_type(late, table) if late else None
        landed = Append(self._rows_folder(table.name), table, self._clock, label_type).run(source, batch_id)
        return self._state(table.name, landed).version()

    def label(self, table: Table, source: SourceLike, *, origin: str = "label") -> TableVersion:
        """Add labels that came late: rows of the key columns and the label, known from this moment on.

        `origin` says who gave them. The newest label of a key is the one that is read; a key without a row is kept,
        for its row may still come. Refused are a key that stands twice, and a missing key or label.

        Raises `UsageError` for a table without key or label, `TableNotFound` before the first append, and what `append`
        raises for its source.
        """
        labels.check_can_label(table)
        state = self._state(table.name)
        refuse_other_contract(state.rows, table)
        rows = log.schema_of(state.rows)
        if state.labels is not None and table.label not in rows.names:
            kind = labels.label_type(state.labels, table)
            rows = rows if kind is None else rows.append(pa.field(table.label, kind))
        labels.add(state.labels_folder, table, rows, open_source(source, rows), self._clock, origin)
        return self.current(table.name)

    def scan(
        self,
        table: Table | str,
        *,
        version: int | TableVersion | None = None,
        since: datetime | date | None = None,
        until: datetime | date | None = None,
        columns: Sequence[str] | None = None,
        training: bool = False,
        as_known_at: datetime | None = None,
    ) -> pl.LazyFrame:
        """The rows with since <= time < until, lazily, in the order they were appended. Naive moments are UTC.

        A number as `version` reads those rows with the newest labels, a `TableVersion` exactly its rows and labels.
        `training` leaves out the columns that must `never` reach training. `as_known_at` reads the labels known at
        that moment; a label that came with its row counts as known from the start.

        Raises `TableNotFound`, and `UsageError` for a column that is not there or must not be asked for.
        """
        selection = Selection(since=since, until=until, columns=columns, training=training, as_known_at=as_known_at)
        return self._state(_name(table), version).scan(selection)

    def read(
        self,
        table: Table | str,
        *,
        version: int | TableVersion | None = None,
        since: datetime | date | None = None,
        until: datetime | date | None = None,
        columns: Sequence[str] | None = None,
        training: bool = False,
        as_known_at: datetime | None = None,
    ) -> pl.DataFrame:
        """What `scan` selects, in memory."""
        selection = Selection(since=since, until=until, columns=columns, training=training, as_known_at=as_known_at)
        return self._state(_name(table), version).scan(selection).collect(engine="streaming")

    def batches(
        self,
        table: Table | str,
        *,
        rows: int = 65_536,
        version: int | TableVersion | None = None,
        since: datetime | date | None = None,
        until: datetime | date | None = None,
        columns: Sequence[str] | None = None,
        training: bool = False,
        as_known_at: datetime | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """What `scan` selects, as Arrow batches of `rows` rows (the last may be shorter), one at a time in memory."""
        selection = Selection(since=since, until=until, columns=columns, training=training, as_known_at=as_known_at)
        return stream(self._state(_name(table), version).scan(selection), rows)

    def versions(self, name: str) -> list[TableVersion]:
        """Every version of the table's rows, oldest first, each with the labels as they stood when it was made."""
        return self._state(name).versions()

    def current(self, name: str) -> TableVersion:
        """The newest rows with the newest labels. Raises `TableNotFound`."""
        return self._state(name).version()

    def reach(self, name: str, version: int | None = None) -> Reach:
        """How many rows there are, and up to when, without reading any. Raises `TableNotFound`."""
        mark = log.newest_file(self._rows_folder(name)) if version is None else None
        if mark is None:
            return reach(self._state(name, version))
        if self._reached.get(name, (None,))[0] != mark:
            self._reached[name] = (mark, reach(self._state(name)))
        return self._reached[name][1]

    def names(self) -> list[str]:
        """The names of all tables, sorted."""
        found = self._folder.filesystem().get_file_info(pa_fs.FileSelector(""))
        names = sorted(one.base_name for one in found if one.type == pa_fs.FileType.Directory)
        return [name for name in names if "." not in name and log.open_table(self._folder.inside(name)) is not None]

    def declared(self, name: str) -> Table:
        """The declaration the table was made with. Raises `TableNotFound`."""
        return self._state(name).table

    def redeclare(self, table: Table) -> None:
        """Change a table's time, label or never. Its key cannot change: the rows were checked against it.

        Raises `SchemaMismatch` for a column that is not in the table, `DeclarationError` for another key, and for
        another label once labels came late. The table stays as it was after each of them.
        """
        state = self._state(table.name)
        refuse_other_key(state.table, table)
        if state.labels is not None:
            labels.refuse_other_label(state.labels, state.table, table)
        table.check_columns(log.schema_of(state.rows).names)
        check_time_type(log.schema_of(state.rows), table, state.folder.url)
        state.rows.alter.set_table_properties(log.properties(table), raise_if_not_exists=False)

    def compact(self, name: str) -> TableVersion:
        """Join small files into large ones, as a new version of the same rows. Older versions stay readable."""
        state = self._state(name)
        with store_errors(state.folder):
            log.compact(state.rows, self._clock)
            if state.labels is not None:
                log.compact(state.labels, self._clock)
        return self.current(name)

    def _rows_folder(self, name: str) -> Folder:
        check_table_name(name)
        return self._folder.inside(name)

    def _labels_folder(self, name: str) -> Folder:
        check_table_name(name)
        return self._folder.inside(f"{name}.labels")

    def _state(self, name: str, version: int | TableVersion | None = None) -> State:
        rows, late = self._rows_folder(name), self._labels_folder(name)
        newest = log.open_table(rows)
        if newest is None:
            raise TableNotFound(
                f"there is no table {name!r}", where=shown(self._folder.url), fix=did_you_mean(name, self.names())
            )
        return open_state(rows, late, newest, name, version)


def labelled(tables: Tables, name: str, keys: pl.DataFrame) -> pl.DataFrame:
    """Of the rows with these keys the key, the newest label as `known <label>`, and `labelled_at`, when that came: null
    where it came with its row. For a table that has a key and a label."""
    state = tables._state(name)
    there = keys.lazy().select(state.table.key)
    return state.labelled().join(there, on=list(state.table.key), how="semi").collect(engine="streaming")


def identity(tables: Tables, name: str) -> str:
    """What another table of this name would not have. Raises `TableNotFound`."""
    return str(tables._state(name).rows.metadata().id)


def _name(table: Table | str) -> str:
    return table if isinstance(table, str) else table.name
