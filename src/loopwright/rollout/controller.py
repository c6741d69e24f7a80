"""`decide(plan, state, facts)`: the next state of a release and why. Pure: the same three give the same two, always.

First what takes the challenger back, then what a person asks, then what holds, and only then what lets it go on. It
fails closed: without data nothing is promoted, and what proves nothing in its time holds and asks.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from loopwright.rollout import grounds
from loopwright.rollout.absorb import absorb
from loopwright.rollout.course import FIRST, Course, course
from loopwright.rollout.decision import Decision, Verdict, code_version
from loopwright.rollout.facts import Asked, Facts, Move
from loopwright.rollout.holding import holds_of, told
from loopwright.rollout.plan import Plan
from loopwright.rollout.state import SHADOW, Hold, Holding, ReleaseState, Status, guards

Step = tuple[ReleaseState, Decision]


def begin(plan: Plan, *, loop: str, challenger: int, champion: int | None, at: datetime) -> Step:
    """The first state, and the decision that makes the first route. A loop without a champion has nobody to compare
    with: its first version takes over at once.

    >>> from datetime import UTC
    >>> from loopwright.rollout.plan import Canary
    >>> state, decision = begin(Canary(), loop="flights", challenger=2, champion=1, at=datetime(2026, 1, 1, tzinfo=UTC))
    >>> decision.share, decision.reason
    (0.01, 'v2 begins with 1 % of the units')
    """
    follows = course(plan)
    state = ReleaseState(
        loop=loop,
        challenger=challenger,
        champion=champion,
        begun_at=at,
        stage=SHADOW,
        stage_begun_at=at,
        share=0.0,
        guards=guards(follows),
    )
    if champion is None:
        return _end(state, follows, at, Verdict.PROMOTE, Status.PROMOTED, "there is no champion to compare with")
    if follows.shadow is not None:
        return _moved(state, follows, at, Verdict.BEGIN, f"v{challenger} begins unheard beside v{champion}")
    if not follows.stages:
        return _taken_over(state, follows, at, f"v{challenger} answers at once, on the gates alone")
    return _next_stage(state, follows, at, f"v{challenger} begins", Verdict.BEGIN)


def decide(plan: Plan, state: ReleaseState, facts: Facts) -> Step:
    """What is to be done now. A release that has ended stays as it is. Raises `DataError` for impossible facts."""
    if state.ended is not None:
        return state, _said(state, course(plan), facts.now, Verdict.STAY, f"it is {state.ended.value}")
    follows = course(plan)
    state = absorb(follows, state, facts)
    for rule in (_taken_back, _asked, _held, _ended, _goes_on):
        found = rule(follows, state, facts)
        if found is not None:
            return found
    return state, _said(state, follows, facts.now, Verdict.STAY, grounds.missing(follows, state, facts.now))


def _taken_back(follows: Course, state: ReleaseState, facts: Facts) -> Step | None:
    reason = grounds.against(follows, state, facts.skewed)
    return _end(state, follows, facts.now, Verdict.ROLL_BACK, Status.ROLLED_BACK, reason) if reason else None


def _asked(follows: Course, state: ReleaseState, facts: Facts) -> Step | None:
    if facts.asked is None:
        return None
    reason = _by(facts.asked)
    match facts.asked.move:
        case Move.ABORT:
            return _end(state, follows, facts.now, Verdict.ABORT, Status.ABORTED, reason)
        case Move.PROMOTE:
            return None if state.watches else _taken_over(state, follows, facts.now, reason)
        case Move.RESUME:
            return _resumed(state, follows, facts.now, reason) if state.holds else None
        case Move.HOLD:
            if any(hold.kind is Holding.ASKED for hold in state.holds):
                return None
            hold = Hold(kind=Holding.ASKED, reason=reason, since=facts.now)
            holds = (hold, *state.holds)  # in the order of `Holding`, as `holds_of` gives them: else they seem others
            return _moved(replace(state, holds=holds), follows, facts.now, Verdict.HOLD, reason)


def _by(asked: Asked) -> str:
    return f"{asked.move.value} asked by {asked.actor}" + (f": {asked.reason}" if asked.reason else "")


def _resumed(state: ReleaseState, follows: Course, now: datetime, reason: str) -> Step:
    """Somebody looked at it: what held is overlooked in this stage, or for good. Its time, and the sample ratio, begin
    anew."""
    anew = {Holding.ASKED, Holding.PATIENCE, Holding.OVER}
    kinds = {*state.overlooked, *(hold.kind for hold in state.holds)} - anew
    overlooked = tuple(sorted(kinds, key=lambda kind: kind.value))
    units = () if any(hold.kind is Holding.RATIO for hold in state.holds) else state.units
    resumed = replace(
        state,
        holds=(),
        overlooked=tuple(kind for kind in overlooked if kind not in (Holding.RATIO, Holding.COVERAGE)),
        units=units,
        stage_begun_at=now,
    )
    if any(hold.kind is Holding.COVERAGE for hold in state.holds):
        resumed = _without_labels(resumed, follows)
    return _moved(resumed, follows, now, Verdict.RESUME, reason)


def _without_labels(state: ReleaseState, follows: Course) -> ReleaseState:
    """What labels said while they did not come to the versions alike is forgotten, but for the shadow's."""
    anew = {one.name: one for one in guards(follows)}
    kept = tuple(
        replace(anew[one.name], unheard=one.unheard) if one.name == grounds.MISTAKES else one for one in state.guards
    )
    return replace(state, labelled=(), guards=kept)


