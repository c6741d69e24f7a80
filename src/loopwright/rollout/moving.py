"""One decision about a release, written: the record, the route that it comes to and the event, or none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from loopwright.core.event import Cause
from loopwright.core.release import Release
from loopwright.core.stores import Stores
from loopwright.rollout.decision import Decision, Verdict
from loopwright.rollout.facts import Facts
from loopwright.rollout.plan import Plan
from loopwright.rollout.replay import plan_from_dict
from loopwright.rollout.routing import MOVED, record, route
from loopwright.rollout.state import ReleaseState, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A release as it was read, in the words of the controller."""

    release: Release
    plan: Plan
    state: ReleaseState

    @classmethod
    def of(cls, release: Release) -> Standing:
        """Raises DataError for one of another Loopwright."""
        plan = plan_from_dict(dict(release.plan))
        return cls(release=release, plan=plan, state=ReleaseState.from_dict(dict(release.state)))


def written(
    stores: Stores, standing: Standing, state: ReleaseState, facts: Facts, decision: Decision, cause: Cause
) -> Standing:
    """The release as it is now. Raises Conflict where it, or the route, changed since it was read."""
    is_move = decision.verdict is not Verdict.STAY
    told = replace(cause, reason=decision.reason) if is_move else cause
    changes = state.share, state.stage, state.watches, state.ended
    before = standing.state
    is_same = changes == (before.share, before.stage, before.watches, before.ended)
    data: Mapping[str, Any] = record(standing.plan, before, facts, decision) if is_move else {}
    return _put(stores, standing, state, None if is_same else decision, told, MOVED if is_move else None, data)


def overtaken(stores: Stores, standing: Standing, champion: int | None, cause: Cause) -> Standing:
    """Ended, for somebody else changed the route, which stays as he made it: promoted where the challenger is the
    champion in it. Raises Conflict as `written`."""
    status = Status.PROMOTED if champion == standing.state.challenger else Status.ABORTED
    share = 1.0 if status is Status.PROMOTED else 0.0
    state = replace(standing.state, ended=status, share=share, holds=(), watches=False)
    move = Decision(
        verdict=Verdict.OVERTAKEN,
        reason=cause.reason,
        at=cause.at,
        stage=state.stage,
        share=share,
        requests=state.requests.canary,
    )
    state = state.after(move)
    data = {"verdict": move.verdict.value, "reason": move.reason, "share": share, "requests": move.requests}
    return _put(stores, standing, state, None, cause, MOVED, data)


def _put(
    stores: Stores,
    standing: Standing,
    state: ReleaseState,
    decision: Decision | None,
    cause: Cause,
    kind: str | None,
    data: Mapping[str, Any],
) -> Standing:
    """With a new route where there is a decision that changes it."""
    changed = replace(
        standing.release,
        state=state.to_dict(),
        status=state.status.value,
        ended_at=cause.at if state.ended else None,
    )
    placed = None if decision is None else route(state, decision, cause)
    release = stores.releases.move(changed, placed, cause, kind, data)
    return replace(standing, release=release, state=state)
