"""The hot path: the same answers as the endpoints it stands for, whatever comes, and nothing that harms others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.keyed import CAUSE, a_key, added
from tests.unit.serving import ROW, SCHEMA, Multiplier, a_model
from tests.unit.test_serve_v2 import INFER, INPUTS
from tests.unit.wires import PREDICT, Gatehouse, nameless, request

from loopwright.core.access import Scope
from loopwright.core.version import Arm, Route
from loopwright.gateway.guard import Guard
from loopwright.gateway.lanes import Patience
from loopwright.predictions import journal, reading
from loopwright.serve.hot import Sockets
from loopwright.testing import HandClock
from loopwright.transform.predictor import Predictions


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path)
    made.station.promote(1)
    yield made
    made.close()


BODIES: dict[str, object] = {
    "a row": {"row": ROW},
    "rows": {"rows": [ROW, ROW | {"distance": 7.5}]},
    "a unit": {"row": ROW, "unit": "UA1545"},
    "keys": {"row": ROW | {"flight_id": "UA1", "scheduled": "2013-01-01"}},
    "null where it may be": {"row": ROW | {"carrier": None}},
    "null where it may not be": {"row": ROW | {"distance": None}},
    "a date without a time": {"row": ROW | {"departure": "2013-01-01"}},
    "a time that is none": {"row": ROW | {"departure": "2013-02-31T00:00:00Z"}},
    "a time of nine digits": {"row": ROW | {"departure": "2013-01-01T00:00:00.123456789Z"}},
    "a number in quotes": {"row": ROW | {"distance": "1400"}},
    "a number beyond float32": {"row": ROW | {"distance": 1e39}},
    "a number beyond float64": b'{"row": {"carrier": "UA", "distance": 1e999, "departure": "2013-01-01T05:15:00Z"}}',
    "an integer beyond 64 bits": {"row": ROW | {"distance": 2**70}},
    "a key beyond 64 bits": {"row": ROW | {"flight_id": 2**70}},
    "a key that is a list": {"row": ROW | {"flight_id": [1]}},
    "a column too many": {"row": ROW | {"arr_time": 5}},
    "a column too few": {"row": {"carrier": "UA"}},
    "no rows": {"rows": []},
    "row and rows": {"row": ROW, "rows": [ROW]},
    "neither": {},
    "an empty unit": {"row": ROW, "unit": ""},
    "a long unit": {"row": ROW, "unit": "u" * 257},
    "a unit that is a number": {"row": ROW, "unit": 7},
    "a field too many": {"row": ROW, "more": 1},
    "no object": [1, 2],
    "no JSON": b"{",
    "nothing": b"",
    "no UTF-8": b'{"row": {"carrier": "\xff"}}',
    "half a surrogate": b'{"row": {"carrier": "\\ud800", "distance": 1, "departure": "2013-01-01"}}',
    "depth": b'{"row": ' + b"[" * 100_000,
    "a column twice": b'{"row": {"carrier": "UA", "distance": 5, "distance": 6, "departure": "2013-01-01T00:00:00Z"}}',
    "many bad rows": {"rows": [ROW | {"distance": "x"}] * 150},
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("classes", [(), (False, True), ("early", "late")], ids=["value", "flags", "texts"])
def test_an_answer_is_byte_for_byte_that_of_the_endpoint(house: Gatehouse, name: str, classes: Any) -> None:
    house.station.promote(2, Multiplier(2.0, classes=classes))

    async def story(house: Gatehouse) -> None:
        hot, plain = await house.ask(BODIES[name]), await house.ask(BODIES[name], plainly=True)
        assert (hot.status, nameless(hot.content)) == (plain.status, nameless(plain.content))
        assert hot.headers == plain.headers
        assert sum(house.tally.requests.values()) == 1  # the other one went to the application

    house.run(story)


def test_what_is_recorded_is_what_the_endpoint_records(house: Gatehouse) -> None:
    body = {"rows": [ROW | {"flight_id": "UA1"}, ROW | {"carrier": None}], "unit": "me"}

    async def story(house: Gatehouse) -> None:
        told = (await house.ask(body)).json["predictions"]
        await house.ask(body, plainly=True)
        ids = {one["id"] for one in told}
        hot = [line for line in house.station.lines() if line["id"] in ids]
        plain = [line for line in house.station.lines() if line["id"] not in ids]
        assert [line.pop("id") for line in hot] == [one["id"] for one in told]
        assert [line | {"at": "", "latency_ms": 0.0} for line in hot] == [
            {name: value for name, value in line.items() if name != "id"} | {"at": "", "latency_ms": 0.0}
            for line in plain
        ]

    house.run(story)


@dataclass
class Slow(Multiplier):
    """Takes a twentieth of a second, by this clock."""

    clock: HandClock = field(default_factory=HandClock)

    def run(self, feed: Any) -> Any:
        self.clock.advance(0.05)
        return super().run(feed)


@pytest.mark.parametrize("plainly", [False, True], ids=["hot", "plain"])
def test_what_an_arm_waited_for_another_one_is_not_its_latency(tmp_path: Path, plainly: bool) -> None:
    slow = Slow()
    house = Gatehouse(tmp_path, clock=slow.clock)
    house.station.gateway.clock = slow.clock
    for version in (1, 2):
        house.station.promote(version, slow)
    arms(house, Arm(name="champion", version=1, share=0.5), Arm(name="challenger", version=2, share=0.5))

    async def story(house: Gatehouse) -> None:
        if plainly:
            await house.ask({"rows": [ROW] * 20}, plainly=True)
            return
        wires = [house.connect() for _ in range(20)]
        for number, wire in enumerate(wires):
            wire.send(request({"row": ROW, "unit": f"unit {number}"}))
        for wire in wires:
            await wire.answers()

    house.run(story)
    house.station.close()
    lines = house.station.lines()
    assert {line["arm"] for line in lines} == {"champion", "challenger"}
    assert {line["latency_ms"] for line in lines} == {50.0}


def test_requests_of_one_turn_are_one_batch_and_one_write(house: Gatehouse) -> None:
    async def story(house: Gatehouse) -> None:
        wires = [house.connect() for _ in range(20)]
        for number, wire in enumerate(wires):
            wire.send(request({"row": ROW | {"distance": number}}))
        answered = [(await wire.answers())[0].json["prediction"] for wire in wires]
        assert [one["value"] for one in answered] == list(map(float, range(20)))
        assert house.tally.batches["flights"].sum == 20
        assert sum(house.tally.batches["flights"].counts) == 1
        ids = [line["id"] for line in house.station.lines()]
        assert ids == sorted(set(ids)) == [one["id"] for one in answered]

    house.run(story)


def test_a_lone_connection_waits_for_nobody(house: Gatehouse) -> None:
    async def story(house: Gatehouse) -> None:
        wire = house.connect()
        wire.send(request())
        assert wire.got.startswith(b"HTTP/1.1 200 OK\r\n")  # the event loop has not turned since

    house.run(story)


def test_a_head_that_is_known_is_not_parsed_again_and_counts_for_its_own_length_alone(house: Gatehouse) -> None:
    async def story(house: Gatehouse) -> None:
        wire = house.connect()
        for data in (request(), request(), request() + request(), request()[:-1]):
            wire.send(data)
        assert len(await wire.answers(4)) == 4
        wire.send(b"}")
        assert [one.status for one in await wire.answers()] == [200]
        wire.send(request(b"x" * len(json.dumps({"row": ROW}))))
        assert [one.status for one in await wire.answers()] == [400]

    house.run(story)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_request_may_come_in_pieces(house: Gatehouse, size: int) -> None:
    async def story(house: Gatehouse) -> None:
        wire, *_others = [house.connect() for _ in range(4)]  # of a lone one, each answer is there at once
        data = request() + request({"row": ROW | {"distance": 5}})
        for start in range(0, len(data), size):
            wire.send(data[start : start + size])
        assert [one.json["prediction"]["value"] for one in await wire.answers(2)] == [1400.0, 5.0]

    house.run(story)


def test_pipelined_requests_are_answered_in_their_order(house: Gatehouse) -> None:
    house.station.promote(1, loop="delays")

    async def story(house: Gatehouse) -> None:
        wire = house.connect()
        other = b"GET /v1/loops HTTP/1.1\r\nhost: localhost\r\n\r\n"
        wire.send(other + request() + request(path="/v1/loops/delays/predict") + other + request(b"{}"))
        found = await wire.answers(5)
        assert [one.status for one in found] == [200, 200, 200, 200, 422]
        assert ["loops" in one.json for one in found] == [True, False, False, True, False]

    house.run(story)


ODD: dict[str, tuple[dict[str, str], int]] = {
    "another name": ({"host": "evil.example"}, 403),
    "a page from afar": ({"origin": "https://evil.example"}, 403),
    "a page from here": ({"origin": "http://localhost:3000"}, 200),
    "a body too big": ({"content-length": str(2 << 20)}, 413),
    "a type of its own": ({"content-type": "text/plain"}, 200),
}


@pytest.mark.parametrize("name", ODD)
def test_the_door_stands_before_the_hot_path_too(house: Gatehouse, name: str) -> None:
    headers, status = ODD[name]

    async def story(house: Gatehouse) -> None:
        wire = house.connect()
        wire.send(request(**headers))
        assert [one.status for one in await wire.answers()] == [status]

    house.run(story)


def test_two_lengths_or_two_hosts_are_not_hot(house: Gatehouse) -> None:
    async def story(house: Gatehouse) -> None:
        wire = house.connect()
        wire.send(request().replace(b"\r\n\r\n", b"\r\nhost: localhost\r\n\r\n"))
        assert [one.status for one in await wire.answers()] == [403]
        assert house.tally.requests == {}

    house.run(story)


def test_a_client_that_goes_away_is_not_answered_and_harms_nobody(house: Gatehouse) -> None:
    async def story(house: Gatehouse) -> None:
        gone, stays = house.connect(), house.connect()
        gone.send(request())
        stays.send(request())
        gone.connection.connection_lost(None)
        assert [one.status for one in await stays.answers()] == [200]
        assert gone.got == b""

    house.run(story)


class Faulty(Multiplier):
    """Fails in one way for distances below zero."""

    def __init__(self, fault: str) -> None:
        super().__init__(1.0)
        self.fault = fault

    def run(self, feed: Any) -> Predictions:
        found = super().run(feed)
        assert found.value is not None
        is_bad = feed["distance"][:, 0] < 0
        if is_bad.any() and self.fault == "raises":
            raise RuntimeError("in /srv/secret/model.onnx")
        if is_bad.any() and self.fault == "shape" and len(is_bad) == 1:
            return Predictions(task=found.task, value=np.zeros(3, dtype=np.float32))
        return Predictions(task=found.task, value=np.where(is_bad, np.float32(_NONE.get(self.fault, 0)), found.value))


_NONE = {"nan": np.nan, "infinite": np.inf}


@pytest.mark.parametrize(("fault", "what"), [("nan", "no number"), ("infinite", "no number"), ("raises", "failed")])
def test_a_row_that_a_model_fails_at_is_refused_alone(house: Gatehouse, fault: str, what: str) -> None:
    house.station.promote(2, Faulty(fault))

    async def story(house: Gatehouse) -> None:
        wires = [house.connect() for _ in range(6)]
        for number, wire in enumerate(wires):
            wire.send(request({"row": ROW | {"distance": -5 if number == 3 else number}}))
        found = [(await wire.answers())[0] for wire in wires]
        assert [one.status for one in found] == [200, 200, 200, 500, 200, 200]
        assert what in found[3].json["error"]["what"]
        assert b"secret" not in found[3].content
        assert [line["value"] for line in house.station.lines()] == [0.0, 1.0, 2.0, 4.0, 5.0] or fault == "raises"

    house.run(story)
    assert house.station.gateway.states()[0].invalid == (1 if fault != "raises" else 0)


def test_an_answer_of_the_wrong_shape_is_withheld_and_counted(house: Gatehouse) -> None:
    house.station.promote(2, Faulty("shape"))

    async def story(house: Gatehouse) -> None:
        assert (await house.ask({"row": ROW | {"distance": -1}})).status == 500

    house.run(story)
    assert house.station.gateway.states()[0].invalid == 1
    assert house.station.lines() == []


def test_a_journal_that_cannot_be_written_answers_nobody(house: Gatehouse) -> None:
    (house.station.workspace / journal.FOLDER).write_text("a file where the folder should be")

    async def story(house: Gatehouse) -> None:
        hot, plain = await house.ask(None), await house.ask(None, plainly=True)
        assert (hot.status, hot.content) == (503, plain.content)

    house.run(story)


def arms(house: Gatehouse, *given: Arm) -> None:
    before = house.station.table.routes["flights"]
    for arm in given:
        house.station.models.setdefault(("flights", arm.version), a_model(arm.version))
    house.station.table.routes["flights"] = Route(
        loop="flights", number=before.number + 1, arms=given, at=before.at, actor="me"
    )
    house.station.gateway.refresh()


CHAMPION, CHALLENGER = Arm(name="champion", version=1, share=0.5), Arm(name="challenger", version=2, share=0.5)


def test_a_unit_keeps_its_arm_whichever_way_it_comes_and_however_the_shares_change(house: Gatehouse) -> None:
    arms(house, CHAMPION, CHALLENGER)
    units = [f"unit-{number}" for number in range(40)]

    async def story(house: Gatehouse) -> None:
        async def choices(*, plainly: bool = False) -> list[str]:
            found = [await house.ask({"row": ROW, "unit": unit}, plainly=plainly) for unit in units]
            return [one.json["prediction"]["arm"] for one in found]

        first = await choices()
        assert first == await choices(plainly=True)
        assert set(first) == {"champion", "challenger"}
        arms(house, Arm(name="champion", version=1, share=0.2), Arm(name="challenger", version=2, share=0.8))
        after = await choices()
        assert all(now == "challenger" for was, now in zip(first, after, strict=True) if was == "challenger")

    house.run(story)


def test_without_a_unit_the_id_decides_as_it_does_in_the_endpoint(house: Gatehouse) -> None:
    arms(house, CHAMPION, CHALLENGER)

    async def story(house: Gatehouse) -> None:
        for _ in range(50):
            told = (await house.ask({"rows": [ROW, ROW]})).json["predictions"]
            route = house.station.gateway.served("flights").route
            assert [one["arm"] for one in told] == [route.choose(one["id"]).name for one in told]

    house.run(story)


def test_arms_that_read_rows_otherwise_go_the_plain_way(house: Gatehouse) -> None:
    wider = type(SCHEMA)(columns=SCHEMA.columns[:2], key=SCHEMA.key, time=SCHEMA.time)
    house.station.models["flights", 2] = a_model(2, schema=wider)
    arms(house, CHAMPION, CHALLENGER)

    async def story(house: Gatehouse) -> None:
        found = [await house.ask({"row": ROW, "unit": f"unit-{number}"}) for number in range(20)]
        assert {one.status for one in found} == {200, 422}  # the second knows no departure

    house.run(story)


@pytest.mark.parametrize("plainly", [False, True], ids=["hot", "plain"])
def test_a_shadow_predicts_the_same_rows_under_the_same_ids_and_is_not_heard(house: Gatehouse, plainly: bool) -> None:
    arms(house, Arm(name="champion", version=1, share=1.0), Arm(name="next", version=2, share=0.0, shadow=True))

    async def story(house: Gatehouse) -> None:
        told = [(await house.ask(None, plainly=plainly)).json["prediction"] for _ in range(10)]
        assert {(one["arm"], one["value"]) for one in told} == {("champion", 1400.0)}
        for _ in range(20_000):  # a shadow has no hurry
            if house.tally.events["flights", "shadowed"] == 10:
                break
            await asyncio.sleep(0.001)
        lines = house.station.lines()
        heard, shadow = ([line for line in lines if bool(line.get("shadow")) is is_so] for is_so in (False, True))
        ids = sorted(one["id"] for one in told)  # on the plain way more than one thread writes
        assert sorted(line["id"] for line in shadow) == sorted(line["id"] for line in heard) == ids
        assert {(line["arm"], line["version"], line["value"]) for line in shadow} == {("next", 2, 2800.0)}

    house.run(story)


def test_a_shadow_is_asked_about_all_rows_of_a_large_plain_request(house: Gatehouse) -> None:
    arms(house, Arm(name="champion", version=1, share=1.0), Arm(name="next", version=2, share=0.0, shadow=True))

    async def story(house: Gatehouse) -> None:
        told = (await house.ask({"rows": [ROW] * 50, "unit": "anna"}, plainly=True)).json["predictions"]
        for _ in range(20_000):  # a shadow has no hurry
            if house.tally.events["flights", "shadowed"] == 50:
                break
            await asyncio.sleep(0.001)
        shadow = [line for line in house.station.lines() if line.get("shadow")]
        assert [line["id"] for line in shadow] == [one["id"] for one in told]
        assert {(line["unit"], line["row"]["distance"], line["value"]) for line in shadow} == {("anna", 1400, 2800.0)}

    house.run(story)


@pytest.mark.parametrize("broken", [False, True], ids=["well", "broken"])
def test_a_shadow_is_asked_about_rows_that_came_as_arrow(house: Gatehouse, broken: bool) -> None:
    import pyarrow as pa

    if broken:
        house.station.models["flights", 2] = a_model(2, Faulty("raises"))
    arms(house, Arm(name="champion", version=1, share=1.0), Arm(name="next", version=2, share=0.0, shadow=True))
    rows = {
        "carrier": ["UA", "B6"],
        "distance": [1400, -1 if broken else 10],
        "departure": [datetime(2013, 1, 1, 5, tzinfo=UTC)] * 2,
    }

    async def story(house: Gatehouse) -> None:
        batch = pa.RecordBatch.from_pydict(rows)
        told = house.station.gateway.predict_columns("flights", batch, "anna")
        assert told.num_rows == 2
        for _ in range(20_000):  # a shadow has no hurry
            if house.tally.events["flights", "shadow_failed" if broken else "shadowed"]:
                break
            await asyncio.sleep(0.001)
        found = [line for line in reading.stream(house.station.workspace, "flights", shadows=True) if line is not None]
        shadow = sorted((line for line in found if line.shadow), key=lambda line: line.id)
        heard = sorted(line.id for line in found if not line.shadow)
        assert len(heard) == 2
        assert [(line.version, line.unit, line.value) for line in shadow] == (
            [] if broken else [(2, "anna", 2800.0), (2, "anna", 20.0)]
        )
        assert broken or [line.id for line in shadow] == heard

    house.run(story)


@pytest.mark.parametrize("plainly", [False, True], ids=["hot", "plain"])
def test_a_shadow_that_fails_or_cannot_be_loaded_harms_nobody(house: Gatehouse, plainly: bool) -> None:
    house.station.models["flights", 2] = a_model(2, Faulty("raises"))
    house.station.models["flights", 3] = RuntimeError("torn")
    arms(
        house,
        Arm(name="champion", version=1, share=1.0),
        Arm(name="fails", version=2, share=0.0, shadow=True),
        Arm(name="torn", version=3, share=0.0, shadow=True),
    )

    async def story(house: Gatehouse) -> None:
        assert (await house.ask({"row": ROW | {"distance": -1}}, plainly=plainly)).status == 200
        for _ in range(20_000):  # a shadow has no hurry
            if house.tally.events["flights", "shadow_failed"]:
                break
            await asyncio.sleep(0.001)
        assert house.tally.events["flights", "shadow_failed"] == 1
        (state,) = house.station.gateway.states()
        assert state.fault is not None
        assert state.served is not None
        assert len(state.served.route.arms) == 3

    house.run(story)


class Counting(Multiplier):
    """Notes what it was given, and what time it would have taken."""

    def __init__(self, clock: HandClock, seconds: float) -> None:
        super().__init__(1.0)
        self.clock = clock
        self.seconds = seconds

    def run(self, feed: Any) -> Predictions:
        self.clock.advance(self.seconds * len(feed["distance"]))
        return super().run(feed)


def test_who_would_wait_for_too_long_is_told_so_at_once(tmp_path: Path) -> None:
    clock = HandClock()
    house = Gatehouse(tmp_path, clock=clock, patience=Patience(deadline_seconds=1.0, queue_share=0.25))
    house.station.promote(1, Counting(clock, 0.001))

    async def story(house: Gatehouse) -> None:
        await house.ask(None)  # which shows what one costs
        wires = [house.connect() for _ in range(600)]
        for wire in wires:
            wire.send(request())
        found = [(await wire.answers())[0] for wire in wires]
        assert [one.status for one in found] == [200] * 251 + [503] * 349
        assert int(found[-1].headers["retry-after"]) >= 1
        assert house.tally.events["flights", "overload"] == 349

    house.run(story)
    house.close()


def test_no_more_connections_than_there_may_be(tmp_path: Path) -> None:
    house = Gatehouse(tmp_path, sockets=Sockets(most=3))

    async def story(house: Gatehouse) -> None:
        wires = [house.connect() for _ in range(4)]
        assert [wire.is_closed for wire in wires] == [False, False, False, True]
        assert wires[3].got.startswith(b"HTTP/1.1 503")
        wires[0].connection.connection_lost(None)
        wires[3].connection.connection_lost(None)
        assert not house.connect().is_closed

    house.run(story)
    house.close()


SILENCES = {
    "nothing was sent": (b"", 0, 75),
    "half a head": (request()[:30], 0, 30),
    "half a body": (request()[:-5], 0, 30),
    "what it does not read": (request(), 100, 30),
}


@pytest.mark.parametrize("name", SILENCES)
def test_who_is_silent_is_let_go(tmp_path: Path, name: str) -> None:
    sent, unsent, seconds = SILENCES[name]
    clock = HandClock()
    house = Gatehouse(tmp_path, clock=clock)
    house.station.promote(1)

    async def story(house: Gatehouse) -> None:
        wire, busy = house.connect(), house.connect()
        wire.send(sent)
        await asyncio.sleep(0)
        wire.unsent = unsent
        for _ in range(seconds + 3):
            assert not busy.is_closed
            assert wire.is_closed == (clock.monotonic() > seconds)
            busy.send(request())
            await busy.answers()
            clock.advance(1.0)
            house.hub.sweep()

    house.run(story)
    house.close()


def test_a_request_that_trickles_in_has_an_end(tmp_path: Path) -> None:
    clock = HandClock()
    house = Gatehouse(tmp_path, clock=clock)
    house.station.promote(1)

    async def story(house: Gatehouse) -> None:
        wire = house.connect()
        for byte in request():
            if wire.is_closed:
                break
            wire.send(bytes([byte]))
            clock.advance(10)
            house.hub.sweep()
        assert wire.got.startswith(b"HTTP/1.1 408")
        assert 120 < clock.monotonic() <= 140

    house.run(story)
    house.close()


def test_a_key_is_verified_once_and_is_hot_from_then_on(house: Gatehouse) -> None:
    stores, clock = house.station.stores, house.station.clock
    key, other = added(stores, a_key(Scope.PREDICT)), added(stores, a_key(Scope.VIEW, number=1))
    limited = added(stores, a_key(Scope.PREDICT, number=2, loops=["delays"]))
    guard = Guard(lambda: stores.keys, clock)
    guard.refresh()
    house.guard_by(guard)

    async def story(house: Gatehouse) -> None:
        async def status(shown: str | None = None) -> int:
            wire = house.connect()
            wire.send(request() if shown is None else request(authorization=f"Bearer {shown}"))
            return (await wire.answers())[0].status

        assert await status() == 401
        assert await status(key) == 200
        assert house.tally.requests == {}  # it was verified on the plain way
        assert [await status(key) for _ in range(3)] == [200] * 3
        assert sum(house.tally.requests.values()) == 3
        assert [await status(one) for one in (other, limited, key[:-1] + "x")] == [403, 403, 401]
        wrong = request(authorization=f"Bearer {key[:-1]}x")
        wire = house.connect()
        wire.send(request(authorization=f"Bearer {key}"))
        assert (await wire.answers())[0].status == 200
        wire.send(wrong)
        assert (await wire.answers())[0].status == 401
        stores.keys.revoke(key.split("_")[1], CAUSE)
        guard.refresh()
        wire.send(request(authorization=f"Bearer {key}"))  # a head that is known by heart
        assert (await wire.answers())[0].status == 401

    house.run(story)
    guard.stop()


def test_a_flood_of_keys_keeps_no_known_key_waiting(house: Gatehouse) -> None:
    stores = house.station.stores
    key = added(stores, a_key(Scope.PREDICT))
    guard = Guard(lambda: stores.keys, house.station.clock)
    guard.refresh()
    house.guard_by(guard)

    async def story(house: Gatehouse) -> None:
        mine = house.connect()
        for _ in range(2):
            mine.send(request(authorization=f"Bearer {key}"))
            assert (await mine.answers())[0].status == 200
        for number in range(200):
            house.connect().send(request(authorization=f"Bearer {key[:-3]}{number:03}"))
        mine.send(request(authorization=f"Bearer {key}"))
        for _ in range(3):  # turns of the event loop
            await asyncio.sleep(0)
        assert mine.got.startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.1)

    house.run(story)
    guard.stop()


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_what_is_not_in_the_log_is_told_so_by_either_way(tmp_path: Path, path: str) -> None:
    house = Gatehouse(tmp_path, terms=journal.Terms(when_full="answer"))
    house.station.promote(1, Multiplier(1.0, classes=(False, True)))
    body = {"rows": [ROW, ROW]} if path == PREDICT else {"inputs": INPUTS}
    root = tmp_path / journal.FOLDER
    root.write_text("a file where the folder of the journals should be")

    async def story(house: Gatehouse) -> None:
        hot, plain = await house.ask(body, path), await house.ask(body, path, plainly=True)
        assert (hot.status, nameless(hot.content)) == (200, nameless(plain.content))
        assert hot.content.count(b'"recorded":false') == (2 if path == PREDICT else 1)
        assert house.station.journal.health().unrecorded == 4

    house.run(story)
    house.close()


def test_of_a_sample_either_way_says_what_is_in_the_log(tmp_path: Path) -> None:
    house = Gatehouse(tmp_path, terms=journal.Terms(share=0.5))
    house.station.promote(1)

    async def story(house: Gatehouse) -> None:
        for number in range(40):
            found = (await house.ask({"row": ROW}, plainly=number % 2 == 1)).json["prediction"]
            assert found.get("recorded", True) == (found["id"] in {line["id"] for line in house.station.lines()})

    house.run(story)
    assert 5 < len(house.station.lines()) < 35
    house.close()
