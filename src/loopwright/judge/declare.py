"""`Judge`: the declaration of how a loop's models are judged. Nothing heavy may be imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loopwright.errors import DeclarationError, did_you_mean
from loopwright.judge.catalog import METRICS, Task
from loopwright.judge.gates import AtLeast, AtMost, Gate, NotWorse, SliceGap


@dataclass(frozen=True, slots=True, init=False)
class Judge:
    """What a model is measured by, on which slices, and what it must prove. A plain value.

    `metric` is the one that models are chosen by; all metrics of the task are measured all the same. `slices` names
    columns, or tuples of columns taken together; the columns of a `slice_gap` are added. A slice below `least_rows`
    rows is "not enough data".

    Raises `DeclarationError` for an unknown metric, something that is no gate, a gate given twice, or gates whose
    metrics no one kind of model has.

    >>> from loopwright.judge.gates import at_least, slice_gap
    >>> judge = Judge("roc_auc", slices=["origin"], gates=[slice_gap("roc_auc", "carrier", at_most=0.15)])
    >>> judge.slices
    (('origin',), ('carrier',))
    >>> Judge("roc_auk")
    Traceback (most recent call last):
    loopwright.errors.DeclarationError: there is no metric 'roc_auk'
      where: Judge('roc_auk')
      to do: did you mean 'roc_auc'?
    """

    metric: str
    slices: tuple[tuple[str, ...], ...]
    gates: tuple[Gate, ...]
    least_rows: int

    def __init__(
        self,
        metric: str,
        *,
        slices: Sequence[str | Sequence[str]] = (),
        gates: Sequence[Gate] = (),
        least_rows: int = 200,
    ) -> None:
        where = f"Judge({metric!r})"
        if str(metric) not in METRICS:
            raise DeclarationError(
                f"there is no metric {metric!r}", where=where, fix=did_you_mean(str(metric), METRICS)
            )
        checked = _gates(gates, where)
        _refuse_mixed_tasks(metric, checked, where)
        object.__setattr__(self, "metric", metric)
        object.__setattr__(self, "slices", _slices(slices, checked, where))
        object.__setattr__(self, "gates", checked)
        object.__setattr__(self, "least_rows", _least_rows(least_rows, where))

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that have every metric named here."""
        return _tasks([self.metric, *(gate.metric for gate in self.gates)])


def _gates(gates: object, where: str) -> tuple[Gate, ...]:
    if not isinstance(gates, list | tuple):
        raise DeclarationError(
            f"gates={gates!r} is not a list", where=where, fix='write gates=[lw.at_least("roc_auc", 0.7)]'
        )
    for gate in gates:
        if not isinstance(gate, AtLeast | AtMost | NotWorse | SliceGap):
            raise DeclarationError(f"{gate!r} is no gate", where=where, fix='write gates=[lw.at_least("roc_auc", 0.7)]')
        if gates.count(gate) > 1:
            raise DeclarationError(f"the gate {gate} is given twice", where=where, fix="give it once")
    return tuple(gates)


def _slices(slices: object, gates: tuple[Gate, ...], where: str) -> tuple[tuple[str, ...], ...]:
    wrong = DeclarationError(
        f"slices={slices!r} is not a list of columns", where=where, fix='write slices=["carrier", ("origin", "hour")]'
    )
    if not isinstance(slices, list | tuple):
        raise wrong
    found = [(one,) if isinstance(one, str) else one for one in slices]
    for columns in found:
        if not isinstance(columns, list | tuple) or not columns or not all(isinstance(c, str) and c for c in columns):
            raise wrong
    asked = [gate.columns for gate in gates if isinstance(gate, SliceGap)]
    return tuple(dict.fromkeys([*(tuple(columns) for columns in found), *asked]))


def _tasks(names: Sequence[str]) -> tuple[Task, ...]:
    return tuple(task for task in Task if all(task in METRICS[name].tasks for name in names))


def _refuse_mixed_tasks(metric: str, gates: tuple[Gate, ...], where: str) -> None:
    for gate in gates:
        if not _tasks([metric, gate.metric]):
            mine, other = (" or ".join(task.value for task in METRICS[name].tasks) for name in (metric, gate.metric))
            raise DeclarationError(
                f"{metric} is for {mine} models, and the gate {gate} for {other}",
                where=where,
                fix="name metrics of one kind of model",
            )
    if not _tasks([metric, *(gate.metric for gate in gates)]):
        raise DeclarationError(
            "no kind of model has all the metrics of the gates", where=where, fix="name metrics of one kind of model"
        )


def _least_rows(least_rows: object, where: str) -> int:
    if isinstance(least_rows, bool) or not isinstance(least_rows, int) or least_rows < 1:
        raise DeclarationError(
            f"least_rows={least_rows!r} is no number of rows", where=where, fix="write least_rows=200"
        )
    return least_rows
