"""How far a loop's monitors got: what is written with every window, and read before the next. Small, and JSON."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from loopwright.core.finding import Finding, Level
from loopwright.monitor.declare import MOST_WAITING
from loopwright.monitor.watched import moment
from loopwright.monitor.windows import Pending, Window, is_set_back, window_of

_PENDING = MOST_WAITING + 2
"""Windows at most that are told again, with the newest and one that is final now. More there are only where an older
version let them be declared: of those the oldest are told no more."""
_TOLD_AGAIN = ("quality", "estimate", "outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """After some windows."""

    length: timedelta
    next: datetime | None = None
    """Where the next window begins; None while nothing was predicted."""
    spans: tuple[datetime, ...] = ()
    """The last windows that had rows: two at most, oldest first."""
    pending: tuple[Pending, ...] = ()
    """Windows whose labels still come, oldest first."""
    estimates: Mapping[str, Any] = field(default_factory=dict)
    """Of the pending windows, by their beginning: what was expected, by version."""
    open: tuple[str, ...] = ()
    """What is not as it should be, by monitor, subject and version."""
    settled: Mapping[str, str] = field(default_factory=dict)
    """Of what is told again: the newest window that said something of it."""
    alarmed: tuple[str, ...] = ()
    """What of it alarms."""
    decay: Mapping[str, Any] | None = None
    calibrations: Mapping[str, Any] = field(default_factory=dict)
    """By version."""
    drift_told: Mapping[str, Any] | None = None
    """Champion and columns of the newest `DriftFound`."""
    newest_label: datetime | None = None
    is_quiet: bool = False
    """Whether nothing was predicted up to `next` since the last window that had rows."""
    unread: tuple[str, ...] = ()
    """Parts of what was kept that could not be read, and began anew. Not kept."""

    @classmethod
    def of(cls, kept: Mapping[str, Any] | None, length: timedelta) -> State:
        """As it was kept; in the grid of windows of this length. A part that is not there, for an older version wrote
        it, is as at first, and one that cannot be read as well: it is among the `unread`."""
        if kept is None:
            return cls(length=length)
        parts, unread = dict[str, Any](), list[str]()
        for name in _READERS.keys() & kept.keys():
            try:
                parts[name] = _READERS[name](kept[name])
            except (KeyError, IndexError, TypeError, ValueError, AttributeError):
                unread.append(name)
        found = cls(**{"length": length, **parts, "unread": tuple(sorted(unread))})
        return found if found.length == length else found._of_another_length(length)

    def _of_another_length(self, length: timedelta) -> State:
        """Windows of another length are not compared with those before, and begin where those ended: those whose labels
        still come stay as they are."""
        return replace(self, length=length, spans=())

    def to_dict(self) -> dict[str, Any]:
        return {
            "length": self.length.total_seconds(),
            "next": _text(self.next),
            "spans": [_text(one) for one in self.spans],
            "pending": [_listed(one) for one in self.pending],
            "estimates": dict(self.estimates),
            "open": list(self.open),
            "alarmed": list(self.alarmed),
            "settled": dict(self.settled),
            "decay": self.decay,
            "calibrations": dict(self.calibrations),
            "drift_told": self.drift_told,
            "newest_label": _text(self.newest_label),
            "is_quiet": self.is_quiet,
        }

    def at(self, now: datetime) -> State:
        """With a clock that was set back: what was closed beyond it, and what was empty before, is closed again."""
        if self.next is None or not is_set_back(self.next, self.length, now):
            return self
        begins = window_of(now, self.length).since
        pending = tuple(
            replace(one, fed=None if one.fed is None else min(one.fed, now))
            for one in self.pending
            if one.window.since < begins
        )
        spans = tuple(one for one in self.spans if one < begins)
        again = window_of(spans[-1], self.length).until if spans else begins
        again = max([again, *(one.window.until for one in pending)])  # of windows that were longer
        known = None if self.newest_label is None else min(self.newest_label, now)
        return replace(self, next=again, pending=pending, spans=spans, newest_label=known, is_quiet=False)

    def passed(self, window: Window, rows: Mapping[int, int]) -> State:
        """The window is over, and was looked at: rows by version."""
        count = sum(rows.values())
        if not count:
            return replace(self, next=window.until, is_quiet=True)
        new = Pending(window=window, age=0, rows=count, versions=tuple(sorted(rows)))
        pending = (*(one for one in self.pending if one.window != window), new)
        return replace(
            self,
            next=window.until,
            spans=(*self.spans, window.since)[-2:],
            pending=pending[-_PENDING:],
            is_quiet=False,
        )

    def told(self, findings: Sequence[Finding]) -> State:
        """Which subjects are open and alarmed after these. An older window says nothing about what a newer one did, and
        one without enough data nothing at all."""
        is_open, alarmed, settled = set(self.open), set(self.alarmed), dict(self.settled)
        for one in sorted(findings, key=lambda each: each.since):
            name, since = name_of(one), one.since.isoformat()
            if one.level is Level.UNKNOWN or settled.get(name, "") > since:
                continue
            if one.monitor in _TOLD_AGAIN:
                settled[name] = since
            for names, levels in ((is_open, (Level.NOTICED, Level.ALARMED)), (alarmed, (Level.ALARMED,))):
                (names.add if one.level in levels else names.discard)(name)
        return replace(self, open=tuple(sorted(is_open)), alarmed=tuple(sorted(alarmed)), settled=settled)

    def without(self, names: Collection[str]) -> State:
        """Nothing is known of these any more."""
        is_open, alarmed = (tuple(one for one in found if one not in names) for found in (self.open, self.alarmed))
        settled = {name: since for name, since in self.settled.items() if name not in names}
        return replace(self, open=is_open, alarmed=alarmed, settled=settled)


def name_of(one: Finding) -> str:
    """What a finding is about, whichever window."""
    version = "" if one.version is None else f" v{one.version}"
    return f"{one.monitor}/{one.subject}{version}"


_USUAL: Sequence[Any] = (0, 0, ())
"""Of what a pending window has only since later versions."""


def _listed(one: Pending) -> list[Any]:
    window = one.window
    return [_text(window.since), _text(window.until), one.age, _text(one.fed), one.rows, one.labelled, [*one.versions]]


def _pending(told: Sequence[Any]) -> Pending:
    since, until = datetime.fromisoformat(told[0]), datetime.fromisoformat(told[1])
    window = Window(since=since, until=until)
    rows, labelled, versions = [*told[4:], *_USUAL[len(told) - 4 :]]
    return Pending(
        window=window, age=int(told[2]), fed=moment(told[3]), rows=int(rows), labelled=int(labelled),
        versions=tuple(map(int, versions)),
    )  # fmt: skip


def _estimates(told: Mapping[str, Any]) -> dict[str, Any]:
    """By window and version."""
    kinds = {"told": dict, "rows": int, "calibrated": int}
    return {
        since: {version: {name: kind(one[name]) for name, kind in kinds.items()} for version, one in by_version.items()}
        for since, by_version in told.items()
    }


def _texts(told: Sequence[str]) -> tuple[str, ...]:
    if isinstance(told, str):
        raise TypeError(f"{told!r} is no list")
    return tuple(map(str, told))


def _maybe(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if told is None else dict(told)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "length": lambda told: timedelta(seconds=told),
    "next": moment,
    "spans": lambda told: tuple(map(datetime.fromisoformat, told)),
    "pending": lambda told: tuple(map(_pending, told)),
    "estimates": _estimates,
    "open": _texts,
    "alarmed": _texts,
    "settled": lambda told: {str(name): str(since) for name, since in told.items()},
    "decay": _maybe,
    "calibrations": dict,
    "drift_told": _maybe,
    "newest_label": moment,
    "is_quiet": bool,
}
"""Of each part, from JSON."""


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
