"""How urgent something is, and which event means what. A closed table: whoever writes a new kind of event adds it here.

Availability and latency page; what was taken back, or needs a person, notifies; input drift waits for the digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

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
    look: str = ""
    """The command that shows more; `{loop}` and the event's data are filled in."""


def _opens(urgency: Urgency, cause: str, look: str = "") -> Meaning:
    return Meaning(urgency=urgency, cause=cause, look=look)


def _ends(cause: str) -> Meaning:
    return Meaning(urgency=Urgency.DIGEST, cause=cause, ends=True)


_RUN, _STATUS, _WHY_NOT = "lw show {id}", "lw release status {loop}", "lw why-not {loop}"
MEANINGS: Mapping[str, Meaning] = {
    "RunFailed": _opens(Urgency.NOTIFY, "run failed", _RUN),
    "RunSucceeded": _ends("run failed"),
    "RetrainingFailed": _opens(Urgency.NOTIFY, "retraining failed", _WHY_NOT),
    "RetrainingSucceeded": _ends("retraining failed"),
    "VersionRejected": _opens(Urgency.TICKET, "version rejected", "lw models {loop}"),
    "VersionRolledBack": _opens(Urgency.NOTIFY, "rolled back", _STATUS),
    "DecayFound": _opens(Urgency.NOTIFY, "decay", "lw monitor {loop}"),
    "DriftFound": _opens(Urgency.DIGEST, "drift", "lw monitor {loop}"),
    "SchemaChanged": _opens(Urgency.TICKET, "schema", "lw data schema"),
    "FindingRaised": _opens(Urgency.DIGEST, "{monitor} {subject}", "lw monitor {loop}"),
    "FindingCleared": _ends("{monitor} {subject}"),
    "VersionNotLoaded": _opens(Urgency.TICKET, "version not loaded", "lw models {loop}"),
    "WorkerRecycled": _opens(Urgency.TICKET, "worker recycled", "lw events"),
    "JournalDegraded": _opens(Urgency.PAGE, "journal", "lw events"),
    "JournalRecovered": _ends("journal"),
    "CompactionFailed": _opens(Urgency.TICKET, "compaction", "lw predictions compact"),
    "BatchFailed": _opens(Urgency.NOTIFY, "batch failed", "lw predict --history"),
    "BatchSucceeded": _ends("batch failed"),
    "ReconcilerFailed": _opens(Urgency.NOTIFY, "{reconciler} failed", "lw events"),
    "ReconcilerRecovered": _ends("{reconciler} failed"),
}
MOVED = "ReleaseMoved"
_MOVES: Mapping[str, Meaning] = {
    "hold": _opens(Urgency.NOTIFY, "release holds", _STATUS),
    "roll back": _opens(Urgency.NOTIFY, "rolled back", _STATUS),
    "resume": _ends("release holds"),
    "ramp": _ends("release holds"),
    "promote": _ends("release holds"),
    "finish": _ends("rolled back"),
    "abort": _ends("release holds"),
}


def meaning(event: Event) -> Meaning | None:
    """What it is to an incident; None where it is none, as most of what goes well.

    >>> from datetime import UTC, datetime
    >>> from loopwright.core.event import Cause
    >>> cause = Cause(actor="monitor", at=datetime(2026, 1, 1, tzinfo=UTC))
    >>> meaning(Event(kind="DecayFound", subject="loop:flights", cause=cause)).urgency
    <Urgency.NOTIFY: 'notify'>
    """
    if event.kind == MOVED:
        return _MOVES.get(_verdict(event.data))
    return MEANINGS.get(event.kind)


def _verdict(data: Mapping[str, Any]) -> str:
    decision = data.get("decision", data)
    return str(decision.get("verdict", "")) if isinstance(decision, Mapping) else ""
