"""Appending: every version is whole, every refusal leaves the table as it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from loopwright.data.source import Query, SourceLike
from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.errors import (
    BadSource,
    DataError,
    DeclarationError,
    DuplicateKeys,
    SchemaMismatch,
    TableNotFound,
    UsageError,
)
from loopwright.testing import HandClock

FLIGHTS = Table("flights", key="id", time="at", label="late", never=["arrived"])
DAY = datetime(2026, 1, 1, tzinfo=UTC)


def flights(first: int, count: int) -> pl.DataFrame:
    """Flights with ids from `first`, one an hour, without their label."""
    ids = range(first, first + count)
    return pl.DataFrame(
        {
            "id": ids,
            "at": [DAY + timedelta(hours=i) for i in ids],
            "carrier": [f"C{i % 3}" for i in ids],
            "arrived": [float(i) for i in ids],
        }
    )


def parquet_files(root: Path) -> set[Path]:
    return set(root.rglob("*.parquet"))


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path / "tables", HandClock())


def test_a_first_append_makes_the_table_and_its_contract_comes_back(tables: Tables) -> None:
    version = tables.append(FLIGHTS, flights(0, 10), batch_id="january")
    assert (version.name, version.rows, version.batch_id) == ("flights", 10, "january")
    assert version.appended_at == DAY
    assert version.columns == ("id", "at", "carrier", "arrived")
    assert tables.names() == ["flights"]
    assert tables.declared("flights") == FLIGHTS
    assert tables.read("flights").equals(flights(0, 10))


def test_another_declaration_is_refused_showing_both_until_it_is_said_once(tables: Tables) -> None:
    tables.append(FLIGHTS, flights(0, 1))
    other = Table("flights", key="id", time="at", label="late")
    with pytest.raises(DeclarationError) as refused:
        tables.append(other, flights(1, 1))
    assert "never=('arrived',)" in str(refused.value)
    assert "never=()" in str(refused.value)
    tables.redeclare(other)
    assert tables.append(other, flights(1, 1)).rows == 2
    with pytest.raises(DeclarationError, match="the key of table 'flights' is"):
        tables.redeclare(Table("flights", key="carrier"))


WRONG: list[tuple[Callable[[], SourceLike], type[DataError], str]] = [
    (lambda: flights(5, 3), DuplicateKeys, "3 repeated keys of id: 5, 6, 7"),
    (lambda: pl.concat([flights(20, 2), flights(20, 1)]), DuplicateKeys, "1 repeated key of id: 20"),
    (lambda: flights(10, 2).drop("carrier"), SchemaMismatch, "'carrier' (string) is missing"),
    (lambda: flights(10, 2).with_columns(x=1), SchemaMismatch, "'x' (int32) is not in the table"),
    (lambda: flights(10, 2).with_columns(carrier=1), SchemaMismatch, "'carrier' holds int32"),
    (lambda: flights(10, 2).with_columns(id=pl.lit(10.5)), SchemaMismatch, "column 'id', row 1: 10.5"),
    (lambda: flights(10, 2).with_columns(id=pl.lit(None, pl.Int64)), SchemaMismatch, "'id' has no value in 2 rows"),
    (lambda: flights(10, 2).with_columns(at=None), SchemaMismatch, "'at' has no value"),
    (lambda: "/nowhere/none.csv", BadSource, "no such file"),
]


@pytest.mark.parametrize(("source", "error", "told"), WRONG)
def test_a_refused_append_leaves_the_table_and_its_folder_unchanged(
    tables: Tables, tmp_path: Path, source: Callable[[], SourceLike], error: type[DataError], told: str
) -> None:
    before = tables.append(FLIGHTS, flights(0, 10))
    files = parquet_files(tmp_path)
    with pytest.raises(error) as refused:
        tables.append(FLIGHTS, source())
    assert told in str(refused.value)
    assert refused.value.fix
    assert tables.current("flights") == before
    assert parquet_files(tmp_path) == files


def test_a_file_that_breaks_far_down_leaves_nothing_behind(tables: Tables, tmp_path: Path) -> None:
    table = Table("numbers")
    path = tmp_path / "numbers.csv"
    path.write_text("a,b\n" + "1,x\n" * 3_000_000 + "1,x,y\n")
    with pytest.raises(BadSource, match="row 3000001"):
        tables.append(table, path)
    assert tables.names() == []
    assert not (tmp_path / "tables" / "numbers").exists()
    tables.append(table, pl.DataFrame({"a": [1], "b": ["x"]}))
    files = parquet_files(tmp_path)
    with pytest.raises(BadSource, match="row 3000001"):
        tables.append(table, path)
    assert tables.current("numbers").rows == 1
    assert parquet_files(tmp_path) == files


def test_a_later_file_takes_the_types_of_the_table(tables: Tables, tmp_path: Path) -> None:
    table = Table("m", time="t")
    (tmp_path / "1.csv").write_text("t,x,code\n2026-01-01T00:00:00,1.5,A1\n")
    (tmp_path / "2.csv").write_text("code,x,t\n007,2,2026-01-02\n")
    tables.append(table, tmp_path / "1.csv")
    tables.append(table, tmp_path / "2.csv")
    assert tables.read("m").rows() == [
        (datetime(2026, 1, 1, tzinfo=UTC), 1.5, "A1"),
        (datetime(2026, 1, 2, tzinfo=UTC), 2.0, "007"),
    ]


def test_the_same_batch_again_gives_the_version_it_made(tables: Tables) -> None:
    first = tables.append(FLIGHTS, flights(0, 5), batch_id="a")
    tables.append(FLIGHTS, flights(5, 5), batch_id="b")
    again = tables.append(FLIGHTS, flights(0, 5), batch_id="a")
    assert (again.version, again.digest, again.rows) == (first.version, first.digest, 5)
    assert tables.current("flights").rows == 10


def test_a_source_without_rows_makes_no_version(tables: Tables, tmp_path: Path) -> None:
    before = tables.append(FLIGHTS, flights(0, 5))
    assert tables.append(FLIGHTS, flights(5, 0)) == before
    (tmp_path / "head.csv").write_text("id,at,carrier,arrived\n")
    assert tables.append(FLIGHTS, tmp_path / "head.csv") == before
    with pytest.raises(SchemaMismatch, match="no value in it"):
        tables.append(Table("other"), tmp_path / "head.csv")
    assert tables.names() == ["flights"]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=5))
def test_appending_in_any_split_is_appending_at_once(cuts: list[int]) -> None:
    from tempfile import TemporaryDirectory

    whole = flights(0, 40)
    bounds = [0, *sorted(cuts), 40]
    with TemporaryDirectory() as folder:
        tables = Tables(folder, HandClock())
        for low, high in pairwise(bounds):
            tables.append(FLIGHTS, whole[low:high])
        assert tables.read("flights").equals(whole)
        tables.compact("flights")
        assert tables.read("flights").sort("id").equals(whole)


def test_every_version_stays_readable_after_compaction(tables: Tables) -> None:
    made = [tables.append(FLIGHTS, flights(i * 10, 10)) for i in range(4)]
    compacted = tables.compact("flights")
    assert compacted.version > made[-1].version
    assert compacted.rows == 40
    assert [version.rows for version in tables.versions("flights")] == [10, 20, 30, 40, 40]
    assert tables.versions("flights")[-1].size_bytes == compacted.size_bytes
    assert [tables.read("flights", version=one).height for one in made] == [10, 20, 30, 40]
    assert tables.versions("flights")[:4] == made
    with pytest.raises(TableNotFound, match="no version 99"):
        tables.read("flights", version=99)


def test_a_span_is_half_open_and_naive_bounds_are_utc(tables: Tables) -> None:
    tables.append(FLIGHTS, flights(0, 48))
    span = tables.read("flights", since=DAY + timedelta(hours=3), until=DAY + timedelta(hours=6))
    assert span["id"].to_list() == [3, 4, 5]
    assert tables.read("flights", since=date(2026, 1, 2))["id"].to_list() == list(range(24, 48))
    assert tables.read("flights", until=datetime(2026, 1, 1, 1))["id"].to_list() == [0]  # noqa: DTZ001


def test_a_span_opens_only_the_files_it_needs(tables: Tables, tmp_path: Path) -> None:
    for first in range(0, 100, 10):
        tables.append(FLIGHTS, flights(first, 10))
    rows = tmp_path / "tables" / "flights"
    needed = DeltaTable(str(rows), version=5).file_uris()[0]
    for file in rows.glob("*.parquet"):
        if file.name not in needed:
            file.write_bytes(b"opened")  # would fail when read
    kept = pl.read_parquet(needed)["id"].to_list()
    low = DAY + timedelta(hours=kept[0])
    assert tables.read("flights", since=low, until=low + timedelta(hours=10))["id"].to_list() == kept


def test_dates_make_spans_too(tables: Tables) -> None:
    days = Table("days", time="day")
    tables.append(days, pl.DataFrame({"day": [date(2026, 1, i) for i in range(1, 6)]}))
    assert tables.read(days, since=date(2026, 1, 2), until=date(2026, 1, 4)).height == 2
    assert tables.read(days, since=datetime(2026, 1, 2, 1, tzinfo=UTC)).height == 3


def test_training_leaves_out_what_must_never_reach_it(tables: Tables) -> None:
    tables.append(FLIGHTS, flights(0, 2))
    assert tables.read("flights", training=True).columns == ["id", "at", "carrier"]
    assert tables.read("flights", columns=["arrived"]).columns == ["arrived"]
    with pytest.raises(UsageError, match="never reach training"):
        tables.scan("flights", columns=["arrived"], training=True)
    with pytest.raises(UsageError) as refused:
        tables.scan("flights", columns=["carier"])
    assert "did you mean 'carrier'?" in str(refused.value)


def test_batches_have_the_size_asked_for_and_the_rows_of_a_read(tables: Tables) -> None:
    tables.append(FLIGHTS, flights(0, 2500))
    batches = list(tables.batches("flights", rows=1000))
    assert [batch.num_rows for batch in batches] == [1000, 1000, 500]
    assert pl.DataFrame(pa.Table.from_batches(batches)).equals(tables.read("flights"))


def test_a_table_that_is_not_there_is_told_with_the_closest(tables: Tables) -> None:
    tables.append(FLIGHTS, flights(0, 1))
    with pytest.raises(TableNotFound) as refused:
        tables.read("flight")
    assert "did you mean 'flights'?" in str(refused.value)
    with pytest.raises(DeclarationError):
        tables.read("../flights")


@pytest.mark.parametrize("key", [["carrier", "n"], "carrier"])
def test_text_and_compound_keys_are_kept_apart(tables: Tables, key: list[str] | str) -> None:
    table = Table("t", key=key)
    tables.append(table, pl.DataFrame({"carrier": ["b", "a"], "n": [1, 2]}))
    tables.append(table, pl.DataFrame({"carrier": ["c", "d"], "n": [1, 2]}))
    with pytest.raises(DuplicateKeys, match="1 repeated key"):
        tables.append(table, pl.DataFrame({"carrier": ["e", "a"], "n": [1, 2]}))
    assert tables.current("t").rows == 4


def test_a_label_column_may_come_with_a_later_append(tables: Tables) -> None:
    tables.append(FLIGHTS, flights(0, 2))
    tables.append(FLIGHTS, flights(2, 2).with_columns(late=True))
    tables.append(FLIGHTS, flights(4, 1))
    assert tables.read("flights")["late"].to_list() == [None, None, True, True, None]


def _written(folder: Path, kind: str, frame: pl.DataFrame) -> SourceLike:
    if kind == "csv":
        frame.write_csv(folder / "a.csv")
        return folder / "a.csv"
    if kind == "json lines":
        frame.with_columns(pl.col("at").dt.to_string("iso:strict")).write_ndjson(folder / "a.jsonl")
        return folder / "a.jsonl"
    if kind == "parquet":
        frame.write_parquet(folder / "a.parquet")
        return str(folder / "*.parquet")
    if kind == "delta":
        frame.write_delta(str(folder / "delta"))
        return folder / "delta"
    frame.with_columns(pl.col("at").dt.replace_time_zone(None)).write_database(
        "flights", f"sqlite:///{folder / 'a.db'}", engine="sqlalchemy"
    )
    return Query(f"sqlite:///{folder / 'a.db'}", "select * from flights order by id")


@pytest.mark.parametrize("kind", ["csv", "json lines", "parquet", "delta", "query"])
def test_every_kind_of_file_and_a_query_round_trip(tables: Tables, tmp_path: Path, kind: str) -> None:
    tables.append(FLIGHTS, flights(0, 1))
    folder = tmp_path / "source"
    folder.mkdir()
    tables.append(FLIGHTS, _written(folder, kind, flights(1, 9)))
    assert tables.read("flights").equals(flights(0, 10))


@pytest.mark.parametrize("kind", ["polars", "lazy", "arrow", "batch", "stream", "pandas"])
def test_every_kind_of_frame_round_trips(tables: Tables, kind: str) -> None:
    frame = flights(0, 10)
    sources: dict[str, SourceLike] = {
        "polars": frame,
        "lazy": frame.lazy(),
        "arrow": frame.to_arrow(),
        "batch": frame.to_arrow().to_batches()[0],
        "stream": frame.to_arrow().to_reader(),
        "pandas": frame.to_pandas(),
    }
    tables.append(FLIGHTS, sources[kind])
    assert tables.read("flights").equals(frame)
