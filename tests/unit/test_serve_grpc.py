"""The Open Inference Protocol over gRPC: messages written by hand after its specification, right and wrong."""

from __future__ import annotations

import math
import re
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from tests.unit.keyed import a_key, added
from tests.unit.serving import ROW, Multiplier, Station, a_model

from loopwright.core.access import Scope
from loopwright.core.clock import SystemClock
from loopwright.errors import StoreUnavailable
from loopwright.gateway.watch import Watch

grpc = pytest.importorskip("grpc", reason="gRPC is not installed: pip install 'loopwright[grpc]'")
from google.protobuf import descriptor_pb2  # noqa: E402

from loopwright.protocols import grpc_door, grpc_messages  # noqa: E402


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path, max_rows=3, max_body_bytes=4096)
    made.promote(1)
    yield made
    made.close()


class Caller:
    """Calls methods by name."""

    def __init__(self, station: Station) -> None:
        self.server = grpc_door.Server(
            station.gateway, station.limits, host="127.0.0.1", port=0, authorise=station.guard.check_waiting
        )
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.server.port}")

    def __call__(self, method: str, metadata: Any = (), **fields: Any) -> Any:
        takes, gives = grpc_messages.METHODS[method]
        call = self.channel.unary_unary(
            f"/{grpc_messages.SERVICE}/{method}",
            request_serializer=takes.SerializeToString,
            response_deserializer=gives.FromString,
        )
        return call(takes(**fields), metadata=metadata, timeout=20)

    def refused(self, method: str, metadata: Any = (), **fields: Any) -> tuple[Any, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self(method, metadata, **fields)
        return caught.value.code(), caught.value.details()

    def close(self) -> None:
        self.channel.close()
        self.server.stop(1)


@pytest.fixture
def call(station: Station) -> Iterator[Caller]:
    made = Caller(station)
    yield made
    made.close()


def typed(name: str, datatype: str, field: str, values: list[Any], shape: Any = None) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": datatype,
        "shape": [len(values)] if shape is None else shape,
        "contents": {field: values},
    }


INPUTS = [
    typed("carrier", "BYTES", "bytes_contents", [b"UA", "東".encode()]),
    typed("distance", "FP32", "fp32_contents", [1400, 2.5]),
    typed("departure", "BYTES", "bytes_contents", [b"2013-01-01T05:15:00Z", b"2013-01-01"]),
]
FOUR = [
    typed("carrier", "BYTES", "bytes_contents", [b"UA"] * 4),
    typed("distance", "FP32", "fp32_contents", [1] * 4),
    typed("departure", "BYTES", "bytes_contents", [b"2013-01-01"] * 4),
]


def test_the_compiled_messages_are_those_of_the_text() -> None:
    folder = resources.files("loopwright.protocols")
    text = folder.joinpath("open_inference.proto").read_text()
    compiled = descriptor_pb2.FileDescriptorSet.FromString(folder.joinpath("open_inference.binpb").read_bytes()).file[0]
    told = {
        (field.name, field.number)
        for message in compiled.message_type
        for one in (message, *(nested for nested in message.nested_type if not nested.options.map_entry))
        for field in one.field
    }
    methods = {method.name for service in compiled.service for method in service.method}
    assert told == {(name, int(number)) for name, number in re.findall(r"(\w+) = (\d+);", text)}
    assert methods == set(re.findall(r"rpc (\w+)\(", text))
    assert len(compiled.message_type) == len(re.findall(r"^message ", text, re.MULTILINE))


def test_the_server_and_the_model_say_what_they_are(call: Caller) -> None:
    assert call("ServerLive").live
    assert call("ServerReady").ready
    assert call("ModelReady", name="flights").ready
    assert call("ModelReady", name="flights", version="1").ready
    server = call("ServerMetadata")
    assert (server.name, list(server.extensions)) == ("loopwright", ["binary_tensor_data", "model_repository"])
    model = call("ModelMetadata", name="flights")
    assert (model.name, list(model.versions), model.platform) == ("flights", ["1"], "onnxruntime_onnx")
    assert [(one.name, one.datatype, list(one.shape)) for one in model.inputs] == [
        ("carrier", "BYTES", [-1]),
        ("distance", "FP32", [-1]),
        ("departure", "BYTES", [-1]),
    ]
    assert [(one.name, one.datatype) for one in model.outputs] == [("value", "FP32")]
    assert [(one.name, one.state) for one in call("RepositoryIndex", ready=True).models] == [("flights", "READY")]


def test_nothing_is_ready_before_a_model_is_served(tmp_path: Path) -> None:
    empty = Station(tmp_path)
    call = Caller(empty)
    assert call("ServerLive").live
    assert not call("ServerReady").ready
    assert call.refused("ModelReady", name="flights")[0] is grpc.StatusCode.NOT_FOUND
    call.close()
    empty.close()


