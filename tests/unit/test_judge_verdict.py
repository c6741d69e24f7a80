"""Gates and verdicts: declared right or refused, decided on the bound, always with a reason."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.errors import DataError, DeclarationError
from loopwright.judge.declare import Judge
from loopwright.judge.evaluate import evaluate
from loopwright.judge.evaluation import Comparison, Difference, Evaluation, Gap, Measured
from loopwright.judge.gates import Gate, at_least, at_most, not_worse, slice_gap
from loopwright.judge.verdict import GateOutcome, Verdict, judge

PASSED, FAILED, NOT_ENOUGH = GateOutcome


def evaluation(*metrics: Measured, gaps: tuple[Gap, ...] = ()) -> Evaluation:
    return Evaluation(
        task="binary",
        rows=1000,
        positives=300,
        is_weighted=False,
        level=0.95,
        draws=200,
        seed=0,
        least_rows=200,
        metrics=metrics,
        gaps=gaps,
    )


def area(low: float | None, value: float | None, high: float | None, metric: str = "roc_auc") -> Measured:
    return Measured(metric=metric, value=value, low=low, high=high, reason="" if low is not None else "a reason")


def compared(low: float, value: float, high: float, metric: str = "roc_auc") -> Comparison:
    difference = Difference(metric=metric, champion=0.7, challenger=0.7 + value, value=value, low=low, high=high)
    return Comparison(rows=1000, level=0.95, draws=500, seed=0, differences=(difference,))


def gap(low: float | None, value: float | None, high: float | None) -> Gap:
    return Gap(columns=("carrier",), measured=area(low, value, high), best="carrier=AA", worst="carrier=B6", slices=4)


@pytest.mark.parametrize(
    ("gate", "found", "outcome"),
    [
        (at_least("roc_auc", 0.68), area(0.68, 0.70, 0.72), PASSED),
        (at_least("roc_auc", 0.68), area(0.67, 0.70, 0.73), NOT_ENOUGH),
        (at_least("roc_auc", 0.68), area(0.65, 0.67, 0.70), FAILED),
        (at_least("roc_auc", 0.68), area(None, 0.9, None), NOT_ENOUGH),
        (at_least("roc_auc", 0.68), area(None, None, None), NOT_ENOUGH),
        (at_least("roc_auc", 0.68), area(0.9, 0.9, 0.9, "f1"), NOT_ENOUGH),
        (at_most("brier", 0.2), area(0.1, 0.15, 0.2, "brier"), PASSED),
        (at_most("brier", 0.2), area(0.1, 0.15, 0.21, "brier"), NOT_ENOUGH),
        (at_most("brier", 0.2), area(0.2, 0.21, 0.23, "brier"), FAILED),
        (at_most("bias", 0.5), area(-0.4, -0.1, 0.3, "bias"), PASSED),
        (at_most("bias", 0.5), area(-0.6, -0.1, 0.3, "bias"), NOT_ENOUGH),
        (at_most("bias", 0.5), area(-0.9, -0.7, -0.4, "bias"), FAILED),
    ],
)
def test_a_limit_is_held_against_the_bound_of_the_interval(gate: Gate, found: Measured, outcome: GateOutcome) -> None:
    verdict = judge(evaluation(found), None, [gate])
    assert verdict.gates[0].outcome is outcome
    assert verdict.accepted is (outcome is PASSED)
    assert verdict.gates[0].limit == gate.limit  # type: ignore[union-attr]
    assert verdict.gates[0].reason


@pytest.mark.parametrize(
    ("gate", "found", "outcome"),
    [
        (not_worse("roc_auc", by=0.005), compared(-0.005, 0.001, 0.007), PASSED),
        (not_worse("roc_auc", by=0.005), compared(-0.006, 0.001, 0.007), NOT_ENOUGH),
        (not_worse("roc_auc", by=0.005), compared(-0.02, -0.01, 0.01), FAILED),
        (not_worse("log_loss", by=0.01), compared(-0.02, 0.001, 0.009, "log_loss"), PASSED),
        (not_worse("log_loss", by=0.01), compared(-0.02, 0.001, 0.011, "log_loss"), NOT_ENOUGH),
        (not_worse("log_loss", by=0.01), compared(-0.01, 0.02, 0.03, "log_loss"), FAILED),
        (not_worse("f1", by=0.01), compared(0.1, 0.1, 0.1), NOT_ENOUGH),
        (not_worse("f1", by=0.01), None, PASSED),
    ],
)
def test_not_worse_is_held_against_the_paired_interval(
    gate: Gate, found: Comparison | None, outcome: GateOutcome
) -> None:
    assert judge(evaluation(), found, [gate]).gates[0].outcome is outcome


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (gap(0.0, 0.1, 0.15), PASSED),
        (gap(0.0, 0.1, 0.16), NOT_ENOUGH),
        (gap(0.1, 0.16, 0.2), FAILED),
        (gap(None, None, None), NOT_ENOUGH),
    ],
)
def test_a_slice_gap_is_held_against_its_upper_end(found: Gap, outcome: GateOutcome) -> None:
    gate = slice_gap("roc_auc", "carrier", at_most=0.15)
    assert judge(evaluation(gaps=(found,)), None, [gate]).gates[0].outcome is outcome
    assert (
        "best carrier=AA, worst carrier=B6, of 4 slices"
        in judge(evaluation(gaps=(found,)), None, [gate]).gates[0].reason
    )


def test_a_slice_gap_that_was_not_measured_does_not_pass() -> None:
    found = judge(evaluation(), None, [slice_gap("roc_auc", ("a", "b"), at_most=0.1)]).gates[0]
    assert found.outcome is NOT_ENOUGH
    assert "no slices by a, b were measured" in found.reason


def test_a_reason_tells_number_limit_interval_rows_and_how_much_is_missing() -> None:
    found = judge(evaluation(area(0.66, 0.70, 0.74)), None, [at_least("roc_auc", 0.68)]).gates[0]
    assert found.reason == (
        "roc_auc is 0.7000 on 1,000 rows, but the lower end 0.6600 of its 95 % interval is not at least 0.6800; "
        "if it stays there, about 3,000 more rows would show it"
    )
    missed = judge(evaluation(area(0.60, 0.65, 0.70)), None, [at_least("roc_auc", 0.68)]).gates[0]
    assert missed.reason == "roc_auc is 0.6500 on 1,000 rows, which is not at least 0.6800"


def test_a_first_version_passes_not_worse_and_says_so() -> None:
    found = judge(evaluation(), None, [not_worse("roc_auc", by=0.005)])
    assert found.accepted
    assert found.gates[0].reason == "first version: there is no champion to be worse than"


def test_a_verdict_is_written_without_gates_too() -> None:
    found = judge(evaluation(), None, [])
    assert str(found) == "accepted: no gate was declared, so nothing was asked, on 1,000 rows"


def test_one_gate_that_does_not_pass_rejects() -> None:
    found = judge(evaluation(area(0.7, 0.8, 0.9)), None, [at_least("roc_auc", 0.6), at_least("roc_auc", 0.75)])
    assert not found.accepted
    assert [one.outcome for one in found.gates] == [PASSED, NOT_ENOUGH]
    assert str(found).splitlines() == [
        "rejected: 1 of 2 gates passed, on 1,000 rows",
        "  gate                       number  limit   95 % interval     outcome",
        '  at_least("roc_auc", 0.6)   0.8000  0.6000  [0.7000, 0.9000]  passed',
        "    roc_auc is 0.8000 on 1,000 rows; the lower end 0.7000 of its 95 % interval is at least 0.6000",
        '  at_least("roc_auc", 0.75)  0.8000  0.7500  [0.7000, 0.9000]  not enough data',
        f"    {found.gates[1].reason}",
    ]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_stricter_limit_never_lets_more_through(a: float, b: float, c: float, one: float, other: float) -> None:
    low, value, high = sorted((a, b, c))
    found = evaluation(area(low, value, high))
    strict, loose = max(one, other), min(one, other)
    if judge(found, None, [at_least("roc_auc", strict)]).accepted:
        assert judge(found, None, [at_least("roc_auc", loose)]).accepted


def test_a_verdict_comes_back_equal_from_json() -> None:
    gates: list[Gate] = [
        at_least("roc_auc", 0.6),
        not_worse("roc_auc", by=0.01),
        slice_gap("roc_auc", "carrier", at_most=0.1),
    ]
    found = judge(evaluation(area(0.7, 0.8, 0.9)), compared(-0.1, 0, 0.1), gates)
    assert Verdict.from_json(found.to_json()) == found
    with pytest.raises(DataError, match="newer than 1"):
        Verdict.from_json('{"format": 99}')


def wrong(value: Any) -> Any:
    """Past the type checker, as a user without one would write it."""
    return value


@pytest.mark.parametrize(
    ("declare", "what", "right"),
    [
        (lambda: at_least("roc_auk", 0.7), "there is no metric 'roc_auk'", "did you mean 'roc_auc'?"),
        (lambda: at_least("roc_auc", 70), "70 is out of the range of roc_auc, from 0 to 1", 'at_least("roc_auc", 0.7)'),
        (lambda: at_least("roc_auc", -3), "-3 is out of the range", 'at_least("roc_auc", 0.7)'),
        (lambda: at_least("roc_auc", wrong("0.7")), "'0.7' is not a number", 'at_least("roc_auc", 0.7)'),
        (lambda: at_least("roc_auc", True), "True is not a number", 'at_least("roc_auc", 0.7)'),
        (lambda: at_least("roc_auc", float("nan")), "nan is not a number", 'at_least("roc_auc", 0.7)'),
        (lambda: at_least("log_loss", 0.3), "log_loss is better when it is smaller", 'at_most("log_loss", 0.3)'),
        (lambda: at_most("roc_auc", 0.3), "roc_auc is better when it is bigger", 'at_least("roc_auc", 0.3)'),
        (lambda: at_most("mae", -1), "-1 is out of the range of mae, 0 or more", 'at_most("mae", 0.2)'),
        (lambda: at_least("r2", 2), "2 is out of the range of r2, at most 1", 'at_least("r2", 0.02)'),
        (lambda: at_most("bias", -1), "-1 is below 0", 'at_most("bias", 1)'),
        (lambda: at_least(wrong([]), 0.7), "there is no metric []", "known: accuracy"),
        (lambda: not_worse("roc_auc", by=-0.01), "-0.01 is below 0", 'not_worse("roc_auc", by=0.01)'),
        (lambda: not_worse("roc_auc", by=5), "5 is wider than the range", 'not_worse("roc_auc", by=0.05)'),
        (lambda: not_worse("f1_", by=0.01), "there is no metric 'f1_'", "did you mean 'f1'?"),
        (lambda: slice_gap("roc_auc", "c", at_most=15), "15 is wider", 'slice_gap("roc_auc", "c", at_most=0.15)'),
        (lambda: slice_gap("roc_auc", [], at_most=0.1), "() names no column", '"a_column", at_most=0.1)'),
        (lambda: slice_gap("roc_auc", wrong(3), at_most=0.1), "3 names no column", '"a_column", at_most=0.1)'),
        (
            lambda: slice_gap("f1", ("a", "b"), at_most=wrong(None)),
            "None is not a number",
            'slice_gap("f1", ("a", "b"), at',
        ),
        (lambda: Judge("auc"), "there is no metric 'auc'", "did you mean 'roc_auc'?"),
        (lambda: Judge("f1", gates=wrong(at_least("f1", 0.5))), "is not a list", "write gates=["),
        (lambda: Judge("f1", gates=wrong(["f1 > 0.5"])), "'f1 > 0.5' is no gate", "write gates=["),
        (lambda: Judge("f1", gates=[at_least("f1", 0.5)] * 2), 'at_least("f1", 0.5) is given twice', "give it once"),
        (lambda: Judge("f1", gates=[at_most("mae", 5)]), "f1 is for binary models", "one kind of model"),
        (lambda: Judge("f1", slices="carrier"), "slices='carrier' is not a list", "write slices=["),
        (lambda: Judge("f1", slices=wrong(["a", 3])), "is not a list of columns", "write slices=["),
        (lambda: Judge("f1", slices=[()]), "is not a list of columns", "write slices=["),
        (lambda: Judge("f1", least_rows=0), "least_rows=0 is no number of rows", "least_rows=200"),
    ],
)
def test_a_wrong_declaration_is_refused_showing_the_right_one(
    declare: Callable[[], Any], what: str, right: str
) -> None:
    with pytest.raises(DeclarationError) as refused:
        declare()
    assert what in refused.value.what
    assert right in str(refused.value.fix)


def test_metrics_shared_by_no_kind_of_model_are_refused_together() -> None:
    with pytest.raises(DeclarationError, match="no kind of model has all"):
        Judge("accuracy", gates=[at_least("f1", 0.5), at_least("macro_f1", 0.5)])


def test_the_judge_of_the_design_is_a_plain_value() -> None:
    gates: list[Gate] = [at_least("roc_auc", 0.68), not_worse("roc_auc", by=0.005)]
    declared = Judge("roc_auc", slices=["carrier", ("origin", "hour")], gates=gates)
    assert declared == Judge("roc_auc", slices=["carrier", ["origin", "hour"]], gates=gates)
    assert declared.slices == (("carrier",), ("origin", "hour"))
    assert [task.value for task in declared.tasks] == ["binary", "multiclass"]
    assert len({declared, Judge("f1")}) == 2
    assert str(gates[1]) == 'not_worse("roc_auc", by=0.005)'


def test_declaration_and_verdict_load_nothing_heavy() -> None:
    code = (
        "import sys, loopwright.judge.declare, loopwright.judge.gates, loopwright.judge.verdict\n"
        "assert not {'numpy', 'polars', 'sklearn'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_from_arrays_to_verdict() -> None:
    labels, scores = [0, 1] * 500, [0.2, 0.6, 0.4, 0.8] * 250
    declared = Judge("accuracy", gates=[at_least("accuracy", 0.9), slice_gap("accuracy", "half", at_most=0.1)])
    columns = {"half": ["a"] * 500 + ["b"] * 500}
    found = evaluate(labels, scores, columns=columns, slices=declared.slices, least_rows=declared.least_rows)
    verdict = judge(found, None, declared.gates)
    assert verdict.accepted, str(verdict)
