"""A source read for a report: its profile, and its rows to be looked at again. Streamed, never held whole.

Tables and local Parquet files are read where they lie. All else is copied once, while it is described, to a Parquet
file in a folder of the caller's. A CSV whose values change type half-way is read as text where they do: here that is
what is to be told, not what stops. What cannot be described at all is left out, and noted.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt
from fsspec.implementations.local import LocalFileSystem

from loopwright.data import delimited, files
from loopwright.data.files import File
from loopwright.data.infer import infer
from loopwright.data.report import Span
from loopwright.data.schema import Column, Schema
from loopwright.data.seen import Seen
from loopwright.data.source import Source, open_source
from loopwright.data.statistics import TOO_WIDE, TableProfile, kind_of, profile_parquet
from loopwright.data.table import Table
from loopwright.errors import BadSource, DataError

_TYPED_BY_HEAD = ("csv", "tsv")
_NOT_UTF8 = "not UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A span, and its rows in the columns that it describes; None where statistics alone were kept."""

    span: Span
    rows: pl.LazyFrame | None


def of_rows(name: str, rows: pl.LazyFrame) -> Looked:
    """Of the rows of a table."""
    source = open_source(rows)
    kept, notes = _described(source.schema)
    profile = TableProfile.of_schema(kept)
    for batch in source.batches():
        profile.update(_readable(batch, kept))
    profile.flush()
    return Looked(span=Span.of(name, profile, notes), rows=rows.select(kept.names))


def of_files(location: str, room: Path, schema: Schema | None = None) -> Looked:
    """Of a path, a glob or a URL. `room` is an empty folder, to be kept as long as the rows are looked at; what the
    schema has as text is read as text. Raises `BadSource` for what cannot be read.
    """
    looked = _of_files(location, room, schema)
    signs = {delimited.delimiter(file) for file in files.find(location) if file.kind == "csv"} - {","}
    notes = [f"fields are separated by {sign!r}, as the header has it" for sign in sorted(signs)]
    return replace(looked, span=replace(looked.span, notes=(*looked.span.notes, *notes))) if notes else looked


def _of_files(location: str, room: Path, schema: Schema | None) -> Looked:
    found = files.find(location)
    is_typed_by_head = all(one.kind in _TYPED_BY_HEAD for one in found)
    try:
        source = open_source(location, _texts(schema) if is_typed_by_head else None)
    except BadSource as error:
        if not is_typed_by_head or _NOT_UTF8 not in error.what:
            raise
        return _repaired(found, room, schema, f"{error.where}: {error.what}; what is none is shown as \ufffd")
    if all(one.kind == "parquet" and isinstance(one.filesystem, LocalFileSystem) for one in found):
        there = _in_place(source, [one.path for one in found])
        if there is not None:
            return there
    try:
        return _copied(source, room / "rows.parquet")
    except BadSource as error:
        if is_typed_by_head and _NOT_UTF8 in error.what:
            return _repaired(found, room, schema, f"{error.where}: {error.what}; what is none is shown as \ufffd")
        if not is_typed_by_head or "is not of type" not in error.what:
            raise
        return _as_text(location, source, room / "text.parquet", f"{error.where}: {error.what}")


def of_source(source: Source, room: Path) -> Looked:
    """Of what can be streamed only once or from elsewhere: copied to the empty folder `room` while it is described."""
    return _copied(source, room / "rows.parquet")


def plain_schema(seen: Seen, table: Table | None = None) -> Schema:
    """What the rows themselves look like: held against it, only what is wrong in any data is found."""
    made = infer(seen, table)
    return replace(made, columns=tuple(map(_plain_column, made.columns)))


def _plain_column(one: Column) -> Column:
    """A column without a value promises nothing; numbers that are none are told, however many were seen."""
    return replace(one, most_missing=None if one.most_missing == 1.0 else one.most_missing, nan=False, infinite=False)


def _repaired(found: list[File], room: Path, schema: Schema | None, note: str) -> Looked:
    """A copy in which bytes that are no text are the sign of a loss."""
    copies = room / "repaired"
    copies.mkdir()
    for at, file in enumerate(found):
        with file.opened() as data, (copies / f"{at:06}.{file.kind}").open("w", encoding="utf-8", newline="") as copy:
            decoder = getincrementaldecoder("utf-8")(errors="replace")
            while block := data.read(1 << 22):
                copy.write(decoder.decode(block))
            copy.write(decoder.decode(b"", final=True))
    try:
        looked = _of_files(str(copies / f"*.{found[0].kind}"), copies, schema)
    except BadSource as error:
        raise BadSource(error.what, where=found[0].name, fix=error.fix) from None
    span = replace(looked.span, name=", ".join(file.name for file in found), notes=(*looked.span.notes, note))
    return replace(looked, span=span)


def _texts(schema: Schema | None) -> pa.Schema | None:
    if schema is None:
        return None
    return pa.schema([(column.name, pa.string()) for column in schema.columns if column.kind == "string"])


