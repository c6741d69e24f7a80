"""Versions that answer no more: what alarmed of them is over, and a monitor's state grows neither with champions nor
with what an older version wrote into it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.monitoring import DAY, FIRST, LOOP, NOON, World

from loopwright.core.finding import Finding, Level
from loopwright.core.progress import Progress
from loopwright.core.version import CHAMPION, Arm, Route
from loopwright.monitor.declare import Monitor
from loopwright.monitor.reconciler import PREFIX
from loopwright.monitor.retired import retired
from loopwright.monitor.state import State
from loopwright.monitor.windows import window_of


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, monitor=Monitor(labels_within="2d"))


def kept(world: World) -> dict[str, Any]:
    found = world.stores.progress.get(f"{PREFIX}{LOOP}")
    assert found is not None
    return dict(found.value)


def keep(world: World, value: Mapping[str, Any]) -> None:
    found = world.stores.progress.get(f"{PREFIX}{LOOP}")
    number = found.number if found else 0
    world.stores.progress.put(Progress(name=f"{PREFIX}{LOOP}", value=value, number=number), world.cause)


def of(kept: Mapping[str, Any], version: int) -> list[str]:
    """Names that are kept of a version, whatever for."""
    names = [*kept["open"], *kept["alarmed"], *kept["settled"]]
    return [one for one in names if one.endswith(f" v{version}")]


def test_what_alarmed_of_a_version_that_left_is_cleared_once_its_labels_are_in(world: World) -> None:
    for _ in range(2):
        world.answer(world.ask(world.flights(1500, further=0.6)), reversed_share=0.5)
        world.pass_days()
    alarmed = [one for one in kept(world)["alarmed"] if one.endswith(" v1")]
    assert {"skew/distance v1", "quality/roc_auc v1", "quality/decay v1"} <= set(alarmed)
    world.add_version()
    world.route((CHAMPION, 2, 1.0))
    world.answer(world.ask(world.flights(1500), version=2))
    world.pass_days()
    assert set(alarmed) <= set(kept(world)["alarmed"])  # labels of its windows still come
    for _ in range(3):
        world.answer(world.ask(world.flights(1500), version=2))
        world.pass_days()
    assert of(kept(world), 1) == []
    gone = [one for one in world.events("FindingCleared") if one["reason"] == "v1 answers no more"]
    assert {f"{one['monitor']}/{one['subject']} v{one['version']}" for one in gone} == set(alarmed)
    found = world.newest("skew", "distance")
    assert (found.version, found.level, found.reason) == (1, Level.FINE, "v1 answers no more")
    assert of(kept(world), 2)


def test_a_version_whose_edge_follows_late_is_kept_as_long_as_it_answers(world: World) -> None:
    world.answer(world.ask(world.flights(1500)), reversed_share=0.5)
    world.pass_days()
    world.add_version()
    world.route((CHAMPION, 2, 1.0))
    for _ in range(4):
        world.answer(world.ask(world.flights(1500)), reversed_share=0.5)
        world.pass_days()
    assert "quality/roc_auc v1" in kept(world)["alarmed"]
    assert world.events("FindingCleared") == []
    assert kept(world)["pending"][-1][-1] == [1]


def test_the_state_does_not_grow_with_champions() -> None:
    def told(version: int, day: int, place: int, level: Level) -> Finding:
        since = FIRST + timedelta(days=day)
        return Finding(
            loop=LOOP, monitor="quality", subject=f"carrier={place}", version=version, since=since, until=since + DAY,
            known_at=since, level=level, measure="roc_auc", reason="it fell",
        )  # fmt: skip

    state, sizes, day = State(length=DAY), list[int](), 0
    for version in range(1, 51):
        route = Route(loop=LOOP, arms=(Arm(name=CHAMPION, version=version, share=1.0),), at=NOON, actor="tester")
        for _ in range(5):
            found = [told(version, day, place, Level.ALARMED) for place in range(40)]
            before, state = state, state.passed(window_of(FIRST + day * DAY, DAY), {version: 9})
            state = replace(state, pending=state.pending[-3:])
            state = state.told(found).without(retired(before, state, route, found))
            day += 1
        sizes.append(len(json.dumps(state.to_dict())))
    assert len(state.alarmed) == len(state.settled) == 40
    assert max(sizes) < 1.05 * sizes[0]


def test_a_comparison_with_a_champion_that_left_is_over_too(world: World) -> None:
    name = "quality/v2 beside v1 v2"
    state = State(length=DAY, open=(name, "drift/engine v1"), settled={name: FIRST.isoformat()})
    arms = (Arm(name=CHAMPION, version=3, share=0.5), Arm(name="challenger", version=2, share=0.5))
    assert retired(state, state, Route(loop=LOOP, arms=arms, at=NOON, actor="tester"), []) == {name}


def test_a_column_that_drifted_and_is_no_input_any_more_is_over(world: World) -> None:
    world.ask(world.flights(300))
    world.pass_days()
    keep(world, {**kept(world), "open": ["drift/engine v1"], "alarmed": ["drift/engine v1"]})
    world.ask(world.flights(300))
    world.pass_days()
    (gone,) = world.events("FindingCleared")
    assert (gone["subject"], gone["version"], gone["reason"]) == ("engine v1", None, "late v1 takes no such input")
    assert kept(world)["alarmed"] == []


@pytest.mark.parametrize(
    "detector",
    [{"rate": 0.1, "logs": [None]}, {"rate": 0.1, "labels": 9, "logs": [0.0], "run_length": 2.0}, "text", 3],
    ids=["parts are missing", "of another size", "a text", "a number"],
)
def test_a_detector_that_cannot_be_read_begins_anew(
    world: World, detector: Any, caplog: pytest.LogCaptureFixture
) -> None:
    world.answer(world.ask(world.flights(1500)))
    world.pass_days()
    keep(world, {**kept(world), "decay": {**kept(world)["decay"], "detector": detector}})
    world.answer(world.ask(world.flights(700)))
    with caplog.at_level(logging.WARNING):
        assert world.pass_days() == 1
        assert world.monitors.reconcile() == 0
    assert world.events("ReconcilerFailed") == []
    assert world.newest("quality", "decay").evidence["labels"] == 700
    assert [one.message.partition(":")[0] for one in caplog.records] == [
        "the detector of late v1 cannot be read, and begins anew"
    ]


def test_a_state_of_an_older_version_is_read_with_what_was_usual(world: World) -> None:
    world.answer(world.ask(world.flights(600)))
    world.pass_days()
    now = kept(world)
    older = {name: one for name, one in now.items() if name not in ("alarmed", "settled", "is_quiet", "drift_told")}
    older["pending"] = [one[:4] for one in now["pending"]]
    keep(world, {**older, "what_it_had": 1})
    world.ask(world.flights(600))
    assert world.pass_days() == 1
    assert world.events("ReconcilerFailed") == []
    assert kept(world).keys() == now.keys()
    assert [len(one) for one in kept(world)["pending"]] == [7, 7]
    assert State.of(kept(world), DAY).to_dict() == kept(world)


def test_parts_that_cannot_be_read_begin_anew_and_the_log_says_so_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.answer(world.ask(world.flights(600)))
    world.pass_days()
    wrong = {"pending": 7, "estimates": {"x": {"1": 2}}, "open": "all", "calibrations": {"1": {"version": 1}}}
    keep(world, {**kept(world), **wrong})
    world.answer(world.ask(world.flights(600)))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            world.monitors.reconcile()
        assert world.pass_days() == 1
    assert [one.message for one in caplog.records] == [
        "what was kept of the monitors of late cannot be read, and begins anew: estimates, open, pending"
    ]
    assert world.events("ReconcilerFailed") == []
    assert [one.since for one in world.found("operation", "requests")] == [FIRST, FIRST + DAY]
    assert kept(world)["calibrations"]["1"]["version"] == 1
