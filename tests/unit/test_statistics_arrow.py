"""Statistics of Arrow batches, Parquet files and frames."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopwright.data import spans
from loopwright.data.profile import Profile
from loopwright.data.statistics import Statistics, TableProfile, describe, profile_by, profile_parquet
from loopwright.errors import DataError

TYPES = {
    "i8": (pa.int8(), st.integers(-128, 127)),
    "u32": (pa.uint32(), st.integers(0, 2**32 - 1)),
    "u64": (pa.uint64(), st.integers(0, 2**63 - 1)),
    "i64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "f32": (pa.float32(), st.floats(width=32)),
    "f64": (pa.float64(), st.floats()),
    "flag": (pa.bool_(), st.booleans()),
    "text": (pa.string(), st.text(max_size=10)),
    "large": (pa.large_string(), st.text(max_size=10)),
    "view": (pa.string_view(), st.text(max_size=10)),
    "code": (pa.dictionary(pa.int32(), pa.string()), st.text(max_size=10)),
    "list": (pa.list_(pa.int64()), st.lists(st.integers(0, 9), max_size=3)),
}
KINDS: Any = {
    "i8": "integer", "u32": "integer", "u64": "integer", "i64": "integer", "f32": "float", "f64": "float",
    "flag": "boolean", "text": "string", "large": "string", "view": "string", "code": "string", "list": "list",
}  # fmt: skip


@settings(deadline=None)
@given(st.data())
def test_arrow_and_plain_sequences_give_the_same_bytes(data: st.DataObject) -> None:
    """Slices of Arrow arrays too, whose bitmaps begin within a byte."""
    rows = data.draw(st.integers(0, 40))
    columns = {
        name: data.draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
        for name, (_, values) in TYPES.items()
    }
    batch = pa.record_batch([pa.array(columns[name], dtype) for name, (dtype, _) in TYPES.items()], names=list(TYPES))
    cut = data.draw(st.integers(0, rows))
    arrow, plain = TableProfile.of_schema(batch.schema), Profile(KINDS)
    arrow.update(batch.slice(0, cut))
    arrow.update(batch.slice(cut))
    plain.update(columns)
    assert arrow.kinds == KINDS
    assert arrow.to_json() == plain.to_json()


def frame(rows: int) -> pl.DataFrame:
    draw = np.random.default_rng(0)
    carriers = np.array(["AA", "B6", "UA", "", "🛩️"])
    return pl.DataFrame(
        {
            "carrier": carriers[draw.integers(0, 5, rows)],
            "plane": [f"N{one}" for one in draw.integers(0, 3000, rows)],
            "delay": draw.normal(size=rows),
            "distance": pl.Series(draw.integers(80, 5000, rows)).set(pl.Series(draw.random(rows) < 0.1), None),
            "at": pl.Series(draw.integers(-(10**15), 10**15, rows)).cast(pl.Datetime("us", "UTC")),
        }
    )


def test_parquet_files_frames_and_batches_are_described_alike(tmp_path: Path) -> None:
    rows = frame(30_000)
    rows.write_parquet(tmp_path / "rows.parquet", row_group_size=7000)
    from_file = profile_parquet([tmp_path / "rows.parquet"])
    from_frame = describe(rows.lazy())
    for name in rows.columns:
        if name != "plane":
            assert from_file.column(name) == from_frame.column(name)
    assert from_file.column("plane").distinct == pytest.approx(rows["plane"].n_unique(), rel=0.05)
    known = rows["distance"].drop_nulls()
    assert from_frame.column("distance").mean == pytest.approx(known.mean(), rel=1e-15)
    assert from_frame.column("carrier").missing == (rows["carrier"] == "").sum()


def test_dictionaries_that_differ_from_batch_to_batch_are_told_apart() -> None:
    dtype = pa.dictionary(pa.int32(), pa.string())
    parts = [pa.array(texts * 5000, pa.string()).dictionary_encode() for texts in (["a", "b"], ["b", "c", "a"], ["c"])]
    profile = TableProfile({"x": "string"})
    for part in parts:
        profile.update(pa.record_batch({"x": part}))
    assert parts[0].type == dtype
    assert profile.column("x").values == {"c": 10_000, "b": 10_000, "a": 10_000}


def test_small_batches_give_what_a_large_one_gives() -> None:
    rows = frame(12_345).drop("plane")
    one, small = (TableProfile.of_schema(rows.to_arrow().schema) for _ in range(2))
    one.update(rows.to_arrow().combine_chunks().to_batches()[0])
    for batch in rows.to_arrow().to_batches(max_chunksize=100):
        small.update(batch)
    assert one.to_json() == small.to_json()
    assert small.column("carrier") == one.column("carrier")


def test_columns_of_every_usual_type_are_described() -> None:
    found = describe(
        pl.LazyFrame(
            {
                "day": [date(1969, 12, 31), date(2024, 2, 29), None],
                "nanoseconds": pl.Series([-1, 0, 1]).cast(pl.Datetime("ns")),
                "milliseconds": pl.Series([-1, 0, 1]).cast(pl.Datetime("ms", "Europe/Berlin")),
                "price": pl.Series([Decimal("1.10"), Decimal("2.20"), None], dtype=pl.Decimal(10, 2)),
                "carrier": pl.Series(["UA", None, "UA"], dtype=pl.Categorical),
                "origin": pl.Series(["EWR", "JFK", "EWR"], dtype=pl.Enum(["EWR", "JFK"])),
                "tags": [["a", "b"], [], None],
                "never": pl.Series([None, None, None], dtype=pl.Null),
                "half": pl.Series([1.5, 2.5, float("nan")], dtype=pl.Float32),
            }
        )
    )
    assert (found.column("day").low, found.column("day").high) == (
        "1969-12-31T00:00:00+00:00", "2024-02-29T00:00:00+00:00",
    )  # fmt: skip
    assert found.column("nanoseconds").low == "1969-12-31T23:59:59.999999+00:00"
    assert found.column("milliseconds").high == datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC).isoformat()
    assert found.column("price").mean == pytest.approx(1.65)
    assert found.column("carrier").values == {"UA": 2}
    assert found.column("origin").distinct == 2
    assert (found.column("tags").kind, found.column("tags").mean, found.column("tags").high) == ("list", 1.0, 2)
    assert found.column("never").missing == 3
    assert (found.column("half").nan, found.column("half").mean) == (1, 2.0)


def test_numbers_beyond_64_bits_and_structs_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"2\*\*63"):
        describe(pl.LazyFrame({"x": pl.Series([2**64 - 1], dtype=pl.UInt64)}))
    with pytest.raises(DataError, match="cannot be described") as caught:
        describe(pl.LazyFrame({"x": [{"a": 1}]}))
    assert caught.value.where == "column 'x'"


def test_statistics_go_to_json_and_back_and_on() -> None:
    rows = frame(5000)
    found = describe(rows.lazy())
    again = Statistics.from_json(found.to_json())
    assert again == found
    profile = again.profile()
    profile.merge(found.profile())
    assert profile.column("distance").rows == 10_000
    assert profile.column("distance").mean == found.column("distance").mean
    with pytest.raises(LookupError):
        found.column("nothing")


def test_duplicate_columns_are_found_across_string_types() -> None:
    rows = frame(9000)
    found = describe(rows.with_columns(copy=pl.col("delay"), same=pl.col("carrier").cast(pl.Categorical)).lazy())
    assert found.duplicates == (("carrier", "same"), ("copy", "delay"))


def test_slices_have_profiles_of_their_own_that_merge_to_the_whole() -> None:
    rows = frame(8000).to_arrow().to_batches()
    by = profile_by(rows, "carrier")
    assert set(by) == {"AA", "B6", "UA", "", "🛩️"}
    first, *others = by.values()
    for other in others:
        first.merge(other)
    assert first.column("distance") == describe(frame(8000).lazy()).column("distance")


def test_a_table_of_a_thousand_columns_is_described(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    table = pa.table({f"c{at}": draw.normal(size=500) for at in range(1000)})
    pq.write_table(table, tmp_path / "wide.parquet")
    found = profile_parquet([tmp_path / "wide.parquet"])
    assert found.column("c999").mean == pytest.approx(table.column("c999").to_numpy().mean())


def test_a_frame_without_rows_is_described() -> None:
    found = describe(frame(5).lazy().filter(pl.col("delay") > 1e9))
    assert found.rows == 0
    assert [column.missing for column in found.columns] == [0] * 5
    assert found.duplicates == ()


def test_very_many_strings_are_kept_the_same_however_they_were_cut() -> None:
    texts = [f"v{one}" for one in np.random.default_rng(0).zipf(1.2, 300_000).clip(max=10**6)]
    arrow = [TableProfile({"x": "string"}) for _ in range(2)]
    plain = [Profile({"x": "string"}) for _ in range(2)]
    for one, other, size in zip(arrow, plain, (300_000, 7_001), strict=True):
        for at in range(0, len(texts), size):
            one.update(pa.record_batch({"x": texts[at : at + size]}))
            other.update({"x": texts[at : at + size]})
    assert arrow[0].to_json() == arrow[1].to_json()
    assert plain[0].to_json() == plain[1].to_json()


def test_times_beyond_the_calendar_are_counted_and_tell_nothing_else() -> None:
    kinds = {"ms": pa.timestamp("ms"), "s": pa.timestamp("s"), "us": pa.timestamp("us", "UTC")}
    batch = pa.record_batch({name: pa.array([-(2**62), 2**62, 0], kind) for name, kind in kinds.items()})
    profile = TableProfile.of_schema(batch.schema)
    profile.update(batch)
    profile.flush()
    both = TableProfile.from_json(profile.to_json())
    both.merge(profile)
    for name in kinds:
        seen = both.column(name)
        assert (seen.rows, seen.missing, seen.out_of_range, seen.there) == (6, 0, 4, 2)
        assert (seen.low, seen.high) == ("1970-01-01T00:00:00+00:00", "1970-01-01T00:00:00+00:00")


def test_nanoseconds_are_rounded_down_to_the_first_of_them() -> None:
    batch = pa.record_batch({"at": pa.array([-(2**63) + 1, -1, 0, 999, 2**63 - 1], pa.timestamp("ns"))})
    profile = TableProfile.of_schema(batch.schema)
    profile.update(batch)
    seen = profile.column("at")
    assert (seen.low, seen.high) == ("1677-09-21T00:12:43.145224+00:00", "2262-04-11T23:47:16.854775+00:00")
    assert seen.distinct == 4


def test_a_column_of_numbers_that_are_too_wide_is_left_out_by_name(tmp_path: Path) -> None:
    wide = pa.array([2**63, 1], pa.uint64())
    pq.write_table(pa.table({"u": wide, "fits": pa.array([2**63 - 1, 1], pa.uint64())}), tmp_path / "rows.parquet")
    (tmp_path / "room").mkdir()
    looked = spans.of_files(str(tmp_path / "rows.parquet"), tmp_path / "room")
    assert list(looked.span.seen.columns) == ["fits"]
    assert looked.span.notes == ("left out: column 'u': whole numbers of 2**63 and more cannot be described",)
    assert looked.rows is not None
    assert looked.rows.collect().columns == ["fits"]
    with pytest.raises(DataError, match="'u'"):
        describe(pl.LazyFrame({"u": pl.Series([2**63, 1], dtype=pl.UInt64)}))


def test_quantiles_of_few_values_are_exact_however_far_apart_they_lie() -> None:
    found = describe(pl.LazyFrame({"i": [-(2**63), 0, 1, 2**63 - 1], "f": [-1e300, -2.5, 7.25, 1e300]}))
    for name, middle in (("i", 0.0), ("f", -2.5)):
        quantiles = found.column(name).quantiles
        assert quantiles is not None
        assert quantiles["0.5"] == middle
