"""Inference over REST on the hot path: the bytes of the endpoint, its records, and its limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response
from tests.unit.serving import Multiplier, a_model
from tests.unit.test_serve_v2 import CARRIER, CARRIER_ONE, DEPARTURE, DEPARTURE_ONE, DISTANCE, INFER, INPUTS, tensor
from tests.unit.wires import Gatehouse, nameless, request

from loopwright.core.version import Arm, Route
from loopwright.gateway.lanes import Patience
from loopwright.protocols.infer import Infer
from loopwright.testing import HandClock


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path)
    made.station.promote(1)
    yield made
    made.close()


def distance(datatype: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"inputs": [CARRIER_ONE, tensor("distance", datatype, [value]) | more, WHEN]}


WHEN = tensor("departure", "BYTES", ["2013-01-01T05:15:00Z"])
ONE = distance("FP32", 1400)
USUAL: dict[str, Any] = {
    "a row": ONE,
    "two rows": {"inputs": INPUTS},
    "another order": {"inputs": INPUTS[::-1]},
    "nested": {"inputs": [CARRIER_ONE, tensor("distance", "FP32", [[1.5]], [1, 1]), WHEN]},
    "two dimensions, flat": {"inputs": [CARRIER_ONE, tensor("distance", "FP32", [1.5], [1, 1]), WHEN]},
    "an id": ONE | {"id": "mine"},
    "an empty id": ONE | {"id": ""},
    "a unit": ONE | {"parameters": {"unit": "UA1545"}},
    "keys": {"inputs": [*ONE["inputs"], tensor("flight_id", "BYTES", ["UA1"]), tensor("scheduled", "INT64", [5])]},
    "null where it may be": {"inputs": [tensor("carrier", "BYTES", [None]), *ONE["inputs"][1:]]},
    "64 bits": distance("INT64", 7),
    "32 bits": distance("INT32", -7),
    "8 bits without a sign": distance("UINT8", 255),
    "parameters of others": distance("FP64", 7.5, parameters={"content_type": "np"}),
    "no outputs named": ONE | {"outputs": []},
    "outputs as text": ONE | {"parameters": {"binary_data_output": False}},
}
RARE: dict[str, Any] = {
    "chosen outputs": ONE | {"outputs": [{"name": "value"}]},
    "outputs as bytes": ONE | {"parameters": {"binary_data_output": True}},
    "an output that is none": ONE | {"outputs": [{"name": "more"}]},
    "16 bits": distance("FP16", 2.5),
    "a time as a number": {
        "inputs": [CARRIER_ONE, DISTANCE | {"data": [1], "shape": [1]}, tensor("departure", "INT64", [9])]
    },
    "a date without a time": {"inputs": [*ONE["inputs"][:2], DEPARTURE_ONE]},
    "a time that is none": {"inputs": [*ONE["inputs"][:2], tensor("departure", "BYTES", ["2013-02-31"])]},
    "null where it may not be": distance("FP32", None),
    "a number too big": distance("FP32", 1e39),
    "a number too big for the model": distance("FP64", 1e39),
    "a whole number beyond 64 bits": distance("FP32", 2**70),
    "a key beyond 64 bits": {"inputs": [*ONE["inputs"], tensor("flight_id", "UINT64", [2**63])]},
    "a number beyond its bits": distance("INT8", 128),
    "a number below none": distance("UINT32", -1),
    "half a whole number": distance("INT32", 1.5),
    "a truth as a number": distance("FP32", value=True),
    "a number in quotes": distance("FP32", "1400"),
    "an unknown datatype": distance("FP128", 1),
    "another datatype": distance("BYTES", "7"),
    "an input twice": {"inputs": [*ONE["inputs"], WHEN]},
    "an input too many": {"inputs": [*ONE["inputs"], tensor("late", "BOOL", [True])]},
    "an input too few": {"inputs": ONE["inputs"][:2]},
    "different numbers of rows": {"inputs": [CARRIER, ONE["inputs"][1], DEPARTURE]},
    "another number than the shape says": distance("FP32", 1400, shape=[2]),
    "a shape of three": distance("FP32", 1400, shape=[1, 1, 1]),
    "no shape": distance("FP32", 1400, shape=[]),
    "no rows": {"inputs": [tensor(one["name"], one["datatype"], []) for one in INPUTS]},
    "nested too deeply": distance("FP32", [[1400]]),
    "half nested": {"inputs": [CARRIER, tensor("distance", "FP32", [[1], 2], [2, 1]), DEPARTURE]},
    "nested where the shape is flat": distance("FP32", [1400]),
    "data and a size": distance("FP32", 1400, parameters={"binary_data_size": 4}),
    "a unit that is a number": ONE | {"parameters": {"unit": 7}},
    "an empty unit": ONE | {"parameters": {"unit": ""}},
    "no inputs": {"inputs": []},
    "neither": {},
    "no object": [1, 2],
    "no JSON": b"{",
    "nothing": b"",
    "depth": b'{"inputs": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("name", [*USUAL, *RARE])
@pytest.mark.parametrize("classes", [(), (False, True), ("early", "late")], ids=["value", "flags", "texts"])
def test_an_answer_is_byte_for_byte_that_of_the_endpoint(house: Gatehouse, name: str, classes: Any) -> None:
    house.station.promote(2, Multiplier(2.0, classes=classes))
    body = (USUAL | RARE)[name]

    async def story(house: Gatehouse) -> None:
        hot, plain = await house.ask(body, INFER), await house.ask(body, INFER, plainly=True)
        assert (hot.status, nameless(hot.content)) == (plain.status, nameless(plain.content))
        assert (hot.status == 200) or name in RARE
        assert hot.headers == plain.headers
        assert {key[3] for key in house.tally.requests} == {"v2"}
        assert sum(house.tally.requests.values()) == 1  # the other one went to the application

    house.run(story)


def unasked(_loop: str, _content: bytes) -> Response:
    raise AssertionError("it went to the endpoint")


@pytest.mark.parametrize("name", USUAL)
def test_what_is_usual_is_answered_without_the_endpoint_and_recorded_as_it_records_it(
    house: Gatehouse, name: str
) -> None:
    form, model = Infer(house.station.limits, unasked), house.station.gateway.model("flights")
    form.read(form.decoder(model), json.dumps(USUAL[name]).encode())  # raises for what must go to the endpoint

    async def story(house: Gatehouse) -> None:
        await house.ask(USUAL[name], INFER, plainly=True)
        plain = house.station.lines()
        told = (await house.ask(USUAL[name], INFER)).json
        hot = [line for line in house.station.lines() if line not in plain]
        assert ",".join(line["id"] for line in hot) == told["parameters"]["prediction_ids"]
        differ = {"id": "", "at": "", "latency_ms": 0.0}
        assert [line | differ for line in hot] == [line | differ for line in plain]

    house.run(story)


def test_both_protocols_are_answered_in_one_batch(house: Gatehouse) -> None:
    async def story(house: Gatehouse) -> None:
        wires = [house.connect() for _ in range(10)]
        for number, wire in enumerate(wires):
            wire.send(request(ONE, INFER) if number % 2 else request())
        found = [(await wire.answers())[0] for wire in wires]
        assert [one.status for one in found] == [200] * 10
        assert found[1].json["outputs"][0]["data"] == [found[0].json["prediction"]["value"]] == [1400.0]
        assert sum(house.tally.batches["flights"].counts) == 1

    house.run(story)


def test_a_version_in_the_path_and_bytes_behind_the_json_take_the_plain_way(house: Gatehouse) -> None:
    async def story(house: Gatehouse) -> None:
        assert (await house.ask(ONE, "/v2/models/flights/versions/1/infer")).json["model_version"] == "1"
        wire = house.connect()
        wire.send(request(ONE, INFER, inference_header_content_length="5"))
        assert (await wire.answers())[0].status == 400
        assert house.tally.requests == {}

    house.run(story)


def test_a_shadow_hears_it_and_a_unit_keeps_its_arm(house: Gatehouse) -> None:
    for number in (2, 3):
        house.station.models["flights", number] = a_model(number)
    before = house.station.table.routes["flights"]
    arms = (
        Arm(name="champion", version=1, share=0.5),
        Arm(name="challenger", version=2, share=0.5),
        Arm(name="next", version=3, share=0.0, shadow=True),
    )
    house.station.table.routes["flights"] = Route(
        loop="flights", number=before.number + 1, arms=arms, at=before.at, actor="me"
    )
    house.station.gateway.refresh()

    async def story(house: Gatehouse) -> None:
        for number in range(20):
            unit = f"unit-{number}"
            v2 = (await house.ask(ONE | {"parameters": {"unit": unit}}, INFER)).json["parameters"]["arm"]
            v1 = (await house.ask({"rows": [ROW_ONE], "unit": unit})).json["predictions"][0]["arm"]
            assert v1 == v2
        assert (await house.ask({"inputs": INPUTS}, INFER)).json["parameters"]["prediction_ids"].count(",") == 1
        for _ in range(2000):
            if house.tally.events["flights", "shadowed"] == 40:
                break
            await asyncio.sleep(0.001)
        assert house.tally.events["flights", "shadowed"] == 40

    house.run(story)


ROW_ONE = {"carrier": "UA", "distance": 1400, "departure": "2013-01-01T05:15:00Z"}


def test_who_would_wait_for_too_long_is_told_so_as_the_protocol_says_it(tmp_path: Path) -> None:
    clock = HandClock()
    house = Gatehouse(tmp_path, clock=clock, patience=Patience(deadline_seconds=1.0, queue_share=0.25))

    class Slow(Multiplier):
        def run(self, feed: Any) -> Any:
            clock.advance(0.01 * len(feed["distance"]))
            return super().run(feed)

    house.station.promote(1, Slow())

    async def story(house: Gatehouse) -> None:
        await house.ask(ONE, INFER)
        wires = [house.connect() for _ in range(60)]
        for wire in wires:
            wire.send(request(ONE, INFER))
        found = [(await wire.answers())[0] for wire in wires]
        assert [one.status for one in found] == [200] * 26 + [503] * 34
        assert found[-1].json.keys() == {"error"}
        assert int(found[-1].headers["retry-after"]) >= 1

    house.run(story)
    house.close()
