"""The answer to a SQL statement, streamed from any database SQLAlchemy knows.

A database driver hands over Python values, so a column's type is the expected one, or else comes from the first rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.types as pt

from loopwright.errors import BadSource

if TYPE_CHECKING:
    from sqlalchemy.engine import CursorResult

_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Query:
    """A statement and the database to put it to. `url` is a SQLAlchemy URL; its password is never shown.

    >>> Query("postgresql://me:secret@db/shop", "select 1")
    Query('postgresql://me:***@db/shop', 'select 1')
    """

    url: str
    statement: str

    def __repr__(self) -> str:
        return f"Query({self.name!r}, {self.statement!r})"

    @property
    def name(self) -> str:
        """The URL without its password."""
        import sqlalchemy

        try:
            return sqlalchemy.make_url(self.url).render_as_string(hide_password=True)
        except sqlalchemy.exc.ArgumentError:
            return "an unreadable database URL"


def read(query: Query, expected: pa.Schema | None) -> tuple[pa.Schema, Callable[[pa.Schema], Iterator[pa.RecordBatch]]]:
    """The schema of a query's answer, learned from its first rows, and its rows, to be streamed once."""
    running = _rows(query)
    names, head = next(running)
    by_column = zip(names, _by_column(head, len(names)), strict=True)
    schema = pa.schema([(name, _kind(column, name, expected)) for name, column in by_column])
    partitions = chain([(names, head)], running)

    def stream(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        before = 0
        for _, rows in partitions:
            columns = _by_column(rows, len(names))
            arrays = [_array(column, field, query, before) for column, field in zip(columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            before += len(rows)

    return schema, stream


def _rows(query: Query) -> Iterator[tuple[list[str], Sequence[Sequence[object]]]]:
    """Column names with each partition of rows; at least one partition, which may be empty."""
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(query.url)
        with engine.connect().execution_options(stream_results=True, yield_per=_ROWS) as connection:
            yield from _partitions(connection.execute(sqlalchemy.text(query.statement)))
    except ImportError as error:
        raise BadSource(
            f"the database driver is not installed: {error.name}", where=query.name, fix=f"pip install {error.name}"
        ) from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise BadSource(
            f"the database refused: {reason}", where=repr(query), fix="check the URL and the statement"
        ) from None
    finally:
        if "engine" in locals():
            engine.dispose()


def _partitions(result: CursorResult[tuple[object, ...]]) -> Iterator[tuple[list[str], Sequence[Sequence[object]]]]:
    names = list(result.keys())
    empty = True
    for rows in result.partitions(_ROWS):
        empty = False
        yield names, rows
    if empty:
        yield names, []


def _by_column(rows: Sequence[Sequence[object]], count: int) -> list[list[object]]:
    return [[_value(row[index]) for row in rows] for index in range(count)]


def _value(value: object) -> object:
    """A value as Arrow takes it: identifiers as text, JSON documents as JSON text."""
    if value is None or isinstance(value, (str, int, float, Decimal)):
        return value
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, memoryview):
        return bytes(value)
    return str(value) if type(value).__name__ == "UUID" else value


def _kind(column: list[object], name: str, expected: pa.Schema | None) -> pa.DataType:
    if expected is not None and name in expected.names:
        return expected.field(name).type
    try:
        kind = pa.array(column).type
    except (pa.ArrowException, TypeError):
        return pa.string()  # values of several types: reading them as text names the first that is none
    if pt.is_decimal(kind):
        return pa.decimal128(38, kind.scale)
    if pt.is_timestamp(kind):
        return pa.timestamp("us", "UTC")
    return kind


def _array(column: list[object], field: pa.Field, query: Query, rows_before: int) -> pa.Array:
    try:
        return _typed(column, field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        for index, value in enumerate(column):
            _refuse_misfit(value, field, query, rows_before + index + 1)
        raise


def _typed(column: list[object], kind: pa.DataType) -> pa.Array:
    """Values as Arrow holds them. SQLite keeps moments as text: read as ISO 8601 where one is expected."""
    if pt.is_temporal(kind) and any(isinstance(value, str) for value in column):
        text = pa.array(column, pa.string())
        try:
            return text.cast(pa.timestamp("us")).cast(kind)
        except pa.ArrowInvalid:
            return text.cast(pa.timestamp("us", "UTC")).cast(kind)
    return pa.array(column, type=kind)


def _refuse_misfit(value: object, field: pa.Field, query: Query, row: int) -> None:
    try:
        _typed([value], field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise BadSource(
            f"row {row}, column {field.name!r}: {value!r} is not of type {field.type}",
            where=repr(query),
            fix=f"cast the column in the statement: cast({field.name} as ...)",
        ) from None
