"""What a batch is cut into: fragments that are read, predicted on and finished one by one, in any process.

A file is one; a Parquet file of many rows, and a table, are several. The answer of a query is first laid down as files,
for it can be read once only. Which fragments there are depends on the source alone, never on who works on them.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from loopwright.data import files, frames
from loopwright.data.files import File
from loopwright.data.schema import Schema
from loopwright.data.source import Part, Query, Source, open_source
from loopwright.data.tables import Tables
from loopwright.errors import BadSource, UsageError, did_you_mean
from loopwright.predictions import batch

FRAGMENT_ROWS = 1 << 20
_STAGED = "rows.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A part of a source, as a plain value."""

    number: int
    name: str
    """As errors show it."""
    kind: Literal["file", "groups", "rows"]
    path: str
    """Of a file, or the name of a table."""
    first: int = 0
    """Row group, or row."""
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """A source, cut."""

    name: str
    schema: pa.Schema
    """Of all fragments."""
    fragments: tuple[Fragment, ...]
    digest: str
    """Of what it is read from: names, sizes and times of files, or the version of a table."""
    version: int | None = None
    """Of the table that fragments of `rows` are of."""


def of_source(location: str, tables: Callable[[], Tables], schema: Schema, wanted: Collection[str] = ()) -> Pieces:
    """Of the table of that name, with the columns of `schema`, its key and those `wanted`; else of files.

    Raises `UsageError` where there is neither, and `BadSource`.
    """
    if "/" not in location and Path(location).suffix == "":
        if location in tables().names():
            return of_table(tables(), location, {*schema.key, *schema.names, *wanted})
        if not _is_there(location):
            known = tables().names()
            fix = f"of the tables, {did_you_mean(location, known)}" if known else "there is no table; check the path"
            raise UsageError("no such file, and no table of that name", where=location, fix=fix)
    if not _is_there(location):
        raise UsageError("no such file", where=files.shown(location), fix="check the path; a glob needs a *")
    return of_files(location, batch.expected(schema))


def _is_there(location: str) -> bool:
    """Of a URL nothing is known yet."""
    return "://" in location or Path(location).exists() or bool(glob.glob(location, recursive=True))  # noqa: PTH207 - may be absolute


def of_files(location: str, expected: pa.Schema) -> Pieces:
    """Raises `BadSource`."""
    found, source = files.find(location), open_source(location, expected)
    if found[0].kind == "delta":
        return _of_delta(location, source)
    paths = [location] if len(found) == 1 and found[0].name == files.shown(location) else [one.name for one in found]
    cuts = [cut for file, path in zip(found, paths, strict=True) for cut in _cuts(file, path)]
    fragments = [Fragment(number=number, **cut) for number, cut in enumerate(cuts)]
    known = [[file.name, *_state(file)] for file in found]
    return Pieces(name=source.name, schema=source.schema, fragments=tuple(fragments), digest=_digest(known))


def of_table(tables: Tables, name: str, wanted: Collection[str]) -> Pieces:
    """At its newest version; of its columns those `wanted`, as far as they are there. Raises `TableNotFound`."""
    version = tables.current(name)
    there = [column for column in version.columns if column in wanted]
    rows = tables.scan(name, version=version.version, columns=there or None)
    schema = frames.read(rows)[1]
    fragments = _slices(name, version.rows)
    return Pieces(name=name, schema=schema, fragments=fragments, digest=version.digest, version=version.version)


def of_query(query: Query, expected: pa.Schema, folder: Path) -> Pieces:
    """Of the rows that the query gave when it was first put for this folder. Raises `BadSource`."""
    mark = folder / _STAGED
    if not mark.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.parquet"):
            old.unlink()
        for number, table in enumerate(_gathered(open_source(query, expected))):
            pq.write_table(table, folder / f"{number:05d}.parquet")
        temporary = folder / f".{_STAGED}"
        temporary.write_text(json.dumps({"query": repr(query)}), encoding="utf-8")
        temporary.replace(mark)
    return of_files(str(folder / "*.parquet"), expected)


