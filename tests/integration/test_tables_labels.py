"""Labels come late: what was known at any moment can be read again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.errors import DeclarationError, DuplicateKeys, SchemaMismatch, TableNotFound, UsageError
from loopwright.testing import HandClock
from loopwright.testing.clock import START

T = Table("t", key="id", label="late")

Arrivals = list[tuple[int, dict[int, bool]]]


def arrivals() -> st.SearchStrategy[Arrivals]:
    labels = st.dictionaries(st.integers(0, 6), st.booleans(), min_size=1)
    return st.lists(st.tuples(st.integers(0, 3), labels), max_size=5)


def known_at(own: list[bool | None], came: Arrivals, asked: int) -> list[bool | None]:
    """Brute force: play every arrival up to the moment asked for."""
    now, labels = 0, dict(enumerate(own))
    for wait, batch in came:
        now += wait
        if now <= asked:
            labels.update(batch)
    return [labels[i] for i in range(len(own))]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.none() | st.booleans(), min_size=5, max_size=5), arrivals(), st.integers(0, 12))
def test_labels_as_known_at_a_moment_are_those_that_had_come(
    own: list[bool | None], came: Arrivals, asked: int
) -> None:
    with TemporaryDirectory() as folder:
        clock = HandClock()
        tables = Tables(folder, clock)
        tables.append(T, pl.DataFrame({"id": range(5), "late": own}, schema={"id": pl.Int64, "late": pl.Boolean}))
        for wait, batch in came:
            clock.advance(wait)
            tables.label(T, pl.DataFrame({"id": list(batch), "late": list(batch.values())}))
        at = START + timedelta(seconds=asked)
        assert tables.read("t", as_known_at=at)["late"].to_list() == known_at(own, came, asked)
        assert tables.read("t")["late"].to_list() == known_at(own, came, 10**9)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    tables = Tables(tmp_path, HandClock())
    tables.append(T, pl.DataFrame({"id": [1, 2, 3], "x": [0.1, 0.2, 0.3]}))
    return tables


def test_a_label_changes_the_version_and_old_ones_read_as_before(tables: Tables) -> None:
    before = tables.current("t")
    after = tables.label(T, pl.DataFrame({"id": [2], "late": [True]}), origin="airport")
    assert after.version == before.version
    assert after.digest != before.digest
    assert after.columns == ("id", "x", "late")
    assert tables.read("t")["late"].to_list() == [None, True, None]
    assert tables.read("t", version=before).columns == ["id", "x"]
    assert tables.read("t", version=after)["late"].to_list() == [None, True, None]
    assert tables.read("t", columns=["x"]).columns == ["x"]


def test_a_label_whose_row_comes_later_is_kept_for_it(tables: Tables) -> None:
    tables.label(T, pl.DataFrame({"id": [9], "late": [True]}))
    tables.append(T, pl.DataFrame({"id": [9], "x": [0.9]}))
    assert tables.read("t").row(3) == (9, 0.9, True)


def test_refused_labels_leave_none_behind(tables: Tables) -> None:
    tables.label(T, pl.DataFrame({"id": [1], "late": [True]}))
    before = tables.current("t")
    cases = [
        (pl.DataFrame({"id": [2, 2], "late": [True, False]}), DuplicateKeys, "1 repeated key of id: 2"),
        (
            pl.DataFrame({"id": [2, 3], "late": [True, None]}),
            SchemaMismatch,
            "'late' has no value in 1 row .first: row 2",
        ),
        (pl.DataFrame({"id": [None], "late": [True]}), SchemaMismatch, "'id' has no value"),
        (pl.DataFrame({"id": [2], "late": ["yes"]}), SchemaMismatch, "'late' holds"),
        (pl.DataFrame({"id": [2], "lat": [True]}), SchemaMismatch, "'late' .* is missing"),
        (pl.DataFrame({"id": [2], "late": [True], "x": [1]}), SchemaMismatch, "'x' .* is not in the table"),
    ]
    for frame, error, told in cases:
        with pytest.raises(error, match=told):
            tables.label(T, frame)
    assert tables.current("t") == before


def test_a_table_without_key_or_label_takes_no_labels(tables: Tables) -> None:
    for table in (Table("t", key="id"), Table("t", label="late")):
        with pytest.raises(UsageError, match="cannot find their rows") as refused:
            tables.label(table, pl.DataFrame({"id": [1], "late": [True]}))
        assert refused.value.fix
    with pytest.raises(TableNotFound):
        tables.label(Table("none", key="id", label="late"), pl.DataFrame({"id": [1], "late": [True]}))


def test_labels_keep_when_they_came_and_from_where(tables: Tables, tmp_path: Path) -> None:
    tables.label(T, pl.DataFrame({"id": [1], "late": [True]}), origin="airport")
    kept = pl.read_delta(str(tmp_path / "t.labels"))
    assert kept.select("id", "late", "labelled_at", "origin").rows() == [(1, True, START, "airport")]
    assert tables.names() == ["t"]


def test_nan_and_empty_text_are_no_labels_to_send(tables: Tables) -> None:
    for none, label in ((float("nan"), 0.5), ("", "yes")):
        with pytest.raises(SchemaMismatch, match=r"'late' has no value in 1 row \(first: row 2"):
            tables.label(T, pl.DataFrame({"id": [1, 2], "late": [label, none]}))


def test_once_labels_came_another_label_cannot_be_declared(tables: Tables) -> None:
    tables.append(Table("u", key="id", label="late"), pl.DataFrame({"id": [1], "x": [0.5], "y": [1]}))
    tables.redeclare(Table("u", key="id", label="y"))
    tables.redeclare(Table("u", key="id", label="late"))
    tables.label(Table("u", key="id", label="late"), pl.DataFrame({"id": [1], "late": [True]}))
    for label in ("lat", "x", None):
        with pytest.raises(DeclarationError, match="labels of table 'u' came as 'late'") as refused:
            tables.redeclare(Table("u", key="id", label=label))
        assert "label='late'" in str(refused.value.fix)
    assert tables.declared("u") == Table("u", key="id", label="late")
    assert tables.read("u").row(0) == (1, 0.5, 1, True)


def test_an_append_that_names_no_label_is_refused_though_labels_came(tables: Tables) -> None:
    tables.label(T, pl.DataFrame({"id": [1], "late": [True]}))
    with pytest.raises(DeclarationError, match="declared otherwise"):
        tables.append(Table("t", key="id"), pl.DataFrame({"id": [4], "x": [0.4]}))


def test_a_label_column_without_a_value_is_none_yet(tables: Tables) -> None:
    rows = pl.DataFrame({"id": [4], "x": [0.4], "late": [None]})
    assert tables.append(T, rows).columns == ("id", "x")
    assert tables.append(Table("new", key="id", label="late"), rows).columns == ("id", "x")


def test_labels_survive_compaction(tables: Tables) -> None:
    for late in (True, False, True, False):
        tables.label(T, pl.DataFrame({"id": [1], "late": [late]}))
    tables.compact("t")
    assert tables.read("t")["late"].to_list() == [False, None, None]
