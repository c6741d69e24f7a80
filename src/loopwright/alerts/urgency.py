"""How urgent something is, and which event means what. A closed table: whoever writes a new kind of event adds it here.

Availability and latency page; what was taken back, or needs a person, notifies; input drift waits for the digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from loopwright.core.event import Event


class Urgency(Enum):
    """From the one that wakes somebody to the one that nobody waits for."""

    PAGE = "page"
    NOTIFY = "notify"
    TICKET = "ticket"
    DIGEST = "digest"

    @property
    def rank(self) -> int:
        return list(Urgency).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What an event is to an incident: it belongs to this cause, and opens it, or ends it."""

    urgency: Urgency
    cause: str
    """One incident a loop and cause. `{...}` is filled from the event's data."""
    ends: bool = False
    lasts: bool = False
    """Whether some other event ends it: until then it is so. Of others nobody says when they are over."""
    look: str = ""
    """The command that shows more; `{loop}`, `{id}` of the subject, and the event's data are filled in."""


def _opens(urgency: Urgency, cause: str, look: str = "") -> Meaning:
    return Meaning(urgency=urgency, cause=cause, look=look)


def _lasts(urgency: Urgency, cause: str, look: str = "") -> Meaning:
    return Meaning(urgency=urgency, cause=cause, look=look, lasts=True)


def _ends(cause: str) -> Meaning:
    return Meaning(urgency=Urgency.DIGEST, cause=cause, ends=True)


_RUN, _STATUS, _WHY_NOT = "lw show {id}", "lw release status {loop}", "lw why-not {loop}"
MEANINGS: Mapping[str, Meaning] = {
    "RunFailed": _lasts(Urgency.NOTIFY, "run failed", _RUN),
    "RunSucceeded": _ends("run failed"),
    "RetrainingFailed": _lasts(Urgency.NOTIFY, "retraining failed", _WHY_NOT),
    "RetrainingSucceeded": _ends("retraining failed"),
    "VersionRejected": _opens(Urgency.TICKET, "version rejected", "lw models {loop}"),
    "VersionRolledBack": _opens(Urgency.NOTIFY, "rolled back by route {route}", _STATUS),
    "DecayFound": _opens(Urgency.NOTIFY, "decay of v{version}", "lw monitor {loop}"),
    "DriftFound": _opens(Urgency.DIGEST, "drift", "lw monitor {loop}"),
    "SchemaChanged": _opens(Urgency.TICKET, "schema", "lw data schema"),
    "FindingRaised": _lasts(Urgency.DIGEST, "{monitor} {subject} of v{version}", "lw monitor {loop}"),
    "FindingCleared": _ends("{monitor} {subject} of v{version}"),
    "VersionNotLoaded": _opens(Urgency.TICKET, "version not loaded", "lw models {loop}"),
    "VersionCrashed": _opens(Urgency.TICKET, "version breaks workers", "lw release status {loop}"),
    "WorkerRecycled": _opens(Urgency.TICKET, "worker recycled", "lw events"),
    "JournalDegraded": _lasts(Urgency.PAGE, "journal", "lw events"),
    "JournalRecovered": _ends("journal"),
    "CompactionFailed": _opens(Urgency.TICKET, "compaction", "lw predictions compact"),
    "BatchFailed": _lasts(Urgency.NOTIFY, "batch failed", "lw predict --history"),
    "BatchSucceeded": _ends("batch failed"),
    "ReconcilerFailed": _lasts(Urgency.NOTIFY, "{reconciler} failed", "lw events"),
    "ReconcilerRecovered": _ends("{reconciler} failed"),
    "AlertUndelivered": _opens(Urgency.TICKET, "{to} is not reached", "lw alerts"),
}
MOVED = "ReleaseMoved"
_HOLDS = "release of v{challenger} holds"
_TAKEN_BACK = _opens(Urgency.NOTIFY, "v{challenger} rolled back", _STATUS)


def meanings(event: Event) -> tuple[Meaning, ...]:
    """What it is to incidents; nothing, as most of what goes well.

    >>> from datetime import UTC, datetime
    >>> from loopwright.core.event import Cause
    >>> cause = Cause(actor="monitor", at=datetime(2026, 1, 1, tzinfo=UTC))
    >>> [one.urgency.value for one in meanings(Event(kind="DecayFound", subject="loop:flights", cause=cause))]
    ['notify']
    """
    if event.kind == MOVED:
        return _of_a_move(str(event.data.get("verdict", "")))
    found = MEANINGS.get(event.kind)
    return () if found is None else (found,)


def _of_a_move(verdict: str) -> tuple[Meaning, ...]:
    """Whatever it does but hold, it holds no longer."""
    if verdict == "hold":
        return (_lasts(Urgency.NOTIFY, _HOLDS, _STATUS),)
    over = _ends(_HOLDS)
    return (over, _TAKEN_BACK) if verdict == "roll back" else (over,)
