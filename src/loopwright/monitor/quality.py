"""How right a loop is on the labels that came: overall and by slice, with intervals, beside what it was judged at.

A label that did not come is waited for, or missing; it is never taken for a negative one. Versions of one window are
looked at at one moment, so that they are of equal maturity; where their labels come unevenly they are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from loopwright.core.finding import Finding, Level
from loopwright.judge.catalog import METRICS, Task
from loopwright.judge.evaluate import evaluate
from loopwright.judge.evaluation import Evaluation, Measured, Slice, interval, number
from loopwright.monitor.intervals import is_beyond, is_worse, student_bounds
from loopwright.monitor.labelled import Labelled
from loopwright.monitor.view import View, share_bounds
from loopwright.monitor.watched import Known

LEVEL = 0.99
"""Of the intervals: of 200 windows one is noticed to be worse by chance, with all its metrics and slices."""
DRAWS = 100
_NAME = "quality"
_BESIDE = {
    Task.BINARY: ("roc_auc", "log_loss", "accuracy"),
    Task.MULTICLASS: ("accuracy", "log_loss"),
    Task.REGRESSION: ("mae", "rmse"),
}
_MOST_ROWS = 200_000
"""Of so many, drawn evenly, the intervals are computed: more make them no narrower than anybody needs."""


def metrics_of_task(view: View, known: Known) -> tuple[str, ...]:
    """The judge's metric, and the usual ones beside it."""
    return tuple(dict.fromkeys((view.watched.metric_of(known), *_BESIDE[known.task])))


def quality(view: View, arms: Sequence[Labelled]) -> Iterator[Finding]:
    """Of each version: coverage of labels, metrics, slices; of several also how they stand to one another."""
    measured = []
    for one in arms:
        yield _coverage(view, one)
        found = _measured(view, one)
        yield from _metrics(view, one, found)
        if found is not None:
            measured.append((one, found))
            yield from _slices(view, one, found)
    yield from _between(view, measured)


def _coverage(view: View, one: Labelled) -> Finding:
    low, high = share_bounds(one.labelled, one.rows)
    told = f"{one.labelled:,} of {one.rows:,} predictions have their label ({one.share:.1%})"
    told += f", {one.waiting:,} wait for it" if one.waiting else ""
    told += f", of {one.missing:,} it will not come: they are missing, not negative" if one.missing else ""
    told += f"; {one.strange:,} labels are none that {one.known.version.name} knows" if one.strange else ""
    return view.found(
        _NAME, "coverage", Level.NOTICED if one.strange else Level.FINE, told, measure="labelled_share",
        number=one.share, version=one.known.number, rows=one.rows, labelled=one.labelled, waiting=one.waiting,
        missing=one.missing, strange=one.strange, low=low, high=high,
    )  # fmt: skip


def erased(view: View, known: Known) -> Finding:
    """Of a version that answered in the window, and of whose answers none is there any more."""
    told = f"0 predictions of {known.version.name} are left of this window: they were erased"
    return view.found(
        _NAME, "coverage", Level.FINE, told, measure="labelled_share", version=known.number, rows=0, labelled=0
    )


