"""What an acceptance may do: widen a limit, in any order, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import polars as pl
import pytest

from loopwright.data.check import check
from loopwright.data.finding_kinds import finding
from loopwright.data.relax import accept, widened
from loopwright.data.schema import Check, Column, Schema, Share
from loopwright.data.statistics import describe
from loopwright.errors import UsageError

NOW = datetime(2013, 7, 1, tzinfo=UTC)
WHOLE = Column(
    name="k", kind="integer", missing=True, least=0, most=100, most_missing=0.2, least_present=50, least_distinct=5,
    most_distinct=50, drift=0.1, skew=0.1, drift_limits={"l_infinity": 0.1}, skew_limits={"l_infinity": 0.1},
)  # fmt: skip
TEXT = Column(
    name="t", kind="string", missing=False, values=("a", "b"), closed=True, most_outside=0.1, pattern="[a-z]+",
    shortest=1, longest=9, shares=(Share(value="a", least=0.2, most=0.6), Share(value="b")), absent_in=("serving",),
    tags=("pii",), accepted=("copies",),
)  # fmt: skip
MOMENT = Column(name="at", kind="time", missing=False, least="2013-01-01", most="2014-01-01", order="rising")
FLOAT = Column(name="x", kind="float", missing=False, nan=False, infinite=False)
SCHEMA = Schema(
    columns=(WHOLE, TEXT, MOMENT, FLOAT), key=("k",), time="at", label="t", least_rows=10, most_rows=100,
    least_growth=0.5, most_growth=2.0, checks=(Check(name="odd", expression="k > 0", most=0.1),),
)  # fmt: skip
CHECKS = 'checks = [{ name = "odd", expression = "k > 0", most = %s, severity = "error" }]'
SHARES = 'columns.t.shares = [{ value = "a", least = %s, most = %s }]'

WIDER: list[tuple[str, str, str, Any]] = [
    ("columns.k.least = -5", "columns.k.least = -9", "k.least", -9),
    ("columns.k.most = 130", "columns.k.most = 110", "k.most", 130),
    ("columns.k.most_missing = 0.3", "columns.k.most_missing = 0.9", "k.most_missing", 0.9),
    ("columns.k.least_present = 20", "columns.k.least_present = 10", "k.least_present", 10),
    ("columns.k.least_distinct = 4", "columns.k.least_distinct = 3", "k.least_distinct", 3),
    ("columns.k.most_distinct = 60", "columns.k.most_distinct = 70", "k.most_distinct", 70),
    ("columns.k.drift = 0.3", "columns.k.drift = 0.2", "k.drift", 0.3),
    ("columns.k.skew = 0.3", "columns.k.skew = 0.2", "k.skew", 0.3),
    ("columns.k.drift_limits = { l_infinity = 0.3 }", "columns.k.drift_limits = { l_infinity = 0.2 }",
     "k.drift_limits", {"l_infinity": 0.3}),
    ("columns.t.shortest = 0", "columns.t.shortest = 0", "t.shortest", 0),
    ("columns.t.longest = 12", "columns.t.longest = 10", "t.longest", 12),
    ("columns.t.most_outside = 0.3", "columns.t.most_outside = 0.2", "t.most_outside", 0.3),
    ('columns.t.values = ["a", "b", "c"]', 'columns.t.values = ["a", "b", "d"]', "t.values", ("a", "b", "c", "d")),
    (SHARES % (0.1, 0.6), SHARES % (0.2, 0.9), "t.shares", (Share(value="a", least=0.1, most=0.9), Share(value="b"))),
    ("columns.t.closed = false", "columns.t.closed = false", "t.closed", False),
    ("columns.t.absent_in = []", "columns.t.absent_in = []", "t.absent_in", ()),
    ('columns.t.accepted = ["constant"]', 'columns.t.accepted = ["mojibake"]', "t.accepted",
     ("constant", "copies", "mojibake")),
    ('columns.at.least = "2012-01-01"', 'columns.at.least = "2012-06-01T05:00:00Z"', "at.least", "2012-01-01"),
    ('columns.at.most = "2015-01-01"', 'columns.at.most = "2014-06-01"', "at.most", "2015-01-01"),
    ("columns.x.nan = true", "columns.x.nan = true", "x.nan", True),
    ("columns.x.required = false", "columns.x.required = false", "x.required", False),
    ("least_rows = 3", "least_rows = 5", "least_rows", 3),
    ("most_rows = 300", "most_rows = 500", "most_rows", 500),
    ("least_growth = 0.1", "least_growth = 0.2", "least_growth", 0.1),
    ("most_growth = 9.0", "most_growth = 3.0", "most_growth", 9.0),
    (CHECKS % 0.3, CHECKS % 0.2, "checks", (Check(name="odd", expression="k > 0", most=0.3),)),
    ('accepted = ["rows grew"]', 'accepted = ["no rows"]', "accepted", ("no rows", "rows grew")),
]  # fmt: skip


def accepted(schema: Schema, *lines: str) -> Schema:
    made = schema
    for line in lines:
        told = replace(finding("check failed", "", ""), accept=line)
        made = accept(made, told, who="ana", why="so it is", at=NOW, before=schema)
    return made


@pytest.mark.parametrize(("one", "other", "where", "expected"), WIDER, ids=[one[2] for one in WIDER])
def test_every_limit_becomes_the_wider_of_two_in_any_order(one: str, other: str, where: str, expected: Any) -> None:
    for order in permutations([one, other]):
        made = accepted(SCHEMA, *order)
        column, _, field = where.rpartition(".")
        assert getattr(made.column(column) if column else made, field) == expected
        assert [told.line for told in made.acceptances] == list(order)


REFUSED: list[tuple[str, str]] = [
    ("columns.k.most = 10", "allows more already: most = 100"),
    ("columns.k.least = 5", "allows more already: least = 0"),
    ("columns.x.most = 5", "allows more already"),
    ('columns.k.least = "x"', "least = 'x' is no number"),
    ("columns.at.most = 5", "most = 5 is no time"),
    ("columns.t.least = 5", "no limit of a string column"),
    ("columns.k.most_missing = 0.1", "allows more already"),
    ("columns.k.missing = false", "allows more already"),
    ("columns.x.drift = 0.01", "allows more already: drift = 0.05"),
    ("columns.x.drift = 5", "drift = 5 is no distance"),
    ('columns.k.drift_limits = { jensen_shannon = 0.5 }', "allows more already"),
    ('columns.t.shares = [{ value = "c", least = 0.1, most = 0.5 }]', "allows more already"),
    (SHARES % (0.3, 0.5), "allows more already"),
    ("columns.k.unique = true", "allows more already"),
    ('columns.x.absent_in = ["serving"]', "allows more already"),
    ('columns.t.pattern = "[a-z]{2}"', "pattern is no limit that can be widened"),
    ('columns.t.tags = ["never"]', "tags is no limit that can be widened"),
    ("columns.x.kind = \"integer\"", "kind = 'integer' is narrower"),
    ('columns.x.kind = "number"', "is not one of string"),
    ("columns.x.low = 3", "low is no limit"),
    ("columns.y.most = 3", "there is no column 'y'"),
    ("columns.x = 3", "no line of a schema"),
    ('label = "x"', "label is no limit"),
    ('never = ["x"]', "never is no limit"),
    ('key = ["x"]', "key is no limit"),
    ("time = \"x\"", "time is no limit"),
    ("format = 1", "format is no limit"),
    ('severity = { drift = "ignore" }', "severity is no limit"),
    ("least_rows = 20", "allows more already: least_rows = 10"),
    ("most_growth = 1.5", "allows more already: most_growth = 2.0"),
    (CHECKS % 0.05, "allows more already"),
    (CHECKS.replace("k > 0", "k > 1") % 0.5, "allows more already"),
    ('accepted = ["nonsense"]', "there is none"),
    ("leest_rows = 3", "did you mean 'least_rows'?"),
    ("nonsense", "no line of a schema"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "what"), REFUSED, ids=[one[0] for one in REFUSED])
def test_a_line_that_does_not_widen_is_refused_by_its_name(line: str, what: str) -> None:
    with pytest.raises(UsageError) as told:
        accepted(SCHEMA, line)
    assert str(told.value).startswith(f"{line} cannot be accepted: ")
    assert what in str(told.value)


def test_what_is_so_already_may_be_accepted_again() -> None:
    assert accepted(SCHEMA, "columns.k.most = 100", "columns.x.nan = false").columns == SCHEMA.columns


def test_lines_of_one_report_are_taken_in_any_order_where_the_type_changes_too() -> None:
    lines = ['columns.k.kind = "string"', "columns.k.most_missing = 0.5", "columns.k.least_distinct = 1"]
    schemas = {replace(accepted(SCHEMA, *order), acceptances=()).to_json() for order in permutations(lines)}
    assert len(schemas) == 1
    column = widened(SCHEMA, lines[0]).column("k")
    assert (column.kind, column.least, column.most_missing) == ("string", None, 0.2)


def told(column: Column, values: list[Any]) -> list[Any]:
    return check(describe(pl.LazyFrame({"x": values})).profile(), Schema(columns=(column,)))


def test_numbers_in_quotes_stay_accepted_when_a_few_more_are_none() -> None:
    march = [str(at % 700) for at in range(978)] + ["n/a"] * 22
    april = [str(at % 700) for at in range(946)] + ["n/a"] * 54
    for one, other in ((march, april), (april, march)):
        column = Column(name="x", kind="string", missing=False)
        [found] = [one for one in told(column, one) if one.kind in ("looks like another type", "mixed types")]
        wider = widened(Schema(columns=(column,)), found.accept).column("x")
        assert told(wider, one) == told(wider, other) == []


def test_whoever_accepts_texts_for_numbers_accepts_that_they_look_like_numbers() -> None:
    column = Column(name="x", kind="integer", missing=False)
    values = [str(at) for at in range(100)]
    [found] = told(column, values)
    assert found.kind == "wrong type"
    assert told(widened(Schema(columns=(column,)), found.accept).column("x"), values) == []


def test_lists_that_are_too_short_and_too_long_are_accepted_by_one_line() -> None:
    column = Column(name="x", kind="list", missing=False, shortest=3, longest=3)
    values = [[1, 2, 3], [1], [1, 2, 3, 4, 5]]
    [found] = told(column, values)
    assert (found.kind, found.accept) == ("wrong shape", "columns.x = { shortest = 1, longest = 5 }")
    assert told(widened(Schema(columns=(column,)), found.accept).column("x"), values) == []


def test_no_line_accepts_that_a_key_is_missing() -> None:
    schema = Schema(columns=(Column(name="x", kind="integer", missing=False),), key=("x",))
    [found] = check(describe(pl.LazyFrame({"x": [1, 2, None]})).profile(), schema)
    assert (found.kind, found.accept) == ("too many missing", "")
