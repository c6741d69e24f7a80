"""What the texts of a column tell of it: values beyond the domain, other forms, numbers in quotes, broken encodings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from loopwright.data import texts
from loopwright.data.finding_kinds import finding
from loopwright.data.findings import Finding
from loopwright.data.schema import Column
from loopwright.data.schema_file import accept_kind, line
from loopwright.data.summary import ColumnStatistics

QUOTED = 0.95
"""Share of texts that read as another type from which they are taken to be of that type, in quotes."""
MIXED = 0.4
"""Share from which a column is taken to mix types."""
LISTED = 10
"""So many values are told in a finding."""
MOST_ACCEPTED = 100
"""So many new values are listed to be accepted; where there are more, the column is no closed list."""
SOURCE = "find out what changed where the rows come from; if it is right, accept it in the schema"
NOUNS: Mapping[str, str] = {
    "string": "texts", "integer": "whole numbers", "float": "numbers", "boolean": "true and false", "time": "times",
    "list": "lists",
}  # fmt: skip
_LONGEST = 60
"""Characters of a value, in a finding."""
_BROKEN = {"invalid text": "no text any more (bytes were lost)", "mojibake": "text decoded in the wrong encoding"}


def _domain(seen: ColumnStatistics, column: Column, sketch: Any) -> Iterator[Finding]:
    there = seen.there
    if not column.closed or not column.values or not there or seen.values is None:
        return
    known = set(column.values)
    inside = {value: count for value, count in _texts(sketch).items() if value in known}
    new = {value: count for value, count in told_by(sketch).items() if value not in known}
    # A count may be too low by the error; what is surely outside is told.
    outside = there - sum(inside.values()) - seen.values_error * len(known)
    outside = max(outside, sum(count for value, count in _texts(sketch).items() if value not in known))
    if outside > 0 and outside / there > column.most_outside:
        few, count = listed(new), max(seen.distinct - len(inside), len(new))
        told = f"{seen.name!r} has {_about(seen)}{counted(count, 'value')} that the schema does not list, in "
        told += f"{_at_least(seen)}{counted(outside, 'row')}: {named(few)}{', ...' if count > len(few) else ''}"
        few_enough = count <= MOST_ACCEPTED
        wider = sorted({*column.values, *new}) if few_enough else False
        found = at_limit(
            "value out of domain", column, "values" if few_enough else "closed", wider, told, SOURCE, outside / there,
            column.most_outside,
        )  # fmt: skip
        yield replace(found, values=few)


def _pattern(seen: ColumnStatistics, column: Column, sketch: Any) -> Iterator[Finding]:
    """All texts, up to 1,024; beyond that by a sample of them. `examine` counts the rows."""
    if column.pattern is None:
        return
    try:
        pattern = re.compile(column.pattern)
    except re.error:
        return  # what `contradictions` tells
    odd = {value: count for value, count in told_by(sketch).items() if not pattern.fullmatch(value)}
    if odd:
        count, few = max(round(sum(odd.values())), 1), listed(odd)
        yield unmatched(column, _about(seen), count, (count / (seen.rows - seen.missing)), few)


def unmatched(column: Column, about: str, rows: int, share: float, few: tuple[tuple[str, int], ...]) -> Finding:
    """Texts of another form than the pattern's."""
    told = f"{column.name!r} does not match {column.pattern!r} in {about}{counted(rows, 'row')}: {named(few)}"
    accept = accept_kind(column, column.name, "pattern not matched")
    return finding(
        "pattern not matched", told, SOURCE, column=column.name, number=share, limit=0.0, values=few, accept=accept
    )


