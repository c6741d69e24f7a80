"""Large batches as Arrow: a stream of record batches in, one out (`application/vnd.apache.arrow.stream`).

Needs pyarrow, which is imported at the first such request. Nothing in a body is believed: its lengths are checked
before they are followed, compressed buffers are refused, for a small body might become a big one, and every array is
verified before a value is read.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from loopwright.gateway.refused import Refused
from loopwright.protocols.bodies import too_many

if TYPE_CHECKING:
    import pyarrow as pa

TYPE = "application/vnd.apache.arrow.stream"
_FIX = "send a stream as pyarrow.ipc.new_stream writes it"
_DICTIONARY, _RECORDS = 2, 3
"""Kinds of messages."""
_HEADER_KIND, _HEADER, _COMPRESSION, _DATA = 1, 2, 3, 1
"""Fields by number: of a message its header's kind and its header; of record batches their compression; of a
dictionary its record batch."""


def is_asked(content_type: str) -> bool:
    """
    >>> is_asked("application/vnd.apache.arrow.stream"), is_asked("application/json")
    (True, False)
    """
    return content_type.partition(";")[0].strip().lower() == TYPE


def read(content: bytes, most_rows: int) -> pa.RecordBatch:
    """The rows of a body, verified. Raises `Refused`."""
    arrow = _arrow()
    try:
        _refuse_compressed(arrow, content)
        batches = _batches(arrow, content, most_rows)
        return batches[0] if len(batches) == 1 else arrow.concat_batches(batches)
    except (arrow.ArrowException, OSError, struct.error, UnicodeDecodeError) as error:
        told = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise Refused(400, f"the body is no Arrow stream: {told}", fix=_FIX) from None


def written(batch: pa.RecordBatch) -> bytes:
    """A stream of one record batch."""
    arrow = _arrow()
    sink = arrow.BufferOutputStream()
    with arrow.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError:
        raise Refused(415, "this gateway reads no Arrow: pyarrow is not installed", fix="send JSON") from None
    return pyarrow


def _batches(arrow: Any, content: bytes, most_rows: int) -> list[pa.RecordBatch]:
    found, rows = [], 0
    with arrow.ipc.open_stream(content) as reader:
        str(reader.schema.names)  # which are decoded only now, and may be no UTF-8
        for batch in reader:
            rows += batch.num_rows
            if rows > most_rows:
                raise too_many(most_rows)
            batch.validate(full=True)
            found.append(batch)
    if rows == 0:
        raise Refused(422, "there are no rows: there is nothing to predict", fix=_FIX)
    return found


def _refuse_compressed(arrow: Any, content: bytes) -> None:
    """Looks at what stands before each record batch, and reads none of them."""
    for message in arrow.ipc.MessageReader.open_stream(content):
        table = _Table.root(message.metadata.to_pybytes())
        kind, header = table.byte(_HEADER_KIND), table.table(_HEADER)
        if kind == _DICTIONARY and header is not None:
            header = header.table(_DATA)
        if kind in (_DICTIONARY, _RECORDS) and header is not None and header.at(_COMPRESSION):
            raise Refused(415, "the stream is compressed", fix="write it without compression")


class _Table:
    """A table of flatbuffers, the form of what stands before a record batch: fields by number, where they are there.

    google.github.io/flatbuffers, "FlatBuffer internals". A place beyond the bytes raises `struct.error`.
    """

    __slots__ = ("_content", "_place", "_vtable")

    def __init__(self, content: bytes, place: int) -> None:
        self._content = content
        self._place = place
        self._vtable = place - struct.unpack_from("<i", content, place)[0]

    @classmethod
    def root(cls, content: bytes) -> _Table:
        return cls(content, struct.unpack_from("<I", content)[0])

    def at(self, field: int) -> int | None:
        """The place of a field, None where it is left out."""
        (size,) = struct.unpack_from("<H", self._content, self._vtable)
        if 4 + 2 * field >= size:
            return None
        (offset,) = struct.unpack_from("<H", self._content, self._vtable + 4 + 2 * field)
        return self._place + offset if offset else None

    def byte(self, field: int) -> int:
        place = self.at(field)
        return 0 if place is None else int(struct.unpack_from("<B", self._content, place)[0])

    def table(self, field: int) -> _Table | None:
        place = self.at(field)
        if place is None:
            return None
        return _Table(self._content, place + struct.unpack_from("<I", self._content, place)[0])
