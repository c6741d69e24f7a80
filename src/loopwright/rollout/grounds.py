"""What speaks against a challenger, what is still lacking, and the numbers of both."""

from __future__ import annotations

from datetime import datetime, timedelta

from loopwright.evidence.sequence import difference
from loopwright.rollout.course import FIRST, SAFE_ALPHA, SHADOWED, Course, Stage
from loopwright.rollout.decision import Ground, Interval
from loopwright.rollout.holding import dwell, is_uncovered, unlike
from loopwright.rollout.state import NONE, SHADOW, Guard, ReleaseState

MISTAKES = "mistakes"
IN_A_ROW, NONE_OF, CRASHES = 5, 20, 3
"""The lane without statistics: failures in a row; requests without one success; crashes."""
_TOLD = {
    "errors": "fails",
    "slow": "is slow",
    "invalid": "gives invalid predictions",
    "mistakes": "is wrong",
}


def against(course: Course, state: ReleaseState, skewed: str) -> str:
    """Why the challenger is taken back; empty where nothing says so.

    Rows `skewed` against it alone are no statistic of outcomes but a broken contract of data: waiting would bring
    nothing. So they are outside of `alpha`; and a plan may have them hold it, for a season is no broken contract.
    """
    skew = "" if course.holds_unlike else unlike(state, skewed)
    for found in (_broken(state), _worse(course, state), skew, _business(course, state)):
        if found:
            return found
    return ""


def _broken(state: ReleaseState) -> str:
    name = f"v{state.challenger}"
    if state.crashes >= CRASHES:
        return f"{name} crashed {state.crashes} times"
    if state.longest >= IN_A_ROW:
        return f"{name} failed {state.longest} times in a row"
    if not state.successes and state.failures >= NONE_OF:
        return f"{name} answered none of its first {state.failures} requests"
    return ""


def _worse(course: Course, state: ReleaseState) -> str:
    found = (one for one in state.guards if one.is_worse and not _is_void(course, state, one))
    guard = next(found, None)
    if guard is None:
        return ""
    how, alpha = f"v{state.challenger} {_TOLD[guard.name]} more often", course.alpha_of(guard.name)
    if state.stage == SHADOW or guard.unheard.refutes(alpha):
        told = f"{guard.unheard.canary:,} times it alone, {guard.unheard.champion:,} times the champion alone"
        return f"{how} on the same requests: {told} (alpha {alpha:.3g})"
    events, expected = guard.found or (guard.worse.canary, guard.expected)
    return f"{how}: {events:,.0f} events where {expected:.1f} were to be expected (alpha {alpha:.3g})"


def _is_void(course: Course, state: ReleaseState, guard: Guard) -> bool:
    """Where labels do not come to the versions alike, those that came compare nothing; but for the shadow's, where both
    have the same."""
    is_of_labels = guard.name == MISTAKES and not guard.unheard.refutes(course.alpha_of(guard.name))
    return is_of_labels and is_uncovered(state)


def _business(course: Course, state: ReleaseState) -> str:
    """Only between arms of a like size."""
    if not course.outcome_alpha(state.share):
        return ""
    for one in intervals(course, state):
        if one.low is None or one.high is None:
            continue
        if one.name in course.bigger_is_better and one.high < 0:
            return f"{one.name} is lower with v{state.challenger}: by {-one.high:.3g} at least (alpha {one.alpha:.3g})"
        if one.name in course.smaller_is_better and one.low > 0:
            return f"{one.name} is higher with v{state.challenger}: by {one.low:.3g} at least (alpha {one.alpha:.3g})"
    return ""


