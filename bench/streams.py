"""Retraining on streams that change: accuracy, and how often it learned again, by policy.

40,000 rows a stream, labels 500 rows late, a decision tree of scikit-learn, a row a minute. The first model learns from
4,000 rows and is asked of all that come after. `never`, `every 2,000` and `PSI > .25` promote what they train, on the
newest 2,000 labelled rows. The last policy is Loopwright's: its detector over the labels, its triggers as they decide
in production (`retrain.due`), and a gate on the newest rows, which only a challenger passes that is better there for
certain. Its `train` chooses by the newest rows how far to look back, and after an alarm it waits for 1,200 labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier  # type: ignore[import-untyped]

from bench.drawn_streams import STREAMS, Array, Labels, Stream
from bench.figure import Figure, Section
from loopwright.core.retraining import Retraining, RetrainingStatus
from loopwright.evidence.detector import Detector
from loopwright.judge.catalog import Task
from loopwright.judge.compare import compare
from loopwright.judge.evaluation import Outcome
from loopwright.judge.sample import sample
from loopwright.retrain.due import Due, decide
from loopwright.retrain.facts import Facts, Quality
from loopwright.retrain.triggers import Retrain, every, on_decay

FIRST, LATE, STEP, WINDOW = 4_000, 500, 100, 2_000
Draw = Callable[..., Stream]
HELD = 250
"""Rows that judge the first model and do not train it. Later it is the newest fifth of what came since the last
training, or since the alarm."""
BACK = (300, 450, 600, 900, 1_300, 2_000, 3_000)
"""So many rows a challenger may look back."""
DECLARED = Retrain([on_decay("accuracy", by=0.02), every("10000m")], cool_down="500m", least_labels=1_200)
_BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_SEEDS = (0, 1, 2)
LEAST = {"sine, reversed": 0.80, "stagger": 0.89, "agrawal": 0.86, "hyperplane, slow": 0.79}
CALM = ("rbf, no drift", "harmless shift of inputs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Of one stream under one policy."""

    accuracy: float
    promoted: int
    trained: int


def measure(work: Path) -> Iterator[Section]:  # noqa: ARG001 - as all sections
    """One stream after the other."""
    for name, draw in STREAMS.items():
        drawn = [draw(np.random.default_rng(seed)) for seed in _SEEDS]
        told = {policy: [run(*stream) for stream in drawn] for policy, run in POLICIES.items()}
        accuracy = [
            Figure(what=policy, samples=[one.accuracy for one in found], unit="", least=_least(name, policy))
            for policy, found in told.items()
        ]
        yield Section(title=f"{name}: accuracy, {len(_SEEDS)} streams", figures=accuracy)
        often = [
            Figure(what=policy, samples=[float(one.promoted) for one in found], unit="", target=_most(name, policy))
            for policy, found in told.items()
        ]
        tried = Figure(what=f"{OURS}, trained", samples=[float(one.trained) for one in told[OURS]], unit="")
        yield Section(title="the same: models promoted after the first", figures=[*often, tried])


def never(x: Array, y: Labels) -> Told:
    model, _ = _first(x, y)
    return Told(accuracy=float((model.predict(x[FIRST:]) == y[FIRST:]).mean()), promoted=0, trained=0)


def every_so_often(x: Array, y: Labels) -> Told:
    return _blind(x, y, lambda row, _: row % WINDOW == 0)


def when_inputs_move(x: Array, y: Labels) -> Told:
    """Any column's population stability index over the newest 1,000 rows, ten bins of equal numbers, above .25."""

    def moved(row: int, since: int) -> bool:
        if row % 1_000 or row - since < 1_000:
            return False
        before, now = x[max(since - WINDOW, 0) : since], x[row - 1_000 : row]
        return max(_psi(before[:, one], now[:, one]) for one in range(x.shape[1])) > 0.25

    return _blind(x, y, moved)


def _blind(x: Array, y: Labels, is_due: Callable[[int, int], bool]) -> Told:
    """What is trained is promoted; `is_due` of the row that comes and of the one that it learned at last."""
    (model, _), since, right, count = _first(x, y), FIRST, 0, 0
    for row in range(FIRST, len(x), STEP):
        if row > FIRST and is_due(row, since):
            newest = slice(max(row - LATE - WINDOW, 0), row - LATE)
            model, since, count = fitted(x[newest], y[newest]), row, count + 1
        right += int((model.predict(x[row : row + STEP]) == y[row : row + STEP]).sum())
    return Told(accuracy=right / (len(x) - FIRST), promoted=count, trained=count)


def watched(x: Array, y: Labels, declared: Retrain = DECLARED) -> Told:
    """By the detector, the triggers and the gate."""
    loop = _Loop(x=x, y=y, declared=declared)
    right = 0
    for row in range(FIRST, len(x), STEP):
        loop.reconcile(row)
        said = loop.model.predict(x[row : row + STEP])
        loop.wrong[row : row + STEP] = said != y[row : row + STEP]
        right += int((said == y[row : row + STEP]).sum())
    done = [one for one in loop.past if one.status is RetrainingStatus.SUCCEEDED]
    return Told(accuracy=right / (len(x) - FIRST), promoted=len(done), trained=len(loop.past))


