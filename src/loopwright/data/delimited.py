"""CSV and TSV, read strictly: a ragged row, bytes that are not UTF-8 or a value of another type stops the read.

One thread reads, which Arrow does as fast as several for a stream, and only then does it know row numbers.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from contextlib import suppress

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.types as pt

from loopwright.data.columns import TIMESTAMP
from loopwright.data.files import File
from loopwright.errors import BadSource

_READ = pc.ReadOptions(use_threads=False, block_size=1 << 22)
_VALUE = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to ([^:]+): (.*)", re.DOTALL)
_RAGGED = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
_DELIMITERS = ",;\t|"
_COUNTED = "(rows count from 1, the header not counted)"
_TYPED = (
    "its type came from the first rows; correct the value, or give a frame that types the column: "
    "pl.scan_csv(path, schema_overrides={...})"
)


def read(file: File, expected: pa.Schema | None) -> tuple[pa.Schema, Callable[[pa.Schema], Iterator[pa.RecordBatch]]]:
    """The schema of a CSV file, and how to stream it. An empty field is missing; a quoted empty field is empty text."""
    sign = delimiter(file)
    found = _first_block(file, sign, {})
    kinds = {field.name: _column_type(field.type, _expected(field.name, expected)) for field in found}
    schema = pa.schema([(field.name, _settled(kinds[field.name])) for field in found])

    def stream(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        return _stream(file, sign, {name: _column_type(kinds[name], schema.field(name).type) for name in kinds})

    if len(kinds) < len(found):
        return found, stream  # a name stands twice; whoever opened the source says so
    for field in found:
        if pt.is_binary(field.type):
            for _ in _stream(file, sign, {**kinds, field.name: pa.string()}):
                pass  # reading it as text names the row that is not UTF-8
    return schema, stream


def delimiter(file: File) -> str:
    """What stands between fields, as the header shows it: a comma, or where none separates any, what does."""
    if file.kind == "tsv":
        return "\t"
    counts = {sign: len(_header(file, sign)) for sign in _DELIMITERS}
    return "," if counts[","] > 1 else max(_DELIMITERS, key=counts.__getitem__)


def _expected(name: str, expected: pa.Schema | None) -> pa.DataType | None:
    return expected.field(name).type if expected is not None and name in expected.names else None


def _column_type(found: pa.DataType, wanted: pa.DataType | None) -> pa.DataType:
    """The type to read a column as: what is wanted where text can say it. The file says whether moments have a zone."""
    if wanted is None or pt.is_nested(wanted):
        wanted = found
    if pt.is_timestamp(wanted):
        return pa.timestamp("us", "UTC" if pt.is_timestamp(found) and found.tz else None)
    return pa.string() if pt.is_time(wanted) else wanted


def _settled(kind: pa.DataType) -> pa.DataType:
    return TIMESTAMP if pt.is_timestamp(kind) else kind


def _first_block(file: File, sign: str, kinds: dict[str, pa.DataType]) -> pa.Schema:
    with file.opened() as data:
        return _reader(file, data, sign, kinds).schema


def _stream(file: File, sign: str, kinds: dict[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
    with file.opened() as data:
        reader = _reader(file, data, sign, kinds)
        names = reader.schema.names
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                break
            except (pa.ArrowInvalid, OSError) as error:
                raise _told(error, file, names) from None
            yield batch
    _refuse_open_quote(file, sign)


def _reader(file: File, data: pa.NativeFile, sign: str, kinds: dict[str, pa.DataType]) -> pc.CSVStreamingReader:
    try:
        reader = pc.open_csv(
            data,
            read_options=_READ,
            parse_options=pc.ParseOptions(delimiter=sign, newlines_in_values=True),
            convert_options=pc.ConvertOptions(
                column_types=kinds, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
        _ = reader.schema.names  # Arrow decodes the header only when it is looked at
    except UnicodeDecodeError:
        raise _not_utf8(file, "the header") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise _told(error, file, _header(file, sign)) from None
    return reader


def _header(file: File, sign: str) -> list[str]:
    with file.opened() as data, suppress(OSError, csv.Error):
        line = data.read(1 << 20).split(b"\n", 1)[0].decode("utf-8", "replace").lstrip("\ufeff")
        return next(csv.reader(io.StringIO(line), delimiter=sign), [])
    return []


def _told(error: Exception, file: File, names: list[str]) -> BadSource:
    """Arrow's words as ours. Its rows count the header as row 1; ours do not count it."""
    text = str(error)
    if _is_wide(file):
        return BadSource("the text is UTF-16", where=file.name, fix="turn it into UTF-8: iconv -f UTF-16 -t UTF-8")
    if ragged := _RAGGED.search(text):
        row, wanted, got = (int(group) for group in ragged.groups())
        return BadSource(
            f"row {row - 1} has {got} {'field' if got == 1 else 'fields'} where the header has {wanted} {_COUNTED}",
            where=file.name,
            fix="quote fields that hold the delimiter, or drop the row",
        )
    if value := _VALUE.search(text):
        column, row_text, kind, reason = value.groups()
        place = f"row {int(row_text) - 1}" if row_text else "a row"
        name = names[int(column)] if int(column) < len(names) else f"#{int(column) + 1}"
        if "UTF8" in reason:
            return _not_utf8(file, f"{place}, column {name!r}")
        return BadSource(
            f"{place}, column {name!r}: {reason.splitlines()[0]} is not of type {kind} {_COUNTED}",
            where=file.name,
            fix=_TYPED,
        )
    return BadSource(f"cannot be read as CSV: {text.splitlines()[0]}", where=file.name, fix="write the file again")


def _is_wide(file: File) -> bool:
    """Two bytes a character, as the first two say."""
    with file.opened() as data, suppress(OSError):
        return bool(data.read(2) in (b"\xff\xfe", b"\xfe\xff"))
    return False


def _not_utf8(file: File, place: str) -> BadSource:
    return BadSource(
        f"{place}: the bytes are not UTF-8", where=file.name, fix="save the file as UTF-8: iconv -f LATIN1 -t UTF-8"
    )


def _refuse_open_quote(file: File, sign: str) -> None:
    """Refuse a file cut short within quotes: Arrow takes what follows a quote that is never closed as one value."""
    with file.opened() as data:
        quotes = 0
        while block := data.read(1 << 20):
            quotes += block.count(b'"')
    if quotes % 2 == 0:
        return
    with file.opened() as data:
        rows = csv.reader(
            io.TextIOWrapper(data, encoding="utf-8", newline=""),
            delimiter=sign,
            strict=True,
        )
        count = -1
        try:
            for _ in rows:
                count += 1
        except csv.Error as error:
            if "unexpected end of data" not in str(error):
                return  # other dialects of quoting are Arrow's to judge
            raise BadSource(
                f"row {count + 1}: a quote is opened and never closed", where=file.name, fix="the file may be cut short"
            ) from None
