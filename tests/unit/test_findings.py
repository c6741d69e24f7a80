"""Every kind of finding has rows that raise it, and near misses that do not; what is accepted is not told again."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopwright.data import schema_file
from loopwright.data.check import check
from loopwright.data.drift import drift
from loopwright.data.examine import examine, overlap
from loopwright.data.finding_kinds import KINDS
from loopwright.data.findings import Finding, Severity, errors, report
from loopwright.data.infer import infer
from loopwright.data.leaks import leaks
from loopwright.data.relax import accept
from loopwright.data.schema import Check, Column, Schema, Share
from loopwright.data.seen import Seen
from loopwright.data.spans import plain_schema
from loopwright.data.statistics import describe
from loopwright.data.table import Table
from loopwright.data.validate import findings
from loopwright.errors import UsageError

NOW = datetime(2013, 7, 1, tzinfo=UTC)
START = datetime(2013, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Rows that raise a kind, and rows that all but do, under the same schema."""

    kind: str
    bad: dict[str, Any]
    good: dict[str, Any]
    column: Column | None = None
    schema: Schema | None = None
    before: dict[str, Any] | None = None
    good_before: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    environment: str = "training"
    name: str = ""

    def found(self, which: str, schema: Schema | None = None) -> list[Finding]:
        rows = pl.LazyFrame(self.bad if which == "bad" else self.good)
        before = self.good_before if which == "good" and self.good_before is not None else self.before
        wanted = schema or self.declared
        others: dict[str, Any] = {
            "previous": None if before is None else describe(pl.LazyFrame(before)).profile(),
            "training": None if self.training is None else describe(pl.LazyFrame(self.training)).profile(),
        }
        told = check(describe(rows).profile(), wanted, environment=self.environment, now=NOW, **others)
        return examine(rows, wanted, told)

    @property
    def declared(self) -> Schema:
        if self.schema is not None:
            return self.schema
        assert self.column is not None
        return Schema(columns=(self.column,))


def a(kind: Any, **limits: Any) -> Column:
    return Column(name="x", kind=kind, **{"missing": True, **limits})


def of(kind: str, column: Column, bad: list[Any], good: list[Any], **more: Any) -> Case:
    return Case(kind=kind, column=column, bad={"x": bad}, good={"x": good}, **more)


def whole(bad: dict[str, Any], good: dict[str, Any], kind: str, schema: Schema, **more: Any) -> Case:
    return Case(kind=kind, schema=schema, bad=bad, good=good, **more)


def moments(*microseconds: int) -> Any:
    return pl.Series(microseconds, dtype=pl.Datetime("us"))


