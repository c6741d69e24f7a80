"""Answers made before they are asked for: told by key, for the version that made them, and by the model otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.unit.serving import ROW, Multiplier, a_model
from tests.unit.test_batch import ROWS, Place
from tests.unit.wires import Gatehouse

from loopwright.errors import DuplicateKeys, SchemaMismatch, StoreUnavailable
from loopwright.gateway.precomputed import Precomputed, _place
from loopwright.gateway.refused import Refused
from loopwright.predictions import by_key, compaction, precomputing
from loopwright.predictions.by_key import About, Answers, hash_of
from loopwright.testing import HandClock

ABOUT = About(loop="flights", version=1, digest=f"{1:064x}", key=("flight_id",))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path, precomputed=Precomputed(tmp_path / by_key.FOLDER))
    made.station.promote(1)
    yield made
    made.close()


def put(house: Gatehouse, values: dict[Any, float], about: About = ABOUT) -> None:
    hashes = np.array([hash_of([key]) for key in values], dtype=np.uint64).reshape(-1, 2)
    columns = {"value": np.array(list(values.values()), dtype=np.float32)}
    by_key.write(
        house.station.workspace / by_key.FOLDER, replace(about, rows=len(values)), hashes, columns, HandClock()
    )
    refresh(house)


def refresh(house: Gatehouse) -> None:
    assert house.station.gateway.precomputed is not None
    house.station.gateway.precomputed.refresh()


@pytest.mark.parametrize("plainly", [False, True], ids=["hot", "plain"])
def test_a_key_that_is_there_is_answered_from_there_and_any_other_by_the_model(house: Gatehouse, plainly: bool) -> None:
    put(house, {"UA1": 7.5, "UA2": 8.5})

    async def story(house: Gatehouse) -> None:
        async def ask(row: object) -> Any:
            return (await house.ask({"row": row}, plainly=plainly)).json.get("prediction")

        alone, whole = await ask({"flight_id": "UA1"}), await ask(ROW | {"flight_id": "UA2"})
        other, nameless = await ask(ROW | {"flight_id": "AA1"}), await ask(ROW)
        assert [one["value"] for one in (alone, whole, other, nameless)] == [7.5, 8.5, 1400.0, 1400.0]
        assert [one["arm"] for one in (alone, whole, other, nameless)] == [*["precomputed"] * 2, *["champion"] * 2]
        recorded = house.station.lines()
        assert [line["id"] for line in recorded] == [one["id"] for one in (alone, whole, other, nameless)]
        assert [line["arm"] for line in recorded][:2] == ["precomputed"] * 2
        assert (recorded[0]["row"], recorded[0]["key"]) == ({}, {"flight_id": "UA1"})
        assert (recorded[1]["row"], recorded[1]["key"]) == (ROW, {"flight_id": "UA2"})

    house.run(story)


def test_rows_of_one_request_go_where_they_belong(house: Gatehouse) -> None:
    put(house, {"UA1": 7.5})
    rows = [ROW, {"flight_id": "UA1"}, ROW | {"distance": 3.0}, ROW | {"flight_id": "UA1"}]
    found = house.station.gateway.predict("flights", rows)
    assert [line.value for line in found] == [1400.0, 7.5, 3.0, 7.5]
    assert [line.id.partition(".")[2] for line in found] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("row", [{"flight_id": "none"}, {"flight_id": None}, {"flight_id": [1]}, {}])
def test_a_key_alone_that_is_not_there_lacks_the_columns(house: Gatehouse, row: dict[str, Any]) -> None:
    put(house, {"UA1": 7.5})
    with pytest.raises(Refused, match=r"do(es)? not fit"):
        house.station.gateway.predict("flights", [row])


def test_a_row_with_columns_is_read_as_strictly_as_ever(house: Gatehouse) -> None:
    put(house, {"UA1": 7.5})
    rows = [ROW | {"distance": "x"}, ROW | {"flight_id": "UA1", "distance": "far"}]
    with pytest.raises(Refused) as refused:
        house.station.gateway.predict("flights", rows)
    assert [(one.row, one.column) for one in refused.value.problems] == [(0, "distance"), (1, "distance")]
    assert house.station.lines() == []


def test_another_version_answers_by_itself(house: Gatehouse) -> None:
    put(house, {"UA1": 7.5})
    house.station.promote(2)
    assert house.station.gateway.predict("flights", [ROW | {"flight_id": "UA1"}])[0].value == 2800.0
    house.station.models["flights", 3] = a_model(3)
    house.station.table.put(("champion", 1, 0.5), ("challenger", 3, 0.5))
    house.station.gateway.refresh()
    units = {unit: house.station.table.routes["flights"].choose(unit).version for unit in map(str, range(20))}
    assert set(units.values()) == {1, 3}
    for unit, version in units.items():
        (line,) = house.station.gateway.predict("flights", [ROW | {"flight_id": "UA1"}], unit)
        assert (line.version, line.value) == (version, 7.5 if version == 1 else 4200.0)


def test_newer_answers_are_taken_up_while_older_ones_are_used(house: Gatehouse) -> None:
    put(house, {"UA1": 7.5})
    older = Answers(next((house.station.workspace / by_key.FOLDER / "flights").iterdir()))
    put(house, {"UA1": 9.5})
    assert older.columns["value"][older.place({"flight_id": "UA1"})].item() == 7.5
    assert house.station.gateway.predict("flights", [{"flight_id": "UA1"}])[0].value == 9.5
    assert by_key.forget(house.station.workspace / by_key.FOLDER, "flights")
    refresh(house)
    assert house.station.gateway.predict("flights", [ROW | {"flight_id": "UA1"}])[0].value == 1400.0


def test_answers_that_cannot_be_read_leave_the_model_answering(
    house: Gatehouse, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(house, {"UA1": 7.5})
    (folder,) = (house.station.workspace / by_key.FOLDER / "flights").iterdir()
    (folder / "hashes.npy").write_bytes(b"\x93NUMPY no more")
    other = Precomputed(house.station.workspace / by_key.FOLDER)
    other.refresh()
    again = Gatehouse(tmp_path / "again", precomputed=other)
    again.station.promote(1)
    assert again.station.gateway.predict("flights", [ROW | {"flight_id": "UA1"}])[0].value == 1400.0
    again.close()
    assert "precomputed answers cannot be read" in caplog.text
    with pytest.raises(StoreUnavailable):
        Answers(folder)


def test_what_was_answered_by_key_alone_becomes_part_of_the_table(house: Gatehouse) -> None:
    put(house, {"UA1": 7.5})
    house.station.gateway.predict("flights", [{"flight_id": "UA1"}, ROW])
    house.station.journal.close()
    root = house.station.workspace / "predictions"
    done = compaction.compact(root, "flights", kinds=lambda _: {}, clock=HandClock())
    assert (done.rows, done.torn) == (2, 0)


def test_the_hash_of_a_key_is_of_its_values_and_their_kinds() -> None:
    keys: list[list[Any]] = [[7], ["7"], [True], [None], [7.5], ["a", "b"], ["ab"], ["a", "b", ""], [by_key.moment(7)]]
    assert len({hash_of(key) for key in keys}) == len(keys)
    assert hash_of([7]) == hash_of([7.0])


def test_keys_that_stand_twice_are_refused(house: Gatehouse) -> None:
    hashes = np.array([hash_of(["a"])] * 2, dtype=np.uint64)
    with pytest.raises(DuplicateKeys, match="stands twice"):
        by_key.write(house.station.workspace / "x", ABOUT, hashes, {"value": np.zeros(2)}, HandClock())


def test_what_a_batch_predicts_is_what_is_told_to_the_bit(tmp_path: Path) -> None:
    place = Place(tmp_path)
    about = precomputing.precompute("buys", str(tmp_path / "in" / "*.parquet"), "newest", place.around)
    assert (about.rows, about.version, about.key, about.times) == (300, 1, ("id",), ())
    house = Gatehouse(tmp_path / "served", precomputed=Precomputed(place.around.workspace / by_key.FOLDER))
    version = place.around.stores.versions.get("buys", "1")
    model = replace(
        a_model(1, Multiplier(classes=(False, True)), loop="buys", schema=place.bundle.schema), version=version
    )
    house.station.models["buys", 1] = model
    house.station.table.put(("champion", 1, 1.0), loop="buys")
    house.station.gateway.refresh()
    refresh(house)
    found = house.station.gateway.predict("buys", [{"id": number} for number in range(300)])
    expected = place.online()
    assert [line.label for line in found] == expected["label"].to_list()
    assert [(line.probabilities or {})["true"] for line in found] == expected["true"].to_list()
    house.close()


def test_a_time_may_be_part_of_the_key(tmp_path: Path) -> None:
    place = Place(tmp_path)
    schema = replace(place.bundle.schema, key=("id", "at"))
    frame = ROWS.with_columns(at=pl.datetime(2026, 1, 1, time_zone="UTC") + pl.duration(minutes="id"))
    hashes = precomputing._hashes(frame.select("id", "at"), schema.key, "here")
    about = replace(ABOUT, loop="buys", key=("id", "at"), times=("at",))
    folder = by_key.write(tmp_path / "x", about, hashes, {"value": np.arange(300, dtype=np.float32)}, HandClock())
    answers = Answers(folder)
    place_of = _place(answers, {"id": 5, "at": "2026-01-01T01:05:00+01:00"})
    assert place_of is not None
    assert answers.columns["value"][place_of] == 5
    assert _place(answers, {"id": 5, "at": "tomorrow"}) is None
    assert _place(answers, {"id": 5}) is None


def test_a_key_with_holes_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path)
    ROWS.with_columns(id=pl.lit(None, dtype=pl.Int64)).write_parquet(tmp_path / "in" / "0.parquet")
    with pytest.raises(SchemaMismatch, match="'id' has missing values"):
        precomputing.precompute("buys", str(tmp_path / "in" / "*.parquet"), "newest", place.around)
