"""What is wrong with a schema before any row is seen: limits that no data can meet, or which a type cannot have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

from loopwright.data.finding_kinds import KINDS, finding
from loopwright.data.findings import Finding
from loopwright.data.schema import Column, Limit, Schema
from loopwright.errors import did_you_mean

_PAIRS = (("least", "most"), ("shortest", "longest"), ("least_distinct", "most_distinct"))
_FITS: dict[str, tuple[str, ...]] = {
    "values": ("string",), "closed": ("string",), "pattern": ("string",), "shortest": ("string", "list"),
    "longest": ("string", "list"), "least": ("integer", "float", "time"), "most": ("integer", "float", "time"),
    "order": ("time",), "unique": ("string", "integer", "float", "time"),
}  # fmt: skip
_USUAL_FLAGS = {"closed": False, "unique": False}


def contradictions(schema: Schema) -> list[Finding]:
    """Of the whole schema.

    >>> one = Column(name="hour", kind="integer", missing=False, least=24, most=0)
    >>> print(contradictions(Schema(columns=(one,)))[0].message)
    'hour': least = 24 is more than most = 0
    """
    found = [one for column in schema.columns for one in (*_column(column), *_types(column))]
    return [*found, *_roles(schema), *_rows(schema), *_kinds(schema)]


def moment(value: Limit | None) -> datetime | None:
    """A limit of times, aware; None for what is no time. Naive is UTC."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found


def _column(column: Column) -> Iterator[Finding]:
    for low, high in _PAIRS:
        one, other = getattr(column, low), getattr(column, high)
        if one is not None and other is not None and above(one, other):
            yield _wrong(column.name, f"{low} = {one} is more than {high} = {other}", f"swap {low} and {high}")
    if column.closed and not column.values:
        yield _wrong(column.name, "it is closed, and lists no values", "list its values, or take closed out")
    if not column.missing and column.most_missing:
        told = f"nothing may be missing, and {column.most_missing:g} of the rows may be"
        yield _wrong(column.name, told, "write missing = true, or most_missing = 0.0")
    if column.unique and column.most_distinct is not None:
        yield _wrong(column.name, "it is unique, and may have only so many values", "take unique or most_distinct out")
    if column.closed and (column.least_distinct or 0) > len(column.values or ()):
        told = f"it needs {column.least_distinct} different values, and lists {len(column.values or ())}"
        yield _wrong(column.name, told, "list more values, or lower least_distinct")
    yield from _shares(column)
    yield from _distances(column)


def _distances(column: Column) -> Iterator[Finding]:
    """All lie between 0 and 1."""
    told = [("drift", column.drift), ("skew", column.skew)]
    told += [(f"{one} of drift_limits", limit) for one, limit in column.drift_limits.items()]
    told += [(f"{one} of skew_limits", limit) for one, limit in column.skew_limits.items()]
    for field, limit in told:
        if limit is not None and not 0 <= limit <= 1:
            yield _wrong(column.name, f"{field} = {limit:g} is no distance: they lie from 0 to 1", "write 0.1, say")


def _shares(column: Column) -> Iterator[Finding]:
    for one in column.shares:
        if one.least > one.most:
            told = f"the share of {one.value!r} must be at least {one.least:g} and at most {one.most:g}"
            yield _wrong(column.name, told, "swap least and most")
        if column.closed and column.values and one.least > 0 and one.value not in column.values:
            yield _wrong(column.name, f"{one.value!r} must be there, and is not among its values", "list it in values")
    if sum(one.least for one in column.shares) > 1:
        yield _wrong(column.name, "the least shares add up to more than 1", "lower them")


def _types(column: Column) -> Iterator[Finding]:
    for field, kinds in _FITS.items():
        value = getattr(column, field)
        if value is not None and value != _USUAL_FLAGS.get(field) and column.kind not in kinds:
            yield _unfit(column, f"{field} = {value!r} is no limit of a {column.kind} column", f"take {field} out")
    for field in ("least", "most"):
        value = getattr(column, field)
        if value is None or column.kind not in _FITS[field]:
            continue
        if column.kind == "time" and moment(value) is None:
            yield _unfit(column, f"{field} = {value!r} is no time", 'write one such as "2013-01-01T00:00:00Z"')
        elif column.kind != "time" and isinstance(value, str):
            yield _unfit(column, f"{field} = {value!r} is no number", "write a number, without quotes")
    if column.pattern is not None:
        try:
            re.compile(column.pattern)
        except re.error as error:
            yield _unfit(column, f"pattern = {column.pattern!r} is no regular expression: {error}", "mend it")
            return
        is_told = "pattern not matched" not in column.accepted
        if (
            is_told
            and column.values
            and (odd := [one for one in column.values if not re.fullmatch(column.pattern, one)])
        ):
            yield _wrong(column.name, f"its value {odd[0]!r} does not match its pattern", "change one of the two")


def _roles(schema: Schema) -> Iterator[Finding]:
    names = set(schema.names)
    for role, named in (("same_length", [one for group in schema.same_length for one in group]),):
        for name in named:
            if name not in names:
                yield finding(
                    "schema contradicts itself",
                    f"{role} names the column {name!r}, which the schema does not have",
                    did_you_mean(name, names),
                )
            elif schema.column(name).kind != "list":
                yield _unfit(schema.column(name), f"{role} names {name!r}, which holds no lists", "take it out")
    for name in schema.key:
        if name in names and schema.column(name).missing:
            yield _wrong(name, "it is the key, and may be missing", "write missing = false")


def _rows(schema: Schema) -> Iterator[Finding]:
    for low, high in (("least_rows", "most_rows"), ("least_growth", "most_growth")):
        one, other = getattr(schema, low), getattr(schema, high)
        if one is not None and other is not None and one > other:
            told = f"{low} = {one} is more than {high} = {other}"
            yield finding("schema contradicts itself", told, f"swap {low} and {high}")
    for one, other in pairwise(sorted(check.name for check in schema.checks)):
        if one == other:
            yield finding("schema contradicts itself", f"two checks are called {one!r}", "rename one")


def _kinds(schema: Schema) -> Iterator[Finding]:
    for name in (*schema.severity, *schema.accepted, *(kind for column in schema.columns for kind in column.accepted)):
        if name not in KINDS:
            told = f"the schema speaks of findings of the kind {name!r}, and there is none"
            yield finding("schema contradicts itself", told, did_you_mean(name, KINDS))


def above(one: Limit, other: Limit) -> bool:
    """Whether a limit is more than another: of times by their moments; nothing is more than what is no time."""
    if isinstance(one, str) or isinstance(other, str):
        first, second = moment(one), moment(other)
        return first is not None and second is not None and first > second
    return one > other


def _wrong(column: str, message: str, fix: str) -> Finding:
    return finding("schema contradicts itself", f"{column!r}: {message}", fix, column=column)


def _unfit(column: Column, message: str, fix: str) -> Finding:
    return finding("domain does not fit the type", f"{column.name!r}: {message}", fix, column=column.name)
