"""The model card: one page that says what a version is, how good, on whom, and why it may go on. Self-contained.

After Mitchell et al., "Model Cards for Model Reporting" (2019). No script, no request to anywhere; every value is
escaped. Equal values give equal bytes.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from loopwright.judge.evaluation import Comparison, Evaluation, Measured, interval, number
from loopwright.judge.verdict import Verdict

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}th,td{text-align:left;padding:.2rem .9rem .2rem 0;"
    "border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}h1{margin-bottom:0}.accepted{color:#0a6b2d}"
    ".rejected{color:#a11}.quiet{color:#666}"
)
_MOST_SLICES = 40


def card(
    name: str,
    verdict: Verdict,
    evaluation: Evaluation,
    comparison: Comparison | None,
    *,
    columns: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> str:
    """The page, as text. `columns` are the model's inputs; `facts` whatever else is known: data, code, parameters."""
    said = "accepted" if verdict.accepted else "rejected"
    verdict_told = f"<strong>{said}</strong>: {html.escape(verdict.reason)}, on {verdict.rows:,} held-out rows"
    parts = [
        f"<h1>{html.escape(name)}</h1>",
        f'<p class="{said}">{verdict_told}</p>',
        _section("Gates", ("gate", "number", "limit", "interval", "outcome", "why"), _gates(verdict)),
        _section("Metrics", ("metric", "value", "interval"), [_measured(one) for one in evaluation.metrics]),
        _section(
            "Against the champion",
            ("metric", "champion", "this", "difference", "interval", "outcome"),
            _differences(comparison),
        ),
        _section(
            f"Slices ({evaluation.metrics[0].metric if evaluation.metrics else ''})",
            ("slice", "rows", "value", "interval"),
            _slices(evaluation),
        ),
        _worth(evaluation),
        _section("Inputs", ("column", "kind", "may be missing", "seen"), [_input(one) for one in columns]),
        _section("Where it comes from", ("what", "value"), [(key, str(value)) for key, value in facts.items()]),
    ]
    body = "\n".join(part for part in parts if part)
    title = html.escape(name)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _section(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    if not lines:
        return ""
    head = "".join(f"<th>{html.escape(one)}</th>" for one in heads)
    return f"<h2>{html.escape(title)}</h2>\n<table><tr>{head}</tr>\n" + "\n".join(lines) + "\n</table>"


def _gates(verdict: Verdict) -> list[tuple[str, ...]]:
    return [
        (one.gate, number(one.number), number(one.limit), interval(one.low, one.high), one.outcome.value, one.reason)
        for one in verdict.gates
    ]


def _measured(one: Measured) -> tuple[str, ...]:
    return one.metric, number(one.value) if one.value is not None else one.reason, interval(one.low, one.high)


def _differences(comparison: Comparison | None) -> list[tuple[str, ...]]:
    return [
        (
            one.metric,
            number(one.champion),
            number(one.challenger),
            number(one.value),
            interval(one.low, one.high),
            one.outcome.value,
        )
        for one in (comparison.differences if comparison else ())
    ]


def _slices(evaluation: Evaluation) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [
        (one.name, f"{one.rows:,}", number(one.metrics[0].value), interval(one.metrics[0].low, one.metrics[0].high))
        if one.metrics
        else (one.name, f"{one.rows:,}", "not enough data", "")
        for one in evaluation.slices
    ]
    rest = len(found) - _MOST_SLICES
    return found[:_MOST_SLICES] + ([(f"and {rest} more: see evaluation.json", "", "", "")] if rest > 0 else [])


def _worth(evaluation: Evaluation) -> str:
    found = evaluation.importance
    if found is None:
        return ""
    title = f"What inputs are worth ({found.metric}, {found.rows:,} rows)"
    rows = [(one.column, number(one.drop)) for one in found.columns[:_MOST_SLICES]]
    rest = len(found.columns) - len(rows) + found.left_out
    more = [(f"and {rest} more: {found.left_out} were not tried", "")] if rest else []
    return _section(title, ("column", "worse without it by"), rows + more)


def _input(column: Mapping[str, Any]) -> tuple[str, ...]:
    values = column.get("values")
    low, high = column.get("low"), column.get("high")
    seen = (
        ", ".join(values[:8]) + (" ..." if len(values) > 8 else "")
        if values
        else f"{low} to {high}"
        if low is not None
        else ""
    )
    return str(column["name"]), str(column["kind"]), "yes" if column["missing"] else "no", seen
