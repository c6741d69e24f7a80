"""What is wrong with rows that a model is to be trained on, and the column contract of those that are right."""

from __future__ import annotations

from collections.abc import Sequence

from loopwright.data.findings import Finding, Severity
from loopwright.data.schema import Column, Schema
from loopwright.data.statistics import ColumnStatistics, Statistics
from loopwright.data.table import Table


def findings(statistics: Statistics, features: Sequence[str], label: str) -> list[Finding]:
    """What the statistics alone tell.

    >>> from loopwright.data.statistics import describe
    >>> import polars as pl
    >>> rows = pl.LazyFrame({"carrier": ["UA", "UA"], "late": [True, True]})
    >>> [finding.kind for finding in findings(describe(rows), ["carrier"], "late")]
    ['one label', 'constant']
    """
    if statistics.rows == 0:
        return [_error("no rows", "there are no rows to learn from", "append some: lw tables append TABLE FILE")]
    labels = statistics.column(label)
    found = [] if features else [_error("no columns", "there is no column to learn from", "append more columns")]
    if labels.missing == labels.rows:
        found.append(_error("no labels", f"no row has its label {label!r} yet", "append labels: lw tables label"))
    elif labels.distinct < 2:
        what = f"every row has the same label {label!r}, so there is nothing to learn"
        found.append(_error("one label", what, "append rows with other labels"))
    return found + [one for name in features if (one := _useless(statistics.column(name)))]


def contract(statistics: Statistics, features: Sequence[str], table: Table) -> Schema:
    """The columns a model of these rows will take, as they were seen."""
    return Schema(
        columns=tuple(_column(statistics.column(name)) for name in features),
        key=table.key,
        time=table.time,
        label=table.label,
        never=table.never,
    )


def _column(seen: ColumnStatistics) -> Column:
    few = seen.kind == "string" and seen.values is not None and seen.distinct <= len(seen.values)
    return Column(
        name=seen.name,
        kind=seen.kind,
        missing=seen.missing > 0,
        values=tuple(sorted(seen.values or ())) if few else None,
        low=None if seen.kind == "boolean" else seen.low,
        high=None if seen.kind == "boolean" else seen.high,
    )


def _useless(seen: ColumnStatistics) -> Finding | None:
    if seen.missing == seen.rows:
        return _warning("all missing", seen.name, f"{seen.name!r} is missing in every row")
    if seen.distinct == 1 and seen.missing == 0:
        return _warning("constant", seen.name, f"{seen.name!r} has one value in every row")
    return None


def _error(kind: str, message: str, fix: str) -> Finding:
    return Finding(kind=kind, severity=Severity.ERROR, message=message, fix=fix)


def _warning(kind: str, column: str, message: str) -> Finding:
    fix = "leave it out of the table's rows, or find out why"
    return Finding(kind=kind, severity=Severity.WARNING, message=message, fix=fix, column=column)
