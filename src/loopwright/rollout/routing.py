"""The route that a decision comes to, and the event that tells of it."""

from __future__ import annotations

from typing import Any

from loopwright.core.event import Cause
from loopwright.core.plain import plain
from loopwright.core.version import CHALLENGER, CHAMPION, FORMER, Arm, Route
from loopwright.rollout.decision import Decision
from loopwright.rollout.facts import Facts
from loopwright.rollout.plan import Plan
from loopwright.rollout.replay import Record, plan_to_dict
from loopwright.rollout.state import ReleaseState

MOVED = "ReleaseMoved"
"""The event of every move, with all that it takes to decide it again."""


def arms(state: ReleaseState, decision: Decision) -> tuple[Arm, ...]:
    """Who answers from now on.

    The arm called champion is of whoever answers to most: after a promotion the challenger, and the former champion
    keeps an arm of its own for as long as it stays warm.
    """
    challenger, champion = state.challenger, state.champion
    if champion is None or decision.share == 1:
        return (Arm(name=CHAMPION, version=challenger, share=1.0),)
    if decision.watches:
        rest = 1 - decision.share
        return (
            Arm(name=CHAMPION, version=challenger, share=decision.share),
            Arm(name=FORMER, version=champion, share=rest),
        )
    alone = Arm(name=CHAMPION, version=champion, share=1 - decision.share)
    if decision.shadows:
        return (alone, Arm(name=CHALLENGER, version=challenger, share=0.0, shadow=True))
    if not decision.share:
        return (alone,)
    return (alone, Arm(name=CHALLENGER, version=challenger, share=decision.share))


def route(state: ReleaseState, decision: Decision, cause: Cause) -> Route:
    return Route(
        loop=state.loop,
        arms=arms(state, decision),
        at=cause.at,
        actor=cause.actor,
        reason=decision.reason,
        kind=MOVED,
    )


def told_of(decision: Decision) -> dict[str, Any]:
    """What readers of events look for, beside the record."""
    return {
        "verdict": decision.verdict.value,
        "reason": decision.reason,
        "share": decision.share,
        "requests": decision.requests,
    }


def record(plan: Plan, before: ReleaseState, facts: Facts, decision: Decision) -> dict[str, Any]:
    """Of a move: enough for `replay`."""
    return told_of(decision) | Record.of(plan, before, facts, decision).to_dict()


def record_of_beginning(plan: Plan, decision: Decision) -> dict[str, Any]:
    return told_of(decision) | {"plan": plan_to_dict(plan), "decision": plain(decision)}
