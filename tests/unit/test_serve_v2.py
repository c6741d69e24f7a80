"""The Open Inference Protocol, version 2: requests written by hand after its specification, right and wrong."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.serving import ROW, Answered, Multiplier, Station, a_model

from loopwright.data.schema import Column, Kind, Schema

MODEL = "/v2/models/flights"
INFER = f"{MODEL}/infer"


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    made.promote(1)
    yield made
    made.close()


def tensor(name: str, datatype: str, data: Any, shape: Any = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "data": data, "shape": [len(data)] if shape is None else shape}


CARRIER = tensor("carrier", "BYTES", ["UA", None])
DISTANCE = tensor("distance", "FP32", [1400, 2.5])
DEPARTURE = tensor("departure", "BYTES", ["2013-01-01T05:15:00Z", "2013-01-01T05:20:00"])
INPUTS = [CARRIER, DISTANCE, DEPARTURE]
CARRIER_ONE, DEPARTURE_ONE = tensor("carrier", "BYTES", ["UA"]), tensor("departure", "BYTES", ["2013-01-01"])
NAN = struct.pack("<f", float("nan"))


def infer(station: Station, *inputs: dict[str, Any], path: str = INFER, **more: Any) -> Any:
    answered = station.client.post(path, {"inputs": list(inputs), **more})
    assert answered.status == 200, answered.content
    return answered.json


def refused(station: Station, *inputs: dict[str, Any], status: int = 400, path: str = INFER, **more: Any) -> str:
    """Every refusal is an object with a text, as the protocol has it."""
    answered = station.client.post(path, {"inputs": list(inputs), **more})
    assert answered.status == status, answered.content
    assert answered.json.keys() == {"error"}
    told: str = answered.json["error"]
    return told


def test_the_server_and_the_model_say_what_they_are(station: Station) -> None:
    assert station.client.get("/v2").json.keys() == {"name", "version", "extensions"}
    assert station.client.get("/v2/health/live").json == {"live": True}
    assert station.client.get("/v2/health/ready").json == {"ready": True}
    assert station.client.get(f"{MODEL}/ready").json == {"name": "flights", "ready": True}
    assert station.client.get(f"{MODEL}/versions/1/ready").status == 200
    assert station.client.get(MODEL).json == {
        "name": "flights",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "carrier", "datatype": "BYTES", "shape": [-1]},
            {"name": "distance", "datatype": "FP32", "shape": [-1]},
            {"name": "departure", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [{"name": "value", "datatype": "FP32", "shape": [-1]}],
    }


def test_nothing_is_ready_before_a_model_is_served(tmp_path: Path) -> None:
    empty = Station(tmp_path)
    assert empty.client.get("/v2/health/live").status == 200
    assert (empty.client.get("/v2/health/ready").status, empty.client.get("/v2/health/ready").json) == (
        400,
        {"ready": False},
    )
    assert empty.client.get(f"{MODEL}/ready").status == 404


def test_tensors_side_by_side_are_rows(station: Station) -> None:
    told = infer(station, *INPUTS, id="mine")
    ids = told.pop("parameters")
    assert told == {
        "model_name": "flights",
        "model_version": "1",
        "id": "mine",
        "outputs": [{"name": "value", "datatype": "FP32", "shape": [2], "data": [1400.0, 2.5]}],
    }
    assert ids["prediction_ids"].split(",") == [line["id"] for line in station.lines()]
    assert station.lines()[0]["row"] == ROW


@pytest.mark.parametrize("data", [[3, 4], [[3], [4]]])
def test_a_column_may_have_a_second_dimension_of_one_flat_or_nested(station: Station, data: Any) -> None:
    told = infer(station, CARRIER, tensor("distance", "FP64", data, [2, 1]), DEPARTURE)
    assert told["outputs"][0]["data"] == [3, 4]


def test_a_classifier_gives_label_and_probabilities_row_by_row(station: Station) -> None:
    station.promote(2, Multiplier(1.0, classes=(False, True)))
    label, probabilities = infer(station, *INPUTS)["outputs"]
    assert label == {"name": "label", "datatype": "BOOL", "shape": [2], "data": [False, False]}
    assert (probabilities["datatype"], probabilities["shape"]) == ("FP32", [2, 2])
    assert probabilities["data"] == pytest.approx([0.86, 0.14, 0.99975, 0.00025])
    (only,) = infer(station, *INPUTS, outputs=[{"name": "probabilities"}])["outputs"]
    assert only["name"] == "probabilities"


@pytest.mark.parametrize(
    ("classes", "datatype"), [((0, 1), "INT64"), (("no", "yes"), "BYTES"), ((False, True), "BOOL")]
)
def test_labels_have_the_datatype_of_the_classes(station: Station, classes: Any, datatype: str) -> None:
    station.promote(2, Multiplier(1.0, classes=classes))
    assert station.client.get(MODEL).json["outputs"][0]["datatype"] == datatype
    assert infer(station, *INPUTS)["outputs"][0]["datatype"] == datatype


GOOD: list[tuple[Kind, str, Any, Any]] = [
    ("float", "FP16", 0.333251953125, 0.333251953125),
    ("float", "INT8", -128, -128),
    ("float", "UINT8", 255, 255),
    ("float", "INT64", 3, 3),
    ("integer", "FP32", 3.0, 3.0),
    ("integer", "FP64", 3, 3),
    ("integer", "INT32", 2**31 - 1, 2**31 - 1),
    ("integer", "UINT64", 2**63 - 1, 2**63 - 1),
    ("boolean", "BOOL", True, True),
    ("string", "BYTES", "東京", "東京"),
    ("time", "BYTES", "2013-01-01", "2013-01-01"),
    ("time", "INT64", 1_000_001, "1970-01-01T00:00:01.000001+00:00"),
    ("time", "INT64", -1, "1969-12-31T23:59:59.999999+00:00"),
]
BAD: list[tuple[Kind, str, Any, str]] = [
    ("float", "FP16", 65505, "row 0 of 'c' is no FP16"),
    ("float", "FP32", 1e39, "row 0 of 'c' is no FP32"),
    ("float", "FP32", "1.5", "row 0 of 'c' is no FP32"),
    ("float", "FP32", True, "row 0 of 'c' is no FP32"),
    ("float", "FP64", 1e39, "is not a number below"),
    ("float", "INT8", 128, "row 0 of 'c' is no INT8"),
    ("float", "INT8", -129, "row 0 of 'c' is no INT8"),
    ("float", "UINT8", -1, "row 0 of 'c' is no UINT8"),
    ("float", "INT32", 1.5, "row 0 of 'c' is no INT32"),
    ("float", "BYTES", "1.5", "has the datatype 'BYTES'; send one of FP16"),
    ("float", "BOOL", True, "has the datatype 'BOOL'"),
    ("float", "FP128", 1.5, "has the datatype 'FP128'"),
    ("float", "FP32", None, "does not know null"),
    ("integer", "FP32", 3.5, "3.5 is not a whole number"),
    ("integer", "UINT64", 2**63, "is not a whole number below"),
    ("boolean", "INT8", 1, "has the datatype 'INT8'; send one of BOOL"),
    ("boolean", "BOOL", 1, "row 0 of 'c' is no BOOL"),
    ("string", "BYTES", 3, "row 0 of 'c' is no BYTES"),
    ("time", "FP64", 1.5, "send one of BYTES, INT64"),
    ("time", "BYTES", "tomorrow", "'tomorrow' is not a time"),
    ("time", "INT64", 2**62, "which is no time"),
]


def of(station: Station, kind: Kind) -> None:
    class Fine(Multiplier):
        def run(self, feed: Any) -> Any:
            return super().run({"distance": feed["distance"]})

    columns = (Column(name="c", kind=kind, missing=False), Column(name="distance", kind="float", missing=False))
    station.promote(2, Fine(), schema=Schema(columns=columns))


@pytest.mark.parametrize(("kind", "datatype", "value", "row"), GOOD)
def test_datatypes_that_hold_a_column_exactly_are_taken(
    station: Station, kind: Kind, datatype: str, value: Any, row: Any
) -> None:
    of(station, kind)
    infer(station, tensor("c", datatype, [value]), tensor("distance", "FP32", [1]))
    assert station.lines()[0]["row"]["c"] == row


@pytest.mark.parametrize(("kind", "datatype", "value", "what"), BAD)
def test_a_value_that_does_not_fit_its_datatype_or_column_is_refused(
    station: Station, kind: Kind, datatype: str, value: Any, what: str
) -> None:
    of(station, kind)
    told = refused(station, tensor("c", datatype, [value]), tensor("distance", "FP32", [1]))
    assert what in told
    assert station.lines() == []


WRONG: list[tuple[list[dict[str, Any]], str]] = [
    ([], "inputs are left out: carrier, distance, departure"),
    ([CARRIER, DISTANCE], "inputs are left out: departure"),
    ([*INPUTS, DISTANCE], "'distance' is given twice"),
    ([*INPUTS, tensor("distanse", "FP32", [1, 2])], "did you mean 'distance'?"),
    ([CARRIER, tensor("distance", "FP32", [1, 2, 3]), DEPARTURE], "different numbers of rows: 2, 3"),
    ([CARRIER, tensor("distance", "FP32", [1, 2, 3], [2]), DEPARTURE], "has the shape [2] and 3 values"),
    ([CARRIER, tensor("distance", "FP32", [1], [2]), DEPARTURE], "has the shape [2] and 1 values"),
    ([CARRIER, tensor("distance", "FP32", [1, 2], [1, 2]), DEPARTURE], "has the shape [1, 2]"),
    ([CARRIER, tensor("distance", "FP32", [1, 2], [2, 1, 1]), DEPARTURE], "has the shape [2, 1, 1]"),
    ([CARRIER, tensor("distance", "FP32", [1, 2], []), DEPARTURE], "has the shape []"),
    ([CARRIER, tensor("distance", "FP32", [], [0]), DEPARTURE], "has the shape [0]"),
    ([CARRIER, tensor("distance", "FP32", [1, 2], [-1]), DEPARTURE], "has the shape [-1]"),
    ([CARRIER, tensor("distance", "FP32", [[1], [2]], [2]), DEPARTURE], "row 0 of 'distance' is no FP32"),
    ([CARRIER, tensor("distance", "FP32", [[1, 2]], [2, 1]), DEPARTURE], "Expected `array` of length 1"),
    ([CARRIER, tensor("distance", "FP32", [[1], 2], [2, 1]), DEPARTURE], "not nested as the shape [2, 1] says"),
    ([CARRIER, tensor("distance", "FP32", [[[1]], [[2]]], [2, 1]), DEPARTURE], "at `$.inputs[1].data[0][0]`"),
    ([CARRIER, {"name": "distance", "shape": [2], "datatype": "FP32"}, DEPARTURE], "'distance' has no data"),
    ([CARRIER, tensor("distance", "FP32", [1, 2], ["2"]), DEPARTURE], "Expected `int`"),
    ([{"name": 3, "shape": [1], "datatype": "FP32", "data": [1]}], "Expected `str`"),
]


@pytest.mark.parametrize(("inputs", "what"), WRONG)
def test_tensors_that_are_no_rows_are_refused(station: Station, inputs: list[dict[str, Any]], what: str) -> None:
    assert what in refused(station, *inputs)
    assert station.lines() == []


def test_parameters_and_outputs_that_are_null_are_as_if_left_out(station: Station) -> None:
    told = infer(station, *INPUTS, parameters=None, outputs=None, id=None)
    assert [one["name"] for one in told["outputs"]] == ["value"]
    assert infer(station, *INPUTS, outputs=[{"name": "value", "parameters": None}])


def packed(station: Station, inputs: list[dict[str, Any]], content: bytes, path: str = INFER, **more: Any) -> Answered:
    """Asked with bytes behind the JSON."""
    text = json.dumps({"inputs": inputs, **more}).encode()
    return station.client.post(path, text + content, inference_header_content_length=str(len(text)))


def binary_tensor(name: str, datatype: str, size: int, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def test_tensors_may_come_as_bytes_beside_others_as_json(station: Station) -> None:
    texts = b"\2\0\0\0UA" + b"\3\0\0\0\xe6\x9d\xb1"
    inputs = [
        binary_tensor("carrier", "BYTES", len(texts), [2]),
        binary_tensor("distance", "FP64", 16, [2, 1]),
        DEPARTURE,
    ]
    answered = packed(station, inputs, texts + struct.pack("<dd", 1400.0, 2.5))
    assert answered.json["outputs"][0]["data"] == [1400.0, 2.5]
    assert [line["row"]["carrier"] for line in station.lines()] == ["UA", "東"]


@pytest.mark.parametrize(
    ("kind", "datatype", "form", "value", "told"),
    [
        ("float", "FP16", "<e", 0.5, 0.5),
        ("float", "FP32", "<f", -1.5, -1.5),
        ("float", "INT8", "<b", -128, -128),
        ("integer", "UINT8", "<B", 255, 255),
        ("integer", "INT16", "<h", -2, -2),
        ("integer", "UINT16", "<H", 65_535, 65_535),
        ("integer", "INT32", "<i", -3, -3),
        ("integer", "UINT32", "<I", 2**32 - 1, 2**32 - 1),
        ("integer", "UINT64", "<Q", 2**63 - 1, 2**63 - 1),
        ("boolean", "BOOL", "<?", True, True),
        ("time", "INT64", "<q", 1_000_001, "1970-01-01T00:00:01.000001+00:00"),
    ],
)
def test_every_datatype_comes_as_bytes(
    station: Station, kind: Kind, datatype: str, form: str, value: Any, told: Any
) -> None:
    schema = Schema(
        columns=(Column(name="distance", kind="float", missing=False), Column(name="c", kind=kind, missing=True))
    )
    station.promote(2, schema=schema)
    content = struct.pack(form, value)
    inputs = [tensor("distance", "FP32", [1]), binary_tensor("c", datatype, len(content), [1])]
    assert packed(station, inputs, content).status == 200
    assert station.lines()[-1]["row"]["c"] == told


def test_a_nan_is_a_value_that_is_not_known(station: Station) -> None:
    distance = binary_tensor("distance", "FP32", 4, [1])
    strict = packed(station, [CARRIER_ONE, distance, DEPARTURE_ONE], NAN)
    assert (strict.status, "does not know null" in strict.json["error"]) == (400, True)
    column = Column(name="wind", kind="float", missing=True)
    station.promote(2, schema=Schema(columns=(Column(name="distance", kind="float", missing=False), column)))
    inputs = [tensor("distance", "FP32", [1]), binary_tensor("wind", "FP32", 4, [1])]
    assert packed(station, inputs, NAN).status == 200
    assert station.lines()[-1]["row"] == {"distance": 1, "wind": None}


@pytest.mark.parametrize(
    ("inputs", "content", "told"),
    [
        ([binary_tensor("distance", "FP32", 3, [1])], b"\0\0\0", "has 3 bytes, and 1 of FP32 have 4"),
        ([binary_tensor("distance", "FP32", 4, [1])], b"\0\0", "say they have 4 bytes, and 2 came"),
        ([binary_tensor("distance", "FP32", 4, [1])], b"\0" * 8, "say they have 4 bytes, and 8 came"),
        ([binary_tensor("distance", "FP32", -4, [1])], b"", "no number of bytes"),
        ([tensor("distance", "FP32", [1]) | {"parameters": {"binary_data_size": 4}}], b"\0" * 4, "both data and"),
        ([binary_tensor("distance", "FP32", 4, [1])], struct.pack("<f", float("inf")), "is no FP32"),
        ([binary_tensor("distance", "FP128", 4, [1])], b"\0" * 4, "has the datatype 'FP128'"),
        ([binary_tensor("carrier", "BYTES", 6, [1])], b"\3\0\0\0UA", "longer than the bytes that came"),
        ([binary_tensor("carrier", "BYTES", 12, [1])], b"\2\0\0\0UA" * 2, "which are no 1 texts"),
        ([binary_tensor("carrier", "BYTES", 5, [1])], b"\1\0\0\0\xff", "not UTF-8"),
    ],
)
def test_bytes_that_are_no_tensors_are_refused(
    station: Station, inputs: list[dict[str, Any]], content: bytes, told: str
) -> None:
    whole = {one["name"]: one for one in (CARRIER_ONE, tensor("distance", "FP32", [1]), DEPARTURE_ONE)}
    answered = packed(station, list((whole | {one["name"]: one for one in inputs}).values()), content)
    assert answered.status == 400
    assert told in answered.json["error"]


@pytest.mark.parametrize("length", ["", "-1", "99999", "two", "9" * 30])
def test_a_header_that_cannot_be_is_refused(station: Station, length: str) -> None:
    answered = station.client.post(INFER, b"{}\0\0", inference_header_content_length=length)
    assert (answered.status, "inference-header-content-length is" in answered.json["error"]) == (400, True)


def unpacked(answered: Answered) -> tuple[dict[str, Any], bytes]:
    length = int(answered.headers["inference-header-content-length"])
    return json.loads(answered.content[:length]), answered.content[length:]


def test_outputs_come_as_bytes_where_they_are_wanted_so(station: Station) -> None:
    station.promote(2, Multiplier(1.0, classes=("no", "yes")))
    asked = station.client.post(INFER, {"inputs": INPUTS, "parameters": {"binary_data_output": True}})
    assert asked.headers["content-type"] == "application/octet-stream"
    told, content = unpacked(asked)
    assert [one["parameters"] for one in told["outputs"]] == [{"binary_data_size": 12}, {"binary_data_size": 16}]
    assert content[:12] == b"\2\0\0\0no" * 2
    assert struct.unpack("<4f", content[12:]) == pytest.approx([0.86, 0.14, 0.99975, 0.00025])
    one = {"name": "probabilities", "parameters": {"binary_data": True}}
    told, content = unpacked(station.client.post(INFER, {"inputs": INPUTS, "outputs": [{"name": "label"}, one]}))
    assert ([one.get("data") for one in told["outputs"]], len(content)) == ([["no", "no"], None], 16)
    other = {"name": "label", "parameters": {"binary_data": False}}
    parameters = {"binary_data_output": True}
    plain = station.client.post(INFER, {"inputs": INPUTS, "outputs": [other], "parameters": parameters})
    assert plain.json["outputs"][0]["data"] == ["no", "no"]


def test_the_repository_lists_what_answers_and_what_should(station: Station) -> None:
    station.table.put(("champion", 9, 1.0), loop="trains")
    station.gateway.refresh()
    index = station.client.post("/v2/repository/index", b"").json
    assert [(one["name"], one["version"], one["state"]) for one in index] == [
        ("flights", "1", "READY"),
        ("trains", "9", "UNAVAILABLE"),
    ]
    assert "torn" in index[1]["reason"]
    assert [one["name"] for one in station.client.post("/v2/repository/index", {"ready": True}).json] == ["flights"]
    assert station.client.get("/v2/models").json == {"models": ["flights", "trains"]}
    answered = station.client.post("/v2/repository/models/flights/load", {})
    assert (answered.status, "promoted" in answered.json["error"]) == (400, True)


def test_more_rows_than_may_come_at_once_are_refused(tmp_path: Path) -> None:
    station = Station(tmp_path, max_rows=1)
    station.promote(1)
    assert "more than 1 rows" in refused(station, *INPUTS, status=413)
    station.close()


def test_key_and_time_may_come_along(station: Station) -> None:
    infer(station, *INPUTS, tensor("flight_id", "INT64", [7, 8]), tensor("scheduled", "BYTES", ["a", "b"]))
    assert [line["key"] for line in station.lines()] == [
        {"flight_id": 7, "scheduled": "a"},
        {"flight_id": 8, "scheduled": "b"},
    ]


def test_outputs_that_are_not_there_are_refused(station: Station) -> None:
    assert "known: value" in refused(station, *INPUTS, outputs=[{"name": "label"}])


def test_a_version_that_answers_may_be_asked_for_by_number(station: Station) -> None:
    station.models["flights", 2] = a_model(2)
    station.table.put(("champion", 1, 0.5), ("challenger", 2, 0.5))
    station.gateway.refresh()
    told = infer(station, *INPUTS, path=f"{MODEL}/versions/2/infer")
    assert (told["model_version"], told["parameters"]["arm"]) == ("2", "pinned")
    assert "version 7" in refused(station, *INPUTS, path=f"{MODEL}/versions/7/infer", status=404)
    for text in ("x", "\u0661", "1" * 30):
        assert "is no version" in refused(station, *INPUTS, path=f"{MODEL}/versions/{text}/infer", status=404)


def test_all_rows_of_a_request_go_to_one_version_and_a_unit_to_its_own(station: Station) -> None:
    station.models["flights", 2] = a_model(2)
    station.table.put(("champion", 1, 0.5), ("challenger", 2, 0.5))
    station.gateway.refresh()
    seen = {infer(station, *INPUTS)["model_version"] for _ in range(30)}
    assert seen == {"1", "2"}
    assert all(
        first["version"] == second["version"] for first, second in zip(*[iter(station.lines())] * 2, strict=True)
    )
    kept = {infer(station, *INPUTS, parameters={"unit": "user-1"})["model_version"] for _ in range(10)}
    assert len(kept) == 1
    assert "unit" in refused(station, *INPUTS, parameters={"unit": 7})


@pytest.mark.parametrize("path", ["/v2/models/none", "/v2/models/none/infer", "/v2/none"])
def test_what_is_not_there_is_refused_in_the_form_of_the_protocol(station: Station, path: str) -> None:
    answered = station.client.post(path, {"inputs": []}) if path.endswith("infer") else station.client.get(path)
    assert answered.status == 404
    assert isinstance(answered.json["error"], str)


def test_a_body_that_is_no_json_and_a_method_that_is_not_taken_are_refused(station: Station) -> None:
    for answered, status in ((station.client.post(INFER, b"{"), 400), (station.client.get(INFER), 405)):
        assert (answered.status, list(answered.json)) == (status, ["error"])
