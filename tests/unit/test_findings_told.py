"""Findings of columns that are too large to be kept whole; what findings say; environments; acceptances."""

from __future__ import annotations

import re
from typing import Any

import polars as pl
import pytest
from tests.unit.test_findings import NOW, NUMBER, PAIR, Case, a

from loopwright.data.check import check
from loopwright.data.examine import examine
from loopwright.data.findings import Finding
from loopwright.data.relax import accept
from loopwright.data.schema import Check, Column, Schema, Share
from loopwright.data.statistics import describe

# Columns of more texts than are kept: the usual case of what is free, or was a number


def many(bad: int, rows: int = 4000) -> list[str]:
    """Texts that are all different, of which some are bad."""
    return [f"{at}.5 EUR" if at < bad else f"{at}.5" for at in range(rows)]


def of_texts(texts: list[str], **limits: Any) -> dict[str, Finding]:
    rows = pl.LazyFrame({"x": texts})
    schema = Schema(columns=(a("string", **limits),))
    told = check(describe(rows).profile(), schema)
    return {one.kind: one for one in examine(rows, schema, told)}


def test_numbers_in_quotes_are_found_though_no_two_are_the_same() -> None:
    assert "looks like another type" in of_texts(many(bad=0))
    assert "mixed types" in of_texts(many(bad=1600))
    assert of_texts(many(bad=4000)) == {}


def test_a_column_of_numbers_that_became_text_says_how_much_of_it_reads_as_numbers() -> None:
    found = check(describe(pl.LazyFrame({"x": many(bad=400)})).profile(), Schema(columns=(NUMBER,)))
    [told] = [one for one in found if one.kind == "wrong type"]
    assert re.search(r"[89]\d% of the texts read as numbers", told.message)


def test_a_pattern_is_held_against_every_row_though_few_texts_are_kept() -> None:
    found = of_texts(many(bad=3), pattern=r"[0-9]+\.5")["pattern not matched"]
    assert (found.values, found.number) == ((("0.5 EUR", 1), ("1.5 EUR", 1), ("2.5 EUR", 1)), 3 / 4000)
    assert [row["x"] for row in found.examples] == ["0.5 EUR", "1.5 EUR", "2.5 EUR"]
    assert "pattern not matched" not in of_texts(many(bad=0), pattern=r"[0-9]+\.5")


def test_a_pattern_that_only_python_knows_is_held_against_a_sample() -> None:
    assert "pattern not matched" in of_texts(many(bad=2000), pattern=r"(?!.*EUR).*")
    assert "pattern not matched" not in of_texts(many(bad=0), pattern=r"(?!.*EUR).*")


def test_values_beyond_a_closed_list_are_found_though_each_is_rare() -> None:
    values = ["UA", "B6"] * 1000 + [f"odd {at}" for at in range(2000)]
    found = of_texts(values, values=("B6", "UA"), closed=True)["value out of domain"]
    assert found.number == pytest.approx(0.5, abs=0.02)
    assert all(value.startswith("odd ") for value, _ in found.values)
    assert found.accept == "columns.x.closed = false"
    few = of_texts(["UA", "B6"] * 2000 + ["odd"], values=("B6", "UA"), closed=True)["value out of domain"]
    assert (few.values, few.accept) == ((("odd", 1),), 'columns.x.values = ["B6", "UA", "odd"]')


def test_long_texts_are_shown_with_their_rows() -> None:
    found = of_texts(["UA", "x" * 1000, "UA"], values=("UA",), closed=True)["value out of domain"]
    assert [row["(row)"] for row in found.examples] == [2]
    assert "xxx'… (1)" in found.message


# What findings say


def test_one_is_told_as_one_and_an_estimate_as_an_estimate() -> None:
    one = of_texts(["a", "c", "a"], values=("a", "b"), closed=True)["value out of domain"]
    assert one.message == "'x' has 1 value that the schema does not list, in 1 row: 'c' (1)"
    rows = pl.LazyFrame({"x": [*range(5000), 0, 10**9]})
    [told] = check(describe(rows).profile(), Schema(columns=(a("integer", most_distinct=9),)))
    assert re.match(r"'x' has about [45],\d{3} different values; the limit is 9", told.message)


