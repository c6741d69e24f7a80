"""Drift, beside peers: the same windows, from the same files, by everybody's own rule.

Ours alarms on two windows in a row, so it is told for each pair; a peer knows one window at a time. A peer alarms when
it flags any column: the peers' rule for whole tables, where they have one, asks for half of the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import polars as pl
import polars.selectors as cs

from bench.drawing import batches_of, profiled
from bench.environment import ask_peer, installed
from bench.figure import Figure, Section
from bench.timing import Failed
from loopwright.data.drift import drift
from loopwright.data.statistics import TableProfile
from loopwright.demo import flights

PEERS = ("evidently", "tfdv")
_DRAWN: Mapping[int, int] = {100: 8, 1000: 8, 10_000: 4}
"""Windows of each size, and one more for the reference."""
_FLIGHTS: Mapping[int, int] = {100: 8, 1000: 8, 5000: 4}
_REFERENCE_ROWS = 20_000
"""Of the flights: with all 133,000 Evidently takes several times as long."""
Flagged = Mapping[str, list[list[str]]]
"""By whose rule: the columns flagged, window by window."""


def measure(work: Path, peers: Sequence[str]) -> Iterator[Section]:
    failures: dict[str, str] = {}
    titles = write_windows(work / "windows")
    found: dict[str, dict[str, list[list[str]]]] = {name: {} for name in titles}
    for name in titles:
        found[name]["ours"] = _ours(work / "windows" / name)
    for peer, python in installed(peers, failures).items():
        try:
            told = ask_peer(python, peer, work, "compare", str(work / "windows"))
        except Failed as reason:
            failures[peer] = str(reason)
            continue
        for name, windows in told.items():
            for rule in windows[0]:
                found[name][f"{peer}, {rule}"] = [window[rule] for window in windows]
    for name, title in titles.items():
        yield _section(title, found[name], failures)


def _section(title: str, found: Flagged, failures: Mapping[str, str]) -> Section:
    figures = []
    for who, windows in found.items():
        told = f"{who}: any column of {len(windows)} windows"
        figures.append(_share(told, [bool(one) for one in windows]))
        if "flights" in title:
            figures.append(_share(f"{who}: the label", [flights.LABEL in one for one in windows]))
    missing = [Figure(what=peer, samples=[], failure=reason) for peer, reason in failures.items()]
    return Section(title=title, figures=[*figures, *missing])


def _share(what: str, hits: Sequence[bool]) -> Figure:
    return Figure(what=what, samples=[sum(hits) / len(hits)], unit="%")


def _ours(folder: Path) -> list[list[str]]:
    """By the second of each two windows."""
    reference = profile_of(pl.read_parquet(folder / "reference.parquet"))
    windows = [profile_of(pl.read_parquet(path)) for path in sorted(folder.glob("window*.parquet"))]
    drifts = [
        drift(reference, second, previous=drift(reference, first, leave_out=()), leave_out=())
        for first, second in pairwise(windows)
    ]
    return [[one.name for one in answer.drifted] for answer in drifts]


def write_windows(folder: Path) -> dict[str, str]:
    """A folder for each kind and size, with its reference; what each is called."""
    titles = {}
    for rows, count in _DRAWN.items():
        drawn = (_plain(pl.DataFrame(pl.from_arrow(batches))) for batches in batches_of(rows, seed=5))
        titles[f"drawn {rows}"] = f"no drift, 20 columns, {rows:,} rows against as many: alarmed"
        _write(folder / f"drawn {rows}", next(drawn), islice(drawn, count))
    for month, told in ((None, "no drift: flights, {} rows"), (6, "drift: June's flights, {} rows")):
        past, now = flights_of(month)
        past = sample(past, np.random.default_rng(5), _REFERENCE_ROWS)
        for rows, count in _FLIGHTS.items():
            name, draw = f"month {month} {rows}", np.random.default_rng([5, rows])
            titles[name] = told.format(f"{rows:,}") + ": alarmed"
            _write(folder / name, past, (sample(now, draw, rows) for _ in range(count)))
    return titles


def _write(folder: Path, reference: pl.DataFrame, windows: Iterator[pl.DataFrame]) -> None:
    folder.mkdir(parents=True)
    reference.write_parquet(folder / "reference.parquet")
    for number, window in enumerate(windows):
        window.write_parquet(folder / f"window {number:03}.parquet")


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(cs.categorical().cast(pl.String))


def flights_of(month: int | None, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """January to May and the month; None: two halves of those months' flights, where nothing moved."""
    columns = [name for name in flights.month(1).columns if name not in (flights.KEY, flights.TIME)]
    past = pl.concat([flights.month(number) for number in range(1, 6)]).select(columns)
    if month is not None:
        return past, flights.month(month).select(columns)
    mixed = past.sample(fraction=1.0, shuffle=True, seed=seed)
    return mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]


def sample(frame: pl.DataFrame, draw: np.random.Generator, rows: int) -> pl.DataFrame:
    return frame[np.sort(draw.choice(len(frame), min(rows, len(frame)), replace=False))]


def profile_of(frame: pl.DataFrame) -> TableProfile:
    return profiled(*frame.rechunk().to_arrow().to_batches())