def _held(follows: Course, state: ReleaseState, facts: Facts) -> Step | None:
    """None where nothing holds and nothing did."""
    before, holds = state.holds, holds_of(follows, state, facts)
    state = replace(state, holds=holds)
    kinds = [hold.kind for hold in holds]
    if kinds == [hold.kind for hold in before]:
        return (state, _said(state, follows, facts.now, Verdict.STAY, told(holds))) if holds else None
    if holds:
        return _moved(state, follows, facts.now, Verdict.HOLD, told(holds))
    return _moved(state, follows, facts.now, Verdict.RESUME, f"no longer: {told(before)}")


def _ended(follows: Course, state: ReleaseState, facts: Facts) -> Step | None:
    """The champion was kept warm for long enough."""
    if not state.watches or follows.watch is None or state.elapsed(facts.now) < follows.watch:
        return None
    if state.in_stage.canary < FIRST:
        return None
    requests = f"{state.in_stage.canary:,} requests of all the traffic"
    reason = f"v{state.challenger} is no worse after {requests}; {grounds.labelled(state)}"
    return _end(state, follows, facts.now, Verdict.FINISH, Status.PROMOTED, reason)


def _goes_on(follows: Course, state: ReleaseState, facts: Facts) -> Step | None:
    """To the next stage, when the time is over and all that is needed is proven. What only tells has no next one."""
    if state.watches or follows.asks or grounds.lacking(follows, state, facts.now):
        return None
    if state.stage == SHADOW:
        return _next_stage(state, follows, facts.now, f"{state.scored:,} requests scored unheard", Verdict.RAMP)
    return _next_stage(state, follows, facts.now, grounds.in_favour(follows, state), Verdict.RAMP)


def _next_stage(state: ReleaseState, follows: Course, now: datetime, reason: str, verdict: Verdict) -> Step:
    stage = state.stage + 1
    if stage == len(follows.stages):
        return _taken_over(state, follows, now, reason)
    share = follows.stages[stage].share
    how = f"{reason} with" if verdict is Verdict.BEGIN else f"{reason}; on to"
    return _moved(state.enter(stage, share, now), follows, now, verdict, f"{how} {100 * share:.3g} % of the units")


def _taken_over(state: ReleaseState, follows: Course, now: datetime, reason: str) -> Step:
    if follows.watch is None or state.champion is None:
        return _end(state, follows, now, Verdict.PROMOTE, Status.PROMOTED, reason)
    watching = replace(state.enter(len(follows.stages), 1 - follows.hold_back, now), watches=True)
    warm = f"v{state.champion} stays warm with {100 * follows.hold_back:.3g} %"
    return _moved(watching, follows, now, Verdict.PROMOTE, f"{reason}; {warm}")


def _end(state: ReleaseState, follows: Course, now: datetime, verdict: Verdict, status: Status, reason: str) -> Step:
    share = 1.0 if status is Status.PROMOTED else 0.0
    ended = replace(state, ended=status, share=share, holds=(), watches=False)
    return _moved(ended, follows, now, verdict, reason)


def _moved(state: ReleaseState, follows: Course, now: datetime, verdict: Verdict, reason: str) -> Step:
    decision = _said(state, follows, now, verdict, reason)
    return state.after(decision), decision


def _said(state: ReleaseState, follows: Course, now: datetime, verdict: Verdict, reason: str) -> Decision:
    is_stay = verdict is Verdict.STAY
    return Decision(
        verdict=verdict,
        reason=reason,
        at=now,
        stage=state.stage,
        share=state.share,
        shadows=state.stage == SHADOW and state.ended is None,
        watches=state.watches,
        requests=state.requests.canary,
        grounds=() if is_stay else grounds.grounds(follows, state),
        intervals=() if is_stay else grounds.intervals(follows, state),
        code=code_version(),
    )
