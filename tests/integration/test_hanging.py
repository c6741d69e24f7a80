"""Models that hang, for real: an endless loop in a graph is stopped by its deadline, and what cannot be is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from tests.unit.serving import ROW, Multiplier, a_model
from tests.unit.wires import Gatehouse, request

from loopwright.core.clock import SystemClock
from loopwright.data.schema import Column, Schema
from loopwright.gateway.lanes import Patience
from loopwright.gateway.model import LoadedModel
from loopwright.gateway.refused import Refused
from loopwright.transform.predictor import Predictions, Predictor

_DISTANCE = Schema(columns=(Column(name="distance", kind="float", missing=False),))
DEADLINE_SECONDS = 0.8


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path, patience=Patience(deadline_seconds=DEADLINE_SECONDS, recycle_seconds=0.3))
    made.station.promote(1, loop="delays")
    yield made
    made.close()


def serve(house: Gatehouse, model: LoadedModel) -> None:
    house.station.models["flights", 1] = model
    house.station.table.put(("champion", 1, 1.0))
    house.station.gateway.refresh()


def endless() -> LoadedModel:
    """Gives back the distance; for one below zero, after ten million million turns."""
    decoder = a_model(1, schema=_DISTANCE).decoder
    predictor = Predictor(endless_graph(), decoder.inputs, "regression", ())
    return LoadedModel(version=a_model(1).version, predictor=predictor, decoder=decoder, is_stoppable=True)


def endless_graph() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["before"], ["after"])],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [None]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [None]),
        ],
    )
    nodes = [
        helper.make_node("Reshape", ["distance", "flat"], ["row"]),
        helper.make_node("ReduceMin", ["row"], ["least"], keepdims=0),
        helper.make_node("Less", ["least", "zero"], ["is_bad"]),
        helper.make_node("Where", ["is_bad", "for_ever", "once"], ["turns"]),
        helper.make_node("Loop", ["turns", "", "row"], ["value"], body=body),
    ]
    graph = helper.make_graph(
        nodes,
        "endless",
        [helper.make_tensor_value_info("distance", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, [None])],
        [
            helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
            helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
            helper.make_tensor("for_ever", TensorProto.INT64, [], [10**13]),
            helper.make_tensor("once", TensorProto.INT64, [], [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def test_a_model_that_hangs_is_answered_for_at_the_deadline_and_others_go_on(house: Gatehouse) -> None:
    serve(house, endless())
    clock = SystemClock()

    async def story(house: Gatehouse) -> None:
        assert (await house.ask({"row": {"distance": 5}})).json["prediction"]["value"] == 5.0
        for number in range(3):
            bad, begun = house.connect(), clock.monotonic()
            house.connect()  # so that nobody is alone
            bad.send(request({"row": {"distance": -1}}))
            await asyncio.sleep(0.35 if number == 0 else 0.01)  # the first time, the event loop itself is held up
            asked = clock.monotonic()
            assert (await house.ask(None, path="/v1/loops/delays/predict")).status == 200
            assert clock.monotonic() - asked < 0.3
            (answered,) = await bad.answers()
            assert answered.status == 504
            assert DEADLINE_SECONDS - 0.05 < clock.monotonic() - begun < DEADLINE_SECONDS + 0.6
            await asyncio.sleep(0.2)
        assert (await house.ask({"row": {"distance": 5}})).status == 503
        serve(house, endless())
        assert (await house.ask({"row": {"distance": 5}})).status == 200

    house.run(story)
    assert house.stuck == []


def test_one_request_that_makes_a_model_hang_costs_those_beside_it_only_time(house: Gatehouse) -> None:
    serve(house, endless())

    async def story(house: Gatehouse) -> None:
        wires = [house.connect() for _ in range(5)]
        for number, wire in enumerate(wires):
            wire.send(request({"row": {"distance": -1 if number == 2 else number}}))
        found = [(await wire.answers())[0].status for wire in wires]
        assert found == [200, 200, 504, 200, 200]

    house.run(story)


def test_a_model_that_hangs_at_other_doors_is_not_called_any_more_at_any(house: Gatehouse) -> None:
    serve(house, endless())
    gateway = house.station.gateway

    def status(distance: float) -> int:
        try:
            gateway.predict_together("flights", lambda _: [{"distance": distance}])
        except Refused as refused:
            return refused.status
        return 200

    assert [status(one) for one in (5, -1, -1, 5, -1, 5)] == [200, 504, 504, 200, 504, 503]

    async def story(house: Gatehouse) -> None:
        assert (await house.ask({"row": {"distance": 5}})).status == 503
        tensor = {"name": "distance", "datatype": "FP32", "shape": [1], "data": [5]}
        for plainly in (False, True):
            answered = await house.ask({"inputs": [tensor]}, "/v2/models/flights/infer", plainly=plainly)
            assert (answered.status, "hung 3 times" in answered.json["error"]) == (503, True)

    house.run(story)
    serve(house, endless())
    assert status(5) == 200


class Stubborn(Multiplier):
    """Heeds nobody until it is let go."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.go = threading.Event()

    def run(self, feed: Any, options: Any = None) -> Predictions:
        if (feed["distance"] < 0).any():
            self.go.wait(10)
        return super().run(feed)


def test_a_run_that_does_not_heed_ends_the_process_with_a_reason(house: Gatehouse) -> None:
    stubborn = Stubborn()
    model = a_model(1, stubborn)
    serve(
        house,
        LoadedModel(
            version=model.version, predictor=stubborn, decoder=model.decoder, is_stoppable=True, row_seconds=0.01
        ),
    )

    async def story(house: Gatehouse) -> None:
        wire = house.connect()
        wire.send(request({"row": ROW | {"distance": -1}}))
        assert [one.status for one in await wire.answers()] == [504]
        for _ in range(3000):
            if house.stuck:
                break
            await asyncio.sleep(0.001)
        stubborn.go.set()
        assert house.stuck == ["flights v1 hangs and cannot be stopped"]

    house.run(story)
