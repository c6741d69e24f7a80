"""What a loop's source brings into its table: new rows, labels that arrived, and a word on what differs."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from loopwright.data.bring import Brought, bring
from loopwright.data.rows import pin
from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.errors import BadSource, DataError, DeclarationError, DuplicateKeys, SchemaMismatch
from loopwright.testing import HandClock

T = Table("t", key="id", label="late")
KEYLESS = Table("t", label="late")


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path / "tables", HandClock())


def rows(*late: bool | None, x: float = 0.0) -> pl.DataFrame:
    return pl.DataFrame(
        {"id": range(len(late)), "x": [x] * len(late), "late": late},
        schema={"id": pl.Int64, "x": pl.Float64, "late": pl.Boolean},
    )


def csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_same_source_again_brings_nothing(tables: Tables) -> None:
    for table in (T, Table("u", label="late")):
        assert bring(tables, table, rows(True, False)) == Brought(new=2)
        before = tables.current(table.name)
        assert bring(tables, table, rows(True, False)) == Brought()
        assert tables.current(table.name) == before


def test_of_a_source_that_grew_its_new_rows_are_appended(tables: Tables) -> None:
    for table in (T, Table("u", label="late")):
        bring(tables, table, rows(True, False))
        assert bring(tables, table, rows(True, False, None)) == Brought(new=1)
        assert bring(tables, table, rows(True, False, None)) == Brought()
        assert tables.read(table.name)["late"].to_list() == [True, False, None]


def test_labels_filled_in_become_labels_of_the_rows_that_are_there(tables: Tables) -> None:
    bring(tables, T, rows(True, None, None))
    before = tables.current("t")
    assert bring(tables, T, rows(True, False, None, True)) == Brought(new=1, labelled=1)
    assert tables.read("t")["late"].to_list() == [True, False, None, True]
    assert tables.read("t", version=before)["late"].to_list() == [True, None, None]
    assert bring(tables, T, rows(True, False, None, True)) == Brought()


def test_labels_of_a_file_come_in_as_they_are_filled_in(tables: Tables, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    bring(tables, T, csv(path, "id,x,late\n1,0.5,\n2,1,\n"))
    assert "late" not in tables.current("t").columns
    assert bring(tables, T, csv(path, "id,x,late\n1,0.5,true\n2,1,\n")) == Brought(labelled=1)
    assert bring(tables, T, csv(path, "id,x,late\n1,0.5,true\n2,1,false\n3,7,\n")) == Brought(new=1, labelled=1)
    assert tables.read("t")["late"].to_list() == [True, False, None]


def test_a_label_that_came_another_way_is_no_difference_and_is_not_overwritten(tables: Tables) -> None:
    bring(tables, T, rows(None, None))
    tables.label(T, rows(True).select("id", "late"))
    assert bring(tables, T, rows(None, None)) == Brought()
    assert bring(tables, T, rows(None, None).drop("late")) == Brought()
    assert bring(tables, T, rows(False, True)) == Brought(changed=1, labelled=1)
    assert tables.read("t")["late"].to_list() == [True, True]


def test_rows_that_changed_are_left_alone_and_counted(tables: Tables) -> None:
    bring(tables, T, rows(True, None))
    assert bring(tables, T, rows(True, None, x=2.0)) == Brought(changed=2)
    assert bring(tables, T, rows(False, True, x=2.0)) == Brought(changed=2, labelled=1)
    assert tables.read("t").rows() == [(0, 0.0, True), (1, 0.0, True)]


def test_missing_values_nan_and_nested_values_are_compared(tables: Tables) -> None:
    frame = pl.DataFrame(
        {"id": [1, 2], "x": [None, float("nan")], "tags": [["a"], None], "where": [{"a": 1}, {"a": None}]}
    )
    for table in (Table("t", key="id"), Table("u")):
        bring(tables, table, frame)
        assert bring(tables, table, frame) == Brought()
    other = frame.with_columns(x=pl.Series([1.0, float("nan")]), where=pl.Series([{"a": 1}, {"a": 2}]))
    assert bring(tables, Table("t", key="id"), other) == Brought(changed=2)


COLUMNS = [
    (lambda frame: frame.rename({"x": "y"}), "column 'x' .* is missing"),
    (lambda frame: frame.drop("x"), "column 'x' .* is missing"),
    (lambda frame: frame.with_columns(new=1), "column 'new' .* is not in the table"),
    (lambda frame: frame.with_columns(x=pl.lit("a")), "column 'x' holds"),
]


@pytest.mark.parametrize(("change", "told"), COLUMNS)
@pytest.mark.parametrize("table", [T, KEYLESS])
def test_columns_that_changed_are_refused_though_no_row_is_new(
    tables: Tables, table: Table, change: object, told: str
) -> None:
    assert callable(change)
    bring(tables, table, rows(True, False))
    before = tables.current("t")
    with pytest.raises(SchemaMismatch, match=told):
        bring(tables, table, change(rows(True, False)))
    assert tables.current("t") == before


def test_without_a_key_a_source_that_changed_is_refused(tables: Tables) -> None:
    bring(tables, KEYLESS, rows(True, False))
    before = tables.current("t")
    for other in (rows(True, True, False), rows(False), rows(True, False, x=1.0), rows(True, False, None).reverse()):
        with pytest.raises(DataError, match="another than before") as refused:
            bring(tables, KEYLESS, other)
        assert "key=" in str(refused.value.fix)
    assert tables.current("t") == before


def test_without_a_key_the_same_content_is_known_among_other_rows(tables: Tables) -> None:
    tables.append(KEYLESS, rows(None, x=9.0))
    tables.append(KEYLESS, rows(True))
    assert bring(tables, KEYLESS, rows(None, x=9.0)) == Brought()
    with pytest.raises(DataError):
        bring(tables, KEYLESS, rows(True))


def test_a_source_without_rows_makes_no_table_and_says_so(tables: Tables, tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "id,x,late\n")
    with pytest.raises(BadSource, match="the source has no rows") as refused:
        bring(tables, T, path)
    assert str(refused.value.where).endswith("a.csv")
    assert tables.names() == []
    bring(tables, T, rows(True))
    assert bring(tables, T, path) == Brought()


def test_refusals_name_the_file_and_its_rows(tables: Tables, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    cases: list[tuple[str, type[Exception], str]] = [
        ("id,x,late\n1,1.5,true\n1,2.5,false\n", DuplicateKeys, "1 repeated key of id: 1"),
        ("id,x,late\n1,1.5,true\n,2.5,false\n", SchemaMismatch, "in 1 row .first: row 2"),
    ]
    for _ in range(2):
        for text, error, told in cases:
            with pytest.raises(error, match=told) as refused:
                bring(tables, T, csv(path, text))
            assert "orders.csv" in str(refused.value)
        bring(tables, T, rows(True, False))


def test_types_are_those_of_the_table(tables: Tables, tmp_path: Path) -> None:
    zips = Table("t", key="zip")
    bring(tables, zips, csv(tmp_path / "a.csv", "zip,x\nAB1,1.5\n"))
    assert bring(tables, zips, csv(tmp_path / "a.csv", "zip,x\n007,1\n")) == Brought(new=1)
    assert tables.read("t")["zip"].to_list() == ["AB1", "007"]


def test_what_is_declared_otherwise_is_declared_anew_when_it_can_be(tables: Tables) -> None:
    bring(tables, Table("t", key="id"), rows(True, None))
    assert bring(tables, T, rows(True, True, None)) == Brought(new=1, labelled=1)
    assert tables.declared("t") == T
    for other in (Table("t", key="id", label="lat"), Table("t", key="id", label="x"), Table("t", key="x")):
        with pytest.raises((SchemaMismatch, DeclarationError), match=r"label|key"):
            bring(tables, other, rows(True, True, None, None))
    assert tables.declared("t") == T
    assert tables.current("t").rows == 3


def test_nan_and_empty_text_are_no_labels_that_arrived(tables: Tables) -> None:
    for name, none, label in (("f", float("nan"), 2.5), ("s", "", "yes")):
        table = Table(name, key="id", label="late")
        frame = pl.DataFrame({"id": [1, 2, 3], "late": [none, label, None]})
        bring(tables, table, frame)
        pinned = pin(tables, table)
        assert pinned.unlabelled(tables) == 2
        assert pinned.labelled(tables).collect()["late"].to_list() == [label]
        assert pinned.scan(tables, ["late"]).collect()["late"].null_count() == 2
        assert bring(tables, table, frame.with_columns(late=pl.lit(label))) == Brought(labelled=2)
        assert pin(tables, table).unlabelled(tables) == 0


def test_what_was_brought_is_told_in_words() -> None:
    assert Brought().told("t") == "0 new rows were appended to t"
    assert Brought(new=1, changed=1, labelled=1).told("t") == (
        "1 new row was appended to t, 1 row got its label, 1 row differs from the one in it, which stays"
    )
    assert "2,000 rows got their label, 3 rows differ from those in it, which stay" in Brought(
        labelled=2000, changed=3
    ).told("t")
