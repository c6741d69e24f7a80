"""What monitors say is true: of rows that are there, of labels that came, of what was erased, and of a decline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit import monitoring
from tests.unit.monitoring import CONTRACT, FIRST, LOOP, World

from loopwright.core.finding import Level
from loopwright.core.version import CHAMPION
from loopwright.data.schema import Column
from loopwright.monitor.declare import Monitor
from loopwright.predictions import labels
from loopwright.predictions.labels import Label


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, monitor=Monitor(labels_within="3d"))


def test_a_decline_is_told_by_all_that_came_since_it_and_not_by_the_newest_answers(world: World) -> None:
    for share in (0.5, 0.5, 0.0):
        world.answer(world.ask(world.flights(1500)), reversed_share=share)
        world.pass_days()
    found = world.newest("quality", "decay")
    assert found.number is not None
    assert found.limit is not None
    assert found.level is Level.ALARMED
    assert found.evidence["recent"] < found.limit < found.number
    assert f"{found.number:.1%} of the " in found.reason
    (told,) = world.events("DecayFound")
    assert told["number"] == found.number


def test_erased_predictions_are_told_to_be_gone_and_not_to_wait_for_labels(world: World) -> None:
    world.ask(world.flights(300))
    (file,) = (world.folder / "predictions" / LOOP).glob("*.jsonl")
    world.pass_days()
    assert "300 wait" in world.newest("quality", "coverage").reason
    file.unlink()
    world.pass_days()
    (found,) = world.found("quality", "coverage", window=FIRST)
    assert "0 predictions of late v1 are left" in found.reason
    assert found.evidence["rows"] == 0


def test_slices_of_columns_that_no_row_has_are_told(tmp_path: Path) -> None:
    world = World(tmp_path, monitor=Monitor(slices=["origin", ("carrier", "hour"), "carrier"]))
    world.answer(world.ask(world.flights(1000)))
    world.pass_days()
    for subject, lacking in (("origin", "origin"), ("carrier, hour", "hour")):
        found = world.newest("quality", subject)
        assert found.level is Level.UNKNOWN
        assert found.reason == f"no row that late v1 was asked about has {lacking}"
    assert world.newest("quality", "carrier=AA").level is Level.FINE
    assert world.found("quality", "carrier") == []


def test_labels_that_the_version_does_not_know_came_all_the_same(world: World) -> None:
    asked = world.ask(world.flights(300))
    told = [Label(label="?", at=world.clock.now(), origin="test", prediction_id=one) for one, _ in asked]
    world.write(world.folder / labels.FOLDER, "01KE7Z3W1C9N7V0QWJ4S8YH2TX", told)
    world.pass_days()
    assert "300 labels are none that late v1 knows" in world.newest("quality", "coverage").reason
    assert world.newest("staleness", "labels").reason == "the newest label is 12 hours old"


def test_rows_of_versions_that_take_other_columns_are_not_said_to_be_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(CONTRACT, columns=(*CONTRACT.columns, Column(name="origin", kind="string", missing=True)))
    monkeypatch.setattr(monitoring, "CONTRACT", other)
    world.add_version()
    world.route((CHAMPION, 2, 1.0))
    world.ask(world.flights(300))
    world.pass_days()
    told = {world.newest(monitor).reason for monitor in ("input", "skew", "drift")}
    assert told == {"not enough data: 300 rows are of versions that take other columns"}
