"""What the times of rows tell: rows of a time that has not come, and stretches without rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from loopwright.data.check_texts import counted
from loopwright.data.contradictions import moment as moment_of
from loopwright.data.finding_kinds import finding
from loopwright.data.findings import Finding
from loopwright.data.gaps import gaps
from loopwright.data.schema import Column, Schema
from loopwright.data.schema_file import accept_kind
from loopwright.data.seen import Seen
from loopwright.data.sketch import TimeSketch
from loopwright.data.summary import minute

_HOURS_OF_A_YEAR = 8766


def check_times(seen: Seen, schema: Schema, now: datetime | None) -> Iterator[Finding]:
    """Of the table's own time, and of all columns that rise."""
    for column in schema.columns:
        sketch = seen.sketches.get(column.name)
        if not isinstance(sketch, TimeSketch) or column.kind != "time":
            continue
        if column.order == "rising" or column.name == schema.time:
            yield from _future(column, sketch, moment_of(_text(seen.columns[column.name].high)), now)
            yield from _gaps(column.name, sketch, accept_kind(column, column.name, "gap in time"))


def _future(column: Column, sketch: TimeSketch, high: datetime | None, now: datetime | None) -> Iterator[Finding]:
    if now is not None and high is not None and high > now:
        count = _after(sketch, now)
        told = f"{column.name!r} reaches on to {high.isoformat()}; it is {now.isoformat(timespec='seconds')}"
        told += f" (about {counted(count, 'row')})"
        fix = "look at the clock and the time zone of the source, and for dates that stand for no date"
        accept = accept_kind(column, column.name, "rows from the future")
        yield finding(
            "rows from the future", told, fix, column=column.name, number=count, limit=now.isoformat(), accept=accept
        )


def _gaps(name: str, sketch: TimeSketch, accept: str) -> Iterator[Finding]:
    for start, end in gaps(sketch):
        hours = (end - start) / 3_600_000_000
        between = f"{minute(start)} to {minute(end)}"
        told = f"{name!r} has no rows from about {between} ({_length(hours)})"
        fix = "look for rows that did not arrive"
        yield finding("gap in time", told, fix, column=name, number=hours, accept=accept)


def _after(sketch: TimeSketch, now: datetime) -> int:
    microseconds = (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    cells = sketch.cells()
    return max(round(float(cells.tallies[:, 0].sum() - cells.below(np.array([float(microseconds)]))[0])), 1)


def _length(hours: float) -> str:
    if hours >= 2 * _HOURS_OF_A_YEAR:
        return f"{hours / _HOURS_OF_A_YEAR:,.1f} years"
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
