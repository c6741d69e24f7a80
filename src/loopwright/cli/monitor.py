"""`lw monitor` and `lw findings`: what the monitors of a loop found, in one window or over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from loopwright.cli import text, words
from loopwright.core.finding import Finding, Level
from loopwright.core.plain import plain
from loopwright.data.printable import printable
from loopwright.errors import UsageError, VersionNotFound, did_you_mean
from loopwright.monitor.ages import in_words
from loopwright.system import System

MONITORS = ("operation", "input", "skew", "drift", "prediction", "quality", "estimate", "staleness", "outcome")
_LABELLED = ("quality", "outcome")
_RANK = {level: place for place, level in enumerate((Level.ALARMED, Level.NOTICED, Level.UNKNOWN, Level.FINE))}
_COLOURS = {Level.ALARMED: "red", Level.NOTICED: "yellow", Level.UNKNOWN: "cyan", Level.FINE: "green"}
_MOST = 1_000_000
"""Findings that are looked through at once."""
_SHARES = ("share", "error_share", "labelled_share")
_HEADER = ["", "UNTIL (UTC)", "MONITOR", "ABOUT", "VERSION", "MEASURE", "NUMBER", "LIMIT", "WHY"]


@words.command(words.root, "monitor", example="lw monitor flights --window 2013-06-03")
@click.argument("loop")
@click.option("--window", metavar="MOMENT", help="The window of event time that this moment lies in; else the newest.")
@click.option("--now", is_flag=True, help="Look at what is over first, as a process of lw up does.")
def monitor(
    loop: str, window: str | None, project: Path | None, flags: tuple[str, ...], as_json: bool, *, now: bool
) -> None:
    """Say what the monitors of LOOP found last, what alarms first."""
    with words.opened(project, flags) as opened:
        if now:
            _reconcile(opened)
        at = _moment(window, "--window")
        found = _newest(opened, loop) if at is None else _of_window(opened, loop, at)
        _refuse_unknown(opened, loop, found)
        if at is not None and not found:
            what = f"no window of {loop} that was looked at holds {window}"
            raise UsageError(what, where="--window", fix=f"see which there are: lw findings {loop}")
        _tell(loop, sorted(found, key=in_order), as_json=as_json, is_history=False)


@words.command(words.root, "findings", example="lw findings flights --monitor drift --since 2013-06-01")
@click.argument("loop")
@click.option("--monitor", "name", metavar="NAME", help=f"One of: {', '.join(MONITORS)}.")
@click.option("--about", metavar="SUBJECT", help="Only of this column, slice or metric.")
@click.option("--since", metavar="MOMENT", help="Only of windows that end after it.")
@click.option("--open", "is_open", is_flag=True, help="Only what is not as it should be.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=1000, show_default=True, help="How many.")
def findings(
    loop: str,
    name: str | None,
    about: str | None,
    since: str | None,
    limit: int,
    project: Path | None,
    flags: tuple[str, ...],
    as_json: bool,
    *,
    is_open: bool,
) -> None:
    """List what the monitors of LOOP found, window by window, newest first."""
    if name is not None and name not in MONITORS:
        raise UsageError(f"there is no monitor {name!r}", where="--monitor", fix=did_you_mean(name, MONITORS))
    with words.opened(project, flags) as opened:
        is_all = about is None and not is_open
        found = opened.stores.findings.list(
            loop, monitor=name, since=_moment(since, "--since"), limit=limit if is_all else _MOST
        )
        _refuse_unknown(opened, loop, found)
        kept = [one for one in found if about in (None, one.subject)]
        kept = [one for one in kept if not is_open or _is_open(one)][:limit]
        there = [] if kept or as_json else opened.stores.findings.newest(loop)
        if there:
            flagged = {"--monitor": name, "--about": about, "--since": since, "--open": "" if is_open else None}
            _tell_what_there_is(loop, there, flagged)
            return
        _tell(loop, kept, as_json=as_json, is_history=True)


def _reconcile(opened: System) -> None:
    from loopwright.monitor.reconciler import Monitors

    actor = opened.cause().actor
    monitors = Monitors(stores=opened.stores, workspace=opened.workspace, clock=opened.clock, actor=actor)
    while monitors.reconcile():
        pass


def _newest(opened: System, loop: str) -> Sequence[Finding]:
    """Of each subject the newest; of what waits for labels the newest that they sufficed for. What is fine and was not
    looked at in the newest window of its monitor is over, as is what is told of a version that answers no more."""
    newest, route = opened.stores.findings.newest(loop), opened.stores.routes.current(loop)
    last = {one.monitor: max(each.until for each in newest if each.monitor == one.monitor) for one in newest}
    answering = {None, *(arm.version for arm in route.arms)} if route else {one.version for one in newest}
    kept = [one for one in newest if one.until == last[one.monitor] or _is_open(one)]
    kept = [one for one in kept if one.version in answering]
    known = _told_with_labels(opened, loop) if any(one.monitor in _LABELLED for one in kept) else {}
    return [known.get(_about(one), one) if one.level is Level.UNKNOWN else one for one in kept]


def _told_with_labels(opened: System, loop: str) -> dict[tuple[str, str, int | None], Finding]:
    """The newest that labels sufficed for."""
    found: dict[tuple[str, str, int | None], Finding] = {}
    for name in _LABELLED:
        for one in opened.stores.findings.list(loop, monitor=name):
            if one.level is not Level.UNKNOWN:
                found.setdefault(_about(one), one)
    return found


def _about(one: Finding) -> tuple[str, str, int | None]:
    return one.monitor, one.subject, one.version


def _is_open(one: Finding) -> bool:
    return one.level in (Level.ALARMED, Level.NOTICED)


def _of_window(opened: System, loop: str, at: datetime) -> Sequence[Finding]:
    found = opened.stores.findings.list(loop, since=at, limit=_MOST)
    return [one for one in found if one.since <= at < one.until]


def _refuse_unknown(opened: System, loop: str, found: Sequence[Finding]) -> None:
    """Raises `VersionNotFound` for a loop that has neither findings nor a version."""
    if not found:
        try:
            opened.stores.versions.get(loop, "newest")
        except VersionNotFound:
            if opened.stores.routes.current(loop) is None:
                raise


def _moment(given: str | None, option: str) -> datetime | None:
    """Without a zone it is UTC."""
    if given is None:
        return None
    try:
        found = datetime.fromisoformat(given)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        fix = "write a day or a moment: 2013-06-03, 2013-06-03T12:00:00Z"
        raise UsageError(f"{given!r} is no moment", where=option, fix=fix) from None


def _tell(loop: str, found: Sequence[Finding], *, as_json: bool, is_history: bool) -> None:
    if as_json:
        words.print_json([_json(one) for one in found])
        return
    if not found:
        click.echo(f"the monitors of {loop} found nothing yet; let them look: lw monitor {loop} --now")
        return
    if not is_history:
        last = max(found, key=lambda one: one.until)
        click.echo(f"{loop}, {_window(last)} UTC, as known at {text.moment(last.known_at)}: {_counted(found)}")
    click.echo(text.columns(map(_row, found), _HEADER))


def _tell_what_there_is(loop: str, there: Sequence[Finding], flagged: Mapping[str, str | None]) -> None:
    """In place of findings, where none fits what was asked: how far windows go, and what is looked at in them."""
    asked = " ".join(f"{option} {given}".rstrip() for option, given in flagged.items() if given is not None)
    last = max(one.until for one in there)
    click.echo(f"nothing that the monitors of {loop} found fits {asked}; up to {_minute(last)} UTC they looked at")
    subjects = {name: sorted({one.subject for one in there if one.monitor == name}) for name in MONITORS}
    rows = [[name, printable(_some(found))] for name, found in subjects.items() if found]
    click.echo(text.columns(rows, ["MONITOR", "ABOUT"]))


def _some(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _counted(found: Sequence[Finding]) -> str:
    counts = {level: sum(one.level is level for one in found) for level in _RANK}
    return ", ".join(f"{count} {level.value}" for level, count in counts.items() if count)


def in_order(one: Finding) -> tuple[int, int, float, str, str, int]:
    """What alarms first; then as people look, and of inputs that moved those first that moved by much and matter."""
    monitor = MONITORS.index(one.monitor) if one.monitor in MONITORS else len(MONITORS)
    return _RANK[one.level], monitor, -_weight(one), one.measure, one.subject, one.version or 0


def _weight(one: Finding) -> float:
    """Effect times importance; of an input whose importance is not known, as if it were the most important."""
    if one.monitor not in ("skew", "drift") or one.number is None:
        return 0.0
    if one.subject == "all":
        return float("inf")
    importance = one.evidence.get("importance")
    return one.number * (1.0 if importance is None else float(importance))


def _row(one: Finding) -> list[str]:
    return [
        click.style(one.level.value, fg=_COLOURS[one.level]),
        _minute(one.until),
        one.monitor,
        printable(one.subject),
        "" if one.version is None else f"v{one.version}",
        one.measure,
        amount(one.number, one.measure),
        amount(one.limit, one.measure),
        printable(one.reason if len(one.reason) <= 140 else f"{one.reason[:137]}..."),
    ]


def amount(value: float | None, measure: str) -> str:
    """As people read it, with its unit where the measure has one.

    >>> amount(5.552e-07, "psi"), amount(0.00006, "effect"), amount(0.68124, "roc_auc"), amount(123_456.7, "mae")
    ('<0.00001', '0.00006', '0.6812', '123,457')
    >>> amount(0.0123, "error_share"), amount(12.34, "latency_p99_ms"), amount(0.125, "age_days"), amount(None, "mae")
    ('1.23 %', '12.3 ms', '3 hours', '')
    """
    if value is None:
        return ""
    if measure == "age_days":
        return in_words(value)
    if measure in _SHARES:
        return f"{_plainly(value * 100, digits=3)} %"
    return f"{_plainly(value, digits=3)} ms" if measure.endswith("_ms") else _plainly(value)


def _plainly(value: float, digits: int = 4) -> str:
    """So many digits that say something, none of them after the fifth decimal, and no powers of ten."""
    if value == 0:
        return "0"
    if abs(value) < 0.000_01:
        return "<0.00001" if value > 0 else ">-0.00001"
    places = min(max(digits - 1 - math.floor(math.log10(abs(value))), 0), 5)
    told = f"{value:,.{places}f}"
    return told.rstrip("0").rstrip(".") if places else told


def _window(one: Finding) -> str:
    return f"{_minute(one.since)} to {_minute(one.until)}"


def _minute(at: datetime) -> str:
    """With its seconds only where a window begins or ends between two minutes."""
    return text.moment(at) if at.second else f"{at:%Y-%m-%d %H:%M}"


def _json(one: Finding) -> dict[str, Any]:
    told = {name: getattr(one, name) for name in ("loop", "monitor", "subject", "version", "measure", "reason")}
    moments = {name: plain(getattr(one, name)) for name in ("since", "until", "known_at")}
    numbers = {"level": one.level.value, "number": one.number, "limit": one.limit}
    return {**told, **moments, **numbers, "evidence": dict(one.evidence)}
