"""JSON lines, read strictly: one object a line, the same columns and types throughout."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.types as pt

from loopwright.data.columns import TIMESTAMP, first_misfit
from loopwright.data.files import File
from loopwright.errors import BadSource

_READ = pj.ReadOptions(use_threads=False, block_size=1 << 24)
_TYPED = "correct the value, or give a frame that types the column: pl.scan_ndjson(path, schema_overrides={...})"


def read(file: File, expected: pa.Schema | None) -> tuple[pa.Schema, Callable[[pa.Schema], Iterator[pa.RecordBatch]]]:
    """The schema of a JSON lines file, and how to stream it. A key that is absent, or null, is missing."""
    with file.opened() as data:
        found = _reader(file, data, None).schema
    kinds = [(field.name, _column_type(field, expected)) for field in found]

    def stream(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        return _stream(file, schema)

    return pa.schema(kinds), stream


def _column_type(field: pa.Field, expected: pa.Schema | None) -> pa.DataType:
    if expected is not None and field.name in expected.names:
        return expected.field(field.name).type
    return TIMESTAMP if pt.is_timestamp(field.type) else field.type


def _stream(file: File, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    # Arrow's JSON reader takes no dates; they are read as text and parsed here.
    read_as = pa.schema([(field.name, pa.string() if pt.is_date(field.type) else field.type) for field in schema])
    rows = 0
    with file.opened() as data:
        reader = _reader(file, data, read_as)
        while True:
            try:
                batch = reader.read_next_batch()
                batch.validate(full=True)  # Arrow's JSON reader does not look whether text is UTF-8
            except StopIteration:
                return
            except (pa.ArrowInvalid, OSError) as error:
                raise _told(error, file, schema) from None
            yield _dated(batch, schema, file, rows)
            rows += batch.num_rows


def _reader(file: File, data: pa.NativeFile, schema: pa.Schema | None) -> pj.StreamingReader:
    options = pj.ParseOptions(
        explicit_schema=schema, unexpected_field_behavior="error" if schema is not None else "infer"
    )
    try:
        return pj.open_json(data, read_options=_READ, parse_options=options)
    except (pa.ArrowInvalid, OSError) as error:
        raise _told(error, file, schema) from None


def _dated(batch: pa.RecordBatch, schema: pa.Schema, file: File, rows_before: int) -> pa.RecordBatch:
    columns = []
    for field in schema:
        column = batch.column(field.name)
        try:
            columns.append(column.cast(field.type) if pt.is_date(field.type) else column)
        except pa.ArrowInvalid:
            row = first_misfit(column, field.type)
            value = column[row].as_py()
            raise BadSource(
                f"row {rows_before + row + 1}, column {field.name!r}: {value!r} is not of type {field.type}",
                where=file.name,
                fix=_TYPED,
            ) from None
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _told(error: Exception, file: File, schema: pa.Schema | None) -> BadSource:
    """Arrow knows the row only within its block, so the file is read again, line by line, until the bad one."""
    reason = str(error).splitlines()[0]
    if "Empty JSON" in reason:
        return BadSource("the file holds no row", where=file.name, fix="write it again, or leave it out")
    if isinstance(error, pa.ArrowInvalid):
        for row, line in _lines(file):
            if finding := _wrong(line, schema):
                return BadSource(f"row {row}{finding}", where=file.name, fix=_TYPED)
        if changed := _changed_type(file):
            return BadSource(changed, where=file.name, fix=_TYPED)
    return BadSource(f"cannot be read as JSON lines: {reason}", where=file.name, fix="write one JSON object a line")


def _lines(file: File) -> Iterator[tuple[int, bytes]]:
    row = 0
    with file.opened() as data:
        rest = b""
        while block := data.read(1 << 20):
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                if line.strip():
                    row += 1
                    yield row, line
        if rest.strip():
            yield row + 1, rest


def _wrong(line: bytes, schema: pa.Schema | None) -> str | None:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return ": the bytes are not UTF-8"
    except ValueError as error:
        return f": not JSON: {error}"
    if not isinstance(value, dict):
        return f": a JSON {type(value).__name__}, not an object; write one object a line"
    if schema is None:
        return None
    for name, one in value.items():
        if name not in schema.names:
            return f": the column {name!r} is not in the rows before it"
        if one is not None and not _holds(schema.field(name).type, one):
            return f", column {name!r}: {one!r} is not of type {schema.field(name).type}"
    return None


def _holds(kind: pa.DataType, value: object) -> bool:
    if pt.is_date(kind):
        kind = pa.string()
    plainly = (
        (isinstance(value, bool) and pt.is_boolean(kind))
        or (type(value) is int and (pt.is_int64(kind) or pt.is_float64(kind)) and abs(value) < 1 << 53)
        or (isinstance(value, float) and pt.is_float64(kind))
        or (isinstance(value, str) and pt.is_string(kind))
    )
    return plainly or _arrow_holds(kind, value)


def _arrow_holds(kind: pa.DataType, value: object) -> bool:
    try:
        text = json.dumps({"a": value}).encode()
        options = pj.ParseOptions(explicit_schema=pa.schema([("a", kind)]))
        pj.read_json(pa.BufferReader(text), parse_options=options)
    except pa.ArrowInvalid:
        return False
    return True


def _changed_type(file: File) -> str | None:
    """Where a column first holds another kind of JSON value than before: what stops Arrow from settling on a type."""
    seen: dict[str, type] = {}
    for row, line in _lines(file):
        for name, value in json.loads(line).items():
            kind = float if isinstance(value, int) and not isinstance(value, bool) else type(value)
            if value is not None and seen.setdefault(name, kind) is not kind:
                return f"row {row}, column {name!r}: {value!r} is a {kind.__name__}; before, a {seen[name].__name__}"
    return None
