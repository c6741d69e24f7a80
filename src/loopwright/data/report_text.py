"""A report as lines of a terminal: one a column, findings below. No colours: whoever prints may add some.

As many lines as a person reads, however wide the table: what is left out is counted. Names and values are made
printable, so that none of them can steer the terminal.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from loopwright.data import report_label
from loopwright.data.bars import BLOCKS, bars, blocks, number, share, short, when, width
from loopwright.data.drifted import ColumnDrift, Drift, Standing
from loopwright.data.findings import Finding, Severity
from loopwright.data.printable import printable
from loopwright.data.summary import ColumnStatistics

if TYPE_CHECKING:
    from loopwright.data.report import Report, Span

SUSPECTED_ONLY = "suspected is not drift yet: that takes another window that says so"
MOST_COLUMNS = 40
MOST_FINDINGS = 30
MOST_NAMED = 10
"""Columns of each kind of finding that there was no room for."""
LEAST_WIDTH = 60
ROOM_FOR_PICTURES = 80
"""In narrower terminals there are no histograms."""
_ELSEWHERE = "--page FILE and --json show all"
_LONGEST_LINE = 2000
_HEADS = ["COLUMN", "KIND", "MISSING", "DISTINCT", "VALUES", "HISTOGRAM"]
_DRIFT_HEADS = ["COLUMN", "STANDING", "EFFECT", "LIMIT", "BEFORE", "NOW", "WHAT MOVED"]
_FLEXIBLE = "VALUES"


def text(report: Report, columns: int, signs: str | None = None) -> str:
    """At most `columns` wide, but for lines of the schema, which are to be copied."""
    room, marks = max(columns, LEAST_WIDTH), signs or BLOCKS
    parts = [_head(report)]
    if report.drift is not None:
        parts.append("\n".join(_drift(report, report.drift, room, marks)))
    elif report.spans:
        parts += ["\n".join(_columns(report, span, room, marks, alone=len(report.spans) == 1)) for span in report.spans]
    if report.labelled is not None:
        rows = report_label.rows(report.labelled, MOST_COLUMNS)
        told = table(rows, report_label.HEADS, room, "HIGHEST")
        parts.append("\n".join([*_wrapped(report_label.head(report.labelled), room, "", ""), *told]))
    if report.findings is not None:
        parts.append("\n".join(_findings(report.findings, room)))
    return "\n\n".join(part for part in parts if part)


def values(seen: ColumnStatistics) -> str:
    """What a column holds, in a few words."""
    there = seen.there
    if not there:
        return _odd(seen).removeprefix(", ") or "no value"
    match seen.kind:
        case "boolean":
            return f"true {share((seen.values or {}).get('true', 0), there)}"
        case "string" if not seen.values:
            return f"{number(seen.shortest)} to {number(seen.longest)} characters, none frequent"
        case "string":
            return ", ".join(f"{short(value, 24)} {share(count, seen.rows)}" for value, count in _top(seen))
        case "time":
            return f"{when(seen.low)} to {when(seen.high)}{_odd(seen)}"
        case "list":
            return f"lengths {number(seen.low)} to {number(seen.high)}, mean {number(seen.mean)}"
    median = (seen.quantiles or {}).get("0.5")
    middle = f"mean {number(seen.mean)}, median {number(median)}, {number(seen.low)} to {number(seen.high)}"
    weighted = "" if seen.weighted_mean is None else f"weighted mean {number(seen.weighted_mean)}, "
    return f"{weighted}{middle}{_odd(seen)}"


def distinct(seen: ColumnStatistics) -> str:
    """With a sign where it is an estimate."""
    return f"{'' if seen.is_counted else '~'}{seen.distinct:,}"


def table(rows: Sequence[Sequence[str]], heads: Sequence[str], room: int, flexible: str) -> list[str]:
    """Aligned; the flexible column takes the room that the others leave, and is cut to it."""
    listed = [list(heads), *map(list, rows)]
    widths = [max(width(row[at]) for row in listed) for at in range(len(heads))]
    at = list(heads).index(flexible)
    others = sum(widths) - widths[at] + 2 * (len(heads) - 1)
    widths[at] = max(min(widths[at], room - others), len(flexible), 8)
    lines = []
    for row in listed:
        cut = [short(cell, widths[at]) if place == at else cell for place, cell in enumerate(row)]
        cells = [cell + " " * (most - width(cell)) for cell, most in zip(cut, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _top(seen: ColumnStatistics) -> list[tuple[str, int]]:
    return list((seen.values or {}).items())[:5]


def _odd(seen: ColumnStatistics) -> str:
    odd = (("NaN", seen.nan), ("infinite", seen.infinite), ("out of range", seen.out_of_range))
    return "".join(f", {count:,} {what}" for what, count in odd if count)


def _head(report: Report) -> str:
    lines = []
    for at, span in enumerate(report.spans):
        before = "" if at == 0 else "against "
        count = len(span.seen.columns)
        rows = "1 row" if span.seen.rows == 1 else f"{span.seen.rows:,} rows"
        lines.append(f"{before}{printable(span.name)}: {rows}, {count:,} column{'' if count == 1 else 's'}")
        lines += [f"  {printable(note)}" for note in span.notes]
    return "\n".join(lines)


def _columns(report: Report, span: Span, room: int, signs: str, *, alone: bool) -> Iterator[str]:
    names = [name for name in report.columns if name in span.seen.columns]
    if len(names) > MOST_COLUMNS:
        names = [name for name in report.ranked() if name in span.seen.columns]
    shown, spans = names[:MOST_COLUMNS], [one.seen for one in report.spans]
    at, drawn = report.spans.index(span), 10 if room < 100 else 20
    rows = []
    for name in shown:
        seen = span.seen.columns[name]
        histogram = blocks(bars(name, spans, drawn).counts[at], signs)
        told = [short(name, max(room // 4, 16)), seen.kind, share(seen.missing, seen.rows), distinct(seen)]
        rows.append([*told, values(seen), histogram])
    if not alone:
        yield printable(span.name)
    if rows:
        kept = len(_HEADS) if room >= ROOM_FOR_PICTURES else len(_HEADS) - 1
        heads = [*_HEADS[:-1], _HEADS[-1].ljust(drawn)][:kept]
        yield from table([row[:kept] for row in rows], heads, room, _FLEXIBLE)
    if len(names) > len(shown):
        yield f"and {len(names) - len(shown):,} more columns: {_ELSEWHERE}"


def _drift(report: Report, drift: Drift, room: int, signs: str) -> Iterator[str]:
    counts = Counter(one.standing for one in drift.columns)
    yield ", ".join(f"{counts[one]:,} {one}" for one in Standing if counts[one]) or "there is no column to compare"
    if drift.suspected and not drift.drifted:
        yield SUSPECTED_ONLY
    if drift.more_rows:
        yield f"{drift.more_rows:,} more rows are needed to say that nothing moved"
    told = [one for one in drift.columns if one.standing not in (Standing.STEADY, Standing.NOT_ENOUGH)]
    if not told:
        return
    yield ""
    shown, drawn = told[:MOST_COLUMNS], 8 if room < 100 else 12
    rows = [_moved(report, one, drawn, signs, room) for one in shown]
    kept = [0, 1, 2, 3, 6] if room < ROOM_FOR_PICTURES else list(range(7))
    heads = [_DRIFT_HEADS[at] for at in kept]
    yield from table([[row[at] for at in kept] for row in rows], heads, room, _DRIFT_HEADS[-1])
    if len(told) > len(shown):
        yield f"and {len(told) - len(shown):,} more columns: {_ELSEWHERE}"


def _moved(report: Report, one: ColumnDrift, drawn: int, signs: str, room: int) -> list[str]:
    before = now = ""
    spans = [span.seen for span in report.spans[:2]]
    if any(one.name in span.columns for span in spans):
        # Where one span stands alone, both sides would be the same.
        pictures = [blocks(counts, signs) for counts in bars(one.name, spans, drawn).counts]
        now, before = [*pictures, ""][:2]
    told = one.reason or what_moved(one)
    limit = "" if one.reason else f"{max(one.floor, one.noise):.3f}"
    effect = "" if one.reason else f"{one.effect:.3f}"
    return [short(one.name, max(room // 4, 16)), str(one.standing), effect, limit, before, now, printable(told)]


def what_moved(one: ColumnDrift) -> str:
    """The median, and the values whose share changed most."""
    parts = [short(str(moved), 60) for moved in one.moved[:2]]
    if one.median is not None and one.kind != "time" and one.median[0] != one.median[1]:
        parts.insert(0, f"median {number(one.median[0])} → {number(one.median[1])}")
    return "; ".join(parts)


def _findings(found: Sequence[Finding], room: int) -> Iterator[str]:
    if not found:
        yield "nothing was found"
        return
    counts = Counter(one.severity for one in found)
    yield ", ".join(f"{counts[one]:,} {one.value}{'' if counts[one] == 1 else 's'}" for one in Severity if counts[one])
    for one in found[:MOST_FINDINGS]:
        yield from _finding(one, room)
    if len(found) > MOST_FINDINGS:
        yield f"and {len(found) - MOST_FINDINGS:,} more findings: {_ELSEWHERE}"
        yield from _named(found[MOST_FINDINGS:], room)


def _named(found: Sequence[Finding], room: int) -> Iterator[str]:
    """What there is no room to tell: the columns, by severity and kind."""
    columns: dict[tuple[str, str], list[str]] = {}
    for one in found:
        columns.setdefault((one.severity.value, one.kind), []).append(one.column or "all rows")
    for (severity, kind), names in columns.items():
        known = list(dict.fromkeys(names))
        few = ", ".join(short(name, 40) for name in known[:MOST_NAMED])
        more = f", and {len(known) - MOST_NAMED:,} more" if len(known) > MOST_NAMED else ""
        yield from _wrapped(f"{severity}: {kind}: {few}{more}", room, "    ", "    ")


def _finding(one: Finding, room: int) -> Iterator[str]:
    kind = f" [{one.kind}]"
    yield from _wrapped(f"{one.severity.value}: {short(one.message, _LONGEST_LINE)}{kind}", room, "    ", "")
    yield from _wrapped(f"to do: {one.fix}", room, "      ", "    ")
    if one.accept:
        yield f"    to accept: {cut(one.accept)}"
    for row in one.examples:
        told = ", ".join(f"{name}={short(repr(value), 40)}" for name, value in row.items())
        yield short(f"    row: {told}", room)


def cut(line: str) -> str:
    """A line of the schema; a very long one is whole in JSON alone."""
    shown = printable(line[: _LONGEST_LINE + 1])
    return shown if len(line) <= _LONGEST_LINE else f"{shown[:_LONGEST_LINE]}… (whole with --json)"


def _wrapped(line: str, room: int, later: str, first: str) -> list[str]:
    shown = short(line, 2 * _LONGEST_LINE)
    return textwrap.wrap(shown, room, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)
