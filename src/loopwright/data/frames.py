"""Frames in memory, or lazy ones, as streams of Arrow batches: Polars, pandas, Arrow, and Delta tables read lazily."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from loopwright.data.parquet import BATCH_ROWS
from loopwright.errors import BadSource

if TYPE_CHECKING:
    import pandas as pd

Stream = Callable[[pa.Schema], Iterator[pa.RecordBatch]]


def read(source: object) -> tuple[str, pa.Schema, Stream]:
    """The name, schema and stream of a frame. Raises `BadSource` for anything that is no frame."""
    if isinstance(source, pl.DataFrame):
        _refuse_objects(source)
        return "Polars frame", *_table(source.to_arrow())
    if isinstance(source, pl.LazyFrame):
        return "Polars lazy frame", *_lazy(source, "Polars lazy frame")
    if isinstance(source, pa.Table):
        return "Arrow table", *_table(source)
    if isinstance(source, pa.RecordBatch):
        return "Arrow batch", *_table(pa.Table.from_batches([source]))
    if isinstance(source, pa.RecordBatchReader):
        return "Arrow stream", *_reader(source)
    if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        return "pandas frame", *_table(_from_pandas(source))
    raise BadSource(
        f"a {type(source).__name__} is no table",
        where="source",
        fix="give a path, a URL, Query(url, sql), or a Polars, pandas or Arrow frame",
    )


def _refuse_objects(frame: pl.DataFrame) -> None:
    """Python objects would come out of the conversion as the addresses they had in memory."""
    for name, kind in frame.schema.items():
        if kind == pl.Object:
            raise BadSource(f"column {name!r} holds Python objects", where="Polars frame", fix=f"cast or drop {name!r}")


def read_delta(path: str, name: str) -> tuple[str, pa.Schema, Stream]:
    """A Delta table at its newest version."""
    try:
        return name, *_lazy(pl.scan_delta(path), name)
    except Exception as error:  # noqa: BLE001 - deltalake and Polars raise half a dozen unrelated classes here
        raise BadSource(f"cannot be read as a Delta table: {error}", where=name, fix="check its _delta_log") from None


def _table(table: pa.Table) -> tuple[pa.Schema, Stream]:
    plain = table.replace_schema_metadata(None)
    return plain.schema, lambda _: iter(plain.to_batches(max_chunksize=BATCH_ROWS))


def _lazy(frame: pl.LazyFrame, name: str) -> tuple[pa.Schema, Stream]:
    try:
        schema = pl.DataFrame(schema=frame.collect_schema()).to_arrow().schema
    except (pl.exceptions.PolarsError, OSError) as error:
        raise BadSource(
            f"cannot be read: {error}", where=name, fix="frame.head().collect() shows it by itself"
        ) from None

    def stream(_: pa.Schema) -> Iterator[pa.RecordBatch]:
        try:
            for chunk in frame.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True, lazy=True):
                yield from chunk.to_arrow().to_batches()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BadSource(
                f"cannot be read: {error}", where=name, fix="frame.head().collect() shows it by itself"
            ) from None

    return schema, stream


def _reader(reader: pa.RecordBatchReader) -> tuple[pa.Schema, Stream]:
    def stream(_: pa.Schema) -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except (pa.ArrowException, OSError) as error:
            raise BadSource(f"the stream broke: {error}", where="Arrow stream", fix="open it again") from None

    return reader.schema.remove_metadata(), stream


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    names = list(frame.columns)
    for name in names:
        if not isinstance(name, str) or names.count(name) > 1:
            raise BadSource(
                f"the column name {name!r} stands twice or is no text",
                where="pandas frame",
                fix="frame.columns = [...] with one text name each",
            )
    # Arrow reads moments with a zone through a pandas property that is going away; naive ones are UTC here.
    zoned = [name for name in names if getattr(frame[name].dtype, "tz", None) is not None]
    plain = frame.assign(**{name: frame[name].dt.tz_convert(None) for name in zoned})
    try:
        return pa.Table.from_pandas(plain, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise BadSource(
            f"cannot be read as a table: {'; '.join(str(part) for part in error.args)}",
            where="pandas frame",
            fix="give every column one type",
        ) from None
