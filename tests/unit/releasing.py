"""Building facts of a release, and going through one, for tests of the controller."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from loopwright.rollout.controller import begin, decide
from loopwright.rollout.decision import Decision
from loopwright.rollout.facts import Counts, Events, Facts, Row
from loopwright.rollout.plan import Canary, Plan
from loopwright.rollout.state import ReleaseState

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CALM = Canary(hold="1h", shares=[0.01, 0.1, 0.5, 1.0], watch="1d")


def started(plan: Plan = CALM, champion: int | None = 1) -> ReleaseState:
    return begin(plan, loop="late", challenger=2, champion=champion, at=NOON)[0]


def seen(state: ReleaseState, hours: float = 1.0, **changed: Any) -> Facts:
    """So many hours into the stage: healthy traffic, unless something is changed."""
    now = state.stage_begun_at + hours * HOUR
    healthy: dict[str, Any] = {
        "now": now,
        "known_until": now,
        "requests": Counts(canary=6_000, champion=6_000),
        "row": Row(successes=6_000),
        "champion_row": Row(successes=6_000),
    }
    return Facts(**(healthy | changed))


def events(guardrail: str, share: float, *, canary: int = 0, champion: int = 0) -> Events:
    arms = (False,) * champion + (True,) * canary
    return Events(guardrail=guardrail, shares=(share,) * len(arms), canary=arms)


def at_share(share: float, plan: Plan = CALM) -> ReleaseState:
    """A release that came so far on healthy traffic."""
    state = started(plan)
    while state.share < share:
        state = decide(plan, state, seen(state))[0]
    assert state.share == share
    return state


def step(state: ReleaseState, plan: Plan = CALM, hours: float = 1.0, **changed: Any) -> tuple[ReleaseState, Decision]:
    return decide(plan, state, seen(state, hours, **changed))
