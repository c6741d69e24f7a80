"""What was answered at the edge, kept until it is handed in: lines as in a gateway's journal, never more than so many.

A line is with the system before its answer leaves, so it outlives the process. When the space is used up, either
nothing is answered any more (`refuse`), or the oldest file makes room, and what stood in it is counted (`drop`).
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from loopwright.core.clock import Clock
from loopwright.errors import StoreUnavailable
from loopwright.predictions.writing import Writer, is_closed

_logger = logging.getLogger(__name__)
SUFFIX, REFUSED, CURSOR = ".jsonl", ".refused", ".handed"
LIMIT_BYTES = 64 << 20
WhenFull = Literal["refuse", "drop"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How it is with a journal."""

    waiting_bytes: int
    dropped: int
    """Predictions that made room, since the process began."""


class Journal:
    """Threads may share it. A file is closed at a sixteenth of the limit, so that dropping one drops little."""

    def __init__(
        self, folder: Path, clock: Clock, *, limit_bytes: int = LIMIT_BYTES, when_full: WhenFull = "refuse"
    ) -> None:
        self.folder = folder
        self._limit_bytes = limit_bytes
        self._when_full = when_full
        self._writer = Writer(folder, clock, SUFFIX, max(1, limit_bytes // 16))
        self._using = threading.Lock()
        self._size = sum(file.stat().st_size for file in self._files())
        self._dropped = 0

    def append(self, content: bytes) -> None:
        """Whole lines. Raises `StoreUnavailable`, and nothing is written then."""
        with self._using:
            if self._size + len(content) > self._limit_bytes:
                self._make_room(len(content))
            self._writer.write(content)
            self._size += len(content)

    def standing(self) -> Standing:
        return Standing(self._size, self._dropped)

    def closed(self) -> list[Path]:
        """Every file with something in it, oldest first; what was open is closed first."""
        self._writer.close()
        return [file for file in self._files() if file.suffix == SUFFIX and is_closed(file)]

    def taken(self, file: Path) -> None:
        """A file that was handed in whole: it goes, and what tells how far it was handed in."""
        with self._using:
            self._remove(file)

    def set_aside(self, file: Path) -> None:
        """A file that will never be taken: kept to be looked at, and counted, under another suffix."""
        with self._using:
            file.replace(file.with_suffix(REFUSED))
            file.with_suffix(CURSOR).unlink(missing_ok=True)

    def close(self) -> None:
        self._writer.close()

    def _files(self) -> list[Path]:
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(file for file in found if file.suffix in (SUFFIX, REFUSED) and not file.name.startswith("."))

    def _make_room(self, needed: int) -> None:
        """Raises `StoreUnavailable`."""
        if self._when_full == "drop":
            self._writer.close()
            for file in self._files():
                if self._size + needed <= self._limit_bytes:
                    return
                if is_closed(file):
                    self._dropped += file.read_bytes().count(b"\n")
                    self._remove(file)
                    _logger.warning("the journal is full: %s was dropped, %d so far", file.name, self._dropped)
        if self._size + needed > self._limit_bytes:
            raise StoreUnavailable(
                f"the journal is full: {self._size:,} of {self._limit_bytes:,} bytes",
                where=str(self.folder),
                fix="hand it in (--gateway), give it more (--journal-bytes), or let the oldest go (--when-full drop)",
            )

    def _remove(self, file: Path) -> None:
        with suppress(FileNotFoundError):
            size = file.stat().st_size
            file.unlink()
            self._size -= size
        file.with_suffix(CURSOR).unlink(missing_ok=True)
