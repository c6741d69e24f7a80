"""Retraining as it is carried out: each cause one run, whoever looks, and whoever dies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from tests.unit.retraining import DAY, NOON, Kept, Tables

from loopwright.core.deployment import Deployment
from loopwright.core.retraining import RetrainingStatus
from loopwright.core.stores import Stores
from loopwright.core.version import CHAMPION
from loopwright.errors import Conflict, DeploymentNotFound, StoreUnavailable, UsageError
from loopwright.pipeline.deployed import Ran
from loopwright.retrain.reading import Reading
from loopwright.retrain.reconciler import HOLD_SECONDS, Retrainings
from loopwright.retrain.triggers import Retrain, every, on_drift, on_new_data
from loopwright.testing.conformance import a_route, a_version
from loopwright.testing.races import RACES, at_once


def test_new_code_learns_and_then_new_data_does() -> None:
    kept = Kept()
    retrainings = kept.reconciler()
    assert retrainings.reconcile() == 2  # claimed, and ended
    assert retrainings.reconcile() == 0
    kept.tables.until = NOON + 30 * DAY
    kept.clock.advance(30 * 86_400)
    assert retrainings.reconcile() == 2
    assert [(one.trigger, one.status.value, one.evidence["start"]) for one in kept.past] == [
        ("new code", "succeeded", "scratch"),
        ("on_new_data", "succeeded", "parameters"),
    ]
    assert kept.runs.begun == [one.run_id for one in kept.past]
    assert kept.runs.given == [{"start": "scratch"}, {"start": "parameters"}]
    kinds = [event.kind for event in kept.stores.events.list(subject="loop:late")]
    assert kinds == ["LoopDeployed", *["RetrainingClaimed", "RetrainingSucceeded"] * 2]


def test_after_a_decline_it_looks_back_to_the_day_on_which_that_began() -> None:
    kept = Kept(Retrain([on_new_data("30d")], look_back="decline"))
    retrainings = kept.reconciler()
    retrainings.reconcile()
    told = {"version": 7, "began_at": (NOON + 20 * DAY).isoformat()}
    kept.stores.events.add("DecayFound", "loop:late", kept.cause(), told)
    kept.tables.until = NOON + 30 * DAY
    kept.clock.advance(30 * 86_400)
    retrainings.reconcile()
    assert kept.runs.given == [{"start": "scratch"}, {"start": "parameters", "since": "2026-03-22"}]
    assert kept.past[-1].evidence["since"] == "2026-03-22"


def test_drift_that_was_told_makes_it_learn_once_from_the_champion_if_the_loop_says_so() -> None:
    kept = Kept(Retrain([on_drift(fine_tune=True)], cool_down="1h"))
    kept.stores.versions.add(replace(a_version("digest-1", loop="late"), created_at=NOON), [], kept.cause())
    kept.stores.routes.change(a_route((CHAMPION, 1, 1.0), loop="late"), {CHAMPION: 1}, kept.cause(), None)
    retrainings = kept.reconciler()
    retrainings.reconcile()
    kept.clock.advance(86_400)
    told = {"champion": "late v1", "drifted": ["carrier"], "suspected": []}
    kept.stores.events.add("DriftFound", "loop:late", kept.cause(), told)
    assert retrainings.reconcile() == 0  # without new rows the same model would come of it
    kept.tables.until = NOON + DAY
    assert [retrainings.reconcile() for _ in range(3)] == [2, 0, 0]
    assert (kept.past[-1].trigger, kept.runs.given[-1]) == ("on_drift", {"start": "fine_tune"})
    assert "carrier drifted from what late v1 was trained on" in kept.past[-1].reason


def test_drift_whose_training_failed_is_tried_again_after_the_cool_down_and_answered_by_one_that_ends() -> None:
    kept = Kept(Retrain([on_drift()], cool_down="3h"))
    kept.stores.versions.add(replace(a_version("digest-1", loop="late"), created_at=NOON), [], kept.cause())
    kept.stores.routes.change(a_route((CHAMPION, 1, 1.0), loop="late"), {CHAMPION: 1}, kept.cause(), None)
    retrainings = kept.reconciler()
    retrainings.reconcile()
    kept.clock.advance(86_400)
    kept.tables.until = NOON + DAY
    told = {"champion": "late v1", "drifted": ["carrier"], "suspected": []}
    kept.stores.events.add("DriftFound", "loop:late", kept.cause(), told)  # once: the drift goes on
    kept.runs.status = "failed"
    assert retrainings.reconcile() == 2
    kept.runs.status = "succeeded"
    kept.clock.advance(7_200)
    assert retrainings.reconcile() == 0
    kept.clock.advance(7_200)
    assert [retrainings.reconcile() for _ in range(2)] == [2, 0]
    kept.clock.advance(30 * 86_400)
    kept.tables.until = NOON + 30 * DAY
    assert retrainings.reconcile() == 0
    assert [(one.trigger, one.status.value) for one in kept.past[1:]] == [
        ("on_drift", "failed"),
        ("on_drift", "succeeded"),
    ]
    assert kept.past[2].cause == f"{kept.past[1].cause}, try 2"


def test_what_was_deployed_while_another_loop_trained_is_what_runs() -> None:
    kept = Kept(Retrain([every("1d")]))
    kept.deploy("code-b", Retrain([every("1d")]), "middle")
    kept.deploy("code-c", Retrain([every("1d")]), "zeta")
    kept.reconciler().reconcile()
    kept.clock.advance(2 * 86_400)
    ran: list[tuple[str, int]] = []

    def long(deployment: Deployment, parameters: Mapping[str, Any], *, run_id: str | None = None) -> Ran:
        ran.append((deployment.loop, deployment.number))
        if deployment.loop == "late":
            kept.clock.advance(3 * 3600)
            kept.deploy("code-b, fixed", Retrain([every("1d")]), "middle")
            kept.deploy("code-c, fixed", Retrain([]), "zeta")
        return kept.runs.run(deployment, parameters, run_id=run_id)

    one = kept.reconciler(run=long)
    one.reconcile()
    assert ran == [("late", 1), ("middle", 2), ("zeta", 2)]
    assert one.reconcile() == 0


def test_of_two_that_look_at_once_one_runs_it() -> None:
    for _ in range(RACES):
        kept = Kept()
        first, second = kept.reconciler(), kept.reconciler()
        outcomes = at_once(first.reconcile, second.reconcile)
        assert not [one for one in outcomes if isinstance(one, Exception)]
        first.reconcile()
        assert [one.status for one in kept.past] == [RetrainingStatus.SUCCEEDED]
        assert kept.runs.begun == [kept.past[0].run_id]


def test_of_two_asked_by_hand_at_once_one_runs_and_the_other_is_told() -> None:
    for _ in range(RACES):
        kept = Kept()
        kept.reconciler().reconcile()
        first, second = kept.reconciler(), kept.reconciler()
        kept.runs.status = "running"
        outcomes = at_once(*(partial(one.by_hand, "late") for one in (first, second)))
        assert len([one for one in outcomes if isinstance(one, Conflict)]) == 1
        assert len(kept.past) == 2


def test_by_hand_waits_for_no_cool_down_and_says_why_it_may_not_begin() -> None:
    kept = Kept()
    kept.reconciler().reconcile()
    asked = kept.reconciler().by_hand("late", "the airport moved", fine_tune=True)
    assert (asked.status.value, asked.reason, asked.evidence["start"]) == (
        "succeeded",
        "the airport moved",
        "fine_tune",
    )
    kept.runs.status = "running"
    going = kept.reconciler().by_hand("late")
    assert going.status is RetrainingStatus.CLAIMED
    with pytest.raises(Conflict, match="learning again already, because of by hand"):
        kept.reconciler().by_hand("late")
    with pytest.raises(DeploymentNotFound, match="no loop 'early' is deployed"):
        kept.reconciler().by_hand("early")


class Killed(BaseException):
    """The process is gone: nothing catches this."""


class Mortal:
    """A store whose process dies after so many writes."""

    def __init__(self, noun: Any, count: Callable[[], None]) -> None:
        self._noun, self._count = noun, count

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._noun, name)
        if name not in ("claim", "save", "take", "leave"):
            return found

        def write(*args: Any, **named: Any) -> Any:
            result = found(*args, **named)
            self._count()
            return result

        return write


def mortal(stores: Stores, writes: int) -> Stores:
    left = [writes]

    def count() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    return replace(stores, retrainings=Mortal(stores.retrainings, count), leaders=Mortal(stores.leaders, count))


@pytest.mark.parametrize("writes", range(1, 5))
def test_killed_after_any_write_the_next_one_brings_it_to_its_end(writes: int) -> None:
    kept = Kept()
    with pytest.raises(Killed):
        kept.reconciler(mortal(kept.stores, writes)).reconcile()
    kept.lease_clock.advance(HOLD_SECONDS + 1)
    for _ in range(2):
        kept.reconciler().reconcile()
    assert [(one.trigger, one.status) for one in kept.past] == [("new code", RetrainingStatus.SUCCEEDED)]
    assert set(kept.runs.begun) == {kept.past[0].run_id}


def test_killed_while_it_runs_the_next_one_takes_that_run_up() -> None:
    kept = Kept()
    begun: list[str] = []

    def killed(deployment: Deployment, parameters: Mapping[str, Any], *, run_id: str | None = None) -> Ran:
        begun.append(str(run_id))
        raise Killed

    dying = kept.reconciler(run=killed)
    with pytest.raises(Killed):
        dying.reconcile()
    kept.lease_clock.advance(HOLD_SECONDS + 1)
    assert kept.reconciler().reconcile() == 1
    assert kept.runs.begun == begun
    assert len(kept.past) == 1


def test_who_fell_silent_is_replaced_also_while_the_clock_of_a_replay_stands() -> None:
    kept = Kept()

    def killed(deployment: Deployment, parameters: Mapping[str, Any], *, run_id: str | None = None) -> Ran:
        raise Killed

    with pytest.raises(Killed):
        kept.reconciler(run=killed).reconcile()
    kept.clock.jump(365 * 86_400)  # a year of the replay is no time for the process
    assert kept.reconciler().reconcile() == 0
    kept.clock.jump(-365 * 86_400)
    kept.lease_clock.advance(HOLD_SECONDS + 1)
    assert kept.reconciler().reconcile() == 1
    assert [one.status for one in kept.past] == [RetrainingStatus.SUCCEEDED]


def test_while_another_process_is_at_it_nobody_else_runs_it() -> None:
    kept = Kept()
    inside: list[int] = []

    def long(deployment: Deployment, parameters: Mapping[str, Any], *, run_id: str | None = None) -> Ran:
        inside.append(kept.reconciler().reconcile())
        return Ran(status="rejected", run_id=run_id, version=2)

    long_one = kept.reconciler(run=long)
    assert long_one.reconcile() == 2
    assert inside == [0]
    assert (kept.past[0].status, kept.past[0].version) == (RetrainingStatus.REJECTED, 2)


def test_a_run_that_cannot_begin_is_a_failure_but_a_store_that_is_away_is_waited_for() -> None:
    kept = Kept()

    def away(deployment: Deployment, parameters: Mapping[str, Any], *, run_id: str | None = None) -> Ran:
        raise StoreUnavailable("the disk is gone")

    def wrong(deployment: Deployment, parameters: Mapping[str, Any], *, run_id: str | None = None) -> Ran:
        raise UsageError("the environment cannot be made")

    def one(run: Any) -> Retrainings:
        return kept.reconciler(run=run)

    waiting = one(away)
    waiting.reconcile()
    waiting.reconcile()
    assert kept.past[0].status.value == "claimed"
    assert [event.kind for event in kept.stores.events.list()][-1] == "ReconcilerFailed"
    kept.lease_clock.advance(HOLD_SECONDS + 1)
    one(wrong).reconcile()
    assert kept.past[0].status.value == "failed"
    assert "the environment cannot be made" in kept.past[0].error
    kept.clock.advance(86_400)
    assert kept.reconciler().reconcile() == 0  # the same code would fail again: a person has to look


def test_one_loop_that_cannot_be_read_keeps_no_other_waiting() -> None:
    kept = Kept()
    broken = replace(kept.stores.deployments.get("late"), loop="early", spec={"table": {"name": "x"}, "retrain": {}})
    kept.stores.deployments.add(broken, [], kept.cause())
    kept.reconciler().reconcile()
    assert [one.loop for one in kept.stores.retrainings.list()] == ["late"]
    told = kept.stores.events.list(subject="loop:early", kinds=["ReconcilerFailed"])
    assert len(told) == 1


def test_a_loop_without_a_table_is_told_so_and_learns_when_the_first_rows_come() -> None:
    kept = Kept()
    kept.tables.until = None
    kept.runs.status = "failed"
    retrainings = kept.reconciler()
    retrainings.reconcile()
    assert kept.past[0].status is RetrainingStatus.FAILED
    kept.clock.advance(8 * 86_400)
    assert retrainings.reconcile() == 0
    kept.tables.until = NOON + 8 * DAY
    kept.runs.status = "succeeded"
    assert retrainings.reconcile() == 2
    assert kept.past[-1].trigger == "on_new_data"


def test_a_pass_over_two_hundred_loops_reads_each_once_while_nothing_happens() -> None:
    kept = Kept()
    for number in range(200):
        kept.deploy("code-1", Retrain([on_new_data("30d"), every("90d")]), f"loop-{number}")
    retrainings = kept.reconciler()
    retrainings.reconcile()
    retrainings.reconcile()
    reading = retrainings._reading
    known = dict(reading._known)
    assert retrainings.reconcile() == 0
    assert all(reading._known[name] is one for name, one in known.items())
    assert len(known) == 201


def test_the_table_is_asked_how_far_it_reaches_and_not_read() -> None:
    kept = Kept()
    tables = Tables()
    deployment, read = next(iter(Reading(kept.stores, tables).all(NOON)))
    assert deployment.loop == "late"
    assert tables.asked == 0
    assert read().rows_until == NOON
    assert read().labels_within == timedelta(days=7)