def _measured(view: View, one: Labelled) -> Evaluation | None:
    """None for too few labels."""
    if len(one.labels) < view.watched.least_rows:
        return None
    slices = [columns for columns in view.watched.slices if not _lacking(one, columns)]
    every = -(-len(one.labels) // _MOST_ROWS)
    known = one.known
    return evaluate(
        _named(one)[::every],
        one.predictions[::every],
        metrics=metrics_of_task(view, one.known),
        task=known.task,
        classes=known.classes if known.task is Task.MULTICLASS else None,
        columns=one.columns[::every],
        slices=slices,
        draws=DRAWS,
        level=LEVEL,
        least_rows=view.watched.least_rows,
        bounds=student_bounds,
    )


def _named(one: Labelled) -> Any:
    if one.known.task is not Task.MULTICLASS:
        return one.labels
    import numpy as np

    return np.asarray(one.known.classes, dtype=object)[one.labels.astype(np.intp)]


def _metrics(view: View, one: Labelled, found: Evaluation | None) -> Iterator[Finding]:
    first = view.watched.metric_of(one.known)
    for name in metrics_of_task(view, one.known):
        judged = one.known.judged_as(name)
        if found is None:
            least = view.watched.least_rows
            told = f"not enough data: {least - len(one.labels):,} more labels of {one.known.version.name} are needed"
            yield view.found(
                _NAME, name, Level.UNKNOWN, told, measure=name, version=one.known.number, rows=len(one.labels),
                judged=None if judged is None else judged.value,
            )  # fmt: skip
            continue
        measured = found.metric(name)
        assert measured is not None
        yield _held(view, one, name, measured, judged, found, is_first=name == first)


def _lacking(one: Labelled, columns: Sequence[str]) -> list[str]:
    """Those of them that no row has, and that the version takes none of."""
    taken, there = one.known.contract.names, one.columns
    return [name for name in columns if name not in there.columns or (name not in taken and _is_null(there[name]))]


def _is_null(values: pl.Series) -> bool:
    return values.null_count() == len(values)


def _slices(view: View, one: Labelled, found: Evaluation) -> Iterator[Finding]:
    first = view.watched.metric_of(one.known)
    for columns in view.watched.slices:
        if lacking := _lacking(one, columns):
            told = f"no row that {one.known.version.name} was asked about has {' and '.join(lacking)}"
            yield view.found(
                _NAME, ", ".join(columns), Level.UNKNOWN, told, measure=first, version=one.known.number, rows=0
            )
    judged = {(cut.columns, cut.values): cut for cut in (one.known.judged.slices if one.known.judged else ())}
    for cut in found.slices:
        before = judged.get((cut.columns, cut.values))
        was = None if before is None else next((each for each in before.metrics if each.metric == first), None)
        if not cut.is_enough:
            yield view.found(
                _NAME, cut.name, Level.UNKNOWN, _few(cut, view.watched.least_rows), measure=first,
                version=one.known.number, rows=cut.rows,
            )  # fmt: skip
            continue
        measured = next(each for each in cut.metrics if each.metric == first)
        yield _held(view, one, cut.name, measured, was, found, rows=cut.rows, is_first=True)


def _few(cut: Slice, least: int) -> str:
    more = f" ({least - cut.rows:,} more rows)" if cut.rows < least else ""
    return f"{cut.reason}{more}"


def _held(
    view: View,
    one: Labelled,
    subject: str,
    found: Measured,
    judged: Measured | None,
    whole: Evaluation,
    *,
    is_first: bool,
    rows: int | None = None,
) -> Finding:
    """Beside what it was when the version was judged. What the loop is judged by alarms where the intervals do not
    touch."""
    name, version = found.metric, one.known
    rows = whole.rows if rows is None else rows
    bigger = METRICS[name].bigger_is_better
    limit = None if judged is None else (judged.low if bigger else judged.high)
    told = f"{name} is {number(found.value)} {interval(found.low, found.high)} on {rows:,} labelled rows"
    level = Level.FINE
    if found.value is None:
        level, told = Level.UNKNOWN, f"not enough data: {found.reason}"
    elif judged is not None and judged.value is not None:
        told += f"; {version.version.name} was judged at {number(judged.value)} {interval(judged.low, judged.high)}"
        level = _level(found, judged, one, whole, is_first=is_first)
    return view.found(
        _NAME, subject, level, told, measure=name, number=found.value, limit=limit, version=version.number,
        rows=rows, low=found.low, high=found.high, judged=None if judged is None else judged.value, confidence=LEVEL,
    )  # fmt: skip


def _level(found: Measured, judged: Measured, one: Labelled, whole: Evaluation, *, is_first: bool) -> Level:
    if is_first and is_beyond(found, judged):
        return Level.ALARMED
    evaluation = one.known.judged
    looks = len(whole.metrics) + sum(cut.is_enough for cut in whole.slices)
    is_noticed = evaluation is not None and is_worse(
        found, judged, level=LEVEL, judged_level=evaluation.level, draws=DRAWS, looks=looks
    )
    return Level.NOTICED if is_noticed else Level.FINE


def _between(view: View, measured: Sequence[tuple[Labelled, Evaluation]]) -> Iterator[Finding]:
    """Each other version beside the champion: the same metric at the same moment, where labels come evenly."""
    champion = view.champion
    first = next((pair for pair in measured if champion and pair[0].known.number == champion.number), None)
    for one, found in measured if first is not None else ():
        if first is None or one is first[0]:
            continue
        name = view.watched.metric_of(one.known)
        subject = f"v{one.known.number} beside v{first[0].known.number}"
        mine, other = found.metric(name), first[1].metric(name)
        gap = _uneven(one, first[0])
        if gap or mine is None or other is None or mine.value is None or other.value is None:
            told = gap or "not enough data to compare them"
            yield view.found(
                _NAME, subject, Level.UNKNOWN, told, measure=name, version=one.known.number,
                coverage=one.share, champion_coverage=first[0].share,
            )  # fmt: skip
            continue
        told = f"{name} {number(mine.value)} {interval(mine.low, mine.high)} of v{one.known.number}"
        told += f", {number(other.value)} {interval(other.low, other.high)} of the champion, at equal maturity"
        level = Level.NOTICED if is_beyond(mine, other) else Level.FINE
        yield view.found(
            _NAME, subject, level, told, measure=name,
            number=mine.value - other.value, limit=0.0, version=one.known.number,
        )  # fmt: skip


def _uneven(one: Labelled, other: Labelled) -> str:
    """Why their labels cannot be compared: as a sample ratio is tested, at one in a thousand."""
    (low, high), (least, most) = (share_bounds(arm.labelled, arm.rows, z=2.33) for arm in (one, other))
    if low <= most and least <= high:
        return ""
    shares = f"{one.share:.1%} of v{one.known.number} and {other.share:.1%} of v{other.known.number}"
    return f"labels come unevenly, so the two are not compared: {shares} are labelled"
