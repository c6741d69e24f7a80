"""A report as one HTML page, or as a piece of one for a notebook. No script, no request to anywhere, every value
escaped. Equal reports give equal bytes.

A page shows at most a thousand columns and findings, those first of which there is something to say; JSON has all.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from loopwright.data import report_label
from loopwright.data.bars import Bars, bars, number, share, short, when
from loopwright.data.drifted import ColumnDrift, Drift, Standing
from loopwright.data.findings import Finding, Severity
from loopwright.data.printable import printable
from loopwright.data.report_text import cut, distinct, values, what_moved
from loopwright.data.schema import Schema
from loopwright.data.schema_file import toml
from loopwright.data.summary import ColumnStatistics

if TYPE_CHECKING:
    from loopwright.data.report import Report

MOST = 1000
"""Columns, and findings, of a page."""
_MOST_BARS, _MOST_VALUES = 30, 8
_WIDTH, _HEIGHT = 210, 48
_LONGEST, _LONGEST_LIMITS = 300, 2000
_STYLE = (
    ".lw{font:14px/1.45 system-ui,sans-serif;--quiet:#777;--line:#8885;--bad:#c22;--odd:#b60;--good:#0a7d38}"
    ".lw h1{margin:0 0 .2rem;font-size:1.5rem}.lw h2{margin:1.6rem 0 .4rem;font-size:1.15rem}"
    ".lw table{border-collapse:collapse;margin:.3rem 0}.lw td,.lw th{text-align:left;vertical-align:top;"
    "padding:.3rem 1rem .3rem 0;border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}"
    ".lw .quiet{color:var(--quiet)}.lw .error,.lw .drifted{color:var(--bad)}"
    ".lw .warning,.lw .suspected{color:var(--odd)}.lw .steady{color:var(--good)}"
    ".lw ul{padding-left:0;list-style:none;margin:.3rem 0}.lw li{margin:.5rem 0;padding-left:.7rem;"
    "border-left:3px solid var(--line)}.lw code{font-size:.85em;overflow-wrap:anywhere}"
    ".lw svg{display:block;margin:.2rem 0}.lw .a{fill:#4269d0}.lw .b{fill:#d0822b}.lw .c{fill:#3a9a8c}"
    ".lw .values td{border:0;padding:0 .5rem 0 0;white-space:nowrap;line-height:1.3}"
    ".lw summary{cursor:pointer;color:var(--quiet)}.lw i.bar{display:inline-block;height:.7em;background:#4269d0}"
    ".lw i.b{background:#d0822b}.lw i.c{background:#3a9a8c}.lw p{margin:.2rem 0}"
)
_PAGE_STYLE = "body{margin:1.5rem auto;max-width:75rem;padding:0 1rem}:root{color-scheme:light dark}"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_COLOURS = "abc"


def page(report: Report, title: str) -> str:
    """The whole document."""
    told = _text(title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{told}</title>'
        f"<style>{_PAGE_STYLE}</style></head>\n<body>\n{fragment(report, MOST, title)}\n</body></html>\n"
    )


def schema_fragment(schema: Schema, most: int) -> str:
    """A schema as a piece of a page: at most so many columns, each with its limits as the file has them."""
    told = schema.to_dict()
    listed = told.pop("columns")
    rows = [(one.pop("name"), one.pop("kind"), _limits(one)) for one in listed[:most]]
    columns = _table(("column", "kind", "limits"), rows)
    whole = f'<p class="quiet">{_text(_limits(told), _LONGEST_LIMITS)}</p>'
    more = _more(len(listed) - most, "columns", "Schema.to_json() has all")
    return f'<div class="lw">\n<style>{_STYLE}</style>\n<h2>Schema</h2>\n{whole}\n{columns}{more}\n</div>'


def _limits(fields: Mapping[str, Any]) -> str:
    """As the file has them, without what is no limit at all."""
    return ", ".join(f"{name} = {toml(value)}" for name, value in fields.items() if value not in (None, [], {}))


def fragment(report: Report, most: int, title: str = "") -> str:
    """What stands within a page, with at most so many columns and findings."""
    parts = [
        f"<style>{_STYLE}</style>",
        f"<h1>{_text(title)}</h1>" if title else "",
        *_spans(report),
        *(() if report.findings is None else _findings(report.findings, most)),
        *(() if report.drift is None else _drift(report.drift, most)),
        *(() if report.labelled is None else report_label.fragment(report.labelled, most)),
        *_columns(report, most),
    ]
    inside = "\n".join(part for part in parts if part)
    return f'<div class="lw">\n{inside}\n</div>'


def _text(value: object, most: int = _LONGEST) -> str:
    return html.escape(short(str(value), most))


def _spans(report: Report) -> Iterator[str]:
    for at, span in enumerate(report.spans):
        against = "against " if at else ""
        rows = f"{span.seen.rows:,} rows, {len(span.seen.columns):,} columns"
        yield f'<p>{against}<strong>{_text(span.name)}</strong> <span class="quiet">{rows}</span></p>'
        yield from (f'<p class="quiet">{_text(note)}</p>' for note in span.notes)


def _findings(found: Sequence[Finding], most: int) -> Iterator[str]:
    yield "<h2>Findings</h2>"
    if not found:
        yield '<p class="steady">nothing was found</p>'
        return
    counts = Counter(one.severity for one in found)
    told = ", ".join(f"{counts[one]:,} {one.value}{'' if counts[one] == 1 else 's'}" for one in Severity if counts[one])
    items = "\n".join(map(_finding, found[:most]))
    yield f"<p>{told}</p>\n<ul>\n{items}\n</ul>{_more(len(found) - most, 'findings')}"


def _finding(one: Finding) -> str:
    severity = one.severity.value
    parts = [
        f'<strong class="{severity}">{severity}</strong> {_text(one.kind)}: {_text(one.message, 1000)}',
        f'<br><span class="quiet">to do:</span> {_text(one.fix, 1000)}',
    ]
    if one.accept:
        parts.append(f'<br><span class="quiet">to accept:</span> <code>{html.escape(cut(one.accept))}</code>')
    if one.examples:
        parts.append(_examples(one.examples))
    return f"<li>{''.join(parts)}</li>"


def _examples(rows: Sequence[Mapping[str, Any]]) -> str:
    heads = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[short(repr(row[name]), 80) if name in row else "" for name in heads] for row in rows]
    return f"<details><summary>{len(rows)} of the rows</summary>{_table(heads, cells)}</details>"


def _drift(drift: Drift, most: int) -> Iterator[str]:
    yield "<h2>Drift</h2>"
    counts = Counter(one.standing for one in drift.columns)
    told = ", ".join(f"{counts[one]:,} {one}" for one in Standing if counts[one])
    rows_told = f"{drift.current_rows:,} rows against {drift.reference_rows:,}"
    yield f"<p>{rows_told}: {told or 'there is no column to compare'}</p>"
    if drift.more_rows:
        yield f'<p class="quiet">{drift.more_rows:,} more rows are needed to say that nothing moved</p>'
    heads = "".join(
        f"<th>{head}</th>" for head in ("column", "standing", "effect", "limit", "rate", "missing", "what moved")
    )
    rows = "\n".join(map(_moved, drift.columns[:most]))
    if rows:
        yield f"<table><tr>{heads}</tr>\n{rows}\n</table>{_more(len(drift.columns) - most, 'columns')}"


def _moved(one: ColumnDrift) -> str:
    style = one.standing.value if one.standing in (Standing.DRIFTED, Standing.SUSPECTED, Standing.STEADY) else "quiet"
    numbers = ["", "", ""]
    if not one.reason:
        numbers = [f"{one.effect:.3f}", f"{max(one.floor, one.noise):.3f}", _rate(one.false_discovery_rate)]
    missing = "" if one.missing is None else " → ".join(share(part, 1) for part in one.missing)
    cells = [*numbers, missing, one.reason or what_moved(one)]
    told = "".join(f"<td>{_text(cell)}</td>" for cell in cells)
    return f'<tr><td>{_text(one.name)}</td><td class="{style}">{one.standing}</td>{told}</tr>'


def _columns(report: Report, most: int) -> Iterator[str]:
    names = report.columns if len(report.columns) <= most else report.ranked()
    if not names:
        return
    heads = "".join(f"<th>{_text(span.name)}</th>" for span in report.spans)
    rows = "\n".join(_column(report, name) for name in names[:most])
    yield "<h2>Columns</h2>"
    yield f"<table><tr><th>column</th>{heads}</tr>\n{rows}\n</table>{_more(len(names) - most, 'columns')}"


def _column(report: Report, name: str) -> str:
    found = [span.seen.columns.get(name) for span in report.spans]
    kinds = list(dict.fromkeys(one.kind for one in found if one is not None))
    drawn = bars(name, [span.seen for span in report.spans], _MOST_BARS)
    cells = "".join(f"<td>{_cell(drawn, at, one, found)}</td>" for at, one in enumerate(found))
    return f'<tr><td><strong>{_text(name)}</strong><br><span class="quiet">{", ".join(kinds)}</span></td>{cells}</tr>'


def _cell(drawn: Bars, at: int, seen: ColumnStatistics | None, spans: Sequence[ColumnStatistics | None]) -> str:
    if seen is None:
        return '<span class="quiet">not there</span>'
    counts, colour = drawn.counts[at], _COLOURS[min(at, len(_COLOURS) - 1)]
    rows = [one.rows if one is not None else 0 for one in spans]
    highest = max(
        (max(part) / max(all_, 1) for part, all_ in zip(drawn.counts, rows, strict=True) if part), default=0.0
    )
    picture = ""
    if counts and drawn.has_order:
        picture = _histogram(drawn.names, [one / max(seen.rows, 1) for one in counts], highest, colour)
    elif counts:
        picture = _values(drawn.names, counts, seen.rows, highest, colour)
    facts = "" if drawn.counts[at] and not drawn.has_order else f"<p>{html.escape(printable(values(seen)))}</p>"
    missing = f'<p><span class="quiet">missing</span> {share(seen.missing, seen.rows)}, '
    different = f'<span class="quiet">distinct</span> {distinct(seen)}</p>'
    return f"{picture}{facts}{missing}{different}{_details(seen)}"


def _histogram(names: Sequence[str], shares: Sequence[float], highest: float, colour: str) -> str:
    """One path of all bars; the highest of all spans is as high as the picture."""
    step, path = _WIDTH / len(shares), []
    for at, one in enumerate(shares):
        high = one / highest * _HEIGHT if highest else 0.0
        if one > 0:
            path.append(f"M{at * step:.1f} {_HEIGHT}v-{max(high, 1):.1f}h{max(step - 1, 1):.1f}V{_HEIGHT}z")
    told = f"{names[0]} … {names[-1]}" if len(names) > 1 else names[0]
    most = max(range(len(shares)), key=shares.__getitem__)
    title = f"{told}; most often {names[most]}: {share(shares[most], 1)}"
    return (
        f'<svg class="{colour}" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        f'<title>{html.escape(title)}</title><path d="{"".join(path)}"/></svg>'
    )


def _values(names: Sequence[str], counts: Sequence[float], rows: int, highest: float, colour: str) -> str:
    """The most frequent ones, a bar each."""
    lines = []
    for name, count in list(zip(names, counts, strict=True))[:_MOST_VALUES]:
        length = count / max(rows, 1) / highest * 110 if highest else 0.0
        lines.append(
            f'<tr><td>{_text(name, 32)}</td><td><i class="bar {colour}" style="width:{length:.0f}px"></i></td>'
            f"<td>{share(count, rows)}</td></tr>"
        )
    return f'<table class="values">{"".join(lines)}</table>'


def _details(seen: ColumnStatistics) -> str:
    """All else that is known."""
    counts = {
        "nulls": seen.nulls, "empty texts": seen.empty, "NaN": seen.nan, "minus infinity": seen.minus_infinity,
        "infinity": seen.plus_infinity, "zeros": seen.zeros, "below zero": seen.negatives,
    }  # fmt: skip
    facts = [(name, f"{count:,}") for name, count in counts.items() if count]
    is_time = seen.kind == "time"
    ends = {"lowest": seen.low, "highest": seen.high}
    facts += [(name, when(one) if is_time else number(one)) for name, one in ends.items() if one is not None]
    sizes = {
        "mean": seen.mean, "standard deviation": seen.deviation, "weighted mean": seen.weighted_mean,
        "weighted deviation": seen.weighted_deviation,
        "shortest": seen.shortest, "mean length": seen.mean_length, "longest": seen.longest,
    }  # fmt: skip
    facts += [(name, number(one)) for name, one in sizes.items() if one is not None]
    facts += [("no rows from", f"{when(start)} to {when(end)}") for start, end in seen.gaps or ()]
    facts += [(f"quantile {at}", number(one)) for at, one in (seen.quantiles or {}).items()]
    few = list((seen.values or {}).items())[:20]
    facts += [(short(value, 60), f"{count:,} rows") for value, count in few if seen.kind in ("string", "boolean")]
    return f"<details><summary>more</summary>{_table((), facts)}</details>" if facts else ""


def _rate(rate: float) -> str:
    return f"{rate:.3f}" if rate >= 0.001 else "<0.001"


def _table(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(one)}</th>" for one in heads)
    lines = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{lines}</table>"


def _more(count: int, what: str, where: str = "--json shows all") -> str:
    return f'\n<p class="quiet">and {count:,} more {what}: {where}</p>' if count > 0 else ""
