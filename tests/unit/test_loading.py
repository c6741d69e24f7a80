"""Models come into memory side by side and on demand, and go when others need the room; what fails is told once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serving import ROW, Multiplier, RouteTable, Station, a_model

from loopwright.errors import BundleRefused, StoreUnavailable
from loopwright.gateway.model import LoadedModel
from loopwright.gateway.notices import Notices
from loopwright.gateway.refused import Refused
from loopwright.protocols.platforms import Platform
from loopwright.testing import HandClock

EACH = 100
"""Bytes of a model here."""


class Small(Station):
    """With room for so many models at once."""

    def __init__(self, workspace: Path, room: int, **given: Any) -> None:
        self.notices = Notices(lambda: self.stores.events, HandClock())
        self.slow: dict[str, threading.Event] = {}
        """Loops whose models are loaded only once they are let go."""
        super().__init__(workspace, budget_bytes=room * EACH, notices=self.notices, **given)

    def load(self, loop: str, number: int) -> LoadedModel:
        if loop in self.slow:
            assert self.slow[loop].wait(10)
        return replace(super().load(loop, number), memory_bytes=EACH)

    def ask(self, loop: str) -> int:
        (line,) = self.gateway.predict(loop, [ROW])
        return line.version

    def asked(self, loop: str) -> None:
        """Asked, and noticed as such at the next look."""
        self.clock.advance(1)
        self.ask(loop)
        self.gateway.refresh()

    def awake(self) -> list[str]:
        return sorted(self.gateway.loading.awake)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Small]:
    made = Small(tmp_path, room=2)
    yield made
    made.close()


def test_who_was_asked_longest_ago_rests_and_is_loaded_again_when_somebody_asks(station: Small) -> None:
    station.promote(1, loop="delays")
    station.promote(1, loop="fares")
    station.asked("fares")
    station.asked("delays")
    station.promote(1, loop="gates")
    assert station.awake() == ["delays", "gates"]
    assert station.ask("fares") == 1
    assert station.awake() == ["fares", "gates"]
    assert station.loaded.count(("fares", 1)) == 2


def test_of_a_loop_that_rests_all_is_known_but_its_graph(station: Small) -> None:
    for loop in ("delays", "fares", "gates"):
        station.promote(1, Multiplier(1.0, (False, True)), loop=loop)
        station.clock.advance(1)
    (state,) = [one for one in station.gateway.states() if one.is_resting]
    assert state.loop == "delays"
    assert state.served is not None
    assert list(state.served.champion.predictor.classes) == [False, True]
    assert station.gateway.model("delays").schema == a_model(1).schema
    assert not station.gateway.serves("delays")
    assert station.client.get("/readyz").status in (200, 503)


def test_models_of_older_routes_go_before_anybody_rests(station: Small) -> None:
    station.promote(1, loop="delays")
    station.promote(2, loop="delays")
    assert set(station.gateway.served("delays").models) == {1, 2}
    station.promote(1, loop="fares")
    assert station.awake() == ["delays", "fares"]
    assert set(station.gateway.served("delays").models) == {2}


def test_one_that_is_too_big_alone_is_served_all_the_same(tmp_path: Path) -> None:
    station = Small(tmp_path, room=1)
    station.table.put(("champion", 1, 0.5), ("challenger", 2, 0.5), loop="delays")
    for number in (1, 2):
        station.models["delays", number] = a_model(number, loop="delays")
    station.gateway.refresh()
    assert station.ask("delays") in (1, 2)
    station.close()


def test_who_may_not_wait_is_told_when_to_ask_again(station: Small) -> None:
    for loop in ("delays", "fares", "gates"):
        station.promote(1, loop=loop)
        station.clock.advance(1)

    async def ask() -> tuple[int, int]:
        with pytest.raises(Refused) as refused:
            station.gateway.served("delays")
        assert refused.value.retry_seconds == 1.0
        await asyncio.wrap_future(station.gateway.loading.wake("delays"))
        return refused.value.status, station.ask("delays")

    assert asyncio.run(ask()) == (503, 1)


def test_a_route_that_changes_while_its_loop_rests_is_taken_up(station: Small) -> None:
    for loop in ("delays", "fares", "gates"):
        station.promote(1, loop=loop)
        station.clock.advance(1)
    assert "delays" not in station.awake()
    station.promote(2, loop="delays")
    assert (station.ask("delays"), len(station.awake())) == (2, 2)


def test_one_that_cannot_be_loaded_again_says_so_and_is_tried_again(station: Small) -> None:
    for loop in ("delays", "fares", "gates"):
        station.promote(1, loop=loop)
        station.clock.advance(1)
    station.models["delays", 1] = BundleRefused("delays v1 is torn")
    with pytest.raises(Refused, match="torn"):
        station.ask("delays")
    station.models["delays", 1] = a_model(1, loop="delays")
    tries = station.loaded.count(("delays", 1))
    for _ in range(5):  # not at every request, whoever asks, and whichever way
        with pytest.raises(Refused, match="torn"):
            station.ask("delays")
        station.gateway.loading.wake("delays").result(0)
    assert station.loaded.count(("delays", 1)) == tries
    station.clock.advance(1)
    assert station.ask("delays") == 1


def test_a_loop_that_loads_slowly_delays_no_other(station: Small) -> None:
    is_let_go = station.slow["slow"] = threading.Event()
    for loop in ("slow", "delays"):
        station.models[loop, 1] = a_model(1, loop=loop)
        station.table.put(("champion", 1, 1.0), loop=loop)
    station.gateway.loading.refresh(0.0)
    for _ in range(1000):
        if station.gateway.serves("delays"):
            break
        threading.Event().wait(0.01)
    assert station.ask("delays") == 1
    assert station.awake() == ["delays"]
    station.gateway.loading.refresh(0.0)  # it is not begun once more
    is_let_go.set()
    station.gateway.loading._busy["slow"].result(10)
    assert station.loaded.count(("slow", 1)) == 1
    assert station.ask("slow") == 1


def test_routes_are_read_with_one_question_however_many_loops_there_are(station: Small) -> None:
    asked: list[str] = []
    table = station.table

    class Counting(RouteTable):
        def __getattribute__(self, name: str) -> Any:
            asked.append(name)
            return getattr(table, name)

    for number in range(5):
        station.promote(1, loop=f"loop-{number}")
    station.table = Counting()
    station.gateway.refresh()
    assert asked == ["newest"]


def test_a_version_that_cannot_be_loaded_is_an_event_when_the_store_is_back_and_twice_more(station: Small) -> None:
    station.promote(1)
    station.table.put(("champion", 2, 1.0))
    station.gateway.refresh()
    events, plain = station.stores.events, station.stores.events.add

    def away(*_: object) -> bool:
        raise StoreUnavailable("the metadata store does not answer", where="/srv/metadata.db")

    events.add = away  # type: ignore[method-assign, assignment]
    station.notices.write()
    events.add = plain  # type: ignore[method-assign]
    for _ in range(5):
        station.clock.advance(100)
        station.gateway.refresh()
        station.notices.write()
    event, *again = station.stores.events.list()
    assert (event.kind, event.subject, event.cause.actor) == ("VersionNotLoaded", "version:flights:2", "gateway")
    assert event.data == {"route": 2, "what": "flights v2 is torn", "fix": None}
    assert [one.data for one in again] == [{**event.data, "attempts": 3}, {**event.data, "attempts": 5}]
    assert station.ask("flights") == 1


def test_a_request_over_http_waits_until_its_loop_is_loaded_again(station: Small) -> None:
    for loop in ("delays", "fares", "gates"):
        station.promote(1, loop=loop)
        station.clock.advance(1)
    assert "delays" not in station.awake()
    answer = station.client.post("/v1/loops/delays/predict", {"row": ROW})
    assert (answer.status, answer.json["prediction"]["version"]) == (200, 1)
    assert "delays" in station.awake()


def test_who_asks_a_platform_s_way_wakes_the_loop_it_stands_for(tmp_path: Path) -> None:
    station = Small(tmp_path, room=1, platform=Platform(loop="delays"))
    for loop in ("delays", "fares"):
        station.promote(1, loop=loop)
        station.clock.advance(1)
    assert station.awake() == ["fares"]
    answer = station.client.post("/invocations", {"instances": [ROW]}, content_type="application/json")
    assert answer.status == 200, answer.content
    assert station.awake() == ["delays"]
    station.close()


def test_who_begins_while_the_newest_route_cannot_be_loaded_answers_by_the_one_before(station: Small) -> None:
    station.models["flights", 1] = a_model(1)
    for number in (1, 2, 3):
        station.table.put(("champion", number, 1.0))
    station.gateway.refresh()
    assert station.ask("flights") == 1
    (state,) = station.gateway.states()
    assert state.served is not None
    assert state.fault is not None
    assert (state.served.route.number, state.fault.route.number, state.fault.what) == (1, 3, "flights v3 is torn")
    station.notices.write()
    (event,) = station.stores.events.list()
    assert (event.kind, event.subject, event.data["route"]) == ("VersionNotLoaded", "version:flights:3", 3)
    assert station.client.get("/readyz").json["stale"] == ["flights"]


def test_the_newest_route_is_tried_again_less_and_less_often_and_followed_once_it_can_be(station: Small) -> None:
    station.models["flights", 1] = a_model(1)
    for number in (1, 2):
        station.table.put(("champion", number, 1.0))
    for _ in range(31):
        station.gateway.refresh()
        station.clock.advance(1)
    assert station.loaded.count(("flights", 2)) == 5  # after 0, 1, 3, 7 and 15 seconds
    assert station.loaded.count(("flights", 1)) == 1
    station.models["flights", 2] = a_model(2)
    station.gateway.refresh()
    assert (station.ask("flights"), dict(station.gateway.loading.faults)) == (2, {})


def test_routes_that_name_what_is_torn_are_passed_over_and_no_version_is_tried_twice(station: Small) -> None:
    for number in (1, 2):
        station.models["flights", number] = a_model(number)
    station.table.put(("champion", 1, 1.0))
    station.table.put(("champion", 1, 0.5), ("challenger", 2, 0.5))
    for share in (0.1, 0.5, 0.9):
        station.table.put(("champion", 2, 1 - share), ("canary", 3, share))
    station.table.put(("champion", 3, 1.0))
    station.gateway.refresh()
    assert station.gateway.served("flights").route.number == 2
    assert sorted(station.loaded) == [("flights", 1), ("flights", 2), ("flights", 3)]


def test_not_more_than_a_few_earlier_versions_are_tried(station: Small) -> None:
    station.models["flights", 1] = a_model(1)
    for number in range(1, 8):
        station.table.put(("champion", number, 1.0))
    station.gateway.refresh()
    with pytest.raises(Refused, match="v7 is torn"):
        station.ask("flights")
    assert station.loaded == [("flights", number) for number in (7, 6, 5, 4)]
    station.models["flights", 6] = a_model(6)
    station.clock.advance(1)
    station.gateway.refresh()  # with each attempt at the newest the earlier ones are tried too
    assert station.ask("flights") == 6


def test_a_loop_that_rests_and_cannot_be_loaded_again_falls_back_too(station: Small) -> None:
    station.promote(1, loop="delays")
    station.promote(2, loop="delays")
    for loop in ("fares", "gates"):
        station.clock.advance(1)
        station.promote(1, loop=loop)
    assert "delays" not in station.awake()
    station.models["delays", 2] = BundleRefused("delays v2 is torn")
    assert station.ask("delays") == 1
    assert station.gateway.loading.faults["delays"].route.number == 2
    station.models["delays", 2] = a_model(2, loop="delays")
    station.clock.advance(1)
    station.gateway.refresh()
    assert station.ask("delays") == 2


def test_a_store_that_cannot_say_what_was_before_is_asked_again(station: Small) -> None:
    station.models["flights", 1] = a_model(1)
    for number in (1, 2):
        station.table.put(("champion", number, 1.0))
    table = station.table

    class Away(RouteTable):
        def history(self, loop: str) -> list[Any]:
            raise StoreUnavailable("the metadata store does not answer", where="/srv/metadata.db")

    station.table = Away()
    station.table.routes = table.routes
    station.gateway.refresh()
    assert not station.gateway.serves("flights")
    station.table = table
    station.clock.advance(1)
    station.gateway.refresh()
    assert station.ask("flights") == 1
