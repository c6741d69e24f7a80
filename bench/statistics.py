"""Statistics of a Parquet file: processor time beside the least anybody could do, reading it and looking at each value.

The floor is Polars' streaming minimum and maximum of every column. All run in processes of their own, and by turns, so
that what else the machine does falls on all. Peers read files of the same kind, the slow ones of fewer rows, and are
held against the floor by the processor time of a cell; what a peer computes is its own idea of statistics.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any, Unpack

import numpy as np
import polars as pl
import polars.selectors as cs

from bench.environment import ask_peer, installed, ours
from bench.figure import Figure, Limits, Section
from bench.timing import Failed, time_process
from loopwright.data.statistics import Statistics, TableProfile, profile_parquet
from loopwright.pipeline.memory import high_water_mark_bytes

COLUMNS = 20
ROWS = 5_000_000
PEERS: Mapping[str, int] = {
    "tfdv": ROWS,
    "great_expectations": 500_000,
    "ydata_profiling": 500_000,
    "whylogs": 500_000,
    "evidently": 500_000,
    "deepchecks": 50_000,
}
"""Rows that each is asked to describe, so that it ends within a minute."""
FLOOR, OURS = "Polars streaming min and max", "profile_parquet"
_LEAST_TIMES: Mapping[str, float] = {"tfdv": 9, "ydata_profiling": 40, "whylogs": 40, "evidently": 40}
_PEER_ROUNDS = 1
_TENFOLD = 10
"""The file so many times over, once: more rows, if no new values."""
_AT_ONCE = 500_000
_BATCH_ROWS = 100
_CARDINALITIES = (5, 50, 500, 5_000, 20_000, 50_000)


@dataclass(kw_only=True)
class Samples:
    """By who and how many rows, and why somebody has none."""

    seconds: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    """Of processor time, a cell."""
    peaks: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, who: str, rows: int, told: Mapping[str, float]) -> None:
        self.seconds[who, rows].append(told["seconds"] / (rows * COLUMNS))
        self.peaks[who, rows].append(told["peak_bytes"])

    def a_cell(self, who: str, rows: int, **limits: Unpack[Limits]) -> Figure:
        """Nanoseconds: a thousand by these are million cells a second."""
        samples = self.seconds[who, rows]
        failure = "" if samples else self.failures.get(who, "no round was measured")
        return Figure(what=f"{who}, {rows:,} rows", samples=samples, unit="ns", failure=failure, **limits)

    def peak(self, who: str, rows: int, **limits: Unpack[Limits]) -> Figure:
        return Figure(what=f"{who}, {rows:,} rows", samples=self.peaks[who, rows], unit="MB", **limits)


def measure(rounds: int, work: Path, *, peers: Sequence[str] = (), rows: int = ROWS) -> list[Section]:
    samples, state_bytes = Samples(), 0.0
    pythons = installed(peers, samples.failures)
    files = {count: work / f"{count}.parquet" for count in {rows, rows // 10, *(PEERS[peer] for peer in pythons)}}
    for count, path in files.items():
        make_rows(path, count)
    for number in range(rounds):
        samples.add(FLOOR, rows, run(FLOOR, files[rows]))
        told = run(OURS, files[rows])
        samples.add(OURS, rows, told)
        samples.add(OURS, rows // 10, run(OURS, files[rows // 10]))
        state_bytes = told["json_bytes"]
        for peer, python in pythons.items() if number < _PEER_ROUNDS else ():
            _ask(samples, peer, python, files[PEERS[peer]])
    samples.add(OURS, rows * _TENFOLD, run(OURS, *[files[rows]] * _TENFOLD))
    state = Figure(what="20 columns, JSON", samples=[state_bytes], unit="MB", target=0.0655)
    return [
        *_sections(samples, rows, peers),
        Section(title="state", figures=[state]),
        Section(
            title=f"a row of 20 columns, in batches of {_BATCH_ROWS}", figures=[_update(rounds, files[rows // 10])]
        ),
    ]


def _ask(samples: Samples, peer: str, python: Path, path: Path) -> None:
    try:
        samples.add(peer, PEERS[peer], ask_peer(python, peer, path.parent, "describe", str(path)))
    except Failed as reason:
        samples.failures[peer] = str(reason)


def _sections(samples: Samples, rows: int, peers: Sequence[str]) -> list[Section]:
    floor = samples.a_cell(FLOOR, rows)
    mine = samples.a_cell(OURS, rows)
    less, most = samples.peak(OURS, rows, target=1000), rows * _TENFOLD
    held = [samples.a_cell(peer, PEERS[peer], **_least(peer)) for peer in peers]
    plain = [samples.a_cell(peer, PEERS[peer]) for peer in peers]
    grown = [samples.a_cell(OURS, rows // 10), samples.a_cell(OURS, most, most_ratio=1.1)]
    peaks = [samples.peak(OURS, rows // 10), less, samples.peak(OURS, most, most_ratio=1.2)]
    taken = [samples.peak(peer, PEERS[peer]) for peer in peers if samples.peaks[peer, PEERS[peer]]]
    made = [
        Section(
            title="processor time a cell",
            figures=[floor, samples.a_cell(OURS, rows, most_ratio=2.2), *plain],
            base=floor,
        )
    ]
    if peers:
        made.append(Section(title="the same, beside ours", figures=[mine, *held], base=mine))
    made.append(Section(title="the same, as rows grow", figures=[mine, *grown], base=mine))
    return [*made, Section(title="peak memory", figures=[*peaks, *taken], base=less)]


def _least(peer: str) -> Limits:
    return {"least_ratio": _LEAST_TIMES[peer]} if peer in _LEAST_TIMES else {}


def _update(rounds: int, path: Path) -> Figure:
    """Of a thousand batches that come one by one."""
    batches = pl.read_parquet(path, n_rows=1000 * _BATCH_ROWS).to_arrow().to_batches(max_chunksize=_BATCH_ROWS)
    samples = []
    for _ in range(rounds):
        profile = TableProfile.of_schema(batches[0].schema)
        begun = process_time()
        for batch in batches:
            profile.update(batch)
        profile.flush()
        samples.append((process_time() - begun) / (len(batches) * _BATCH_ROWS))
    return Figure(what="update", samples=samples, unit="µs", target=10)


def run(way: str, *paths: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.statistics", way, *map(str, paths)]
    told: dict[str, float] = json.loads(time_process(command, paths[0].parent, ours()).output)
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


def main(way: str, *paths: str) -> None:
    """In a process of its own: what it took, as JSON."""
    begun, size = process_time(), 0
    if way == FLOOR:
        both = (cs.all().min().name.suffix(" low"), cs.all().max().name.suffix(" high"))
        pl.scan_parquet(list(paths)).select(*both).collect(engine="streaming")
    else:
        size = len(Statistics.of(profile_parquet(paths)).to_json().encode())
    print(json.dumps({"seconds": process_time() - begun, "peak_bytes": high_water_mark_bytes(), "json_bytes": size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
