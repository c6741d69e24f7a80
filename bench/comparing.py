"""What it takes to check and to compare statistics that are there already, and tables that are very wide.

Processor time, for it runs on one core.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from bench.drawing import profiled, rows_of, windows_of
from bench.figure import Figure, Section
from bench.statistics import FLOOR, OURS, run
from loopwright.data.check import check
from loopwright.data.drift import drift
from loopwright.data.infer import infer
from loopwright.data.profile import Profile
from loopwright.data.statistics import Statistics, TableProfile, profile_parquet

_ROWS = 1_000_000
_WIDE, _WIDEST, _WIDEST_ROWS = 2000, 10_000, 1000
_CARRIERS = np.array(["AA", "B6", "DL", "EV", "MQ", "UA", "US", "WN"])


def measure(rounds: int, work: Path) -> list[Section]:
    narrow = [_at_rest(next(windows_of(_ROWS, seed))) for seed in (0, 1)]
    wide = [_at_rest(profiled(_wide(_WIDE, 5000, seed))) for seed in (0, 1)]
    made = [
        _compared(f"20 columns of {_ROWS:,} rows", narrow, rounds, limit_ms=20),
        _compared(f"{_WIDE:,} columns of 5,000 rows", wide, rounds, limit_ms=1000),
        _from_elsewhere(narrow, rounds, work),
    ]
    return [*made, *_widest(rounds, work)]


def _compared(what: str, spans: list[Profile], rounds: int, *, limit_ms: float) -> Section:
    """Two spans of rows of one kind, of which nothing but the statistics is left."""
    before, now = spans
    schema = infer(before)
    ways: Mapping[str, Callable[[], object]] = {
        "validate": lambda: check(now, schema),
        "validate, the span before at hand": lambda: check(now, schema, previous=before),
        "drift": lambda: drift(before, now, leave_out=()),
    }
    figures = [
        Figure(what=name, samples=_seconds(way, rounds), unit="ms", target=limit_ms) for name, way in ways.items()
    ]
    return Section(title=f"from statistics: {what}", figures=figures)


def _from_elsewhere(spans: list[Profile], rounds: int, work: Path) -> Section:
    """The same 20 columns, where they come from a bundle, a window that is being filled, or files."""
    texts = [Statistics.of(one).to_json() for one in spans]
    live = [next(windows_of(_ROWS, seed)) for seed in (2, 3)]
    paths = [work / f"{seed}.parquet" for seed in (0, 1)]
    for seed, path in enumerate(paths):
        pl.DataFrame(pl.from_arrow(rows_of(np.random.default_rng(seed), _ROWS))).write_parquet(path)
    ways: Mapping[str, Callable[[], object]] = {
        "from statistics as JSON": lambda: drift(*map(TableProfile.from_json, texts), leave_out=()),
        "from live windows": lambda: drift(live[0], live[1], leave_out=()),
        "from Parquet": lambda: drift(*(profile_parquet([one]) for one in paths), leave_out=()),
    }
    figures = [Figure(what=name, samples=_seconds(way, rounds), unit="ms") for name, way in ways.items()]
    return Section(title=f"drift of 20 columns of {_ROWS:,} rows", figures=figures)


def _widest(rounds: int, work: Path) -> list[Section]:
    path = work / "widest.parquet"
    pl.DataFrame(pl.from_arrow(_wide(_WIDEST, _WIDEST_ROWS, 0))).write_parquet(path)
    told = {way: [run(way, path) for _ in range(rounds)] for way in (FLOOR, OURS)}
    seconds = [Figure(what=way, samples=[one["seconds"] for one in all_]) for way, all_ in told.items()]
    peaks = [Figure(what=way, samples=[one["peak_bytes"] for one in all_], unit="MB") for way, all_ in told.items()]
    title = f"{_WIDEST:,} columns of {_WIDEST_ROWS:,} rows"
    return [
        Section(title=f"processor time: {title}", figures=seconds, base=seconds[0]),
        Section(title=f"peak memory: {title}", figures=peaks, base=peaks[0]),
    ]


def _wide(columns: int, rows: int, seed: int) -> pa.RecordBatch:
    """By turns floats with gaps, whole numbers, texts and flags."""
    draw = np.random.default_rng(seed)
    makes: tuple[Callable[[], Any], ...] = (
        lambda: pa.array(draw.normal(size=rows), mask=draw.random(rows) < 0.05),
        lambda: pa.array(draw.integers(0, 1000, rows)),
        lambda: pa.array(draw.choice(_CARRIERS, rows)),
        lambda: pa.array(draw.random(rows) < 0.3),
    )
    return pa.record_batch({f"column {at}": makes[at % len(makes)]() for at in range(columns)})


def _at_rest(profile: Profile) -> Profile:
    profile.flush()
    return profile


def _seconds(way: Callable[[], object], rounds: int) -> list[float]:
    seconds = []
    for _ in range(rounds + 1):
        begun = process_time()
        way()
        seconds.append(process_time() - begun)
    return seconds[1:]