def hours(count: int, gap_hours: int = 0, start: datetime = START) -> list[datetime]:
    return [start + timedelta(hours=at + (gap_hours if at > count // 2 else 0)) for at in range(count)]


DRAW = np.random.default_rng(5)
SEVENTHS = [at / 7 for at in range(20_000)]
MILES = DRAW.gamma(3, 300, 3000)
CELSIUS = DRAW.normal(15, 8, 3000)
TEXT, WHOLE, NUMBER, MOMENT, LIST = a("string"), a("integer"), a("float"), a("time"), a("list")
PAIR = (a("list"), replace(a("list"), name="y"))
TIMED = Schema(columns=(a("time", order="rising"),), time="x")
WEIGHTED = Schema(columns=(NUMBER,), weight="w")
KEYED = Schema(columns=(NUMBER,), key=("id",))
TWO = Schema(columns=(NUMBER, Column(name="y", kind="float", missing=False)))
CHECKED = Schema(columns=(NUMBER,), checks=(Check(name="big", expression="x > 1.5"),))

CASES = [
    whole({"x": []}, {"x": [1.5, 2.5]}, "no rows", Schema(columns=(NUMBER,))),
    whole({"x": [1.0, 2.0]}, {"x": [1.0, 2.0, 3.0]}, "too few rows", Schema(columns=(NUMBER,), least_rows=3)),
    whole({"x": [1.0, 2.0, 3.0]}, {"x": [1.0, 2.0]}, "too many rows", Schema(columns=(NUMBER,), most_rows=2)),
    Case(
        kind="rows shrank", schema=Schema(columns=(NUMBER,), least_growth=0.5), before={"x": [1.0, 2.0] * 5},
        bad={"x": [1.0, 2.0] * 2}, good={"x": [1.0, 2.0, 1.0, 2.0, 1.0]},
    ),
    Case(
        kind="rows grew", schema=Schema(columns=(NUMBER,), most_growth=2.0), before={"x": [1.0, 2.0]},
        bad={"x": [1.0, 2.0] * 3}, good={"x": [1.0, 2.0] * 2},
    ),
    Case(
        kind="comparison data missing", column=a("string", drift_limits={"l_infinity": 0.9}), bad={"x": ["a", "b"]},
        good={"x": ["a", "b"]}, good_before={"x": ["a", "b"]},
    ),
    whole({"x": [1.0, 2.0], "y": [1, 2]}, {"x": [1.0, 2.0]}, "new column", Schema(columns=(NUMBER,))),
    whole({"x": [1.0, 2.0]}, {"x": [1.0, 2.0], "y": [3.0, 1.0]}, "missing column", TWO),
    whole(
        {"x": [1.0, 2.0], "late": [True, False]}, {"x": [1.0, 2.0]}, "column not expected",
        Schema(columns=(NUMBER, Column(name="late", kind="boolean", missing=True, absent_in=("serving",)))),
        environment="serving",
    ),
    of("wrong type", WHOLE, ["1", "b"], [1, 2], name="text for numbers"),
    of("wrong type", a("boolean"), [1, 2], [True, False], name="numbers for booleans"),
    of("wrong type", WHOLE, [1.5, 2.0], [1, 2], name="fractions for whole numbers"),
    of("wrong type", NUMBER, [True, False], [1, 2], name="booleans for numbers, where whole ones do"),
    of("wrong type", MOMENT, ["2013-01-01", "2013-01-02"], hours(2), name="text for times"),
    of("wrong type", TEXT, [1, 2], ["a", None], name="numbers for text"),
    of("wrong type", LIST, [1, 2], [[1], [1, 2]], name="single values for lists"),
    of("unexpected repetition", NUMBER, [[1.0], [2.0, 3.0]], [1.0, 2.0]),
    of("looks like another type", TEXT, ["1.5", "2", "-3e4"], ["01234", "02139", "00501"]),
    of("looks like another type", TEXT, ["2013-01-01T05:00:00Z", "2013-01-02"], ["Jan 1", "Jan 2"], name="times"),
    of(
        "looks like another type", TEXT, ["yes", "no", "no"], ["yes", "no", "perhaps"] * 2 + ["maybe"] * 6,
        name="booleans",
    ),
    of("mixed types", TEXT, ["1", "2", "n/a", "-"], ["1", "n/a", "-", "?"]),
    whole(
        {"x": [1.0, 2.0], "y": [1.0, 2.0]}, {"x": [1.0, 2.0], "y": [1.0, 2.5]}, "copies", TWO,
    ),
    of("constant", NUMBER, [3.0, 3.0], [3.0, None]),
    of("near-constant", a("string"), ["a"] * 4999 + ["b"], ["a"] * 4990 + ["b"] * 10),
    of("near-constant", a("float"), [0.0] * 4999 + [1.5], [0.0] * 4990 + [1.5] * 10, name="zeros"),
    of("all missing", TEXT, [None, None], [None, "a"]),
    of("all missing", NUMBER, [float("nan")] * 2, [float("nan"), 1.0], name="not a number"),
    of("too many missing", a("float", most_missing=0.5), [None, None, 1.0], [None, 1.0]),
    of("too many missing", a("string", most_missing=0.0, missing=False), ["", "a"], [" ", "a"], name="empty texts"),
    of("too many missing", a("float", missing=False), [None, 1.0], [2.0, 1.0], name="none may"),
    of("too few values", a("float", least_present=2), [None, 1.0], [2.0, 1.0]),
    of("NaN", a("float", nan=False), [float("nan"), 1.0], [None, 1.0]),
    of("infinity", a("float", infinite=False), [float("-inf"), 1.0], [-1.7e308, 1.0]),
    of("value out of domain", a("string", values=("a", "b"), closed=True), ["a", "c"], ["a", "b"]),
    of(
        "value out of domain", a("string", values=("a", "b"), closed=True, most_outside=0.1), ["a", "c", "b"],
        ["a"] * 9 + ["c"], name="more than a share",
    ),
    of("number too small", a("integer", least=0), [-1, 5], [0, 5]),
    of("number too small", a("float", least=0.5), [0.4999, 5.0], [0.5, 5.0], name="of floats"),
    of("number too big", a("integer", most=24), [25, 5], [24, 5]),
    of("number too big", a("float", most=1.0), [1.0000001, 0.5], [1.0, 0.5], name="of floats"),
    of("time too early", a("time", least="2013-01-01"), hours(2, start=START - timedelta(hours=1)), hours(2)),
    of("time too late", a("time", most="2013-01-01T01:00:00Z"), hours(3), hours(2)),
    of(
        "time out of range", a("time"), moments(2**61, 0),
        moments(253_402_300_799_999_999, -62_135_596_800_000_000),
    ),
    of("text too short", a("string", shortest=2), ["ab", "c"], ["ab", "cd"]),
    of("text too long", a("string", longest=2), ["ab", "äöü"], ["ab", "äö"]),
    of("pattern not matched", a("string", pattern="[A-Z]{2}"), ["UA", "ua1"], ["UA", "DL"]),
    of("list too short", a("list", shortest=1), [[], [1, 2]], [[1], [1, 2]]),
    of("list too long", a("list", longest=2), [[1], [1, 2, 3]], [[1], [1, 2]]),
    of("wrong shape", a("list", shortest=3, longest=3), [[1, 2, 3], [1, 2]], [[1, 2, 3], [4, 5, 6]]),
    whole(
        {"x": [[1], [1, 2]], "y": [[1, 2], [1]]}, {"x": [[1], [1, 2]], "y": [[3], [3, 4]]}, "list lengths differ",
        Schema(columns=PAIR, same_length=(("x", "y"),)),
    ),
    of("too few distinct", a("string", least_distinct=3), ["a", "b"], ["a", "b", "c"]),
    of("too many distinct", a("string", most_distinct=2), ["a", "b", "c"], ["a", "b"]),
    of("not unique", a("integer", unique=True), [1, 2, 2], [1, 2, 3]),
    of(
        "not unique", a("float", unique=True), [*SEVENTHS, *SEVENTHS[:4000]], SEVENTHS,
        name="estimated",
    ),
    of("share too small", a("string", shares=(Share(value="a", least=0.5),)), ["a", "b", "c"], ["a", "b"]),
    of("share too large", a("string", shares=(Share(value="a", most=0.5),)), ["a", "a", "b"], ["a", "b"]),
    of(
        "share too large", a("boolean", shares=(Share(value="true", most=0.5),)), [True, True, False], [True, False],
        name="of booleans",
    ),
    Case(
        kind="goes back in time", schema=TIMED, before={"x": hours(50)},
        bad={"x": hours(50, start=START - timedelta(hours=1))}, good={"x": hours(50)},
    ),
    whole({"x": [1.0, 2.0]}, {"x": [1.0, 2.0], "w": [1, 2]}, "weights missing", WEIGHTED, name="no column"),
    whole({"x": [1.0, 2.0], "w": [1, None]}, {"x": [1.0, 2.0], "w": [1, 0]}, "weights missing", WEIGHTED),
    whole({"x": [1.0, 2.0], "w": [1, -1]}, {"x": [1.0, 2.0], "w": [1, 0]}, "weights mismatched", WEIGHTED),
    whole({"x": [1.0, 2.0], "w": [0, 0]}, {"x": [1.0, 2.0], "w": [1, 0]}, "weights mismatched", WEIGHTED, name="zeros"),
    Case(
        kind="differs from the last span", column=a("string", drift_limits={"l_infinity": 0.1}),
        before={"x": ["a"] * 50 + ["b"] * 50}, bad={"x": ["a"] * 65 + ["b"] * 35}, good={"x": ["a"] * 58 + ["b"] * 42},
    ),
    Case(
        kind="differs from training", column=a("float", skew_limits={"jensen_shannon": 0.1}), training={"x": MILES},
        bad={"x": MILES * 3}, good={"x": DRAW.gamma(3, 300, 3000)}, environment="serving",
    ),
    Case(
        kind="differs from training", column=a("boolean", skew_limits={"absolute_difference": 0.1}), name="missing",
        training={"x": [True, False] * 50}, bad={"x": [True, False, None] * 33}, good={"x": [True, False] * 40},
        environment="serving",
    ),
    Case(
        kind="unit jump", column=NUMBER, before={"x": MILES},
        bad={"x": DRAW.gamma(3, 300 * 1.609344, 20_000)}, good={"x": MILES * 1.3},
    ),
    Case(
        kind="unit jump", column=NUMBER, before={"x": MILES},
        bad={"x": MILES * 1000}, good={"x": MILES + 1000}, name="a thousand",
    ),
    Case(
        kind="unit jump", column=NUMBER, before={"x": CELSIUS},
        bad={"x": CELSIUS * 1.8 + 32}, good={"x": CELSIUS + 10}, name="Fahrenheit",
    ),
    whole({"x": [1.0, 2.0, 3.0], "id": [1, 2, 2]}, {"x": [1.0, 2.0, 2.0], "id": [1, 2, 3]}, "duplicate keys", KEYED),
    of("look-alike categories", TEXT, ["NYC ", "nyc", "LGA"], ["NYC", "NYO", "LGA"]),
    of("look-alike categories", TEXT, ["São Paulo", "Sao  paulo"], ["A-1", "A1"], name="accents"),
    of("invalid text", TEXT, ["caf\ufffd", "tea"], ["café", "tea"]),
    of("mojibake", TEXT, ["cafÃ©", "tea"], ["café", "ÂÊÎ"]),
    whole({"x": hours(9, start=NOW)}, {"x": hours(9, start=NOW - timedelta(hours=9))}, "rows from the future", TIMED),
    whole({"x": hours(1000, gap_hours=100)}, {"x": [t for t in hours(1000) if t.hour > 5]}, "gap in time", TIMED),
    of(
        "check failed", NUMBER, [1.0], [2.0], schema=CHECKED,
    ),
    whole(
        {"x": [1.0, 2.0, None]}, {"x": [2.0, 3.0, None]}, "check failed",
        CHECKED, name="some",
    ),
    whole(
        {"x": [1.0, 2.0]}, {"x": [1.0, 2.0]}, "schema contradicts itself",
        Schema(columns=(NUMBER,), checks=(Check(name="odd", expression="y > 1.5"),)), name="unknown column",
    ),
]  # fmt: skip
ONLY_BAD = {"unknown column"}
ELSEWHERE = {
    "drift", "leak", "no columns", "no labels", "one label", "train-test overlap", "domain does not fit the type",
}  # fmt: skip
"""Below, in test_leaks, or in test_loop."""


def kinds(found: list[Finding]) -> set[str]:
    return {one.kind for one in found}


def called(case: Case) -> str:
    return f"{case.kind} {case.name}".strip()


@pytest.mark.parametrize("case", CASES, ids=called)
def test_rows_with_the_damage_raise_the_finding(case: Case) -> None:
    found = [one for one in case.found("bad") if one.kind == case.kind]
    assert found
    assert all(one.message and one.fix and str(one) for one in found)
    assert found[0].severity is KINDS[case.kind][0]


@pytest.mark.parametrize("case", [one for one in CASES if one.name not in ONLY_BAD], ids=called)
def test_rows_that_all_but_have_it_do_not(case: Case) -> None:
    assert case.kind not in kinds(case.found("good"))


@pytest.mark.parametrize("case", CASES, ids=called)
def test_a_finding_that_is_accepted_is_not_told_again(case: Case) -> None:
    schema = case.declared
    for _ in range(2):  # once for all
        again = [one for one in case.found("bad", schema) if one.kind == case.kind and one.accept]
        for one in again:
            schema = accept(schema, one, who="ana", why="it is right", at=NOW)
    assert not again
    if schema != case.declared:
        assert kinds(case.found("bad", schema)) <= kinds(case.found("bad")) - {case.kind}
        assert Schema.from_json(schema.to_json()) == schema


def test_every_kind_has_a_case() -> None:
    assert {case.kind for case in CASES} | ELSEWHERE == set(KINDS)


def test_rows_are_shown_with_their_key() -> None:
    schema = Schema(columns=(a("integer", most=24),), key=("id",))
    rows = pl.LazyFrame({"id": ["a", "b", "c"], "x": [5, 99, 7]})
    found = examine(rows, schema, check(describe(rows).profile(), schema))
    assert [dict(row) for one in found if one.kind == "number too big" for row in one.examples] == [
        {"id": "b", "x": 99}
    ]


def test_limits_of_times_and_lists_show_rows_too() -> None:
    rows = pl.LazyFrame({"t": [START, NOW + timedelta(days=1)], "l": [[1], [1, 2, 3]]})
    columns = (Column(name="t", kind="time", missing=False), Column(name="l", kind="list", missing=False, longest=2))
    schema = Schema(columns=columns, time="t")
    found = examine(rows, schema, check(describe(rows).profile(), schema, now=NOW))
    shown = {one.kind: one.examples for one in found}
    assert [row["t"] for row in shown["rows from the future"]] == ["2013-07-02T00:00:00+00:00"]
    assert [row["l"] for row in shown["list too long"]] == ["[1, 2, 3]"] or shown["list too long"]


def test_the_schema_says_how_severe_a_finding_is() -> None:
    rows = describe(pl.LazyFrame({"x": [30, 5]})).profile()
    column = a("integer", most=24)
    for said, expected in (("error", [Severity.ERROR]), ("warning", [Severity.WARNING]), ("ignore", [])):
        schema = Schema(columns=(column,), severity={"number too big": said})  # type: ignore[dict-item]
        assert [one.severity for one in check(rows, schema)] == expected


def test_a_finding_that_no_schema_accepts_says_so() -> None:
    found = check(describe(pl.LazyFrame({"x": []}, schema={"x": pl.Float64})).profile(), Schema(columns=(NUMBER,)))
    with pytest.raises(UsageError, match="no schema accepts"):
        accept(Schema(columns=(NUMBER,)), found[0], who="ana", why="it is right", at=NOW)


def test_an_acceptance_needs_a_reason_and_records_it() -> None:
    schema = Schema(columns=(a("integer", most=24),))
    found = check(describe(pl.LazyFrame({"x": [30, 5]})).profile(), schema)[0]
    with pytest.raises(UsageError, match="why"):
        accept(schema, found, who="ana", why=" ", at=NOW)
    wider = accept(schema, found, who="ana", why="a leap second", at=NOW)
    assert wider.column("x").most == 30
    assert [(one.who, one.why, one.line) for one in wider.acceptances] == [
        ("ana", "a leap second", "columns.x.most = 30")
    ]


def test_rows_of_both_sides_of_a_split_are_found() -> None:
    one, two = pl.LazyFrame({"id": range(100), "x": [0, 1] * 50}), pl.LazyFrame({"id": range(99, 150), "x": [0] * 51})
    found = overlap(one, two, ["id"], is_key=True)
    assert kinds(found) == {"train-test overlap"}
    assert found[0].examples == ({"id": 99},)
    assert overlap(one, two.filter(pl.col("id") > 99), ["id"], is_key=True) == []
    assert overlap(one, two, ["x"]) == [], "rows that are equal by chance are none"


def test_what_cannot_be_learned_from_is_found() -> None:
    def told(features: list[str], **columns: Any) -> set[str]:
        return kinds(findings(describe(pl.LazyFrame(columns)), features, "late"))

    assert told(["x"], x=[1, 2], late=[True, False]) == set()
    assert told(["x"], x=[1, 2], late=[True, True]) == {"one label"}
    assert told(["x"], x=[1, 2], late=pl.Series([None, None], dtype=pl.Boolean)) == {"no labels"}
    assert told([], late=[True, False]) == {"no columns"}
    late = DRAW.random(2000) < 0.3
    assert kinds(leaks(pl.DataFrame({"x": late, "late": late}), ["x"], "late")) == {"leak"}


def test_bytes_that_are_no_text_are_counted() -> None:
    rows = pl.LazyFrame({"x": [b"caf\xe9", "café".encode()]})
    found = examine(rows, Schema(columns=(TEXT,)))
    assert [(one.kind, one.number) for one in found] == [("invalid text", 1)]
    assert examine(rows.tail(1), Schema(columns=(TEXT,))) == []


def damaged() -> tuple[pl.DataFrame, pl.DataFrame]:
    """A good span, and one with everything wrong that a span can have."""
    n = 2000
    good = pl.DataFrame(
        {
            "id": [f"r{i}" for i in range(n)],
            "at": hours(n),
            "carrier": [("UA", "B6", "DL")[i % 3] for i in range(n)],
            "miles": MILES[:n],
            "hour": [i % 24 for i in range(n)],
            "gate": [f"{i % 40}A" for i in range(n)],
            "paid": [i % 2 == 0 for i in range(n)],
            "legs": [[1, 2, 3]] * n,
            "old": [1.0, 2.0] * (n // 2),
            "late": [i % 4 == 0 for i in range(n)],
        }
    )
    row = pl.int_range(n)
    carrier = pl.when(row % 7 == 0).then(pl.lit("ua ")).when(row % 11 == 0).then(pl.lit("cafÃ©")).otherwise("carrier")
    bad = good.select(
        id=pl.when(row < 10).then(pl.lit("r5")).otherwise("id"),
        at=pl.col("at") - timedelta(days=200),
        carrier=carrier,
        miles=pl.when(row % 5 == 0).then(float("inf")).otherwise(pl.col("miles") * 1.609344),
        hour=pl.when(row == 3).then(-99).when(row == 4).then(9999).otherwise("hour"),
        gate=pl.when(row % 2 == 0).then(None).otherwise("gate"),
        paid=pl.col("paid").cast(pl.Int8).cast(pl.String),
        legs=pl.when(row == 9).then([1]).otherwise("legs"),
        note=pl.lit("x\ufffd"),
        late=pl.lit(value=True),
    )
    return good, bad


def test_a_file_with_every_kind_of_damage_gives_a_complete_report() -> None:
    good, bad = damaged()
    before = describe(good.lazy()).profile()
    table = Table("flights", key="id", time="at", label="late")
    schema = replace(infer(before, table), checks=(Check(name="an hour", expression="hour between 0 and 23"),))
    assert examine(good.lazy(), schema, check(before, schema, previous=before, now=NOW)) == []
    found = examine(bad.lazy(), schema, check(describe(bad.lazy()).profile(), schema, previous=before, now=NOW))
    expected = {
        "duplicate keys", "not unique", "goes back in time", "value out of domain", "look-alike categories", "mojibake",
        "infinity", "too many missing", "number too small", "number too big", "wrong type", "wrong shape", "new column",
        "missing column", "constant", "check failed", "too few distinct", "unit jump",
    }  # fmt: skip
    assert expected <= kinds(found)
    text = report(found)
    assert text.splitlines()[0].startswith(f"{len(errors(found))} errors, ")
    assert all(one.message in text for one in found)
    assert max(map(len, text.splitlines())) < 1000


ANY = {
    "float": st.floats() | st.sampled_from([0.0, -0.0, 5e-324, 1.7e308]),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "string": st.text(max_size=6)
    | st.sampled_from(["1", "1.5", "yes", "", " ", "NYC ", "nyc", "Ã©", "\ufffd", "a" * 500]),
    "boolean": st.booleans(),
    "time": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),  # noqa: DTZ001 - naive is UTC
    "list": st.lists(st.floats(), max_size=3),
}
TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "float": pl.Float64, "integer": pl.Int64, "string": pl.String, "boolean": pl.Boolean, "time": pl.Datetime("us"),
    "list": pl.List(pl.Float64),
}  # fmt: skip


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(ANY)), st.sampled_from(list(ANY)), st.data())
def test_any_rows_are_checked_against_any_others(one: str, other: str, data: st.DataObject) -> None:
    """Nothing that a column can hold stops the check, and all that is found can be told and accepted."""
    frames = [
        pl.LazyFrame({"x": data.draw(st.lists(st.none() | ANY[kind], max_size=8))}, schema={"x": TYPES[kind]})
        for kind in (one, other)
    ]
    before, now = (describe(frame).profile() for frame in frames)
    schema = replace(infer(before), key=("x",), checks=(Check(name="is there", expression="x is not null"),))
    found = examine(frames[1], schema, check(now, schema, previous=before, now=NOW))
    assert report(found)
    json.dumps([each.to_dict() for each in found], allow_nan=False)
    for each in found:
        if each.accept:
            schema = accept(schema, each, who="ana", why="it is right", at=NOW)
    assert schema_file.from_toml(schema_file.to_toml(schema)) == schema


