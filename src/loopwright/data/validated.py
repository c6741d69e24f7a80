"""Whether rows may be trained on: held against a schema file, or against what is wrong in any data; and without the
rows that the loop's declaration sets aside. Reads the pinned rows, and no clock: the same rows give the same answer."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from loopwright.data import leaks, quarantine
from loopwright.data.check import check
from loopwright.data.declare import Validate
from loopwright.data.described import Described, described
from loopwright.data.examine import examine
from loopwright.data.finding_kinds import decided
from loopwright.data.findings import Finding, Severity, errors, ranked
from loopwright.data.gaps import gaps
from loopwright.data.printable import printable
from loopwright.data.rows import Rows
from loopwright.data.schema import Schema
from loopwright.data.seen import Seen
from loopwright.data.sketch import TimeSketch
from loopwright.data.spans import plain_schema
from loopwright.data.tables import Tables
from loopwright.data.validate import contract, unlearnable
from loopwright.errors import DataError

_OF_SPANS = (
    "goes back in time", "unit jump", "differs from the last span", "comparison data missing", "rows shrank",
    "rows grew",
)  # fmt: skip
_GAP = "gap in time"
_MOST_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """The rows that may be trained on, their column contract, and what was found all the same."""

    schema: Schema
    """What a model of these rows will take."""
    findings: tuple[Finding, ...]
    rows: Rows
    """Without those that were set aside: what every later step reads."""
    described: Described | None = None
    """Of the rows that were kept; None where all were."""
    set_aside: Mapping[str, int] = field(default_factory=dict)
    """Rows by reason; one that fails twice counts for both."""
    set_aside_rows: int = 0
    declared: str | None = None
    """Digest of the schema file; None where there is none."""

    @property
    def quarantine(self) -> Path | None:
        """Parquet: the rows that were set aside, whole, with their place and `reason`."""
        return self.rows.aside

    def to_dict(self) -> dict[str, Any]:
        """For a version's lineage, in short: what stays the same when the same rows are validated again."""
        found = [
            f"{one.severity.value}: {one.kind}" + (f": {printable(one.column)}" if one.column else "")
            for one in self.findings
        ]
        rest = [f"and {len(found) - _MOST_TOLD} more"] if len(found) > _MOST_TOLD else []
        aside = {"rows": self.set_aside_rows, "reasons": dict(self.set_aside)} if self.set_aside_rows else None
        return {"schema": self.declared, "findings": [*found[:_MOST_TOLD], *rest], "set_aside": aside}


def validated(
    found: Described,
    rows: Rows,
    tables: Tables,
    validating: Validate,
    given: Schema | None,
    *,
    trust: Sequence[str],
    seed: int,
    folder: Path,
) -> Validated:
    """`given` is the schema file's; `trust` names columns that may decide the label alone; into `folder` goes what is
    set aside. Whether errors stop is for the caller to say: `refuse`.

    Raises `DataError` where too many rows would be set aside, for weights that are none, and for lists.
    """
    findings = _findings(found, rows, tables, given)
    kept = _set_aside(rows, tables, findings, validating, _schema(found, rows, given), folder)
    if kept is not None:
        rows, counts, number = kept
        whole, found = found, described(rows, tables, validating.span)
        findings = _without_own_gaps(_findings(found, rows, tables, given), whole, found, rows)
    rows.refuse_weights(tables)
    if not errors(findings):
        findings = ranked([*findings, *_leaks(rows, tables, trust, given, seed)])
    return Validated(
        schema=contract(found.rows, rows.features, rows.table, given),
        findings=tuple(findings),
        rows=rows,
        described=None if kept is None else found,
        set_aside={} if kept is None else counts,
        set_aside_rows=0 if kept is None else number,
        declared=None if given is None else given.digest,
    )


def refuse(findings: Iterable[Finding], rows: Rows, validating: Validate) -> None:
    """Raises `DataError` with every error there is, what to do, and the lines that accept them."""
    stops = errors(findings)
    if not stops:
        return
    fixes = list(dict.fromkeys(one.fix for one in stops))
    raise DataError(
        "; ".join(one.message for one in stops),
        where=f"table {rows.table.name!r}",
        fix="\n  or ".join(["; ".join(fixes), *_instead(stops, rows.table.name, validating)]),
    )


def _instead(stops: Sequence[Finding], table: str, validating: Validate) -> list[str]:
    """Other ways out: to accept what was found, or to leave its rows out."""
    lines = [shlex.quote(one.accept) for one in stops if one.accept]
    file = validating.schema or "schema.toml"
    ways = []
    if lines:
        make = f"lw data schema {table} --output {file}, name it: validate=lw.Validate({file!r}), and "
        accept = f'lw data accept {" ".join(lines)} --schema {file} --because "..."'
        ways.append(f"accept it: {'' if validating.schema else make}{accept}")
    if validating.quarantine is False and quarantine.wanted(stops, Validate(quarantine=True)):
        ways.append("set these rows aside: validate=lw.Validate(..., quarantine=True)")
    return ways


