"""One way to write rows, in a process of its own: `python -m bench.appending WAY SOURCE TARGET` tells time and memory.

Timed is the writing alone, without imports. The peak is of resident memory, imports included.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from loopwright.core.clock import SystemClock
from loopwright.data.fragments import ROW_GROUP_ROWS
from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.pipeline.memory import high_water_mark_bytes


def append_file(source: Path, target: Path) -> None:
    Tables(target, SystemClock()).append(Table("rows"), source)


def append_with_key(source: Path, target: Path) -> None:
    Tables(target, SystemClock()).append(Table("rows", key="id"), source)


def append_stream(source: Path, target: Path) -> None:
    file = pq.ParquetFile(source, pre_buffer=False)  # else the whole file is read ahead, by this function
    reader = pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())
    Tables(target, SystemClock()).append(Table("rows"), reader)


def sink_parquet(source: Path, target: Path) -> None:
    target.mkdir()
    pl.scan_parquet(source).sink_parquet(
        target / "rows.parquet", compression="zstd", row_group_size=ROW_GROUP_ROWS, engine="streaming"
    )


def write_parquet(source: Path, target: Path) -> None:
    target.mkdir()
    pl.read_parquet(source).write_parquet(target / "rows.parquet", compression="zstd", row_group_size=ROW_GROUP_ROWS)


WAYS: dict[str, Callable[[Path, Path], None]] = {
    way.__name__: way for way in (sink_parquet, write_parquet, append_file, append_stream, append_with_key)
}


def main() -> None:
    way, source, target = sys.argv[1:]
    started = perf_counter()
    WAYS[way](Path(source), Path(target))
    print(json.dumps({"seconds": perf_counter() - started, "peak_bytes": high_water_mark_bytes()}))


if __name__ == "__main__":
    main()
