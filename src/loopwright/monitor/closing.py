"""One window of one loop, closed: all monitors over one pass of its lines, then its labels and those of older ones.

From a state to the next state with what is told on the way: nothing is written here, and nothing kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from loopwright.core.finding import Finding, Level
from loopwright.core.version import Route
from loopwright.monitor import decay, spans
from loopwright.monitor.drifting import answers, drifted, skewed
from loopwright.monitor.estimate import estimate, estimated
from loopwright.monitor.inputs import inputs
from loopwright.monitor.looking import Seen, look
from loopwright.monitor.machine import Machine
from loopwright.monitor.maturing import Joined, Matured, calibration_of, due, learned, mature
from loopwright.monitor.operation import operation
from loopwright.monitor.pieces import first_moment, kinds_of, pieces
from loopwright.monitor.quality import metrics_of_task
from loopwright.monitor.retired import over, retired
from loopwright.monitor.staleness import staleness
from loopwright.monitor.state import State, name_of
from loopwright.monitor.view import Span, View
from loopwright.monitor.watched import Known, Watched
from loopwright.monitor.windows import Window, window_of
from loopwright.predictions.blocks import Stretches
from loopwright.predictions.failures import since as failures_since

Told = tuple[str, str, Mapping[str, Any]]
"""An event: kind, subject, data."""
_NOTHING = Seen(rows=Counter(), inputs=None, wrong=Counter(), unlike=0, said={})
_QUIET = ("drift", "skew")
"""Monitors of so many columns that only those are told of which there is something to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """A loop in one pass."""

    workspace: Path
    watched: Watched
    now: datetime
    known: Callable[[int], Known | None]
    joined: Joined
    stretches: Stretches
    """Of the lines that were read before."""
    routes: Sequence[Route]
    """Newest first."""
    machine: Callable[[], Machine] | None = None
    """How it is asked; None: not."""

    def champion_at(self, moment: datetime) -> Known | None:
        """Who was champion then."""
        then = next((one for one in self.routes if one.at <= moment), self.routes[-1] if self.routes else None)
        return None if then is None or then.champion is None else self.known(then.champion)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What a pass came to."""

    state: State
    findings: tuple[Finding, ...]
    events: tuple[Told, ...]


def close(watching: Watching, state: State, window: Window) -> Closed:
    """Look at a window that is over."""
    champion = watching.champion_at(window.until)
    contract = None if champion is None else champion.contract
    kinds = kinds_of(lambda number: None if (one := watching.known(number)) is None else one.contract)
    lines = pieces(watching.workspace, watching.watched.loop, window, kinds, watching.stretches)
    seen = look(lines, contract, watching.known)
    failures = failed(watching.workspace, watching.watched.loop, window)
    before = tuple(_before(watching, state, champion, kinds))
    view = View(
        watched=watching.watched, window=window, known_at=watching.now, champion=champion, seen=seen, before=before
    )
    if not seen.total and not failures:
        return _empty(watching, state, view)
    spans.keep(watching.workspace, watching.watched.loop, window.since, seen)
    is_newest = watching.now - window.until < window.length
    machine = watching.machine() if watching.machine is not None and is_newest else None
    found = [*operation(view, failures, machine), *inputs(view), *skewed(view), *drifted(view), *answers(view)]
    expected = _estimated(view, state)
    found += _first_estimates(view, expected)
    passed = state.passed(window, seen.rows)
    passed = replace(passed, estimates=dict(state.estimates) | {window.since.isoformat(): expected})
    return _with_labels(watching, state, passed, view, found)


def again(watching: Watching, state: State) -> Closed | None:
    """Tell windows again whose labels came meanwhile; None where none is due."""
    window = window_of(watching.now, state.length)
    view = View(
        watched=watching.watched, window=window, known_at=watching.now, champion=watching.champion_at(watching.now),
        seen=_NOTHING,
    )  # fmt: skip
    windows = due(state, view)
    if not windows:
        return None
    done = mature(state, windows, replace(view, window=windows[-1].window), watching.known, watching.joined)
    return _settled(watching, state, replace(view, window=windows[-1].window), done, [])


def _with_labels(watching: Watching, before: State, state: State, view: View, found: list[Finding]) -> Closed:
    windows = [one for one in due(state, view) if one.window != view.window]
    windows += [one for one in state.pending if one.window == view.window]
    return _settled(watching, before, view, mature(state, windows, view, watching.known, watching.joined), found)


def _settled(watching: Watching, before: State, view: View, done: Matured, found: list[Finding]) -> Closed:
    """With what is told of labels; and what changed since the state before."""
    was = None if view.champion is None else decay.Watch.of(view.champion, before.decay)
    watch = None if was is None else was.fed(done.told, watching.now)
    findings = [*found, *done.findings, *staleness(view, done.state.newest_label)]
    events = list[Told]()
    if was is not None and watch is not None and view.champion is not None:
        findings += decay.decay(view, watch)
        if watch.alarmed_at is not None and was.alarmed_at is None:
            events.append(decay.event(view, watch, view.champion))
    findings += _cleared(view, before, findings)
    left = retired(before, done.state, watching.watched.route, findings)
    findings += over(view, before, left)
    versions = [arm.version for arm in watching.watched.route.arms]
    state = replace(
        done.state,
        decay=before.decay if watch is None else watch.to_dict(),
        calibrations=learned(before.calibrations, done.told, versions),
    ).told(findings)
    state = state.without(left)
    drift = _drift(view, findings)
    if drift is not None and drift != before.drift_told:
        events.append(("DriftFound", f"loop:{view.watched.loop}", {**drift, "window": str(view.window)}))
    if view.seen.inputs is not None:
        state = replace(state, drift_told=drift)
    events += _raised(before, state, findings)
    return Closed(state=state, findings=tuple(_worth_telling(before, findings)), events=tuple(events))


def _empty(watching: Watching, state: State, view: View) -> Closed:
    """Nobody asked: all that is empty from here on is told with the first window of it."""
    loop, length = view.watched.loop, state.length
    first = first_moment(watching.workspace, loop, view.window.until)
    ends = window_of(watching.now if first is None else min(first, watching.now), length).since
    quiet = Window(since=view.window.since, until=max(ends, view.window.until))
    passed = state.passed(quiet, {})
    done = mature(passed, due(passed, view), view, watching.known, watching.joined)
    return _settled(watching, state, view, done, list(operation(view, Counter(), quiet_until=quiet.until)))


def _before(watching: Watching, state: State, champion: Known | None, kinds: Any) -> Iterator[Span]:
    """The windows before, as they were kept, or looked at again."""
    for since in state.spans:
        kept = spans.kept(watching.workspace, watching.watched.loop, since)
        if kept is None:
            window = Window(since=since, until=window_of(since, state.length).until)
            lines = pieces(watching.workspace, watching.watched.loop, window, kinds, watching.stretches)
            contract = None if champion is None else champion.contract
            kept = spans.span_of(look(lines, contract, watching.known))
        if kept.rows:
            yield kept


def failed(workspace: Path, loop: str, window: Window) -> Counter[str]:
    """Rows that models failed in the window, by kind. Shadows are heard by nobody."""
    found = Counter[str]()
    for one in failures_since(workspace, loop, window.since):
        if not one.shadow and one.at < window.until:
            found[one.kind] += one.rows
    return found


def _estimated(view: View, state: State) -> dict[str, Any]:
    """By version, before the labels of this window are learned from."""
    found = dict[str, Any]()
    for number, said in view.seen.said.items():
        if said.scores is None:
            continue
        calibration = calibration_of(state.calibrations, said.known)
        told = estimated(said, calibration, metrics_of_task(view, said.known))
        rows = calibration.rows if calibration.is_enough else 0
        found[str(number)] = {"told": told, "rows": said.scores.rows, "calibrated": rows}
    return found


def _first_estimates(view: View, expected: Mapping[str, Any]) -> Iterator[Finding]:
    for version, one in expected.items():
        if not one["told"]:
            yield from estimate(view, int(version), {}, rows=one["rows"], calibrated=0)


def _drift(view: View, findings: Sequence[Finding]) -> dict[str, Any] | None:
    """What drifted and what is suspected, as runs tell it; None where nothing drifted."""
    mine = [one for one in findings if one.monitor in _QUIET and one.subject != "all"]
    columns = {
        named: sorted({one.subject for one in mine if one.level is level})
        for named, level in (("drifted", Level.ALARMED), ("suspected", Level.NOTICED))
    }
    if not columns["drifted"]:
        return None
    suspected = [name for name in columns["suspected"] if name not in columns["drifted"]]
    champion = None if view.champion is None else view.champion.version.name
    return {"champion": champion, "drifted": columns["drifted"], "suspected": suspected}


def _cleared(view: View, before: State, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Columns that broke a limit, and do not any more; and those that drifted, and are no inputs any more."""
    if view.seen.inputs is None or not view.seen.inputs.rows:
        return
    named = {name_of(one) for one in findings}
    inputs_now = {"all"} if view.champion is None else {"all", *view.champion.contract.names}
    for name in before.open:
        monitor, _, subject = name.partition("/")
        if monitor == "input" and name not in named:
            yield view.found(monitor, subject, Level.FINE, "it breaks no limit any more", measure="limits", number=0)
        elif monitor == "drift" and view.champion is not None and subject not in inputs_now:
            told = f"{view.champion.version.name} takes no such input"
            yield view.found(monitor, subject, Level.FINE, told, measure="effect")


def _worth_telling(before: State, findings: Sequence[Finding]) -> Iterator[Finding]:
    for one in findings:
        is_quiet = one.monitor in _QUIET and one.subject != "all" and one.level in (Level.FINE, Level.UNKNOWN)
        if not is_quiet or name_of(one) in before.open:
            yield one


def _raised(before: State, after: State, findings: Sequence[Finding]) -> Iterator[Told]:
    """What alarms no more, and what does now; each with the finding that says so."""
    newest = {name_of(one): one for one in sorted(findings, key=lambda each: each.since)}
    for kind, names in (
        ("FindingCleared", set(before.alarmed) - set(after.alarmed)),
        ("FindingRaised", set(after.alarmed) - set(before.alarmed)),
    ):
        for name in sorted(names):
            one = newest[name]
            told = {
                "monitor": one.monitor, "subject": one.subject, "version": one.version, "measure": one.measure,
                "number": one.number, "limit": one.limit, "reason": one.reason,
                "since": one.since.isoformat(), "until": one.until.isoformat(),
            }  # fmt: skip
            yield kind, f"loop:{one.loop}", told
