"""What only rows tell: keys that repeat, lists that do not match, bytes that are no text, checks of one's
own, and rows that are both trained on and judged by. Each is one streaming pass; what is kept is bounded but for the
keys, of which a hash of eight bytes is.

Checks of one's own are SQL expressions over the columns. No code of a schema is ever run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from loopwright.data.check_texts import LISTED, counted, unmatched
from loopwright.data.examples import SHOWN, told, with_examples
from loopwright.data.finding_kinds import decided, finding
from loopwright.data.findings import Finding, Severity, ranked
from loopwright.data.schema import Check, Schema
from loopwright.data.schema_file import accept_kind, line
from loopwright.errors import did_you_mean

_HASH = "(hash)"
_FEW_EQUAL = 5
"""So many rows without a key are equal to others in any table."""
_WARNED, _TOO_MANY = 0.001, 0.01
"""Shares of the rows that judge, beyond what chance gives."""
_COUNTED = ("list lengths differ", "invalid text", "pattern not matched")
"""What statistics tell too, and rows tell exactly."""


def examine(rows: pl.LazyFrame, schema: Schema, findings: Sequence[Finding] = ()) -> list[Finding]:
    """The findings of `check` with rows that show them, and those that only rows show. Errors first.

    >>> from loopwright.data.schema import Column
    >>> fares = pl.LazyFrame({"fare": [7.5, -1.0]})
    >>> positive = Check(name="positive", expression="fare > 0")
    >>> schema = Schema(columns=(Column(name="fare", kind="float", missing=False),), checks=(positive,))
    >>> print(examine(fares, schema)[0])
    error: the check 'positive' fails in 1 of 2 rows (50.00%): fare > 0
        to do: look at these rows; if they are right, change the check
        to accept: checks = [{ name = "positive", expression = "fare > 0", most = 0.5, severity = "error" }]
        row: fare=-1.0
    """
    types = rows.collect_schema()
    found = [*_duplicates(rows, schema, types), *_checks(rows, schema, types), *_unequal(rows, schema, types)]
    found += [*_patterns(rows, schema, types), *_bytes(rows, schema, types)]
    exact = {(one.kind, one.column) for one in found if one.kind in _COUNTED}
    kept = [one for one in findings if (one.kind, one.column) not in exact]
    return ranked(with_examples([*kept, *decided(found, schema)], rows, schema))


def overlap(train: pl.LazyFrame, test: pl.LazyFrame, columns: Sequence[str], *, is_key: bool = False) -> list[Finding]:
    """Rows of `test` that also are in `train`, by these columns. Where these are no key, equal rows may come about by
    chance: about as many as there are in `train` among themselves are no finding. More than a hundredth beyond that is
    an error.

    >>> one, two = pl.LazyFrame({"id": [1, 2, 3]}), pl.LazyFrame({"id": [3, 4]})
    >>> overlap(one, two, ["id"], is_key=True)[0].message
    '1 of 2 rows (50.0%) are both trained on and judged by: equal in id'
    """
    hashed = row_hash(columns).alias(_HASH)
    known, asked = pl.collect_all([train.select(hashed), test.select(hashed)], engine="streaming")
    found, both = overlapping(known[_HASH], asked[_HASH], columns, is_key=is_key)
    if found is None:
        return []
    again = row_hash(columns).is_in(asked[_HASH].filter(both).head(SHOWN).implode())
    shown = test.filter(again).select(columns).head(SHOWN).collect(engine="streaming")
    return [replace(found, examples=told(shown))]


def row_hash(columns: Sequence[str]) -> pl.Expr:
    """Equal for rows that are equal in these columns."""
    return pl.struct(columns).hash(0)


def overlapping(
    known: pl.Series, asked: pl.Series, columns: Sequence[str], *, is_key: bool = False
) -> tuple[Finding | None, pl.Series]:
    """As `overlap`, of the hashes of rows; and which of those asked for are known."""
    both = asked.is_in(known.unique().implode())
    count, rows = int(both.sum()), len(asked)
    among = 0.0 if is_key else float(known.is_duplicated().mean() or 0.0)  # type: ignore[arg-type]
    by_chance = 0.0 if is_key else 1.5 * among * rows + _FEW_EQUAL
    if count <= by_chance + (0.0 if is_key else _WARNED * rows):
        return None, both
    named = ", ".join(columns) if len(columns) <= 5 else f"all {len(columns)} columns"
    what = f"{count:,} of {rows:,} rows ({count / rows:.1%}) are both trained on and judged by: equal in {named}"
    fix = "remove the rows that came twice, or split by a key that keeps them on one side"
    found = finding(
        "train-test overlap", what, fix, number=count / rows, limit=by_chance / rows,
        accept=accept_kind(None, None, "train-test overlap"),
    )  # fmt: skip
    is_large = is_key or count > by_chance + _TOO_MANY * rows
    return (found if is_large else replace(found, severity=Severity.WARNING)), both


def _duplicates(rows: pl.LazyFrame, schema: Schema, types: Mapping[str, pl.DataType]) -> Iterator[Finding]:
    if not schema.key or any(name not in types for name in schema.key):
        return
    hashes = rows.select(pl.struct(schema.key).hash(0).alias(_HASH)).collect(engine="streaming")[_HASH]
    repeated = hashes.filter(hashes.is_duplicated()).unique()
    if not len(repeated):
        return
    again = pl.struct(schema.key).hash(0).is_in(repeated.head(SHOWN).implode())
    shown = rows.filter(again).head(2 * SHOWN).collect(engine="streaming")
    extra = len(hashes) - hashes.n_unique()
    named = " and ".join(map(repr, schema.key))
    keys, stand = counted(len(repeated), "key"), "stands" if len(repeated) == 1 else "stand"
    what = f"{keys} ({named}) {stand} for more than one row: {counted(extra, 'row')} too many"
    fix = "remove the rows that came twice, or name more columns as the key"
    accept = accept_kind(None, None, "duplicate keys", schema.accepted)
    few = shown.select([*schema.key, *[name for name in shown.columns if name not in schema.key][:5]])
    yield finding("duplicate keys", what, fix, number=extra, limit=0, examples=told(few), accept=accept)


def failed_checks(rows: pl.LazyFrame, schema: Schema) -> list[tuple[Check, pl.Expr]]:
    """The schema's own checks that more rows fail than may, each with what is true on these rows."""
    types = rows.collect_schema()
    return [(check, fails) for check, fails, _, _ in _above(rows, _parsed(rows, schema, types)[0])]


