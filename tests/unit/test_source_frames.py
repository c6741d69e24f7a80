"""Frames and queries come in by the same door."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from loopwright.data.source import Query, SourceLike, open_source
from loopwright.errors import BadSource

FRAME = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]})

KINDS: list[Callable[[], SourceLike]] = [
    lambda: FRAME,
    lambda: FRAME.lazy(),
    lambda: FRAME.to_arrow(),
    lambda: FRAME.to_arrow().to_batches()[0],
    lambda: FRAME.to_arrow().to_reader(),
    lambda: FRAME.to_pandas(),
]


@pytest.mark.parametrize("make", KINDS)
def test_every_kind_of_frame_gives_the_same_rows(make: Callable[[], SourceLike]) -> None:
    source = open_source(make())
    rows = [row for batch in source.batches() for row in batch.to_pylist()]
    assert rows == FRAME.to_dicts()
    assert source.schema.names == ["a", "b"]


def test_a_large_frame_comes_in_pieces() -> None:
    source = open_source(pl.DataFrame({"a": range(500_000)}))
    sizes = [batch.num_rows for batch in source.batches()]
    assert sum(sizes) == 500_000
    assert max(sizes) <= 131_072


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a' stands twice"),
        (pd.DataFrame([[1, 2]]), "column name 0"),
        (pd.DataFrame({"a": [1, "x"]}), "column a"),
        (42, "a int is no table"),
        (pa.table([[1], [2]], names=["a", "a"]), "two columns are named 'a'"),
        (pl.scan_csv("/nowhere/none.csv"), "cannot be read"),
        (pl.LazyFrame({"a": ["x"]}).select(pl.col("a").str.to_integer()), "cannot be read"),
    ],
)
def test_a_bad_frame_is_refused_with_the_reason(frame: SourceLike, told: str) -> None:
    with pytest.raises(BadSource) as refused:
        list(open_source(frame).batches())
    assert told in str(refused.value)
    assert refused.value.fix


def test_a_stream_that_breaks_is_a_bad_source() -> None:
    def broken() -> object:
        yield pa.RecordBatch.from_pydict({"a": [1]})
        raise OSError("the other side hung up")

    reader = pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), broken())
    with pytest.raises(BadSource, match="hung up"):
        list(open_source(reader).batches())


@pytest.fixture
def shop(tmp_path: Path) -> str:
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.execute("create table orders (id integer, paid real, note text)")
    connection.executemany("insert into orders values (?, ?, ?)", [(i, i / 2, f"n{i}") for i in range(40_000)])
    connection.execute("insert into orders values (40000, 'free', null)")
    connection.commit()
    connection.close()
    return f"sqlite:///{tmp_path / 'shop.db'}"


def test_a_query_is_streamed(shop: str) -> None:
    source = open_source(Query(shop, "select * from orders where id < 40000 order by id"))
    batches = list(source.batches())
    assert [str(kind) for kind in source.schema.types] == ["int64", "double", "string"]
    assert sum(batch.num_rows for batch in batches) == 40_000
    assert len(batches) > 1
    assert batches[-1].to_pylist()[-1] == {"id": 39_999, "paid": 19_999.5, "note": "n39999"}


def test_a_value_that_changes_type_far_down_a_query_is_refused_with_its_row(shop: str) -> None:
    with pytest.raises(BadSource, match=r"row 40001, column 'paid': 'free' is not of type double"):
        list(open_source(Query(shop, "select * from orders order by id")).batches())


def test_expected_types_reach_a_query(shop: str) -> None:
    expected = pa.schema([("id", pa.float64()), ("at", pa.timestamp("us", "UTC"))])
    source = open_source(Query(shop, "select id, null as at from orders limit 2"), expected)
    assert source.schema.equals(expected)
    assert next(source.batches()).to_pylist() == [{"id": 0.0, "at": None}, {"id": 1.0, "at": None}]


def test_a_query_without_rows_has_columns_without_types(shop: str) -> None:
    source = open_source(Query(shop, "select id from orders where id < 0"))
    assert source.schema == pa.schema([("id", pa.null())])
    assert sum(batch.num_rows for batch in source.batches()) == 0


@pytest.mark.parametrize(
    ("url", "statement", "told"),
    [
        ("sqlite://", "select * from missing", "no such table"),
        ("sqlite://", "selec", "syntax error"),
        ("nodatabase://me:hunter2@host/db", "select 1", "nodatabase"),
        ("not a url hunter2", "select 1", "database"),
        ("postgresql+psycopg://me:hunter2@127.0.0.1:1/db", "select 1", "127.0.0.1"),
    ],
)
def test_a_refused_query_tells_why_and_never_the_password(url: str, statement: str, told: str) -> None:
    with pytest.raises(BadSource) as refused:
        open_source(Query(url, statement))
    assert told in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(Query(url, statement))


def test_pandas_missing_values_and_times_arrive() -> None:
    frame = pd.DataFrame({"t": pd.to_datetime(["2026-01-02", None]), "x": [1.5, None], "c": pd.Categorical(["u", "v"])})
    rows = [row for batch in open_source(frame).batches() for row in batch.to_pylist()]
    assert rows[0]["c"] == "u"
    assert rows[1]["x"] is None
    assert rows[1]["t"] is None
    assert pd.Timestamp(rows[0]["t"]).tz_localize(UTC) == datetime(2026, 1, 2, tzinfo=UTC)


def test_a_frame_of_python_objects_is_refused() -> None:
    with pytest.raises(BadSource, match="column 'a' holds Python objects"):
        open_source(pl.DataFrame({"a": [object()]}))