@dataclass(slots=True)
class _Loop:
    """The champion of a stream, and what is known of it."""

    x: Array
    y: Labels
    declared: Retrain
    wrong: Any = None
    model: Any = None
    number: int = 1
    served_from: int = FIRST
    judged: float = 0.0
    detector: Detector | None = None
    alarmed: int | None = None
    past: list[Retraining] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wrong = np.zeros(len(self.x))
        self._promote(*_first(self.x, self.y), row=FIRST)
        self.number = 1

    def reconcile(self, row: int) -> None:
        """Labels of the rows up to `row - LATE` are known."""
        self._look(row)
        found = decide(self.declared, self._facts(row))
        if found is not None:
            self._learn(found, row)

    def _look(self, row: int) -> None:
        assert self.detector is not None
        newest = slice(max(row - LATE - STEP, self.served_from), row - LATE)
        self.detector = self.detector.update(self.wrong[newest])
        if self.alarmed is None and self.detector.alarms:
            self.alarmed = row

    def _facts(self, row: int) -> Facts:
        last = self._last
        known = self.wrong[max(self.served_from, (self.alarmed or row) - LATE - WINDOW // 4) : max(row - LATE, 0)]
        quality = Quality(
            metric="accuracy",
            bigger_is_better=True,
            judged=self.judged,
            value=1 - float(known.mean()) if len(known) else self.judged,
            nearest=None,
            labels=row - max(last, self.alarmed or row),
        )
        return Facts(
            now=_at(row),
            labels_within=LATE * _MINUTE,
            deployment=1,
            deployed_at=_BEGUN,
            is_learned=True,
            champion=f"stream v{self.number}",
            trained=(_at(FIRST), *(one.created_at for one in self.past)),
            rows=row,
            rows_until=_at(row),
            trained_until=_at(last),
            alarmed_at=None if self.alarmed is None else _at(self.alarmed),
            quality={"accuracy": quality},
            past=tuple(self.past),
        )

    @property
    def _last(self) -> int:
        return (self.past[0].created_at - _BEGUN) // _MINUTE if self.past else FIRST

    def _learn(self, found: Due, row: int) -> None:
        held = (row - max(self._last, self.alarmed or 0)) // 5
        newest = slice(max(row - LATE - max(BACK) - held, 0), row - LATE)
        x, y = self.x[newest], self.y[newest]
        model, judged = _challenger(x, y, held)
        is_better = _is_better(self.model, model, x[-held:], y[-held:])
        status = RetrainingStatus.SUCCEEDED if is_better else RetrainingStatus.REJECTED
        self.past.insert(0, _retraining(found, row, status))
        if is_better:
            self._promote(model, judged, row=row)

    def _promote(self, model: Any, judged: float, *, row: int) -> None:
        self.model, self.judged, self.served_from = model, judged, row
        self.detector, self.alarmed, self.number = Detector.of(_most_wrong(1 - judged)), None, self.number + 1


def fitted(x: Array, y: Labels) -> Any:
    return DecisionTreeClassifier(min_samples_leaf=10, random_state=0).fit(x, y)


def _first(x: Array, y: Labels) -> tuple[Any, float]:
    """The same for all policies."""
    past, held = slice(0, FIRST - HELD), slice(FIRST - HELD, FIRST)
    model = fitted(x[past], y[past])
    return model, _right(model, x[held], y[held])


def _challenger(x: Array, y: Labels, held: int) -> tuple[Any, float]:
    """The model that looks back as far as does best on the rows before the newest, and its accuracy on the newest."""
    past, newest, last = slice(0, -2 * held), slice(-2 * held, -held), slice(-held, None)
    tried = [(_right(fitted(x[past][-rows:], y[past][-rows:]), x[newest], y[newest]), rows) for rows in BACK]
    model = fitted(x[:-held][-max(tried)[1] :], y[:-held][-max(tried)[1] :])
    return model, _right(model, x[last], y[last])


def _right(model: Any, x: Array, y: Labels) -> float:
    return float((model.predict(x) == y).mean())


def _most_wrong(share: float) -> float:
    """Upper end of the 95 % interval of an error on `HELD` rows (Wilson): what is small by luck must alarm nobody."""
    z, rows = 1.96, HELD
    middle, spread = share + z**2 / (2 * rows), z * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return float((middle + spread) / (1 + z**2 / rows))


def _is_better(champion: Any, challenger: Any, x: Array, y: Labels) -> bool:
    found = [
        sample(y.astype(float), model.predict(x).astype(float), task=Task.BINARY) for model in (champion, challenger)
    ]
    told = compare(*found, metrics=["accuracy"], level=0.99)
    return told.differences[0].outcome is Outcome.BETTER


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


def _psi(before: Array, now: Array) -> float:
    edges = np.unique(np.quantile(before, np.linspace(0, 1, 11)[1:-1]))
    shares = [np.bincount(np.searchsorted(edges, one), minlength=len(edges) + 1) / len(one) for one in (before, now)]
    p, q = (np.maximum(one, 1e-4) for one in shares)
    return float(((p - q) * np.log(p / q)).sum())


def _at(row: int) -> datetime:
    return _BEGUN + row * _MINUTE


OURS = "detector, triggers, gate"
POLICIES: dict[str, Callable[[Array, Labels], Told]] = {
    "never": never,
    "every 2,000": every_so_often,
    "PSI > .25": when_inputs_move,
    OURS: watched,
}


def _least(stream: str, policy: str) -> float | None:
    return LEAST.get(stream) if policy == OURS else None


def _most(stream: str, policy: str) -> float | None:
    if policy != OURS:
        return None
    return 0 if stream in CALM else 4 if stream in LEAST and "slow" not in stream else None