def _described(schema: pa.Schema, too_wide: Collection[str] = ()) -> tuple[pa.Schema, list[str]]:
    """The columns that can be, as they are described; and what to say of the others."""
    kept: list[pa.Field] = []
    notes = [f"left out: column {name!r}: {TOO_WIDE}" for name in sorted(too_wide)]
    for field in schema:
        if field.name in too_wide:
            continue
        made = pa.field(field.name, _shown_as(field.type))
        try:
            kind_of(made.name, made.type)
            kept.append(made)
        except DataError as error:
            notes.append(f"left out: column {field.name!r}: {error.what}")
    return pa.schema(kept), notes


def _shown_as(kind: pa.DataType) -> pa.DataType:
    """Bytes as the text that they may be, categories as their values."""
    if pt.is_dictionary(kind):
        kind = kind.value_type
    is_bytes = pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind)
    return pa.large_string() if is_bytes else kind


def _in_place(source: Source, paths: list[str]) -> Looked | None:
    """None where a column must be turned into another first, or the files differ, or one is damaged."""
    kept, _ = _described(source.schema)
    if any(not part.schema.equals(kept) for part in source.parts):
        return None
    try:
        profile = profile_parquet(paths)
    except (pa.ArrowException, OSError, DataError):
        return None  # reading it as a source tells the row, or the column that cannot be described
    profile.flush()
    return Looked(span=Span.of(source.name, profile), rows=pl.scan_parquet(paths, glob=False))


def _copied(source: Source, target: Path, too_wide: frozenset[str] = frozenset()) -> Looked:
    """Once more from the start where a column turns out to hold numbers that are too wide."""
    kept, notes = _described(source.schema, too_wide)
    profile = TableProfile.of_schema(kept)
    found: frozenset[str] = frozenset()
    with pq.ParquetWriter(target, kept) as writer:
        for batch in source.batches():
            made = _readable(batch, kept)
            if found := _too_wide(made):
                break
            profile.update(made)
            writer.write_batch(made)
    if found:
        return _copied(source, target, too_wide | found)
    profile.flush()
    return Looked(span=Span.of(source.name, profile, notes), rows=pl.scan_parquet(target, glob=False))


def _too_wide(batch: pa.RecordBatch) -> frozenset[str]:
    """Columns with a number that 64 bits with a sign do not hold."""
    unsigned = [name for name in batch.schema.names if batch.schema.field(name).type == pa.uint64()]
    highest = {name: pc.max(batch.column(name)).as_py() for name in unsigned}
    return frozenset(name for name, most in highest.items() if most is not None and most >= 2**63)


def _readable(batch: pa.RecordBatch, kept: pa.Schema) -> pa.RecordBatch:
    columns = [_as(batch.column(field.name), field.type) for field in kept]
    return pa.RecordBatch.from_arrays(columns, schema=kept)


def _as(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if array.type == kind:
        return array
    try:
        return array.cast(kind)
    except pa.ArrowInvalid:  # bytes that are no UTF-8
        texts = [None if one is None else one.decode("utf-8", "replace") for one in array.to_pylist()]
        return pa.array(texts, type=kind)


def _as_text(location: str, source: Source, target: Path, reason: str) -> Looked:
    """All of it read as text, and columns turned back where every value is of the type its head promised."""
    wanted = open_source(location, pa.schema([(name, pa.string()) for name in source.schema.names]))
    copied = _copied(wanted, target).rows
    assert copied is not None
    types = pl.DataFrame(source.schema.empty_table()).schema
    casts = {name: [pl.col(name), *_casts(name, dtype)] for name, dtype in types.items()}
    whole = dict(zip(casts, _wholes(copied, casts), strict=True))
    texts = [name for name, dtype in types.items() if dtype not in (pl.String, pl.Null) and whole[name] == 0]
    rows = copied.select([casts[name][whole[name]].alias(name) for name in casts])
    named = ", ".join(map(repr, texts))
    looked = of_rows(source.name, rows)
    note = f"read as text: {named}; {reason}"
    return Looked(span=Span.of(source.name, looked.span.seen.profile, [*looked.span.notes, note]), rows=rows)


def _casts(name: str, dtype: pl.DataType) -> Iterator[pl.Expr]:
    """The type of the head; of whole numbers also that of others."""
    text = pl.col(name).str.strip_chars()
    if dtype.is_integer():
        yield text.cast(pl.Int64, strict=False)
    if dtype.is_numeric():
        yield text.cast(pl.Float64, strict=False)
    elif dtype == pl.Boolean:
        yield text.str.to_lowercase().replace_strict(
            {"true": True, "false": False}, default=None, return_dtype=pl.Boolean
        )
    elif dtype.is_temporal():
        yield text.str.to_datetime(strict=False, time_unit="us", time_zone="UTC")


def _wholes(rows: pl.LazyFrame, casts: dict[str, list[pl.Expr]]) -> list[int]:
    """Which of the casts loses no value: the last of them that does, if any; else the text."""
    lost = [
        (one.is_null() & pl.col(name).is_not_null() & (pl.col(name) != "")).sum().alias(f"{at} {name}")
        for name, some in casts.items()
        for at, one in enumerate(some)
    ]
    counts = iter(rows.select(lost).collect(engine="streaming").row(0))
    found = []
    for some in casts.values():
        losses = [next(counts) for _ in some]
        found.append(next((at for at in range(1, len(some)) if losses[at] == 0), 0))
    return found
