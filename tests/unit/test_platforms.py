"""The contracts of hosting platforms: what SageMaker, Vertex AI and clients of MLflow's scoring server send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.keyed import a_key, added
from tests.unit.serving import ROW, Multiplier, Station

from loopwright.core.access import Scope
from loopwright.data.schema import Column, Kind, Schema
from loopwright.errors import SettingsError
from loopwright.protocols.platforms import Platform

INVOKE = "/invocations"
NAMES, VALUES = list(ROW), list(ROW.values())
SECOND = ROW | {"carrier": None, "distance": 2.5}
OTHERS = list(SECOND.values())


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path, max_rows=10)
    made.promote(1)
    yield made
    made.close()


FORMS: list[tuple[str, Any]] = [
    ("split", {"dataframe_split": {"columns": NAMES, "data": [VALUES, OTHERS]}}),
    ("split with index", {"dataframe_split": {"index": [7, 8], "columns": NAMES, "data": [VALUES, OTHERS]}}),
    ("records", {"dataframe_records": [ROW, SECOND]}),
    ("inputs by column", {"inputs": {name: [ROW[name], SECOND[name]] for name in NAMES}}),
    ("inputs by row", {"inputs": [ROW, SECOND]}),
    ("inputs in order", {"inputs": [VALUES, OTHERS]}),
    ("instances", {"instances": [ROW, SECOND]}),
    ("instances in order", {"instances": [VALUES, OTHERS]}),
]  # fmt: skip


@pytest.mark.parametrize(("form", "body"), FORMS)
def test_every_form_of_mlflow_and_vertex_is_rows(station: Station, form: str, body: Any) -> None:
    answered = station.client.post(INVOKE, body, content_type="application/json; charset=utf-8")
    assert answered.status == 200, answered.content
    assert answered.json["predictions"] == [1400.0, 2.5]
    assert answered.json["prediction_ids"] == [line["id"] for line in station.lines()]
    assert [line["row"] for line in station.lines()] == [ROW, SECOND]


def test_one_row_may_come_as_an_object_of_its_values(station: Station) -> None:
    assert station.client.post(INVOKE, {"inputs": ROW}).json["predictions"] == [1400.0]


CSV = [
    "carrier,distance,departure\nUA,1400,2013-01-01T05:15:00Z\n,2.5,2013-01-01T05:15:00Z\n",
    "UA,1400,2013-01-01T05:15:00Z\r\n,2.5,2013-01-01T05:15:00Z",
    "\ufeffdistance,carrier,departure\n\n1400,UA,2013-01-01T05:15:00Z\n2.5,,2013-01-01T05:15:00Z\n",
    '"carrier","distance","departure"\n"UA","1400","2013-01-01T05:15:00Z"\n"","2.5","2013-01-01T05:15:00Z"\n',
]


@pytest.mark.parametrize("text", CSV)
def test_csv_comes_with_names_or_in_the_order_of_the_columns(station: Station, text: str) -> None:
    answered = station.client.post(INVOKE, text.encode(), content_type="text/csv")
    assert answered.json["predictions"] == [1400.0, 2.5], answered.content
    assert [line["row"]["carrier"] for line in station.lines()] == ["UA", None]


def test_every_kind_of_column_is_read_from_csv(station: Station) -> None:
    kinds: tuple[Kind, ...] = ("float", "integer", "boolean", "string", "time")
    schema = Schema(
        columns=(
            Column(name="distance", kind="float", missing=False),
            *(Column(name=kind, kind=kind, missing=True) for kind in kinds),
        ),
        key=("id",),
    )
    station.promote(2, schema=schema)
    text = (
        "id,distance,float,integer,boolean,string,time\nk1,1,1e3,-7,True,text,2013-01-01\nk2,1,,,,,\nk3,1,1,2.0,0,1,\n"
    )
    answered = station.client.post(INVOKE, text.encode(), content_type="text/csv")
    assert answered.status == 200, answered.content
    first, second, third = (line["row"] for line in station.lines())
    assert first == {
        "distance": 1,
        "float": 1000.0,
        "integer": -7,
        "boolean": True,
        "string": "text",
        "time": "2013-01-01",
    }
    assert set(second.values()) == {1, None}
    assert (third["integer"], third["boolean"], third["string"]) == (2.0, False, "1")
    assert [line["key"] for line in station.lines()] == [{"id": "k1"}, {"id": "k2"}, {"id": "k3"}]


@pytest.mark.parametrize("kind", ["application/jsonlines", "application/x-ndjson"])
def test_lines_of_json_are_rows(station: Station, kind: str) -> None:
    lines = b'{"carrier": "UA", "distance": 3, "departure": "2013-01-01"}\n\n' * 2
    assert station.client.post(INVOKE, lines, content_type=kind).json["predictions"] == [3.0, 3.0]


def test_who_accepts_csv_gets_it(station: Station) -> None:
    station.promote(2, Multiplier(1.0, classes=("no, thanks", "yes")))
    answered = station.client.post(INVOKE, {"instances": [ROW, ROW | {"distance": 9000}]}, accept="text/csv")
    assert answered.headers["content-type"].startswith("text/csv")
    assert answered.content == b'"no, thanks"\nyes\n'


@pytest.mark.parametrize("word", ["params", "parameters"])
def test_the_whole_prediction_is_told_to_who_asks(station: Station, word: str) -> None:
    station.promote(2, Multiplier(1.0, classes=("no", "yes")))
    body = {"instances": [ROW], word: {"full": True, "unit": "passenger-1"}}
    (told,) = station.client.post(INVOKE, body).json["predictions"]
    assert told.pop("probabilities") == pytest.approx({"no": 0.86, "yes": 0.14})
    (line,) = station.lines()
    assert told == {"id": line["id"], "version": 2, "arm": "champion", "label": "no"}
    assert line["unit"] == "passenger-1"


@pytest.mark.parametrize(
    ("body", "kind", "status", "told"),
    [
        ({}, "application/json", 422, "none of the forms"),
        ({"inputs": [ROW], "instances": [ROW]}, "application/json", 422, "both inputs and instances"),
        ({"instances": []}, "application/json", 422, "instances is empty"),
        ({"instances": [ROW] * 11}, "application/json", 413, "more than 10"),
        ({"instances": [[1, 2]]}, "application/json", 422, "row 0 has 2 values for the columns carrier"),
        ({"instances": [3]}, "application/json", 422, "not fit the model"),
        ({"instances": [ROW | {"distance": "1400"}]}, "application/json", 422, "not fit the model"),
        ({"inputs": {"carrier": ["UA"], "distance": [1, 2]}}, "application/json", 422, "different numbers of values"),
        ({"inputs": {"carrier": ["UA"], "distance": 1}}, "application/json", 422, "different numbers of values"),
        ({"dataframe_split": {"columns": ["carrier"], "data": [["UA", 1]]}}, "application/json", 422, "has 2 values"),
        ({"dataframe_split": {"columns": ["distance"] * 2, "data": [[1, 2]]}}, "application/json", 422, "column once"),
        ({"dataframe_split": {"columns": [], "data": []}}, "application/json", 422, "is empty"),
        ({"instances": [ROW], "parameters": {"unit": 7}}, "application/json", 422, "unit is no text"),
        (b'{"instances": [' + b"{}," * 999 + b"{}]}", "application/json", 413, "more than 10 instances"),
        (b"{", "application/json", 400, "no JSON"),
        (b"", "application/json", 400, "no JSON"),
        (b'{"params": {"a":' + b'{"a":' * 100_000, "application/json", 400, "nested too deeply"),
        (b"", "text/csv", 422, "has no rows"),
        (b"carrier,distance,departure\n", "text/csv", 422, "has no rows"),
        (b"carrier,distance\nUA\n", "text/csv", 422, "line 2 has 1 values"),
        (b"UA,far,2013-01-01\n", "text/csv", 422, "not fit the model"),
        (b"UA,8_0,2013-01-01\n", "text/csv", 422, "not fit the model"),
        ("UA,\u0663,2013-01-01\n".encode(), "text/csv", 422, "not fit the model"),
        (b"UA,8,9999-12-31T23:59:59-12:00\n", "text/csv", 422, "not fit the model"),
        (b"\xff\xfe", "text/csv", 400, "no CSV"),
        (b'"UA', "text/csv", 400, "no CSV"),
        (b"UA,1,2013-01-01\n" * 11, "text/csv", 413, "more than 10 rows"),
        (b"{}\n" * 11, "application/jsonlines", 413, "more than 10 rows"),
        (b"\n\n", "application/jsonlines", 422, "is empty"),
        (b"{}", "application/x-npy", 415, "is not read here"),
    ],
)  # fmt: skip
def test_what_is_no_rows_is_refused(station: Station, body: Any, kind: str, status: int, told: str) -> None:
    answered = station.client.post(INVOKE, body, content_type=kind)
    assert (answered.status, told in answered.json["error"]["what"] + str(answered.json)) == (status, True), (
        answered.json
    )
    assert station.lines() == []


def test_health_is_that_of_the_loop(tmp_path: Path) -> None:
    empty = Station(tmp_path)
    assert [empty.client.get(path).status for path in ("/ping", "/health")] == [503, 503]
    empty.promote(1)
    assert [empty.client.get(path).status for path in ("/ping", "/health")] == [200, 200]
    assert empty.client.get("/version").content.decode()[0].isdigit()
    empty.close()


def test_of_several_loops_the_setting_chooses(tmp_path: Path) -> None:
    for name, expected in (("", None), ("trains", 2800.0), ("boats", None)):
        several = Station(tmp_path / (name or "none"), platform=Platform(loop=name))
        several.promote(1)
        several.promote(2, loop="trains")
        answered = several.client.post(INVOKE, {"instances": [ROW]})
        if expected is None:
            assert answered.status == (404 if name else 503)
            assert several.client.get("/ping").status == 503
            assert name or "platform_loop" in answered.json["error"]["fix"]
        else:
            assert answered.json["predictions"] == [expected]
        several.close()


VERTEX = {
    "AIP_HEALTH_ROUTE": "/v1/endpoints/7/deployedModels/9",
    "AIP_PREDICT_ROUTE": "/v1/endpoints/7/deployedModels/9:predict",
}


def test_vertex_finds_its_routes(tmp_path: Path) -> None:
    station = Station(tmp_path, platform=Platform.of("", VERTEX))
    station.promote(1)
    assert station.client.get(VERTEX["AIP_HEALTH_ROUTE"]).status == 200
    answered = station.client.post(VERTEX["AIP_PREDICT_ROUTE"], {"instances": [ROW], "parameters": {"full": True}})
    assert [one["value"] for one in answered.json["predictions"]] == [1400.0]
    key = added(station.stores, a_key(Scope.VIEW))
    station.guard.refresh()
    assert station.client.get(VERTEX["AIP_HEALTH_ROUTE"]).status == 200
    assert station.client.post(VERTEX["AIP_PREDICT_ROUTE"], {}).status == 401
    assert station.client.post(VERTEX["AIP_PREDICT_ROUTE"], {}, authorization=f"Bearer {key}").status == 403
    station.close()


def test_a_key_for_one_loop_asks_for_no_other(tmp_path: Path) -> None:
    station = Station(tmp_path, platform=Platform(loop="flights"))
    station.promote(1)
    mine = added(station.stores, a_key(Scope.PREDICT, loops=["flights"]))
    other = added(station.stores, a_key(Scope.PREDICT, loops=["trains"], number=1))
    station.guard.refresh()
    for key, status in ((mine, 200), (other, 403)):
        assert station.client.post(INVOKE, {"instances": [ROW]}, authorization=f"Bearer {key}").status == status
    station.close()


def test_health_tells_nobody_which_loops_there_are(station: Station) -> None:
    station.promote(1, loop="trains")
    assert b"trains" in station.client.get("/ping").content
    added(station.stores, a_key(Scope.VIEW))
    station.guard.refresh()
    assert b"trains" not in station.client.get("/ping").content


@pytest.mark.parametrize(
    "environ", [{"AIP_HEALTH_ROUTE": "health"}, {"AIP_PREDICT_ROUTE": "/a{b}"}, {"AIP_PREDICT_ROUTE": "/a b"}]
)
def test_routes_that_are_no_paths_are_refused(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="is no path"):
        Platform.of("", environ)
