"""Which keys were predicted on, so that whoever labels by key learns what met no prediction yet.

The journal of a loop and its table are read once, and later only what was added to them. What is kept does not grow: a
bit a key, in a field of fixed size, so of very many keys some that were never predicted on are taken for known, and
none the other way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from loopwright.predictions import columnar, delta, journal
from loopwright.predictions.labels import key_text

_BITS = 1 << 26
"""8 MiB a loop: of a million keys, one in 67 is taken for known."""


class _Keyed(msgspec.Struct, frozen=True):
    """Of a line of the journal, what names its row."""

    key: dict[str, Any] | None = None


class Keys:
    """The keys of one loop, by some columns."""

    def __init__(self, workspace: Path, loop: str, columns: tuple[str, ...]) -> None:
        self._root = workspace / journal.FOLDER
        self._loop = loop
        self._columns = columns
        self._seen = bytearray(_BITS // 8)
        self._read: dict[Path, int] = {}
        self._table: set[Path] = set()
        self._commit = ""
        self._decoder = msgspec.json.Decoder(_Keyed)
        self._reading = threading.Lock()

    def refresh(self) -> None:
        """Read what was added since. The journal first: what leaves it meanwhile is in the table by then."""
        with self._reading:
            there = journal.files(self._root, self._loop)
            for file in there:
                self._read_on(file)
            for file in journal.column_files(self._root, self._loop):
                self._read_columns(file)
            self._read_table()
            self._read = {file: place for file, place in self._read.items() if file.exists()}

    def __contains__(self, key: Mapping[str, Any]) -> bool:
        place = self._place(key)
        return bool(self._seen[place >> 3] & 1 << (place & 7))

    def _read_on(self, file: Path) -> None:
        with suppress(FileNotFoundError), file.open("rb") as opened:  # an empty one may be taken away meanwhile
            opened.seek(self._read.get(file, 0))
            for line in opened:
                if not line.endswith(b"\n"):  # it is being written
                    return
                self._read[file] = self._read.get(file, 0) + len(line)
                self._note(line)

    def _read_columns(self, file: Path) -> None:
        """What was read of it already is passed by."""
        with suppress(FileNotFoundError):
            for number, found in enumerate(columnar.batches(file)):
                if found is not None and number >= self._read.get(file, 0):
                    from loopwright.predictions import layout

                    self._read[file] = number + 1
                    self._note_all(layout.keys(layout.assemble([layout.of_columns(*found, file.name)])))

    def _read_table(self) -> None:
        """Only when it has a new version. Files that were joined are read again, which changes nothing."""
        commit = delta.newest_commit(self._root, self._loop)
        if commit != self._commit:
            from loopwright.predictions import layout

            for table in delta.keys(self._root, self._loop, self._table):
                self._note_all(layout.keys(table))
            self._commit = commit

    def _note(self, line: bytes) -> None:
        with suppress(msgspec.MsgspecError):
            key = self._decoder.decode(line).key
            self._note_all([key] if key is not None else [])

    def _note_all(self, keys: Iterable[Mapping[str, Any]]) -> None:
        for key in keys:
            if key.keys() >= set(self._columns):
                place = self._place(key)
                self._seen[place >> 3] |= 1 << (place & 7)

    def _place(self, key: Mapping[str, Any]) -> int:
        return hash(key_text(key, self._columns)) % _BITS
