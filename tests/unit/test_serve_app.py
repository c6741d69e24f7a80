"""The HTTP API: what is answered, what is refused and in which form, who may ask, and how much."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.requests import Request
from starlette.types import Message
from tests.unit.serving import ROW, SCHEMA, Multiplier, Station, a_model

from loopwright.gateway.refused import Refused
from loopwright.predictions.finding import ID
from loopwright.protocols import door

PREDICT = "/v1/loops/flights/predict"


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path, max_body_bytes=1 << 20)
    made.promote(1)
    yield made
    made.close()


def refused(answered: Any, status: int) -> dict[str, Any]:
    """Every refusal has the same form."""
    assert answered.status == status, answered.content
    assert answered.headers["content-type"] == "application/json; charset=utf-8"
    told: dict[str, Any] = answered.json
    assert told["error"].keys() == {"what", "where", "fix"}
    return told


def test_a_row_is_predicted_on(station: Station) -> None:
    answered = station.client.post(PREDICT, {"row": ROW})
    assert answered.status == 200
    told = answered.json["prediction"]
    assert ID.fullmatch(told.pop("id"))
    assert told == {"version": 1, "arm": "champion", "value": 1400.0}


def test_rows_are_predicted_on_in_their_order(station: Station) -> None:
    answered = station.client.post(PREDICT, {"rows": [ROW | {"distance": one} for one in (3, 1, 2)], "unit": "user-1"})
    told = answered.json["predictions"]
    assert [one["value"] for one in told] == [3, 1, 2]
    assert [one["id"][-2:] for one in told] == [".0", ".1", ".2"]


def test_a_classifier_tells_label_and_probabilities(station: Station) -> None:
    station.promote(2, Multiplier(1.0, classes=("on time", "late")))
    told = station.client.post(PREDICT, {"row": ROW | {"distance": 7500}}).json["prediction"]
    assert told["label"] == "late"
    assert told["probabilities"] == {"on time": 0.25, "late": 0.75}


def test_many_rows_are_answered_from_a_thread_and_all_recorded(station: Station) -> None:
    rows = [ROW | {"distance": number} for number in range(5000)]
    told = station.client.post(PREDICT, {"rows": rows}).json["predictions"]
    assert [one["value"] for one in told] == list(range(5000))
    assert len(station.lines()) == 5000


def test_what_does_not_fit_is_told_with_row_column_value_and_what_was_expected(station: Station) -> None:
    told = refused(station.client.post(PREDICT, {"rows": [ROW, ROW | {"distance": "far"}]}), 422)
    assert told["error"]["what"] == "1 value does not fit the model's columns"
    assert told["problems"] == [{"row": 1, "column": "distance", "value": "far", "expected": "a number"}]
    assert station.lines() == []


BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "no JSON"),
    (b"{", 400, "no JSON"),
    (b'{"row": {"a": NaN}}', 400, "no JSON"),
    (b'{"unit": "\xff"}', 400, "no JSON"),
    (b'{"unit": "\\ud800"}', 400, "no JSON"),
    (b'{"rows":' + b"[" * 200_000 + b"]" * 200_000 + b"}", 422, "1 value does not fit"),
    (b'{"rows": [' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]}", 422, "1 value does not fit"),
    (b'{"rows": ' + b"[" * 200_000, 422, "1 value does not fit"),
    (b'{"row": {"distance": 1e999}}', 422, "at least 1 value does not fit"),
    (b'{"rows": 7}', 422, "not what is expected"),
    (b'{"rows": [{}], "row": 7}', 422, "1 value does not fit"),
    (b"[]", 422, "not what is expected"),
    (b'{"rows": {}}', 422, "not what is expected"),
    (b'{"distance": 3}', 422, "unknown field `distance`"),
    (b"{}", 422, "either row or rows"),
    (b'{"row": {}, "rows": []}', 422, "either row or rows"),
    (b'{"rows": []}', 422, "rows is empty"),
    (b'{"row": {}, "unit": 7}', 422, "not what is expected"),
    (b'{"row": {}, "unit": ""}', 422, "unit is no text of 1 to 256 characters, but of 0"),
    (b'{"row": null}', 422, "1 value does not fit"),
    (b'{"row": [1]}', 422, "1 value does not fit"),
]


@pytest.mark.parametrize(("content", "status", "what"), BODIES, ids=range(len(BODIES)))
def test_a_body_that_is_not_what_is_asked_for_is_refused(
    station: Station, content: bytes, status: int, what: str
) -> None:
    told = refused(station.client.post(PREDICT, content), status)
    assert what in told["error"]["what"]
    assert station.lines() == []


PLACES: list[tuple[bytes, int, str | None, str]] = [
    (b'{"row": {"carrier": "UA", "distance": 1e999}}', 0, "distance", "a number of more than 64 bits"),
    (
        b'{"rows": [{"carrier": "UA"}, {"distance": ' + b"9" * 5000 + b"}]}",
        1,
        "distance",
        "a number of more than 64 bits",
    ),
    (b'{"rows": [{}, {"carrier": "UA", "distance": [1]}]}', 1, "distance", "an array"),
    (b'{"row": {"carrier": {}}}', 0, "carrier", "an object"),
    (b'{"rows": [{}, {}, [1]]}', 2, None, "an array"),
]


@pytest.mark.parametrize(("content", "row", "column", "value"), PLACES, ids=range(len(PLACES)))
def test_a_value_that_is_none_is_told_with_its_place(
    station: Station, content: bytes, row: int, column: str | None, value: str
) -> None:
    (problem,) = refused(station.client.post(PREDICT, content), 422)["problems"]
    assert (problem["row"], problem["column"], problem["value"]) == (row, column, value)


def test_more_rows_than_may_come_at_once_are_refused(tmp_path: Path) -> None:
    station = Station(tmp_path, max_rows=3)
    station.promote(1)
    full = ROW | {"carrier": "{{{{{{{{"}  # which is no row
    assert station.client.post(PREDICT, {"rows": [full] * 3}).status == 200
    told = refused(station.client.post(PREDICT, {"rows": [full] * 4}), 413)
    assert told["error"]["what"] == "the body has more than 3 rows"
    assert "max_rows" in told["error"]["fix"]
    station.close()


NONSENSE = [
    (PREDICT, b'{"rows":[' + b"0," * 8_000_000 + b"0]}", 413),
    (PREDICT, b'{"rows":[' + b"{}," * 5_000_000 + b"{}]}", 413),
    (PREDICT, b'{"rows":[{"a":[' + b"{}," * 5_000_000 + b"{}]}]}", 413),
    (PREDICT, b'{"row":{"a":[' + b"[]," * 5_000_000 + b"[]]}}", 413),
    (PREDICT, b'{"rows":[' + b'{"distance":1},' * 49_999 + b"{}]}", 422),
    ("/v1/labels", b'{"labels":[' + b'{"label":1},' * 1_300_000 + b"{}]}", 413),
    ("/v1/labels", b'{"labels":[{"label":[' + b"{}," * 5_000_000 + b"{}]}]}", 422),
]


@pytest.mark.parametrize(("path", "content", "status"), NONSENSE, ids=range(len(NONSENSE)))
def test_a_big_body_of_nonsense_costs_little(tmp_path: Path, path: str, content: bytes, status: int) -> None:
    station = Station(tmp_path, max_body_bytes=16 << 20)
    station.promote(1)
    begun = time.process_time()
    refused(station.client.post(path, content), status)
    assert time.process_time() - begun < 2
    station.close()


def test_who_sends_nothing_for_long_is_let_go(station: Station) -> None:
    async def never() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    request = Request({"type": "http", "method": "POST", "headers": []}, never)
    with pytest.raises(Refused, match=r"nothing came for 0.01 seconds") as told:
        asyncio.run(door.body(request, 1024, 0.01))
    assert told.value.status == 408


def test_a_body_too_big_is_refused_by_what_it_announces(station: Station) -> None:
    answered = station.client.post(PREDICT, b"{}", content_length=str(1 << 30))
    assert "1,048,576 bytes" in refused(answered, 413)["error"]["what"]


def test_a_body_too_big_is_refused_while_it_comes_in(station: Station) -> None:
    refused(station.client.send("POST", PREDICT, b" " * (2 << 20), parts=50), 413)
    answered = station.client.send(
        "POST", PREDICT, json.dumps({"row": ROW}).encode(), parts=9, content_length="nonsense"
    )
    assert answered.status == 200


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/loops/", "/v1/loops/flights/", "/v2/", "/v1/loops/../loops", "/x" * 500]
)
def test_an_unknown_path_is_refused_in_the_same_form(station: Station, path: str) -> None:
    assert station.client.get(path).status == 404
    if not path.startswith("/v2"):
        assert len(refused(station.client.get(path), 404)["error"]["what"]) < 150


@pytest.mark.parametrize(
    ("method", "path"), [("GET", PREDICT), ("PUT", PREDICT), ("DELETE", "/v1/loops"), ("POST", "/healthz")]
)
def test_a_method_that_is_not_taken_is_refused_and_the_right_one_named(
    station: Station, method: str, path: str
) -> None:
    answered = station.client.send(method, path, b"{}")
    refused(answered, 405)
    assert answered.headers["allow"]


def test_head_is_answered_where_get_is(station: Station) -> None:
    assert station.client.send("HEAD", "/v1/loops", b"").status == 200


def test_a_loop_that_is_not_served_is_named_with_the_closest_that_is(station: Station) -> None:
    for answered in (
        station.client.post("/v1/loops/flihgts/predict", {"row": ROW}),
        station.client.get("/v1/loops/flihgts"),
    ):
        assert "did you mean 'flights'?" in refused(answered, 404)["error"]["what"]


HOSTS = [
    ("127.0.0.1:8080", 200),
    ("localhost", 200),
    ("LOCALHOST:1", 200),
    ("[::1]:8080", 200),
    ("evil.example", 403),
    ("localhost.evil.example:8080", 403),
    ("127.0.0.1.nip.example", 403),
    ("localhost@evil.example", 403),
    ("user@localhost", 403),
    ("[::1", 403),
    ("", 403),
]


@pytest.mark.parametrize(("host", "status"), HOSTS)
def test_only_names_of_this_machine_are_answered_to(station: Station, host: str, status: int) -> None:
    assert station.client.get("/v1/loops", host=host).status == status
    assert station.client.post(PREDICT, {"row": ROW}, host=host).status == status


@pytest.mark.parametrize("name", [b"host", b"origin"])
def test_a_header_that_names_two_places_is_refused(station: Station, name: bytes) -> None:
    value = {b"host": b"127.0.0.1:8080", b"origin": b"http://localhost"}[name]
    station.client.also = [(name, value)] * (1 if name == b"host" else 2)  # the client names one host by itself
    assert station.client.get("/v1/loops").status == 403
    station.client.also = [(b"origin", b"http://localhost")]
    assert station.client.get("/v1/loops").status == 200


@pytest.mark.parametrize(
    ("origin", "status"), [("http://localhost:3000", 200), ("https://evil.example", 403), ("null", 403)]
)
def test_a_page_of_another_place_may_not_post_here(station: Station, origin: str, status: int) -> None:
    assert station.client.post(PREDICT, {"row": ROW}, origin=origin).status == status


def test_a_failure_is_answered_without_its_reason(station: Station) -> None:
    class Broken(Multiplier):
        def run(self, feed: Any) -> Any:
            raise RuntimeError("in /srv/secret/model.onnx")

    station.promote(2, Broken())
    with pytest.raises(RuntimeError, match="secret"):  # for the log of the server, after the answer went out
        station.client.post(PREDICT, {"row": ROW})
    assert refused(station.client.last, 500)["error"]["what"] == "the gateway failed at this"


def test_no_answer_tells_a_path_of_the_server(station: Station) -> None:
    (station.workspace / "predictions").write_text("a file where the folder should be")
    answered = station.client.post(PREDICT, {"row": ROW})
    assert refused(answered, 503)["error"]["what"].startswith("the journal cannot be written")
    assert str(station.workspace) not in answered.content.decode()
    station.table.put(("champion", 4, 1.0))
    station.gateway.refresh()
    assert "/srv" not in station.client.get("/v1/loops").content.decode()


def test_a_number_that_is_none_never_becomes_json(station: Station) -> None:
    station.promote(2, Multiplier(np.nan))
    told = refused(station.client.post(PREDICT, {"row": ROW}), 500)
    assert "no number" in told["error"]["what"]
    assert station.client.get("/v1/loops").json["loops"][0]["invalid"] == 1


def test_what_is_served_is_told(station: Station) -> None:
    station.client.post(PREDICT, {"row": ROW})
    (loop,) = station.client.get("/v1/loops").json["loops"]
    assert (loop["name"], loop["version"], loop["predictions"], loop["fault"]) == ("flights", 1, 1, None)
    assert loop["route"]["arms"] == [{"name": "champion", "version": 1, "share": 1.0}]
    found = station.client.get("/v1/loops/flights").json
    assert [column["name"] for column in found["schema"]["columns"]] == ["carrier", "distance", "departure"]
    assert found["task"] == "regression"


def test_a_version_that_cannot_be_loaded_is_told_while_the_old_one_answers(station: Station) -> None:
    station.table.put(("champion", 2, 1.0))
    station.gateway.refresh()
    (loop,) = station.client.get("/v1/loops").json["loops"]
    assert (loop["version"], loop["fault"]["what"]) == (1, "flights v2 is torn")
    assert loop["fault"]["route"]["arms"][0]["version"] == 2
    assert station.client.post(PREDICT, {"row": ROW}).status == 200


def test_ready_is_who_serves_something(tmp_path: Path) -> None:
    station = Station(tmp_path)
    assert station.client.get("/healthz").json == {"status": "alive"}
    assert "no loop has a route yet" in refused(station.client.get("/readyz"), 503)["error"]["what"]
    station.table.put(("champion", 1, 1.0), loop="broken")
    station.gateway.refresh()
    assert "no model of broken" in refused(station.client.get("/readyz"), 503)["error"]["what"]
    assert refused(station.client.post("/v1/loops/broken/predict", {"row": ROW}), 503)
    assert refused(station.client.get("/v1/loops/broken"), 503)
    station.promote(1)
    assert station.client.get("/readyz").json == {"status": "ready", "degraded": ["models"], "unserved": ["broken"]}
    station.close()


def test_the_example_of_the_document_is_answered(station: Station) -> None:
    station.promote(1, Multiplier(1.0, classes=(False, True)), loop="delays")
    document = station.client.get("/openapi.json").json
    assert document["openapi"] == "3.1.0"
    for loop in ("flights", "delays"):
        path = f"/v1/loops/{loop}/predict"
        example = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert station.client.post(path, example).status == 200


def test_the_document_says_which_columns_there_are_and_which_may_be_null(station: Station) -> None:
    content = station.client.get("/openapi.json").json["paths"][PREDICT]["post"]["requestBody"]["content"]
    row = content["application/json"]["schema"]["oneOf"][0]["properties"]["row"]
    assert row["required"] == ["carrier", "distance", "departure"]
    assert row["properties"]["carrier"] == {"type": ["string", "null"], "description": "in training: AA, UA"}
    assert row["properties"]["distance"] == {"type": "number", "description": "in training: 96.0 to 4983.0"}
    assert row["properties"]["flight_id"] == {}
    assert row["additionalProperties"] is False


def test_every_path_of_the_document_is_there(station: Station) -> None:
    for path, methods in station.client.get("/openapi.json").json["paths"].items():
        for method in methods:
            asked = path.replace("{name}", "flights").replace("{version}", "1")
            assert station.client.send(method.upper(), asked, b"{}").status in (200, 400, 422), path


def test_a_row_costs_little_beside_the_model(station: Station) -> None:
    body = json.dumps({"row": ROW}).encode()
    answer = station.gateway
    begun = time.process_time()
    for _ in range(500):
        answer.predict("flights", [json.loads(body)["row"]])
    assert (time.process_time() - begun) / 500 < 0.001


def test_two_arms_answer_one_request(station: Station) -> None:
    station.models["flights", 2] = a_model(2, schema=SCHEMA)
    station.table.put(("champion", 1, 0.5), ("challenger", 2, 0.5))
    station.gateway.refresh()
    told = station.client.post(PREDICT, {"rows": [ROW] * 60}).json["predictions"]
    assert {(one["arm"], one["version"], one["value"]) for one in told} == {
        ("champion", 1, 1400.0),
        ("challenger", 2, 2800.0),
    }


LIGHT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"polars", "pyarrow", "deltalake", "onnx", "sklearn", "pandas", "lightgbm"}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Blocked())
import loopwright.cli.serve, loopwright.serve.server, loopwright.predictions.reading, loopwright.predictions.labels
"""


def test_the_gateway_needs_nothing_that_trains_models_or_reads_tables() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
