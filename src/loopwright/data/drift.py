"""Whether columns moved, from two profiles alone: one verdict a column, with error control, and "not enough data".

A column is suspected when three things hold: its effect is above a floor (a difference worth a look), above what chance
makes of samples this large (the no-drift quantile), and its p-value stands among those of all columns compared. It has
drifted when the window before said so too, against the same reference. p-values alone alarm on anything once there are
many rows, distances alone on nothing once there are few.

The effect is the Jensen-Shannon distance (base 2, 0 to 1) less what chance alone adds to it: one number for every kind
of column that no unit and no outlier moves. 0.05 is a mean that moved by 0.12 standard deviations, or a share of a half
by six points. No two rows may be the same case twice, and a window shorter than a cycle of the data (a day, a week)
differs from the reference by the part of the cycle that it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from loopwright.data import distances
from loopwright.data.chance import Numbers, chi2_above, chi2_quantile, discoveries, kolmogorov_above
from loopwright.data.coarse import Coarse, coarse
from loopwright.data.drifted import ColumnDrift, Drift, Moved, Standing
from loopwright.data.profile import Profile
from loopwright.data.schema import Column, Schema
from loopwright.data.shared import Shared, at_rest, missing, shared

FLOOR = 0.05
"""The least effect worth a look, where the schema sets none for the column."""
LEVEL = 0.01
"""At most this share of windows without drift has any column suspected."""
LEAST_ROWS = 1000
_NO_DRIFT = 0.99
_MOST_MOVED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """By what a difference becomes a verdict."""

    floors: Mapping[str, float] = field(default_factory=dict)
    """Where a column has its own."""
    floor: float = FLOOR
    level: float = LEVEL
    least_rows: int = LEAST_ROWS

    @classmethod
    def of(cls, schema: Schema | None, floor: Callable[[Column], float | None]) -> Limits:
        """With the floors that the columns of a schema set."""
        found = {column.name: floor(column) for column in schema.columns} if schema else {}
        return cls(floors={name: one for name, one in found.items() if one is not None})


def drift(
    reference: Profile,
    current: Profile,
    *,
    schema: Schema | None = None,
    previous: Drift | None = None,
    importance: Mapping[str, float] | None = None,
    leave_out: Collection[str] | None = None,
) -> Drift:
    """Compare two spans, or what is served now with what was trained on.

    `schema` gives columns floors of their own (`drift`). `previous` is what was said of the window before. Columns are
    ranked by `importance` times effect. `leave_out` None leaves out what only moves on: the schema's time and key, and
    without a schema all times. Nothing is drawn: the same profiles give the same answer.

    >>> reference, current = Profile({"late": "boolean"}), Profile({"late": "boolean"})
    >>> reference.update({"late": [True] * 230 + [False] * 770})
    >>> current.update({"late": [True] * 310 + [False] * 690})
    >>> first = drift(reference, current)
    >>> [str(one.standing) for one in (first.column("late"), drift(reference, current, previous=first).column("late"))]
    ['suspected', 'drifted']
    """
    limits = Limits.of(schema, lambda column: column.drift)
    skipped = moving_on(reference, schema) if leave_out is None else leave_out
    return compare(reference, current, limits=limits, leave_out=skipped, previous=previous, importance=importance)


def compare(
    reference: Profile,
    current: Profile,
    *,
    limits: Limits,
    leave_out: Collection[str] = (),
    previous: Drift | None = None,
    importance: Mapping[str, float] | None = None,
    look: Callable[[Any, Any], Shared] = shared,
) -> Drift:
    """What `drift` and `skew` share. `look` puts two sketches on the same cells."""
    ours, theirs = at_rest(reference), at_rest(current)
    names = [name for name in [*ours, *(one for one in theirs if one not in ours)] if name not in leave_out]
    measured = [_measure(name, ours.get(name), theirs.get(name), look) for name in names]
    rates = iter(discoveries([one.p for one in measured if not one.reason]))
    is_large = min(reference.rows, current.rows) >= limits.least_rows
    before = {one.name for one in (*previous.suspected, *previous.drifted)} if previous else set()
    columns = [
        _judged(
            one,
            rate=1.0 if one.reason else next(rates),
            limits=limits,
            is_large=is_large,
            was_suspected=one.name in before,
            importance=None if importance is None else float(importance.get(one.name, 0.0)),
        )
        for one in measured
    ]
    return Drift(
        reference_rows=reference.rows,
        current_rows=current.rows,
        least_rows=limits.least_rows,
        columns=tuple(sorted(columns, key=ColumnDrift.rank)),
    )


def moving_on(profile: Profile, schema: Schema | None) -> frozenset[str]:
    """Columns whose values move on by themselves: the table's time and key; without a schema, all times."""
    if schema is None:
        return frozenset(name for name, kind in profile.kinds.items() if kind == "time")
    return frozenset([*schema.key, *([schema.time] if schema.time else [])])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """A column's numbers, before anything is said about them."""

    name: str
    kind: str
    reason: str = ""
    """Why there are none."""
    effect: float = 0.0
    noise: float = 0.0
    p: float = 1.0
    distances: Mapping[str, float]
    missing: tuple[float, float] | None = None
    median: tuple[float, float] | None = None
    moved: tuple[Moved, ...] = ()


