"""A report on data: spans side by side, what was found in them, and what moved between them. A value; it reads nothing.

As text for a terminal (`report_text`), as a page (`report_page`), as plain values for machines. Equal reports give
equal text and bytes. All three stand complete whatever the data hold: names and values are never trusted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from loopwright.data import report_label, report_page, report_text
from loopwright.data.association import Labelled
from loopwright.data.bars import bars
from loopwright.data.drifted import Drift
from loopwright.data.findings import Finding, Severity
from loopwright.data.profile import Profile, duplicates
from loopwright.data.schema import Schema
from loopwright.data.seen import Seen
from loopwright.data.statistics import Statistics

MOST_IN_NOTEBOOK = 50
"""Columns, and findings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some rows, under the name they are shown by."""

    name: str
    seen: Seen
    notes: tuple[str, ...] = ()
    """What was left out or read in another way than asked for."""

    @classmethod
    def of(cls, name: str, profile: Profile, notes: Iterable[str] = ()) -> Span:
        return cls(name=name, seen=Seen.of(profile), notes=tuple(notes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The first span is what the report is about; the others stand beside it.

    >>> profile = Profile({"late": "boolean"})
    >>> profile.update({"late": [True, False, None]})
    >>> print(Report(spans=(Span.of("flights", profile),)).text(80))
    flights: 3 rows, 1 column
    <BLANKLINE>
    COLUMN  KIND     MISSING  DISTINCT  VALUES      HISTOGRAM
    late    boolean  33.3%    2         true 50.0%  ██
    """

    spans: tuple[Span, ...] = ()
    findings: tuple[Finding, ...] | None = None
    """None where nothing was looked for."""
    drift: Drift | None = None
    """Of the first span against the second."""
    labelled: Labelled | None = None
    """What the columns of the first span tell of its label."""

    @property
    def is_fine(self) -> bool:
        """No error was found, and no column has drifted but those that the schema lets. One that is only suspected
        has not: that takes two windows."""
        if any(one.severity is Severity.ERROR for one in self.findings or ()):
            return False
        drifted = {one.name for one in self.drift.drifted} if self.drift else set()
        told = drifted if self.findings is None else {one.column for one in self.findings if one.kind == "drift"}
        return not drifted & told

    @property
    def columns(self) -> list[str]:
        """Of all spans, those of the first one first."""
        return list(dict.fromkeys(name for span in self.spans for name in span.seen.columns))

    def ranked(self) -> list[str]:
        """What there is something to say of comes first; for where not all have room."""
        named = {one.column for one in self.findings or ()}
        moved = {one.name for one in (*self.drift.drifted, *self.drift.suspected)} if self.drift else set()
        return sorted(self.columns, key=lambda name: (name not in moved, name not in named))

    def text(self, columns: int = 120, *, signs: str | None = None) -> str:
        """For a terminal so wide, bounded however many columns there are."""
        return report_text.text(self, columns, signs)

    def page(self, title: str) -> str:
        """One HTML page, which needs nothing else."""
        return report_page.page(self, title)

    def _repr_html_(self) -> str:
        return report_page.fragment(self, MOST_IN_NOTEBOOK)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: nothing in it is NaN or infinite."""
        told: dict[str, Any] = {"spans": [_span(span) for span in self.spans]}
        if self.findings is not None:
            told["findings"] = [_finite(one.to_dict()) for one in self.findings]
        if self.labelled is not None:
            told["label"] = _finite(report_label.to_dict(self.labelled))
        return told | ({} if self.drift is None else {"drift": json.loads(self.drift.to_json())})


def statistics_html(statistics: Statistics) -> str:
    """How statistics show themselves in a notebook."""
    return Report(spans=(Span.of("rows", statistics.profile()),))._repr_html_()


def schema_html(schema: Schema) -> str:
    """How a schema shows itself in a notebook."""
    return report_page.schema_fragment(schema, MOST_IN_NOTEBOOK)


def drift_html(drift: Drift) -> str:
    """How a comparison shows itself in a notebook."""
    return Report(drift=drift)._repr_html_()


def findings_html(findings: Iterable[Finding]) -> str:
    """How findings show themselves in a notebook."""
    return Report(findings=tuple(findings))._repr_html_()


def _span(span: Span) -> dict[str, Any]:
    return {
        "name": span.name,
        "rows": span.seen.rows,
        "notes": list(span.notes),
        "duplicates": duplicates(span.seen.profile),
        "columns": [_column(name, span.seen) for name in span.seen.columns],
    }


def _column(name: str, seen: Seen) -> dict[str, Any]:
    found = seen.columns[name]
    told = {one.name: _finite(getattr(found, one.name)) for one in fields(found)}
    drawn = bars(name, [seen])
    counts = drawn.counts[0] or ()
    known = {field: value for field, value in told.items() if value is not None and field != "rows"}
    return known | {"histogram": [{"bar": bar, "rows": rows} for bar, rows in zip(drawn.names, counts, strict=False)]}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
