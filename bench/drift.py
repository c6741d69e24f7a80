"""Drift: how often it is seen where there is none, how often where there is some, and what a comparison costs.

All is seeded. Rows are drawn anew for every window, so an alarm about them is a false one. A comparison alone can only
suspect; the alarm is two windows in a row. Windows are used twice, as a window and as a reference, so trials hang
together a little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np

from bench import comparing, flagging
from bench.drawing import profiled, shifted, windows_of
from bench.figure import Figure, Limits, Section
from loopwright.data.drift import drift
from loopwright.data.drifted import Drift
from loopwright.data.profile import Profile
from loopwright.demo import flights

PEERS = flagging.PEERS
SIZES: Mapping[int, int] = {100: 400, 1000: 400, 10_000: 150, 100_000: 40, 1_000_000: 12}
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
_TRIALS: Mapping[int, int] = {1000: 40, 10_000: 20, 100_000: 6}
_REFERENCE_ROWS = 1_000_000
_MONTH_TRIALS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """Out of so many windows."""

    windows: int
    suspected: int
    alarmed: int


def measure(
    rounds: int, work: Path, *, peers: Sequence[str] = (), sizes: Mapping[int, int] = SIZES
) -> Iterator[Section]:
    """One by one, for together they take minutes."""
    yield from comparing.measure(rounds, work)
    yield from _steady(sizes)
    yield from _moved()
    yield _flights("no drift: flights of January to May, one half against the other", None, (100, 1000, 10_000))
    yield _flights("drift: flights of June against January to May", 6, (100, 1000, 5000, 10_000, 28_243))
    if peers:
        yield from flagging.measure(work, peers)


def _steady(sizes: Mapping[int, int]) -> Iterator[Section]:
    told = {f"{rows:,} rows against as many": false_alarms(rows, windows) for rows, windows in sizes.items()}
    for rows, windows in sizes.items():
        if rows < _REFERENCE_ROWS:
            alarms = false_alarms(rows, windows, reference_rows=_REFERENCE_ROWS)
            told[f"{rows:,} rows against {_REFERENCE_ROWS:,}"] = alarms
    names = {what: f"{what}, {alarms.windows} windows" for what, alarms in told.items()}
    alarmed = [_share(names[what], one.alarmed / one.windows, target=1) for what, one in told.items()]
    suspected = [_share(names[what], one.suspected / one.windows) for what, one in told.items()]
    yield Section(title="no drift in 20 columns: windows alarmed", figures=alarmed)
    yield Section(title="the same: windows suspected, which is no alarm", figures=suspected)


def _moved() -> Iterator[Section]:
    for rows, trials in _TRIALS.items():
        figures = [
            _share(told, found(kind, amount, rows, trials, reference_rows=100_000)) for told, kind, amount in SHIFTS
        ]
        yield Section(title=f"one column of 20 moved: alarmed at {rows:,} rows, {trials} trials", figures=figures)


def _flights(title: str, month: int | None, sizes: Sequence[int]) -> Section:
    figures = []
    for rows in sizes:
        drifts = flights_found(rows, _MONTH_TRIALS, month=month)
        names = [{one.name for one in answer.drifted} for answer in drifts]
        limits: Limits = {"target": 1.0} if month is None else {"least": 100.0} if rows >= 1000 else {}
        figures.append(_share(f"{rows:,} rows", sum(map(bool, names)) / len(names), **limits))
        figures.append(_share(f"{rows:,} rows, the label", sum(flights.LABEL in one for one in names) / len(names)))
    return Section(title=f"{title}, {_MONTH_TRIALS} trials", figures=figures)


def _share(what: str, share: float, **limits: Unpack[Limits]) -> Figure:
    return Figure(what=what, samples=[share], unit="%", **limits)


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


def found(kind: str, amount: float, rows: int, trials: int, *, reference_rows: int, seed: int = 0) -> float:
    """The share of trials in which two windows of one reference say that the column drifted."""
    draw = np.random.default_rng([seed, rows])
    reference = profiled(shifted(kind, None, draw, reference_rows))
    drifts = [_second(reference, lambda: profiled(shifted(kind, amount, draw, rows))) for _ in range(trials)]
    return sum("moved" in {one.name for one in answer.drifted} for answer in drifts) / trials


def flights_found(rows: int, trials: int, *, month: int | None, seed: int = 0) -> list[Drift]:
    """Samples of a month against January to May as they are; None: against one half of those months' flights, samples
    of the other half, where nothing moved."""
    past, now = flagging.flights_of(month, seed)
    reference = flagging.profile_of(past)
    draw = np.random.default_rng([seed, rows])
    return [_second(reference, lambda: flagging.profile_of(flagging.sample(now, draw, rows))) for _ in range(trials)]


def _second(reference: Profile, window: Callable[[], Profile]) -> Drift:
    return drift(reference, window(), previous=drift(reference, window(), leave_out=()), leave_out=())
