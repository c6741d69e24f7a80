"""Values tagged `pii`: which ones they are, what is written in their place, and the key that hides them."""

from __future__ import annotations

import threading
from pathlib import Path

import polars as pl
import pytest

from loopwright.data.schema import Column, Schema
from loopwright.data.statistics import describe
from loopwright.data.table import Table
from loopwright.data.validate import contract
from loopwright.errors import SettingsError, StoreUnavailable
from loopwright.predictions.concealing import KEY_FILE, Concealer, hidden, secret_of
from loopwright.predictions.window import seen
from loopwright.settings import load

EMAIL = Column(name="email", kind="string", missing=True, tags=("pii",))
X = Column(name="x", kind="float", missing=False)
SCHEMA = Schema(columns=(EMAIL, X), key=("person", "day"), pii=("person",))
ROW = {"email": "a@b.c", "x": 1.5}


def test_tagged_values_are_hashed_and_the_others_are_left() -> None:
    concealer = Concealer(SCHEMA, "hash", b"k")
    assert concealer.row(ROW) == {"email": hidden(b"k", "email", "a@b.c"), "x": 1.5}
    assert concealer.row({"email": None, "x": 1.5}) == {"email": None, "x": 1.5}
    assert concealer.key({"person": 7, "day": 1}) == {"person": hidden(b"k", "person", 7), "day": 1}
    assert concealer.key(None) is None


def test_tagged_values_are_left_out_where_that_is_asked_and_no_label_finds_them_by_what_is_left() -> None:
    concealer = Concealer(SCHEMA, "drop", b"k")
    assert concealer.row(ROW) == {"x": 1.5}
    assert concealer.key({"person": 7}) is None
    assert concealer.key({"person": 7, "day": 1}) == {"day": 1}
    assert concealer.label_key({"person": 7, "day": 1}) is None
    assert concealer.label_key({"day": 1}) == {"day": 1}


def test_a_hash_tells_nothing_without_the_key_and_differs_by_column() -> None:
    assert hidden(b"k", "a", "x") != hidden(b"other", "a", "x")
    assert hidden(b"k", "a", "x") != hidden(b"k", "b", "x")
    assert "x" not in hidden(b"k", "a", "x").removeprefix("pii:")


def test_a_key_column_that_is_tagged_is_named_in_the_contract_of_a_model_that_does_not_take_it() -> None:
    rows = pl.LazyFrame({"person": ["a", "b"], "email": ["c", "d"], "x": [1.0, 2.0], "y": [0.0, 1.0]})
    person = Column(name="person", kind="string", missing=False, tags=("pii",))
    given = Schema(columns=(person, EMAIL, X, Column(name="y", kind="float", missing=False)), key=("person",))
    found = contract(describe(rows), ["email", "x"], Table("t", key="person", label="y"), given)
    assert found.pii == ("person",)
    assert Concealer(found, "hash", b"k").columns == {"person", "email"}
    assert Schema.from_json(found.to_json()) == found
    assert seen(found).names == ("x",)


def test_of_several_at_once_the_first_key_stands(tmp_path: Path) -> None:
    found = list[bytes]()
    threads = [threading.Thread(target=lambda: found.append(secret_of(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {secret_of(tmp_path)}
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_key_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(StoreUnavailable, match="5 bytes long"):
        secret_of(tmp_path)


def test_a_choice_that_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="pii cannot be 'hsah'; did you mean 'hash'"):
        load(tmp_path, {"pii": "hsah"}, {})
