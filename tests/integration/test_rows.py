"""Pinning a table for a loop: everything is looked at before anything is declared anew."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from loopwright.data.rows import pin
from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.errors import DeclarationError, LoopwrightError, SchemaMismatch, TableNotFound
from loopwright.testing import HandClock

ORDERS = Table("orders", key="a", label="returned")


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path / "tables", HandClock())


@pytest.fixture
def labelled(tables: Tables) -> Tables:
    """A table whose labels came late."""
    tables.append(ORDERS, pl.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [0.5, 1.5]}))
    tables.label(ORDERS, pl.DataFrame({"a": [1], "returned": [True]}))
    return tables


WRONG: list[tuple[Table, str | None, type[LoopwrightError], str]] = [
    (Table("orders", key="a", label="retruned"), None, SchemaMismatch, "did you mean 'returned'"),
    (Table("orders", key="a", label="b"), None, DeclarationError, "labels of table 'orders' came as 'returned'"),
    (Table("orders", key="a"), None, DeclarationError, "came as 'returned'"),
    (Table("orders", key="b", label="returned"), None, DeclarationError, "a key cannot change"),
    (Table("orders", key="a", label="returned", never=["d"]), None, SchemaMismatch, "never names the column 'd'"),
    (Table("orders", key="a", label="returned", time="b"), None, SchemaMismatch, "'b' is the time"),
    (Table("orders", key="a", label="returned", never=["b"]), "weigth", SchemaMismatch, "weight names"),
]


@pytest.mark.parametrize(("table", "weight", "error", "told"), WRONG)
def test_a_refusal_changes_nothing(
    labelled: Tables, table: Table, weight: str | None, error: type[LoopwrightError], told: str
) -> None:
    before = labelled.current("orders")
    with pytest.raises(error, match=told):
        pin(labelled, table, weight=weight)
    assert labelled.declared("orders") == ORDERS
    assert labelled.current("orders") == before
    assert labelled.read("orders")["returned"].to_list() == [True, None]
    labelled.label(ORDERS, pl.DataFrame({"a": [2], "returned": [False]}))


def test_what_is_declared_now_counts(labelled: Tables) -> None:
    now = Table("orders", key="a", label="returned", never=["c"])
    assert pin(labelled, now).features == ["b"]
    assert labelled.declared("orders") == now


def test_a_label_that_has_not_arrived_is_told_from_one_that_is_misspelt(tables: Tables) -> None:
    tables.append(ORDERS, pl.DataFrame({"a": [1], "b": ["x"]}))
    with pytest.raises(SchemaMismatch, match="no label has arrived yet") as refused:
        pin(tables, ORDERS)
    assert refused.value.fix == "send labels: lw tables label orders FILE"
    misspelt = Table("shop", key="a", label="retruned")
    tables.append(misspelt, pl.DataFrame({"a": [1], "returned": [True]}))
    with pytest.raises(SchemaMismatch, match="did you mean 'returned'"):
        pin(tables, misspelt)
    with pytest.raises(SchemaMismatch, match="label names the column 'late'"):
        pin(tables, Table("shop", key="a", label="late"))
    assert pin(tables, Table("shop", key="a", label="returned")).unlabelled(tables) == 0


def test_a_loop_without_source_and_table_is_told_how_to_make_one(labelled: Tables) -> None:
    with pytest.raises(TableNotFound, match="there is no table 'order'") as refused:
        pin(labelled, Table("order", label="b"))
    fix = str(refused.value.fix)
    assert "lw tables append order FILE" in fix
    assert "source=" in fix
    assert "did you mean 'orders'?" in fix
