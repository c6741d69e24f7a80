"""Which keys were predicted on, so that whoever labels by key learns what met no prediction yet.

The journal of a loop is read once, and later only what was added to it. What is kept does not grow: a bit a key, in a
field of fixed size, so of very many keys some that were never predicted on are taken for known, and none the other way.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from loopwright.predictions import journal
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
        self._decoder = msgspec.json.Decoder(_Keyed)
        self._reading = threading.Lock()

    def refresh(self) -> None:
        """Read what was added since."""
        with self._reading:
            for file in journal.files(self._root, self._loop):
                self._read_on(file)

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

    def _note(self, line: bytes) -> None:
        with suppress(msgspec.MsgspecError):
            key = self._decoder.decode(line).key
            if key is not None and key.keys() >= set(self._columns):
                place = self._place(key)
                self._seen[place >> 3] |= 1 << (place & 7)

    def _place(self, key: Mapping[str, Any]) -> int:
        return hash(key_text(key, self._columns)) % _BITS
