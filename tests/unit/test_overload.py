"""Requests that are too much: refused before they are built or run, and never at the cost of others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.serving import ROW, Multiplier, Station, a_model

from loopwright.core.clock import SystemClock
from loopwright.data.schema import Column, Schema
from loopwright.gateway.deadline import due, seconds_left
from loopwright.gateway.lanes import Patience
from loopwright.gateway.refused import Refused
from loopwright.gateway.watch import Hung, Watch
from loopwright.protocols import bodies
from loopwright.protocols.work import Desk
from loopwright.testing import HandClock
from loopwright.transform.predictor import Predictions

INFER = "/v2/models/flights/versions/2/infer"
ONE = Schema(columns=(Column(name="distance", kind="float", missing=False),))


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path, max_body_bytes=16 << 20)
    yield made
    made.close()


class Misshapen(Multiplier):
    """Answers to more rows than it was asked for."""

    def run(self, feed: Any, options: Any = None) -> Predictions:
        found = super().run(feed).value
        assert found is not None
        return Predictions(task="regression", value=np.append(found, np.float32(1)))


class Where(Multiplier):
    """Notes the thread it runs in."""

    seen: str = ""

    def run(self, feed: Any, options: Any = None) -> Predictions:
        self.seen = threading.current_thread().name
        return super().run(feed)


class Stopped(Multiplier):
    """Runs until it is told to end."""

    def run(self, feed: Any, options: Any = None) -> Predictions:
        while not options.terminate:
            time.sleep(0.001)
        raise RuntimeError("terminated")


def stoppable(station: Station, predictor: Any, **more: Any) -> None:
    station.models["flights", 2] = replace(a_model(2, predictor), is_stoppable=True, **more)
    station.table.put(("champion", 2, 1.0))
    station.gateway.refresh()


def tensors(count: int) -> list[dict[str, Any]]:
    values = {"carrier": ("BYTES", "UA"), "distance": ("FP32", 1), "departure": ("BYTES", "2013-01-01")}
    return [{"name": n, "datatype": of, "shape": [count], "data": [v] * count} for n, (of, v) in values.items()]


def test_an_answer_of_the_wrong_shape_reaches_nobody_at_the_plain_doors(station: Station) -> None:
    station.promote(2, Misshapen())
    bodies = {
        INFER: {"inputs": tensors(2), "outputs": [{"name": "value"}]},
        "/invocations": {"instances": [ROW, ROW]},
        "/v1/loops/flights/predict": {"rows": [ROW, ROW]},
    }
    assert [station.client.post(path, body).status for path, body in bodies.items()] == [500] * 3
    assert (station.gateway.states()[0].invalid, station.lines()) == (3, [])


@pytest.mark.parametrize("path", [INFER, "/invocations", "/v1/loops/flights/predict"])
def test_a_plain_door_runs_no_model_in_the_event_loop(station: Station, path: str) -> None:
    predictor = Where()
    station.promote(2, predictor)
    body = {"inputs": tensors(1)} if path == INFER else {"instances": [ROW]} if path == "/invocations" else {"row": ROW}
    assert station.client.post(path, body).status == 200
    assert predictor.seen.startswith("predict")


def test_rows_that_would_take_longer_than_the_deadline_are_refused_before_they_run(tmp_path: Path) -> None:
    clock = HandClock()
    station = Station(tmp_path, watched=(Watch(clock, recycle_seconds=1, on_stuck=print), 1.0))
    stoppable(station, Stopped(), batch_row_seconds=0.01)
    with pytest.raises(Refused, match="200 rows take flights v2 about 2 seconds") as refused:
        station.gateway.predict("flights", [ROW] * 200)
    assert refused.value.status == 413
    station.close()


def test_many_rows_that_are_stopped_are_no_hang_and_few_are(tmp_path: Path) -> None:
    watch = Watch(SystemClock(), recycle_seconds=9, on_stuck=print)
    watch.start()
    station = Station(tmp_path, watched=(watch, 0.1))
    stoppable(station, Stopped())
    for _ in range(4):
        with pytest.raises(Refused, match="no answer within"):
            station.gateway.predict("flights", [ROW] * 50)
    assert station.gateway.served("flights").hangs == {}
    with pytest.raises(Refused, match="no answer within"):
        station.gateway.predict("flights", [ROW])
    assert station.gateway.served("flights").hangs == {2: 1}
    watch.stop()
    station.close()


def test_who_had_little_time_left_is_no_proof_of_a_hang() -> None:
    model = replace(a_model(1), row_seconds=0.1)
    assert not Hung(model, 0.2, 1).is_hang
    assert Hung(model, 1.0, 1).is_hang


def test_a_model_learns_what_a_row_among_many_takes() -> None:
    model = replace(a_model(1), batch_row_seconds=0.01)
    model.pace.note(1000, 1.0)
    assert model.pace.seconds(1000) == pytest.approx(1.0)
    model.pace.note(1000, 5.0)
    assert model.pace.seconds(1000) == pytest.approx(1.0)


def test_time_spent_waiting_is_taken_from_what_a_model_may_run() -> None:
    clock = HandClock()
    assert seconds_left(clock, 5) == 5
    with due(clock.monotonic() + 2):
        assert seconds_left(clock, 5) == pytest.approx(2)
        clock.advance(3)
        assert seconds_left(clock, 5) == 0


MANY = {
    "columns by name": ("/invocations", "application/json", b'{"inputs":{"a":[' + b"1," * 7_000_000 + b"1]}}"),
    "a table": (
        "/invocations",
        "application/json",
        b'{"dataframe_split":{"columns":["a"],"data":[' + b"[1]," * 3_500_000 + b"[1]]}}",
    ),
    "CSV of empty fields": ("/invocations", "text/csv", b"," * 15_000_000),
    "CSV of many lines": ("/invocations", "text/csv", b"UA,1,2013-01-01\n" * 900_000),
    "many lines": ("/invocations", "application/jsonlines", b'{"a":1}\n' * 1_900_000),
    "a wide row": (
        "/v1/loops/flights/predict",
        "application/json",
        b'{"row":{' + b",".join(b'"c%d":1' % number for number in range(1_200_000)) + b"}}",
    ),
    "many tensors": (
        INFER,
        "application/json",
        b'{"inputs":[' + b",".join([b'{"name":"a","shape":[1],"datatype":"FP32"}'] * 300_000) + b"]}",
    ),
    "a long tensor": (
        INFER,
        "application/json",
        b'{"inputs":[{"name":"distance","shape":[1],"datatype":"FP32","data":[' + b"1," * 7_000_000 + b"1]}]}",
    ),
}


@pytest.mark.parametrize("name", MANY)
def test_what_no_rows_can_hold_is_refused_before_it_is_built(station: Station, name: str) -> None:
    station.promote(2)
    path, kind, content = MANY[name]
    begun = time.process_time()
    answered = station.client.post(path, content, content_type=kind)
    assert answered.status == 413, answered.content
    assert time.process_time() - begun < 1


def test_commas_in_texts_are_no_values() -> None:
    text = b'{"instances":[{"a":"' + b',\\"' * 10_000 + b'"}]}'
    bodies.refuse_values(text, ONE, 1)
    with pytest.raises(Refused):
        bodies.refuse_values(text + b"," * 10_000, ONE, 1)


def test_at_a_desk_that_is_full_who_would_wait_too_long_is_refused_at_once() -> None:
    clock = HandClock()
    desk = Desk("test", clock=clock, patience=Patience(deadline_seconds=10, queue_share=0.25), workers=1)
    go = threading.Event()
    desk.wait(lambda: clock.advance(4))  # what one takes
    with ThreadPoolExecutor(1) as others:
        first = others.submit(desk.wait, lambda: go.wait(10))
        while not desk._there:
            time.sleep(0.001)
        with pytest.raises(Refused, match="busy") as refused:
            desk.wait(lambda: None)
        assert (refused.value.status, refused.value.retry_seconds) == (503, 4)
        go.set()
        assert first.result()
    assert desk.wait(lambda: "free again") == "free again"
    desk.stop()


def test_who_waits_at_a_desk_is_answered_at_the_deadline_and_not_run_after_it() -> None:
    desk = Desk("test", clock=SystemClock(), patience=Patience(deadline_seconds=0.1, queue_share=9), workers=1)
    go, ran = threading.Event(), []

    async def story() -> list[Any]:
        asked = [desk.answer(lambda: go.wait(10)), desk.answer(lambda: ran.append(1))]
        return list(await asyncio.gather(*asked, return_exceptions=True))

    found = asyncio.run(story())
    go.set()
    desk.stop()
    assert [(type(one), one.status) for one in found] == [(Refused, 504)] * 2
    assert not ran


def test_health_is_told_over_grpc_while_models_are_busy(tmp_path: Path) -> None:
    grpc = pytest.importorskip("grpc", reason="gRPC is not installed: pip install 'loopwright[grpc]'")
    from loopwright.protocols import grpc_door, grpc_messages

    go = threading.Event()

    class Waiting(Multiplier):
        def run(self, feed: Any, options: Any = None) -> Predictions:
            go.wait(20)
            return super().run(feed)

    station = Station(tmp_path)
    station.promote(1, Waiting(), schema=ONE)
    server = grpc_door.Server(station.gateway, station.limits, host="127.0.0.1", port=0)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:

        def method(name: str) -> Any:
            takes, gives = grpc_messages.METHODS[name]
            path = f"/{grpc_messages.SERVICE}/{name}"
            call = channel.unary_unary(
                path, request_serializer=takes.SerializeToString, response_deserializer=gives.FromString
            )
            return call, takes

        infer, request = method("ModelInfer")
        tensor = {"name": "distance", "datatype": "FP32", "shape": [1], "contents": {"fp32_contents": [1]}}
        going = [infer.future(request(model_name="flights", inputs=[tensor]), timeout=20) for _ in range(12)]
        live, nothing = method("ServerLive")
        assert live(nothing(), timeout=5).live
        go.set()
        assert [one.result().outputs[0].contents.fp32_contents[0] for one in going] == [1.0] * 12
    server.stop(1)
    station.close()
