"""Labels that come later: by prediction or by key, the newest wins, joined to what was predicted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.unit.keyed import a_key, added
from tests.unit.serving import ROW, Multiplier, Station

from loopwright.core.access import Scope
from loopwright.gateway.refused import Refused
from loopwright.predictions import aside, joining, labels, reading
from loopwright.predictions.journal import Journal
from loopwright.protocols import arrow
from loopwright.protocols.label_bodies import Body, Told
from loopwright.protocols.labelling import Labelling

ID = "01KE7Z3W1C9N7V0QWJ4S8YH2TX.0"
MORNING = "2025-12-31T06:00:00Z"


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    made.promote(1, Multiplier(1.0, classes=(False, True)))
    yield made
    made.close()


def predict(station: Station, **beside: Any) -> str:
    answered = station.client.post("/v1/loops/flights/predict", {"row": ROW | beside})
    assert answered.status == 200, answered.content
    station.clock.advance(1)
    identity: str = answered.json["prediction"]["id"]
    return identity


def label(station: Station, *labels: dict[str, Any], **more: Any) -> Any:
    answered = station.client.post("/v1/labels", {"labels": list(labels), **more})
    station.clock.advance(1)
    return answered.json if answered.status == 200 else (answered.status, answered.json)


def test_a_label_finds_its_prediction_by_id(station: Station) -> None:
    first, second = predict(station), predict(station)
    assert label(station, {"prediction_id": first, "label": True}, origin="airline") == {
        "accepted": 1,
        "unknown": 0,
        "unmatched": 0,
    }
    found = reading.joined(station.workspace, "flights")
    assert found.select("id", "label", "label_origin").rows() == [(first, True, "airline"), (second, None, None)]
    assert found["labelled_at"].to_list()[0] > found["at"].to_list()[0]


def test_a_label_finds_its_prediction_by_key_also_when_it_came_first(station: Station) -> None:
    by_key = {"loop": "flights", "key": {"flight_id": 7}, "label": True}
    assert label(station, by_key) == {"accepted": 1, "unknown": 0, "unmatched": 1}
    seven, eight = predict(station, flight_id=7.0), predict(station, flight_id=8)
    found = reading.joined(station.workspace, "flights")
    assert dict(found.select("id", "label").iter_rows()) == {seven: True, eight: None}


def test_the_newest_label_wins_however_it_was_addressed(station: Station) -> None:
    one = predict(station, flight_id=7)
    label(station, {"prediction_id": one, "label": False})
    label(station, {"loop": "flights", "key": {"flight_id": 7}, "label": True})
    assert reading.joined(station.workspace, "flights")["label"].to_list() == [True]
    label(station, {"prediction_id": one, "label": False})
    assert reading.joined(station.workspace, "flights")["label"].to_list() == [False]


def test_of_two_labels_told_at_once_the_later_wins(station: Station) -> None:
    one = predict(station)
    label(station, {"prediction_id": one, "label": False}, {"prediction_id": one, "label": True})
    assert reading.joined(station.workspace, "flights")["label"].to_list() == [True]


def test_a_label_of_a_prediction_that_is_not_there_is_counted_as_unknown_and_kept_aside(station: Station) -> None:
    labels = [{"prediction_id": predict(station), "label": True}, {"prediction_id": ID, "label": True, "at": MORNING}]
    labels.append({"loop": "trains", "key": {"train": 1}, "label": True})
    assert label(station, *labels) == {"accepted": 1, "unknown": 2, "unmatched": 0}
    content = b"".join(file.read_bytes() for file in (station.workspace / "labels").rglob("*.jsonl"))
    assert ID.encode() not in content
    assert list(aside.waiting(station.workspace)) == [ID]
    assert not (station.workspace / "labels" / "trains").exists()


def test_a_label_of_a_prediction_that_is_not_there_waits_with_its_loop_where_that_is_said(station: Station) -> None:
    said = {"prediction_id": ID, "loop": "flights", "label": True}
    assert label(station, said) == {"accepted": 0, "unknown": 1, "unmatched": 0}
    assert labels.newest(station.workspace, "flights").of(ID, None) is not None
    assert aside.waiting(station.workspace) == {}


@pytest.mark.parametrize("loop", ["trains", "nobody"])
def test_a_label_said_to_be_of_another_loop_than_its_prediction_is_refused(station: Station, loop: str) -> None:
    one = predict(station)
    (station.workspace / "predictions" / "trains").mkdir()
    status, answer = label(station, {"prediction_id": one, "loop": loop, "label": True})
    assert (status, answer["problems"][0]["expected"]) == (422, f"a prediction of {loop}: it is one of flights")
    assert reading.joined(station.workspace, "flights")["label"].to_list() == [None]
    assert label(station, {"prediction_id": one, "loop": "flights", "label": True})["accepted"] == 1


@pytest.mark.parametrize("label_of", [{"label": float("nan")}, {"label": -float("inf")}, {"key": {"id": float("nan")}}])
def test_what_json_has_no_number_for_is_refused_and_not_lost(station: Station, label_of: dict[str, Any]) -> None:
    given: dict[str, Any] = {"label": True, "loop": "flights", "key": {"flight_id": 7}} | label_of
    told = Told(**given)
    journal = Journal(station.workspace / labels.FOLDER, station.clock)
    labelling = Labelling(workspace=station.workspace, journal=journal, gateway=station.gateway, clock=station.clock)
    with pytest.raises(Refused, match="does not fit what a label is"):
        labelling.take(Body(labels=[told]), lambda _: None)
    journal.close()


def test_who_is_for_some_loops_tells_nothing_of_predictions_that_are_not_there(station: Station) -> None:
    key = added(station.stores, a_key(Scope.LABEL, loops=("flights",)))
    station.guard.refresh()
    station.client.also = [(b"authorization", f"Bearer {key}".encode())]
    assert label(station, {"prediction_id": ID, "label": True})["unknown"] == 1
    assert aside.waiting(station.workspace) == {}
    said = {"prediction_id": ID, "loop": "flights", "label": True}
    assert label(station, said)["unknown"] == 1
    assert labels.newest(station.workspace, "flights").of(ID, None) is not None


def test_what_became_true_last_wins_in_whatever_order_it_is_told(station: Station) -> None:
    one = predict(station)
    label(station, {"prediction_id": one, "label": True, "at": "2025-12-31T12:00:00+01:00"})
    label(station, {"prediction_id": one, "label": False, "at": "2025-12-31T10:00:00"})
    found = reading.joined(station.workspace, "flights")
    assert found["label"].to_list() == [True]
    label(station, {"prediction_id": one, "label": False})  # true from now on
    assert reading.joined(station.workspace, "flights")["label"].to_list() == [False]


def test_an_outcome_is_any_number_beside_the_label(station: Station) -> None:
    one = predict(station)
    told = [{"prediction_id": one, "label": value, "outcome": "revenue"} for value in (12.5, 3, True)]
    assert label(station, *told, {"prediction_id": one, "label": True})["accepted"] == 4
    assert reading.joined(station.workspace, "flights")["label"].to_list() == [True]
    assert joining.joined(station.workspace, "flights", outcome="revenue")["label"].to_list() == [True]
    status, answer = label(station, {"prediction_id": one, "label": "much", "outcome": "revenue"})
    assert (status, answer["problems"][0]["column"]) == (422, "label")


def test_a_key_that_is_predicted_on_again_and_again_is_labelled_with_its_time(station: Station) -> None:
    for day in (1, 2):
        predict(station, flight_id=7, scheduled=f"2013-01-0{day}T05:00:00Z")
    by_day = {"loop": "flights", "key": {"flight_id": 7, "scheduled": "2013-01-02 05:00"}, "label": True}
    nobody = by_day | {"key": {"flight_id": 7, "scheduled": "2013-01-03 05:00"}}
    assert label(station, by_day, nobody) == {"accepted": 2, "unknown": 0, "unmatched": 1}
    assert reading.joined(station.workspace, "flights")["label"].to_list() == [None, True]


def test_very_many_labels_come_as_csv_or_as_an_arrow_stream(station: Station) -> None:
    one, two = predict(station, flight_id=7), predict(station, flight_id=8)
    text = f"prediction_id,label,at\n{one},TRUE,2025-12-31T00:00:00Z\n{two},false,\n".encode()
    answered = station.client.post("/v1/labels", text, content_type="text/csv; charset=utf-8")
    assert answered.json == {"accepted": 2, "unknown": 0, "unmatched": 0}
    assert reading.joined(station.workspace, "flights")["label"].to_list() == [True, False]
    station.client.query = b"loop=flights&origin=books&outcome=revenue"
    answered = station.client.post("/v1/labels", b"flight_id,label\n7,12.5\n8,3\n9,1e2\n", content_type="text/csv")
    assert answered.json == {"accepted": 3, "unknown": 0, "unmatched": 1}
    revenue = joining.joined(station.workspace, "flights", outcome="revenue")
    assert revenue.select("label", "label_origin").rows() == [(12.5, "books"), (3.0, "books")]
    batch = pa.record_batch({"key.flight_id": [7.0, 8.0], "label": [1, 2]})
    answered = station.client.post("/v1/labels", arrow.written(batch), content_type=arrow.TYPE)
    assert answered.json == {"accepted": 2, "unknown": 0, "unmatched": 0}
    station.clock.advance(1)
    assert joining.joined(station.workspace, "flights", outcome="revenue")["label"].to_list() == [1, 2]


def test_text_stays_text_where_the_classes_are_text(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.promote(1, Multiplier(1.0, classes=("1", "true")))
    text = f"prediction_id,label\n{predict(station)},1\n{predict(station)},true\n".encode()
    assert station.client.post("/v1/labels", text, content_type="text/csv").json["accepted"] == 2
    assert reading.joined(tmp_path, "flights")["label"].to_list() == ["1", "true"]
    station.close()


UNFIT = [
    (b"id,value\n1,2\n", 422),
    (b"prediction_id,label\n" + b"x,1,2\n", 422),
    (b"prediction_id,label\n\xff,1\n", 400),
    (b"prediction_id,label\n,true\n", 422),
    (b"prediction_id,label,at\n01KE7Z3W1C9N7V0QWJ4S8YH2TX.0,true,yesterday\n", 422),
    (b"prediction_id,label\n01KE7Z3W1C9N7V0QWJ4S8YH2TX.0,\n", 422),
    (b"prediction_id,label,label\n01KE7Z3W1C9N7V0QWJ4S8YH2TX.0,1,2\n", 422),
    (b'label\n"', 400),
]


@pytest.mark.parametrize(("content", "status"), UNFIT, ids=range(len(UNFIT)))
def test_rows_that_are_no_labels_are_refused(station: Station, content: bytes, status: int) -> None:
    answered = station.client.post("/v1/labels", content, content_type="text/csv")
    assert answered.status == status, answered.content


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"prediction_id": "nonsense", "label": True}, "prediction_id"),
    ({"prediction_id": ID, "label": None}, "label"),
    ({"prediction_id": ID, "label": [1]}, "label"),
    ({"loop": "flights", "key": {"flight_id": 7}, "label": "late"}, "label"),
    ({"loop": "flights", "key": {"flight_id": 7}, "label": 1}, "label"),
    ({"loop": "flights", "key": {"flight": 7}, "label": True}, "key"),
    ({"loop": "flights", "key": {}, "label": True}, "key"),
    ({"loop": "flights", "key": {"flight_id": [7]}, "label": True}, "key"),
    ({"key": {"flight_id": 7}, "label": True}, "loop"),
    ({"prediction_id": ID, "label": True, "outcome": "Revenue!"}, "outcome"),
    ({"prediction_id": ID, "label": True, "at": "2031-01-01T00:00:00Z"}, "at"),
    ({"prediction_id": ID, "label": True, "at": "0001-01-01T00:00:00+10:00"}, "at"),
    ({"prediction_id": ID, "label": True, "at": "tomorrow"}, "at"),
]


@pytest.mark.parametrize(("wrong", "column"), WRONG)
def test_a_label_that_cannot_be_one_refuses_the_whole_request(
    station: Station, wrong: dict[str, Any], column: str
) -> None:
    good = {"prediction_id": predict(station), "label": True}
    status, answer = label(station, good, wrong)
    assert status == 422
    assert [(one["row"], one["column"]) for one in answer["problems"]] == [(1, column)]
    assert reading.joined(station.workspace, "flights")["label"].to_list() == [None]


def test_a_label_with_neither_id_nor_key_is_refused(station: Station) -> None:
    status, answer = label(station, {"label": True})
    assert (status, answer["problems"][0]["expected"]) == (422, "either prediction_id, or loop and key")


def test_a_class_that_is_new_is_taken_for_the_world_may_have_it(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.promote(1, Multiplier(1.0, classes=("on time", "late")))
    assert label(station, {"prediction_id": predict(station), "label": "cancelled"}) == {
        "accepted": 1,
        "unknown": 0,
        "unmatched": 0,
    }
    station.close()


def test_whole_numbers_are_taken_for_the_classes_that_a_table_held_as_floats(tmp_path: Path) -> None:
    station = Station(tmp_path)
    station.promote(1, Multiplier(1.0, classes=(0, 1)))
    one = predict(station)
    assert label(station, {"prediction_id": one, "label": 1.0}) == {"accepted": 1, "unknown": 0, "unmatched": 0}
    assert reading.joined(tmp_path, "flights")["label"].to_list() == [1]
    for wrong in (0.5, True, "1"):
        assert label(station, {"prediction_id": one, "label": wrong})[0] == 422
    station.close()


@pytest.mark.parametrize("wrong", ["7", True])
def test_a_key_of_another_kind_than_the_predictions_have_is_refused(station: Station, wrong: Any) -> None:
    by_key = {"loop": "flights", "key": {"flight_id": wrong}, "label": True}
    assert label(station, by_key)["accepted"] == 1  # nothing is known of the key yet
    predict(station, flight_id=7)
    status, answer = label(station, by_key)
    assert (status, answer["problems"][0]["column"]) == (422, "key")
    assert "a number, as flight_id is in the newest predictions" in answer["problems"][0]["expected"]
    assert label(station, by_key | {"key": {"flight_id": 8.0}})["accepted"] == 1
    predict(station, flight_id="8")
    assert label(station, by_key)["accepted"] == 1  # of mixed kinds any may be right


def test_keys_that_no_prediction_has_yet_are_counted(station: Station) -> None:
    def by_key(*flights: float) -> list[dict[str, Any]]:
        return [{"loop": "flights", "key": {"flight_id": one}, "label": True} for one in flights]

    one = predict(station, flight_id=7)
    assert label(station, *by_key(7, 7.0, 8), {"prediction_id": one, "label": True})["unmatched"] == 1
    predict(station, flight_id=8, scheduled="2013-01-01")
    assert label(station, *by_key(7, 8, 9, 10))["unmatched"] == 2
    again = Station(station.workspace)
    again.promote(1, Multiplier(1.0, classes=(False, True)))
    assert label(again, *by_key(7, 8, 9)) == {"accepted": 3, "unknown": 0, "unmatched": 1}
    again.close()


def test_more_labels_than_may_come_at_once_are_refused(tmp_path: Path) -> None:
    station = Station(tmp_path, max_rows=2)
    station.promote(1, Multiplier(1.0, classes=(False, True)))
    by_key = {"loop": "flights", "key": {"flight_id": 7}, "label": True}
    assert label(station, by_key, by_key)["accepted"] == 2
    status, answer = label(station, by_key, by_key, by_key)
    assert (status, answer["error"]["what"]) == (413, "the body has more than 2 labels")
    station.close()


def test_of_very_many_wrong_labels_the_first_are_told(station: Station) -> None:
    status, answer = label(station, *[{"label": True}] * 150)
    assert (status, len(answer["problems"])) == (422, 100)
    assert answer["error"]["what"] == "at least 100 values do not fit what a label is"


def test_labels_of_a_loop_that_is_no_longer_served_are_taken(station: Station, tmp_path: Path) -> None:
    one = predict(station)
    again = Station(tmp_path)
    assert label(again, {"prediction_id": one, "label": True}) == {"accepted": 1, "unknown": 0, "unmatched": 0}
    again.close()
