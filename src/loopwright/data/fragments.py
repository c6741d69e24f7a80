"""Fragments: rows on their way into a table, as Parquet files beside it that no version names yet.

Rows stream through; a fragment is bounded in rows, never held whole. Whoever stages fragments lands or discards them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain, count

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt
from polars.io.plugins import register_io_source

from loopwright.data.folder import Folder, store_errors

ROW_GROUP_ROWS = 262_144
FRAGMENT_ROWS = 16 * ROW_GROUP_ROWS
_LONGEST_STATISTIC = 64  # characters; longer text would bloat the log for no better pruning

Bound = int | str | date | datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """One Parquet file: its path within the table, and the lowest and highest value of the columns that order."""

    path: str
    rows: int
    size_bytes: int
    missing: dict[str, int]
    bounds: dict[str, tuple[Bound, Bound]]

    @property
    def statistics(self) -> str:
        """As Delta's log keeps them, so that every reader skips files by them."""
        lows = {name: _told(low) for name, (low, _) in self.bounds.items()}
        highs = {
            name: _told(high + _MILLISECOND if isinstance(high, datetime) else high)
            for name, (_, high) in self.bounds.items()
        }
        return json.dumps({"numRecords": self.rows, "minValues": lows, "maxValues": highs, "nullCount": self.missing})


_MILLISECOND = timedelta(milliseconds=1)  # the log keeps milliseconds, cut off: the highest is rounded up


def _told(bound: Bound) -> int | str:
    if isinstance(bound, datetime):
        return f"{bound:%Y-%m-%dT%H:%M:%S}.{bound.microsecond // 1000:03d}Z"
    return bound.isoformat() if isinstance(bound, date) else bound


def stage(folder: Folder, batches: Iterable[pa.RecordBatch], schema: pa.Schema, name: str) -> tuple[Fragment, ...]:
    """Write `batches`, all of `schema`, as fragments `name`-0, -1, ... Files are removed again when the batches raise.

    Raises what the batches raise, and `StoreUnavailable` when the disk is full.
    """
    paths: list[str] = []
    rest = (batch for batch in batches if batch.num_rows)
    try:
        with store_errors(folder):
            folder.make()
            for number in count():
                first = next(rest, None)
                if first is None:
                    break
                paths.append(f"{name}-{number}.parquet")
                _write(
                    folder.uri(paths[-1]), chain([first], _up_to(rest, FRAGMENT_ROWS - first.num_rows)), schema, folder
                )
            return tuple(_describe(folder, path) for path in paths)
    except BaseException:
        folder.delete(paths)
        raise


def discard(folder: Folder, fragments: Sequence[Fragment]) -> None:
    folder.delete(fragment.path for fragment in fragments)


def _up_to(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    while rows > 0 and (batch := next(batches, None)) is not None:
        rows -= batch.num_rows
        yield batch


def _write(uri: str, batches: Iterator[pa.RecordBatch], schema: pa.Schema, folder: Folder) -> None:
    """Polars encodes columns side by side, at twice the speed of Arrow's or Delta's writer."""

    def pull(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        del with_columns, predicate, n_rows, batch_size  # a sink asks for everything
        for batch in batches:
            yield pl.DataFrame(pa.Table.from_batches([batch]))

    frame = register_io_source(pull, schema=pl.DataFrame(schema.empty_table()).schema)
    frame.sink_parquet(
        uri,
        compression="zstd",
        row_group_size=ROW_GROUP_ROWS,
        storage_options=folder.storage_options,
        sync_on_close="all",
        engine="streaming",
    )


def _describe(folder: Folder, path: str) -> Fragment:
    filesystem = folder.filesystem()
    footer = pq.read_metadata(path, filesystem=filesystem)
    missing: dict[str, int] = {}
    bounds: dict[str, tuple[Bound, Bound]] = {}
    schema = footer.schema.to_arrow_schema()
    for index, column in enumerate(footer.schema):
        if "." in column.path and column.path not in schema.names:
            continue  # inside a list or struct
        groups = [footer.row_group(group).column(index).statistics for group in range(footer.num_row_groups)]
        if all(group is not None and group.has_null_count for group in groups):
            missing[column.path] = sum(group.null_count for group in groups)
        if _orders(schema.field(column.path).type) and (found := _bounds(groups)) is not None:
            bounds[column.path] = found
    size = filesystem.get_file_info(path).size
    return Fragment(path=path, rows=footer.num_rows, size_bytes=size, missing=missing, bounds=bounds)


def _orders(kind: pa.DataType) -> bool:
    """Whether lowest and highest are safe to skip by. Floats are not: NaN stands outside the order."""
    return bool(
        pt.is_integer(kind)
        or pt.is_string(kind)
        or pt.is_large_string(kind)
        or pt.is_date(kind)
        or pt.is_timestamp(kind)
    )


def _bounds(groups: Sequence[pq.Statistics | None]) -> tuple[Bound, Bound] | None:
    lows, highs = [], []
    for group in groups:
        if group is None or not group.has_min_max:
            if group is not None and group.num_values == 0:
                continue  # a row group without a value has no bounds and needs none
            return None
        lows.append(group.min)
        highs.append(group.max)
    if not lows:
        return None
    low, high = min(lows), max(highs)
    if isinstance(low, str) and max(len(low), len(high)) > _LONGEST_STATISTIC:
        return None
    return low, high
