"""The one door data comes in by: anything tabular becomes a schema and a stream of Arrow batches.

A source is never held whole, and what cannot be read exactly is refused (`BadSource`) with the file, the row or column,
the reason and what to do. Rows count from 1; a CSV header is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from loopwright.data import columns, delimited, files, frames, jsonlines, parquet, query
from loopwright.data.query import Query
from loopwright.errors import BadSource, did_you_mean

if TYPE_CHECKING:
    from typing import TypeAlias

    import pandas as pd
    import polars as pl

__all__ = ["Part", "Query", "Source", "SourceLike", "open_source"]

SourceLike: TypeAlias = (
    "str | Path | Query | Source | pl.DataFrame | pl.LazyFrame | pd.DataFrame | pa.Table | pa.RecordBatch"
    " | pa.RecordBatchReader"
)

_READERS: dict[
    str, Callable[[files.File, pa.Schema | None], tuple[pa.Schema, Callable[[pa.Schema], Iterator[pa.RecordBatch]]]]
] = {
    "csv": delimited.read,
    "tsv": delimited.read,
    "json lines": jsonlines.read,
    "parquet": parquet.read,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file, frame or query: its name as errors show it, and how to stream it in a given schema."""

    name: str
    schema: pa.Schema
    open: Callable[[pa.Schema], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A schema and the parts that stream in it. Opening one reads no more than the head of each file.

    >>> source = open_source(pa.table({"a": [1, 2, 3]}))
    >>> source.schema.names, sum(batch.num_rows for batch in source.batches())
    (['a'], 3)
    """

    name: str
    schema: pa.Schema
    parts: tuple[Part, ...]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Every batch of every part, in order. Raises `BadSource` at the row that cannot be read."""
        for part in self.parts:
            for batch, _ in self.placed(part):
                yield batch

    def placed(self, part: Part) -> Iterator[tuple[pa.RecordBatch, int]]:
        """The batches of one part, each with the number of the part's rows before it."""
        rows = 0
        for batch in part.open(self.schema):
            yield columns.fit(batch, self.schema, part.name, rows), rows
            rows += batch.num_rows


def open_source(source: SourceLike, expected: pa.Schema | None = None) -> Source:
    """Open anything tabular: a path, glob or object-store URL, a frame, a `Query`, or what is open already.

    Files are told apart by suffix: .csv, .tsv (also .gz), .jsonl, .ndjson, .json (JSON lines), .parquet; a folder
    must be a Delta table. Fields of a .csv are separated by commas, or where its header has none by `;`, tabs or `|`.
    `expected` gives the types of the columns it names to the kinds that carry none (CSV, JSON
    lines, SQL), so that a file of whole numbers fits a column of floats. Without it, types come from the first block
    of each file, and a value that does not fit further down is refused.

    Missing values: in CSV an empty field is missing and a quoted empty field ("") is empty text; `NA` and the like
    are text. pandas NaN and None are missing; its index is not data (`reset_index()` makes it so).

    Raises `BadSource` for what cannot be read, `MissingExtra` for an object store whose driver is not installed.
    """
    if isinstance(source, Source):
        return source
    if isinstance(source, (str, Path)):
        parts = _file_parts(str(source), expected)
        return _as_one(files.shown(str(source)), parts)
    if isinstance(source, Query):
        schema, stream = query.read(source, expected)
        return _as_one(source.name, [Part(name=source.name, schema=schema, open=stream)])
    name, schema, stream = frames.read(source)
    return _as_one(name, [Part(name=name, schema=schema, open=stream)])


def _file_parts(location: str, expected: pa.Schema | None) -> list[Part]:
    parts = []
    for file in files.find(location):
        if file.kind == "delta":
            name, schema, stream = frames.read_delta(file.path, file.name)
        else:
            name = file.name
            schema, stream = _READERS[file.kind](file, expected)
        parts.append(Part(name=name, schema=schema, open=stream))
    return parts


def _as_one(name: str, parts: list[Part]) -> Source:
    first = parts[0]
    for part in parts:
        _check_names(part)
    kinds = {field.name: field.type for field in first.schema}
    for part in parts[1:]:
        _check_same_columns(first, part)
        for field in part.schema:
            kinds[field.name] = _shared_type(kinds[field.name], field, first, part)
    return Source(name=name, schema=pa.schema(list(kinds.items())), parts=tuple(parts))


def _check_names(part: Part) -> None:
    for number, (name, count) in enumerate(Counter(part.schema.names).items(), start=1):
        if count > 1:
            raise BadSource(f"two columns are named {name!r}", where=part.name, fix="rename one of them")
        if not name.strip():
            raise BadSource(f"column {number} has no name", where=part.name, fix="name every column")


def _check_same_columns(first: Part, part: Part) -> None:
    for one, other in ((first, part), (part, first)):
        known = set(one.schema.names)
        for name in other.schema.names:
            if name not in known:
                raise BadSource(
                    f"column {name!r} of {other.name} is not in {one.name}",
                    where=f"{first.name} and {part.name}",
                    fix=f"files read as one must have the same columns; {did_you_mean(name, one.schema.names)}",
                )


def _shared_type(kind: pa.DataType, field: pa.Field, first: Part, part: Part) -> pa.DataType:
    shared = columns.wider(kind, field.type)
    if shared is None:
        raise BadSource(
            f"column {field.name!r} is {kind} in {first.name} and {field.type} in {part.name}",
            where=f"{first.name} and {part.name}",
            fix="append the files one by one after making the types agree",
        )
    return shared
