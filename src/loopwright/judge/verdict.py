"""The verdict: whether a model may go on, gate by gate, always with the reason.

A gate acts on the end of the interval, never on the value alone: it passes when the interval lies wholly on the right
side of the limit, fails when the value itself misses it, and else says that there is not enough data. Only "passed"
lets a model through. Pure: no arrays, no store; nothing heavy may be imported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from loopwright.errors import DataError
from loopwright.judge.catalog import METRICS
from loopwright.judge.evaluation import (
    FORMAT,
    Comparison,
    Evaluation,
    Gap,
    Measured,
    interval,
    number,
    read_json,
    to_json,
)
from loopwright.judge.gates import AtLeast, AtMost, Gate, NotWorse, SliceGap

MOST_ROWS_TOLD = 1e9
"""More rows than this are not worth naming."""


class GateOutcome(Enum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_ENOUGH_DATA = "not enough data"
    """Neither shown nor missed: does not pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What one gate found."""

    gate: str
    """As declared: `at_least("roc_auc", 0.68)`."""
    metric: str
    outcome: GateOutcome
    reason: str
    number: float | None = None
    """The value held against the limit; of `not_worse`, challenger minus champion."""
    limit: float | None = None
    low: float | None = None
    high: float | None = None
    rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Accepted or rejected, with every gate. `str(verdict)` is for people."""

    accepted: bool
    reason: str
    gates: tuple[GateResult, ...]
    rows: int
    level: float
    format: int = FORMAT

    def to_json(self) -> str:
        """As JSON text, one object; `from_json` reads it back equal."""
        return to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        """Raises `DataError` for text that is no verdict, or of a newer format, or that contradicts itself."""
        found = read_json(text, "verdict")
        gates = tuple(GateResult(**{**one, "outcome": GateOutcome(one["outcome"])}) for one in found["gates"])
        is_passed = all(gate.outcome is GateOutcome.PASSED for gate in gates)
        if found["accepted"] is not is_passed:
            raise DataError(
                f"the verdict contradicts itself: accepted is {found['accepted']!r}, and its gates say {is_passed}",
                fix="judge again; believe nothing else that came with it",
            )
        return cls(**{**found, "gates": gates})

    def __str__(self) -> str:
        return render(self)


def judge(
    evaluation: Evaluation, comparison: Comparison | None, gates: Sequence[Gate], *, incomparable: str = ""
) -> Verdict:
    """Hold an evaluation, and a comparison with the champion where there is one, against the gates.

    Accepted when every gate passed. `incomparable` says why there is no comparison although there is a champion: then
    `not_worse` does not pass. Without gates the model is accepted and the reason says that nothing was asked.

    >>> from loopwright.judge.evaluation import Measured
    >>> from loopwright.judge.gates import at_least
    >>> measured = Measured(metric="roc_auc", value=0.71, low=0.70, high=0.72)
    >>> found = Evaluation(task="binary", rows=900, positives=300, is_weighted=False, level=0.95, draws=200, seed=0,
    ...     least_rows=200, metrics=(measured,))
    >>> print(judge(found, None, [at_least("roc_auc", 0.68)]))
    accepted: 1 of 1 gates passed, on 900 rows
      gate                       number   limit   95 % interval      outcome
      at_least("roc_auc", 0.68)  0.7100   0.6800  [0.7000, 0.7200]   passed
        roc_auc is 0.7100 on 900 rows; the lower end 0.7000 of its 95 % interval is at least 0.6800
    """
    results = tuple(_decide(gate, evaluation, comparison, incomparable) for gate in gates)
    passed = sum(result.outcome is GateOutcome.PASSED for result in results)
    reason = f"{passed} of {len(results)} gates passed" if results else "no gate was declared, so nothing was asked"
    return Verdict(
        accepted=passed == len(results),
        reason=reason,
        gates=results,
        rows=evaluation.rows,
        level=evaluation.level,
    )


def _decide(gate: Gate, evaluation: Evaluation, comparison: Comparison | None, incomparable: str) -> GateResult:
    match gate:
        case AtLeast():
            return _limited(gate, evaluation, at_least=True)
        case AtMost():
            return _limited(gate, evaluation, at_least=False)
        case NotWorse():
            return _not_worse(gate, comparison, incomparable)
        case SliceGap():
            return _slice_gap(gate, evaluation)
        case _:
            assert_never(gate)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """A number with an interval, held against a limit."""

    gate: Gate
    subject: str
    """What the number is, as the beginning of a sentence."""
    value: float | None
    low: float | None
    high: float | None
    limit: float
    is_at_least: bool
    rows: int
    level: float
    missing: str = ""
    """Why value or interval are missing."""
    more: str = ""
    """Said after the reason."""


def _limited(gate: AtLeast | AtMost, evaluation: Evaluation, *, at_least: bool) -> GateResult:
    found = evaluation.metric(gate.metric) or Measured(metric=gate.metric, reason="it was not measured")
    subject = gate.metric
    if METRICS[gate.metric].is_signed:
        found, subject = _absolute(found), f"the absolute {gate.metric}"
    return _held(
        _Claim(
            gate=gate,
            subject=subject,
            value=found.value,
            low=found.low,
            high=found.high,
            limit=gate.limit,
            is_at_least=at_least,
            rows=evaluation.rows,
            level=evaluation.level,
            missing=found.reason,
        )
    )


def _absolute(found: Measured) -> Measured:
    """The same without its sign; the interval reaches as far from zero as the wider end."""
    if found.value is None or found.low is None or found.high is None:
        return found
    near, far = sorted((abs(found.low), abs(found.high)))
    return replace(found, value=abs(found.value), low=0.0 if found.low <= 0 <= found.high else near, high=far)


