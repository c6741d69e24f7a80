"""Rows as the graph takes them, and what is told of those that do not fit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from loopwright.data.schema import Column, Kind, Schema
from loopwright.gateway.decode import LISTED, Decoded, Decoder, Problem, Problems
from loopwright.gateway.example import example
from loopwright.transform.columns import MISSING_TIME

NAN = float("nan")


def of(kind: Kind, *, missing: bool = False, name: str = "c") -> Decoder:
    return Decoder(Schema(columns=(Column(name=name, kind=kind, missing=missing),)))


def fed(decoder: Decoder, value: Any) -> Any:
    decoded = decoder.decode([{"c": value}])
    assert isinstance(decoded, Decoded), decoded
    assert decoded.feed["c"].shape == (1, 1)
    return decoded.feed["c"][0, 0]


def problems(decoder: Decoder, *rows: Any) -> tuple[Problem, ...]:
    found = decoder.decode(list(rows))
    assert isinstance(found, Problems), found
    return found.listed


GOOD: list[tuple[Kind, Any, Any]] = [
    ("string", "UA", "UA"),
    ("string", "", ""),
    ("string", "東京 \u0000", "東京 \u0000"),
    ("integer", 3, 3.0),
    ("integer", -3, -3.0),
    ("integer", 3.0, 3.0),
    ("integer", 2**24 + 1, 2.0**24),
    ("integer", -(2**63), -(2.0**63)),
    ("float", 1.5, 1.5),
    ("float", 2, 2.0),
    ("float", 0.1, np.float32(0.1)),
    ("boolean", True, 1.0),
    ("boolean", False, 0.0),
    ("time", "1970-01-01T00:00:01Z", 1_000_000),
    ("time", "1970-01-01t00:00:01z", 1_000_000),
    ("time", "1970-01-01 00:00:01", 1_000_000),
    ("time", "1970-01-01T01:00:00+01:00", 0),
    ("time", "1969-12-31T23:59:59.999999Z", -1),
    ("time", "9999-12-31T23:59:59.999999Z", 253402300799999999),
    ("time", "0001-01-01T00:00:00Z", -62135596800000000),
    ("time", "1970-01-01T00:00:00.000001999Z", 1),
    ("time", "1970-01-02", 86_400_000_000),
]
BAD: list[tuple[Kind, Any, str]] = [
    ("string", 3, "text"),
    ("string", True, "text"),
    ("integer", "3", "a whole number"),
    ("integer", True, "a whole number"),
    ("integer", 3.5, "a whole number"),
    ("integer", 1e19, "a whole number below 9.22337e+18"),
    ("float", "1.5", "a number"),
    ("float", False, "a number"),
    ("float", 1e39, "a number below 3.40282e+38"),
    ("boolean", 1, "true or false"),
    ("boolean", 0.0, "true or false"),
    ("boolean", "true", "true or false"),
    ("time", 1_357_000_000, 'a time like "2026-01-31T13:45:00Z"'),
    ("time", "tomorrow", 'a time like "2026-01-31T13:45:00Z"'),
    ("time", "2013-02-30T00:00:00Z", 'a time like "2026-01-31T13:45:00Z"'),
    ("time", "2013-01-01T24:61:00Z", 'a time like "2026-01-31T13:45:00Z"'),
    ("time", "2013-W01-1", 'a time like "2026-01-31T13:45:00Z"'),
    ("time", "20130101", 'a time like "2026-01-31T13:45:00Z"'),
    ("time", "9999-12-31T23:59:59-12:00", 'a time like "2026-01-31T13:45:00Z"'),  # of the year 10000 in UTC
    ("time", "0001-01-01T00:00:00+14:00", 'a time like "2026-01-31T13:45:00Z"'),
]


@pytest.mark.parametrize(("kind", "value", "expected"), GOOD)
def test_a_value_of_its_type_enters_the_graph(kind: Kind, value: Any, expected: Any) -> None:
    assert fed(of(kind), value) == expected


@pytest.mark.parametrize(("kind", "value", "expected"), BAD)
def test_a_value_of_another_type_is_told_and_not_converted(kind: Kind, value: Any, expected: str) -> None:
    assert problems(of(kind), {"c": value}) == (Problem(0, "c", value, expected),)


@pytest.mark.parametrize(
    ("kind", "hole"), [("string", ""), ("integer", NAN), ("float", NAN), ("boolean", NAN), ("time", MISSING_TIME)]
)
def test_null_enters_only_where_training_saw_some_missing(kind: Kind, hole: Any) -> None:
    found = fed(of(kind, missing=True), None)
    assert found == hole or (np.isnan(found) and np.isnan(hole))
    (told,) = problems(of(kind), {"c": None})
    assert told.value is None
    assert told.expected.endswith("the training data had none missing, so the model does not know null")


@pytest.mark.parametrize(("kind", "dtype"), [("string", object), ("float", np.float32), ("time", np.int64)])
def test_arrays_are_of_the_type_the_graph_takes(kind: Kind, dtype: Any) -> None:
    decoded = of(kind, missing=True).decode([{"c": None}, {"c": None}])
    assert isinstance(decoded, Decoded)
    assert decoded.feed["c"].dtype == dtype
    assert decoded.feed["c"].shape == (2, 1)


def test_a_column_called_like_an_output_enters_under_the_name_it_has_in_the_graph() -> None:
    decoded = of("float", name="value").decode([{"value": 1}])
    assert isinstance(decoded, Decoded)
    assert list(decoded.feed) == ["column:value"]


def test_a_column_left_out_is_told_and_null_offered_where_it_is_known() -> None:
    assert problems(of("float"), {})[0].expected == "a number; the column is left out: send it"
    (told,) = problems(of("float", missing=True), {})
    assert told.expected == "a number; the column is left out: send it or, where it is not known, null"


ROLES = Schema(
    columns=(Column(name="carrier", kind="string", missing=False), Column(name="day", kind="time", missing=False)),
    key=("flight_id", "day"),
    time="scheduled",
    label="late",
    never=("arr_time",),
)
FITS = {"carrier": "UA", "day": "2013-01-01"}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("carier", "no such column; did you mean 'carrier'?"),
        ("zzz", "no such column; known: carrier, day, flight_id, scheduled"),
        ("arr_time", "nothing: the column is not known when a prediction is made (never=), so do not send it"),
        ("late", "nothing: this is what is predicted; send it to /v1/labels once it is known"),
    ],
)
def test_a_column_that_the_model_does_not_take_is_told(column: str, expected: str) -> None:
    assert problems(Decoder(ROLES), FITS | {column: 1}) == (Problem(0, column, 1, expected),)


def test_key_and_time_may_come_along_and_are_kept_apart() -> None:
    decoded = Decoder(ROLES).decode([FITS | {"flight_id": 7, "scheduled": "2013-01-01T05:00:00Z"}, FITS])
    assert isinstance(decoded, Decoded)
    assert list(decoded.feed) == ["carrier", "day"]
    assert list(decoded.rows) == [FITS, FITS]
    assert decoded.keys[0] == {"flight_id": 7, "day": "2013-01-01", "scheduled": "2013-01-01T05:00:00Z"}
    assert decoded.keys[1] == {"day": "2013-01-01"}


def test_a_key_of_structures_is_refused() -> None:
    (told,) = problems(Decoder(ROLES), FITS | {"flight_id": [7]})
    assert (told.column, told.value) == ("flight_id", "an array")


@pytest.mark.parametrize(("row", "value"), [([1], "an array"), ("UA", "UA"), (None, None), (3, 3)])
def test_a_row_that_is_no_object_is_told_once(row: Any, value: Any) -> None:
    told = problems(Decoder(ROLES), FITS, row)
    assert told == (Problem(1, None, value, "an object with a value for each column"),)


def test_all_problems_come_at_once_in_the_order_of_the_rows() -> None:
    told = problems(Decoder(ROLES), {"carrier": 3, "day": 4}, FITS, {"carrier": 5, "day": "2013-01-01"})
    assert [(one.row, one.column) for one in told] == [(0, "carrier"), (0, "day"), (2, "carrier")]


def test_rows_keep_the_numbers_they_came_with() -> None:
    found = of("float").decode([{"c": "x"}, {"c": 1}, {"c": "y"}], numbers=[4, 7, 9])
    assert isinstance(found, Problems)
    assert [one.row for one in found.listed] == [4, 9]


@pytest.mark.parametrize(("rows", "is_all"), [(LISTED - 1, True), (LISTED, True), (LISTED + 1, False), (5000, False)])
def test_no_more_problems_are_looked_for_than_are_listed(rows: int, is_all: bool) -> None:
    found = of("float").decode([{"c": "x"}] * rows)
    assert isinstance(found, Problems)
    assert (len(found.listed), found.is_all) == (min(rows, LISTED), is_all)


def test_what_is_told_back_is_short_and_can_be_written_as_json() -> None:
    for value in ("x" * 10_000, {"deep": [1]}, 10**400):
        (told,) = problems(of("boolean"), {"c": value})
        assert len(json.dumps(told.value)) < 120
    name = "x" * 10_000
    assert len(problems(of("boolean"), {"c": True, name: 1})[0].column or "") == 100


def test_many_unknown_columns_cost_no_search_beyond_those_listed() -> None:
    found = of("float").decode([{f"column-{number}": 1 for number in range(50_000)}])
    assert isinstance(found, Problems)
    assert (len(found.listed), found.is_all) == (LISTED, False)


@pytest.mark.parametrize("kind", ["string", "integer", "float", "boolean", "time"])
@pytest.mark.parametrize("low", [None, 3.7, "2013-01-01T05:00:00Z", "not a time"])
def test_the_example_of_a_schema_fits_it(kind: Kind, low: Any) -> None:
    schema = Schema(columns=(Column(name="c", kind=kind, missing=False, low=low),))
    assert isinstance(Decoder(schema).decode([example(schema)]), Decoded)
