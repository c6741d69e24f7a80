"""The serving window: the rows that were asked about in a span, as a source in the types of the model's contract.

Only what the model was given: keys, units and answers stay in the journal. Streamed, so that memory is that of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from loopwright.data.schema import Schema
from loopwright.data.source import Part, Source
from loopwright.errors import BadSource
from loopwright.predictions import reading
from loopwright.predictions.batch import expected
from loopwright.predictions.concealing import TAG

_BATCH_ROWS = 8192
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def inputs(
    workspace: Path,
    loop: str,
    contract: Schema,
    versions: Collection[int],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Source:
    """Rows file by file, the columns in the order of the contract, but those whose values are hidden (`pii`). The
    versions must take the same inputs.

    Lines that a power cut tore are left out. The source raises `BadSource` for a value that breaks the contract, which
    no gateway records.
    """
    contract = seen(contract)
    name, wanted = f"predictions of {loop}", expected(contract)

    def rows() -> Iterator[Mapping[str, Any]]:
        for line in reading.stream(workspace, loop, since=since, until=until, versions=versions):
            if line is not None:
                yield line.row

    def batches(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        streamed, before = rows(), 0
        while some := list(islice(streamed, _BATCH_ROWS)):
            yield _batch(some, contract, schema, f"{name}, rows from {before + 1:,}")
            before += len(some)

    return Source(name=name, schema=wanted, parts=(Part(name=name, schema=wanted, open=batches),))


def seen(contract: Schema) -> Schema:
    """The columns whose values are in the journal as they came."""
    return contract.only(column.name for column in contract.columns if TAG not in column.tags)


def same_inputs(one: Schema, other: Schema) -> bool:
    """Whether rows of one contract fit the other: the same columns, of the same kinds."""
    return {column.name: column.kind for column in one.columns} == {
        column.name: column.kind for column in other.columns
    }


def _batch(rows: Sequence[Mapping[str, Any]], contract: Schema, schema: pa.Schema, where: str) -> pa.RecordBatch:
    arrays = []
    for column, field in zip(contract.columns, schema, strict=True):
        read = _READERS.get(column.kind)
        values = [row.get(column.name) for row in rows]
        try:
            made = values if read is None else [None if value is None else read(value) for value in values]
            arrays.append(pa.array(made, type=field.type))
        except (pa.ArrowException, TypeError, ValueError) as error:
            what = f"column {column.name!r} is not of kind {column.kind}: {error}"
            raise BadSource(what, where=where, fix="leave these rows out: --since, --until") from None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _moment(value: str) -> datetime:
    """Without a zone it is UTC, as the gateway reads it. The first or last there is for what no calendar has in UTC."""
    found = datetime.fromisoformat(value.upper())
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    try:
        return aware.astimezone(UTC)
    except OverflowError:
        return _FIRST if aware.year == 1 else _LAST


_READERS: Mapping[str, Callable[[Any], Any]] = {"integer": int, "float": float, "time": _moment}
"""JSON knows no whole numbers apart from others, and no times."""
