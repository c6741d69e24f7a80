"""The Delta log of one table: opened, created with its contract, written to, and read as history.

Two writers never need a lock. A commit may name *serials*: counters of which each commit takes the next number. Of two
commits that took the same number, Delta lets one land; the other looks again and retries.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import url2pathname

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, WriterProperties
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from loopwright.core.clock import Clock
from loopwright.data.folder import Folder
from loopwright.data.fragments import Fragment
from loopwright.data.table import Table

TRIES = 100  # a lost race means another writer landed, so a hundred losses in a row is a queue, not a deadlock
_FOREVER = "interval 36500 days"  # versions stay readable until someone asks to forget them


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One commit, with the totals of the table after it."""

    version: int
    rows: int
    size_bytes: int
    at: datetime | None
    batch_id: str | None


def open_table(folder: Folder) -> DeltaTable | None:
    """The table at its newest version; None when there is no table."""
    try:
        return DeltaTable(folder.url, storage_options=folder.storage_options)
    except TableNotFoundError:
        return None


def newest_file(folder: Folder) -> str | None:
    """Of the log of a table on this machine: while it is the same, so is the table. None where it cannot be seen."""
    if not folder.is_local:
        return None
    try:
        return max((one.name for one in os.scandir(Path(folder.url) / "_delta_log")), default=None)
    except OSError:
        return None


def at_version(folder: Folder, newest: DeltaTable, version: int | None) -> DeltaTable | None:
    """The table at an earlier version than `newest`, or `newest` itself; None when there is no such version."""
    if version is None or version == newest.version():
        return newest
    if not 0 <= version < newest.version():
        return None
    return DeltaTable(folder.url, version=version, storage_options=folder.storage_options)


def create(folder: Folder, schema: pa.Schema, name: str, contract: Table | None = None) -> DeltaTable:
    """Make the table, or open the one another writer has just made."""
    configuration = {"delta.logRetentionDuration": _FOREVER, "delta.deletedFileRetentionDuration": _FOREVER}
    try:
        return DeltaTable.create(
            folder.url,
            Schema.from_arrow(schema),
            name=name,
            configuration={**configuration, **(properties(contract) if contract else {})},
            storage_options=folder.storage_options,
            raise_if_key_not_exists=False,
        )
    except DeltaError:
        if (made := open_table(folder)) is not None:
            return made
        raise


def properties(table: Table) -> dict[str, str]:
    """The contract as the table's own metadata keeps it."""
    parts = {"key": table.key, "time": table.time, "label": table.label, "never": table.never}
    return {f"loopwright.{part}": json.dumps(value) for part, value in parts.items()}


def contract_of(handle: DeltaTable, name: str) -> Table:
    """The declaration the table was made with. A Delta table made by other hands has no key, time, label or never."""
    kept = handle.metadata().configuration
    parts = {part: json.loads(kept.get(f"loopwright.{part}", "null")) for part in ("key", "time", "label", "never")}
    return Table(name, key=parts["key"], time=parts["time"], label=parts["label"], never=parts["never"] or ())


def schema_of(handle: DeltaTable) -> pa.Schema:
    return pa.schema(handle.schema().to_arrow())


def commit(
    handle: DeltaTable,
    fragments: Sequence[Fragment],
    *,
    commit_id: str,
    at: datetime,
    serials: Sequence[str],
    batch_id: str | None,
) -> None:
    """Land `fragments` as one version, on top of what `handle` has seen.

    Raises deltalake's `CommitFailedError` when another commit took the next number of one of `serials`.
    """
    arrived = max([int(at.timestamp() * 1000), *(moment + 1 for moment in _arrivals(handle))])
    adds = [
        AddAction(one.path, one.size_bytes, {}, arrived, data_change=True, stats=one.statistics) for one in fragments
    ]
    told = {
        "loopwright.commit": commit_id,
        "loopwright.at": at.isoformat(),
        "loopwright.rows": sum(one.rows for one in fragments),
        "loopwright.bytes": sum(one.size_bytes for one in fragments),
        "loopwright.batch_id": batch_id,
    }
    handle.create_write_transaction(
        list(adds),
        "append",
        handle.schema(),
        commit_properties=CommitProperties(
            custom_metadata=told,
            app_transactions=[Transaction(serial, taken(handle, serial) + 1) for serial in serials],
            max_commit_retries=TRIES,
        ),
    )
    _flush(handle)