def test_a_column_by_another_name_is_asked_about_and_others_are_not() -> None:
    schema = Schema(columns=(Column(name="distance", kind="integer", missing=False),))
    fixes = {one.kind: one.fix for one in check(describe(pl.LazyFrame({"distance_": [1, 2]})).profile(), schema)}
    assert fixes["missing column"] == "bring it back; is it 'distance_' now?"
    assert fixes["new column"] == "is it 'distance' by another name? if it is wanted, accept it in the schema"
    fixes = {one.kind: one.fix for one in check(describe(pl.LazyFrame({"fare": [1, 2]})).profile(), schema)}
    assert fixes["missing column"] == "bring it back"


def test_rows_beyond_a_limit_are_not_those_that_are_infinite() -> None:
    rows = pl.LazyFrame({"x": [float("inf"), 9.0, float("-inf"), 1.0]})
    schema = Schema(columns=(a("float", most=5.0, infinite=False),))
    found = {one.kind: one for one in examine(rows, schema, check(describe(rows).profile(), schema))}
    assert [row["x"] for row in found["number too big"].examples] == [9.0]
    assert [row["x"] for row in found["infinity"].examples] == ["inf", "-inf"]


def test_what_a_check_of_ones_own_finds_hides_nothing_else() -> None:
    schema = Schema(columns=(NUMBER,), least_rows=9, most_rows=1, checks=(Check(name="odd", expression="y > 1"),))
    rows = pl.LazyFrame({"x": [1.0, 2.0]})
    found = examine(rows, schema, check(describe(rows).profile(), schema))
    assert [one.kind for one in found].count("schema contradicts itself") == 2


def test_equal_lengths_of_lists_make_no_copy() -> None:
    rows = pl.LazyFrame({"x": [[1], [2, 3]], "y": [[4], [5, 6]]})
    assert check(describe(rows).profile(), Schema(columns=PAIR)) == []


# Environments


def test_a_column_is_expected_where_the_schema_expects_it() -> None:
    late = Column(name="late", kind="boolean", missing=False, absent_in=("serving", "replay"))
    schema = Schema(columns=(NUMBER, late), weight="w", never=("arrival",))
    bare, full = ({"x": [1.0, 2.0], **more} for more in ({}, {"late": [True, False], "w": [1, 2], "arrival": [3, 4]}))

    def told(rows: dict[str, Any], environment: str) -> set[tuple[str, str | None]]:
        found = check(describe(pl.LazyFrame(rows)).profile(), schema, environment=environment)
        return {(one.kind, one.column) for one in found}

    assert told(full, "training") == set()
    assert told(bare, "training") == {("missing column", "late"), ("weights missing", "w")}
    assert told(bare, "serving") == told(bare, "replay") == set()
    assert told(full, "serving") == {("column not expected", "late"), ("column not expected", "arrival")}
    assert told(bare, "evaluation") == {("missing column", "late")}


# Accepting


def test_one_acceptance_does_not_take_back_another() -> None:
    """All lines were told of the schema as it was."""
    shares = (Share(value="a", most=0.2), Share(value="b", least=0.8))
    limits = {"l_infinity": 0.01, "jensen_shannon": 0.001}
    checks = (Check(name="one", expression="x = 'a'"), Check(name="two", expression="x = 'b'"))
    schema = Schema(columns=(a("string", shares=shares, drift_limits=limits),), checks=checks)
    case = Case(kind="", schema=schema, bad={"x": ["a", "b"] * 50}, before={"x": ["a"] * 90 + ["b"] * 10}, good={})
    found = case.found("bad")
    assert len(found) == 6
    for order in (found, found[::-1]):
        wider = schema
        for one in order:
            wider = accept(wider, one, who="ana", why="it is right", at=NOW)
        assert case.found("bad", wider) == []
        assert [one.kind for one in wider.acceptances] == [one.kind for one in order]
        assert {one.at for one in wider.acceptances} == {NOW.isoformat()}
