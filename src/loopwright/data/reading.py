"""Reading a table: which version, which span, which columns, with the labels known by when."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pyarrow as pa
import pyarrow.types as pt
from deltalake import DeltaTable

from loopwright.data import keys, labels, log
from loopwright.data.folder import Folder
from loopwright.data.table import Table
from loopwright.errors import TableNotFound, UsageError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class TableVersion:
    """One state of a table: its rows at `version` with its labels at `labels_version` (None before any came).

    `rows` and `size_bytes` count the rows' table; `columns` are those a read gives; `digest` is the same
    for the same data wherever it is read, and never for other data of any table.
    """

    name: str
    version: int
    labels_version: int | None
    rows: int
    size_bytes: int
    columns: tuple[str, ...]
    appended_at: datetime | None
    batch_id: str | None
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to read: the span [since, until) of the table's time, some columns, and whether it is for training."""

    since: datetime | date | None = None
    until: datetime | date | None = None
    columns: Sequence[str] | None = None
    training: bool = False
    as_known_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A table opened for reading: its rows, and its labels when it has any."""

    table: Table
    folder: Folder
    rows: DeltaTable
    labels_folder: Folder
    labels: DeltaTable | None

    @property
    def columns(self) -> tuple[str, ...]:
        names = log.schema_of(self.rows).names
        label = self.table.label
        return (*names, label) if label is not None and self.labels is not None and label not in names else tuple(names)

    def version(self) -> TableVersion:
        """This state, told. Reads the log, no data."""
        return self._told(log.newest(self.folder, self.rows), self.labels.version() if self.labels else None)

    def versions(self) -> list[TableVersion]:
        """Every version of the rows, oldest first, each with the labels as they stood when it was made."""
        arrivals = list(log.entries(self.labels_folder, self.labels)) if self.labels else []
        told = []
        for entry in log.entries(self.folder, self.rows):
            known = [one.version for one in arrivals if entry.at and one.at and one.at <= entry.at]
            told.append(self._told(entry, max(known, default=None)))
        return told

    def _told(self, entry: log.Entry, labels_version: int | None) -> TableVersion:
        labels_id = self.labels.metadata().id if self.labels and labels_version is not None else None
        identity = f"{self.rows.metadata().id}/{entry.version}/{labels_id}/{labels_version}"
        return TableVersion(
            name=self.table.name,
            version=entry.version,
            labels_version=labels_version,
            rows=entry.rows,
            size_bytes=entry.size_bytes,
            columns=self.columns,
            appended_at=entry.at,
            batch_id=entry.batch_id,
            digest=hashlib.sha256(identity.encode()).hexdigest(),
        )

    def scan(self, selection: Selection) -> pl.LazyFrame:
        """The selected rows, lazily; the span reaches Parquet's statistics, so that files outside it are not opened."""
        wanted = self._wanted(selection)
        frame = self._within(selection)
        label = self.table.label
        if label in wanted and self.labels is not None:
            frame = labels.join(
                frame,
                log.scan(self.labels_folder, self.labels, keys.overlapping(self.labels)),
                self.table,
                _utc(selection.as_known_at),
            )
        return frame.select(wanted)

    def labelled(self) -> pl.LazyFrame:
        """The key of every row, its newest label as `known <label>`, and when that came later than its row."""
        key, label = list(self.table.key), str(self.table.label)
        columns = [name for name in (*key, label) if name in self.columns]
        found = self.scan(Selection(columns=columns)).rename({label: f"known {label}"}, strict=False)
        if label not in self.columns:
            found = found.with_columns(pl.lit(None).alias(f"known {label}"))
        if self.labels is None:
            return found.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias("labelled_at"))
        late = log.scan(self.labels_folder, self.labels, keys.overlapping(self.labels))
        newest = late.group_by(key).agg(pl.col("labelled_at").max())
        return found.join(newest, on=key, how="left")

    def _wanted(self, selection: Selection) -> list[str]:
        wanted = list(selection.columns) if selection.columns is not None else list(self.columns)
        for name in wanted:
            if name not in self.columns:
                raise UsageError(
                    f"table {self.table.name!r} has no column {name!r}",
                    where="columns=",
                    fix=did_you_mean(name, self.columns),
                )
            if selection.training and selection.columns is not None and name in self.table.never:
                raise UsageError(
                    f"column {name!r} must never reach training: it is not known when a prediction is asked for",
                    where=f"Table({self.table.name!r}, never={list(self.table.never)!r})",
                    fix=f"leave {name!r} out of columns=",
                )
        return self.table.training_columns(wanted) if selection.training else wanted

    def _within(self, selection: Selection) -> pl.LazyFrame:
        """The rows of the span: files outside it are left out by the log, row groups by Parquet's statistics."""
        if selection.since is None and selection.until is None:
            return log.scan(self.folder, self.rows, keys.overlapping(self.rows))
        if self.table.time is None:
            raise UsageError(
                f"table {self.table.name!r} has no time, so no span of it can be read",
                where="since=, until=",
                fix=f'declare it: Table({self.table.name!r}, time="a_column")',
            )
        by_date = pt.is_date(log.schema_of(self.rows).field(self.table.time).type)
        since, until = _bound(selection.since, by_date=by_date), _bound(selection.until, by_date=by_date)
        frame = log.scan(
            self.folder, self.rows, keys.overlapping(self.rows, self.table.time, since, _last_before(until))
        )
        time = pl.col(self.table.time)
        if since is not None:
            frame = frame.filter(time >= since)
        return frame if until is None else frame.filter(time < until)


def open_state(
    folder: Folder, labels_folder: Folder, newest: DeltaTable, name: str, version: int | TableVersion | None
) -> State:
    """A table at a version of its rows. Raises `TableNotFound` for a version that is not there."""
    wanted = version.version if isinstance(version, TableVersion) else version
    rows = log.at_version(folder, newest, wanted)
    if rows is None:
        raise TableNotFound(
            f"table {name!r} has no version {wanted}", where=folder.url, fix=f"tables.versions({name!r}) lists them"
        )
    late = None
    if not isinstance(version, TableVersion):
        late = log.open_table(labels_folder)
    elif version.labels_version is not None and (newest_late := log.open_table(labels_folder)) is not None:
        late = log.at_version(labels_folder, newest_late, version.labels_version)
    contract = log.contract_of(newest, name)
    return State(table=contract, folder=folder, rows=rows, labels_folder=labels_folder, labels=late)


def stream(frame: pl.LazyFrame, rows: int) -> Iterator[pa.RecordBatch]:
    """A lazy frame as Arrow batches of exactly `rows` rows, but for the last."""
    for chunk in frame.collect_batches(chunk_size=rows, maintain_order=True, lazy=True, engine="streaming"):
        yield from chunk.rechunk().to_arrow().to_batches()


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _last_before(until: datetime | date | None) -> datetime | date | None:
    """The last moment, or day, that a span up to `until` holds."""
    if until is None:
        return None
    return until - (timedelta(microseconds=1) if isinstance(until, datetime) else timedelta(days=1))


def _bound(bound: datetime | date | None, *, by_date: bool) -> datetime | date | None:
    """A bound of the span as the time column has it. A date column holds midnights, so a later bound counts as the
    next day."""
    if bound is None:
        return None
    if not isinstance(bound, datetime):
        return bound if by_date else datetime(bound.year, bound.month, bound.day, tzinfo=UTC)
    moment = bound.replace(tzinfo=UTC) if bound.tzinfo is None else bound.astimezone(UTC)
    if not by_date:
        return moment
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return moment.date() if moment == midnight else date.fromordinal(moment.toordinal() + 1)
