"""What became of a loop's batches, read from their events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from loopwright.core.event import Event
from loopwright.core.stores import Events
from loopwright.predictions.job import BEGAN, FAILED, SUCCEEDED, subject

_AT_ONCE = 1000
Status = Literal["unfinished", "succeeded", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch, over all its attempts."""

    batch: str
    status: Status = "unfinished"
    """Of one that is at work, or was killed: unfinished."""
    actor: str
    began_at: datetime
    ended_at: datetime | None = None
    version: int
    source: str
    target: str
    due: str | None = None
    missed: int = 0
    schedule: str = ""
    rows: int | None = None
    error: str | None = None


def batches(events: Events, loop: str) -> Sequence[Batch]:
    """Newest first."""
    found: dict[str, Batch] = {}
    for event in _all(events, loop):
        data, moment = event.data, event.cause.at
        if event.kind == BEGAN:
            known = found.pop(data["batch"], None)
            found[data["batch"]] = Batch(
                batch=data["batch"],
                actor=event.cause.actor,
                began_at=known.began_at if known else moment,
                version=data["version"],
                source=data["source"],
                target=data["target"],
                due=data.get("due"),
                missed=data.get("missed", 0),
                schedule=data.get("schedule", ""),
            )
        elif data.get("batch") in found and event.kind in (SUCCEEDED, FAILED):
            status: Status = "succeeded" if event.kind == SUCCEEDED else "failed"
            found[data["batch"]] = replace(
                found[data["batch"]], status=status, ended_at=moment, rows=data.get("rows"), error=data.get("error")
            )
    return list(reversed(found.values()))


def last_due(events: Events, loop: str, target: str) -> datetime | None:
    """The newest due time that was met, by success or failure, for a target as a schedule was given it."""
    ended = [one for one in batches(events, loop) if one.due and one.status != "unfinished"]
    met = [one.due for one in ended if one.due and one.schedule == target]
    return max(map(datetime.fromisoformat, met), default=None)


def _all(events: Events, loop: str) -> Iterator[Event]:
    after = 0
    while some := events.list(subject=subject(loop), after=after, limit=_AT_ONCE):
        yield from some
        after = some[-1].number
