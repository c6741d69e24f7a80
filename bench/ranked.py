"""Releases of models that are judged by ranking, on days that share their weather: how they end, seeded.

The base rate is another one every day (.1 to .5), flights come again day after day, one version sees more of the
weather than the other and is calibrated otherwise: none of which makes it better or worse at ranking the rows of a day.
The pairs and the controller are the real ones; labels come a day late, in the order of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from bench.figure import Figure, Section
from loopwright.core.version import position
from loopwright.rollout.controller import begin, decide
from loopwright.rollout.facts import Counts, Events, Facts, Paired, Row, Split
from loopwright.rollout.plan import Canary, Plan, Shadow
from loopwright.rollout.ranking import Pairs, Scored
from loopwright.rollout.state import SHADOW, ReleaseState, Status

PLAN = Canary(shadow="2d", shares=[0.25, 1.0], hold="2d", watch="2d", patience="21d")
ROWS, DAYS = 900, 40
AUC, BETTER, WORSE = 0.70, 0.72, 0.62
_BEGAN, _DAY = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)
_SLOPE = 2.0
"""Of the log-odds by what decides: with it the best model there can be has an AUC of .85 within a day."""
_SIGHT = {0.62: 0.337, 0.70: 0.562, 0.72: 0.616}
"""How much of what decides a model sees, by the AUC within a day that it comes to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Went:
    """How a release ended, and the labels that came until then."""

    status: Status
    labels: int
    days: int


def went(challenger: float, seed: int, plan: Plan = PLAN) -> Went:
    """Of a challenger of so much AUC."""
    draw = np.random.default_rng([seed, int(challenger * 1000)])
    days = _days(draw, (AUC, challenger))
    state, _ = begin(plan, loop="late", challenger=2, champion=1, at=_BEGAN)
    seen = _Seen()
    for number in range(1, DAYS):
        facts = seen.day(next(days), state, _BEGAN + number * _DAY)
        state, _ = decide(plan, state, facts)
        if state.ended is not None:
            return Went(status=state.ended, labels=seen.labels, days=number)
    return Went(status=state.status, labels=seen.labels, days=DAYS)


def _days(draw: np.random.Generator, aucs: tuple[float, float]) -> Iterator[tuple[Any, Any, Any]]:
    """Rows of a day: units, labels and both versions' scores."""
    usual, units = draw.normal(size=ROWS), np.arange(ROWS)
    taste = draw.normal(size=(2, 2))
    while True:
        decides = 0.7 * usual + np.sqrt(1 - 0.7**2) * draw.normal(size=ROWS)
        weather = float(draw.uniform(-2.6, 0.0))
        late = draw.random(ROWS) < 1 / (1 + np.exp(-(weather + _SLOPE * decides)))
        noise, scores = draw.normal(size=(3, ROWS)), []
        for version, auc in enumerate(aucs):
            sight, own = _SIGHT[auc], 0.5 * noise[2] + np.sqrt(0.75) * noise[version]
            seen = sight * decides + np.sqrt(1 - sight**2) * own
            tilt, level = taste[version]
            scores.append(1 / (1 + np.exp(-(seen + tilt * weather + level))))
        order = draw.permutation(ROWS)
        yield units[order], late[order], np.array(scores)[:, order]


