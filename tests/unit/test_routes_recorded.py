"""What is recorded of an answer, or of a failure, names the revision of the route by which its arm was chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from tests.unit.serving import ROW, Station
from tests.unit.test_failures import WAYS, Broken, written
from tests.unit.test_hot import arms
from tests.unit.wires import Gatehouse

from loopwright.core.version import Arm
from loopwright.gateway.refused import Refused
from loopwright.predictions import columnar, journal, layout, reading
from loopwright.predictions.columnar import Facts
from loopwright.predictions.failures import Failures
from loopwright.predictions.journal import Line
from loopwright.testing import HandClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path, failures=Failures(tmp_path, HandClock()))
    yield made
    made.station.close()


@WAYS
def test_a_line_names_the_route_that_its_gateway_follows(house: Gatehouse, plainly: bool) -> None:
    station = house.station
    station.promote(1)

    async def story(house: Gatehouse) -> None:
        await house.ask({"row": ROW, "unit": "me"}, plainly=plainly)
        station.promote(2)
        await house.ask({"rows": [ROW, ROW]}, plainly=plainly)
        station.table.put(("champion", 1, 1.0))  # and the gateway has not seen it yet
        await house.ask({"row": ROW}, plainly=plainly)

    house.run(story)
    found = [(line["route"], line["version"]) for line in station.lines()]
    assert found == [(1, 1), (2, 2), (2, 2), (2, 2)]


@WAYS
def test_a_failure_names_the_route_that_its_gateway_follows(house: Gatehouse, plainly: bool) -> None:
    async def story(house: Gatehouse) -> None:
        for _ in range(2):
            house.station.promote(3, Broken())
            assert (await house.ask({"row": ROW}, plainly=plainly)).status == 500

    house.run(story)
    assert [one.route for one in written(house.station.workspace)] == [1, 2]


@pytest.mark.parametrize("is_broken", [False, True], ids=["answers", "fails"])
def test_a_shadow_names_the_route_of_the_answer_beside_it(house: Gatehouse, is_broken: bool) -> None:
    house.station.promote(2, Broken() if is_broken else None)
    house.station.promote(1)
    arms(house, Arm(name="champion", version=1, share=1.0), Arm(name="next", version=2, share=0.0, shadow=True))
    happened = "shadow_failed" if is_broken else "shadowed"

    async def story(house: Gatehouse) -> None:
        await house.ask({"row": ROW})
        for _ in range(2000):
            if house.tally.events["flights", happened]:
                break
            await asyncio.sleep(0.001)

    house.run(story)
    failed = [one.route for one in written(house.station.workspace) if one.shadow]
    shadows = [line["route"] for line in house.station.lines() if line.get("shadow")]
    assert (failed, shadows) == (([3], []) if is_broken else ([], [3]))


def test_columns_and_pinned_answers_name_their_route_too(tmp_path: Path) -> None:
    station = Station(tmp_path, failures=Failures(tmp_path, HandClock()))
    station.promote(1)
    station.promote(2)
    departure = pa.array([NOON], pa.timestamp("us", "UTC"))
    rows = pa.RecordBatch.from_pydict({"carrier": ["UA"], "distance": [1400.0], "departure": departure})
    station.gateway.predict_columns("flights", rows)
    station.gateway.predict_together("flights", lambda _: [ROW], version=2)
    station.promote(3, Broken())
    with pytest.raises(RuntimeError):
        station.gateway.predict_columns("flights", rows)
    with pytest.raises(Refused, match="version 7"):
        station.gateway.predict_columns("flights", rows, version=7)
    station.close()
    frame = reading.predictions(tmp_path, "flights")
    assert dict(zip(frame["arm"], frame["route"], strict=True)) == {"champion": 2, "pinned": 2}
    assert [one.route for one in written(tmp_path)] == [3]


def a_line(route: int | None) -> Line:
    return Line(id="01KDV0000000000000000000AB.0", at=NOON, loop="flights", version=1, digest="d", arm="champion",
                row={"x": 1}, value=0.5, route=route)  # fmt: skip


@pytest.mark.parametrize("route", [None, 0, 7, 2**40])
def test_the_route_of_a_line_comes_back_from_a_table(route: int | None) -> None:
    table = layout.assemble(layout.of_lines([a_line(route)], "file", lambda _: {}))
    assert [*layout.lines(table)] == layout.ordered(table) == [a_line(route)]
    assert [*layout.lines(table.drop_columns(["route"]))] == [a_line(None)]


def test_the_route_of_columns_comes_back_from_a_table(tmp_path: Path) -> None:
    facts = Facts(ulid="01KDV0000000000000000000AB", at=NOON, loop="flights", version=1, digest="d", arm="champion",
                  route=7)  # fmt: skip
    batch = columnar.recorded(facts, {"x": pa.array([1])}, value=pa.array([0.5]))
    assert columnar.facts_of(batch) == facts
    assert [*layout.lines(layout.assemble([layout.of_columns(facts, 0, batch, "file")]))] == [a_line(7)]


def test_lines_of_before_name_no_route(tmp_path: Path) -> None:
    kept = journal.Journal(tmp_path / journal.FOLDER, HandClock())
    kept.append("flights", [a_line(None)])
    kept.close()
    assert b"route" not in next(journal.lines(tmp_path / journal.FOLDER, "flights"))
    assert reading.predictions(tmp_path, "flights")["route"].to_list() == [None]
