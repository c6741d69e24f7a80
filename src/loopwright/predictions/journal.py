"""The journal: one line of JSON a prediction, appended before the answer leaves. No client's text ever names a file.

    <root>/<loop>/<writer>.jsonl

A writer is one thread of one process, and its name is the ULID of the moment it opened the file, so that no two append
to the same one and the lines of a file are in the order of their ids (`finding` relies on it). Files that are closed
become part of a table (`compaction`) where that is installed, and go. Lines are written with
one system call and reach the system at once: they survive the death of the process, not of the machine. A line that a
power cut tore off is skipped by readers, and counted.
"""

from __future__ import annotations

import os
import re
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from loopwright.core.clock import Clock, Ulids
from loopwright.errors import StoreUnavailable, UsageError
from loopwright.predictions import columnar
from loopwright.predictions.concealing import Concealer
from loopwright.predictions.health import Change, Health, Watch
from loopwright.predictions.writing import Content, Hand, Writer, is_closed

LOOP_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
FOLDER = "predictions"
"""Of a workspace: the root of its journals."""
SUFFIX = ".jsonl"
COLUMNS_SUFFIX = ".arrows"
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
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
    latency_ms: float | None = None
    """From when the request was there whole until its model had answered and this was about to be written; of a shadow
    the run of its batch. To the microsecond. None where nobody measured."""
    route: int | None = None
    """The revision of the route by which its arm was chosen. None where none was: at an edge, in a batch."""
    shadow: bool = False
    """Whether nobody heard it. It bears the id of the prediction that was answered, in a file of its own."""
    recorded: bool = True
    """False only in what is told of a prediction that is not there: it was not to be, or could not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How predictions are kept."""

    share: float = 1.0
    """Of the requests: which ones is decided by their ids."""
    patience_seconds: float | None = None
    """How long a write may take. None: as long as it does, which saves the way to another thread and back."""
    when_full: Literal["refuse", "answer"] = "refuse"
    """What becomes of predictions that cannot be written."""
    limit_bytes: int = LIMIT_BYTES
    close_seconds: float = 60.0
    """A file older than this is closed by `close_old`, and the next one begun."""


