"""What the statistics of one column tell against its limits. Every function is one question; none looks at rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from loopwright.data import texts
from loopwright.data.check_texts import MIXED, NOUNS, SOURCE, TEXTS, at_limit, counted, listed, named, told_by
from loopwright.data.contradictions import moment
from loopwright.data.finding_kinds import finding
from loopwright.data.findings import Finding
from loopwright.data.schema import Column, Share
from loopwright.data.schema_file import accept_kind, line, line_of
from loopwright.data.sketch import NumberSketch
from loopwright.data.summary import ColumnStatistics

NEAR_CONSTANT = 0.999
LEAST_ROWS_NEAR = 1000
_DISTINCT_ERRORS = 5
"""So many standard errors (1.6 %) must an estimate of different values be off."""
Question = Callable[[ColumnStatistics, Column], Iterator[Finding]]
Look = Callable[[ColumnStatistics, Column, Any], Iterator[Finding]]
"""A question that needs the sketch itself."""


def check_column(seen: ColumnStatistics, column: Column, sketch: Any) -> list[Finding]:
    """All questions; of a column of another type only what holds for every type."""
    found = list(_type(seen, column, sketch))
    alike = not found and (seen.kind == column.kind or {seen.kind, column.kind} == {"integer", "float"})
    questions, looks = (_OF_KIND[column.kind], _LOOKS.get(column.kind, ())) if alike else ((), ())
    found += [one for question in (*_OF_ALL, *questions) for one in question(seen, column)]
    return found + [one for look in looks for one in look(seen, column, sketch)]


def _type(seen: ColumnStatistics, column: Column, sketch: Any) -> Iterator[Finding]:
    if seen.kind == column.kind or seen.missing == seen.rows or (seen.kind, column.kind) == ("integer", "float"):
        return
    if seen.kind == "list":
        told = f"{seen.name!r} holds lists, the longest of {counted(int(seen.high or 0), 'item')}"
        told += f", where the schema has one {column.kind} a row"
        yield finding("unexpected repetition", told, SOURCE, column=seen.name, accept=line(seen.name, "kind", "list"))
        return
    told = f"{seen.name!r} holds {NOUNS[seen.kind]}, and the schema wants {NOUNS[column.kind]}"
    found = texts.form(told_by(sketch)) if seen.kind == "string" else None
    if found and texts.KIND_OF[found[0]] in (column.kind, "integer") and found[1] > 0.5:
        told += f"; {found[1]:.0%} of the texts read as {found[0]}"
    fix = f"turn {seen.name!r} into {NOUNS[column.kind]} where the rows come from"
    accept = line(seen.name, "kind", seen.kind)
    if found and found[1] >= MIXED:  # whoever takes texts takes these
        accepted = sorted({*column.accepted, "looks like another type"})
        accept = line_of(seen.name, {"kind": seen.kind, "accepted": accepted})
    yield finding("wrong type", told, fix, column=seen.name, accept=accept)


def _missing(seen: ColumnStatistics, column: Column) -> Iterator[Finding]:
    share = seen.missing / seen.rows
    limit = column.most_missing if column.most_missing is not None else None if column.missing else 0.0
    if seen.missing == seen.rows:
        if limit != 1.0:
            fix, told = (
                "leave the column out, or find out why nothing arrives",
                f"{seen.name!r} is missing in every row",
            )
            found = at_limit("all missing", column, "most_missing", 1.0, told, fix, 1.0, limit)
            without = accept_kind(column, seen.name, "all missing")
            yield found if limit is not None else replace(found, accept=without)
        return
    if limit is not None and share > limit:
        told = f"{seen.name!r} is missing in {counted(seen.missing, 'row')} ({share:.2%}); the limit is {limit:.2%}"
        yield at_limit("too many missing", column, "most_missing", _up(share), told, SOURCE, share, limit)
    there = seen.there
    if column.least_present is not None and there < column.least_present:
        told = f"{seen.name!r} has a value in {counted(there, 'row')}; the schema wants {column.least_present:,}"
        yield at_limit("too few values", column, "least_present", there, told, SOURCE, there, column.least_present)


def _constant(seen: ColumnStatistics, column: Column) -> Iterator[Finding]:
    """Of what a model may learn nothing from."""
    there = seen.there
    fix = "leave it out of the table's rows, or find out why"
    if seen.kind == "list":
        return  # lists of one length are no constant
    if seen.is_constant:
        accept = accept_kind(column, seen.name, "constant")
        told = f"{seen.name!r} has one value in every row: {only_value(seen)}"
        yield finding("constant", told, fix, column=seen.name, number=1.0, limit=NEAR_CONSTANT, accept=accept)
    elif there >= LEAST_ROWS_NEAR and (most := _most_frequent(seen)) is not None and most[1] / there >= NEAR_CONSTANT:
        told = f"{seen.name!r} is {most[0]!r} in {most[1] / there:.2%} of the rows that have a value"
        accept = accept_kind(column, seen.name, "near-constant")
        yield finding(
            "near-constant", told, fix, column=seen.name, number=most[1] / there, limit=NEAR_CONSTANT,
            values=(most,), accept=accept,
        )  # fmt: skip


def _distinct(seen: ColumnStatistics, column: Column) -> Iterator[Finding]:
    told = f"{seen.name!r} has {'' if seen.is_counted else 'about '}{counted(seen.distinct, 'different value')}"
    least, most = column.least_distinct, column.most_distinct
    if least is not None and seen.distinct < least:
        what = f"{told}; the schema wants {least:,}"
        yield at_limit("too few distinct", column, "least_distinct", seen.distinct, what, SOURCE, seen.distinct, least)
    if most is not None and seen.distinct > most:
        what = f"{told}; the limit is {most:,}"
        yield at_limit("too many distinct", column, "most_distinct", seen.distinct, what, SOURCE, seen.distinct, most)
    there = seen.there
    if column.unique and there and _repeats(seen, there):
        what = f"{told} in {counted(there, 'row')}, where none may repeat"
        repeated = listed({value: count for value, count in (seen.values or {}).items() if count > 1})
        fix = f"find out why {seen.name!r} repeats: rows that came twice, or a key that is none"
        found = at_limit("not unique", column, "unique", False, what, fix, seen.distinct, there)
        yield replace(found, values=repeated)


def _repeats(seen: ColumnStatistics, there: int) -> bool:
    """Told only where it is sure: a count above one, or an estimate that is off by more than chance."""
    if any(count > 1 for count in (seen.values or {}).values()):
        return True
    return seen.distinct < there * (1 - _DISTINCT_ERRORS * 0.0163)


def _shares(seen: ColumnStatistics, column: Column) -> Iterator[Finding]:
    there = seen.there
    for one in column.shares if there and seen.values is not None else ():
        count = (seen.values or {}).get(one.value, 0)
        share = count / there
        if share < one.least and (count or seen.values_error == 0):
            told = f"{one.value!r} makes up {share:.2%} of {seen.name!r}; the schema wants {one.least:.2%}"
            yield _of_share("share too small", column, one, replace(one, least=_down(share)), told, share, one.least)
        elif share > one.most:
            told = f"{one.value!r} makes up {share:.2%} of {seen.name!r}; the limit is {one.most:.2%}"
            yield _of_share("share too large", column, one, replace(one, most=_up(share)), told, share, one.most)


def _of_share(kind: str, column: Column, old: Share, new: Share, told: str, share: float, limit: float) -> Finding:
    changed = [new if one == old else one for one in column.shares]
    value = [{"value": one.value, "least": one.least, "most": one.most} for one in changed]
    return at_limit(kind, column, "shares", value, told, SOURCE, share, limit)


def _lengths(seen: ColumnStatistics, column: Column) -> Iterator[Finding]:
    if seen.shortest is None or seen.longest is None:
        return
    if column.shortest is not None and seen.shortest < column.shortest:
        told = f"{seen.name!r} has a text of {counted(seen.shortest, 'character')}"
        told += f"; the shortest allowed has {column.shortest:,}"
        yield at_limit(
            "text too short", column, "shortest", seen.shortest, told, SOURCE, seen.shortest, column.shortest
        )
    if column.longest is not None and seen.longest > column.longest:
        told = f"{seen.name!r} has a text of {counted(seen.longest, 'character')}"
        told += f"; the longest allowed has {column.longest:,}"
        yield at_limit("text too long", column, "longest", seen.longest, told, SOURCE, seen.longest, column.longest)


def _odd_numbers(seen: ColumnStatistics, column: Column) -> Iterator[Finding]:
    if seen.nan and not column.nan:
        told = f"{seen.name!r} is NaN in {counted(seen.nan, 'row')}"
        yield at_limit("NaN", column, "nan", True, told, "write null where there is no number", seen.nan, 0)
    if seen.infinite and not column.infinite:
        told = f"{seen.name!r} is infinite in {counted(seen.infinite, 'row')}"
        yield at_limit("infinity", column, "infinite", True, told, "look for a division by zero", seen.infinite, 0)


def _range(seen: ColumnStatistics, column: Column, sketch: NumberSketch) -> Iterator[Finding]:
    low, high, least, most = seen.low, seen.high, column.least, column.most
    if isinstance(low, int | float) and isinstance(least, int | float) and low < least:
        count = float(sketch.cells().below(np.array([float(least)]))[0])
        told = f"{seen.name!r} goes down to {low:,g}, below {least:,g} ({_about(count)})"
        yield at_limit("number too small", column, "least", low, told, SOURCE, low, least)
    if isinstance(high, int | float) and isinstance(most, int | float) and high > most:
        cells = sketch.cells()
        count = float(cells.tallies[:, 0].sum() - cells.below(np.array([np.nextafter(float(most), math.inf)]))[0])
        told = f"{seen.name!r} goes up to {high:,g}, above {most:,g} ({_about(count)})"
        yield at_limit("number too big", column, "most", high, told, SOURCE, high, most)


def _times(seen: ColumnStatistics, column: Column) -> Iterator[Finding]:
    if seen.out_of_range:
        told = f"{seen.name!r} is before the year 1 or after 9999 in {counted(seen.out_of_range, 'row')}"
        fix = "look for another unit: milliseconds taken for seconds; write null where there is no time"
        accept = accept_kind(column, seen.name, "time out of range")
        yield finding(
            "time out of range", told, fix, column=seen.name, number=seen.out_of_range, limit=0, accept=accept
        )
    sides = (("time too early", "least", seen.low, -1), ("time too late", "most", seen.high, 1))
    for kind, field, found, side in sides:
        limit = getattr(column, field)
        at, bound = moment(found), moment(limit)
        if at is not None and bound is not None and (at - bound).total_seconds() * side > 0:
            told = f"{seen.name!r} reaches {'back' if side < 0 else 'on'} to {found}; the limit is {limit}"
            yield at_limit(kind, column, field, found, told, SOURCE, None, limit)


def _items(seen: ColumnStatistics, column: Column) -> Iterator[Finding]:
    if not isinstance(seen.low, int | float) or not isinstance(seen.high, int | float):
        return
    least, most = column.shortest, column.longest
    if least is not None and least == most and (seen.low, seen.high) != (least, most):
        told = f"{seen.name!r} has lists of {seen.low} to {seen.high} items, where all have {least}"
        number = seen.low if seen.low != least else seen.high
        wider = {"shortest": int(min(seen.low, least)), "longest": int(max(seen.high, least))}
        fix = "find out which rows come from another version of what makes them"
        yield finding(
            "wrong shape", told, fix, column=seen.name, number=number, limit=least, accept=line_of(seen.name, wider)
        )
        return
    if least is not None and seen.low < least:
        told = f"{seen.name!r} has a list of {counted(int(seen.low), 'item')}; the shortest allowed has {least}"
        yield at_limit("list too short", column, "shortest", int(seen.low), told, SOURCE, seen.low, least)
    if most is not None and seen.high > most:
        told = f"{seen.name!r} has a list of {counted(int(seen.high), 'item')}; the longest allowed has {most}"
        yield at_limit("list too long", column, "longest", int(seen.high), told, SOURCE, seen.high, most)


_OF_ALL: Sequence[Question] = (_missing, _constant, _distinct, _shares)
_OF_KIND: Mapping[str, Sequence[Question]] = {
    "string": (_lengths,), "integer": (), "float": (_odd_numbers,), "boolean": (), "time": (_times,), "list": (_items,),
}  # fmt: skip
_LOOKS: Mapping[str, Sequence[Look]] = {"string": TEXTS, "integer": (_range,), "float": (_range,)}


def only_value(seen: ColumnStatistics) -> str:
    """The value of a constant."""
    if seen.values:
        value = next(iter(seen.values))
        return named([(value, seen.rows)]) if seen.kind == "string" else value
    return str(seen.low)


def _most_frequent(seen: ColumnStatistics) -> tuple[str, int] | None:
    if seen.values:
        return next(iter(seen.values.items()))
    return ("0", seen.zeros) if seen.zeros else None


def _about(count: float) -> str:
    return f"about {counted(max(round(count), 1), 'row')}"


def _up(share: float) -> float:
    """To four digits: a limit that a person reads, and which accepts what was found."""
    return min(math.ceil(share * 10_000) / 10_000, 1.0)


def _down(share: float) -> float:
    return math.floor(share * 10_000) / 10_000