def _forms(seen: ColumnStatistics, column: Column, sketch: Any) -> Iterator[Finding]:
    """Texts that are numbers, broken, or alike."""
    kept, sampled = _texts(sketch), told_by(sketch)
    yield from _quoted(seen, column, sampled)
    for kind, is_so in (("invalid text", texts.is_invalid), ("mojibake", texts.is_mojibake)):
        odd = {value: count for value, count in sampled.items() if is_so(value)}
        if odd:
            few, rows = listed(odd), max(round(sum(odd.values())), 1)
            told = f"{seen.name!r} holds what is {_BROKEN[kind]}, in {_about(seen)}{counted(rows, 'row')}: {named(few)}"
            if kind == "mojibake":
                told += f" (meant: {texts.repaired(few[0][0])!r})"
            yield finding(
                kind, told, "read the source in its own encoding", column=seen.name, number=float(rows),
                limit=0, values=few, accept=accept_kind(column, seen.name, kind),
            )  # fmt: skip
    if seen.distinct <= len(kept) and not _reads_as_numbers(sampled) and (groups := texts.look_alikes(kept)):
        few = tuple((value, kept[value]) for group in groups[:LISTED] for value in group)
        told = f"{seen.name!r} has {counted(len(groups), 'group')} of values "
        told += "that differ in case, spaces or accents alone: "
        told += "; ".join(" and ".join(map(repr, group)) for group in groups[:LISTED])
        yield finding(
            "look-alike categories", told, "write each in one way where the rows come from", column=seen.name,
            number=float(len(groups)), limit=0, values=few,
            accept=accept_kind(column, seen.name, "look-alike categories"),
        )  # fmt: skip


def _quoted(seen: ColumnStatistics, column: Column, kept: Mapping[str, float]) -> Iterator[Finding]:
    found = texts.form(kept)
    if found is None or found[1] < MIXED:
        return
    form, share = found
    kind = "looks like another type" if share >= QUOTED else "mixed types"
    odd = listed({value: count for value, count in kept.items() if not texts.fits(value, form)})
    told = f"{seen.name!r} is text, and {share:.1%} of it reads as {form}"
    told += f"; not so {named(odd)}" if odd else ""
    fix = f"store it as {NOUNS[texts.KIND_OF[form]]}; where they are codes, accept it"
    yield finding(
        kind, told, fix, column=seen.name, number=share, limit=QUOTED if kind != "mixed types" else MIXED,
        values=odd, accept=accept_kind(column, seen.name, kind),
    )  # fmt: skip


def _reads_as_numbers(kept: Mapping[str, float]) -> bool:
    """There a point and a space mean something."""
    found = texts.form(kept)
    return found is not None and found[1] >= MIXED and texts.KIND_OF[found[0]] in ("integer", "float")


def _texts(sketch: Any) -> Mapping[str, int]:
    """All texts that are kept, up to 1,024, with their counts."""
    frequent = sketch.frequent
    return dict(zip(frequent.texts.tolist(), map(int, frequent.tallies[:, 0].tolist()), strict=True))


TEXTS: Sequence[Callable[[ColumnStatistics, Column, Any], Iterator[Finding]]] = (_domain, _pattern, _forms)


def told_by(sketch: Any) -> Mapping[str, float]:
    """What rows hold: the texts that are kept with their counts, and a sample of the others, which share their rows."""
    kept = _texts(sketch)
    others = [text for text in sketch.frequent.sample.texts.tolist() if text not in kept]
    rest = sketch.rows - int(sketch.nulls[0]) - int(sketch.empty[0]) - sum(kept.values())
    return {**kept, **dict.fromkeys(others, rest / len(others))} if others and rest > 0 else kept


def _about(seen: ColumnStatistics) -> str:
    """What stands before a number that not all texts were counted for."""
    return "" if seen.is_counted else "about "


def _at_least(seen: ColumnStatistics) -> str:
    return "at least " if seen.values_error else ""


def at_limit(
    kind: str, column: Column, field: str, widened: Any, message: str, fix: str, number: float | None, limit: Any
) -> Finding:
    """One that a wider limit would accept."""
    accept = line(column.name, field, widened)
    return finding(kind, message, fix, column=column.name, number=number, limit=limit, accept=accept)


def listed(counts: Mapping[str, float]) -> tuple[tuple[str, int], ...]:
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:LISTED]
    return tuple((value, max(round(count), 1)) for value, count in ordered)


def named(few: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{value[:_LONGEST]!r}{'…' * (len(value) > _LONGEST)} ({count:,})" for value, count in few)


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
