"""Monitors over windows of a prediction log: each finds what it should, is quiet on the near miss, and says when it
has not enough data; however often, and whenever, it is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.monitoring import DAY, FIRST, LOOP, World

from loopwright.core.finding import Level
from loopwright.core.version import CHAMPION
from loopwright.monitor import spans
from loopwright.monitor.declare import Monitor
from loopwright.monitor.machine import Machine
from loopwright.monitor.staleness import learned_until

USUAL = Monitor(labels_within="3d")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, monitor=USUAL)


def test_a_window_is_looked_at_once_when_it_is_over(world: World) -> None:
    world.ask(world.flights(50))
    assert world.monitors.reconcile() == 0
    assert world.pass_days(0.5) == 0  # its end is here; lines may be on their way
    world.clock.advance(60)
    assert world.monitors.reconcile() == 1
    assert world.monitors.reconcile() == 0
    (found,) = world.found("operation", "requests")
    assert (found.since, found.until, found.number) == (FIRST, FIRST + DAY, 50)


def test_a_loop_that_was_never_asked_has_no_windows(world: World) -> None:
    assert world.pass_days(5) == 0
    assert world.stores.findings.list(LOOP) == []


def test_a_loop_without_a_deployment_is_watched_as_usual(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ask(world.flights(50))
    assert world.pass_days() == 1


def test_failures_beyond_the_limit_alarm_and_few_of_them_do_not(world: World) -> None:
    world.ask(world.flights(950))
    world.fail(50)
    world.pass_days()
    found = world.newest("operation", "errors")
    assert (found.level, found.number, found.limit) == (Level.ALARMED, 0.05, 0.01)
    assert found.evidence["kinds"] == {"error": 50}
    world.ask(world.flights(998))
    world.fail(2)
    world.pass_days()
    assert world.newest("operation", "errors").level is Level.FINE
    raised, cleared = world.events("FindingRaised"), world.events("FindingCleared")
    assert [(one["monitor"], one["subject"]) for one in raised] == [("operation", "errors")]
    assert [(one["monitor"], one["subject"]) for one in cleared] == [("operation", "errors")]


@pytest.mark.parametrize(
    "answered", [0, 500], ids=["from the first request on", "after days of answers and of silence"]
)
def test_a_model_that_fails_everything_alarms_though_nothing_was_predicted(world: World, answered: int) -> None:
    if answered:
        world.ask(world.flights(answered))
    world.clock.advance(2 * DAY.total_seconds())
    for _ in range(2):
        world.fail(500)
        world.clock.advance(DAY.total_seconds())
    while world.monitors.reconcile():
        pass
    found = [one for one in world.found("operation", "errors") if one.level is Level.ALARMED]
    assert [(one.since, one.number) for one in found] == [(FIRST + 2 * DAY, 1.0), (FIRST + 3 * DAY, 1.0)]


def test_failures_of_shadows_alone_begin_no_window(world: World) -> None:
    world.fail(500, shadow=True)
    assert world.pass_days(3) == 0


def test_few_requests_say_nothing_of_errors_but_how_many_are_missing(world: World) -> None:
    world.ask(world.flights(100))
    world.pass_days()
    found = world.newest("operation", "errors")
    assert found.level is Level.UNKNOWN
    assert "200 more rows" in found.reason


@pytest.mark.parametrize(("latency_ms", "level"), [(60.0, Level.ALARMED), (40.0, Level.FINE)])
def test_latency_is_held_against_its_limit(tmp_path: Path, latency_ms: float, level: Level) -> None:
    world = World(tmp_path, monitor=Monitor(most_latency_ms=50))
    world.ask(world.flights(950), latency_ms=2.0)
    world.ask(world.flights(50), latency_ms=latency_ms)
    world.pass_days()
    found = world.newest("operation", "latency")
    assert found.level is level
    assert found.number == pytest.approx(latency_ms, rel=0.01)
    assert found.evidence["p50"] == pytest.approx(2.0, rel=0.01)


def test_a_full_disk_alarms_for_a_window_that_ended_just_now_alone(tmp_path: Path) -> None:
    world = World(tmp_path, machine=Machine(cpu=0.5, memory=0.92, disk=0.99, gpus=((0.3, 0.4),)))
    world.ask(world.flights(50))
    world.clock.advance(DAY.total_seconds())
    world.ask(world.flights(50))
    world.pass_days()
    assert [one.since for one in world.found("operation", "disk")] == [FIRST + DAY]
    levels = {what: world.newest("operation", what).level for what in ("cpu", "memory", "disk", "gpu 0")}
    assert levels == {"cpu": Level.FINE, "memory": Level.NOTICED, "disk": Level.ALARMED, "gpu 0": Level.FINE}


def test_inputs_that_break_the_contract_are_told_by_column_until_they_do_not(world: World) -> None:
    rows = world.flights(400)
    world.ask([row | {"carrier": "ZZ"} if place % 10 == 0 else row for place, row in enumerate(rows)])
    world.pass_days()
    found = world.newest("input", "carrier")
    assert (found.level, found.measure) == (Level.NOTICED, "value out of domain")
    assert world.newest("input").number == 1
    world.ask(world.flights(400))
    world.pass_days()
    assert world.newest("input", "carrier").level is Level.FINE
    assert world.newest("input").level is Level.FINE


def test_skew_alarms_when_two_windows_in_a_row_differ_from_training(world: World) -> None:
    for _ in range(2):
        world.ask(world.flights(2000, further=0.6))
        world.pass_days()
    first, second = world.found("skew", "distance")
    assert (first.level, second.level) == (Level.NOTICED, Level.ALARMED)
    assert second.number is not None
    assert second.limit is not None
    assert second.number > second.limit
    assert second.evidence["p"] < 0.01
    (told,) = world.events("DriftFound")
    assert (told["champion"], told["drifted"]) == ("late v1", ["distance"])
    assert told["window"] == "2026-03-03T00:00:00Z/2026-03-04T00:00:00Z"


def test_one_odd_window_between_good_ones_alarms_nobody(world: World) -> None:
    for further in (0.0, 0.6, 0.0, 0.6):
        world.ask(world.flights(2000, further=further))
        world.pass_days()
    levels = [one.level for one in world.found("skew")]
    assert levels == [Level.FINE, Level.NOTICED, Level.FINE, Level.NOTICED]
    assert world.events("DriftFound") == []


def test_what_did_not_move_is_steady_and_what_is_small_is_not_enough_data(world: World) -> None:
    for count in (2000, 2000, 300):
        world.ask(world.flights(count))
        world.pass_days()
    assert [one.level for one in world.found("skew")] == [Level.FINE, Level.FINE, Level.UNKNOWN]
    few = world.newest("skew")
    assert few.evidence["more_rows"] == 700
    assert "700 more rows" in few.reason
    assert world.events("DriftFound") == []


def test_drift_from_window_to_window_needs_two_that_differ_from_the_one_before(world: World) -> None:
    for further in (0.0, 0.6, 0.6):
        world.ask(world.flights(2000, further=further))
        world.pass_days()
    assert [one.level for one in world.found("drift")] == [Level.UNKNOWN, Level.NOTICED, Level.ALARMED]
    score = world.found("prediction", "score")
    assert [one.level for one in score] == [Level.NOTICED, Level.ALARMED]
    assert world.newest("prediction").evidence["shares"].keys() == {"true", "false"}


def test_statistics_that_were_lost_are_made_again(world: World) -> None:
    for further in (0.0, 0.6, 0.6):
        world.ask(world.flights(2000, further=further))
        for file in (world.folder / spans.FOLDER / LOOP).glob("*.json"):
            file.unlink()
        world.pass_days()
    assert world.newest("drift").level is Level.ALARMED


def test_quality_is_told_by_metric_and_slice_beside_what_it_was_judged_at(world: World) -> None:
    world.answer(world.ask(world.flights(3000)))
    world.pass_days()
    found = world.newest("quality", "roc_auc")
    assert found.level is Level.FINE
    assert found.number == pytest.approx(found.evidence["judged"], abs=0.04)
    assert found.evidence["low"] < found.number < found.evidence["high"]
    assert world.newest("quality", "carrier=UA").measure == "roc_auc"


def test_quality_that_fell_alarms(world: World) -> None:
    world.answer(world.ask(world.flights(3000)), reversed_share=0.3)
    world.pass_days()
    assert world.newest("quality", "roc_auc").level is Level.ALARMED
    assert "roc_auc" in {one["subject"] for one in world.events("FindingRaised")}


def test_few_labels_say_how_many_more_are_needed(world: World) -> None:
    asked = world.ask(world.flights(1000))
    world.answer(asked[:150])
    world.pass_days()
    found = world.newest("quality", "roc_auc")
    assert found.level is Level.UNKNOWN
    assert "50 more labels" in found.reason


def test_labels_that_come_late_tell_the_window_again_and_it_stays_one(world: World) -> None:
    asked = world.ask(world.flights(2000))
    world.answer(asked[:300])
    world.pass_days()
    first = world.newest("quality", "coverage")
    assert (first.evidence["labelled"], first.evidence["waiting"], first.evidence["missing"]) == (300, 1700, 0)
    world.answer(asked[300:1800])
    world.pass_days()
    (again,) = world.found("quality", "coverage", window=FIRST)
    assert (again.evidence["labelled"], again.evidence["waiting"]) == (1800, 200)
    assert again.known_at > first.known_at
    (auc,) = world.found("quality", "roc_auc", window=FIRST)
    assert auc.evidence["rows"] == 1800


def test_labels_that_never_came_are_missing_and_not_negative(world: World) -> None:
    asked = world.ask(world.flights(2000))
    world.answer(asked[:1500])
    world.pass_days()
    share = world.newest("quality", "accuracy").number
    for _ in range(4):
        world.pass_days()
    (final,) = world.found("quality", "coverage", window=FIRST)
    assert (final.evidence["labelled"], final.evidence["waiting"], final.evidence["missing"]) == (1500, 0, 500)
    (accuracy,) = world.found("quality", "accuracy", window=FIRST)
    assert (accuracy.number, accuracy.evidence["rows"]) == (share, 1500)
    progress = world.stores.progress.get(f"monitor:{LOOP}")
    assert progress is not None
    assert progress.value["pending"] == []


def test_a_decline_is_told_once_for_a_champion_and_watched_anew_for_the_next(world: World) -> None:
    for _ in range(3):
        world.answer(world.ask(world.flights(1500)), reversed_share=0.5)
        world.pass_days()
    (told,) = world.events("DecayFound")
    assert (told["champion"], told["metric"]) == ("late v1", "error_share")
    assert told["number"] > told["limit"]
    assert told["began_at"] == world.newest("quality", "decay").evidence["began_at"]
    assert told["began_at"] < (FIRST + DAY).isoformat()  # it was bad from its first day
    assert world.newest("quality", "decay").level is Level.ALARMED
    world.add_version()
    world.route((CHAMPION, 2, 1.0))
    world.answer(world.ask(world.flights(1500), version=2))
    world.pass_days()
    found = world.newest("quality", "decay")
    assert (found.version, found.level) == (2, Level.FINE)
    assert len(world.events("DecayFound")) == 1


def test_a_model_that_stays_as_good_raises_no_alarm(world: World) -> None:
    for _ in range(6):
        world.answer(world.ask(world.flights(1500)))
        world.pass_days()
    assert world.events("DecayFound") == []
    found = world.newest("quality", "decay")
    assert (found.level, found.evidence["labels"]) == (Level.FINE, 9000)


def test_each_label_reaches_the_detector_once_however_late_and_out_of_order(world: World) -> None:
    first = world.ask(world.flights(500))
    world.pass_days()
    second = world.ask(world.flights(500))
    world.answer(second[:400])
    world.pass_days()
    world.answer(first)
    world.answer(second[400:])
    world.pass_days()
    world.pass_days()
    assert world.newest("quality", "decay").evidence["labels"] == 1000


def test_the_estimate_says_what_it_is_blind_to_and_stands_beside_the_truth(world: World) -> None:
    world.answer(world.ask(world.flights(2000)))
    world.pass_days()
    asked = world.ask(world.flights(2000))
    world.pass_days()
    (before,) = world.found("estimate", "roc_auc", window=FIRST + DAY)
    assert "blind to concept drift" in before.reason
    assert before.evidence["calibrated_on"] == 2000
    assert before.evidence["truth"] is None
    world.answer(asked)
    world.pass_days()
    (after,) = world.found("estimate", "roc_auc", window=FIRST + DAY)
    assert after.number == before.number
    assert after.evidence["truth"] == pytest.approx(after.number, abs=0.05)


def test_versions_are_compared_at_equal_maturity_alone(world: World) -> None:
    world.add_version()
    world.route((CHAMPION, 1, 0.5), ("challenger", 2, 0.5))
    for first, second in ((1000, 1000), (1000, 300)):
        old, new = world.ask(world.flights(1000)), world.ask(world.flights(1000), version=2)
        world.answer([*old[:first], *new[:second]])
        world.pass_days()
    even, uneven = world.found("quality", "v2 beside v1")
    assert even.level is not Level.UNKNOWN
    assert "equal maturity" in even.reason
    assert uneven.level is Level.UNKNOWN
    assert "unevenly" in uneven.reason


def test_an_old_champion_and_old_labels_are_stale(tmp_path: Path) -> None:
    world = World(tmp_path, monitor=Monitor(champion_within="3d", data_within="2d"))
    world.answer(world.ask(world.flights(300)))
    world.pass_days()
    assert {world.newest("staleness", what).level for what in ("champion", "labels")} == {Level.FINE}
    world.pass_days(2)
    world.ask(world.flights(300))
    world.pass_days()
    found = {what: world.newest("staleness", what) for what in ("champion", "labels")}
    assert {one.level for one in found.values()} == {Level.NOTICED}
    assert found["champion"].number == 3.5


@pytest.mark.parametrize(
    ("lineage", "expected"),
    [
        ({"split": {"bounds": ["2026-02-01T00:00:00", "2026-02-20T00:00:00"]}, "data": {"until": "2026-03-01"}}, 20),
        ({"split": {"bounds": None}, "data": {"until": "2026-02-27"}}, 27),
        ({"data": {"until": None}}, None),
        ({}, None),
    ],
    ids=["split by time", "a span", "all rows", "nothing is known"],
)
def test_the_newest_training_data_have_an_age_where_it_is_known(lineage: dict[str, Any], expected: int | None) -> None:
    found = learned_until(lineage)
    assert found == (None if expected is None else datetime(2026, 2, expected, tzinfo=UTC))


def test_shadows_are_heard_by_nobody(world: World) -> None:
    world.ask(world.flights(100))
    world.ask(world.flights(900), shadow=True)
    world.pass_days()
    assert world.newest("operation", "requests").number == 100


def test_a_stretch_without_requests_is_one_window_however_long(world: World) -> None:
    world.ask(world.flights(100))
    world.pass_days()
    assert world.pass_days(400) == 1
    found = world.newest("operation", "requests")
    assert (found.since, found.number, found.level) == (FIRST + DAY, 0, Level.NOTICED)
    assert "up to 2027-04-07" in found.reason
    world.ask(world.flights(100))
    assert world.pass_days() == 1
    assert world.newest("operation", "requests").number == 100


def test_a_backlog_is_worked_off_in_order(world: World) -> None:
    for _ in range(12):
        world.ask(world.flights(50))
        world.clock.advance(DAY.total_seconds())
    assert [world.monitors.reconcile() for _ in range(3)] == [8, 4, 0]
    assert [one.since for one in world.found("operation", "requests")] == [FIRST + number * DAY for number in range(12)]


def test_a_clock_that_was_a_year_ahead_loses_no_window_and_doubles_none(world: World) -> None:
    world.ask(world.flights(100))
    world.pass_days()
    year = timedelta(days=365).total_seconds()
    world.clock.jump(year)
    world.monitors.reconcile()
    world.clock.jump(-year)
    assert world.monitors.reconcile() == 0
    world.ask(world.flights(70))
    assert world.pass_days() == 1
    assert [one.number for one in world.found("operation", "requests", window=FIRST)] == [100]
    assert [one.number for one in world.found("operation", "requests", window=FIRST + DAY)] == [70]
    assert world.newest("operation", "requests").number == 70


def test_what_was_asked_after_a_clock_was_set_back_is_looked_at_though_its_ids_are_ahead(world: World) -> None:
    world.clock.jump(2 * DAY.total_seconds())
    world.ask(world.flights(1))
    world.clock.jump(-2 * DAY.total_seconds())
    world.ask(world.flights(70))
    world.clock.advance(DAY.total_seconds())
    world.monitors.reconcile()
    assert [one.number for one in world.found("operation", "requests", window=FIRST)] == [70]


def test_a_clock_set_back_by_an_hour_changes_nothing(world: World) -> None:
    world.ask(world.flights(100))
    world.pass_days()
    world.clock.jump(-3600)
    assert world.monitors.reconcile() == 0
    assert world.pass_days(1) == 1


def test_of_two_at_once_one_writes_and_nothing_is_doubled(world: World) -> None:
    world.answer(world.ask(world.flights(2000)), reversed_share=0.5)
    world.clock.advance(DAY.total_seconds())
    rival, put = world.another(), world.stores.progress.put
    beaten: list[int] = []

    def put_late(*given: object, **more: object) -> object:
        if not beaten:
            beaten.append(1)
            assert rival.reconcile() == 1
        return put(*given, **more)  # type: ignore[arg-type]

    object.__setattr__(world.stores.progress, "put", put_late)
    assert world.monitors.reconcile() == 0
    object.__delattr__(world.stores.progress, "put")
    assert len(world.found("quality", "roc_auc")) == 1
    assert len(world.events("DecayFound")) == 1
    assert world.newest("quality", "decay").evidence["labels"] <= 2000


class Killed(BaseException):
    """What ends a process."""


def test_killed_between_the_look_and_the_write_nothing_is_doubled(world: World) -> None:
    straight = World(world.folder / "straight", monitor=USUAL)
    for one in (world, straight):
        one.answer(one.ask(one.flights(1500)), reversed_share=0.5)
        one.clock.advance(DAY.total_seconds())
    straight.monitors.reconcile()

    def die(*_: object, **__: object) -> None:
        raise Killed

    for _ in range(3):
        object.__setattr__(world.stores.progress, "put", die)
        with pytest.raises(Killed):
            world.another().reconcile()
        object.__delattr__(world.stores.progress, "put")
    world.another().reconcile()
    mine, other = (
        [(x.monitor, x.subject, x.level, x.number) for x in one.stores.findings.list(LOOP)] for one in (world, straight)
    )
    assert mine == other
    assert world.events("DecayFound") == straight.events("DecayFound")


def test_a_loop_that_cannot_be_looked_at_is_told_of_once_and_the_others_go_on(world: World) -> None:
    world.deploy(Monitor())
    broken = world.stores.deployments.get(LOOP)
    spec = {**broken.spec, "monitor": {"window": "a day"}}
    world.stores.deployments.add(replace(broken, spec=spec), [], world.cause)
    world.ask(world.flights(100))
    world.pass_days()
    world.pass_days()
    (told,) = world.events("ReconcilerFailed")
    assert (told["reconciler"], told["kind"]) == ("monitor", "DataError")
