"""The features: what they give, that they are proper estimators, and that graph and Python agree on everything."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skl2onnx import to_onnx  # type: ignore[import-untyped]
from skl2onnx.common.data_types import (  # type: ignore[import-untyped]
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.base import clone  # type: ignore[import-untyped]
from sklearn.compose import make_column_transformer  # type: ignore[import-untyped]
from sklearn.preprocessing import OneHotEncoder  # type: ignore[import-untyped]

from loopwright.errors import DeclarationError
from loopwright.transform.assembly import OPSET
from loopwright.transform.converters import register
from loopwright.transform.features import PARTS, Calendar, Cross, Distance, HashBuckets, Log1p, Ratio, bucket
from loopwright.transform.inputs import MISSING_TIME, Array

EXAMPLES = settings(max_examples=40, deadline=None)
FLOATS = st.floats(width=32, allow_infinity=False) | st.sampled_from([0.0, -0.0, 3.4028234663852886e38, 1e-45])
FIRST, LAST = datetime.min, datetime(9999, 12, 31)  # noqa: DTZ001, DTZ901
TEXTS = st.text(alphabet="ab|\\ é", max_size=3)
TYPES = {"f": FloatTensorType, "i": Int64TensorType, "O": StringTensorType}


def graph(feature: Any, values: Array) -> Any:
    register()
    kind = TYPES[values.dtype.kind]([None, values.shape[1]])
    model = to_onnx(feature, initial_types=[("x", kind)], target_opset=OPSET)
    assert {one.domain for one in model.opset_import} <= {"", "ai.onnx.ml"}
    return ort.InferenceSession(model.SerializeToString())


def run(session: Any, values: Array) -> Array:
    return np.asarray(session.run(None, {"x": values})[0])


CALENDAR = Calendar(*PARTS).fit(np.zeros((1, 1), np.int64))
CALENDAR_GRAPH = graph(CALENDAR, np.zeros((1, 1), np.int64))


@EXAMPLES
@given(
    st.lists(
        st.integers(-(2**63), 2**63 - 1)
        | st.sampled_from([MISSING_TIME, -1, 0, 2**63 - 1])
        | st.integers(-(10**15), 10**16),
        min_size=1,
    )
)
def test_the_calendar_of_the_graph_is_pythons(times: list[int]) -> None:
    values = np.array(times, dtype=np.int64).reshape(-1, 1)
    np.testing.assert_array_equal(run(CALENDAR_GRAPH, values), CALENDAR.transform(values))


@EXAMPLES
@given(st.datetimes(min_value=FIRST, max_value=LAST))
def test_the_calendar_is_the_standard_librarys(at: datetime) -> None:
    found = dict(zip(PARTS, CALENDAR.transform(pl.DataFrame({"at": [at]}))[0].tolist(), strict=True))
    day = at.timetuple()
    assert found == {
        "year": at.year,
        "quarter": (at.month + 2) // 3,
        "month": at.month,
        "day": at.day,
        "dayofyear": day.tm_yday,
        "weekday": at.weekday(),
        "is_weekend": at.weekday() >= 5,
        "hour": at.hour,
        "minute": at.minute,
        "second": at.second,
        "minute_of_day": at.hour * 60 + at.minute,
    }


def test_the_calendar_takes_every_frame_and_reads_it_as_utc() -> None:
    at = datetime(2024, 2, 29, 23, 30, tzinfo=UTC)
    frame = pl.DataFrame({"at": [at, None]})
    zoned = frame.with_columns(pl.col("at").dt.convert_time_zone("Asia/Tokyo"))
    calendar = Calendar("hour", "day").fit(frame)
    for rows in (frame, zoned, frame.to_pandas(), zoned.to_pandas(), frame.cast(pl.Datetime("ns", "UTC"))):
        np.testing.assert_array_equal(calendar.transform(rows), [[23, 29], [np.nan, np.nan]])
    assert Calendar("day").fit_transform(pl.DataFrame({"on": [date(1900, 2, 28) + timedelta(days=1)]})).tolist() == [
        [1]
    ]


@EXAMPLES
@given(st.lists(FLOATS, min_size=1))
def test_the_logarithm_of_the_graph_is_pythons(numbers: list[float]) -> None:
    values = np.array(numbers, dtype=np.float32).reshape(-1, 1)
    log = Log1p().fit(values)
    np.testing.assert_allclose(run(graph(log, values), values), log.transform(values), rtol=3e-7)


@EXAMPLES
@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1))
def test_the_ratio_of_the_graph_is_pythons(numbers: list[tuple[float, float]]) -> None:
    values = np.array(numbers, dtype=np.float32)
    ratio = Ratio().fit(values)
    assert not np.isinf(ratio.transform(values)).any()
    np.testing.assert_array_equal(run(graph(ratio, values), values), ratio.transform(values))


@EXAMPLES
@given(
    st.lists(
        st.tuples(*[st.floats(-lim, lim, width=32) | FLOATS for lim in (90, 180, 90, 180)]), min_size=1, max_size=20
    )
)
def test_the_distance_of_the_graph_is_pythons(points: list[tuple[float, ...]]) -> None:
    values = np.array(points, dtype=np.float32)
    distance = Distance().fit(values)
    found, expected = run(graph(distance, values), values), distance.transform(values)
    near = ~(expected > 19_900)
    np.testing.assert_allclose(found[near], expected[near], rtol=2e-5, atol=1e-30)
    np.testing.assert_allclose(found, expected, atol=5)


def test_a_distance_is_the_known_one() -> None:
    frame = pl.DataFrame({"a": [40.6413], "b": [-73.7781], "c": [33.9416], "d": [-118.4085]})
    assert Distance().fit_transform(frame)[0, 0] == pytest.approx(3974, abs=2)


@EXAMPLES
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1), st.lists(st.tuples(TEXTS, TEXTS), min_size=1))
def test_crosses_and_buckets_of_the_graph_are_pythons(seen: list[tuple[str, str]], new: list[tuple[str, str]]) -> None:
    known, rows = np.array(seen, dtype=object), np.array([*seen, *new], dtype=object)
    for feature in (Cross().fit(known), HashBuckets(7).fit(known)):
        assert run(graph(feature, known), rows).tolist() == feature.transform(rows).tolist()


def test_a_bucket_is_stable_and_says_what_is_unseen_or_missing() -> None:
    buckets = HashBuckets(16).fit(pl.DataFrame({"carrier": ["UA", "DL"]}))
    assert buckets.transform(pl.DataFrame({"carrier": ["UA", "DL", "XX", None]})).ravel().tolist() == [
        10,
        bucket("DL", 16),
        16,
        17,
    ]


ENCODERS = [
    OneHotEncoder(handle_unknown="ignore"),
    OneHotEncoder(handle_unknown="ignore", min_frequency=4),
    OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=4),
    OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2, drop="first"),
    OneHotEncoder(handle_unknown="ignore", drop="if_binary"),
]


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("encoder", ENCODERS)
def test_one_hot_columns_of_the_graph_are_pythons(encoder: Any) -> None:
    texts = np.array([*"aaaaabbbbbccd", ""], dtype=object).reshape(-1, 1)
    numbers = np.array([1.5] * 5 + [2] * 5 + [3, 3, 4, np.nan], dtype=np.float32).reshape(-1, 1)
    for values, unseen in ((texts, "zz"), (numbers, 9)):
        fitted = clone(encoder).fit(values)
        rows = np.concatenate([values, np.array([[unseen]], dtype=values.dtype)])
        np.testing.assert_array_equal(run(graph(fitted, values), rows), fitted.transform(rows).toarray())


@pytest.mark.parametrize(
    "feature", [Calendar("hour"), Log1p(), Cross(), HashBuckets(9), Distance(), Ratio()], ids=lambda one: repr(one)
)
def test_features_are_proper_estimators(feature: Any) -> None:
    copy = clone(feature)
    assert copy is not feature
    assert repr(copy) == repr(feature)
    assert copy.get_params() == feature.get_params()


def test_features_name_their_columns_and_work_in_a_column_transformer() -> None:
    frame = pl.DataFrame({"at": [datetime(2013, 1, 1, tzinfo=UTC)], "a": [1.0], "b": [2.0], "s": ["x"], "t": ["y"]})
    transformer = make_column_transformer(
        (Calendar("hour", "day"), ["at"]),
        (Ratio(), ["a", "b"]),
        (HashBuckets(3), ["s"]),
        verbose_feature_names_out=False,
    )
    for rows in (frame, frame.to_pandas()):
        found = clone(transformer).fit(rows)
        assert found.get_feature_names_out().tolist() == ["at_hour", "at_day", "a_per_b", "s"]
        assert found.transform(rows).tolist() == [[0, 1, 0.5, bucket("x", 3)]]


def test_what_makes_no_sense_is_refused_at_declaration_or_fit() -> None:
    with pytest.raises(DeclarationError, match="did you mean 'hour'"):
        Calendar("hours")
    with pytest.raises(DeclarationError, match="no parts"):
        Calendar()
    with pytest.raises(DeclarationError, match="two columns"):
        Ratio().fit(np.zeros((1, 3)))
    with pytest.raises(DeclarationError, match="not a string"):
        Cross().fit(pl.DataFrame({"a": [1], "b": [2]}))
