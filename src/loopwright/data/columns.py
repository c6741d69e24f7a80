"""Column types: what a table stores, which types fit which, and the strict casts between them.

A cast here never changes a value: what does not fit exactly is refused with its row, column and value.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from loopwright.errors import SchemaMismatch, did_you_mean

TIMESTAMP = pa.timestamp("us", "UTC")

_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
}
_KEPT = frozenset([pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.date32()])


def storable(kind: pa.DataType) -> pa.DataType | None:
    """The type a table keeps values of `kind` as; None when it keeps none such.

    Unsigned integers take the next wider signed type, timestamps become microseconds in UTC (naive ones are taken as
    UTC), categories become their values. Times of day, durations, maps and columns without any value are not kept.

    >>> print(storable(pa.timestamp("ns")), storable(pa.uint8()), storable(pa.time32("s")))
    timestamp[us, tz=UTC] int16 None
    """
    if kind in _KEPT or pt.is_decimal128(kind):
        return kind
    if kind in _WIDER:
        return _WIDER[kind]
    if pt.is_timestamp(kind):
        return TIMESTAMP
    if pt.is_dictionary(kind):
        return storable(kind.value_type)
    if family(kind) in ("text", "bytes"):
        return pa.string() if family(kind) == "text" else pa.binary()
    return _storable_nested(kind)


def _storable_nested(kind: pa.DataType) -> pa.DataType | None:
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        inner = storable(kind.value_type)
        return None if inner is None else pa.list_(inner)
    if pt.is_struct(kind):
        inners = [(field.name, storable(field.type)) for field in kind.fields]
        return None if any(inner is None for _, inner in inners) else pa.struct(inners)
    return None


def family(kind: pa.DataType) -> str:
    """The family within which values may be cast when none changes: number, text, moment, truth, bytes, or the type."""
    if pt.is_dictionary(kind):
        return family(kind.value_type)
    if pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind):
        return "number"
    if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):
        return "text"
    if pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind) or pt.is_fixed_size_binary(kind):
        return "bytes"
    if pt.is_timestamp(kind) or pt.is_date(kind):
        return "moment"
    if pt.is_boolean(kind):
        return "truth"
    return str(_storable_nested(kind) or kind)


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both, for files read as one; None when there is none.

    >>> print(wider(pa.int64(), pa.float64()), wider(pa.null(), pa.string()), wider(pa.int64(), pa.string()))
    double string None
    """
    if one == other or pt.is_null(other):
        return one
    if pt.is_null(one):
        return other
    if family(one) != family(other):
        return None
    if family(one) == "moment":
        return TIMESTAMP
    if pt.is_integer(one) and pt.is_integer(other):
        return max(storable(one), storable(other), key=lambda kind: kind.bit_width)
    if family(one) == "number" and not (pt.is_decimal(one) or pt.is_decimal(other)):
        return pa.float64()
    return storable(one) if storable(one) == storable(other) else None


def stored_schema(found: pa.Schema, where: str) -> pa.Schema:
    """The schema a new table takes from `found`. Raises `SchemaMismatch` for a column no table can keep."""
    fields = []
    for field in found:
        kind = storable(field.type)
        if kind is None:
            raise SchemaMismatch(
                f"column {field.name!r} {_why_not(field.type)}", where=where, fix=_cure(field.name, field.type)
            )
        fields.append(pa.field(field.name, kind))
    return pa.schema(fields)


def _why_not(kind: pa.DataType) -> str:
    return "has no value in it, so its type cannot be known" if pt.is_null(kind) else f"is of type {kind}, not storable"


def _cure(column: str, kind: pa.DataType) -> str:
    if pt.is_null(kind):
        return f"leave {column!r} out, or give a frame that types it: pl.scan_csv(path, schema_overrides={{...}})"
    return f"cast {column!r} to text, a number or a timestamp before appending"


