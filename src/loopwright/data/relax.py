"""Accepting a finding: the schema widened by the one line that the finding names, with who did it and why.

A line was told without knowing what else is accepted. So where a field holds several limits, each becomes the wider of
the two: what one line accepted, the next does not take back.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from loopwright.data.findings import Finding
from loopwright.data.schema import Acceptance, Check, Column, Measure, Schema, Share, column_of
from loopwright.data.schema_file import plain
from loopwright.errors import UsageError


def accept(schema: Schema, finding: Finding, *, who: str, why: str, at: datetime) -> Schema:
    """The wider schema. The same rows checked against it do not give this finding again. Raises `UsageError` for one
    that no schema accepts, or without a reason.

    >>> from datetime import UTC
    >>> from loopwright.data.finding_kinds import finding
    >>> found = finding("too few rows", "there are 3 rows", "append the rest", accept="least_rows = 3")
    >>> wider = accept(Schema(columns=(), least_rows=10), found, who="ana", why="a holiday", at=datetime.now(UTC))
    >>> wider.least_rows, wider.acceptances[0].why
    (3, 'a holiday')
    """
    if not finding.accept:
        raise UsageError(f"no schema accepts this: {finding.message}", fix=finding.fix)
    if not why.strip() or not who.strip():
        raise UsageError("an acceptance needs who accepts and why", fix='write why="..."')
    wider = widened(schema, finding.accept)
    record = Acceptance(at=at.isoformat(), who=who, why=why, kind=finding.kind, line=finding.accept)
    return replace(wider, acceptances=(*schema.acceptances, record))


def widened(schema: Schema, line: str) -> Schema:
    """With the one line that `schema_file.line` wrote. Raises `DataError` for one that says something else."""
    found = plain(tomllib.loads(line))
    columns = found.pop("columns", {})
    told = schema.to_dict()
    kept = {name: value for name, value in told.items() if name not in ("columns", "format")}
    made = Schema.from_dict({**kept, **found, "format": schema.format, "columns": told["columns"]})
    made = replace(
        made,
        accepted=tuple(sorted({*schema.accepted, *made.accepted})),
        checks=_wider_checks(schema.checks, made.checks),
        same_length=tuple(one for one in made.same_length if one in schema.same_length),
    )
    for name, fields in columns.items():
        made = _with(made, name, fields)
    return made


def _with(schema: Schema, name: str, fields: Mapping[str, Any]) -> Schema:
    if name not in schema.names:
        return replace(schema, columns=(*schema.columns, column_of({"name": name, **fields})))
    columns = tuple(_widened(one, fields) if one.name == name else one for one in schema.columns)
    return replace(schema, columns=columns)


def _widened(column: Column, fields: Mapping[str, Any]) -> Column:
    if "kind" in fields and fields["kind"] != column.kind:  # of another type, none of its limits holds
        kept = ("missing", "required", "most_missing", "absent_in", "tags", "unit", "description", "accepted")
        told = {one: getattr(column, one) for one in kept}
        return column_of({"name": column.name, **told, **fields})
    given = column_of({"name": column.name, "kind": column.kind, "missing": column.missing, **fields})
    wider = {one: _WIDER[one](getattr(column, one), getattr(given, one)) for one in fields if one in _WIDER}
    made = replace(column, **{one: getattr(given, one) for one in fields} | wider)
    return replace(made, missing=True) if made.most_missing else made


def _wider_checks(old: Sequence[Check], new: Sequence[Check]) -> tuple[Check, ...]:
    most = {one.name: one.most for one in old}
    return tuple(replace(one, most=max(one.most, most.get(one.name, 0.0))) for one in new)


def _wider_shares(old: Sequence[Share], new: Sequence[Share]) -> tuple[Share, ...]:
    known = {one.value: one for one in old}
    pairs = [(known.get(one.value, one), one) for one in new]
    return tuple(replace(b, least=min(a.least, b.least), most=max(a.most, b.most)) for a, b in pairs)


def _larger(old: Mapping[Measure, float], new: Mapping[Measure, float]) -> dict[Measure, float]:
    return {name: max(limit, old.get(name, limit)) for name, limit in new.items()}


def _both(old: Sequence[str] | None, new: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(sorted({*(old or ()), *(new or ())}))


def _common(old: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    return tuple(one for one in new if one in old)


_WIDER: Mapping[str, Callable[[Any, Any], Any]] = {
    "accepted": _both, "values": _both, "absent_in": _common, "drift_limits": _larger, "skew_limits": _larger,
    "shares": _wider_shares,
}  # fmt: skip
