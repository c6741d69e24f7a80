"""What is wrong with rows that a model is to be trained on, and the column contract of those that are right."""

from __future__ import annotations

from collections.abc import Sequence

from loopwright.data.check_columns import only_value
from loopwright.data.finding_kinds import finding
from loopwright.data.findings import Finding
from loopwright.data.infer import infer, seen_column
from loopwright.data.schema import Column, Schema
from loopwright.data.schema_file import accept_kind
from loopwright.data.statistics import ColumnStatistics, Statistics
from loopwright.data.table import Table
from loopwright.errors import DataError


def findings(statistics: Statistics, features: Sequence[str], label: str) -> list[Finding]:
    """Whether there is anything to learn, and which columns teach nothing.

    >>> from loopwright.data.statistics import describe
    >>> import polars as pl
    >>> rows = pl.LazyFrame({"carrier": ["UA", "UA"], "late": [True, True]})
    >>> [finding.kind for finding in findings(describe(rows), ["carrier"], "late")]
    ['one label', 'constant']
    """
    found = unlearnable(statistics, features, label)
    if statistics.rows == 0:
        return found
    return found + [one for name in features if (one := _useless(statistics.column(name)))]


def unlearnable(statistics: Statistics, features: Sequence[str], label: str) -> list[Finding]:
    """What no model can be trained on, whatever the schema says. `check` tells the rest."""
    if statistics.rows == 0:
        fix = "append some: lw tables append TABLE FILE"
        return [finding("no rows", "there are no rows to learn from", fix)]
    found = [] if features else [finding("no columns", "there is no column to learn from", "append more columns")]
    labels = statistics.column(label)
    if labels.missing == labels.rows:
        what = f"no row has its label {label!r} yet"
        found.append(finding("no labels", what, "append labels: lw tables label"))
    elif labels.distinct < 2:
        what = f"every row has the same label {label!r}, so there is nothing to learn"
        found.append(finding("one label", what, "append rows with other labels"))
    return found


def contract(statistics: Statistics, features: Sequence[str], table: Table, schema: Schema | None = None) -> Schema:
    """The columns a model of these rows will take, as they were seen, with the limits of the schema or, without one,
    inferred. Raises `DataError` for lists.
    """
    wanted = schema or infer(statistics.profile(), table)
    limits = {column.name: column for column in wanted.columns}
    beside = [name for name in (*table.key, table.time) if name is not None and name not in features]
    columns = tuple(_contracted(limits.get(name), statistics.column(name)) for name in features)
    return Schema(
        columns=columns,
        key=table.key,
        time=table.time,
        label=table.label,
        never=table.never,
        pii=tuple(name for name in beside if name in limits and "pii" in limits[name].tags),
        severity=wanted.severity,
    )


def _contracted(column: Column | None, seen: ColumnStatistics) -> Column:
    if seen.kind == "list":
        raise DataError(
            "a column of lists cannot enter a model",
            where=f"column {seen.name!r}",
            fix="turn it into numbers or strings, or list it in never=",
        )
    return seen_column(column, seen)


def _useless(seen: ColumnStatistics) -> Finding | None:
    fix = "leave it out of the table's rows, or find out why"
    if seen.missing == seen.rows:
        told = f"{seen.name!r} is missing in every row"
        return finding("all missing", told, fix, column=seen.name)
    if seen.is_constant:
        told = f"{seen.name!r} has one value in every row: {only_value(seen)}"
        return finding("constant", told, fix, column=seen.name, accept=accept_kind(None, seen.name, "constant"))
    return None
