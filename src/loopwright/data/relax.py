"""Accepting a finding: the schema widened by the one line that the finding names, with who did it and why.

A line was told without knowing what else is accepted. So every limit becomes the wider of the two: what one line
accepted, another does not take back, in whatever order they come. A line that would narrow a limit, or says anything
but a limit, is refused: that is for who edits the file. A type is no limit, and is replaced.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from loopwright.data.contradictions import above, contradictions
from loopwright.data.drift import FLOOR
from loopwright.data.findings import Finding
from loopwright.data.schema import Acceptance, Check, Column, Measure, Schema, Share, column_of
from loopwright.data.schema_file import plain, toml
from loopwright.errors import DataError, LoopwrightError, UsageError, did_you_mean

_COPY = "copy the line that follows `to accept:`; to narrow or to change a schema, edit its file"
_KEPT = ("missing", "required", "most_missing", "absent_in", "tags", "unit", "description", "accepted")
"""What a column of another type keeps; of its other limits none holds."""


def accept(
    schema: Schema, finding: Finding, *, who: str, why: str, at: datetime, before: Schema | None = None
) -> Schema:
    """The wider schema. The same rows checked against it do not give this finding again. `before` is the schema that
    the finding was told of, where others were accepted since. Raises `UsageError` for one that no schema accepts,
    without a reason, and for a line that does not widen.

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
    wider = widened(schema, finding.accept, before=before)
    record = Acceptance(at=at.isoformat(), who=who, why=why, kind=finding.kind, line=finding.accept)
    return replace(wider, acceptances=(*schema.acceptances, record))


def widened(schema: Schema, line: str, *, before: Schema | None = None) -> Schema:
    """With the one line that `schema_file.line` wrote; `before` as in `accept`. Raises `UsageError` for a line that
    says something else.
    """
    try:
        found = plain(tomllib.loads(line))
        columns = found.pop("columns", {})
        made = _rows(schema, before or schema, found)
        for name, fields in columns.items():
            made = _with(made, before or schema, name, fields)
    except tomllib.TOMLDecodeError as error:
        raise _refused(line, f"this is no line of a schema: {error}") from None
    except (AttributeError, TypeError):
        raise _refused(line, "this is no line of a schema") from None
    except LoopwrightError as error:
        raise _refused(line, f"{error.where}: {error.what}" if error.where else error.what, error.fix) from None
    wrong = Counter((one.kind, one.column) for one in contradictions(schema))
    for one in contradictions(made):  # what was wrong already may still be
        wrong[one.kind, one.column] -= 1
        if wrong[one.kind, one.column] < 0:
            raise _refused(line, one.message, one.fix)
    return made


def _refused(line: str, what: str, fix: str | None = None) -> UsageError:
    return UsageError(f"{line} cannot be accepted: {what}", fix=fix or _COPY)


def _rows(schema: Schema, before: Schema, found: Mapping[str, Any]) -> Schema:
    """The limits of the rows together."""
    if not found:
        return schema
    for name in found:
        if name not in _OF_ROWS and name not in Schema.__dataclass_fields__:
            raise DataError(f"there is no {name!r} in a schema", fix=did_you_mean(name, _OF_ROWS))
    given = Schema.from_dict({**found, "format": schema.format, "columns": []})
    return replace(schema, **{one: _wider(one, _OF_ROWS, schema, before, given) for one in found})


def _with(schema: Schema, before: Schema, name: str, fields: Mapping[str, Any]) -> Schema:
    if name not in schema.names:
        if "kind" not in fields:
            raise DataError(f"there is no column {name!r}", fix=did_you_mean(name, schema.names))
        return replace(schema, columns=(*schema.columns, column_of({"name": name, **fields})))
    old = before.column(name) if name in before.names else schema.column(name)
    columns = tuple(_widened(one, old, fields) if one.name == name else one for one in schema.columns)
    return replace(schema, columns=columns)