def test_typed_tensors_are_rows_and_their_answers_are_typed(station: Station, call: Caller) -> None:
    told = call("ModelInfer", model_name="flights", id="mine", inputs=INPUTS)
    assert (told.model_name, told.model_version, told.id) == ("flights", "1", "mine")
    (value,) = told.outputs
    assert (value.name, value.datatype, list(value.shape)) == ("value", "FP32", [2])
    assert (list(value.contents.fp32_contents), len(told.raw_output_contents)) == ([1400.0, 2.5], 0)
    ids = told.parameters["prediction_ids"].string_param.split(",")
    assert ids == [line["id"] for line in station.lines()]
    assert station.lines()[0]["row"] == ROW
    assert station.lines()[1]["row"]["carrier"] == "東"


def test_raw_tensors_are_rows_and_their_answers_are_raw(station: Station, call: Caller) -> None:
    station.promote(2, Multiplier(1.0, classes=("no", "yes")))
    raw = [b"\2\0\0\0UA", struct.pack("<e", 1400.0), struct.pack("<q", 0)]
    inputs = [
        {"name": "carrier", "datatype": "BYTES", "shape": [1]},
        {"name": "distance", "datatype": "FP16", "shape": [1, 1]},
        {"name": "departure", "datatype": "INT64", "shape": [1]},
    ]
    told = call("ModelInfer", model_name="flights", inputs=inputs, raw_input_contents=raw)
    assert told.raw_output_contents[0] == b"\2\0\0\0no"
    assert struct.unpack("<2f", told.raw_output_contents[1]) == pytest.approx((0.86, 0.14))
    assert [one.HasField("contents") for one in told.outputs] == [False, False]
    only = call(
        "ModelInfer",
        model_name="flights",
        inputs=inputs,
        raw_input_contents=raw,
        outputs=[{"name": "probabilities"}],
        parameters={"unit": {"string_param": "passenger-1"}},
    )
    assert [one.name for one in only.outputs] == ["probabilities"]
    assert {line.get("unit") for line in station.lines()} == {None, "passenger-1"}  # in whichever file


def test_a_version_that_answers_may_be_asked_for_by_number(station: Station, call: Caller) -> None:
    station.models["flights", 2] = a_model(2)
    station.table.put(("champion", 1, 0.5), ("challenger", 2, 0.5))
    station.gateway.refresh()
    told = call("ModelInfer", model_name="flights", model_version="2", inputs=INPUTS)
    assert (told.model_version, list(told.outputs[0].contents.fp32_contents)) == ("2", [2800.0, 5.0])
    code, what = call.refused("ModelInfer", model_name="flights", model_version="3", inputs=INPUTS)
    assert (code, "ask for one of these: 1, 2" in what) == (grpc.StatusCode.NOT_FOUND, True)


@pytest.mark.parametrize(
    ("inputs", "code", "told"),
    [
        (INPUTS[:2], "INVALID_ARGUMENT", "inputs are left out: departure"),
        ([*INPUTS, typed("wind", "FP32", "fp32_contents", [1, 2])], "INVALID_ARGUMENT", "there is no input 'wind'"),
        ([*INPUTS[:2], typed("departure", "INT64", "int64_contents", [1])], "INVALID_ARGUMENT", "different numbers"),
        ([typed("distance", "FP16", "fp32_contents", [1, 2]), INPUTS[0], INPUTS[2]], "INVALID_ARGUMENT", "raw bytes"),
        ([typed("distance", "INT8", "int_contents", [1, 300]), INPUTS[0], INPUTS[2]], "INVALID_ARGUMENT", "is no INT8"),
        (
            [typed("distance", "FP32", "fp32_contents", [1, math.nan]), INPUTS[0], INPUTS[2]],
            "INVALID_ARGUMENT",
            "row 1: column 'distance', None is not a number",
        ),
        ([typed("carrier", "BYTES", "bytes_contents", [b"\xff", b"UA"]), *INPUTS[1:]], "INVALID_ARGUMENT", "not UTF-8"),
        ([INPUTS[0], typed("distance", "FP32", "fp64_contents", [1, 2]), INPUTS[2]], "INVALID_ARGUMENT", " 0 values"),
        (FOUR, "RESOURCE_EXHAUSTED", "more than 3 rows"),
    ],
)  # fmt: skip
def test_tensors_that_are_no_rows_are_refused(call: Caller, inputs: Any, code: str, told: str) -> None:
    found, what = call.refused("ModelInfer", model_name="flights", inputs=inputs)
    assert (found.name, told in what) == (code, True), what


def test_raw_bytes_beside_typed_contents_are_refused(call: Caller) -> None:
    for raw in ([b""], [b"", b"", b""]):
        assert call.refused("ModelInfer", model_name="flights", inputs=INPUTS, raw_input_contents=raw)[0].name == (
            "INVALID_ARGUMENT"
        )


def test_a_message_that_is_too_big_is_refused(call: Caller) -> None:
    inputs = [{"name": "carrier", "datatype": "BYTES", "shape": [1]}]
    code, _ = call.refused("ModelInfer", model_name="flights", inputs=inputs, raw_input_contents=[b"\0" * 5000])
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


