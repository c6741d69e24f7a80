"""Parquet files, streamed by row group."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from loopwright.data.files import File
from loopwright.errors import BadSource

BATCH_ROWS = 131_072


def read(file: File, expected: pa.Schema | None) -> tuple[pa.Schema, Callable[[pa.Schema], Iterator[pa.RecordBatch]]]:
    """The schema of a Parquet file, and how to stream it. It carries its own types, so `expected` changes nothing."""
    del expected
    with file.opened() as data:
        schema = _opened(file, data).schema_arrow.remove_metadata()

    def stream(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        del schema  # whoever streams casts: a cast here could not name the row
        return _stream(file)

    return schema, stream


def _opened(file: File, data: pa.NativeFile) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(data, pre_buffer=False, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _cut(file, error) from None


def _stream(file: File) -> Iterator[pa.RecordBatch]:
    rows = 0
    with file.opened() as data:
        batches = _opened(file, data).iter_batches(batch_size=BATCH_ROWS)
        while True:
            try:
                batch = next(batches)
                batch.validate(full=True)
            except StopIteration:
                return
            except (pa.ArrowException, OSError) as error:
                raise _cut(file, error, f" after row {rows}") from None
            rows += batch.num_rows
            yield batch


def _cut(file: File, error: Exception, place: str = "") -> BadSource:
    return BadSource(
        f"cannot be read as Parquet{place}: {str(error).splitlines()[0]}",
        where=file.name,
        fix="the file may be cut short or damaged: write or copy it again",
    )
