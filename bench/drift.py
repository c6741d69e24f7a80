"""Drift: how often it is seen where there is none, how often where there is some, and what a comparison costs.

`python -m bench.drift` prints all tables; each is seeded. Rows are drawn anew for every window, so an alarm about them
is a false one. A comparison alone can only suspect; the alarm is two windows in a row. Windows are used twice, as a
window and as a reference, so trials hang together a little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from bench.figure import Figure, Section, show
from loopwright.data.drift import drift
from loopwright.data.drifted import Drift
from loopwright.data.profile import Profile
from loopwright.data.statistics import TableProfile, profile_parquet
from loopwright.demo import flights

Array = np.ndarray[Any, np.dtype[Any]]
SIZES: Mapping[int, int] = {100: 800, 1000: 600, 10_000: 200, 100_000: 60, 1_000_000: 20}
"""Windows of each size: fewer of large ones, which take longer to draw."""
SHIFTS: Sequence[tuple[str, str, float]] = (
    ("mean + 0.1 deviations", "normal", 0.1),
    ("mean + 0.2 deviations", "normal", 0.2),
    ("mean + 0.5 deviations", "normal", 0.5),
    ("deviation times 1.25", "wider", 1.25),
    ("share .23 → .26", "share", 0.26),
    ("share .23 → .31", "share", 0.31),
    ("missing .05 → .08", "missing", 0.08),
    ("a new value, in 3 % of rows", "new", 0.03),
    ("0.02 deviations: not worth a look", "normal", 0.02),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """Out of so many windows."""

    windows: int
    suspected: int
    alarmed: int

    def told(self) -> str:
        return f"{self.suspected / self.windows:.2%} | {self.alarmed / self.windows:.2%} | {self.windows:,}"


def rows_of(draw: np.random.Generator, rows: int) -> pa.RecordBatch:
    """Twenty columns of every kind, nothing of which ever changes but the rows."""
    numbers: dict[str, Array] = {
        "lognormal": draw.lognormal(size=rows),
        "lognormal_wide": draw.lognormal(sigma=3, size=rows),
        "normal": draw.normal(size=rows),
        "normal_offset": 1e6 + draw.normal(size=rows),
        "uniform": draw.random(rows),
        "rounded": draw.normal(size=rows).round(1),
        "mostly_zero": np.where(draw.random(rows) < 0.9, 0.0, draw.exponential(size=rows)),
        "few": draw.poisson(2.0, rows),
        "hours": draw.integers(0, 24, rows),
        "wide": draw.integers(-(10**12), 10**12, rows),
        "half": draw.random(rows) < 0.5,
        "rare": draw.random(rows) < 0.01,
    }
    arrays: dict[str, pa.Array] = {name: pa.array(values) for name, values in numbers.items()}
    for name in ("normal", "uniform"):
        arrays[f"{name}_missing"] = pa.array(numbers[name] * 2, mask=draw.random(rows) < 0.05)
    for categories in (5, 50, 1000, 10_000):
        arrays[f"zipf_{categories}"] = _texts(draw, rows, 1 / np.arange(1, categories + 1) ** 1.1)
    arrays["even_10000"] = _texts(draw, rows, np.ones(10_000))
    arrays["text_missing"] = _texts(draw, rows, np.ones(8), missing=0.3)
    return pa.record_batch(arrays)


def profiled(*batches: pa.RecordBatch) -> TableProfile:
    made = TableProfile.of_schema(batches[0].schema)
    for batch in batches:
        made.update(batch)
    return made


def windows_of(rows: int, seed: int) -> Iterator[TableProfile]:
    """Endless; of large ones in batches, as a table is read."""
    draw = np.random.default_rng([seed, rows])
    sizes = [131_072] * (rows // 131_072) + [rows % 131_072]
    while True:
        yield profiled(*(rows_of(draw, size) for size in sizes if size))


def false_alarms(rows: int, windows: int, *, reference_rows: int | None = None, seed: int = 0) -> Alarms:
    """Each window, and the next, against the one before both; or all against one reference of other rows."""
    fixed = next(windows_of(reference_rows, seed + 1)) if reference_rows else None
    suspected = alarmed = 0
    drawn = windows_of(rows, seed)
    reference, first = next(drawn), next(drawn)
    for _ in range(windows):
        second = next(drawn)
        before = drift(fixed or reference, first, leave_out=())
        after = drift(fixed or reference, second, previous=before, leave_out=())
        suspected += bool(after.suspected or after.drifted)
        alarmed += bool(after.drifted)
        reference, first = first, second
    return Alarms(windows=windows, suspected=suspected, alarmed=alarmed)


def shifted(kind: str, amount: float | None, draw: np.random.Generator, rows: int) -> pa.RecordBatch:
    """One column that moved by an amount, or not at all; nineteen that stay."""
    batch = rows_of(draw, rows).drop_columns(["half"])
    one: pa.Array
    match kind:
        case "normal":
            one = pa.array(draw.normal(size=rows) + (amount or 0.0))
        case "wider":
            one = pa.array(draw.normal(size=rows) * (amount or 1.0))
        case "share":
            one = pa.array(draw.random(rows) < (amount or 0.23))
        case "missing":
            one = pa.array(draw.normal(size=rows), mask=draw.random(rows) < (amount or 0.05))
        case _:
            values = np.where(draw.random(rows) < (amount or 0.0), 99, draw.integers(0, 20, rows))
            one = pa.array(values.astype(str))
    return batch.append_column("moved", one)


def found(kind: str, amount: float, rows: int, trials: int, *, reference_rows: int, seed: int = 0) -> float:
    """The share of trials in which two windows of one reference say that the column drifted."""
    draw = np.random.default_rng([seed, rows])
    reference = profiled(shifted(kind, None, draw, reference_rows))
    drifts = [_second(reference, lambda: profiled(shifted(kind, amount, draw, rows))) for _ in range(trials)]
    return sum("moved" in {one.name for one in answer.drifted} for answer in drifts) / trials


def flights_found(rows: int, trials: int, *, month: int | None, seed: int = 0) -> list[Drift]:
    """Samples of a month against January to May as they are; None: against one half of those months' flights, samples
    of the other half, where nothing moved."""
    columns = [name for name in flights.month(1).columns if name not in (flights.KEY, flights.TIME)]
    past = pl.concat([flights.month(number) for number in range(1, 6)]).select(columns)
    if month is None:
        past = past.sample(fraction=1.0, shuffle=True, seed=seed)
        past, now = past[: len(past) // 2], past[len(past) // 2 :]
    else:
        now = flights.month(month).select(columns)
    reference = _of_frame(past)
    draw = np.random.default_rng([seed, rows])

    def sample() -> Profile:
        return _of_frame(now[np.sort(draw.choice(len(now), min(rows, len(now)), replace=False))])

    return [_second(reference, sample) for _ in range(trials)]


def _second(reference: Profile, window: Callable[[], Profile]) -> Drift:
    return drift(reference, window(), previous=drift(reference, window(), leave_out=()), leave_out=())


def _of_frame(frame: pl.DataFrame) -> TableProfile:
    return profiled(*frame.rechunk().to_arrow().to_batches())


def _texts(draw: np.random.Generator, rows: int, weights: Array, missing: float = 0.0) -> pa.DictionaryArray:
    upto = np.cumsum(weights / weights.sum())
    codes = np.minimum(np.searchsorted(upto, draw.random(rows)), len(weights) - 1).astype(np.int32)
    names = pa.array([f"value {number}" for number in range(len(weights))])
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=draw.random(rows) < missing), names)


def measure(rounds: int, work: Path) -> list[Section]:
    """What a comparison takes, from states and from a file; processor time, for it runs on one core."""
    reference, current = (next(windows_of(1_000_000, seed)) for seed in (0, 1))
    live = [next(windows_of(1_000_000, seed)) for seed in (2, 3)]
    reference.flush()
    current.flush()
    wide = [_wide(2000, seed) for seed in (0, 1)]
    paths = [work / "reference.parquet", work / "current.parquet"]
    for seed, path in enumerate(paths):
        batch = rows_of(np.random.default_rng(seed), 1_000_000)
        pl.DataFrame(pl.from_arrow(batch)).write_parquet(path)
    ways: dict[str, tuple[Callable[[], object], float | None]] = {
        "20 columns of a million rows, from states": (lambda: drift(reference, current, leave_out=()), 20),
        "20 columns of a million rows, live": (lambda: drift(live[0], live[1], leave_out=()), None),
        "2,000 columns, from states": (lambda: drift(wide[0], wide[1]), 1000),
        "20 columns of a million rows, from Parquet": (lambda: drift(*(profile_parquet([one]) for one in paths)), None),
    }
    figures = [
        Figure(what=name, samples=_seconds(way, rounds), unit="ms", target=most) for name, (way, most) in ways.items()
    ]
    return [Section(title="comparing two profiles", figures=figures)]


def _wide(columns: int, seed: int) -> Profile:
    draw = np.random.default_rng(seed)
    made = Profile({f"column {at}": ("float", "integer")[at % 2] for at in range(columns)})
    made.update({name: draw.normal(scale=1000, size=5000).astype(_AS[kind]) for name, kind in made.kinds.items()})
    made.flush()
    return made


_AS: Mapping[str, Any] = {"float": np.float64, "integer": np.int64}


def _seconds(way: Callable[[], object], rounds: int) -> list[float]:
    seconds = []
    for _ in range(rounds + 1):
        begun = process_time()
        way()
        seconds.append(process_time() - begun)
    return seconds[1:]


def tell(sizes: Mapping[int, int]) -> None:
    """The tables, on paper."""
    _table("No drift | against | suspected | alarmed | windows", _told_false_alarms(sizes))
    _table("Drift (reference of 100,000 rows) | alarmed at 1,000 rows | 10,000 | 100,000", _told_found())
    _table("Flights | against | alarmed | of | label alarmed | columns, median", _told_flights())


def _told_false_alarms(sizes: Mapping[int, int]) -> Iterator[str]:
    for rows, windows in sizes.items():
        yield f"{rows:,} rows | as many | {false_alarms(rows, windows).told()}"
    for rows, windows in sizes.items():
        if rows <= 100_000:
            many = false_alarms(rows, windows, reference_rows=1_000_000)
            yield f"{rows:,} rows | 1,000,000 | {many.told()}"


def _told_found() -> Iterator[str]:
    for told, kind, amount in SHIFTS:
        rates = [
            found(kind, amount, rows, trials, reference_rows=100_000)
            for rows, trials in ((1000, 40), (10_000, 20), (100_000, 6))
        ]
        yield f"{told} | " + " | ".join(f"{rate:.0%}" for rate in rates)


def _told_flights() -> Iterator[str]:
    for month, sizes in ((None, (100, 1000, 10_000)), (6, (100, 1000, 5000, 28_243))):
        for rows in sizes:
            drifts = flights_found(rows, 40, month=month)
            names = [{one.name for one in answer.drifted} for answer in drifts]
            label = sum(flights.LABEL in one for one in names)
            what = "no drift" if month is None else "June against January to May"
            count = int(np.median([len(one) for one in names]))
            yield f"{what} | {rows:,} rows | {sum(map(bool, names))} | {len(names)} | {label} | {count}"


def _table(head: str, lines: Iterable[str]) -> None:
    print(f"| {head} |\n|{' --- |' * (head.count('|') + 1)}", flush=True)
    for line in lines:
        print(f"| {line} |", flush=True)
    print()


if __name__ == "__main__":
    from bench.environment import work_folder

    tell(SIZES)
    with work_folder() as folder:
        for section in measure(7, folder):
            show(section)