class Broken:
    """Fails at every row, and would tell why."""

    task = "regression"
    classes = ()

    def run(self, feed: Any) -> Any:
        raise RuntimeError("at /srv/secret")


def test_what_fails_within_tells_nothing_of_the_server(station: Station, call: Caller) -> None:
    station.promote(2, Broken())
    code, what = call.refused("ModelInfer", model_name="flights", inputs=INPUTS)
    assert (code, "secret" in what) == (grpc.StatusCode.INTERNAL, False)
    station.promote(3, Multiplier(math.nan))
    code, what = call.refused("ModelInfer", model_name="flights", inputs=INPUTS)
    assert (code, "gave no number" in what) == (grpc.StatusCode.INTERNAL, True)


class Slow:
    """Runs until it is told to stop, as ONNX Runtime does."""

    task = "regression"
    classes = ()

    def run(self, feed: Any, options: Any = None) -> Any:
        for _ in range(2000):
            if options is not None and options.terminate:
                raise RuntimeError("terminated")
            time.sleep(0.01)
        raise AssertionError("nobody stopped it")


def test_a_model_that_takes_too_long_is_stopped_at_the_deadline(tmp_path: Path) -> None:
    watch = Watch(SystemClock(), recycle_seconds=60, on_stuck=lambda _reason: None)
    watch.start()
    station = Station(tmp_path, watched=(watch, 0.1))
    station.models["flights", 2] = replace(a_model(2, Slow()), is_stoppable=True)
    station.table.put(("champion", 2, 1.0))
    station.gateway.refresh()
    call = Caller(station)
    code, what = call.refused("ModelInfer", model_name="flights", inputs=INPUTS)
    call.close()
    watch.stop()
    station.close()
    assert (code, "within 0.1 seconds" in what) == (grpc.StatusCode.DEADLINE_EXCEEDED, True)


def test_a_prediction_that_cannot_be_recorded_is_not_answered(station: Station, call: Caller) -> None:
    (station.workspace / "predictions").mkdir(exist_ok=True)
    (station.workspace / "predictions" / "flights").write_text("in the way")
    code, what = call.refused("ModelInfer", model_name="flights", inputs=INPUTS)
    assert (code, "journal" in what) == (grpc.StatusCode.UNAVAILABLE, True)


def test_a_port_that_is_taken_is_said_to_be(station: Station) -> None:
    import socket

    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(StoreUnavailable, match="cannot be had for gRPC"),
    ):
        grpc_door.Server(station.gateway, station.limits, host="127.0.0.1", port=taken.getsockname()[1])


def bearer(station: Station, *scopes: Scope, **more: Any) -> tuple[tuple[str, str]]:
    key = added(station.stores, a_key(*scopes, **more))
    station.guard.refresh()
    return (("authorization", f"Bearer {key}"),)


def test_once_there_is_a_key_it_is_asked_for_in_the_metadata(station: Station, call: Caller) -> None:
    predicts, views = bearer(station, Scope.PREDICT), bearer(station, Scope.VIEW, number=1)
    asked = {"model_name": "flights", "inputs": INPUTS}
    for method in grpc_messages.METHODS.keys() - {"ServerLive", "ServerReady"}:
        assert call.refused(method)[0] is grpc.StatusCode.UNAUTHENTICATED
        assert call.refused(method, (("authorization", "Bearer nonsense"),))[0] is grpc.StatusCode.UNAUTHENTICATED
    assert call("ServerLive").live
    assert call("ServerReady").ready
    assert call("ModelInfer", predicts, **asked).model_name == "flights"
    assert call.refused("ModelInfer", views, **asked)[0] is grpc.StatusCode.PERMISSION_DENIED
    assert call.refused("ModelMetadata", predicts, name="flights")[0] is grpc.StatusCode.PERMISSION_DENIED
    assert call("ModelMetadata", views, name="flights").name == "flights"
    assert call.refused("ModelMetadata", (*views, *views), name="flights")[0] is grpc.StatusCode.UNAUTHENTICATED
    (key,) = [(("x-api-key", shown.removeprefix("Bearer ")),) for _, shown in views]
    assert call("ModelMetadata", key, name="flights").name == "flights"
    assert call.refused("ModelMetadata", (*key, *key), name="flights")[0] is grpc.StatusCode.UNAUTHENTICATED
    assert call.refused("ModelMetadata", (("x-api-key", "none"),))[0] is grpc.StatusCode.UNAUTHENTICATED


def test_a_key_for_one_loop_sees_no_other(station: Station, call: Caller) -> None:
    station.promote(1, loop="trains")
    key = bearer(station, Scope.VIEW, Scope.PREDICT, loops=["trains"])
    assert [one.name for one in call("RepositoryIndex", key).models] == ["trains"]
    assert call("ModelReady", key, name="trains").ready
    for method, name in (("ModelReady", "name"), ("ModelMetadata", "name"), ("ModelInfer", "model_name")):
        assert call.refused(method, key, **{name: "flights"})[0] is grpc.StatusCode.PERMISSION_DENIED
