"""Accepting a finding: the schema widened by the one line that the finding names, with who did it and why."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from loopwright.data.findings import Finding
from loopwright.data.schema import Acceptance, Column, Schema, column_of
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
    made = replace(made, accepted=tuple(sorted({*schema.accepted, *made.accepted})))
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
    made = replace(column, **{one: getattr(given, one) for one in fields})
    if "accepted" in fields:  # each line knows only the kinds that were accepted before it was told
        made = replace(made, accepted=tuple(sorted({*column.accepted, *given.accepted})))
    return replace(made, missing=True) if made.most_missing else made