def _checks(rows: pl.LazyFrame, schema: Schema, types: Mapping[str, pl.DataType]) -> Iterator[Finding]:
    parsed, wrong = _parsed(rows, schema, types)
    yield from wrong
    for check, fails, count, among in _above(rows, parsed):
        shown = rows.filter(fails).select(_shown(check, schema, types)).head(SHOWN).collect(engine="streaming")
        yield _failed(check, schema, count, among, shown)


def _parsed(
    rows: pl.LazyFrame, schema: Schema, types: Mapping[str, pl.DataType]
) -> tuple[list[tuple[Check, pl.Expr]], list[Finding]]:
    """Each check with what is true on rows that fail it; and what is wrong with those that cannot be made."""
    made = [(check, _expression(check, rows, types)) for check in schema.checks if check.severity != "ignore"]
    parsed = [(check, one.not_().fill_null(value=False)) for check, one in made if isinstance(one, pl.Expr)]
    return parsed, [one for _, one in made if isinstance(one, Finding)]


def _above(rows: pl.LazyFrame, parsed: Sequence[tuple[Check, pl.Expr]]) -> Iterator[tuple[Check, pl.Expr, int, int]]:
    """Those that fail in more rows than they may: in how many, of how many."""
    if not parsed:
        return
    counts = rows.select(pl.len(), *[fails.sum().alias(str(at)) for at, (_, fails) in enumerate(parsed)])
    among, *failed = counts.collect(engine="streaming").row(0)
    for (check, fails), count in zip(parsed, failed, strict=True):
        if count and count / among > check.most:
            yield check, fails, count, among


def _expression(check: Check, rows: pl.LazyFrame, types: Mapping[str, pl.DataType]) -> pl.Expr | Finding:
    """Of the columns there are, and true or false; else why not."""
    named = f"the check {check.name!r} cannot be made: {check.expression}"
    try:
        made = pl.sql_expr(check.expression)
        for name in made.meta.root_names():
            if name not in types:
                return _contradiction(f"{named}: there is no column {name!r}", did_you_mean(name, types))
        dtype = rows.head(0).select(made).collect().dtypes[0]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        return _contradiction(f"{named}: {str(error).splitlines()[0]}", "write a SQL expression over the columns")
    if dtype != pl.Boolean:
        return _contradiction(f"{named}: it gives {dtype}", "write a condition, which is true or false")
    return made


