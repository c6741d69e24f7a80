"""Whether rows became far fewer, or far more, than in the span before: by the hour, where spans differ in length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from loopwright.data.check_texts import counted
from loopwright.data.finding_kinds import finding
from loopwright.data.findings import Finding
from loopwright.data.schema import Schema
from loopwright.data.schema_file import line
from loopwright.data.seen import Seen
from loopwright.data.sketch import TimeSketch

MIDDLE = 0.9
"""Share of the rows by which the length of a span is told."""
_HOUR = 3_600_000_000
"""Microseconds."""
ALIKE = 0.1
"""Spans whose lengths differ by no larger share are taken to be equally long."""


def check_growth(now: Seen, before: Seen, schema: Schema, *, equally_long: bool = False) -> Iterator[Finding]:
    """Rows to rows where the schema has no time to tell how long the spans are. Nothing is said of a span that is but
    a moment, and none of a time that is not there."""
    if schema.least_growth is None and schema.most_growth is None:
        return
    growth, against = now.rows / before.rows, f"the {before.rows:,} of the span before"
    if schema.time is not None and not equally_long:
        one, other = _hours(now, schema.time), _hours(before, schema.time)
        if not one or not other:
            return
        if abs(one - other) > ALIKE * max(one, other):
            growth *= other / one
            against = (
                f"those of the span before by the hour ({before.rows:,} in about {other:,.1f} hours, now {one:,.1f})"
            )
    told = f"there {'is' if now.rows == 1 else 'are'} {counted(now.rows, 'row')}, {growth:.2f} times {against}"
    yield from _beyond(growth, told, schema)


def _beyond(growth: float, told: str, schema: Schema) -> Iterator[Finding]:
    least, most = schema.least_growth, schema.most_growth
    if least is not None and growth < least:
        accept, fix = line(None, "least_growth", int(growth * 100) / 100), "look for rows that did not arrive"
        what = f"{told}; the least allowed is {least:g} times"
        yield finding("rows shrank", what, fix, number=growth, limit=least, accept=accept)
    if most is not None and growth > most:
        accept, fix = line(None, "most_growth", int(growth * 100 + 1) / 100), "look for rows that came twice"
        what = f"{told}; the most allowed is {most:g} times"
        yield finding("rows grew", what, fix, number=growth, limit=most, accept=accept)


def _hours(seen: Seen, time: str) -> float | None:
    """That the rows cover, by those in the middle: one whose time is wrong makes no span longer."""
    sketch = seen.sketches.get(time)
    cells = sketch.cells() if isinstance(sketch, TimeSketch) else None
    if cells is None or not len(cells.low):
        return None
    start, end = cells.quantiles(np.array([1 - MIDDLE, 1 + MIDDLE]) / 2).tolist()
    return float(end - start) / MIDDLE / _HOUR
