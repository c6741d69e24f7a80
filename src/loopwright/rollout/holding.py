"""What holds a release: a person, time that ran out, arms that do not get their units, scores that moved, silence.

None of it takes a challenger back, for none of it says that the challenger is worse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import timedelta

from loopwright.evidence import ratio
from loopwright.rollout.course import FIRST, Course
from loopwright.rollout.facts import Facts, Split
from loopwright.rollout.state import SHADOW, Hold, Holding, ReleaseState

SILENCE = timedelta(minutes=15)
"""What happened may be known so late."""


def holds_of(course: Course, state: ReleaseState, facts: Facts) -> tuple[Hold, ...]:
    """Those that stay, and those whose cause is there now; each with the moment since when."""
    before = {hold.kind: hold for hold in state.holds}
    found = {kind: hold for kind, hold in before.items() if kind.stays}
    for kind, reason in _causes(course, state, facts):
        if kind not in state.overlooked:
            since = before[kind].since if kind in before else facts.now
            found[kind] = found.get(kind) or Hold(kind=kind, reason=reason, since=since)
    return tuple(found[kind] for kind in Holding if kind in found)


def told(holds: tuple[Hold, ...]) -> str:
    return "; ".join(hold.reason for hold in holds)


def _causes(course: Course, state: ReleaseState, facts: Facts) -> Iterator[tuple[Holding, str]]:
    elapsed, held = state.elapsed(facts.now), {hold.kind for hold in state.holds}
    if course.asks and elapsed >= dwell(course, state):
        yield Holding.OVER, f"its {_long(dwell(course, state))} are over: promote or abort"
    elif not course.asks and not state.watches and elapsed > max(course.patience, dwell(course, state)):
        yield Holding.PATIENCE, f"nothing was proven in {_long(elapsed)}: resume, promote or abort"
    if _mismatch(state.units) >= -math.log(ratio.ALPHA):
        yield Holding.RATIO, _not_as_meant(state)
    if is_uncovered(state):
        yield Holding.COVERAGE, f"labels do not come to the versions alike: {_labelled(state)}"
    if course.holds_unlike and facts.skewed:
        yield Holding.UNLIKE, unlike(state, facts.skewed)
    if scores := facts.score_drift or (facts.score_near if Holding.SCORES in held else ""):
        yield Holding.SCORES, scores
    yield from _unknown(course, state, facts)


def _unknown(course: Course, state: ReleaseState, facts: Facts) -> Iterator[tuple[Holding, str]]:
    """Read afresh with every batch: that it could be read before says nothing."""
    if facts.known_until is None:
        yield Holding.SILENCE, "what happened could not be read"
    elif facts.now - facts.known_until > SILENCE:
        yield Holding.SILENCE, f"nothing is known since {facts.known_until:%Y-%m-%d %H:%M} UTC"
    elif state.stage_begun_at - facts.now > max(dwell(course, state), SILENCE):
        yield Holding.SILENCE, f"the clock was set back to before this stage began, {state.stage_begun_at:%Y-%m-%d}"
    seen = state.scored if state.stage == SHADOW else state.in_stage.canary
    if not seen and state.elapsed(facts.now) >= dwell(course, state):
        yield Holding.TRAFFIC, f"no request came to v{state.challenger} in this stage"
    if state.watches and is_unlabelled(state) and state.elapsed(facts.now) >= dwell(course, state):
        told = f"{state.mature.canary:,} of v{state.challenger} and {state.mature.champion:,} of v{state.champion}"
        yield Holding.LABELS, f"too few labels came to say whether it is wrong more often: {told}"


def dwell(course: Course, state: ReleaseState) -> timedelta:
    """How long the stage in force lasts at least."""
    if state.stage == SHADOW:
        return course.shadow or timedelta(0)
    if state.watches:
        return course.watch or timedelta(0)
    return course.stages[state.stage].dwell


def unlike(state: ReleaseState, skewed: str) -> str:
    """In words; empty where no rows are `skewed` against the challenger alone."""
    return f"v{state.challenger} was trained on rows unlike those it is asked about: {skewed}" if skewed else ""


def _mismatch(splits: Iterable[Split]) -> float:
    stages = [((one.share, 1 - one.share), (one.units.canary, one.units.champion)) for one in splits]
    return ratio.log_e(stages)


def _not_as_meant(state: ReleaseState) -> str:
    """Of the share at which it is clearest."""
    one = max(state.units, key=lambda one: _mismatch((one,)))
    total = one.units.canary + one.units.champion
    meant = one.share * total
    told = f"{meant:,.0f}" if meant >= 10 else f"{meant:.2g}"
    return f"{one.units.canary:,} of {total:,} units came to v{state.challenger}, {told} were meant"


def is_uncovered(state: ReleaseState) -> bool:
    """Whether labels come to one version's units more than to the other's: then they compare nothing."""
    return _mismatch(state.labelled) >= -math.log(ratio.ALPHA)


def _labelled(state: ReleaseState) -> str:
    told = sum(one.units.canary for one in state.labelled)
    units = sum(one.units.canary + one.units.champion for one in state.labelled)
    meant = sum(one.share * (one.units.canary + one.units.champion) for one in state.labelled)
    return f"of {units:,} labelled units {told:,} are v{state.challenger}'s, where {meant:,.0f} were to be expected"


def is_unlabelled(state: ReleaseState) -> bool:
    """Whether the loop has a label, and too few came of either version to say anything."""
    return state.has_label and min(state.mature.canary, state.mature.champion) < FIRST


def _long(length: timedelta) -> str:
    hours = length / timedelta(hours=1)
    if length < timedelta(minutes=1):
        return f"{length.total_seconds():.3g} seconds"
    if hours < 1:
        return f"{60 * hours:.3g} minutes"
    return f"{hours / 24:.3g} days" if hours >= 48 else f"{hours:.3g} hours"