class _Seen:
    """What the reader of a release does with rows and labels, without a log."""

    def __init__(self) -> None:
        self.labels = 0
        self._pairs = Pairs()
        self._first: set[tuple[bool, int]] = set()
        self._met: set[int] = set()
        self._places = [position("late", f"unit-{unit}") for unit in range(ROWS)]
        self._waits: list[tuple[Scored, int, bool, bool, float]] = []

    def day(self, rows: tuple[Any, Any, Any], state: ReleaseState, now: datetime) -> Facts:
        """Answers of the day, and the labels of the day before."""
        judged, self._waits = self._waits, list(self._answers(rows, state, now))
        arms = [sum(one[3] for one in self._waits), sum(not one[3] for one in self._waits)]
        paired, events = [0, 0], list[tuple[float, bool]]()
        for row, unit, late, is_canary, share in judged:
            self._judge(row, unit, late, is_canary, share, paired, events)
        self.labels += len(judged)
        in_shadow = state.stage == SHADOW
        return Facts(
            now=now,
            known_until=now,
            scored=ROWS if in_shadow else 0,
            requests=Counts() if in_shadow else Counts(canary=arms[0], champion=arms[1]),
            row=Row(successes=0 if in_shadow else arms[0]),
            champion_row=Row(successes=arms[1]),
            units=tuple(self._units(state.share)),
            paired=(Paired(guardrail="mistakes", challenger=paired[0], champion=paired[1]),),
            events=tuple(
                Events(guardrail="mistakes", shares=(share,), canary=(is_canary,)) for share, is_canary in events
            ),
        )

    def _answers(
        self, rows: tuple[Any, Any, Any], state: ReleaseState, now: datetime
    ) -> Iterator[tuple[Scored, int, bool, bool, float]]:
        share = state.share
        for place, (unit, late, one, other) in enumerate(zip(rows[0], rows[1], *rows[2], strict=True)):
            is_canary = self._places[unit] < share
            scores = (other if is_canary else one,) if share else (one, other)
            at = now - _DAY + place * (_DAY / ROWS)
            yield Scored(at, f"{now.day}-{place}", str(unit), scores), int(unit), bool(late), is_canary, share

    def _judge(
        self, row: Scored, unit: int, late: bool, is_canary: bool, share: float,
        paired: list[int], events: list[tuple[float, bool]],
    ) -> None:  # fmt: skip
        pair = self._pairs.match(row, share, is_canary=is_canary, is_positive=late)
        if pair is None:
            return
        key = (not share, int(pair.positive.unit))
        if key in self._first:
            return
        if not share and pair.wrong[0] != pair.wrong[1]:
            self._first.add(key)
            paired[not pair.wrong[1]] += 1
        elif share and pair.wrong[0]:
            self._first.add(key)
            events.append((share, is_canary))

    def _units(self, share: float) -> Iterator[Split]:
        if not 0 < share < 1 or self._met:
            return
        self._met.update(range(ROWS))
        canary = sum(place < share for place in self._places)
        yield Split(share=share, units=Counts(canary=canary, champion=ROWS - canary))


def section(runs: int) -> Section:
    """Shares of runs; of a worse one the labels that it takes, and how many are caught in a shadow of some days."""
    from bench.release import upper_bound

    alike, better = ([went(auc, seed) for seed in range(runs)] for auc in (AUC, BETTER))
    back = _taken_back(alike)
    figures = [
        Figure(what="as good: taken back, upper 95 % bound", samples=[upper_bound(back, runs)], unit="%", target=5.0),
        Figure(what="better by .02: promoted", samples=[1 - _taken_back(better) / runs], unit="%"),
    ]
    worse = [went(WORSE, seed, Shadow(lasts="30d")) for seed in range(runs // 4)]
    labels = [one.labels if one.status is Status.ROLLED_BACK else np.inf for one in worse]
    figures.append(Figure(what="worse by .08: labels in the shadow until taken back", samples=labels, unit=""))
    for days in (2, 6):
        plan = Canary(shadow=f"{days}d", shares=[0.25, 1.0], hold="2d", watch="2d", patience="21d")
        caught = _taken_back([went(WORSE, seed, plan) for seed in range(runs // 4)]) / (runs // 4)
        figures.append(Figure(what=f"worse by .08, a shadow of {days} days: taken back", samples=[caught], unit="%"))
    title = f"judged by ranking, AUC .70, {ROWS} rows a day of 10 to 50 % positives"
    return Section(title=title, figures=figures)


def _taken_back(found: list[Went]) -> int:
    return sum(one.status is Status.ROLLED_BACK for one in found)
