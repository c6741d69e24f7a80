"""A stream under Loopwright: its detector on labels, its triggers as they decide, its gate, all with their defaults.

What is declared, and why. `on_decay("accuracy", by=0.03)`, as in the documentation. `look_back="decline"`, for these
streams are of concepts that replace each other. `every("30d")` in the second policy, for what declines so slowly
that no label says so. The gate is `not_worse("accuracy")`, without a margin: a challenger is promoted where it is
shown to be no worse on the newest fifth of its rows, which `Split` holds out. All else is as the product has it: 500
labels after an alarm, two retrainings a week at most, rest for as long as labels take, windows of a day.

`gradual` is for what moves all the time, where no look finds a moment: an age of three days, a look-back of 21, and a
gate with a margin, for it is asked often and on few rows. Chosen on hyperplanes of the seeds 100 to 102.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from statistics import NormalDist
from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier  # type: ignore[import-untyped]

from bench.drawn_streams import Array, Labels
from loopwright.core.retraining import Retraining, RetrainingStatus
from loopwright.evidence.detector import Detector
from loopwright.judge.catalog import Task
from loopwright.judge.compare import compare
from loopwright.judge.evaluate import evaluate
from loopwright.judge.gates import Gate, not_worse
from loopwright.judge.sample import sample
from loopwright.judge.verdict import judge
from loopwright.monitor.quality import LEVEL
from loopwright.monitor.view import share_bounds
from loopwright.retrain.due import Due, decide, learns_since
from loopwright.retrain.facts import Facts, Quality, Window
from loopwright.retrain.triggers import Retrain, every, on_decay
from loopwright.train.split import Split

FIRST, LATE, STEP = 4_000, 500, 96
"""Rows of the first model, rows until a label comes, and rows between two looks: eight hours."""
PACE = timedelta(minutes=5)
DAY = 288
BY_DECLINE = Retrain([on_decay("accuracy", by=0.03)], look_back="decline")
WITH_AGE = Retrain([on_decay("accuracy", by=0.03), every("30d")], look_back="decline")
GATES = (not_worse("accuracy"),)
GRADUAL = Retrain([on_decay("accuracy", by=0.03), every("3d")], look_back="21d")
LEAST_ROWS = 200
"""As the judge: fewer are not measured."""
_SURE = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""Of the intervals of a window, as its monitor has them."""
_BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Of one stream under one policy."""

    accuracy: float
    promoted: int
    trained: int


def watched(x: Array, y: Labels, declared: Retrain = WITH_AGE, gates: Sequence[Gate] = GATES) -> Told:
    """Every look: labels, triggers, and a retraining where one is due, which ends at once."""
    loop = _Loop(x=x, y=y, declared=declared, gates=gates)
    for row in range(FIRST, len(x), STEP):
        loop.reconcile(row)
        newest = slice(row, row + STEP)
        loop.wrong[newest] = loop.model.predict(x[newest]) != y[newest]
    done = [one for one in loop.past if one.status is RetrainingStatus.SUCCEEDED]
    return Told(accuracy=1 - float(loop.wrong[FIRST:].mean()), promoted=len(done), trained=len(loop.past))


@dataclass(slots=True)
class _Loop:
    """The champion of a stream, and what is known of it."""

    x: Array
    y: Labels
    declared: Retrain
    gates: Sequence[Gate]
    wrong: Any = None
    model: Any = None
    number: int = 0
    served_from: int = FIRST
    judged: float = 0.0
    detector: Detector = field(default_factory=lambda: Detector.of(0.5))
    alarmed: int | None = None
    declined: datetime | None = None
    past: list[Retraining] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wrong = np.zeros(len(self.x))
        model = first_model(self.x, self.y)
        self._promote(model, *_held(self.x[:FIRST], self.y[:FIRST]), row=FIRST)

    def reconcile(self, row: int) -> None:
        """Labels of the rows up to `row - LATE` are known."""
        self._look(row)
        facts = self._facts(row)
        found = decide(self.declared, facts)
        if found is not None:
            self._learn(found, row, learns_since(self.declared, facts))

    def _look(self, row: int) -> None:
        if self.alarmed is not None:
            return
        errors = self.wrong[self.served_from + self.detector.labels : max(row - LATE, self.served_from)]
        first = self.detector.first_alarm(errors)
        self.detector = self.detector.update(errors[:first])
        if first is not None:
            self.alarmed, self.declined = row, _at(self.served_from + self.detector.began)

    def _facts(self, row: int) -> Facts:
        quality = self._quality(row)
        return Facts(
            now=_at(row),
            labels_within=LATE * PACE,
            deployment=1,
            deployed_at=_BEGUN,
            is_learned=True,
            champion=f"stream v{self.number}",
            trained=(_at(FIRST), *(one.created_at for one in self.past)),
            rows=row,
            rows_until=_at(row),
            trained_until=_at(self._last),
            alarmed_at=None if self.alarmed is None else _at(self.alarmed),
            declined_at=self.declined,
            quality={} if quality is None else {"accuracy": quality},
            past=tuple(self.past),
        )

    def _quality(self, row: int) -> Quality | None:
        """As the product has it of findings: of the days since the training."""
        days = range(row // DAY * DAY, self._last, -DAY)
        since = _at(max(self._last, self.alarmed or 0))
        return Quality.of("accuracy", self.judged, [self._day(end, row - LATE) for end in days], since)

    def _day(self, end: int, known: int) -> Window:
        """One of which the labels of the rows before `known` are there."""
        wrong = self.wrong[max(end - DAY, self.served_from) : max(min(end, known), 0)]
        if len(wrong) < LEAST_ROWS:
            return Window(until=_at(end), labels=len(wrong))
        correct = round((1 - wrong).sum())
        nearest = share_bounds(correct, len(wrong), _SURE)[1]
        return Window(until=_at(end), labels=len(wrong), value=correct / len(wrong), nearest=nearest)

    @property
    def _last(self) -> int:
        return (self.past[0].created_at - _BEGUN) // PACE if self.past else FIRST

    def _learn(self, found: Due, row: int, since: date | None) -> None:
        begin = 0 if since is None else max((datetime.combine(since, time(), UTC) - _BEGUN) // PACE, 0)
        x, y = self.x[begin : row - LATE], self.y[begin : row - LATE]
        model = fitted(*_kept(x, y))
        is_accepted = _is_accepted(self.model, model, *_held(x, y), self.gates)
        status = RetrainingStatus.SUCCEEDED if is_accepted else RetrainingStatus.REJECTED
        self.past.insert(0, _retraining(found, row, status))
        if is_accepted:
            self._promote(model, *_held(x, y), row=row)

    def _promote(self, model: Any, x: Array, y: Labels, *, row: int) -> None:
        self.model, self.judged, self.served_from = model, right(model, x, y), row
        _, most = share_bounds(round((1 - self.judged) * len(y)), len(y))
        self.detector, self.alarmed, self.number = Detector.of(min(most, 0.99)), None, self.number + 1


def fitted(x: Array, y: Labels) -> Any:
    return DecisionTreeClassifier(min_samples_leaf=10, random_state=0).fit(x, y)


def first_model(x: Array, y: Labels) -> Any:
    """The same for all policies."""
    return fitted(*_kept(x[:FIRST], y[:FIRST]))


def _kept(x: Array, y: Labels) -> tuple[Array, Labels]:
    upto = len(x) - round(len(x) * Split().holdout)
    return x[:upto], y[:upto]


def _held(x: Array, y: Labels) -> tuple[Array, Labels]:
    upto = len(x) - round(len(x) * Split().holdout)
    return x[upto:], y[upto:]


def gradual(x: Array, y: Labels) -> Told:
    return watched(x, y, GRADUAL, (not_worse("accuracy", by=0.02),))


def right(model: Any, x: Array, y: Labels) -> float:
    """The share of rows that it is right about."""
    return float((model.predict(x) == y).mean())


def _is_accepted(champion: Any, challenger: Any, x: Array, y: Labels, gates: Sequence[Gate]) -> bool:
    samples = [
        sample(y.astype(float), model.predict(x).astype(float), task=Task.BINARY) for model in (champion, challenger)
    ]
    said = evaluate(y.astype(float), challenger.predict(x).astype(float), metrics=["accuracy"], task=Task.BINARY)
    return judge(said, compare(*samples, metrics=["accuracy"]), gates).accepted


def _retraining(found: Due, row: int, status: RetrainingStatus) -> Retraining:
    return Retraining(
        id=f"{row:06}",
        loop="stream",
        cause=found.cause,
        trigger=found.trigger,
        reason=found.reason,
        fine_tune=found.fine_tune,
        deployment=1,
        status=status,
        evidence=found.evidence,
        created_at=_at(row),
        created_by="bench",
        finished_at=_at(row),
    )


def _at(row: int) -> datetime:
    return _BEGUN + row * PACE