def _findings(found: Described, rows: Rows, tables: Tables, given: Schema | None) -> list[Finding]:
    schema = _schema(found, rows, given)
    seen = Seen.of(found.rows.profile())
    told = [one for one in check(seen, schema, now=rows.version.appended_at) if one.kind != "comparison data missing"]
    told = _stopping(told, rows, schema)
    told += decided(unlearnable(found.rows, rows.features, rows.label), schema)
    if found.rows.rows:
        told = examine(rows.scan(tables, rows.version.columns), schema, told)
    distinct = {
        (one.kind, one.column, one.message if one.kind == _GAP else ""): one
        for one in [*told, *_of_spans(found, schema)]
    }
    return ranked(distinct.values())


def _stopping(found: Sequence[Finding], rows: Rows, schema: Schema) -> list[Finding]:
    """What is infinite is an error here, unless the schema says otherwise: most models cannot be trained on it."""
    learned = {*rows.features, rows.label, rows.weight} if "infinity" not in schema.severity else set()
    is_so = [one.kind == "infinity" and one.column in learned for one in found]
    fix = "most models cannot be trained on it: look for a division by zero, or write null"
    return [
        replace(one, severity=Severity.ERROR, fix=fix) if stops else one
        for one, stops in zip(found, is_so, strict=True)
    ]


def _without_own_gaps(findings: Sequence[Finding], whole: Described, kept: Described, rows: Rows) -> list[Finding]:
    """Without the stretches of time in which rows were set aside, and that were no gaps with these."""
    if rows.aside is None or not any(one.kind == _GAP for one in findings):
        return list(findings)
    aside, before, after = pl.read_parquet(rows.aside), _gaps(whole), _gaps(kept)
    stretches = {name: iter(found) for name, found in after.items()}
    told = []
    for one in findings:
        if one.kind == _GAP:
            name = str(one.column)
            start, end = next(stretches[name])
            times = aside[name].cast(pl.Datetime("us", "UTC")).to_physical()
            was_gap = any(first < end and start < last for first, last in before[name])
            if not was_gap and bool(times.is_between(start, end).any()):
                continue
        told.append(one)
    return told


def _gaps(found: Described) -> dict[str, list[tuple[int, int]]]:
    sketches = found.rows.profile().at_rest().sketches
    return {name: gaps(sketch) for name, sketch in sketches.items() if isinstance(sketch, TimeSketch)}


def _of_spans(found: Described, schema: Schema) -> list[Finding]:
    """The newest span against the one before."""
    if found.span is None or found.before is None:
        return []
    spans = found.span.profile(), found.before.profile()
    told = check(spans[0], schema, previous=spans[1], equally_long=True)
    return [one for one in told if one.kind in _OF_SPANS]


def _schema(found: Described, rows: Rows, given: Schema | None) -> Schema:
    """The file's, with the roles that the loop declares. What must never reach training is not looked at."""
    table = rows.table
    if given is None:
        return plain_schema(Seen.of(found.rows.profile()), table)
    columns = tuple(column for column in given.columns if column.name not in table.never)
    return replace(given, columns=columns, key=table.key, time=table.time, label=table.label, never=table.never)


def _leaks(rows: Rows, tables: Tables, trust: Sequence[str], given: Schema | None, seed: int) -> list[Finding]:
    read = rows.scan(tables, [*rows.features, rows.label]).collect()
    suspects = [name for name in rows.features if name not in trust]
    found = leaks.leaks(read, suspects, rows.label, seed=seed)
    return found if given is None else decided(found, given)


def _set_aside(
    rows: Rows, tables: Tables, found: Sequence[Finding], validating: Validate, schema: Schema, folder: Path
) -> tuple[Rows, dict[str, int], int] | None:
    """The rows that are kept; and how many are not, by reason. None where all are. Raises `DataError` for too many."""
    wanted = quarantine.wanted(found, validating)
    if not wanted:
        return None
    whole = rows.scan(tables, rows.version.columns)
    aside = quarantine.failing(whole, wanted, schema)
    if not len(aside):
        return None
    counts, among = quarantine.counted(aside), int(whole.select(pl.len()).collect().item())
    share = len(aside) / among
    if share > validating.most_quarantined:
        reasons = ", ".join(f"{printable(reason)} ({count:,})" for reason, count in counts.items())
        raise DataError(
            f"{len(aside):,} of {among:,} rows ({share:.1%}) would be set aside, more than "
            f"{validating.most_quarantined:.1%}: {reasons}",
            where=f"table {rows.table.name!r}",
            fix="mend what the rows come from; or, if so many may fail, write a higher most_quarantined=",
        )
    path = folder / "quarantine.parquet"
    aside.write_parquet(path)
    return replace(rows, aside=path), counts, len(aside)