def _measure(name: str, reference: Any, current: Any, look: Callable[[Any, Any], Shared]) -> _Measured:
    reason = _incomparable(reference, current)
    kind = (reference or current).kind
    if reason:
        return _Measured(name=name, kind=kind, reason=reason, distances={})
    fine = look(reference, current)
    cells = coarse(fine)
    if cells.counts.shape[1] < 2:
        return _compared_one(name, kind, fine, cells)
    found = _distances(fine, cells)
    effect, noise = _effect(cells, found["jensen_shannon"])
    return _Measured(
        name=name,
        kind=kind,
        effect=effect,
        noise=noise,
        p=_probability(fine, cells, found),
        distances=found,
        missing=_missing(fine, reference.rows, current.rows),
        median=_medians(fine),
        moved=_moved(cells, is_time=kind == "time"),
    )


def _incomparable(reference: Any, current: Any) -> str:
    if reference is None or current is None:
        return f"there is no such column in the {'reference' if reference is None else 'current rows'}"
    if reference.kind != current.kind:
        return f"the reference has {reference.kind}, the current rows {current.kind}"
    if not reference.rows or not current.rows:
        return f"there are no {'current ' if reference.rows else ''}rows{'' if reference.rows else ' in the reference'}"
    return ""


def _compared_one(name: str, kind: str, fine: Shared, cells: Coarse) -> _Measured:
    """All rows in one cell: nothing can differ, unless it holds what is too rare to tell apart."""
    is_one = bool(cells.counts.shape[1]) and fine.counts.any(axis=0).sum() <= 1
    reason = "" if is_one or fine.names is None else "no value is frequent enough to be compared"
    return _Measured(name=name, kind=kind, reason=reason, distances={} if reason else _distances(fine, cells))


def _effect(cells: Coarse, distance: float) -> tuple[float, float]:
    """The distance beyond what chance adds to it on average, and what chance reaches in one of a hundred columns.

    Without drift the divergence of samples of n and m rows is chi-square of (cells - 1), times (1/n + 1/m) / (8 ln 2).
    """
    reference, current = cells.counts.sum(axis=1).tolist()
    scale = (1 / reference + 1 / current) / (8 * math.log(2))
    freedom = max(int(np.count_nonzero(cells.dense)) - 1, 1)
    beyond = distance**2 - freedom * scale
    chance = (chi2_quantile(_NO_DRIFT, freedom) - freedom) * scale
    return math.sqrt(max(beyond, 0.0)), math.sqrt(max(chance, 0.0))


def _probability(fine: Shared, cells: Coarse, found: Mapping[str, float]) -> float:
    """The least of the tests' p-values, times their number: all cells, the most uneven one, of numbers their order."""
    dense = cells.counts.compress(cells.dense, axis=1)
    statistic = found["chi2"] if cells.dense.all() else distances.chi2(dense)
    tests = [cells.uneven, chi2_above(statistic, dense.shape[1] - 1)]
    if "kolmogorov_smirnov" in found:
        reference, current = fine.counts.sum(axis=1).tolist()
        tests.append(kolmogorov_above(found["kolmogorov_smirnov"], reference, current))
    return min(len(tests) * min(tests), 1.0)


def _distances(fine: Shared, cells: Coarse) -> dict[str, float]:
    both = distances.shares(cells.counts)
    told = {
        "l_infinity": distances.l_infinity(both),
        "absolute_difference": distances.absolute_difference(both),
        "jensen_shannon": math.sqrt(distances.jensen_shannon(both)),
        "psi": distances.psi(cells.counts),
        "chi2": distances.chi2(cells.counts),
    }
    if not fine.has_order:
        return told
    both = distances.shares(fine.counts)
    upto = distances.apart_upto(both)
    told["kolmogorov_smirnov"] = distances.kolmogorov_smirnov(upto)
    moved = distances.wasserstein(both, upto, fine.middles)
    return told if moved is None else {**told, "wasserstein": moved}


def _missing(fine: Shared, reference: int, current: int) -> tuple[float, float]:
    found = missing(fine)
    return float(found[0]) / reference, float(found[1]) / current


def _medians(fine: Shared) -> tuple[float, float] | None:
    if not fine.has_order:
        return None
    middles = fine.middles
    found = [float(middles[_half(counts)]) for counts in fine.counts]
    return found[0], found[1]


def _half(counts: Numbers) -> int:
    upto = np.cumsum(counts)
    return int(np.searchsorted(upto, upto[-1] / 2))


def _moved(cells: Coarse, *, is_time: bool) -> tuple[Moved, ...]:
    """The cells whose share changed most."""
    reference, current = distances.shares(cells.counts)
    order: Sequence[int] = np.argsort(-np.abs(current - reference), kind="stable")[:_MOST_MOVED].tolist()
    return tuple(
        Moved(value=cells.name(at, is_time=is_time), before=float(reference[at]), after=float(current[at]))
        for at in order
    )


def _judged(
    one: _Measured, *, rate: float, limits: Limits, is_large: bool, was_suspected: bool, importance: float | None
) -> ColumnDrift:
    floor = limits.floors.get(one.name, limits.floor)
    is_suspect = not one.reason and one.effect > max(floor, one.noise) and rate <= limits.level
    return ColumnDrift(
        name=one.name,
        kind=one.kind,
        standing=_standing(one.reason, is_suspect=is_suspect, was_suspected=was_suspected, is_large=is_large),
        effect=one.effect,
        floor=floor,
        noise=one.noise,
        p=one.p,
        false_discovery_rate=rate,
        distances=one.distances,
        missing=one.missing,
        median=one.median,
        moved=one.moved,
        importance=importance,
        reason=one.reason,
    )


def _standing(reason: str, *, is_suspect: bool, was_suspected: bool, is_large: bool) -> Standing:
    """Few rows can show that something moved; that nothing did they cannot."""
    if reason:
        return Standing.NOT_COMPARED
    if is_suspect:
        return Standing.DRIFTED if was_suspected else Standing.SUSPECTED
    return Standing.STEADY if is_large else Standing.NOT_ENOUGH
