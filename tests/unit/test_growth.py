"""Rows against those of the span before: of spans that are not equally long, by the time that they cover."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from loopwright.data.check import check
from loopwright.data.infer import infer
from loopwright.data.profile import Profile
from loopwright.data.schema import Column, Schema
from loopwright.data.statistics import describe
from loopwright.data.table import Table

START = datetime(2013, 1, 1, tzinfo=UTC)
LIMITED = Schema(
    columns=(Column(name="at", kind="time", missing=True),), time="at", least_growth=0.5, most_growth=2.0
)  # fmt: skip
TIMELESS = Schema(columns=(Column(name="at", kind="time", missing=True),), least_growth=0.5, most_growth=2.0)


def hourly(hours: int, each: int = 1, start: datetime = START) -> Profile:
    times = [start + timedelta(hours=at / each) for at in range(hours * each + 1)]
    return describe(pl.LazyFrame({"at": times})).profile()


def told(now: Profile, before: Profile, schema: Schema = LIMITED, *, equally_long: bool = False) -> dict[str, str]:
    found = check(now, schema, previous=before, equally_long=equally_long)
    return {one.kind: one.message for one in found if one.kind in ("rows shrank", "rows grew")}


def test_a_day_after_a_month_has_not_shrunk() -> None:
    assert told(hourly(24), hourly(720)) == told(hourly(720), hourly(24)) == {}


def test_a_day_that_brings_a_tenth_of_what_a_day_brought_has() -> None:
    found = told(hourly(24), hourly(720, each=10))
    assert list(found) == ["rows shrank"]
    assert (
        "0.10 times those of the span before by the hour (7,201 in about 720.1 hours, now 24.5)" in found["rows shrank"]
    )
    assert list(told(hourly(24, each=10), hourly(720))) == ["rows grew"]


def test_equally_long_spans_are_compared_row_by_row() -> None:
    assert "0.33 times the 721 of the span before" in told(hourly(240, each=1), hourly(240, each=3))["rows shrank"]
    few = hourly(24)  # a month of which only a day has rows
    assert told(few, hourly(720)) == {}
    assert list(told(few, hourly(720), equally_long=True)) == ["rows shrank"]


def test_a_time_that_is_wrong_makes_no_span_longer() -> None:
    times = [*(START + timedelta(hours=at) for at in range(720)), START + timedelta(days=20_000)]
    odd = describe(pl.LazyFrame({"at": times})).profile()
    assert told(odd, hourly(720)) == told(hourly(720), odd) == {}


@pytest.mark.parametrize("hours", [0, None])
def test_of_a_span_without_length_nothing_is_said(hours: int | None) -> None:
    now = hourly(0) if hours is not None else describe(pl.LazyFrame({"x": [1, 2]})).profile()
    assert told(now, hourly(720)) == {}


def test_without_a_time_rows_are_compared_where_the_schema_asks_for_it_alone() -> None:
    assert list(told(hourly(24), hourly(720), TIMELESS)) == ["rows shrank"]
    assert (infer(hourly(720)).least_growth, infer(hourly(720)).most_growth) == (None, None)
    timed = infer(hourly(720), Table("visits", key="id", time="at"))
    assert (timed.least_growth, timed.most_growth) == (0.2, 5.0)
