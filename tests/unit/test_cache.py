"""Answers to equal inputs: remembered to the bit, for one version alone, and never without a record of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.serving import ROW, Multiplier, Station, a_model
from tests.unit.wires import Gatehouse

from loopwright.gateway.cache import MOST_ROWS, Cache, Remembering, Standing, remembering
from loopwright.transform.predictor import Predictions


@dataclass
class Counting(Multiplier):
    """A multiplier that knows how many rows it was asked for."""

    asked: list[int] = field(default_factory=list)

    def run(self, feed: Any) -> Predictions:
        self.asked.append(len(feed["distance"]))
        return super().run(feed)


def feed(*distances: float, carrier: str = "UA") -> dict[str, Any]:
    return {
        "distance": np.array(distances, dtype=np.float32).reshape(-1, 1),
        "carrier": np.array([carrier] * len(distances), dtype=object).reshape(-1, 1),
    }


@pytest.mark.parametrize(
    "classes", [(), (False, True), ("early", "late"), (3, 7)], ids=["value", "flags", "texts", "whole"]
)
def test_what_is_remembered_is_what_was_answered(classes: Any) -> None:
    asked = Counting(2.0, classes=classes)
    before = Remembering(asked, "d", Cache(100))
    for distances in [(1.0, 2.0, 3.0), (3.0, 1.0), (4.0, 2.0, 5.0), (5.0,)]:
        plain, found = Multiplier(2.0, classes=classes).run(feed(*distances)), before.run(feed(*distances))
        for name in ("label", "probabilities", "value"):
            expected, given = getattr(plain, name), getattr(found, name)
            assert (given is None) == (expected is None)
            if expected is not None:
                assert given.tolist() == expected.tolist()
                assert given.dtype == expected.dtype
    assert asked.asked == [3, 2]


def test_a_value_that_differs_in_a_bit_is_another() -> None:
    asked, cache = Counting(), Cache(100)
    before = Remembering(asked, "d", cache)
    for given in (
        feed(1.0),
        feed(np.nextafter(np.float32(1), np.float32(2))),
        feed(1.0, carrier=""),
        feed(-0.0),
        feed(0.0),
    ):
        before.run(given)
    assert asked.asked == [1] * 5
    assert cache.standing() == Standing(hits=0, misses=5, entries=5)


def test_a_missing_value_is_equal_to_itself() -> None:
    asked, given = Counting(), feed(1.0)
    before = Remembering(asked, "d", Cache(10))
    given["wind"] = np.array([[np.nan]], dtype=np.float32)
    before.run(given)
    before.run({name: array.copy() for name, array in given.items()})
    assert asked.asked == [1]


def test_another_version_is_asked_itself() -> None:
    cache, old, new = Cache(10), Counting(1.0), Counting(2.0)
    assert Remembering(old, "a", cache).run(feed(5)).value.tolist() == [5.0]
    assert Remembering(new, "b", cache).run(feed(5)).value.tolist() == [10.0]


def test_the_cache_stays_small_and_forgets_what_was_asked_for_longest_ago() -> None:
    asked, cache = Counting(), Cache(2)
    before = Remembering(asked, "d", cache)
    for distance in (1.0, 2.0, 1.0, 3.0, 1.0, 2.0):
        before.run(feed(distance))
    assert cache.standing() == Standing(hits=2, misses=4, entries=2)


def test_what_is_no_number_is_not_remembered() -> None:
    asked = Counting(float("nan"))
    cache = Cache(10)
    before = Remembering(asked, "d", cache)
    for _ in range(2):
        assert np.isnan(before.run(feed(1.0)).value).all()
    assert asked.asked == [1, 1]
    assert cache.standing().entries == 0


def test_many_rows_at_once_go_to_the_model() -> None:
    cache = Cache(1000)
    Remembering(Counting(), "d", cache).run(feed(*map(float, range(MOST_ROWS + 1))))
    assert cache.standing() == Standing(hits=0, misses=0, entries=0)


def test_without_a_cache_the_model_is_the_model() -> None:
    model = a_model(1)
    assert remembering(model, None) is model


def test_every_answer_has_an_id_and_a_line_of_its_own(tmp_path: Path) -> None:
    house, cache, asked = Gatehouse(tmp_path), Cache(10), Counting()
    house.station.models["flights", 1] = remembering(a_model(1, asked), cache)
    house.station.table.put(("champion", 1, 1.0))
    house.station.gateway.refresh()

    async def story(house: Gatehouse) -> None:
        found = [(await house.ask({"row": ROW})).json["prediction"] for _ in range(3)]
        found += [(await house.ask({"row": ROW}, plainly=True)).json["prediction"]]
        assert {one["value"] for one in found} == {1400.0}
        assert sorted(line["id"] for line in house.station.lines()) == sorted(one["id"] for one in found)
        assert len({one["id"] for one in found}) == 4

    house.run(story)
    house.close()
    assert asked.asked == [1]
    assert cache.standing().hits == 3


def test_a_change_of_route_is_followed_whatever_is_remembered(tmp_path: Path) -> None:
    station, cache = Station(tmp_path), Cache(10)
    for number in (1, 2, 1):
        station.models["flights", number] = remembering(a_model(number), cache)
        station.table.put(("champion", number, 1.0))
        station.gateway.refresh()
        assert station.gateway.predict("flights", [ROW])[0].value == 1400.0 * number
    station.close()
