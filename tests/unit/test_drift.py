"""Whether columns moved: one verdict a column, with error control."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from bench.drift import false_alarms, flights_found, found

from loopwright.data.drift import drift
from loopwright.data.drifted import Drift, Standing
from loopwright.data.profile import Profile
from loopwright.data.schema import Column, Schema
from loopwright.data.skew import skew
from loopwright.data.statistics import TableProfile
from loopwright.errors import DataError


def profiled(**columns: object) -> TableProfile:
    batch = pa.record_batch({name: pa.array(values) for name, values in columns.items()})
    made = TableProfile.of_schema(batch.schema)
    made.update(batch)
    return made


def normals(seed: int, rows: int, mean: float = 0.0) -> Profile:
    return profiled(x=np.random.default_rng(seed).normal(mean, 1, rows))


def shares(share: float, rows: int, name: str = "late") -> Profile:
    return profiled(**{name: np.arange(rows) < round(share * rows)})


@pytest.mark.parametrize(("rows", "windows"), [(100, 40), (1000, 20), (10_000, 5)])
def test_where_nothing_moved_nothing_is_told(rows: int, windows: int) -> None:
    """One suspicion is allowed for; `python -m bench --only drift` has the figures."""
    told = false_alarms(rows, windows, seed=3)
    assert told.alarmed == 0
    assert told.suspected <= 1


def test_a_small_window_beside_a_large_reference_alarms_no_more_often() -> None:
    told = false_alarms(100, 40, reference_rows=50_000, seed=4)
    assert told.alarmed == 0
    assert told.suspected <= 1


@pytest.mark.parametrize(
    ("kind", "amount", "rows"),
    [
        ("normal", 0.5, 1000),
        ("normal", 0.2, 10_000),
        ("wider", 1.25, 1000),
        ("share", 0.31, 2000),
        ("missing", 0.15, 1000),
        ("new", 0.03, 1000),
    ],
)
def test_what_moved_is_found(kind: str, amount: float, rows: int) -> None:
    assert found(kind, amount, rows, 4, reference_rows=50_000) >= 0.75


def test_what_is_not_worth_a_look_is_not_told_however_many_rows_show_it() -> None:
    answer = drift(normals(0, 300_000), normals(1, 300_000, mean=0.02)).column("x")
    assert answer.p < 1e-4
    assert answer.standing is Standing.STEADY


@pytest.mark.parametrize("rows", [1000, 5000])
def test_june_is_not_january_to_may(rows: int) -> None:
    for answer in flights_found(rows, 3, month=6):
        assert {"temp", "dewp"} <= {one.name for one in answer.drifted}
        assert answer.columns[0].name == "temp"
        assert not {"origin", "carrier", "hour"} & {one.name for one in answer.drifted}


def test_more_flights_are_late_in_june_and_5000_show_it() -> None:
    assert all("late" in {one.name for one in answer.drifted} for answer in flights_found(5000, 3, month=6))


@pytest.mark.parametrize(("rows", "windows"), [(100, 10), (1000, 8), (5000, 4)])
def test_flights_of_the_same_months_do_not_alarm(rows: int, windows: int) -> None:
    """Where a peer of default settings alarms in 6 of 8 windows of 100 rows."""
    assert not any(answer.drifted for answer in flights_found(rows, windows, month=None))


def test_a_hundred_flights_are_too_few_to_say_that_nothing_moved() -> None:
    for answer in flights_found(100, 5, month=None):
        assert {one.standing for one in answer.columns} <= {Standing.NOT_ENOUGH, Standing.NOT_COMPARED}
        assert answer.more_rows == 900


def test_one_window_is_a_suspicion_and_two_in_a_row_are_drift() -> None:
    reference, moved = shares(0.2, 2000), shares(0.4, 2000)
    first = drift(reference, moved)
    second = drift(reference, moved, previous=first)
    assert [first.standing, second.standing] == [Standing.SUSPECTED, Standing.DRIFTED]
    assert drift(reference, moved, previous=second).standing is Standing.DRIFTED
    calm = drift(reference, reference, previous=second)
    assert calm.standing is Standing.STEADY
    assert drift(reference, moved, previous=calm).standing is Standing.SUSPECTED


def test_few_rows_can_show_that_something_moved_and_not_that_nothing_did() -> None:
    reference = profiled(late=np.arange(5000) % 2 == 0, cold=np.arange(5000) % 2 == 0)
    current = profiled(late=np.arange(200) < 195, cold=np.arange(200) % 2 == 0)
    answer = drift(reference, current)
    assert answer.column("late").standing is Standing.SUSPECTED
    assert answer.column("cold").standing is Standing.NOT_ENOUGH
    assert answer.more_rows == 800
    assert "800 more rows are needed" in str(answer)


def test_no_rows_are_not_compared() -> None:
    empty = TableProfile({"late": "boolean"})
    reasons = [drift(*both).columns[0].reason for both in ((shares(0.5, 10), empty), (empty, shares(0.5, 10)))]
    assert reasons == ["there are no current rows", "there are no rows in the reference"]


def test_columns_that_are_not_on_both_sides_say_so() -> None:
    answer = drift(profiled(a=[1, 2], b=[1, 2], c=[1, 2]), profiled(a=["x", "y"], b=[1, 2], d=[1, 2]))
    assert {one.name: one.reason for one in answer.columns if one.reason} == {
        "a": "the reference has integer, the current rows string",
        "c": "there is no such column in the current rows",
        "d": "there is no such column in the reference",
    }


def test_texts_that_never_repeat_are_not_compared() -> None:
    answer = drift(*(profiled(id=[f"{side}{at}" for at in range(1000)]) for side in "ab"))
    assert answer.columns[0].reason == "no value is frequent enough to be compared"
    few = drift(*(profiled(id=[f"{side}{at}" for at in range(3)]) for side in "ab"))
    assert few.columns[0].reason == "no value is frequent enough to be compared"


def test_a_constant_stays_and_another_constant_has_moved() -> None:
    ones, twos = profiled(x=np.ones(2000)), profiled(x=np.full(2000, 2.0))
    assert drift(ones, ones).standing is Standing.STEADY
    moved = drift(ones, twos).column("x")
    assert moved.standing is Standing.SUSPECTED
    assert moved.distances["jensen_shannon"] == moved.distances["kolmogorov_smirnov"] == 1.0
    assert "wasserstein" not in moved.distances


def test_a_column_that_lost_all_its_values_has_moved() -> None:
    gone = pa.array([None] * 2000, type=pa.float64())
    moved = drift(normals(0, 2000), profiled(x=gone)).column("x")
    assert moved.standing is Standing.SUSPECTED
    assert moved.missing == (0.0, 1.0)
    assert moved.median is None


def test_what_only_moves_on_is_left_out_unless_asked_for() -> None:
    hour = 3_600_000_000
    spans = [
        profiled(
            at=pa.array(np.arange(2000) * hour + start, type=pa.timestamp("us", "UTC")), key=np.arange(2000) + start
        )
        for start in (0, 2000 * hour)
    ]
    schema = Schema(columns=(), key=("key",), time="at")
    assert [one.name for one in drift(*spans).columns] == ["key"]
    assert drift(*spans, schema=schema).columns == ()
    asked = drift(*spans, leave_out=())
    assert {one.name for one in asked.suspected} == {"at", "key"}
    assert asked.column("at").moved[0].value.startswith("19")


def test_a_schema_sets_its_own_limits_of_effect() -> None:
    schema = Schema(columns=(Column(name="late", kind="boolean", missing=False, drift=0.5, skew=0.01),))
    reference, current = shares(0.20, 50_000), shares(0.23, 50_000)
    assert drift(shares(0.2, 2000), shares(0.5, 2000), schema=schema).standing is Standing.STEADY
    assert drift(reference, current).standing is Standing.STEADY
    assert skew(reference, current, schema=schema).standing is Standing.SUSPECTED


def test_a_label_that_serving_does_not_have_is_no_skew() -> None:
    training = profiled(x=np.arange(2000) % 7, late=np.arange(2000) % 2 == 0)
    serving = profiled(x=np.arange(2000) % 7)
    schema = Schema(columns=(), label="late")
    assert [one.name for one in skew(training, serving, schema=schema).columns] == ["x"]
    assert skew(training, serving).column("late").standing is Standing.NOT_COMPARED


def test_columns_are_ranked_by_urgency_then_by_importance_times_effect() -> None:
    rows = np.arange(2000)
    reference = profiled(a=rows < 200, b=rows < 200, c=rows < 200)
    current = profiled(a=rows < 800, b=rows < 1200, c=rows < 200)
    assert [one.name for one in drift(reference, current).columns] == ["b", "a", "c"]
    weighed = drift(reference, current, importance={"a": 0.9, "b": 0.01, "c": 5.0})
    assert [one.name for one in weighed.columns] == ["a", "b", "c"]
    assert weighed.column("a").weight == pytest.approx(0.9 * weighed.column("a").effect)


def test_an_answer_survives_json_and_is_the_same_every_time() -> None:
    both = normals(0, 5000), normals(1, 5000, mean=1.0)
    answer = drift(*both, importance={"x": 0.3})
    assert Drift.from_json(answer.to_json()) == answer
    assert drift(*both, importance={"x": 0.3}).to_json() == answer.to_json()
    for broken in ("{}", "[]", "no", answer.to_json().replace('"format": 1', '"format": 9')):
        with pytest.raises(DataError):
            Drift.from_json(broken)


def test_an_answer_reads_as_what_moved_and_how() -> None:
    told = str(drift(shares(0.2, 2000), shares(0.5, 2000)))
    assert told.splitlines() == [
        "2,000 rows against 2,000: 1 suspected",
        "  late (boolean): suspected, effect 0.270; limit 0.050; 'false': 80.0% → 50.0%; 'true': 20.0% → 50.0%",
    ]
    with pytest.raises(LookupError):
        drift(shares(0.2, 2000), shares(0.5, 2000)).column("never")