class Journal:
    """Appends lines. Each thread that writes has files of its own, one a loop."""

    def __init__(self, root: Path, clock: Clock, *, limit_bytes: int | None = None, terms: Terms | None = None) -> None:
        given = terms or Terms()
        self._root = root
        self._clock = clock
        self._terms = given if limit_bytes is None else replace(given, limit_bytes=limit_bytes)
        self._watch = Watch(clock)
        self._mine = threading.local()
        self._writers: list[Writer] = []
        self._hands: list[Hand] = []
        self._opening = threading.Lock()
        self.concealers: Mapping[tuple[str, int], Concealer] = {}
        """What hides values of a loop's version, where some are hidden. Replaced whole, by `conceal`."""

    def conceal(self, loop: str, version: int, concealer: Concealer) -> None:
        """Hide values of this version's rows from now on. To be said before it answers."""
        if concealer.columns:
            with self._opening:
                self.concealers = {**self.concealers, (loop, version): concealer}

    def new_id(self) -> str:
        """A ULID for a request; sorts after every other that this thread was given, so it must be used in order."""
        return self.ulids().next()

    def ulids(self) -> Ulids:
        """Where this thread's ids come from."""
        found: Ulids | None = self._mine.__dict__.get("ulids")
        if found is None:
            found = self._mine.ulids = Ulids(self._clock)
        return found

    def takes(self, identity: str) -> bool:
        """Whether a prediction belongs to the share that is recorded. By its request: all rows of one, or none."""
        share = self._terms.share
        return share >= 1 or zlib.crc32(identity[:26].encode()) < share * 2**32

    def append(self, loop: str, lines: Sequence[Any]) -> bool:
        """Write the lines, all or none; those of predictions that it does not `takes` are left out. Whether all that
        should be there now is: False only where the terms say to answer all the same.

        Raises `StoreUnavailable` when they could not be written.
        """
        if self._terms.share < 1:
            lines = [line for line in lines if not isinstance(line, Line) or self.takes(line.id)]
        if self.concealers:
            lines = [self._concealed(line) if isinstance(line, Line) else line for line in lines]
        return self.append_encoded(loop, _ENCODER.encode_lines(lines), len(lines))

    def as_told(self, lines: Sequence[Line], *, is_written: bool) -> Sequence[Line]:
        """Lines that `append` was given and answered for, marked where they are not there."""
        if is_written and self._terms.share >= 1:
            return lines
        there = [is_written and self.takes(line.id) for line in lines]
        pairs = zip(lines, there, strict=True)
        return [line if is_there else msgspec.structs.replace(line, recorded=False) for line, is_there in pairs]

    def append_encoded(self, loop: str, content: bytes, count: int) -> bool:
        """Write `count` lines that were encoded already, in one piece, all or none. Raises and returns as `append`.

        Which of them belong there, and what of them must be hidden, is the caller's to see to.
        """
        return self._write(loop, SUFFIX, content, b"", count) if content else True

    def append_table(self, loop: str, ulid: str, batch: Any) -> bool:
        """Write the predictions of one request as `columnar.recorded` made them. Raises and returns as `append`.

        For many rows: they are never lines of JSON.
        """
        if not self.takes(ulid):
            return True
        if self.concealers:
            facts = columnar.facts_of(batch)
            concealer = self.concealers.get((facts.loop, facts.version))
            batch = columnar.concealed(batch, concealer) if concealer else batch
        head, content = columnar.encoded(batch)
        return self._write(loop, COLUMNS_SUFFIX, content, head, batch.num_rows)

    def health(self) -> Health:
        return self._watch.now()

    def changes(self) -> list[Change]:
        """What became of it since this was asked last, for one thread to write as events."""
        return self._watch.changes()

    def close_old(self) -> None:
        """Close files that are old enough, for they wait to be made part of the table. Call it now and then."""
        for writer in self._writers:
            writer.close_old(self._terms.close_seconds)

    def close(self) -> None:
        for hand in self._hands:
            hand.stop()
        for writer in self._writers:
            writer.close()

    def _write(self, loop: str, suffix: str, content: Content, head: bytes, count: int) -> bool:
        writer = self._writer(loop, suffix)
        is_answered = self._terms.when_full == "answer"
        try:
            if self._terms.patience_seconds is None:
                writer.write(content, head)
            else:
                undo = _nothing if is_answered else partial(writer.take_back, content)
                self._hand(self._terms.patience_seconds).do(partial(writer.write, content, head), undo)
        except StoreUnavailable as error:
            self._watch.failed(error.what, count, is_answered=is_answered)
            if not is_answered:
                raise
            return False
        self._watch.wrote()
        return True

    def _concealed(self, line: Line) -> Line:
        concealer = self.concealers.get((line.loop, line.version))
        if concealer is None:
            return line
        return msgspec.structs.replace(line, row=concealer.row(line.row), key=concealer.key(line.key))

    def _hand(self, patience_seconds: float) -> Hand:
        found: Hand | None = self._mine.__dict__.get("hand")
        if found is None:
            found = self._mine.hand = Hand(patience_seconds)
            with self._opening:
                self._hands.append(found)
        return found

    def _writer(self, loop: str, suffix: str) -> Writer:
        writers: dict[tuple[str, str], Writer] = self._mine.__dict__.setdefault("writers", {})
        found = writers.get((loop, suffix))
        if found is None:
            folder = folder_of(self._root, loop)
            found = writers[loop, suffix] = Writer(folder, self._clock, suffix, self._terms.limit_bytes)
            with self._opening:
                self._writers.append(found)
        return found


def _nothing() -> None:
    """Late lines may stay where predictions are answered without them."""


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
    return _named(root, loop, SUFFIX)


def column_files(root: Path, loop: str) -> list[Path]:
    """The files of a loop that hold columns, oldest first."""
    return _named(root, loop, COLUMNS_SUFFIX)


def is_writer(stem: str) -> bool:
    """Whether it is the name of a writer."""
    return _ULID.fullmatch(stem) is not None


def _named(root: Path, loop: str, suffix: str) -> list[Path]:
    """Those whose names are a writer's: others are being made, or are no journal."""
    folder = folder_of(root, loop)
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(file for file in found if file.suffix == suffix and is_writer(file.stem))


def drop_old(root: Path, loop: str, before: datetime) -> list[str]:
    """Delete the files that nobody has written to since, and nobody will; their names. Where they become a table, days
    are dropped from that."""
    old = []
    for file in (*files(root, loop), *column_files(root, loop)):
        with suppress(FileNotFoundError):
            if file.stat().st_mtime < before.timestamp() and is_closed(file):
                file.unlink()
                old.append(file.name)
    return old


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