def lacking(course: Course, state: ReleaseState, now: datetime) -> str:
    """What the stage in force still needs; empty where it may be left."""
    if (left := dwell(course, state) - state.elapsed(now)).total_seconds() > 0:
        return f"{_length(left)} of this stage are left"
    if state.stage == SHADOW:
        return "" if state.scored >= SHADOWED else f"{_more(SHADOWED - state.scored)}, scored unheard"
    if state.in_stage.canary < FIRST:
        return f"{_more(FIRST - state.in_stage.canary)} in this stage"
    if state.watches:
        return ""
    stage = course.stages[state.stage]
    return next((found for guard in state.guards if (found := _unproven(stage, state, guard))), "")


def missing(course: Course, state: ReleaseState, now: datetime) -> str:
    """What is waited for, as a sentence."""
    if course.asks and state.elapsed(now) >= dwell(course, state):
        return "nothing but a decision: its time is over, and a person promotes or aborts it"
    return lacking(course, state, now) or "nothing is lacking"


def _more(requests: int) -> str:
    return f"{requests:,} more request{'' if requests == 1 else 's'}"


def _length(left: timedelta) -> str:
    """In the unit that people would say it in."""
    seconds = left.total_seconds()
    if seconds < 60:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 3600 else f"{seconds / 3600:.1f} hours"


def _unproven(stage: Stage, state: ReleaseState, guard: Guard) -> str:
    """Proof, or, where there is too little to prove it by, requests."""
    if guard.against(stage.risk).refutes(SAFE_ALPHA):
        return ""
    if guard.expected < stage.enough:
        if guard.name == MISTAKES and state.labels != NONE:
            left = stage.least - state.mature.canary
            return f"{left:,} more mature label{'' if left == 1 else 's'} of v{state.challenger}" if left > 0 else ""
        left = stage.least - state.in_stage.canary
        return f"{_more(left)} in this stage" if left > 0 else ""
    return f"{guard.name}: that they are {stage.risk:g} times as many is not refuted yet"


def in_favour(course: Course, state: ReleaseState) -> str:
    stage = course.stages[state.stage]
    proven = [guard.name for guard in state.guards if guard.against(stage.risk).refutes(SAFE_ALPHA)]
    told = f"{', '.join(proven)} proven below {stage.risk:g} times" if proven else "too few events to prove more"
    requests = f"{state.in_stage.canary:,} requests at {100 * stage.share:.3g} %"
    return f"{requests}, {told}; {labelled(state)}"


def labelled(state: ReleaseState) -> str:
    """What was known of mistakes, in words."""
    if state.labels == NONE:
        return "no label had come"
    return f"{state.mature.canary:,} labels of v{state.challenger} and {state.mature.champion:,} of v{state.champion}"


def grounds(course: Course, state: ReleaseState) -> tuple[Ground, ...]:
    """Of each guardrail, as it stands."""
    return tuple(_ground(course, state, guard) for guard in state.guards)


def _ground(course: Course, state: ReleaseState, guard: Guard) -> Ground:
    in_shadow = state.stage == SHADOW
    evidence = guard.unheard if in_shadow else guard.worse
    expected = (evidence.canary + evidence.champion) / 2 if in_shadow else guard.expected
    requests = state.scored if in_shadow else state.requests.canary
    is_ramp = 0 <= state.stage < len(course.stages)
    risk = course.stages[state.stage].risk if is_ramp else None
    return Ground(
        name=guard.name,
        canary=evidence.canary,
        champion=evidence.champion,
        expected=expected,
        excess=(evidence.canary - expected) / requests if requests else 0.0,
        log_e=evidence.log_e,
        alpha=course.alpha_of(guard.name),
        safe_log_e=None if risk is None else guard.against(risk).log_e,
        risk=risk,
    )


def intervals(course: Course, state: ReleaseState) -> tuple[Interval, ...]:
    """Of each outcome in the stage in force. Where nothing is concluded from them, at the alpha of the whole."""
    alpha = course.outcome_alpha(state.share) or course.alpha
    found = []
    for one in state.outcomes:
        low, high = difference(one.challenger, one.champion, alpha) or (None, None)
        found.append(Interval(name=one.name, low=low, high=high, alpha=alpha))
    return tuple(found)
