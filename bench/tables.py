"""Appending to a table beside Polars writing the same rows to the same kind of Parquet file."""

from __future__ import annotations

import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from bench.environment import ours
from bench.figure import Figure, Section
from bench.timing import time_process

_AT_ONCE = 1_000_000
_SINK, _APPEND = "sink_parquet", "append_file"
_TOLD = {
    _SINK: "Polars scan_parquet, sink_parquet",
    "write_parquet": "Polars read_parquet, write_parquet",
    _APPEND: "append of the Parquet file",
    "append_stream": "append of an Arrow stream",
    "append_with_key": "append, every key checked",
}
_HELD_TO_TARGET = (_APPEND, "append_stream")


def measure(rounds: int, work: Path, *, rows: int) -> list[Section]:
    few, many = work / "few.parquet", work / "many.parquet"
    make_rows(few, rows // 10)
    make_rows(many, rows)
    _grown(few, few, work / "warm")
    seconds: dict[str, list[float]] = defaultdict(list)
    peaks: dict[tuple[str, Path], list[float]] = defaultdict(list)
    for _ in range(rounds):
        for way in _TOLD:
            told = _write(way, many, work / "target")
            shutil.rmtree(work / "target")
            seconds[way].append(told["seconds"])
            peaks[way, many].append(told["peak_bytes"])
            peaks[way, few].append(_write(way, few, work / "target")["peak_bytes"])
            shutil.rmtree(work / "target")
    grown = [_grown(few, many, work / "grown") for _ in range(rounds)]
    return [_times(rows, seconds), *_peaks(rows, peaks, few, many, grown)]


def _write(way: str, source: Path, target: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.appending", way, str(source), str(target)]
    told: dict[str, float] = json.loads(time_process(command, source.parent, ours()).output)
    return told


def _grown(few: Path, many: Path, target: Path) -> float:
    """The peak of a small append to a table that is large already."""
    _write(_APPEND, many, target)
    told = _write(_APPEND, few, target)
    shutil.rmtree(target)
    return told["peak_bytes"]


def _times(rows: int, seconds: dict[str, list[float]]) -> Section:
    base = Figure(what=_TOLD[_SINK], samples=seconds[_SINK])
    figures = [
        Figure(what=told, samples=seconds[way], most_ratio=2 if way in _HELD_TO_TARGET else None)
        for way, told in _TOLD.items()
        if way != _SINK
    ]
    return Section(title=f"{rows:,} rows of 10 columns", figures=[base, *figures], base=base)


def _peaks(
    rows: int, peaks: dict[tuple[str, Path], list[float]], few: Path, many: Path, grown: list[float]
) -> Iterator[Section]:
    """Each way beside itself with a tenth of the rows."""
    for way, told in _TOLD.items():
        base = Figure(what=f"{rows // 10:,} rows", samples=peaks[way, few], unit="MB")
        most = 1.5 if way in _HELD_TO_TARGET else None
        figures = [base, Figure(what=f"{rows:,} rows", samples=peaks[way, many], unit="MB", most_ratio=most)]
        if way == _APPEND:
            figures.append(
                Figure(what=f"{rows // 10:,} rows, to a table of {rows:,}", samples=grown, unit="MB", most_ratio=1.5)
            )
        yield Section(title=f"peak memory: {told}", figures=figures, base=base)


def make_rows(path: Path, rows: int) -> None:
    """Ten columns of the kinds that tables of events have; never more than a million rows in memory."""

    def pull(*_: object) -> Iterator[pl.DataFrame]:
        for first in range(0, rows, _AT_ONCE):
            yield _block(first, min(_AT_ONCE, rows - first))

    frame = register_io_source(pull, schema=_block(0, 1).schema)
    frame.sink_parquet(path, compression="zstd", engine="streaming")


def _block(first: int, rows: int) -> pl.DataFrame:
    draw = np.random.default_rng(first)
    carriers = np.array(["AA", "B6", "DL", "EV", "MQ", "UA", "US", "WN"])
    return pl.DataFrame(
        {
            "id": np.arange(first, first + rows),
            "at": pl.Series(1_700_000_000_000_000 + np.arange(first, first + rows) * 1000).cast(
                pl.Datetime("us", "UTC")
            ),
            "carrier": draw.choice(carriers, rows),
            "flight": pl.Series(draw.integers(1, 9000, rows)).cast(pl.String),
            "delay": draw.integers(-30, 600, rows).astype(np.int32),
            "distance": draw.integers(80, 5000, rows),
            "temperature": draw.normal(15, 8, rows),
            "wind": draw.gamma(2, 5, rows),
            "pressure": draw.normal(1013, 7, rows).round(1),
            "late": draw.random(rows) < 0.2,
        }
    )