def check_schema(found: pa.Schema, expected: pa.Schema, where: str, may_miss: Iterable[str] = ()) -> None:
    """Refuse columns that are missing, new, or of a family the table's column cannot take. Order does not matter."""
    missing = [name for name in expected.names if name not in found.names and name not in set(may_miss)]
    new = [name for name in found.names if name not in expected.names]
    if missing:
        raise SchemaMismatch(
            f"column {missing[0]!r} ({expected.field(missing[0]).type}) is missing",
            where=where,
            fix=f"add it to the data; of the data's columns: {did_you_mean(missing[0], new or found.names)}",
        )
    if new:
        raise SchemaMismatch(
            f"column {new[0]!r} ({found.field(new[0]).type}) is not in the table",
            where=where,
            fix=f"leave it out, or rename it; of the table's columns: {did_you_mean(new[0], expected.names)}",
        )
    for field in found:
        _check_family(field, expected.field(field.name).type, where)


def _check_family(field: pa.Field, expected: pa.DataType, where: str) -> None:
    if pt.is_null(field.type) or family(field.type) == family(expected):
        return
    raise SchemaMismatch(
        f"column {field.name!r} holds {field.type}; the table has {expected}",
        where=where,
        fix=f"cast {field.name!r} to {expected} before appending",
    )


def fit(batch: pa.RecordBatch, schema: pa.Schema, where: str, rows_before: int) -> pa.RecordBatch:
    """`batch` in the columns, order and types of `schema`; columns it lacks are filled with missing values.

    `where` and `rows_before` (rows of the source already read) place the value a refusal names; rows count from 1,
    a header is not counted. Raises `SchemaMismatch` for a value the column's type cannot hold exactly.
    """
    if batch.schema.equals(schema):
        return batch
    columns = []
    for field in schema:
        if field.name in batch.schema.names:
            columns.append(_cast(batch.column(field.name), field, where, rows_before))
        else:
            columns.append(pa.nulls(batch.num_rows, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: pa.Array, field: pa.Field, where: str, rows_before: int) -> pa.Array:
    if column.type == field.type:
        return column
    try:
        return _exact(column, field.type)
    except pa.ArrowInvalid:
        row = first_misfit(column, field.type)
        raise SchemaMismatch(
            f"column {field.name!r}, row {rows_before + row + 1}: {column[row]} does not fit {field.type} exactly",
            where=where,
            fix=f"round or correct it, or give {field.name!r} another type in a new table",
        ) from None


def _exact(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast without changing a value. Floats rounded and times of day cut off are seen here: Arrow lets them pass."""
    if pt.is_dictionary(column.type):
        column = column.dictionary_decode()
    cast = column.cast(kind)
    narrower = pt.is_floating(kind) and pt.is_floating(column.type) and kind.bit_width < column.type.bit_width
    if narrower or (pt.is_date(kind) and pt.is_timestamp(column.type)):
        same = pc.equal(cast.cast(column.type), column)
        if narrower:
            same = pc.or_(same, pc.is_nan(column))
        if not pc.all(same, min_count=0).as_py():
            raise pa.ArrowInvalid("rounded")
    return cast


def first_misfit(column: pa.Array, kind: pa.DataType) -> int:
    """The index of the first value that cannot be cast to `kind` exactly, in a column that has one."""
    low, high = 0, len(column)  # column[low:high] holds the first misfit
    while high - low > 1:
        middle = (low + high) // 2
        if _fits(column.slice(low, middle - low), kind):
            low = middle
        else:
            high = middle
    return low


def _fits(column: pa.Array, kind: pa.DataType) -> bool:
    try:
        _exact(column, kind)
    except pa.ArrowInvalid:
        return False
    return True


def refuse_missing(batch: pa.RecordBatch, columns: Iterable[str], where: str, rows_before: int) -> None:
    """Refuse missing values in `columns` (a key, a time, a label given late), naming up to five rows."""
    for name in columns:
        column = batch.column(name)
        if column.null_count:
            rows = pc.indices_nonzero(column.is_null())[:5]
            named = ", ".join(str(rows_before + row.as_py() + 1) for row in rows)
            count = "1 row" if column.null_count == 1 else f"{column.null_count:,} rows"
            raise SchemaMismatch(
                f"column {name!r} has no value in {count} (first: row {named})",
                where=where,
                fix=f"every row needs a {name!r}: fill it in, or drop these rows",
            )
