"""Labels of a loop as frames, piece by piece, in the order of writing: many at once, and later only what was added.

Values stay JSON until it is known which of them are wanted: of a million labels a window has few.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import polars as pl

from loopwright.predictions import aside, journal, labels
from loopwright.predictions.labels import Scalar, key_text

SCHEMA = {
    "number": pl.Int64(),
    "label": pl.String(),
    "at": pl.Datetime("us", "UTC"),
    "true_at": pl.Datetime("us", "UTC"),
    "origin": pl.Categorical(),
    "prediction_id": pl.String(),
    "outcome": pl.Categorical(),
    "columns": pl.Categorical(),
    "key": pl.String(),
}
"""`label` is JSON, `number` the place among all that were told, `columns` the key's columns as a list in JSON, `key`
its values as `key_text` has them."""
_MOMENTS = ("at", "true_at")
_BLOCK_BYTES = 4 << 20
_NO_SCALAR = (b"[", b"{", b"n")


class _Told(msgspec.Struct, frozen=True, gc=False):
    """A line; what is in it is looked at later."""

    label: msgspec.Raw
    at: str
    origin: str
    prediction_id: str | None = None
    key: dict[str, Scalar] | None = None
    outcome: str | None = None
    true_at: str | None = None


class LabelFrames:
    """What was told of one loop, and what is kept aside of any."""

    def __init__(self, workspace: Path, loop: str) -> None:
        self._roots = ((workspace / labels.FOLDER, loop), (workspace / aside.FOLDER, aside.NAME))
        self._read: dict[Path, tuple[int, int]] = {}
        """Of each file its inode, and how far it was read."""
        self._count = 0
        self._decoder = msgspec.json.Decoder(_Told)

    def is_rewritten(self) -> bool:
        """Whether labels were erased since: then what was read before is no longer true."""
        for file, (inode, place) in self._read.items():
            try:
                stat = file.stat()
            except FileNotFoundError:
                return True
            if stat.st_ino != inode or stat.st_size < place:
                return True
        return False

    def added(self) -> Iterator[pl.DataFrame]:
        """What was not given yet. A line that is being written comes the next time; a torn one never."""
        for root, name in self._roots:
            for file in journal.files(root, name):
                with suppress(FileNotFoundError), file.open("rb") as opened:
                    yield from self._pieces(file, opened)

    def _pieces(self, file: Path, opened: BinaryIO) -> Iterator[pl.DataFrame]:
        inode = file.stat().st_ino
        place = self._read.get(file, (inode, 0))[1]
        opened.seek(place)
        while block := opened.read(_BLOCK_BYTES):
            block += opened.readline()
            whole = block[: block.rfind(b"\n") + 1]
            place += len(whole)
            self._read[file] = (inode, place)
            if whole:
                yield self._frame(self._decoded(whole))
            if len(whole) < len(block):  # its end is still to come
                return

    def _decoded(self, lines: bytes) -> list[_Told]:
        try:
            return self._decoder.decode_lines(lines)
        except msgspec.MsgspecError:  # one of them is torn
            found = []
            for line in lines.splitlines():
                with suppress(msgspec.MsgspecError):
                    found.append(self._decoder.decode(line))
            return found

    def _frame(self, told: list[_Told]) -> pl.DataFrame:
        first = self._count
        self._count += len(told)
        raw = [bytes(one.label) for one in told]
        keys = [one.key for one in told]
        columns, texts = _named(keys) if any(keys) else ([None] * len(told), [None] * len(told))
        made = {
            "number": range(first, self._count),
            "label": [None if one.startswith(_NO_SCALAR) else one.decode() for one in raw],
            **{name: [getattr(one, name) for one in told] for name in ("at", "true_at", "origin", "prediction_id")},
            "outcome": [one.outcome for one in told],
            "columns": columns,
            "key": texts,
        }
        plain = {name: pl.String() if name in _MOMENTS else kind for name, kind in SCHEMA.items()}
        frame = pl.DataFrame(made, schema=plain).filter(pl.col("label").is_not_null())
        return frame.with_columns(_moment(name) for name in _MOMENTS)


def _moment(name: str) -> pl.Expr:
    """Lines are written in UTC; what another hand wrote in another zone is read, too."""
    quick = pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)
    slow = pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", time_zone="UTC", strict=False)
    return pl.coalesce(quick.dt.replace_time_zone("UTC"), slow).cast(SCHEMA[name]).alias(name)


def _named(keys: list[dict[str, Scalar] | None]) -> tuple[list[str | None], list[str | None]]:
    """Of each key its columns and its values, as text."""
    known: dict[tuple[str, ...], tuple[tuple[str, ...], str]] = {}
    columns: list[str | None] = []
    texts: list[str | None] = []
    for key in keys:
        if not key:
            columns.append(None)
            texts.append(None)
            continue
        names, told = known.get(tuple(key)) or known.setdefault(tuple(key), _columns(key))
        columns.append(told)
        texts.append(key_text(key, names))
    return columns, texts


def _columns(key: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    names = tuple(sorted(key))
    return names, msgspec.json.encode(names).decode()