def _not_worse(gate: NotWorse, comparison: Comparison | None, incomparable: str) -> GateResult:
    if comparison is None and incomparable:
        return GateResult(
            gate=str(gate),
            metric=gate.metric,
            outcome=GateOutcome.NOT_ENOUGH_DATA,
            reason=f"cannot be compared: {incomparable}",
            limit=gate.by,
        )
    if comparison is None:
        return GateResult(
            gate=str(gate),
            metric=gate.metric,
            outcome=GateOutcome.PASSED,
            reason="first version: there is no champion to be worse than",
            limit=gate.by,
        )
    is_bigger = METRICS[gate.metric].bigger_is_better
    found = comparison.difference(gate.metric)
    return _held(
        _Claim(
            gate=gate,
            subject=f"{gate.metric} of the challenger minus the champion's",
            value=found.value if found else None,
            low=found.low if found else None,
            high=found.high if found else None,
            limit=-gate.by if is_bigger else gate.by,
            is_at_least=is_bigger,
            rows=comparison.rows,
            level=comparison.level,
            missing=found.reason if found else "it was not compared",
            more=f" (champion {number(found.champion)}, challenger {number(found.challenger)})" if found else "",
        )
    )


def _slice_gap(gate: SliceGap, evaluation: Evaluation) -> GateResult:
    gap = evaluation.gap(gate.metric, gate.columns)
    by = ", ".join(gate.columns)
    if gap is None:
        gap = Gap(
            columns=gate.columns, measured=Measured(metric=gate.metric, reason=f"no slices by {by} were measured")
        )
    left_out = f"; {gap.left_out} slices without data enough are left out" if gap.left_out else ""
    return _held(
        _Claim(
            gate=gate,
            subject=f"the gap in {gate.metric} by {by}",
            value=gap.measured.value,
            low=gap.measured.low,
            high=gap.measured.high,
            limit=gate.at_most,
            is_at_least=False,
            rows=evaluation.rows,
            level=evaluation.level,
            missing=gap.measured.reason,
            more=f" (best {gap.best}, worst {gap.worst}, of {gap.slices} slices{left_out})" if gap.slices > 1 else "",
        )
    )


def _held(claim: _Claim) -> GateResult:
    """The decision, the same for every gate."""
    outcome, reason = _outcome(claim)
    return GateResult(
        gate=str(claim.gate),
        metric=claim.gate.metric,
        outcome=outcome,
        reason=reason + claim.more,
        number=claim.value,
        limit=claim.limit,
        low=claim.low,
        high=claim.high,
        rows=claim.rows,
    )


def _outcome(claim: _Claim) -> tuple[GateOutcome, str]:
    if claim.value is None or claim.low is None or claim.high is None:
        return GateOutcome.NOT_ENOUGH_DATA, f"{claim.subject} cannot be held against the limit: {claim.missing}"
    side, end = ("at least", claim.low) if claim.is_at_least else ("at most", claim.high)
    which = "lower" if claim.is_at_least else "upper"
    limit, told = number(claim.limit), f"{claim.subject} is {number(claim.value)} on {claim.rows:,} rows"
    named = f"the {which} end {number(end)} of its {claim.level * 100:g} % interval"
    if _clears(claim, end):
        return GateOutcome.PASSED, f"{told}; {named} is {side} {limit}"
    if not _clears(claim, claim.value):
        return GateOutcome.FAILED, f"{told}, which is not {side} {limit}"
    reason = f"{told}, but {named} is not {side} {limit}{_missing_rows(claim, end)}"
    return GateOutcome.NOT_ENOUGH_DATA, reason


def _clears(claim: _Claim, reached: float) -> bool:
    return reached >= claim.limit if claim.is_at_least else reached <= claim.limit


def _missing_rows(claim: _Claim, end: float) -> str:
    """An interval narrows with the root of the rows, so the rows that would do can be told."""
    assert claim.value is not None
    room = abs(claim.value - claim.limit)
    needed = claim.rows * (abs(claim.value - end) / room) ** 2 if room else math.inf
    if needed > MOST_ROWS_TOLD:
        return ""
    return f"; if it stays there, about {_rounded(needed - claim.rows):,} more rows would show it"


def _rounded(rows: float) -> int:
    """To two digits, upwards: an estimate shows no more than it knows.

    >>> _rounded(3141.5), _rounded(0.2)
    (3200, 1)
    """
    unit = int(10.0 ** max(0, math.floor(math.log10(max(rows, 1))) - 1))
    return max(1, math.ceil(rows / unit - 1e-6)) * unit


def render(verdict: Verdict) -> str:
    """The verdict as aligned plain text, without a newline at the end."""
    said = "accepted" if verdict.accepted else "rejected"
    first = f"{said}: {verdict.reason}, on {verdict.rows:,} rows"
    if not verdict.gates:
        return first
    heads = ("gate", "number", "limit", f"{verdict.level * 100:g} % interval", "outcome")
    lines = [
        (one.gate, number(one.number), number(one.limit), interval(one.low, one.high), one.outcome.value)
        for one in verdict.gates
    ]
    widths = [max(len(line[place]) for line in (heads, *lines)) for place in range(len(heads))]
    table = [first, _line(heads, widths)]
    for line, one in zip(lines, verdict.gates, strict=True):
        table += [_line(line, widths), f"    {one.reason}"]
    return "\n".join(table)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return ("  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))).rstrip()