def opened(fragment: Fragment, schema: pa.Schema, tables: Callable[[], Tables], version: int | None) -> Source:
    """The rows of a fragment. Raises `BadSource`."""
    if fragment.kind == "file":
        source = open_source(fragment.path, schema)
        return Source(name=fragment.name, schema=schema, parts=source.parts)
    if fragment.kind == "groups":
        part = Part(name=fragment.name, schema=schema, open=lambda _: _groups(fragment))
        return Source(name=fragment.name, schema=schema, parts=(part,))
    if "/" in fragment.path:
        rows = pl.scan_delta(fragment.path, version=version)
    else:
        rows = tables().scan(fragment.path, version=version, columns=schema.names)
    source = open_source(rows.slice(fragment.first, fragment.count))
    return Source(name=fragment.name, schema=schema, parts=source.parts)


def _cuts(file: File, path: str) -> Iterator[dict[str, Any]]:
    whole = {"name": file.name, "path": path, "kind": "file"}
    if file.kind != "parquet" or "://" in file.name:
        yield whole
        return
    with file.opened() as data:
        about = _metadata(file, data)
    sizes = [about.row_group(number).num_rows for number in range(about.num_row_groups)]
    if sum(sizes) <= FRAGMENT_ROWS:
        yield whole
        return
    first, rows = 0, 0
    for number, size in enumerate(sizes):
        rows += size
        if rows >= FRAGMENT_ROWS or number == len(sizes) - 1:
            told = f"{file.name}, row groups {first} to {number}"
            yield whole | {"kind": "groups", "name": told, "first": first, "count": number + 1 - first}
            first, rows = number + 1, 0


def _metadata(file: File, data: Any) -> Any:
    try:
        return pq.ParquetFile(data, pre_buffer=False).metadata
    except (pa.ArrowException, OSError) as error:
        raise BadSource(f"cannot be read as Parquet: {error}", where=file.name, fix="write or copy it again") from None


def _groups(fragment: Fragment) -> Iterator[pa.RecordBatch]:
    numbers = list(range(fragment.first, fragment.first + fragment.count))
    with pa.OSFile(fragment.path, "rb") as data:
        try:
            parquet = pq.ParquetFile(data, pre_buffer=False, page_checksum_verification=True)
            for batch in parquet.iter_batches(batch_size=131_072, row_groups=numbers):
                batch.validate(full=True)
                yield batch
        except (pa.ArrowException, OSError) as error:
            raise BadSource(
                f"cannot be read as Parquet: {error}", where=fragment.name, fix="write or copy it again"
            ) from None


def _of_delta(location: str, source: Source) -> Pieces:
    from deltalake import DeltaTable

    version = DeltaTable(location).version()
    count = pl.scan_delta(location, version=version).select(pl.len()).collect().item()
    path = location if "/" in location else f"./{location}"
    return Pieces(
        name=source.name,
        schema=frames.read(pl.scan_delta(location, version=version))[1],
        fragments=_slices(path, count),
        digest=_digest([location, version]),
        version=version,
    )


def _slices(path: str, rows: int) -> tuple[Fragment, ...]:
    """At least one, for a batch of no rows has its columns all the same."""
    return tuple(
        Fragment(
            number=number, name=f"{path}, rows from {first + 1:,}", kind="rows", path=path, first=first,
            count=min(FRAGMENT_ROWS, rows - first),
        )
        for number, first in enumerate(range(0, max(rows, 1), FRAGMENT_ROWS))
    )  # fmt: skip


def _gathered(source: Source) -> Iterator[pa.Table]:
    """In tables of so many rows; at least one."""
    waiting: list[pa.RecordBatch] = []
    is_first = True
    for some in source.batches():
        waiting.append(some)
        if sum(len(one) for one in waiting) >= FRAGMENT_ROWS:
            yield pa.Table.from_batches(waiting, schema=source.schema)
            waiting, is_first = [], False
    if waiting or is_first:
        yield pa.Table.from_batches(waiting, schema=source.schema)


def _state(file: File) -> list[Any]:
    told = file.filesystem.info(file.path)
    return [told.get("size"), str(told.get("mtime") or told.get("LastModified") or told.get("updated") or "")]


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, default=str).encode()).hexdigest()
