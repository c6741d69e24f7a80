"""Statistics that are made when somebody asks: of slices, with weights, and of what each column tells of the label.

Each is one more streaming pass over the rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from loopwright.data.association import MOST_CLASSES, Label, Labelled
from loopwright.data.report import Span
from loopwright.data.seen import Seen
from loopwright.data.spans import Looked
from loopwright.data.statistics import TableProfile, batches, describe, profile_by
from loopwright.data.summary import ColumnStatistics
from loopwright.errors import UsageError, did_you_mean

MOST_SLICES = 8
"""Those with the most rows."""
_MOST_CLASSES_OF_NUMBERS = 10
_COUNT = "(rows)"


def spans(looked: Looked, *, by: str | None = None, weight: str | None = None) -> tuple[Span, ...]:
    """What to show of some rows: all of them, with the weights, or a span for each slice. Raises `UsageError`."""
    if by is None:
        seen = looked.span.seen if weight is None else Seen.of(weighted(_rows(looked), weight))
        return (replace(looked.span, seen=seen),)
    found, more = sliced(_rows(looked), by, weight)
    notes = (*looked.span.notes, *([f"{more:,} more values of {by} have fewer rows, and are left out"] if more else []))
    named = {f"{by} = {'(missing)' if value is None else value}": one for value, one in found.items()}
    return tuple(Span.of(name, one, notes if not at else ()) for at, (name, one) in enumerate(named.items()))


def weighted(rows: pl.LazyFrame, weight: str) -> TableProfile:
    """Numbers are also described by these weights; a row without one weighs nothing. Raises `UsageError`.

    >>> rows = pl.LazyFrame({"fare": [10.0, 40.0], "seats": [3, 1]})
    >>> weighted(rows, "seats").column("fare").weighted_mean
    17.5
    """
    types = _column("weight", weight, rows)
    if not types[weight].is_numeric():
        raise UsageError(f"the weight {weight!r} is {types[weight]}", where=weight, fix="name a column of numbers")
    return _profiled(rows, weight=weight)


def sliced(rows: pl.LazyFrame, column: str, weight: str | None = None) -> tuple[dict[Any, TableProfile], int]:
    """By value of the column, most rows first, and how many values more there are. None stands for no value.

    >>> rows = pl.LazyFrame({"origin": ["EWR", "JFK", "EWR"], "delay": [3, 5, 9]})
    >>> found, more = sliced(rows, "origin")
    >>> {value: one.column("delay").mean for value, one in found.items()}, more
    ({'EWR': 6.0, 'JFK': 5.0}, 0)
    """
    types = _column("slices", column, rows)
    if types[column].is_nested():
        raise UsageError(f"{column!r} is {types[column]}", where=column, fix="slice by single values")
    if weight is not None:
        _column("weight", weight, rows)
    counted = rows.group_by(column).agg(pl.len().alias(_COUNT)).collect(engine="streaming")
    order = counted.sort(_COUNT, column, descending=[True, False], nulls_last=True)[column]
    wanted = order.head(MOST_SLICES)
    chosen = rows.filter(pl.col(column).is_in(wanted.implode(), nulls_equal=True))
    found = profile_by(batches(chosen, len(types)), column, weight=weight)
    listed = wanted.to_arrow().to_pylist()
    return {value: found[value] for value in listed if value in found}, len(order) - len(wanted)


def label_told(looked: Looked, label: str) -> Labelled:
    """As `labelled`, of rows that are there to be read. Raises `UsageError`."""
    return labelled(_rows(looked), label)


def labelled(rows: pl.LazyFrame, label: str) -> Labelled:
    """What every other column tells of the label: its mean by value or bin, and their mutual information. Rows
    without a label count for nothing. Raises `UsageError`.

    >>> rows = pl.LazyFrame({"origin": ["EWR", "JFK"] * 500, "late": [True, False] * 500})
    >>> round(labelled(rows, "late").columns["origin"].information, 2)
    1.0
    """
    types = _column("label", label, rows)
    seen = describe(rows.select(label)).column(label)
    profile = _profiled(rows, label=_classes(seen))
    return Labelled(
        label=label, of=_of(seen), columns={name: profile.association(name) for name in types if name != label}
    )


def _classes(seen: ColumnStatistics) -> Label:
    """Classes of what has few values; of other numbers the stretches between their quantiles."""
    if seen.kind not in ("boolean", "string", "integer", "float") or not seen.there:
        told = "has no value" if not seen.there else f"is of kind {seen.kind}"
        raise UsageError(f"the label {seen.name!r} {told}", where=seen.name, fix="name a column of classes or numbers")
    if _is_of_classes(seen):
        return Label(name=seen.name, values=tuple(seen.values or ())[: MOST_CLASSES - 1])
    return Label(name=seen.name, edges=tuple(sorted(set((seen.quantiles or {}).values()))))


def _is_of_classes(seen: ColumnStatistics) -> bool:
    return seen.kind in ("boolean", "string") or (seen.kind == "integer" and seen.distinct <= _MOST_CLASSES_OF_NUMBERS)


def _of(seen: ColumnStatistics) -> str:
    """What the means are of."""
    return f"share of {next(iter(seen.values or {}))!r}" if _is_of_classes(seen) else "mean"


def _profiled(rows: pl.LazyFrame, *, weight: str | None = None, label: Label | None = None) -> TableProfile:
    types = rows.collect_schema()
    profile = TableProfile.of_schema(pl.DataFrame(schema=types).to_arrow().schema, weight=weight, label=label)
    for batch in batches(rows, len(types)):
        profile.update(batch)
    profile.flush()
    return profile


def _rows(looked: Looked) -> pl.LazyFrame:
    if looked.rows is None:
        what = f"of {looked.span.name} only statistics were kept"
        raise UsageError(what, fix="ask of a table or a file: --by, --weight and --label look at the rows again")
    return looked.rows


def _column(role: str, name: str, rows: pl.LazyFrame) -> pl.Schema:
    types = rows.collect_schema()
    if name not in types:
        raise UsageError(f"there is no column {name!r}", where=role, fix=did_you_mean(name, list(types)))
    return types
