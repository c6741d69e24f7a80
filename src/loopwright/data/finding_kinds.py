"""Every kind of finding: what it says, and how severe it usually is. A schema's `severity` says otherwise.

What no model should be trained on stops the run: a column that is gone or of another type, a key that repeats, a label
in other words. What only moved is told. Images and natural language are no columns of a table: kinds for them are left
out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from loopwright.data.findings import Finding, Severity
from loopwright.data.schema import Schema

_E, _W = Severity.ERROR, Severity.WARNING

KINDS: Mapping[str, tuple[Severity, str]] = {
    # rows
    "no rows": (_E, "there is nothing to look at"),
    "too few rows": (_W, "fewer rows than the schema wants"),
    "too many rows": (_W, "more rows than the schema wants"),
    "rows shrank": (_W, "far fewer rows than in the span before"),
    "rows grew": (_W, "far more rows than in the span before"),
    "comparison data missing": (_W, "a limit compares with rows that were not given"),
    # columns
    "new column": (_W, "a column that the schema does not know"),
    "missing column": (_E, "a column of the schema that is not there"),
    "column not expected": (_W, "a column that has no business in this environment"),
    "wrong type": (_E, "values of another type"),
    "unexpected repetition": (_E, "lists where single values belong"),
    "looks like another type": (_W, "texts that are numbers, booleans or times in quotes"),
    "mixed types": (_W, "texts of which many, but not all, are numbers, booleans or times"),
    "copies": (_W, "columns that are equal in every row"),
    "constant": (_W, "one value in every row"),
    "near-constant": (_W, "one value in nearly every row"),
    # what is there
    "all missing": (_W, "no row has a value"),
    "too many missing": (_W, "a higher share of the rows has no value than allowed"),
    "too few values": (_W, "fewer rows have a value than the schema wants"),
    "NaN": (_W, "numbers that are none"),
    "infinity": (_W, "numbers without end"),
    # values
    "value out of domain": (_W, "values that the schema does not list"),
    "number too small": (_W, "numbers below the limit"),
    "number too big": (_W, "numbers above the limit"),
    "time too early": (_W, "times before the limit"),
    "time too late": (_W, "times after the limit"),
    "time out of range": (_W, "times before the year 1 or after 9999"),
    "text too short": (_W, "texts with fewer characters than allowed"),
    "text too long": (_W, "texts with more characters than allowed"),
    "pattern not matched": (_W, "texts of another form"),
    "list too short": (_W, "lists with fewer items than allowed"),
    "list too long": (_W, "lists with more items than allowed"),
    "wrong shape": (_E, "lists of another length than all have"),
    "list lengths differ": (_E, "lists that belong together and are not equally long"),
    "too few distinct": (_W, "fewer different values than the schema wants"),
    "too many distinct": (_W, "more different values than the schema wants"),
    "not unique": (_E, "values that repeat where none may"),
    "share too small": (_W, "a value that is rarer than allowed"),
    "share too large": (_W, "a value that is more frequent than allowed"),
    "goes back in time": (_W, "a span that reaches back before the one before it"),
    # weights and labels
    "weights missing": (_E, "rows without a weight, or no column of weights"),
    "weights mismatched": (_E, "weights below zero, or which add up to nothing"),
    "no columns": (_E, "there is no column to learn from"),
    "no labels": (_E, "no row has its label"),
    "one label": (_E, "every row has the same label"),
    "leak": (_E, "a column that gives the label away"),
    # spans
    "differs from the last span": (_W, "a distance from the span before is too large"),
    "differs from training": (_W, "a distance from the training rows is too large"),
    "unit jump": (_W, "all values were multiplied, as by another unit"),
    "drift": (_W, "a column that moved, more than chance and its limit allow"),
    # rows, looked at
    "duplicate keys": (_E, "a key that stands for several rows"),
    "look-alike categories": (_W, "categories that differ in case, spaces or accents alone"),
    "invalid text": (_W, "bytes that are no UTF-8, or what is left of such"),
    "mojibake": (_W, "text that was decoded in the wrong encoding"),
    "rows from the future": (_E, "rows of a time that has not come"),
    "gap in time": (_W, "a stretch of time without rows"),
    "train-test overlap": (_E, "rows that are both trained on and judged by"),
    "check failed": (_E, "rows that fail a check of one's own"),
    # the schema itself
    "schema contradicts itself": (_E, "limits that no data can meet"),
    "domain does not fit the type": (_E, "limits that a column of this type cannot have"),
}  # fmt: skip

OF_ROWS = frozenset({
    "too many missing", "NaN", "infinity", "value out of domain", "number too small", "number too big",
    "time too early", "time too late", "time out of range", "text too short", "text too long", "pattern not matched",
    "list too short",
    "list too long", "wrong shape", "list lengths differ", "not unique", "duplicate keys", "invalid text", "mojibake",
    "weights missing", "weights mismatched", "rows from the future", "check failed",
})  # fmt: skip
"""Kinds that single rows fail: these can be set aside."""

ALIKE: Mapping[str, str] = {"looks like another type": "mixed types", "mixed types": "looks like another type"}
"""One condition in two degrees: whoever accepts one accepts the other."""


def finding(kind: str, message: str, fix: str, *, column: str | None = None, **more: Any) -> Finding:
    """Of its usual severity."""
    return Finding(kind=kind, severity=KINDS[kind][0], message=message, fix=fix, column=column, **more)


def decided(findings: Sequence[Finding], schema: Schema) -> list[Finding]:
    """As the schema has it: without what was accepted or is ignored, and each of the severity that it says."""
    accepted = {column.name: {*column.accepted, *_too(column.accepted)} for column in schema.columns}
    kept = []
    for one in findings:
        where = accepted.get(one.column, ()) if one.column is not None else ()
        severity = schema.severity.get(one.kind)
        if one.kind in where or one.kind in (*schema.accepted, *_too(schema.accepted)) or severity == "ignore":
            continue
        kept.append(one if severity is None else _as(one, Severity(severity)))
    return kept


def _too(accepted: Sequence[str]) -> list[str]:
    """What is accepted with it."""
    return [ALIKE[one] for one in accepted if one in ALIKE]


def _as(one: Finding, severity: Severity) -> Finding:
    return replace(one, severity=severity)
