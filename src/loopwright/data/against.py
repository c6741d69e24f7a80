"""What moved since: the newest rows against the span before, and against what the champion was trained on. Pure.

A column has drifted when the newest span and the one before it both differ from the champion's training rows; all else
only makes suspect. The label is not compared, for the newest rows have fewer labels; the time and the key move on by
themselves. Nothing here stops a run but what the schema file calls an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from loopwright.data.check import check
from loopwright.data.described import Described
from loopwright.data.drift import drift
from loopwright.data.drifted import ColumnDrift, Drift, Standing
from loopwright.data.finding_kinds import decided, finding
from loopwright.data.findings import Finding, ranked
from loopwright.data.infer import infer
from loopwright.data.printable import printable
from loopwright.data.profile import Profile
from loopwright.data.schema import Schema
from loopwright.data.schema_diff import Change, diff
from loopwright.data.schema_file import line
from loopwright.data.table import Table

_STRUCTURE = ("added", "removed", "order", "kind", "missing", "label", "never", "key", "time")
"""What of a contract without a schema file is a change: its limits are inferred, and move with every row."""
_TOLD_OTHERWISE = ("missing column", "new column", "wrong type", "unexpected repetition", "constant", "near-constant")
"""Told as a change of the schema, or by the rows themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A version as later rows are held against it: what its bundle says of its training rows."""

    name: str
    profile: Profile
    schema: Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """What moved. A comparison is None where there was nothing to compare with."""

    champion: str | None
    """`flights v3`."""
    spans: Drift | None = None
    """The newest span against the one before."""
    newest: Drift | None = None
    """The newest span against the champion's training rows."""
    rows: Drift | None = None
    """All rows against the champion's training rows."""
    changes: tuple[str, ...] = ()
    """In the column contract since the champion's."""
    findings: tuple[Finding, ...] = ()
    is_short: bool = False
    """Whether the rows do not reach back over the span before the newest, so that the two were not compared."""

    @property
    def columns(self) -> dict[str, list[str]]:
        """Names of those that `drifted`, and of those `suspected`."""
        found = {one.name: one.standing for one in reversed(list(_moved(self)))}
        return {str(wanted): sorted(name for name, one in found.items() if one is wanted) for wanted in _SAID}

    def __str__(self) -> str:
        told = [f"{what}: {_short(one)}" for what, one in _named(self)]
        if self.is_short:
            told.append("the newest span against the one before: not enough data: the rows do not reach back over two")
        told += [f"the schema changed: {printable(change)}" for change in self.changes]
        return "\n".join([*told, *map(str, self.findings)]) or "nothing to compare with yet"


_SAID = (Standing.DRIFTED, Standing.SUSPECTED)


def look_back(
    now: Described, schema: Schema, table: Table, features: Sequence[str], trained: Trained | None, *, is_declared: bool
) -> Drifted:
    """`schema` is the contract of these rows; `is_declared` says whether its limits come from a schema file."""
    whole, span, before = (
        None if one is None else one.profile().only(features) for one in (now.rows, now.span, now.before)
    )
    assert whole is not None
    aside = {*table.key, *([table.time] if table.time else []), *([table.label] if table.label else [])}

    def moved(reference: Profile | None, current: Profile | None, previous: Drift | None = None) -> Drift | None:
        if reference is None or current is None:
            return None
        return drift(reference, current, schema=schema, previous=previous, leave_out=aside)

    then = None if trained is None else trained.profile
    found = Drifted(
        champion=None if trained is None else trained.name,
        spans=moved(before, span),
        newest=moved(then, span, moved(then, before)),
        rows=moved(then, whole),
        is_short=now.span is not None and now.before is None,
        changes=() if trained is None else tuple(map(str, _changes(trained.schema, schema, is_declared=is_declared))),
    )
    told = [_finding(one, f"{what}: ") for one, what in _first(found)]
    if trained is not None:
        held = _since(trained, span or whole, schema, table, is_declared=is_declared)
        told += [one for one in held if one.column in features]
    return replace(found, findings=tuple(ranked(decided(told, schema))))


def _named(found: Drifted) -> Iterator[tuple[str, Drift]]:
    """The comparisons there are, the most telling first."""
    for what, one in (
        (f"the newest span against the training rows of {found.champion}", found.newest),
        (f"all rows against the training rows of {found.champion}", found.rows),
        ("the newest span against the one before", found.spans),
    ):
        if one is not None:
            yield what, one


def _moved(found: Drifted) -> Iterator[ColumnDrift]:
    for _, one in _named(found):
        yield from (*one.drifted, *one.suspected)


def _first(found: Drifted) -> Iterator[tuple[ColumnDrift, str]]:
    """Each column once, by the first comparison that it moved in."""
    told = set()
    for what, one in _named(found):
        for column in (*one.drifted, *one.suspected):
            if column.name not in told:
                told.add(column.name)
                yield column, what


def _short(one: Drift) -> str:
    return str(one).partition("\n")[0]


def drift_findings(found: Drift, schema: Schema | None, *, is_skew: bool = False) -> list[Finding]:
    """What one comparison says, as the schema has it; `is_skew` where its `skew` limits held."""
    told = [_finding(one, "", "skew" if is_skew else "drift") for one in (*found.drifted, *found.suspected)]
    return list(ranked(told if schema is None else decided(told, schema)))


def _finding(column: ColumnDrift, what: str, field: str = "drift") -> Finding:
    effect = min(int(column.effect * 100 + 1) / 100, 1.0)  # the largest there is
    return finding(
        "drift", f"{what}{column}",
        "look at what changed where the rows come from; a model that learns again may know it", column=column.name,
        number=column.effect, limit=max(column.floor, column.noise), accept=line(column.name, field, effect),
    )  # fmt: skip


def _changes(before: Schema, now: Schema, *, is_declared: bool) -> list[Change]:
    """What is merely seen is no change: values of a domain that is not closed."""
    found = []
    for change in diff(before, now):
        was_open = (
            change.field == "values" and not _is_closed(before, change.column) and not _is_closed(now, change.column)
        )
        if not was_open and (is_declared or change.field in _STRUCTURE):
            found.append(change)
    return found


def _is_closed(schema: Schema, name: str | None) -> bool:
    return any(column.closed for column in schema.columns if column.name == name)


def _since(trained: Trained, now: Profile, schema: Schema, table: Table, *, is_declared: bool) -> list[Finding]:
    """What plain limits on the distance from training tell; and without a schema file, what is unlike what the
    champion was trained on."""
    if is_declared:
        told = check(now, schema.only(name for name in schema.names if name in now.kinds), training=trained.profile)
        return [one for one in told if one.kind == "differs from training"]
    known = [name for name in trained.profile.kinds if name in now.kinds and name != table.label]
    told = check(now, infer(trained.profile.only(known), Table(table.name, time=_time(table, known))))
    return [one for one in told if one.kind not in _TOLD_OTHERWISE]


def _time(table: Table, known: Sequence[str]) -> str | None:
    return table.time if table.time in known else None