def _contradiction(message: str, fix: str) -> Finding:
    return finding("schema contradicts itself", message, fix)


def _shown(check: Check, schema: Schema, types: Mapping[str, pl.DataType]) -> list[str]:
    named = (*schema.key, *pl.sql_expr(check.expression).meta.root_names())
    return [name for name in dict.fromkeys(named) if name in types]


def _failed(check: Check, schema: Schema, count: int, rows: int, shown: pl.DataFrame) -> Finding:
    share = count / rows
    what = f"the check {check.name!r} fails in {count:,} of {rows:,} rows ({share:.2%}): {check.expression}"
    most = math.ceil(share * 10_000) / 10_000
    wider = [{**one, "most": most} if one["name"] == check.name else one for one in map(_plain, schema.checks)]
    found = finding(
        "check failed", what, "look at these rows; if they are right, change the check", number=share, limit=check.most,
        examples=told(shown), accept=line(None, "checks", wider),
    )  # fmt: skip
    return replace(found, severity=Severity(check.severity))


def _plain(check: Check) -> dict[str, object]:
    return {"name": check.name, "expression": check.expression, "most": check.most, "severity": check.severity}


def _unequal(rows: pl.LazyFrame, schema: Schema, types: Mapping[str, pl.DataType]) -> Iterator[Finding]:
    """Row by row: lists whose lengths have the same statistics may differ all the same."""
    for names in schema.same_length:
        lists = [name for name in names if isinstance(types.get(name), pl.List)]
        if len(lists) < 2:
            continue
        differs = pl.any_horizontal(
            [pl.col(name).list.len().ne_missing(pl.col(lists[0]).list.len()) for name in lists[1:]]
        )
        odd = rows.filter(differs).select(*[name for name in schema.key if name in types], *lists)
        count = int(odd.select(pl.len()).collect(engine="streaming").item())
        if count:
            what = f"the lists of {' and '.join(map(repr, lists))} are not equally long in {counted(count, 'row')}"
            accept = line(None, "same_length", [list(one) for one in schema.same_length if one != names])
            shown = told(odd.head(SHOWN).collect())
            fix = "find the rows that lost items"
            yield finding(
                "list lengths differ", what, fix, column=lists[0], number=count, limit=0, examples=shown, accept=accept
            )


def _patterns(rows: pl.LazyFrame, schema: Schema, types: Mapping[str, pl.DataType]) -> Iterator[Finding]:
    """Of every row, where statistics know a sample of the texts. What Polars' expressions cannot say stays a sample."""
    for column in schema.columns:
        if column.pattern is None or types.get(column.name) != pl.String:
            continue
        text = pl.col(column.name)
        odd = rows.filter((text != "") & ~text.str.contains(rf"\A(?:{column.pattern})\z")).select(text)
        try:
            counts = odd.group_by(text).len().sort(["len", column.name], descending=[True, False])
            listed = counts.with_columns(all=pl.col("len").sum()).head(LISTED).collect(engine="streaming")
        except pl.exceptions.PolarsError:
            continue
        if len(listed):
            there = rows.select((text != "").sum()).collect(engine="streaming").item()
            few = tuple((value, count) for value, count, _ in listed.iter_rows())
            total = int(listed["all"][0])
            yield unmatched(column, "", total, total / there, few)


def _bytes(rows: pl.LazyFrame, schema: Schema, types: Mapping[str, pl.DataType]) -> Iterator[Finding]:
    """Columns of bytes where the schema has text."""
    known = {column.name: column for column in schema.columns if column.kind == "string"}
    for name in [name for name, dtype in types.items() if dtype == pl.Binary and name in known]:
        odd = rows.filter(pl.col(name).map_elements(is_no_utf8, return_dtype=pl.Boolean))
        count = int(odd.select(pl.len()).collect(engine="streaming").item())
        if count:
            what = f"{name!r} is no UTF-8 in {counted(count, 'row')}"
            accept = accept_kind(known[name], name, "invalid text")
            shown = told(odd.select(*[one for one in schema.key if one in types], name).head(SHOWN).collect())
            fix = "read the source in its own encoding"
            yield finding("invalid text", what, fix, column=name, number=count, limit=0, examples=shown, accept=accept)


def is_no_utf8(value: bytes) -> bool:
    """Whether the bytes are no text."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return True
    return False
