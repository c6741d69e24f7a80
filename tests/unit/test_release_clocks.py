"""Releases while the clock is set back by a year: what happens then counts as before, and nothing counts too soon."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.street import LOOP, Street

from loopwright.core.clock import Ulids
from loopwright.core.event import Cause
from loopwright.core.version import Arm
from loopwright.rollout.asking import ask
from loopwright.rollout.facts import Move
from loopwright.rollout.plan import Canary
from loopwright.rollout.reader import CRASHED
from loopwright.rollout.state import ReleaseState, Status

YEAR_SECONDS, DAY_SECONDS = 365 * 86_400.0, 86_400.0
PLAN = Canary(hold="2h", patience="9d", shares=[0.25, 1.0], watch="2h", hold_back=0.05)
LEFT = pytest.mark.parametrize("is_restarted", [False, True], ids=["the same gateway", "another gateway"])


def slow(_number: int, arm: Arm) -> bool:
    return arm.version == 2


def begun(folder: Path, plan: Canary = PLAN) -> Street:
    """With an hour of the clock as it was."""
    street = Street(folder, tells_route=True)
    street.start(plan)
    street.hour(1_500)
    street.reconciler.reconcile()
    return street


def set_back(street: Street, *, is_restarted: bool) -> None:
    """A gateway and a controller that begin anew name what they predict by the clock as it is then."""
    street.clock.jump(-YEAR_SECONDS)
    if is_restarted:
        street.ulids, street.reconciler = Ulids(street.clock), street.another()


def resumed(street: Street) -> ReleaseState:
    street.reconciler.reconcile()
    assert "the clock was set back to before this stage began" in street.moves()[-1].cause.reason
    ask(street.stores, LOOP, Move.RESUME, street.cause())
    return street.standing().state


@LEFT
def test_requests_count_on_and_once_resumed_a_release_comes_to_its_end(tmp_path: Path, *, is_restarted: bool) -> None:
    street = begun(tmp_path)
    set_back(street, is_restarted=is_restarted)
    street.hour(1_500)
    state = resumed(street)
    assert state.requests.canary + state.requests.champion == 3_000
    for _ in range(6):
        street.hour(1_500)
        street.reconciler.reconcile()
    assert street.standing().state.ended is Status.PROMOTED


@LEFT
def test_a_challenger_that_is_slow_from_then_on_is_taken_back(tmp_path: Path, *, is_restarted: bool) -> None:
    street = begun(tmp_path)
    set_back(street, is_restarted=is_restarted)
    resumed(street)
    street.hour(1_500, slow=slow)
    street.reconciler.reconcile()
    assert street.verdicts() == ["begin", "hold", "resume", "roll back"]
    assert "is slow more often" in street.moves()[-1].cause.reason


def test_who_reads_again_counts_what_was_slow_as_it_was_counted_first(tmp_path: Path) -> None:
    told = []
    for forgets in (False, True):
        street = begun(tmp_path / str(forgets))
        set_back(street, is_restarted=True)
        resumed(street)
        for _ in range(4):
            street.hour(400, hours=0.2, slow=lambda number, _arm: number % 9 == 0)
            street.reconciler.reconcile()
            if forgets:
                street.reconciler = street.another()
        guard = street.standing().state.guard("slow").worse
        told.append((guard.canary, guard.champion))
    assert told[0] == told[1]
    assert told[0][1] > 20


def test_three_crashes_take_it_back_whatever_the_clock_says(tmp_path: Path) -> None:
    street = begun(tmp_path)
    set_back(street, is_restarted=False)
    resumed(street)
    for attempt in range(3):
        cause = Cause(actor="gateway", at=street.clock.now(), reason="torn")
        street.stores.events.add(CRASHED[0], f"version:{LOOP}:2", cause, {"attempts": attempt})
    street.reconciler.reconcile()
    assert street.moves()[-1].cause.reason == "v2 crashed 3 times"


def test_what_breaks_the_champion_as_often_is_no_fault_of_the_challenger(tmp_path: Path) -> None:
    street = begun(tmp_path)
    for attempt in range(4):
        for version in (1, 2):
            told = f"version:{LOOP}:{version}"
            street.stores.events.add(CRASHED[1], told, street.cause("gateway"), {"attempts": attempt})
    street.reconciler.reconcile()
    assert (street.standing().state.crashes, street.standing().state.ended) == (0, None)


def test_crashes_of_a_release_before_are_not_held_against_it_in_the_next(tmp_path: Path) -> None:
    street = begun(tmp_path)
    for attempt in range(2):
        cause = Cause(actor="gateway", at=street.clock.now(), reason="torn")
        street.stores.events.add(CRASHED[0], f"version:{LOOP}:2", cause, {"attempts": attempt})
    ask(street.stores, LOOP, Move.ABORT, street.cause())
    street.clock.jump(-YEAR_SECONDS)
    street.start(PLAN)
    street.stores.events.add(CRASHED[0], f"version:{LOOP}:2", street.cause("gateway"), {"attempts": 9})
    street.reconciler.reconcile()
    assert (street.standing().state.crashes, street.standing().state.ended) == (1, None)


def test_labels_wait_until_they_are_mature_by_the_clock_as_it_is(tmp_path: Path) -> None:
    """Labels take a day: those that come sooner must not count sooner."""
    street = Street(tmp_path, tells_route=True)
    street.start(Canary(hold="9d", patience="20d", shares=[0.25, 1.0]))
    asked = [street.request(f"unit-{number}", label=False) for number in range(400)]
    street.clock.advance(DAY_SECONDS)
    for ulid in asked:
        street.label(ulid, True)
    street.reconciler.reconcile()
    street.clock.advance(8 * DAY_SECONDS)
    street.reconciler.reconcile()
    before = street.standing().state.mature
    assert before.canary + before.champion == 400
    street.clock.jump(-YEAR_SECONDS)
    for number in range(100):
        street.request(f"new-{number}")
    street.reconciler.reconcile()
    state = street.standing().state
    assert state.mature == before
    assert state.labels.canary + state.labels.champion == 500
    street.clock.advance(timedelta(days=8).total_seconds())
    street.reconciler.reconcile()
    after = street.standing().state.mature
    assert after.canary + after.champion == 500
