"""Rows as Arrow, in and out: the same contract as JSON, and bodies that lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.serving import ROW, SCHEMA, Answered, Multiplier, Station, a_model

from loopwright.data.schema import Column, Schema
from loopwright.gateway import columns
from loopwright.gateway.decode import Decoded, Decoder
from loopwright.gateway.refused import Refused
from loopwright.predictions import columnar, journal
from loopwright.protocols import arrow

PREDICT = "/v1/loops/flights/predict"
MOMENT = datetime(2013, 1, 1, 5, 15, tzinfo=UTC)
ROWS = pa.table({"carrier": ["UA", None, "東"], "distance": [1400.0, 2.5, 3.0], "departure": [MOMENT] * 3})


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path, max_rows=10)
    made.promote(1)
    yield made
    made.close()


def stream(rows: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(rows)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def post(station: Station, rows: pa.Table | bytes, path: str = PREDICT) -> Answered:
    content = rows if isinstance(rows, bytes) else stream(rows)
    path, _, query = path.partition("?")
    station.client.query = query.encode()
    return station.client.post(path, content, content_type=arrow.TYPE)


def told(answered: Answered) -> pa.Table:
    assert answered.status == 200, answered.content
    assert answered.headers["content-type"] == arrow.TYPE
    return pa.ipc.open_stream(answered.content).read_all()


def recorded(station: Station, loop: str = "flights") -> list[tuple[Any, int, pa.RecordBatch]]:
    folder = station.workspace / journal.FOLDER / loop
    return [one for file in sorted(folder.glob("*.arrows")) for one in columnar.batches(file) if one is not None]


def test_columns_in_and_columns_out_each_row_with_its_id(station: Station) -> None:
    answers = told(post(station, ROWS))
    assert answers.column_names == ["id", "value"]
    assert answers["value"].to_pylist() == [1400.0, 2.5, 3.0]
    assert answers.schema.metadata == {b"loop": b"flights", b"version": b"1", b"arm": b"champion"}
    ids = answers["id"].to_pylist()
    assert [one[26:] for one in ids] == [".0", ".1", ".2"]
    ((facts, first, batch),) = recorded(station)
    assert (f"{facts.ulid}.0", facts.version, facts.arm, first) == (ids[0], 1, "champion", 0)
    names = [json.loads(name) for name in batch.schema.names]
    assert names == [["row", "carrier"], ["row", "distance"], ["row", "departure"], ["value", ""]]
    assert batch.column(0).to_pylist() == ["UA", None, "東"]


def test_a_classifier_gives_labels_and_a_column_a_class(station: Station) -> None:
    cases = (((False, True), pa.bool_()), ((0, 1), pa.int64()), (("no", "yes"), pa.string()))
    for number, (classes, kind) in enumerate(cases, 2):
        station.promote(number, Multiplier(1.0, classes=classes))
        answers = told(post(station, ROWS))
        names = [str(one).lower() for one in classes]
        assert answers.column_names == ["id", "label", *(f"probability_{name}" for name in names)]
        assert (answers["label"].type, answers["label"].to_pylist()) == (kind, [classes[0]] * 3)
        assert answers[f"probability_{names[1]}"].to_pylist() == pytest.approx([0.14, 0.00025, 0.0003])


FORMS = {
    "polars": lambda rows: pl.from_arrow(rows).to_arrow(compat_level=pl.CompatLevel.newest()),
    "dictionary": lambda rows: rows.set_column(0, "carrier", rows["carrier"].dictionary_encode()),
    "large": lambda rows: rows.set_column(0, "carrier", rows["carrier"].cast(pa.large_string())),
    "view": lambda rows: rows.set_column(0, "carrier", rows["carrier"].cast(pa.string_view())),
    "half": lambda rows: rows.set_column(1, "distance", rows["distance"].cast(pa.float16())),
    "single": lambda rows: rows.set_column(1, "distance", rows["distance"].cast(pa.float32())),
    "seconds": lambda rows: rows.set_column(2, "departure", rows["departure"].cast(pa.timestamp("s", "UTC"))),
    "nanoseconds": lambda rows: rows.set_column(2, "departure", rows["departure"].cast(pa.timestamp("ns", "UTC"))),
    "another zone": lambda rows: rows.set_column(
        2, "departure", rows["departure"].cast(pa.timestamp("ms", "America/New_York"))
    ),
    "times as text": lambda rows: rows.set_column(2, "departure", pa.array(["2013-01-01T05:15:00Z"] * 3)),
    "another order": lambda rows: rows.select(["departure", "carrier", "distance"]),
    "in batches": lambda rows: pa.concat_tables([rows.slice(0, 1), rows.slice(1)]),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_rows_in_another_form_are_the_same_feed(form: str) -> None:
    decoder = Decoder(SCHEMA)
    plain = columns.taken(decoder, arrow.read(stream(ROWS), 10))[0]
    found = columns.taken(decoder, arrow.read(stream(FORMS[form](ROWS)), 10))[0]
    for name, values in plain.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def test_columns_that_name_the_rows_come_along_into_the_journal(station: Station) -> None:
    post(station, ROWS.append_column("flight_id", pa.array([7, 8, 9])))
    ((_, _, batch),) = recorded(station)
    assert json.loads(batch.schema.names[3]) == ["key", "flight_id"]
    assert batch.column(3).to_pylist() == [7, 8, 9]


def test_a_unit_keeps_its_arm_and_a_version_may_be_pinned(station: Station) -> None:
    station.models["flights", 2] = a_model(2)
    station.table.put(("champion", 1, 0.5), ("challenger", 2, 0.5))
    station.gateway.refresh()
    arms = {told(post(station, ROWS, f"{PREDICT}?unit=u{n}")).schema.metadata[b"arm"] for n in range(20)}
    assert arms == {b"champion", b"challenger"}
    same = {told(post(station, ROWS, f"{PREDICT}?unit=u1")).schema.metadata[b"arm"] for _ in range(5)}
    assert len(same) == 1
    assert told(post(station, ROWS, f"{PREDICT}?version=2"))["value"].to_pylist() == [2800.0, 5.0, 6.0]
    assert post(station, ROWS, f"{PREDICT}?version=3").status == 404
    assert post(station, ROWS, f"{PREDICT}?version=x").status == 404
    assert post(station, ROWS, f"{PREDICT}?unit=" + "u" * 257).status == 422


def test_a_nan_is_a_value_that_is_not_known(station: Station) -> None:
    station.promote(
        2,
        schema=Schema(
            columns=(
                Column(name="distance", kind="float", missing=False),
                Column(name="wind", kind="float", missing=True),
            )
        ),
    )
    assert post(station, pa.table({"distance": [1.0, 2.0, 3.0], "wind": [1.0, float("nan"), None]})).status == 200
    ((_, _, batch),) = recorded(station)
    assert batch.column(1).to_pylist() == [1.0, None, None]
    answered = post(station, pa.table({"distance": [1.0, float("nan")], "wind": [1.0, 2.0]}))
    assert answered.json["problems"][0] | {"expected": ""} == {
        "row": 1,
        "column": "distance",
        "value": None,
        "expected": "",
    }


WRONG: list[tuple[pa.Table | bytes, int, str]] = [
    (b"", 400, "no Arrow stream"),
    (b"{}", 400, "no Arrow stream"),
    (stream(ROWS)[:-60], 400, "no Arrow stream"),
    (ROWS.slice(0, 0), 422, "no rows"),
    (pa.concat_tables([ROWS] * 4), 413, "more than 10 rows"),
    (pa.table({"carrier": pa.nulls(11)}), 413, "more than 10 rows"),
    (stream(ROWS, compression="zstd"), 415, "compressed"),
    (stream(ROWS, compression="lz4"), 415, "compressed"),
    (stream(ROWS.set_column(0, "carrier", ROWS["carrier"].dictionary_encode()), compression="lz4"), 415, "compressed"),
    (ROWS.append_column("more", pa.array([1, 2, 3])), 422, "no such column"),
    (ROWS.append_column("arr_time", pa.array([1, 2, 3])), 422, "never="),
    (ROWS.drop_columns(["distance"]), 422, "the column is left out"),
    (pa.Table.from_arrays([*ROWS.columns, ROWS["carrier"]], [*ROWS.column_names, "carrier"]), 422, "there twice"),
    (ROWS.set_column(1, "distance", pa.array(["1", "2", "3"])), 422, '"value":"1"'),
    (ROWS.set_column(1, "distance", pa.array([True, False, True])), 422, '"value":true'),
    (ROWS.set_column(1, "distance", pa.array([1.0, float("inf"), 1.0])), 422, '"row":1'),
    (ROWS.set_column(1, "distance", pa.array([1.0, 1e39, 1.0])), 422, "a number below"),
    (ROWS.set_column(1, "distance", pa.array([[1.0]] * 3)), 422, "has the type list"),
    (ROWS.set_column(0, "carrier", pa.array([1, 2, 3])), 422, '"value":1'),
    (ROWS.set_column(0, "carrier", pa.array([b"UA"] * 3)), 422, "has the type binary"),
    (ROWS.set_column(2, "departure", pa.array([10**14] * 3, pa.timestamp("s"))), 422, "a time like"),
    (ROWS.set_column(2, "departure", pa.array([MOMENT, None, MOMENT])), 422, "does not know null"),
    (ROWS.set_column(2, "departure", pa.array([1, 2, 3])), 422, "a time like"),
    (pa.table({}), 422, "no rows"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_what_is_no_rows_is_refused_and_not_recorded(station: Station, number: int) -> None:
    rows, status, what = WRONG[number]
    answered = post(station, rows)
    assert answered.status == status, answered.content
    assert what in answered.content.decode(), answered.content
    assert recorded(station) == []


def test_one_long_text_that_all_rows_refer_to_is_refused() -> None:
    long = "x" * (1 << 20)
    indices = pa.array(np.zeros(100, dtype=np.int32))
    _, view, data = pa.array([long]).cast(pa.string_view()).buffers()
    views = pa.py_buffer(view.to_pybytes()[:16] * 100)
    for carrier in (
        pa.DictionaryArray.from_arrays(indices, pa.array([long])),
        pa.Array.from_buffers(pa.string_view(), 100, [None, views, data]),
    ):
        rows = pa.table({"carrier": carrier, "distance": np.ones(100), "departure": [MOMENT] * 100})
        batch = arrow.read(stream(rows), 1000)
        with pytest.raises(Refused, match="have more than") as caught:
            columns.taken(Decoder(SCHEMA), batch)[0]
        assert caught.value.status == 413


def test_a_run_of_one_long_text_is_refused_by_its_type() -> None:
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([100], pa.int32()), pa.array(["x" * 1000]))
    rows = pa.table({"carrier": runs, "distance": np.ones(100), "departure": [MOMENT] * 100})
    with pytest.raises(Refused, match="has the type run_end_encoded"):
        columns.taken(Decoder(SCHEMA), arrow.read(stream(rows), 1000))[0]


VALUES: dict[str, Any] = {
    "string": st.one_of(st.none(), st.text(max_size=5)),
    "integer": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    "float": st.one_of(st.none(), st.floats(allow_nan=False)),
    "boolean": st.one_of(st.none(), st.booleans()),
    "time": st.one_of(st.none(), st.datetimes(timezones=st.just(UTC))),
}
TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("us", "UTC"),
}


@settings(deadline=None, max_examples=150)
@given(data=st.data(), missing=st.booleans(), count=st.integers(1, 4))
def test_arrow_and_json_have_one_contract(data: st.DataObject, missing: bool, count: int) -> None:
    """The same feed to the bit, or the same problems."""
    decoder = Decoder(Schema(columns=tuple(Column(name=kind, kind=kind, missing=missing) for kind in TYPES)))  # type: ignore[arg-type]
    rows = [{kind: data.draw(VALUES[kind]) for kind in TYPES} for _ in range(count)]
    table = pa.table({kind: pa.array([row[kind] for row in rows], TYPES[kind]) for kind in TYPES})
    plain = decoder.decode([row | {"time": row["time"] and row["time"].isoformat()} for row in rows])
    batch = arrow.read(stream(table), 10)
    if not isinstance(plain, Decoded):
        with pytest.raises(Refused) as caught:
            columns.taken(decoder, batch)[0]
        assert caught.value.problems == plain.listed
        return
    feed = columns.taken(decoder, batch)[0]
    for name, values in plain.feed.items():
        np.testing.assert_array_equal(feed[name], values)


def test_days_are_times() -> None:
    decoder = Decoder(Schema(columns=(Column(name="day", kind="time", missing=True),)))
    days = [date(1969, 12, 31), None, date(1, 1, 1), date(9999, 12, 31)]
    plain = decoder.decode([{"day": day and day.isoformat()} for day in days])
    assert isinstance(plain, Decoded)
    for kind in (pa.date32(), pa.date64()):
        feed = columns.taken(decoder, arrow.read(stream(pa.table({"day": pa.array(days, kind)})), 10))[0]
        np.testing.assert_array_equal(feed["day"], plain.feed["day"])


def test_a_body_with_a_bit_turned_is_refused_or_answered_but_never_fails(station: Station) -> None:
    """Every eighth bit of three bodies, one at a time."""
    for rows in (ROWS, FORMS["dictionary"](ROWS), FORMS["view"](ROWS)):
        content = stream(rows)
        for place in range(len(content)):
            turned = bytearray(content)
            turned[place] ^= 1 << place % 8
            status = post(station, bytes(turned)).status
            assert status in (200, 400, 413, 415, 422), (place, status)


def test_json_and_arrow_tell_the_same(station: Station) -> None:
    plain = station.client.post(PREDICT, {"row": ROW}).json["prediction"]
    assert told(post(station, ROWS.slice(0, 1)))["value"].to_pylist() == [plain["value"]]
