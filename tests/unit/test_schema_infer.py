"""Limits from what was seen: rows of the same kind keep them, others do not; ids and heavy tails have none."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from loopwright.data.check import check
from loopwright.data.findings import errors
from loopwright.data.infer import infer
from loopwright.data.profile import Profile
from loopwright.data.schema import Column, Schema
from loopwright.data.statistics import describe
from loopwright.data.table import Table
from loopwright.data.validate import contract
from loopwright.demo import flights
from loopwright.errors import DataError


def inferred(table: Table | None = None, **columns: Any) -> Schema:
    return infer(describe(pl.LazyFrame(columns)).profile(), table)


def of(values: Any, name: str = "x") -> Column:
    return inferred(**{name: values}).column(name)


DRAW = np.random.default_rng(11)


def test_what_was_never_missing_may_not_be_and_other_shares_have_room() -> None:
    assert of([1.0, 2.0]).most_missing == 0
    found = of([None if at % 10 == 0 else at for at in range(1000)])
    assert found.missing
    assert found.most_missing is not None
    assert 0.13 < found.most_missing < 0.2
    assert of([None, None]).most_missing == 1


def test_a_domain_is_closed_only_where_every_value_is_frequent() -> None:
    assert of(["a", "b"] * 5).closed
    assert not of(["a", "b"] * 5 + ["c"]).closed
    assert not of([str(at) for at in range(60)] * 10).closed
    assert of(["a", "b"] * 5 + ["c"]).values == ("a", "b", "c")


def test_light_tails_are_bounded_and_heavy_ones_are_not() -> None:
    assert (of(DRAW.uniform(0, 10, 5000)).least, of(DRAW.uniform(0, 10, 5000)).most) == (0.0, 15.0)
    assert of(DRAW.lognormal(0, 2, 5000)).most is None
    assert of(DRAW.lognormal(0, 2, 5000)).least == 0.0
    assert of(DRAW.uniform(0, 1, 5000)).most == 1.0
    assert of(DRAW.uniform(990, 1010, 5000)).least == 980.0
    assert of([7.0] * 500).most is None
    assert of(DRAW.uniform(0, 10, 50)).most is None


def test_an_id_has_no_limits() -> None:
    assert of(range(1000)).most is None
    assert of([at % 50 for at in range(1000)], "plane_id").most is None
    assert of([at % 50 for at in range(1000)]).most == 74
    assert not of(["a", "b"] * 50, "tail_id").closed


@pytest.mark.parametrize("kind", ["normal", "exponential", "uniform"])
def test_more_rows_of_the_same_kind_keep_the_limits(kind: str) -> None:
    """Of 300 rows, with ten thousand more each time."""
    broken = 0
    for seed in range(20):
        draw = np.random.default_rng(seed)
        profiles = [Profile({"x": "float"}) for _ in range(2)]
        for profile, rows in zip(profiles, (300, 10_000), strict=True):
            profile.update({"x": getattr(draw, kind)(size=rows)})
        broken += bool(check(profiles[1], infer(profiles[0])))
    assert broken <= 3


def test_the_table_gives_the_roles() -> None:
    table = Table("flights", key="id", time="at", label="late", never=["arrival"])
    columns = {"id": [1, 2], "at": [0, 1], "late": [True, False], "arrival": [3, 4]}
    frame = pl.LazyFrame(columns).with_columns(pl.col("at").cast(pl.Datetime("us")))
    schema = infer(describe(frame).profile(), table)
    assert schema.column("id").unique
    assert schema.column("at").order == "rising"
    assert (schema.column("late").absent_in, schema.column("arrival").absent_in) == (("serving",), ("serving",))
    assert schema.column("arrival").tags == ("never",)
    assert (schema.key, schema.time, schema.label, schema.never) == (("id",), "at", "late", ("arrival",))


def test_lists_of_one_length_have_a_shape() -> None:
    found = of([[1.0, 2.0, 3.0]] * 5)
    assert (found.shortest, found.longest) == (3, 3)
    assert of([[1.0], [1.0, 2.0]]).longest is None


def test_the_flights_of_june_keep_what_january_to_may_taught() -> None:
    """The weather is warmer and more are late: that is drift, and no wrong row."""
    table = Table("flights", key=flights.KEY, time=flights.TIME, label=flights.LABEL, never=list(flights.NEVER))
    winter = describe(flights.month(1).lazy()).profile()
    for month in (2, 3, 4, 5):
        winter.merge(describe(flights.month(month).lazy()).profile())
    june = describe(flights.month(6).lazy()).profile()
    schema = infer(winter, table)
    assert check(winter, schema) == []
    assert check(june, schema, previous=winter) == []


def test_the_contract_has_the_features_as_they_were_seen() -> None:
    table = Table("flights", key="id", label="late")
    rows = pl.LazyFrame({"id": [1, 2], "x": [1.5, None], "carrier": ["UA", "B6"], "late": [True, False]})
    statistics = describe(rows)
    found = contract(statistics, ["carrier", "x"], table)
    assert found.names == ("carrier", "x")
    assert [(one.missing, one.low, one.high) for one in found.columns] == [(False, None, None), (True, 1.5, 1.5)]
    assert (found.key, found.label) == (("id",), "late")
    declared = Schema(columns=(Column(name="x", kind="float", missing=False, most=3.0, unit="km"),))
    kept = contract(statistics, ["x"], table, declared).column("x")
    assert (kept.most, kept.unit, kept.missing) == (3.0, "km", True)
    serving = describe(pl.LazyFrame({"x": [1.5, 2.0], "carrier": ["UA", "B6"]})).profile()
    assert errors(check(serving, found, environment="serving")) == []


def test_lists_enter_no_contract() -> None:
    with pytest.raises(DataError, match="lists"):
        contract(describe(pl.LazyFrame({"x": [[1]], "late": [True]})), ["x"], Table("t", label="late"))
