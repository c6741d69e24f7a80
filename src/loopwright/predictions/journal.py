"""The journal: one line of JSON a prediction, appended before the answer leaves. No client's text ever names a file.

    <root>/<loop>/<writer>.jsonl

A writer is one thread of one process, and its name is the ULID of the moment it opened the file, so that no two append
to the same one and the lines of a file are in the order of their ids (`finding` relies on it). Lines are written with
one system call and reach the system at once: they survive the death of the process, not of the machine. A line that a
power cut tore off is skipped by readers, and counted.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from loopwright.core.clock import Clock, new_ulid
from loopwright.errors import StoreUnavailable, UsageError

LOOP_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
FOLDER = "predictions"
"""Of a workspace: the root of its journals."""
SUFFIX = ".jsonl"
_BLOCK_BYTES = 1 << 16
LIMIT_BYTES = 64 << 20
"""A file that has grown beyond is closed, and the next one begun."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One prediction, as it lies in the journal. The id comes first: `finding` looks for it there."""

    id: str
    """`<ulid of the request>.<row>`."""
    at: datetime
    loop: str
    version: int
    digest: str
    """Of the bundle."""
    arm: str
    row: Mapping[str, Any]
    """The columns the model was given, as they came."""
    key: Mapping[str, Any] | None = None
    """What else names the row: its key columns and its time."""
    unit: str | None = None
    label: str | int | bool | None = None
    probabilities: Mapping[str, float] | None = None
    value: float | None = None


class Journal:
    """Appends lines. Each thread that writes has files of its own, one a loop."""

    def __init__(self, root: Path, clock: Clock, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._root = root
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._mine = threading.local()
        self._all: list[_Writer] = []
        self._opening = threading.Lock()

    def new_id(self) -> str:
        """A ULID for a request; sorts after every other that this thread was given, so it must be used in order."""
        last = new_ulid(self._clock, self._mine.__dict__.get("last", ""))
        self._mine.last = last
        return last

    def append(self, loop: str, lines: Sequence[Any]) -> None:
        """Write the lines, all or none. Raises `StoreUnavailable` when they could not be written."""
        content = b"".join(_ENCODER.encode(line) + b"\n" for line in lines)
        self._writer(loop).write(content)

    def close(self) -> None:
        for writer in self._all:
            writer.close()

    def _writer(self, loop: str) -> _Writer:
        writers: dict[str, _Writer] = self._mine.__dict__.setdefault("writers", {})
        if loop not in writers:
            writers[loop] = _Writer(folder_of(self._root, loop), self._clock, self._limit_bytes)
            with self._opening:
                self._all.append(writers[loop])
        return writers[loop]


class _Writer:
    """One file at a time, of one thread."""

    def __init__(self, folder: Path, clock: Clock, limit_bytes: int) -> None:
        self._folder = folder
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._file: int | None = None
        self._size = 0
        self._name = ""

    def write(self, content: bytes) -> None:
        try:
            if self._size >= self._limit_bytes:
                self.close()
            if self._file is None:
                self._file = self._open()
            self._write_whole(self._file, content)
        except OSError as error:
            raise StoreUnavailable(
                f"the journal cannot be written: {error.strerror or type(error).__name__}",
                where=str(self._folder),
                fix="free some disk space, or give the gateway the right to write to its workspace, and send it again",
            ) from error
        self._size += len(content)

    def close(self) -> None:
        """A file in which nothing stands is not left behind: a full disk would gather one a refused request."""
        if self._file is not None:
            os.close(self._file)
            if self._size == 0:
                self._path.unlink(missing_ok=True)
        self._file, self._size = None, 0

    @property
    def _path(self) -> Path:
        return self._folder / (self._name + SUFFIX)

    def _open(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._name = new_ulid(self._clock, self._name)
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)

    def _write_whole(self, file: int, content: bytes) -> None:
        """All of it or, on a full disk, none: what nobody was answered must not be read as predicted."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(file, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(file, self._size)
            self.close()
            raise


_ENCODER = msgspec.json.Encoder()


def folder_of(root: Path, loop: str) -> Path:
    """Where a loop's lines lie. Raises `UsageError` for what is no name of a loop, before it becomes a path."""
    if not LOOP_NAME.fullmatch(loop):
        raise UsageError(
            f"{loop[:80]!r} is no name of a loop", fix="lower-case letters, digits, - and _, at most 64, a letter first"
        )
    return root / loop


def loops(root: Path) -> list[str]:
    """The loops that have lines."""
    if not root.is_dir():
        return []
    return sorted(folder.name for folder in root.iterdir() if LOOP_NAME.fullmatch(folder.name) and folder.is_dir())


def files(root: Path, loop: str) -> list[Path]:
    """The files of a loop, oldest first."""
    folder = folder_of(root, loop)
    return sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []


def lines(root: Path, loop: str) -> Iterator[bytes]:
    """Every line of a loop, in the order of writing within each file; the last may be torn."""
    for file in files(root, loop):
        with suppress(FileNotFoundError), file.open("rb") as opened:  # an empty one may be taken away meanwhile
            yield from opened


def last_lines(file: Path, limit: int) -> list[bytes]:
    """So many lines from the end of a file, read in blocks from there; the last may be torn."""
    content = b""
    with suppress(FileNotFoundError), file.open("rb") as opened:  # as above
        place = opened.seek(0, os.SEEK_END)
        while place > 0 and content.count(b"\n") <= limit:
            start = max(0, place - max(_BLOCK_BYTES, len(content)))
            opened.seek(start)
            content = opened.read(place - start) + content
            place = start
    return content.splitlines()[-limit:]
