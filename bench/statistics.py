"""Statistics of a Parquet file: processor time beside the least anybody could do, reading it and looking at each value.

The floor is Polars' streaming minimum and maximum of every column. Both sides run in processes of their own, and by
turns, so that what else the machine does falls on both.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs

from bench.environment import ours
from bench.figure import Figure, Section
from bench.timing import time_process
from loopwright.data.statistics import Statistics, TableProfile, profile_parquet
from loopwright.pipeline.memory import high_water_mark_bytes

_AT_ONCE = 500_000
_BATCH_ROWS = 100
_FLOOR, _OURS = "Polars streaming min and max", "profile_parquet"
_CARDINALITIES = (5, 50, 500, 5_000, 20_000, 50_000)


def measure(rounds: int, work: Path, *, rows: int = 5_000_000) -> list[Section]:
    few, many = work / "few.parquet", work / "many.parquet"
    make_rows(few, rows // 10)
    make_rows(many, rows)
    seconds: dict[str, list[float]] = defaultdict(list)
    peaks: dict[Path, list[float]] = defaultdict(list)
    told: dict[str, float] = {}
    for _ in range(rounds):
        seconds[_FLOOR].append(_run(_FLOOR, many)["seconds"])
        told = _run(_OURS, many)
        seconds[_OURS].append(told["seconds"])
        peaks[many].append(told["peak_bytes"])
        peaks[few].append(_run(_OURS, few)["peak_bytes"])
    floor = Figure(what=_FLOOR, samples=seconds[_FLOOR])
    less = Figure(what=f"{rows // 10:,} rows", samples=peaks[few], unit="MB")
    more = Figure(what=f"{rows:,} rows", samples=peaks[many], unit="MB", target=1000)
    return [
        Section(
            title=f"processor time: {rows:,} rows of 20 columns",
            figures=[floor, Figure(what=_OURS, samples=seconds[_OURS], most_ratio=2.2)],
            base=floor,
        ),
        Section(title="peak memory", figures=[less, more], base=less),
        Section(title="state", figures=[Figure(what="JSON", samples=[told["json_bytes"]], unit="MB", target=0.0655)]),
        Section(title=f"{_BATCH_ROWS} rows of 20 columns", figures=[_update(rounds, few)]),
    ]


def _update(rounds: int, path: Path) -> Figure:
    """The time of one batch, of a thousand that come one by one."""
    batches = pl.read_parquet(path, n_rows=1000 * _BATCH_ROWS).to_arrow().to_batches(max_chunksize=_BATCH_ROWS)
    samples = []
    for _ in range(rounds):
        profile = TableProfile.of_schema(batches[0].schema)
        begun = process_time()
        for batch in batches:
            profile.update(batch)
        profile.flush()
        samples.append((process_time() - begun) / len(batches))
    return Figure(what="update", samples=samples, unit="ms", target=1.0)


def _run(way: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.statistics", way, str(path)]
    told: dict[str, float] = json.loads(time_process(command, path.parent, ours()).output)
    return told


def make_rows(path: Path, rows: int) -> None:
    """Twelve columns of numbers, all but one of them with gaps, six of strings, a time and a flag."""
    frames = [_block(first, min(_AT_ONCE, rows - first)) for first in range(0, rows, _AT_ONCE)]
    pl.concat(frames).write_parquet(path, compression="zstd", row_group_size=1_000_000)


def _block(first: int, rows: int) -> pl.DataFrame:
    draw = np.random.default_rng(first)
    numbers: dict[str, np.ndarray[Any, Any]] = {
        "normal": draw.normal(size=rows), "lognormal": draw.lognormal(3, 1, rows), "gamma": draw.gamma(2, 5, rows),
        "rounded": draw.normal(15, 8, rows).round(1), "exponential": draw.exponential(1, rows),
        "offset": 1e6 + draw.normal(size=rows), "minutes": draw.integers(-30, 600, rows),
        "distance": draw.integers(80, 5000, rows), "serial": draw.integers(0, 10**9, rows),
        "count": draw.poisson(3, rows).astype(np.int32), "share": draw.random(rows).astype(np.float32),
        "tail": draw.pareto(2, rows) * (draw.random(rows) < 0.6),
    }  # fmt: skip
    gaps = (0.05, 0.02, 0.1, 0.05, 0.3, 0.05, 0.05, 0.02, 0.05, 0.05, 0.05, 0.0)
    columns = {
        name: pl.Series(values).set(pl.Series(draw.random(rows) < gap), None)
        for (name, values), gap in zip(numbers.items(), gaps, strict=True)
    }
    for number, count in enumerate(_CARDINALITIES):
        shares = 1 / np.arange(1, count + 1)
        codes = draw.choice(count, rows, p=shares / shares.sum()) if number % 2 else draw.integers(0, count, rows)
        texts = pl.Series([f"value {number} {one}" for one in range(count)]).gather(codes)
        columns[f"text {count}"] = texts.set(pl.Series(draw.random(rows) < 0.03), None)
    at = 1_700_000_000_000_000 + np.arange(first, first + rows) * 1000 + draw.integers(0, 10**10, rows)
    columns["at"] = pl.Series(at).cast(pl.Datetime("us", "UTC"))
    columns["late"] = pl.Series(draw.random(rows) < 0.2)
    return pl.DataFrame(columns)


def main(way: str, path: str) -> None:
    """In a process of its own: what it took, as JSON."""
    begun, size = process_time(), 0
    if way == _FLOOR:
        both = (cs.all().min().name.suffix(" low"), cs.all().max().name.suffix(" high"))
        pl.scan_parquet(path).select(*both).collect(engine="streaming")
    else:
        size = len(Statistics.of(profile_parquet([path])).to_json().encode())
    print(json.dumps({"seconds": process_time() - begun, "peak_bytes": high_water_mark_bytes(), "json_bytes": size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
