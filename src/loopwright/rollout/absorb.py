"""Facts into the state: sums and evidence, no decision but that a guardrail's limit was crossed on the way."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from loopwright.errors import DataError, did_you_mean
from loopwright.rollout.course import GUARDRAILS, Course
from loopwright.rollout.facts import Counts, Events, Facts, Outcome, Paired, Row, Split
from loopwright.rollout.state import Compared, Guard, ReleaseState

LEAST_EVENTS = 3
"""Of the canary, or"""
LEAST_EXCESS = 0.001
"""of its requests: less is not worth a rollback, however sure it is."""
CHAMPION_FAILS = 0.05
"""A champion that itself fails so often makes rows of failures by chance, or by what is broken for both."""


def absorb(course: Course, state: ReleaseState, facts: Facts) -> ReleaseState:
    """The state with these facts in it. Raises `DataError` for an unknown guardrail or an impossible share.

    However events are cut into facts, the evidence is the same.
    """
    requests = state.requests.plus(facts.requests)
    _known({one.guardrail for one in facts.events} | {one.guardrail for one in facts.paired})
    return replace(
        _in_a_row(state, facts.row, facts.champion_row),
        requests=requests,
        in_stage=state.in_stage.plus(facts.requests),
        scored=state.scored + facts.scored,
        guards=tuple(_guarded(course, guard, facts, requests) for guard in state.guards),
        units=_split([*state.units, *facts.units]),
        labels=state.labels.plus(facts.labels),
        mature=state.mature.plus(facts.mature),
        labelled=_split([*state.labelled, *facts.labelled]),
        crashes=state.crashes + facts.crashes,
        outcomes=_compared(state, facts.outcomes),
        known_until=facts.known_until if facts.known_until is not None else state.known_until,
        cursor=facts.cursor or state.cursor,
    )


def _in_a_row(state: ReleaseState, row: Row, beside: Row) -> ReleaseState:
    """What breaks both versions is no fault of one: while the champion fails as well, failures are not counted."""
    before = (0, 0) if row.successes else (state.champion_well, state.champion_badly)
    well, badly = before[0] + beside.successes, before[1] + beside.failures
    state = replace(state, successes=state.successes + row.successes, champion_well=well, champion_badly=badly)
    if badly > max(1.0, CHAMPION_FAILS * (well + badly)):
        return replace(state, in_a_row=0)
    joined = state.in_a_row + row.begins
    return replace(
        state,
        failures=state.failures + row.failures,
        in_a_row=row.ends if row.successes else joined,
        longest=max(state.longest, row.longest, joined),
    )


def _known(names: Iterable[str]) -> None:
    for name in names:
        if name not in GUARDRAILS:
            raise DataError(f"no guardrail {name!r}", fix=did_you_mean(name, GUARDRAILS))


def _guarded(course: Course, guard: Guard, facts: Facts, requests: Counts) -> Guard:
    """What was scored in the shadow counts whenever its label comes: later stages have fewer that tell as much."""
    for pair in facts.paired:
        if pair.guardrail == guard.name:
            guard = _beside(course, guard, pair)
    for events in facts.events:
        if events.guardrail == guard.name and events.shares:
            guard = _heard(course, guard, events, requests)
    return guard


def _beside(course: Course, guard: Guard, pair: Paired) -> Guard:
    unheard = guard.unheard.add(share=0.5, canary=pair.challenger, champion=pair.champion)
    is_worse = unheard.refutes(course.alpha_of(guard.name)) and unheard.canary >= LEAST_EVENTS
    return replace(guard, unheard=unheard, is_worse=guard.is_worse or is_worse)


def _heard(course: Course, guard: Guard, events: Events, requests: Counts) -> Guard:
    """Looks after every single event: what matters is whether the limit was ever reached."""
    path = guard.worse.follow(events.shares, events.canary)
    shares, is_canary = np.asarray(events.shares), np.asarray(events.canary, dtype=bool)
    expected = guard.expected + np.cumsum(np.where(is_canary, 0.0, shares / (1 - shares)))
    canary = guard.worse.canary + np.cumsum(is_canary)
    matters = (canary >= LEAST_EVENTS) | (canary - expected >= LEAST_EXCESS * max(requests.canary, 1))
    enough = np.flatnonzero(matters & (path >= -math.log(course.alpha_of(guard.name))))
    found = [(float(canary[place]), float(expected[place])) for place in enough[:1]]
    return replace(
        guard,
        worse=guard.worse.after(events.shares, events.canary),
        safe=tuple(one.after(events.shares, events.canary) for one in guard.safe),
        expected=float(expected[-1]),
        is_worse=guard.is_worse or bool(found),
        found=guard.found or next(iter(found), ()),
    )


def _split(splits: list[Split]) -> tuple[Split, ...]:
    summed: dict[float, Counts] = {}
    for one in splits:
        summed[one.share] = summed.get(one.share, Counts()).plus(one.units)
    return tuple(Split(share=share, units=units) for share, units in sorted(summed.items()))


def _compared(state: ReleaseState, outcomes: Iterable[Outcome]) -> tuple[Compared, ...]:
    """Only of the share in force: what comes late from another stage is of another stage."""
    found = {one.name: one for one in state.outcomes}
    for outcome in outcomes:
        if outcome.share == state.share:
            before = found.get(outcome.name, Compared(name=outcome.name))
            found[outcome.name] = replace(
                before,
                challenger=before.challenger.merge(outcome.challenger),
                champion=before.champion.merge(outcome.champion),
            )
    return tuple(found[name] for name in sorted(found))