def _flush(handle: DeltaTable) -> None:
    """On a local disk, make the newest commit outlast a power cut; its fragments were flushed when they were closed."""
    if not handle.table_uri.startswith("file://"):
        return
    folder = Path(url2pathname(handle.table_uri.removeprefix("file://"))) / "_delta_log"
    for path in (max(folder.glob("*.json")), folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _arrivals(handle: DeltaTable) -> list[int]:
    """When each file came: what orders a table's rows, as Delta itself keeps no order of files."""
    return [int(moment) for moment in pa.table(handle.get_add_actions(flatten=True))["modification_time"].to_pylist()]


def scan(folder: Folder, handle: DeltaTable, files: Sequence[str]) -> pl.LazyFrame:
    """Some of the table's files, lazily, in the order given; a column a file lacks is missing in it.

    A table other hands have given deletion vectors or renamed columns is left to Polars' own Delta reader.
    """
    if handle.protocol().min_reader_version > 1:
        return pl.scan_delta(handle)
    schema = pl.DataFrame(schema_of(handle).empty_table()).schema
    if not files:
        return pl.LazyFrame(schema=schema)
    uris = [folder.uri(path) for path in files]
    return pl.scan_parquet(
        uris, schema=schema, missing_columns="insert", storage_options=folder.storage_options, glob=False
    )


def taken(handle: DeltaTable, serial: str) -> int:
    """How many commits took a number of this serial, as `handle` has seen it."""
    return handle.transaction_version(serial) or 0


def reopen(folder: Folder) -> DeltaTable:
    """The newest state of a table that is known to be there."""
    return DeltaTable(folder.url, storage_options=folder.storage_options)


def compact(handle: DeltaTable, clock: Clock) -> None:
    """Join small files. The files they replace stay where they are, for the versions that name them."""
    told = {"loopwright.at": clock.now().astimezone(UTC).isoformat()}
    handle.optimize.compact(
        writer_properties=WriterProperties(compression="ZSTD"),
        commit_properties=CommitProperties(custom_metadata=told, max_commit_retries=TRIES),
    )


def paths(handle: DeltaTable) -> set[str]:
    """The files the table consists of."""
    return set(pa.table(handle.get_add_actions(flatten=True)).column("path").to_pylist())


def add_column(handle: DeltaTable, field: pa.Field) -> None:
    """Add a column, missing in every row so far. Another writer may have done so at the same moment: then it stands."""
    try:
        handle.alter.add_columns(Schema.from_arrow(pa.schema([field])).fields)
    except DeltaError:
        handle.update_incremental()
        if field.name not in schema_of(handle).names:
            raise


def version_of(folder: Folder, commit_id: str, after: int) -> int | None:
    """The version later than `after` that a commit landed as; None when it did not land."""
    handle = open_table(folder)
    newest = after if handle is None else handle.version()
    told = ((version, _told(folder, version)) for version in range(after + 1, newest + 1))
    return next((version for version, one in told if one.get("loopwright.commit") == commit_id), None)


def _told(folder: Folder, version: int) -> dict[str, object]:
    """What a commit says about itself. Read from the log: `DeltaTable.history` numbers commits wrongly as soon as
    the handle is older than the newest commit (deltalake 1.6).
    """
    with folder.filesystem().open_input_stream(f"_delta_log/{version:020d}.json") as file:
        for line in file.read().splitlines():
            action = json.loads(line)
            if "commitInfo" in action:
                return dict(action["commitInfo"])
    return {}


def newest(folder: Folder, handle: DeltaTable) -> Entry:
    """The version `handle` stands at, with totals from its list of files, without reading the log before it."""
    files = pa.table(handle.get_add_actions(flatten=True))
    rows, size = (sum(files.column(name).to_pylist()) for name in ("num_records", "size_bytes"))
    return _entry(handle.version(), _told(folder, handle.version()), rows, size)


def entries(folder: Folder, handle: DeltaTable) -> Iterator[Entry]:
    """The versions up to `handle`, oldest first, each with the totals after it. The creation, without a row, is left
    out."""
    rows = size_bytes = 0
    for version in range(1, handle.version() + 1):
        told = _told(folder, version)
        rows += _count(told.get("loopwright.rows"))
        size_bytes += _count(told.get("loopwright.bytes")) + _change(told.get("operationMetrics"))
        yield _entry(version, told, rows, size_bytes)


def _entry(version: int, told: dict[str, object], rows: int, size_bytes: int) -> Entry:
    at, batch_id = told.get("loopwright.at"), told.get("loopwright.batch_id")
    return Entry(
        version=version,
        rows=rows,
        size_bytes=size_bytes,
        at=datetime.fromisoformat(at) if isinstance(at, str) else None,
        batch_id=batch_id if isinstance(batch_id, str) else None,
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _change(metrics: object) -> int:
    """Bytes a compaction added, less those it took out of the newest version."""
    if not isinstance(metrics, dict):
        return 0
    added, removed = (json.loads(metrics.get(part, "{}")) for part in ("filesAdded", "filesRemoved"))
    return _count(added.get("totalSize")) - _count(removed.get("totalSize"))
