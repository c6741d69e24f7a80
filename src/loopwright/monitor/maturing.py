"""What labels say of windows, as known now: of the one that ended, and again of those whose labels still come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from loopwright.core.finding import Finding
from loopwright.judge.catalog import Task
from loopwright.monitor.calibration import Calibration, both
from loopwright.monitor.decay import Mask
from loopwright.monitor.estimate import estimate
from loopwright.monitor.labelled import Labelled, labelled, together
from loopwright.monitor.outcome import outcome
from loopwright.monitor.quality import erased, quality
from loopwright.monitor.state import State
from loopwright.monitor.view import View
from loopwright.monitor.watched import Known
from loopwright.monitor.windows import Pending, Window, due_again, is_final, split

_AT_ONCE = 200_000
"""Rows that are read together: what bounds the memory."""
Joined = Callable[..., pl.DataFrame]
"""`predictions.joining.Joiner.joined`, of the loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matured:
    """Windows, with what their labels said."""

    state: State
    findings: tuple[Finding, ...]
    told: tuple[tuple[Labelled, Mask], ...]
    """What each version answered in each window, and which of the labels are new."""


def due(state: State, view: View) -> tuple[Pending, ...]:
    """The windows that are told again now, oldest first."""
    monitor, now = view.watched.monitor, view.known_at
    return tuple(one for one in state.pending if due_again(one, monitor.labels_within, now) is not None)


def mature(
    state: State, windows: Sequence[Pending], view: View, known: Callable[[int], Known | None], joined: Joined
) -> Matured:
    """Look at the labels of these windows. A window is not told again once all its labels came or never will."""
    findings, told, after = list[Finding](), list[tuple[Labelled, Mask]](), dict[datetime, Pending]()
    within, newest = view.watched.monitor.labels_within, state.newest_label
    for one, arms in _looked(windows, state.pending, view, known, joined):
        moments = [moment for arm in arms if (moment := arm.newest) is not None]
        labelled_now = sum(arm.labelled for arm in arms)
        is_over = is_final(one.window, within, view.known_at)
        is_same = labelled_now == one.labelled and all(one.fed and moment <= one.fed for moment in moments)
        gone = set(one.versions) - {arm.known.number for arm in arms}
        findings += [erased(replace(view, window=one.window), arm) for number in gone if (arm := known(number))]
        if one.age == 0 or is_over or not is_same or view.watched.monitor.outcomes:
            findings += _told(replace(view, window=one.window), state, arms, joined)
        told += [(arm, arm.new(one.fed)) for arm in arms]
        newest = max([*moments, *([newest] if newest else [])], default=None)
        age = due_again(one, within, view.known_at)
        fed = max([*moments, *([one.fed] if one.fed else [])], default=None)
        versions = tuple(sorted({*one.versions, *(arm.known.number for arm in arms)}))
        after[one.window.since] = replace(
            one, age=one.age if age is None else age, fed=fed, labelled=labelled_now, versions=versions
        )
    pending = [after.get(one.window.since, one) for one in state.pending]
    kept = tuple(one for one in pending if not is_final(one.window, within, view.known_at))
    waited = {one.window.since.isoformat() for one in kept}
    estimates = {since: one for since, one in state.estimates.items() if since in waited}
    return Matured(
        state=replace(state, pending=kept, estimates=estimates, newest_label=newest),
        findings=tuple(findings),
        told=tuple(told),
    )


def _looked(
    windows: Sequence[Pending],
    pending: Sequence[Pending],
    view: View,
    known: Callable[[int], Known | None],
    joined: Joined,
) -> Iterator[tuple[Pending, list[Labelled]]]:
    """What was answered and labelled, by window: of many small windows read at once, with those `pending` that lie
    between them; of a large one part by part."""
    columns = sorted({name for columns in view.watched.slices for name in columns})
    if len(windows) < 2 or _rows_between(windows, pending) > _AT_ONCE:
        for one in windows:
            parts = [
                _arms(_asked(replace(view, window=part), joined, columns=columns), known)
                for part in split(one.window, -(-one.rows // _AT_ONCE))
            ]
            yield one, together([arm for arms in parts for arm in arms])
        return
    span = Window(since=min(one.window.since for one in windows), until=max(one.window.until for one in windows))
    found = _asked(replace(view, window=span), joined, columns=columns)
    for one in windows:
        since, until = (pl.lit(moment.astimezone(UTC)) for moment in (one.window.since, one.window.until))
        yield one, _arms(found.filter((pl.col("at") >= since) & (pl.col("at") < until)), known)


def _rows_between(windows: Sequence[Pending], pending: Sequence[Pending]) -> int:
    """From the oldest to the newest of these windows."""
    first, last = (choose(one.window.since for one in windows) for choose in (min, max))
    return sum(one.rows for one in pending if first <= one.window.since <= last)


def _arms(found: pl.DataFrame, known: Callable[[int], Known | None]) -> list[Labelled]:
    there = [one for number in sorted(found["version"].unique().to_list()) if (one := known(number)) is not None]
    return [labelled(found, one) for one in there]


def _told(view: View, state: State, arms: Sequence[Labelled], joined: Joined) -> Iterator[Finding]:
    """All that labels tell of a window."""
    found = list(quality(view, arms))
    yield from found
    yield from _estimates(view, state, found)
    for name in view.watched.monitor.outcomes:
        yield from outcome(view, name, _asked(view, joined, outcome=name))


def _asked(view: View, joined: Joined, **more: Any) -> pl.DataFrame:
    return joined(
        since=view.window.since,
        until=view.window.until,
        known_at=view.known_at,
        within=view.watched.monitor.labels_within,
        **more,
    )


def _estimates(view: View, state: State, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Again, beside the truth."""
    for version, one in state.estimates.get(view.window.since.isoformat(), {}).items():
        number = int(version)
        truth = {each.subject: each for each in findings if each.version == number and each.subject == each.measure}
        yield from estimate(view, number, one["told"], rows=one["rows"], calibrated=one["calibrated"], truth=truth)


def learned(
    calibrations: Mapping[str, Any], told: Sequence[tuple[Labelled, Mask]], versions: Sequence[int]
) -> dict[str, Any]:
    """The calibrations of these versions, with the labels that are new."""
    kept = {name: one for name, one in calibrations.items() if int(name) in versions}
    for one, is_new in told:
        known = one.known
        if known.number in versions and known.task is not Task.REGRESSION and is_new.any():
            before = calibration_of(kept, known)
            after = before.learned(both(one)[is_new], one.labels[is_new])
            kept[str(known.number)] = after.to_dict()
    return kept


def calibration_of(calibrations: Mapping[str, Any], known: Known) -> Calibration:
    return Calibration.of(known.number, len(known.classes), calibrations.get(str(known.number)))
