"""How far a loop's monitors got: what is written with every window, and read before the next. Small, and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from loopwright.core.finding import Finding, Level
from loopwright.monitor.watched import moment
from loopwright.monitor.windows import Pending, Window, is_set_back, window_of

_PENDING = 512
"""Windows at most that are told again: of a horizon of many short ones the oldest are final sooner."""
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

    @classmethod
    def of(cls, kept: Mapping[str, Any] | None, length: timedelta) -> State:
        """As it was kept; in the grid of windows of this length."""
        if kept is None:
            return cls(length=length)
        pending = tuple(_pending(one) for one in kept["pending"])
        found = cls(
            **{
                **kept,
                "length": timedelta(seconds=kept["length"]),
                "next": moment(kept["next"]),
                "spans": tuple(map(datetime.fromisoformat, kept["spans"])),
                "pending": pending,
                "open": tuple(kept["open"]),
                "alarmed": tuple(kept["alarmed"]),
                "newest_label": moment(kept["newest_label"]),
            }
        )
        return found if found.length == length else found._of_another_length(length)

    def _of_another_length(self, length: timedelta) -> State:
        """Windows of another length are not compared with those before."""
        begins = None if self.next is None else window_of(self.next, length).since
        return replace(self, length=length, next=begins, spans=(), pending=(), estimates={})

    def to_dict(self) -> dict[str, Any]:
        return {
            "length": self.length.total_seconds(),
            "next": _text(self.next),
            "spans": [_text(one) for one in self.spans],
            "pending": [
                [_text(one.window.since), _text(one.window.until), one.age, _text(one.fed), one.rows, one.labelled]
                for one in self.pending
            ],
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
        again = spans[-1] + self.length if spans else begins
        known = None if self.newest_label is None else min(self.newest_label, now)
        return replace(self, next=again, pending=pending, spans=spans, newest_label=known, is_quiet=False)

    def passed(self, window: Window, rows: int) -> State:
        """The window is over, and was looked at."""
        if not rows:
            return replace(self, next=window.until, is_quiet=True)
        pending = (*(one for one in self.pending if one.window != window), Pending(window=window, age=0, rows=rows))
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


def name_of(one: Finding) -> str:
    """What a finding is about, whichever window."""
    version = "" if one.version is None else f" v{one.version}"
    return f"{one.monitor}/{one.subject}{version}"


def _pending(told: Sequence[Any]) -> Pending:
    since, until = datetime.fromisoformat(told[0]), datetime.fromisoformat(told[1])
    window = Window(since=since, until=until)
    return Pending(window=window, age=told[2], fed=moment(told[3]), rows=told[4], labelled=told[5])


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
