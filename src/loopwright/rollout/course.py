"""What a plan comes to: stages with the proof that each needs, and how the allowed error is divided. Pure numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from loopwright.core.horizon import LABELS_WITHIN
from loopwright.errors import DataError
from loopwright.rollout.plan import AB, Canary, Now, Plan, Shadow

BUDGET: Mapping[str, float] = {"errors": 0.3, "slow": 0.2, "invalid": 0.1, "mistakes": 0.3, "business": 0.1}
"""Parts of alpha. They add up to one, so that whatever hangs together, the whole is kept (Bonferroni)."""
GUARDRAILS = ("errors", "slow", "invalid", "mistakes")
"""What may happen to one request: it fails or times out; it takes longer than the champion's frozen 99th percentile;
its prediction is none (NaN, out of range); its label says that it was wrong."""
UNHEARD = frozenset({"errors", "invalid", "mistakes"})
"""Those that a shadow tells of too: it has no hurry, so nobody is slow there."""
SAFE_ALPHA = 0.05
"""Of the proof that a next stage is safe. All guardrails must give it, so none spends for another."""
SHADOWED = 200
"""Requests that a challenger answers unheard before it is heard."""
FIRST = 20
"""Requests of a stage before which nothing is promoted, whatever was seen before."""
_NEEDS = ((0.05, 5.0, 200), (0.1, 3.0, 500), (0.25, 2.0, 1000), (0.5, 2.0, 2000), (1.0, 1.5, 5000))
"""Below that share: the risk to refute, and the requests that will do where there are too few events to refute it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One share, and what must be proven to leave it."""

    share: float
    dwell: timedelta
    risk: float
    """That the challenger's requests end badly so many times as often is to be refuted."""
    least: int
    """Requests of the challenger in this stage that will do, where events are too rare to refute it."""

    @property
    def enough(self) -> float:
        """Events to be expected of the challenger, were it no worse, with which the refutation mostly succeeds: the
        evidence it takes over what each brings (a Kullback-Leibler divergence). Fewer are too rare.

        >>> stage = Stage(share=0.05, dwell=timedelta(hours=6), risk=3.0, least=500)
        >>> round(stage.enough, 1)
        6.2
        """
        share = self.share
        under = self.risk * share / (self.risk * share + 1 - share)
        brought = share * math.log(share / under) + (1 - share) * math.log((1 - share) / (1 - under))
        return _IT_TAKES * share / brought


_IT_TAKES = -math.log(SAFE_ALPHA) + 2.0
"""The threshold, and what mixing over alternatives costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A plan as the controller follows it."""

    shadow: timedelta | None = None
    stages: tuple[Stage, ...] = ()
    patience: timedelta
    watch: timedelta | None = None
    hold_back: float = 0.0
    asks: bool = False
    """Whether it ends with a question and not with a promotion."""
    alpha: float = 0.05
    bigger_is_better: tuple[str, ...] = ()
    smaller_is_better: tuple[str, ...] = ()
    holds_unlike: bool = False
    """Whether rows unlike its training rows hold the challenger, and do not take it back."""

    def alpha_of(self, guardrail: str) -> float:
        """Where a ramp follows a shadow, either may take the challenger back: each has half of the guardrail's part.

        >>> [round(course(plan).alpha_of("errors"), 9) for plan in (Canary(), Canary(shadow="1d"))]
        [0.015, 0.0075]
        """
        is_tested_twice = guardrail in UNHEARD and self.shadow is not None and len(self.stages) > 0
        return self.alpha * BUDGET[guardrail] / (2 if is_tested_twice else 1)

    def outcome_alpha(self, share: float) -> float:
        """Of one outcome at one share: arms must be of a like size, and all that are share the budget. 0 where they are
        not: nothing is concluded there."""
        fit = [stage.share for stage in self.stages if 0.25 <= stage.share <= 0.75]
        outcomes = len(self.bigger_is_better) + len(self.smaller_is_better)
        return self.alpha_of("business") / (len(fit) * outcomes) if share in fit and outcomes else 0.0

    @property
    def risks(self) -> tuple[float, ...]:
        """Each once, the highest first."""
        return tuple(sorted({stage.risk for stage in self.stages}, reverse=True))


def course(plan: Plan) -> Course:
    """
    >>> [(stage.share, stage.risk, stage.least) for stage in course(Canary(shares=[0.01, 0.1, 0.5, 1.0])).stages]
    [(0.01, 5.0, 200), (0.1, 2.0, 1000), (0.5, 1.5, 5000)]
    """
    match plan:
        case Canary():
            return Course(
                shadow=plan.shadow,
                stages=tuple(_stage(share, plan.hold) for share in plan.shares if share < 1),
                patience=plan.patience,
                watch=LABELS_WITHIN if plan.watch is None else plan.watch,
                hold_back=plan.hold_back,
                alpha=plan.alpha,
                bigger_is_better=plan.bigger_is_better,
                smaller_is_better=plan.smaller_is_better,
                holds_unlike=plan.unlike == "hold",
            )
        case AB():
            return Course(
                stages=(_stage(plan.share, plan.lasts),),
                patience=plan.lasts,
                asks=True,
                alpha=plan.alpha,
                bigger_is_better=plan.bigger_is_better,
                smaller_is_better=plan.smaller_is_better,
                holds_unlike=plan.unlike == "hold",
            )
        case Shadow():
            return Course(
                shadow=plan.lasts,
                patience=plan.lasts,
                asks=True,
                alpha=plan.alpha,
                holds_unlike=plan.unlike == "hold",
            )
        case Now():
            return Course(patience=timedelta(0))
        case _:
            assert_never(plan)


def _stage(share: float, dwell: timedelta) -> Stage:
    for below, risk, least in _NEEDS:
        if share < below:
            return Stage(share=share, dwell=dwell, risk=risk, least=least)
    raise DataError(f"{share:g} is no share of a stage", fix="give one below 1")
