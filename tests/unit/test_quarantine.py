"""Which rows are set aside for a finding: exactly those at fault, each with its reason."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from loopwright.data.check import check
from loopwright.data.declare import Validate
from loopwright.data.examine import examine
from loopwright.data.finding_kinds import KINDS, OF_ROWS
from loopwright.data.findings import Finding
from loopwright.data.quarantine import counted, failing, wanted
from loopwright.data.schema import Check, Column, Schema
from loopwright.data.statistics import describe

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def found(rows: pl.LazyFrame, schema: Schema, now: datetime | None = None) -> list[Finding]:
    return examine(rows, schema, check(describe(rows).profile(), schema, now=now))


def column(kind: Any = "integer", **limits: Any) -> Schema:
    return Schema(columns=(Column(name="x", kind=kind, **({"missing": True} | limits)),))


CASES: list[tuple[str, list[Any], Schema, list[int]]] = [
    ("too many missing", [1, None, 3, None], column(missing=False, most_missing=0.0), [1, 3]),
    ("NaN", [1.0, float("nan"), 2.0], column("float", nan=False), [1]),
    ("infinity", [1.0, float("inf"), float("-inf")], column("float", infinite=False), [1, 2]),
    ("number too small", [5, -1, 0, -7], column(least=0), [1, 3]),
    ("number too big", [5, 11, 10, 12], column(most=10), [1, 3]),
    ("value out of domain", ["a", "z", "", None, "b"], column("string", values=("a", "b"), closed=True), [1]),
    ("pattern not matched", ["A1", "A12", "b1", None], column("string", pattern="[A-Z]\\d"), [1, 2]),
    ("text too short", ["ab", "a", "abc"], column("string", shortest=2), [1]),
    ("text too long", ["ab", "abc", None], column("string", longest=2), [1]),
    ("mojibake", ["café", "cafÃ©", "bar"], column("string"), [1]),
    ("invalid text", ["cafe", "caf\ufffd"], column("string"), [1]),
    ("list too long", [[1], [1, 2, 3], [1, 2]], column("list", longest=2), [1]),
    ("list too short", [[1], [1, 2, 3], [1, 2]], column("list", shortest=2), [0]),
    ("wrong shape", [[1, 2], [1, 2, 3], [1]], column("list", shortest=2, longest=2), [1, 2]),
    ("not unique", ["a", "b", "a", None, None], column("string", unique=True), [2]),
    ("time too late", [NOON, NOON.replace(hour=14)], column("time", most="2026-01-01T13:00:00Z"), [1]),
    ("time too early", [NOON, NOON.replace(hour=1)], column("time", least="2026-01-01T02:00:00Z"), [1]),
]


@pytest.mark.parametrize(("kind", "values", "schema", "places"), CASES, ids=[case[0] for case in CASES])
def test_exactly_the_rows_at_fault_are_set_aside(
    kind: str, values: list[Any], schema: Schema, places: list[int]
) -> None:
    rows = pl.LazyFrame({"x": values}, strict=False)
    about = [one for one in found(rows, schema) if one.kind == kind]
    assert about, [one.kind for one in found(rows, schema)]
    aside = failing(rows, about, schema)
    assert aside["(row)"].to_list() == places
    assert set(aside["reason"]) == {f"{kind}: x"}
    assert aside["x"].equals(rows.collect()["x"].gather(places))


def test_rows_from_the_future_are_set_aside() -> None:
    rows = pl.LazyFrame({"x": [NOON, NOON.replace(hour=14), NOON.replace(hour=15)]})
    schema = column("time", order="rising")
    about = [one for one in found(rows, schema, NOON.replace(hour=13)) if one.kind == "rows from the future"]
    assert failing(rows, about, schema)["(row)"].to_list() == [1, 2]


def test_of_equal_keys_the_first_row_is_kept() -> None:
    rows = pl.LazyFrame({"id": [1, 2, 1, 3, 1], "x": [5, 6, 7, 8, 9]})
    schema = Schema(columns=(), key=("id",))
    assert failing(rows, found(rows, schema), schema)["x"].to_list() == [7, 9]


def test_a_check_of_ones_own_sets_aside_the_rows_that_fail_it_and_one_that_may_fail_none() -> None:
    rows = pl.LazyFrame({"x": [1, -1, 3, None], "y": [1, 1, 1, 1]})
    checks = (Check(name="positive", expression="x > 0"), Check(name="small", expression="x < 2", most=0.5))
    schema = Schema(columns=(), checks=checks)
    about = [one for one in found(rows, schema) if one.kind == "check failed"]
    aside = failing(rows, about, schema)
    assert aside["(row)"].to_list() == [1]
    assert aside["reason"].to_list() == ["check failed: positive"]


def test_lists_that_belong_together_and_are_not_equally_long_are_set_aside() -> None:
    rows = pl.LazyFrame({"a": [[1], [1, 2], [1]], "b": [[2], [2], [2]]})
    columns = tuple(Column(name=name, kind="list", missing=False) for name in "ab")
    schema = Schema(columns=columns, same_length=(("a", "b"),))
    assert failing(rows, found(rows, schema), schema)["(row)"].to_list() == [1]


def test_a_row_that_fails_twice_has_both_reasons_and_counts_for_both() -> None:
    rows = pl.LazyFrame({"x": [5, 50, -1], "y": [1.0, float("nan"), 2.0]})
    schema = Schema(
        columns=(
            Column(name="x", kind="integer", missing=False, least=0, most=10),
            Column(name="y", kind="float", missing=False, nan=False),
        )
    )
    aside = failing(rows, found(rows, schema), schema)
    assert "number too big: x" in aside["reason"][0]
    assert "NaN: y" in aside["reason"][0]
    assert counted(aside)["number too small: x"] == 1
    assert sum(counted(aside).values()) > len(aside)


def test_a_share_that_is_passed_is_the_fault_of_no_single_row() -> None:
    rows = pl.LazyFrame({"x": [1, None, None, 4]})
    schema = column(most_missing=0.25)
    assert len(failing(rows, found(rows, schema), schema)) == 0


def test_a_column_called_reason_is_kept() -> None:
    rows = pl.LazyFrame({"reason": ["a", "b"], "x": [1, 99]})
    schema = column(most=10)
    aside = failing(rows, found(rows, schema), schema)
    assert aside.row(0, named=True) == {"reason": "b", "x": 99, "(row)": 1, "(reason)": "number too big: x"}


def test_true_sets_aside_errors_and_a_list_what_it_names() -> None:
    rows = pl.LazyFrame({"id": [1, 1], "x": [5, 50]})
    schema = Schema(columns=(Column(name="x", kind="integer", missing=False, most=10),), key=("id",))
    told = found(rows, schema)
    assert [one.kind for one in wanted(told, Validate(quarantine=True))] == ["duplicate keys"]
    assert [one.kind for one in wanted(told, Validate(quarantine=["number too big"]))] == ["number too big"]
    assert wanted(told, Validate()) == []


def test_kinds_of_rows_are_kinds() -> None:
    assert set(KINDS) > OF_ROWS


@pytest.mark.parametrize(
    ("kind", "weights", "places"), [("weights missing", [1.0, None], [1]), ("weights mismatched", [1.0, -2.0], [1])]
)
def test_rows_with_a_wrong_weight_are_set_aside(kind: str, weights: list[float | None], places: list[int]) -> None:
    rows = pl.LazyFrame({"x": [1, 2], "w": weights})
    schema = Schema(columns=(Column(name="x", kind="integer", missing=False),), weight="w")
    about = [one for one in found(rows, schema) if one.kind == kind]
    assert failing(rows, about, schema)["(row)"].to_list() == places
