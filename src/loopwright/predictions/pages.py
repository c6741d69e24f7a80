"""A file of the table read page by page: memory is a batch's, and not that of a whole row group of a million rows.

A row group whose moments lie outside the span that is asked for is not read at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

_ROWS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is wanted of a file."""

    columns: Sequence[str] | None = None
    """Patterns of names; None: all."""
    condition: Any = None
    """An expression over columns; None: all rows."""
    needs: Sequence[str] = ()
    """The columns that the condition looks at: read, and left out again unless wanted."""
    since: datetime | None = None
    until: datetime | None = None
    coded: Sequence[str] = ()
    """Patterns of the texts that come as the codes that they are kept as, in a tenth of the time and of the memory."""


def pages(file: Path, asked: Asked) -> Iterator[pa.Table]:
    """The rows that are wanted, in the order of the file. Raises `FileNotFoundError`."""
    with parquet.ParquetFile(file) as opened:
        schema, metadata = opened.schema_arrow, opened.metadata
    groups = [at for at in range(metadata.num_row_groups) if _meets(metadata.row_group(at), asked)]
    wanted = [name for name in schema.names if asked.columns is None or _is_among(name, asked.columns)]
    read = [name for name in schema.names if name in wanted or name in asked.needs]
    texts = [name for name in read if is_text(schema.field(name).type) and _is_among(name, asked.coded)]
    with parquet.ParquetFile(file, read_dictionary=texts, pre_buffer=False) as opened:
        for batch in opened.iter_batches(_ROWS, row_groups=groups, columns=read, use_threads=False):
            found = _plain(pa.Table.from_batches([batch]))
            if asked.condition is not None:
                found = found.filter(asked.condition)
            if len(found):
                yield found.select(wanted)


def is_text(kind: pa.DataType) -> bool:
    """Whichever way Arrow keeps texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _meets(group: Any, asked: Asked) -> bool:
    """By what the file says of the moments in it."""
    columns = (group.column(at) for at in range(group.num_columns))
    told = next((one.statistics for one in columns if one.path_in_schema == "at"), None)
    if told is None or not told.has_min_max:
        return True
    begins = asked.until is None or told.min < asked.until
    return bool(begins and (asked.since is None or told.max >= asked.since))


def _plain(table: pa.Table) -> pa.Table:
    """Deltalake says that texts it has written again are views, which few of Arrow's functions take."""
    for at, field in enumerate(table.schema):
        if is_text(field.type) and not pa.types.is_string(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(pa.string()))
    return table


def _is_among(name: str, columns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, column) for column in columns)
