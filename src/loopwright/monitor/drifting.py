"""Whether inputs and answers moved: against what the champion was trained on, and from window to window.

A column alarms when two windows in a row differ from the same reference: of skew, the training rows; of drift, the
window before both. The statistics are those that tables are compared by.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loopwright.core.finding import Finding, Level
from loopwright.data.drift import drift
from loopwright.data.drifted import ColumnDrift, Drift, Standing
from loopwright.data.profile import Profile
from loopwright.data.schema import Schema
from loopwright.data.skew import skew
from loopwright.monitor.view import View

_OF_INPUTS = ("skew", "drift")
_LEVELS = {
    Standing.DRIFTED: Level.ALARMED,
    Standing.SUSPECTED: Level.NOTICED,
    Standing.NOT_ENOUGH: Level.UNKNOWN,
    Standing.STEADY: Level.FINE,
    Standing.NOT_COMPARED: Level.UNKNOWN,
}


def skewed(view: View) -> Iterator[Finding]:
    """The window against the rows that the champion was trained on."""
    champion, now = view.champion, view.seen.inputs
    if champion is None or champion.training is None:
        yield _nothing(view, "skew", "there is no champion that says what it was trained on")
        return
    if now is None or not now.rows:
        yield _nothing(view, "skew", view.why_no_rows)
        return
    training = champion.training.only([name for name in champion.training.kinds if name in champion.contract.names])
    schema, previous = champion.contract, None
    aside = _moves_on(schema)
    if view.before and view.before[-1].inputs is not None:
        previous = skew(training, view.before[-1].inputs, schema=schema, leave_out=aside)
    found = skew(training, now.profile(), schema=schema, previous=previous, leave_out=aside)
    yield from _told(view, "skew", found, f"the training rows of {champion.version.name}", champion.number)


def drifted(view: View) -> Iterator[Finding]:
    """The window, and the one before it, against the one before both."""
    now, champion = view.seen.inputs, view.champion
    before = [one.inputs for one in view.before if one.inputs is not None and one.inputs.rows]
    if now is None or champion is None or not now.rows:
        yield _nothing(view, "drift", view.why_no_rows)
        return
    if not before:
        yield _nothing(view, "drift", "not enough data: there is no window before this one")
        return
    found = _against(before, now.profile(), champion.contract)
    yield from _told(view, "drift", found, "the window before both" if len(before) > 1 else "the window before", None)


def answers(view: View) -> Iterator[Finding]:
    """What each version says: shares of classes, scores or values, from window to window."""
    for number, said in sorted(view.seen.said.items()):
        before = [one.answers[number] for one in view.before if number in one.answers]
        shares = _shares(said.profile)
        if not before:
            yield view.found(
                "prediction", "all", Level.UNKNOWN, "not enough data: it answered in no window before this one",
                measure="effect", version=number, rows=said.profile.rows, shares=shares,
            )  # fmt: skip
            continue
        found = _against(before, said.profile, None)
        yield from _told(view, "prediction", found, "the windows before", number, shares=shares)


def _shares(profile: Profile) -> dict[str, float]:
    """Of the classes that were said, most frequent first."""
    seen = profile.column("predicted")
    if seen.kind != "string" or not seen.rows:
        return {}
    return {name: count / seen.rows for name, count in list((seen.values or {}).items())[:20]}


def _against(before: list[Profile], now: Profile, schema: Schema | None) -> Drift:
    reference = before[0]
    aside = frozenset() if schema is None else _moves_on(schema)
    previous = drift(reference, before[1], schema=schema, leave_out=aside) if len(before) > 1 else None
    return drift(reference, now, schema=schema, previous=previous, leave_out=aside)


def _moves_on(schema: Schema) -> frozenset[str]:
    return frozenset([*schema.key, *([schema.time] if schema.time else [])])


def _nothing(view: View, monitor: str, reason: str) -> Finding:
    return view.found(monitor, "all", Level.UNKNOWN, reason, measure="effect", rows=view.seen.total)


def _told(
    view: View, monitor: str, found: Drift, reference: str, version: int | None, **more: Any
) -> Iterator[Finding]:
    """A finding a column, and one for all of them: the worst."""
    worth = view.worth if monitor in _OF_INPUTS else {}
    for column in found.columns:
        yield view.found(
            monitor, column.name, _LEVELS[column.standing], _reason(column, found), measure="effect",
            number=column.effect, limit=max(column.floor, column.noise), version=version,
            importance=worth.get(column.name), **_evidence(column, found),
        )  # fmt: skip
    first = found.columns[0] if found.columns else None
    told = f"against {reference}: {str(found).partition(chr(10))[0]}{_more(found)}"
    yield view.found(
        monitor, "all", _LEVELS[found.standing], told,
        measure="effect", number=None if first is None else first.effect,
        limit=None if first is None else max(first.floor, first.noise), version=version,
        rows=found.current_rows, reference_rows=found.reference_rows, more_rows=found.more_rows,
        drifted=[one.name for one in found.drifted], suspected=[one.name for one in found.suspected], **more,
    )  # fmt: skip


def _more(found: Drift) -> str:
    return f"; not enough data: {found.more_rows:,} more rows say that nothing moved" if found.more_rows else ""


def _reason(column: ColumnDrift, found: Drift) -> str:
    if column.standing is Standing.NOT_ENOUGH:
        return f"not enough data: {found.more_rows:,} more rows; {column}"
    return str(column)


def _evidence(column: ColumnDrift, found: Drift) -> dict[str, Any]:
    return {
        "rows": found.current_rows,
        "reference_rows": found.reference_rows,
        "p": column.p,
        "false_discovery_rate": column.false_discovery_rate,
        "distances": dict(column.distances),
        "missing": column.missing,
        "median": column.median,
        "moved": [[one.value, one.before, one.after] for one in column.moved],
    }