def test_rows_equal_by_chance_are_no_overlap_and_many_more_are_an_error() -> None:
    draw = np.random.default_rng(5)
    train = pl.LazyFrame({"x": draw.random(10_000), "y": draw.integers(0, 2, 10_000)})
    test = pl.LazyFrame({"x": draw.random(2000), "y": draw.integers(0, 2, 2000)})
    assert overlap(train, test, ["x", "y"]) == []
    for copied, severity in ((4, None), (15, Severity.WARNING), (40, Severity.ERROR)):
        found = overlap(train, pl.concat([train.head(copied), test]), ["x", "y"])
        assert [one.severity for one in found] == ([severity] if severity else [])


@pytest.mark.parametrize(
    "values",
    [["A", "A-", "B", "B-"], ["x+", "x", "y"], ["-3", "3", "4", "-4"], ["3.", "3", ".5", "5"]],
    ids=["grades", "plus", "numbers", "points"],
)
def test_signs_tell_categories_apart(values: list[str]) -> None:
    seen = describe(pl.LazyFrame({"x": values * 20})).profile()
    assert "look-alike categories" not in [one.kind for one in check(seen, Schema(columns=(TEXT,)))]


def test_nan_and_infinity_are_found_in_any_data_and_are_accepted_each_by_its_line() -> None:
    rows = pl.LazyFrame({"x": [1.0, float("nan"), float("inf")], "y": [float("inf")] * 3})
    seen = Seen.of(describe(rows).profile())
    found = [one for one in check(seen, plain_schema(seen)) if one.kind != "constant"]
    assert [(one.kind, one.column, one.number, one.accept) for one in found] == [
        ("NaN", "x", 1, "columns.x.nan = true"),
        ("infinity", "x", 1, "columns.x.infinite = true"),
        ("infinity", "y", 3, "columns.y.infinite = true"),
    ]
    assert (seen.columns["x"].missing, seen.columns["y"].missing, seen.columns["y"].there) == (1, 0, 0)


def test_an_inferred_schema_allows_nan_where_some_was_seen_and_infinity_nowhere() -> None:
    made = infer(describe(pl.LazyFrame({"x": [1.0, float("nan"), float("inf")], "y": [1.0, 2.0, 3.0]})).profile())
    assert [(one.nan, one.infinite) for one in made.columns] == [(True, False), (False, False)]


def test_what_is_missing_is_the_same_to_findings_and_to_drift() -> None:
    values = [None, float("nan"), float("inf"), 1.0] * 500
    seen = describe(pl.LazyFrame({"x": values})).profile()
    [moved] = drift(seen, seen).columns
    assert moved.missing == (0.5, 0.5)
    assert seen.column("x").missing / seen.rows == 0.5
