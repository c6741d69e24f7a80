"""Which types a table keeps, and casts that never change a value."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.data import columns
from loopwright.errors import SchemaMismatch

CASTS: list[tuple[pa.DataType, list[object], pa.DataType, list[object]]] = [
    (pa.int32(), [1, None], pa.int64(), [1, None]),
    (pa.uint64(), [7], pa.int64(), [7]),
    (pa.int64(), [2**53], pa.float64(), [2.0**53]),
    (pa.float64(), [3.0, None], pa.int64(), [3, None]),
    (pa.float64(), [0.5, float("inf")], pa.float32(), [0.5, float("inf")]),
    (pa.date32(), [date(2026, 1, 2)], columns.TIMESTAMP, [datetime(2026, 1, 2, tzinfo=UTC)]),
    (
        pa.timestamp("ns"),
        [datetime.fromisoformat("2026-01-02T03:00")],
        columns.TIMESTAMP,
        [datetime(2026, 1, 2, 3, tzinfo=UTC)],
    ),
    (pa.timestamp("us"), [datetime.fromisoformat("2026-01-02")], pa.date32(), [date(2026, 1, 2)]),
    (pa.large_string(), ["a"], pa.string(), ["a"]),
    (pa.string_view(), ["a"], pa.string(), ["a"]),
    (pa.null(), [None], pa.int64(), [None]),
    (pa.decimal128(5, 2), [Decimal("1.50")], pa.decimal128(10, 4), [Decimal("1.5000")]),
    (pa.large_list(pa.large_string()), [["a"], None], pa.list_(pa.string()), [["a"], None]),
]

LOSSY: list[tuple[pa.DataType, list[object], pa.DataType]] = [
    (pa.int64(), [1, 2**53 + 1], pa.float64()),
    (pa.float64(), [1.0, 2.5], pa.int64()),
    (pa.float64(), [0.5, 0.1], pa.float32()),
    (pa.uint64(), [1, 2**63], pa.int64()),
    (pa.int64(), [1, 2**40], pa.int32()),
    (
        pa.timestamp("us"),
        [datetime.fromisoformat("2026-01-02"), datetime.fromisoformat("2026-01-02T03:00")],
        pa.date32(),
    ),
    (pa.decimal128(5, 2), [Decimal("1.50"), Decimal("1.55")], pa.decimal128(5, 1)),
]


def one_column(kind: pa.DataType, values: list[object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, kind)], ["a"])


@pytest.mark.parametrize(("kind", "values", "target", "stored"), CASTS)
def test_a_cast_that_changes_no_value_is_made(
    kind: pa.DataType, values: list[object], target: pa.DataType, stored: list[object]
) -> None:
    schema = pa.schema([("a", target)])
    columns.check_schema(pa.schema([("a", kind)]), schema, "here")
    assert columns.fit(one_column(kind, values), schema, "here", 0).column(0).to_pylist() == stored


@pytest.mark.parametrize(("kind", "values", "target"), LOSSY)
def test_a_cast_that_would_change_a_value_is_refused_with_its_row(
    kind: pa.DataType, values: list[object], target: pa.DataType
) -> None:
    with pytest.raises(SchemaMismatch, match=r"column 'a', row 102: ") as refused:
        columns.fit(one_column(kind, values), pa.schema([("a", target)]), "file.parquet", 100)
    assert str(values[1]) in refused.value.what
    assert refused.value.where == "file.parquet"


@given(st.integers(0, 50), st.lists(st.integers(-(2**31), 2**31 - 1), min_size=51, max_size=80))
def test_the_row_that_is_named_is_the_first_that_does_not_fit(row: int, values: list[int]) -> None:
    broken = [*values[:row], 2**40, *values[row:], 2**41]
    with pytest.raises(SchemaMismatch, match=f"row {row + 1}: {2**40} does not fit int32"):
        columns.fit(one_column(pa.int64(), list(broken)), pa.schema([("a", pa.int32())]), "x", 0)


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (pa.string(), pa.int64()),
        (pa.int64(), pa.string()),
        (pa.bool_(), pa.int64()),
        (pa.int64(), columns.TIMESTAMP),
        (pa.binary(), pa.string()),
        (pa.list_(pa.int64()), pa.int64()),
    ],
)
def test_types_of_different_families_do_not_mix(kind: pa.DataType, target: pa.DataType) -> None:
    with pytest.raises(SchemaMismatch, match=f"holds {kind.id and str(kind)[:3]}"):
        columns.check_schema(pa.schema([("a", kind)]), pa.schema([("a", target)]), "x")


def test_a_missing_and_a_new_column_are_told_with_the_closest() -> None:
    table = pa.schema([("carrier", pa.string()), ("delay", pa.int64())])
    with pytest.raises(SchemaMismatch, match=r"'carrier' \(string\) is missing") as missing:
        columns.check_schema(pa.schema([("carier", pa.string()), ("delay", pa.int64())]), table, "x")
    assert "did you mean 'carier'?" in str(missing.value)
    with pytest.raises(SchemaMismatch, match=r"'delays' \(int64\) is not in the table") as new:
        columns.check_schema(table.append(pa.field("delays", pa.int64())), table, "x")
    assert "did you mean 'delay'?" in str(new.value)


@pytest.mark.parametrize("kind", [pa.null(), pa.time32("s"), pa.duration("us"), pa.map_(pa.string(), pa.int64())])
def test_a_type_no_table_keeps_is_refused_with_what_to_do(kind: pa.DataType) -> None:
    with pytest.raises(SchemaMismatch, match="column 'a'") as refused:
        columns.stored_schema(pa.schema([("a", kind)]), "x")
    assert refused.value.fix
