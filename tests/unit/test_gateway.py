"""The gateway follows the route table: loads first, swaps then, and keeps answering whatever happens beside it."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.serving import ROW, SCHEMA, Multiplier, Station, a_model

from loopwright.data.schema import Column, Schema
from loopwright.errors import StoreUnavailable
from loopwright.gateway.model import LoadedModel
from loopwright.gateway.refused import Refused
from loopwright.transform.predictor import Predictions


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    yield made
    made.close()


def versions(station: Station, rows: int = 1, unit: str | None = None) -> list[int]:
    return [line.version for line in station.gateway.predict("flights", [ROW] * rows, unit)]


def fault(station: Station) -> str | None:
    found = station.gateway.states()[0].fault
    return found.what if found else None


def test_a_promotion_and_a_rollback_are_followed_at_the_next_look(station: Station) -> None:
    station.promote(1)
    assert versions(station) == [1]
    station.promote(2)
    assert versions(station) == [2]
    station.table.put(("champion", 1, 1.0))
    assert versions(station) == [2]
    station.gateway.refresh()
    assert versions(station) == [1]


def test_the_way_back_loads_nothing(station: Station) -> None:
    station.promote(1)
    station.promote(2)
    station.table.put(("champion", 1, 1.0))
    station.gateway.refresh()
    station.gateway.refresh()
    assert station.loaded == [("flights", 1), ("flights", 2)]


def test_models_of_older_routes_are_let_go(station: Station) -> None:
    for number in (1, 2, 3):
        station.promote(number)
    assert set(station.gateway.served("flights").models) == {2, 3}


def test_a_version_that_fails_to_load_leaves_the_old_one_serving_and_is_told(station: Station) -> None:
    station.promote(1)
    station.table.put(("champion", 2, 1.0))
    station.gateway.refresh()
    assert versions(station) == [1]
    assert fault(station) == "flights v2 is torn"


def test_what_failed_to_load_is_tried_again_ever_more_rarely(station: Station) -> None:
    station.promote(1)
    station.table.put(("champion", 2, 1.0))
    for _ in range(600):
        station.gateway.refresh()
        station.clock.advance(0.5)
    tries = station.loaded.count(("flights", 2))
    assert 8 <= tries <= 12
    station.models["flights", 2] = a_model(2)
    station.clock.advance(60)
    station.gateway.refresh()
    assert (versions(station), fault(station)) == ([2], None)


def test_a_rollback_ends_a_fault_at_once(station: Station) -> None:
    station.promote(1)
    station.table.put(("champion", 2, 1.0))
    station.gateway.refresh()
    station.table.put(("champion", 1, 1.0))
    station.gateway.refresh()
    assert (versions(station), fault(station)) == ([1], None)


def test_one_loop_that_cannot_be_loaded_does_not_keep_others_from_it(station: Station) -> None:
    station.table.put(("champion", 1, 1.0), loop="broken")
    station.models["broken", 1] = RuntimeError("of a library, at /srv/secret/path")
    station.promote(1)
    assert versions(station) == [1]
    with pytest.raises(Refused) as refused:
        station.gateway.predict("broken", [ROW])
    assert refused.value.status == 503
    assert "/srv" not in refused.value.what


def test_a_request_keeps_the_model_it_began_with(station: Station) -> None:
    class Slow(Multiplier):
        def run(self, feed: Any) -> Predictions:
            station.promote(2)
            return super().run(feed)

    station.promote(1, Slow(1.0))
    assert versions(station) == [1]
    assert versions(station) == [2]


def test_no_request_fails_while_routes_change(station: Station) -> None:
    station.promote(1)
    seen: Counter[int] = Counter()
    failed: list[Exception] = []
    is_over = threading.Event()

    def hammer() -> None:
        while not is_over.is_set():
            try:
                seen.update(versions(station, rows=3))
            except Exception as error:  # noqa: BLE001 - whatever fails is what is looked for
                failed.append(error)

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in [2, 1, 3, 2, 1] * 20:
        station.promote(number)
    is_over.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sum(seen.values()) == len(station.lines())


def test_a_database_that_is_away_stops_nothing_and_is_logged_once(
    station: Station, caplog: pytest.LogCaptureFixture
) -> None:
    station.promote(1)
    station.table.is_away = True
    with caplog.at_level(logging.INFO, "loopwright"):
        for _ in range(5):
            station.gateway.loading.poll(5)
            assert versions(station) == [1]
        station.models["flights", 2] = a_model(2)
        station.table.put(("champion", 2, 1.0))
        station.table.is_away = False
        station.gateway.loading.poll(5)
    assert versions(station) == [2]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]


def test_the_thread_follows_and_stops(station: Station) -> None:
    station.promote(1)
    station.models["flights", 2] = a_model(2)
    station.gateway.start(0.01)
    station.table.put(("champion", 2, 1.0))
    for _ in range(500):
        if versions(station) == [2]:
            break
        threading.Event().wait(0.01)
    station.gateway.stop()
    assert versions(station) == [2]


def two_arms(station: Station, share: float = 0.3) -> None:
    for number in (1, 2):
        station.models["flights", number] = a_model(number)
    station.table.put(("champion", 1, 1 - share), ("challenger", 2, share))
    station.gateway.refresh()


def test_without_a_unit_each_row_goes_its_own_way_and_comes_back_in_its_place(station: Station) -> None:
    two_arms(station)
    rows = [ROW | {"distance": number} for number in range(400)]
    lines = station.gateway.predict("flights", rows)
    assert [line.value for line in lines] == [line.version * number for number, line in enumerate(lines)]
    assert [line.row["distance"] for line in lines] == list(range(400))
    assert 60 < sum(line.version == 2 for line in lines) < 180
    route = station.table.routes["flights"]
    assert all(route.choose(line.id).name == line.arm for line in lines)
    assert [line["id"] for line in station.lines()] == [line.id for line in lines]


def test_a_unit_keeps_its_arm_and_meets_the_challenger_still_when_its_share_grows(station: Station) -> None:
    two_arms(station, share=0.1)
    units = [f"user-{number}" for number in range(200)]
    few = {unit for unit in units if versions(station, unit=unit) == [2]}
    two_arms(station, share=0.5)
    many = {unit for unit in units if set(versions(station, rows=2, unit=unit)) == {2}}
    assert few
    assert few < many
    assert station.lines()[0]["unit"] == "user-0"


def test_arms_of_different_columns_each_check_their_own_rows(station: Station) -> None:
    wider = Schema(columns=(*SCHEMA.columns, Column(name="gate", kind="string", missing=False)), key=SCHEMA.key)
    station.models["flights", 1] = a_model(1)
    station.models["flights", 2] = a_model(2, schema=wider)
    station.table.put(("champion", 1, 0.5), ("challenger", 2, 0.5))
    station.gateway.refresh()
    with pytest.raises(Refused) as refused:
        station.gateway.predict("flights", [ROW] * 40)
    assert {problem.column for problem in refused.value.problems} == {"gate"}
    rows = [problem.row for problem in refused.value.problems]
    assert rows == sorted(rows)
    assert 5 < len(rows) < 35
    assert station.lines() == []


def test_rows_together_go_to_one_arm_and_a_pinned_version_is_no_evidence(station: Station) -> None:
    two_arms(station, share=0.5)

    def rows_for(model: LoadedModel) -> list[dict[str, Any]]:
        return [ROW] * 50

    model, lines = station.gateway.predict_together("flights", rows_for)
    assert {line.version for line in lines} == {model.version.number}
    model, lines = station.gateway.predict_together("flights", rows_for, version=2)
    assert (model.version.number, {line.arm for line in lines}) == (2, {"pinned"})
    with pytest.raises(Refused, match="version 7"):
        station.gateway.predict_together("flights", rows_for, version=7)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_no_number_is_withheld_and_counted(station: Station, number: float) -> None:
    station.promote(1, Multiplier(number))
    with pytest.raises(Refused) as refused:
        station.gateway.predict("flights", [ROW])
    assert refused.value.status == 500
    state = station.gateway.states()[0]
    assert (state.invalid, state.predictions, station.lines()) == (1, 0, [])


def test_what_is_journalled_is_the_row_as_it_came_its_key_and_the_answer(station: Station) -> None:
    station.promote(3, Multiplier(1.0, classes=(False, True)))
    row = ROW | {"carrier": None, "flight_id": 7, "scheduled": "2013-01-01"}
    (line,) = station.gateway.predict("flights", [row], "user-1")
    (kept,) = station.lines()
    assert kept == {
        "id": line.id,
        "at": "2026-01-01T00:00:00Z",
        "loop": "flights",
        "version": 3,
        "digest": f"{3:064x}",
        "arm": "champion",
        "row": ROW | {"carrier": None},
        "key": {"flight_id": 7, "scheduled": "2013-01-01"},
        "unit": "user-1",
        "label": False,
        "probabilities": {"false": pytest.approx(0.86), "true": pytest.approx(0.14)},
        "latency_ms": 0.0,
        "route": 1,
    }


def test_what_cannot_be_recorded_is_not_answered(station: Station) -> None:
    station.promote(1)
    (station.workspace / "predictions").write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailable):
        station.gateway.predict("flights", [ROW])
    assert station.gateway.states()[0].predictions == 0
    (station.workspace / "predictions").unlink()
    assert versions(station) == [1]
    assert len(station.lines()) == 1
