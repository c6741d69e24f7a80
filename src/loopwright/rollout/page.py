"""Where a release stands, as one looks at it: the stage, the evidence, what is missing, and what the outcomes say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from loopwright.core.release import Release
from loopwright.core.version import Version
from loopwright.rollout import grounds, yardstick
from loopwright.rollout.course import SAFE_ALPHA, Course, course
from loopwright.rollout.decision import Decision, Ground, Interval
from loopwright.rollout.moving import Standing
from loopwright.rollout.plan import Plan
from loopwright.rollout.state import SHADOW, Compared, Hold, ReleaseState


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Of one release, at one moment."""

    release: Release
    plan: Plan
    state: ReleaseState
    stage: str
    """In words."""
    missing: str
    """What it waits for; empty once it has ended."""
    holds: Sequence[Hold]
    grounds: Sequence[Ground]
    intervals: Sequence[Interval]
    outcomes: Sequence[str]
    """A sentence each, of all that the plan names: what the interval says, or how few values there are."""
    disagreements: Sequence[str]
    """Where an outcome says one thing and the quality on labels another."""
    decisions: Sequence[Decision]
    known_until: datetime | None
    mistake: str = ""
    """What counts as one, in words; empty where the version is not known."""


def page(standing: Standing, now: datetime, challenger: Version | None = None) -> Page:
    """The state as it is stored: what was read since is in the next one."""
    follows, state = course(standing.plan), standing.state
    found = grounds.grounds(follows, state)
    intervals = grounds.intervals(follows, state)
    return Page(
        release=standing.release,
        plan=standing.plan,
        state=state,
        stage=_stage(follows, state),
        missing="" if state.ended else grounds.missing(follows, state, now),
        holds=state.holds,
        grounds=found,
        intervals=intervals,
        outcomes=list(_outcomes(follows, state, intervals)),
        disagreements=list(_disagreements(follows, state, intervals)),
        decisions=state.decisions,
        known_until=state.known_until,
        mistake="" if challenger is None else yardstick.told(challenger),
    )


def _stage(follows: Course, state: ReleaseState) -> str:
    if state.ended is not None:
        return state.ended.value
    if state.stage == SHADOW:
        return "in the shadow: every request is scored by both, and the champion is heard"
    if state.watches:
        return f"it answers {100 * state.share:.3g} %, and v{state.champion} stays warm with the rest"
    return f"stage {state.stage + 1} of {len(follows.stages)}: it answers {100 * state.share:.3g} % of the units"


def _outcomes(follows: Course, state: ReleaseState, intervals: Sequence[Interval]) -> Iterator[str]:
    found = {one.name: one for one in state.outcomes}
    yield from (_said(one) or _few(state, found[one.name]) for one in intervals)
    for name in (*follows.bigger_is_better, *follows.smaller_is_better):
        if name not in found:
            yield _few(state, Compared(name=name))


def _few(state: ReleaseState, one: Compared) -> str:
    told = f"{one.challenger.count:,} of v{state.challenger}, {one.champion.count:,} of v{state.champion}"
    return f"{one.name}: too few mature values yet ({told})"


def _said(one: Interval) -> str:
    """Empty where there is no interval yet."""
    if one.low is None or one.high is None:
        return ""
    told = f"between {one.low:+.4g} and {one.high:+.4g} with the challenger (alpha {one.alpha:.3g})"
    if one.low > 0:
        return f"{one.name} is higher: {told}"
    return f"{one.name} is lower: {told}" if one.high < 0 else f"{one.name}: no difference is shown yet, {told}"


def _disagreements(follows: Course, state: ReleaseState, intervals: Sequence[Interval]) -> Iterator[str]:
    """Between what is earned and what is right."""
    quality = _quality(state)
    for one in intervals:
        better = _better(follows, one)
        if better is None or not quality:
            continue
        if better and quality < 0:
            yield f"they disagree: {one.name} is better with the challenger, and it is wrong more often"
        elif not better and quality > 0:
            yield f"they disagree: {one.name} is worse with the challenger, and it is not wrong more often"


def _better(follows: Course, one: Interval) -> bool | None:
    """None where nothing is shown, or nobody said which way is better."""
    if one.low is None or one.high is None or one.low <= 0 <= one.high:
        return None
    if one.name in follows.bigger_is_better:
        return one.low > 0
    return one.high < 0 if one.name in follows.smaller_is_better else None


def _quality(state: ReleaseState) -> int:
    """-1 where labels show more mistakes, 1 where they refute that these are many more, 0 where they say nothing."""
    guard = state.guard("mistakes")
    if guard.is_worse or guard.worse.log_e >= -math.log(SAFE_ALPHA):
        return -1
    return 1 if any(one.refutes(SAFE_ALPHA) for one in guard.safe) else 0
