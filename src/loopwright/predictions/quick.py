"""Lines of one version as columns, without an object for each: what counts and profiles reads a million lines so.

It keeps no keys and no units, and a value that is missing and a column that is are the same to it. None for lines that
Arrow cannot read in the types of the contract: they are read one by one, as they are.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.json as json

from loopwright.predictions import layout

_FIXED = {"id": pa.string(), "at": pa.timestamp("us", "UTC"), "version": pa.int64(), "arm": pa.string()}
_KINDS = {
    "string": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("us", "UTC"),
}


def columns(lines: Sequence[bytes], kinds: Mapping[str, str]) -> layout.Piece | None:
    """`kinds` are those of the version's columns."""
    text = b"\n".join(lines)
    row = pa.struct([pa.field(name, _KINDS[kind]) for name, kind in kinds.items() if kind in _KINDS])
    schema = pa.schema({**_FIXED, "row": row, "latency_ms": pa.float64()})
    try:
        found = json.read_json(
            io.BytesIO(text),
            read_options=json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=json.ParseOptions(explicit_schema=schema),
        ).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    cells = list(_cells(found))
    if len(found) != len(lines) or any(_is_guessed(cell, kinds) for cell in cells):
        return None
    fixed = {name: found[name].combine_chunks() for name in (*_FIXED, "latency_ms")}
    return layout.Piece(fixed, cells)


def _cells(found: pa.Table) -> Iterator[layout.Cell]:
    for part, name in (("row", "row"), ("probability", "probabilities")):
        if name in found.column_names and pa.types.is_struct(found[name].type):
            array: Any = found[name].combine_chunks()
            for at, field in enumerate(array.type):
                yield layout.typed(part, field.name, array.field(at))
    for name in ("label", "value"):
        if name in found.column_names:
            yield layout.typed(name, "", found[name].combine_chunks())


def _is_guessed(cell: layout.Cell, kinds: Mapping[str, str]) -> bool:
    """Whether Arrow took for a time, or for JSON, what may be a text."""
    if cell.part == "row":
        return kinds.get(cell.name) not in (None, cell.kind)
    return cell.kind in ("time", "json")
