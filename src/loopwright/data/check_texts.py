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
SOURCE = "find out what changed where the rows come from; if it is right, accept it in the schema"
NOUNS: Mapping[str, str] = {
    "string": "texts", "integer": "whole numbers", "float": "numbers", "boolean": "true and false", "time": "times",
    "list": "lists",
}  # fmt: skip
_BROKEN = {"invalid text": "no text any more (bytes were lost)", "mojibake": "text decoded in the wrong encoding"}


def _domain(seen: ColumnStatistics, column: Column, sketch: Any) -> Iterator[Finding]:
    there = seen.rows - seen.missing
    if not column.closed or not column.values or not there or seen.values is None:
        return
    known = set(column.values)
    new = {value: count for value, count in _texts(sketch).items() if value not in known}
    inside = sum(count for value, count in _texts(sketch).items() if value in known)
    outside = there - inside if not seen.values_error else sum(new.values())
    if outside and outside / there > column.most_outside:
        few = listed(new)
        told = f"{seen.name!r} has {len(new):,} values that the schema does not list, in {outside:,} rows: {named(few)}"
        if len(new) > len(few):
            told += ", ..."
        found = at_limit(
            "value out of domain", column, "values", sorted({*column.values, *new}), told, SOURCE, outside / there,
            column.most_outside,
        )  # fmt: skip
        yield replace(found, values=few)


def _pattern(seen: ColumnStatistics, column: Column, sketch: Any) -> Iterator[Finding]:
    """Of the texts that are kept: all, up to 1,024."""
    if column.pattern is None:
        return
    try:
        pattern = re.compile(column.pattern)
    except re.error:
        return  # what `contradictions` tells
    odd = {value: count for value, count in _texts(sketch).items() if not pattern.fullmatch(value)}
    if odd:
        few = listed(odd)
        told = f"{seen.name!r} has {len(odd):,} values that do not match {column.pattern!r}: {named(few)}"
        count = sum(odd.values())
        yield finding(
            "pattern not matched", told, SOURCE, column=seen.name, number=count / (seen.rows - seen.missing),
            limit=0.0, values=few, accept=accept_kind(column, seen.name, "pattern not matched"),
        )  # fmt: skip


def _forms(seen: ColumnStatistics, column: Column, sketch: Any) -> Iterator[Finding]:
    """Texts that are numbers, broken, or alike."""
    kept = _texts(sketch)
    yield from _quoted(seen, column, kept)
    for kind, is_so in (("invalid text", texts.is_invalid), ("mojibake", texts.is_mojibake)):
        odd = {value: count for value, count in kept.items() if is_so(value)}
        if odd:
            few = listed(odd)
            told = f"{seen.name!r} has {len(odd):,} values that are {_BROKEN[kind]}: {named(few)}"
            if kind == "mojibake":
                told += f" (meant: {texts.repaired(few[0][0])!r})"
            yield finding(
                kind, told, "read the source in its own encoding", column=seen.name, number=float(sum(odd.values())),
                limit=0, values=few, accept=accept_kind(column, seen.name, kind),
            )  # fmt: skip
    if seen.distinct <= len(kept) and (groups := texts.look_alikes(kept)):
        few = tuple((value, kept[value]) for group in groups[:LISTED] for value in group)
        told = f"{seen.name!r} has {len(groups):,} groups of values that differ in case, spaces or accents alone: "
        told += "; ".join(" and ".join(map(repr, group)) for group in groups[:LISTED])
        yield finding(
            "look-alike categories", told, "write each in one way where the rows come from", column=seen.name,
            number=float(len(groups)), limit=0, values=few,
            accept=accept_kind(column, seen.name, "look-alike categories"),
        )  # fmt: skip


def _quoted(seen: ColumnStatistics, column: Column, kept: Mapping[str, int]) -> Iterator[Finding]:
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


def _texts(sketch: Any) -> Mapping[str, int]:
    """All texts that are kept, up to 1,024, with their counts."""
    frequent = sketch.frequent
    return dict(zip(frequent.texts.tolist(), map(int, frequent.tallies[:, 0].tolist()), strict=True))


TEXTS: Sequence[Callable[[ColumnStatistics, Column, Any], Iterator[Finding]]] = (_domain, _pattern, _forms)


def at_limit(
    kind: str, column: Column, field: str, widened: Any, message: str, fix: str, number: float | None, limit: Any
) -> Finding:
    """One that a wider limit would accept."""
    accept = line(column.name, field, widened)
    return finding(kind, message, fix, column=column.name, number=number, limit=limit, accept=accept)


def listed(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:LISTED])


def named(few: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{value[:60]!r} ({count:,})" for value, count in few)