def _widened(column: Column, before: Column, fields: Mapping[str, Any]) -> Column:
    kind = fields.get("kind", column.kind)
    if (column.kind, kind) == ("float", "integer"):
        raise DataError("kind = 'integer' is narrower than kind = 'float', which takes whole numbers too")
    given = column_of({"name": column.name, "missing": column.missing, **fields, "kind": kind})
    for one in contradictions(Schema(columns=(given,))):
        if one.kind == "domain does not fit the type":
            raise DataError(one.message, fix=one.fix)
    if kind != column.kind:
        kept = {one: getattr(column, one) for one in _KEPT}
        column = Column(name=column.name, kind=given.kind, **kept)
        before = column if before.kind != kind else before
    said = [one for one in fields if one != "kind"]
    made = replace(column, **{one: _wider(one, _OF_COLUMN, column, before, given) for one in said})
    return replace(made, missing=True) if "most_missing" in said and made.most_missing else made


Side = Callable[[Any, Any], Any]
"""The wider of what holds and what is given; None is no limit."""


def _wider(name: str, sides: Mapping[str, Side], now: Any, before: Any, given: Any) -> Any:
    """Of one field. Raises `DataError` where what is given is narrower than what held before, or the field no limit."""
    side = sides.get(name)
    if side is None:
        raise DataError(f"{name} is no limit that can be widened", fix=f"edit {name} in the file of the schema")
    holds, told = _limit(before, name), getattr(given, name)
    if side is not _all and told != holds and side(holds, told) == holds:
        said = f"{name} = {toml(holds)}" if isinstance(holds, int | float | str) else f"it has no narrower {name}"
        raise DataError(f"the schema allows more already: {said}", fix="to narrow a limit, edit the file of the schema")
    return side(_limit(now, name), told)


def _limit(one: Any, name: str) -> Any:
    """What holds, also where nothing is written."""
    value = getattr(one, name)
    if value is None and name in ("drift", "skew"):
        return FLOOR
    return 0.0 if value is None and name == "most_missing" and not one.missing else value


def _smaller(old: Any, new: Any) -> Any:
    return None if old is None or new is None else new if above(old, new) else old


def _larger(old: Any, new: Any) -> Any:
    return None if old is None or new is None else new if above(new, old) else old


def _either(old: bool, new: bool) -> bool:
    return old or new


def _only_both(old: bool, new: bool) -> bool:
    return old and new


def _all(old: Sequence[str] | None, new: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(sorted({*(old or ()), *(new or ())}))


def _common(old: Sequence[Any], new: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(one for one in old if one in new)


def _distances(old: Mapping[Measure, float], new: Mapping[Measure, float]) -> dict[Measure, float]:
    return {name: max(limit, new.get(name, limit)) for name, limit in old.items()}


def _shares(old: Sequence[Share], new: Sequence[Share]) -> tuple[Share, ...]:
    told = {one.value: one for one in new}
    pairs = [(one, told.get(one.value, one)) for one in old]
    return tuple(replace(a, least=min(a.least, b.least), most=max(a.most, b.most)) for a, b in pairs)


def _checks(old: Sequence[Check], new: Sequence[Check]) -> tuple[Check, ...]:
    """Only of the same expression: another one is another check."""
    most = {(one.name, one.expression): one.most for one in new}
    return tuple(replace(one, most=max(one.most, most.get((one.name, one.expression), 0.0))) for one in old)


_OF_COLUMN: Mapping[str, Side] = {
    "missing": _either, "nan": _either, "infinite": _either,
    "required": _only_both, "closed": _only_both, "unique": _only_both,
    "least": _smaller, "shortest": _smaller, "least_distinct": _smaller, "least_present": _smaller,
    "most": _larger, "longest": _larger, "most_distinct": _larger, "most_missing": _larger, "most_outside": _larger,
    "drift": _larger, "skew": _larger, "drift_limits": _distances, "skew_limits": _distances, "shares": _shares,
    "values": _all, "accepted": _all, "absent_in": _common,
}  # fmt: skip
_OF_ROWS: Mapping[str, Side] = {
    "least_rows": _smaller, "least_growth": _smaller, "most_rows": _larger, "most_growth": _larger,
    "same_length": _common, "checks": _checks, "accepted": _all,
}  # fmt: skip
