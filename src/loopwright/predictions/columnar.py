"""Predictions of many rows at once, as Arrow has them: columns in, a stream of Arrow messages in the journal.

A stream has one schema; what is the same for all rows of a request stands once, beside its columns. Nothing here turns
a value into a Python object. Arrow is imported only at use: a gateway without it never gets here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

    from loopwright.predictions.concealing import Concealer

_FACTS = b"loopwright.facts"
_FIRST = b"loopwright.first"
_FRAME_BYTES = 4096
"""More than what stands around the facts of a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What holds for every row of a request."""

    ulid: str
    at: datetime
    loop: str
    version: int
    digest: str
    arm: str
    unit: str | None = None
    shadow: bool = False
    latency_ms: float | None = None
    route: int | None = None


_FIELDS = tuple(one.name for one in fields(Facts))


def recorded(
    facts: Facts,
    rows: Mapping[str, pa.Array],
    *,
    keys: Mapping[str, pa.Array] | None = None,
    label: pa.Array | None = None,
    probabilities: Mapping[str, pa.Array] | None = None,
    value: pa.Array | None = None,
) -> pa.RecordBatch:
    """A request's predictions as `Journal.append_table` takes them.

    Every array has the length of the request. `rows` are the model's columns, `keys` the key columns that came along,
    `probabilities` one column a class.
    """
    import pyarrow as pa

    columns = {_name("row", name): array for name, array in rows.items()}
    columns |= {_name("key", name): array for name, array in (keys or {}).items()}
    columns |= {_name("probability", name): array for name, array in (probabilities or {}).items()}
    columns |= {_name(part, ""): array for part, array in (("label", label), ("value", value)) if array is not None}
    told = json.dumps({name: getattr(facts, name) for name in _FIELDS} | {"at": facts.at.isoformat()})
    arrays = [_plain(array) for array in columns.values()]
    return pa.RecordBatch.from_arrays(arrays, list(columns), metadata={_FACTS: told.encode()})


def facts_of(batch: pa.RecordBatch) -> Facts:
    told = json.loads((batch.schema.metadata or {})[_FACTS])
    return Facts(**told | {"at": datetime.fromisoformat(told["at"])})


def concealed(batch: pa.RecordBatch, concealer: Concealer) -> pa.RecordBatch:
    """Without the values that must be hidden."""
    import pyarrow as pa

    for at in reversed(range(batch.num_columns)):
        part, name = json.loads(batch.schema.names[at])
        if part in ("row", "key") and name in concealer.columns:
            values = concealer.values(name, batch.column(at).to_pylist())
            if values is None:
                batch = batch.remove_column(at)
            else:
                batch = batch.set_column(at, batch.schema.names[at], pa.array(values, pa.string()))
    return batch


def encoded(batch: pa.RecordBatch) -> tuple[bytes, memoryview]:
    """The beginning of a stream, and what follows for these rows."""
    import pyarrow as pa

    facts, schema = (batch.schema.metadata or {})[_FACTS], batch.schema.remove_metadata()
    head = schema.serialize().to_pybytes()
    size = len(head) + pa.ipc.get_record_batch_size(batch) + len(facts) + _FRAME_BYTES
    whole = pa.allocate_buffer(size)  # at once, so that nothing is copied twice
    sink = pa.FixedSizeBufferWriter(whole)
    pa.ipc.new_stream(sink, schema).write_batch(batch, custom_metadata={_FACTS: facts, _FIRST: b"0"})
    return head, memoryview(whole)[len(head) : sink.tell()]  # without the mark of an end: more will follow


Found: TypeAlias = "tuple[Facts, int, pa.RecordBatch]"
"""The facts of a request, the number of the first row, the columns."""


def batches(file: Path) -> Iterator[Found | None]:
    """What a file holds; None for a tail that was torn. Raises `FileNotFoundError`."""
    return (found for _, _, found in placed(file))


def placed(file: Path, start: int = 0, *, is_growing: bool = False) -> Iterator[tuple[int, int, Found | None]]:
    """What a file holds from a byte on at which a batch begins, or its beginning: the bytes where each begins and ends,
    and what it is; None for a tail that was torn, or is being written. Raises `FileNotFoundError`.

    One that `is_growing` may also be cut short meanwhile, so it is not mapped.
    """
    import pyarrow as pa

    with pa.OSFile(str(file)) if is_growing else pa.memory_map(str(file)) as opened:
        try:
            stream = pa.ipc.open_stream(opened)
        except (pa.ArrowInvalid, OSError):
            yield 0, 0, None
            return
        place = opened.seek(max(start, opened.tell()))
        while True:
            try:
                batch, beside = stream.read_next_batch_with_custom_metadata()
            except StopIteration:
                return
            except (pa.ArrowInvalid, OSError):
                yield place, place, None
                return
            told, begun, place = json.loads(beside[_FACTS]), place, opened.tell()
            yield begun, place, (Facts(**told | {"at": datetime.fromisoformat(told["at"])}), int(beside[_FIRST]), batch)


def parts(names: Sequence[str]) -> list[tuple[str, str]]:
    """What each column of a batch is: `row`, `key`, `probability`, `label` or `value`, and of what name."""
    return [(part, name) for part, name in map(json.loads, names)]


@lru_cache(maxsize=4096)
def _name(part: str, name: str) -> str:
    return json.dumps([part, name])


def _plain(array: Any) -> Any:
    """Dictionaries would need messages of their own."""
    import pyarrow as pa

    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array
