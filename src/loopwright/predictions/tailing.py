"""New lines of a folder of journal files: of each file what was written since, although others are at work on it.

What was read is a plain value, `Places`: how far each file that may grow was read, and which ones are over. Of those
that were over long ago only two marks are kept: the greatest of their names, and the last moment one was written to. A
file that nobody knows and whose name is not greater is over too, unless it was written to since, or was not there when
the same reader listed the folder before: it is new then, whatever a clock that was set back made of its name and time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from loopwright.core.clock import Clock
from loopwright.errors import StoreUnavailable
from loopwright.predictions import journal
from loopwright.predictions.writing import ASIDE

_BLOCK_BYTES = 1 << 20
_TAIL_BYTES = 1 << 16
_MARKS = 8
"""Of so many cursors it is remembered which files are old."""
_SURE_SECONDS = 1.0
"""A folder whose time has stood for so long has not changed since: file systems tell times in steps of milliseconds."""


class Places(msgspec.Struct, omit_defaults=True):
    """How far the files of a folder were read."""

    at: dict[str, int] = {}
    """By name: the byte where the next line begins."""
    done: list[str] = []
    """Those that nobody writes to any more, read to the end."""
    before: str = ""
    until_ns: int = 0
    """The two marks."""

    @property
    def is_met(self) -> bool:
        """Whether a file was."""
        return bool(self.at or self.done or self.before)


@dataclass(slots=True)
class Piece:
    """A part of one file."""

    values: list[Any]
    end: int
    """Where it ends."""
    torn: int = 0
    is_over: bool = False
    """Whether nothing will come any more."""


@dataclass(slots=True)
class Taken:
    """What a folder had."""

    values: list[Any] = field(default_factory=list)
    torn: int = 0
    is_cut: bool = False
    """Whether there may be more at once."""


Reader = Callable[[Path, int, int], Piece]
"""Reads a file from a byte on, about so many values."""
End = Callable[[Path], int | None]
"""Where the last whole value of a file ends; None where nobody writes to it any more. Raises `FileNotFoundError`."""


class Tail:
    """One folder. `kept` files that are over are remembered by name, and those written to for `settle_seconds`."""

    def __init__(
        self, folder: Path, readers: Mapping[str, Reader], clock: Clock, *, kept: int, settle_seconds: float
    ) -> None:
        """Of each ending of a file's name, how such files are read."""
        self._folder = folder
        self._readers = readers
        self._clock = clock
        self._kept = kept
        self._settle_ns = int(settle_seconds * 1e9)
        self._seen: tuple[int, float] = (-1, 0.0)
        self._listed: dict[str, Path] | None = None
        self._old: dict[tuple[str, int], set[str]] = {}
        """By the two marks: the files before them that were there when they were first seen."""

    def files(self, *, is_met: bool = False) -> Mapping[str, Path]:
        """All there are now, by name; one that was set aside by the name it had. None of a folder that is not there.

        Raises `StoreUnavailable` where something of it `is_met`: files go one by one, their folder never does.
        """
        try:
            changed_ns = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            if is_met:
                raise _gone(self._folder) from None
            return {}
        now = self._clock.monotonic()
        if changed_ns != self._seen[0]:
            self._seen, self._listed = (changed_ns, now), None
        if self._listed is not None:
            return self._listed
        found = self._list()
        if now - self._seen[1] >= _SURE_SECONDS:
            self._listed = found
        return found

    def take(self, places: Places, files: Mapping[str, Path], most: int, passed: Collection[str] = ()) -> Taken:
        """What came since, about `most` values; `places` go on. Files that are gone are forgotten."""
        self._meet(places, files, passed)
        taken = Taken()
        for name in sorted(places.at):
            if len(taken.values) >= most:
                break
            piece = self._readers[Path(name).suffix](files[name], places.at[name], most - len(taken.values))
            taken.values += piece.values
            taken.torn += piece.torn
            places.at[name] = piece.end
            if piece.is_over:
                del places.at[name]
                places.done.append(name)
        taken.is_cut = len(taken.values) >= most
        return taken

    def end(self, files: Mapping[str, Path], ends: Mapping[str, End], passed: Collection[str] = ()) -> Places | None:
        """As they were once all of it was taken, of which nothing is. None where a file went meanwhile: list again."""
        places = Places()
        for name in sorted(files.keys() - set(passed)):
            try:
                place = ends[Path(name).suffix](files[name])
            except FileNotFoundError:
                return None
            if place is None:
                places.done.append(name)
            else:
                places.at[name] = place
        if len(places.done) > self._kept:
            self._prune(places, files)
        return places

    def _meet(self, places: Places, files: Mapping[str, Path], passed: Collection[str]) -> None:
        """Take up new files, and forget those that are over and gone, or so many that two marks must do."""
        places.done = [name for name in places.done if name in files]
        known = {*places.at, *places.done, *passed}
        known |= self._old_of(places, files)
        fresh = [name for name in files if name not in known]
        places.at = {name: place for name, place in places.at.items() if name in files} | dict.fromkeys(fresh, 0)
        if len(places.done) > self._kept:
            self._prune(places, files)

    def _old_of(self, places: Places, files: Mapping[str, Path]) -> set[str]:
        marks = (places.before, places.until_ns)
        if marks not in self._old:
            self._remember(marks, {name for name in files if _is_before(files[name], name, places)})
        return self._old[marks]

    def _remember(self, marks: tuple[str, int], old: set[str]) -> None:
        self._old[marks] = old
        while len(self._old) > _MARKS:
            del self._old[next(iter(self._old))]

    def _prune(self, places: Places, files: Mapping[str, Path]) -> None:
        """Of those that were over when the files were listed before: whoever was written to until then is known."""
        changed_ns = {}
        for name in (*places.done, *places.at):
            with suppress(FileNotFoundError):
                changed_ns[name] = files[name].stat().st_mtime_ns
        limit_ns = max(changed_ns.values(), default=0) - self._settle_ns
        pruned = [name for name in places.done if name in changed_ns and changed_ns[name] <= limit_ns]
        if pruned:
            old = self._old_of(places, files) & files.keys()
            places.before = max(places.before, *pruned)
            places.until_ns = max(places.until_ns + 1, *(changed_ns[name] for name in pruned))  # never the marks before
            places.done = [name for name in places.done if name not in set(pruned)]
            self._remember((places.before, places.until_ns), old | set(pruned))

    def _list(self) -> dict[str, Path]:
        found = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                name = entry.name.removesuffix(ASIDE)
                stem, _, ending = name.partition(".")
                if f".{ending}" in self._readers and journal.is_writer(stem):
                    found[name] = Path(entry.path)
        return found


def _gone(folder: Path) -> StoreUnavailable:
    return StoreUnavailable(
        "a folder that was read from is gone",
        where=str(folder),
        fix="put it back as it was; it is read on from where that ended",
    )


def _is_before(file: Path, name: str, places: Places) -> bool:
    """By the marks."""
    if name > places.before:
        return False
    try:
        return file.stat().st_mtime_ns <= places.until_ns
    except FileNotFoundError:
        return True


def lines_of(decoder: Any) -> Reader:
    """What reads files of one JSON text a line."""

    def read(file: Path, start: int, most: int) -> Piece:
        try:
            opened = file.open("rb")
        except FileNotFoundError:  # it became part of the table: its rest is there
            return Piece([], start)
        with opened:
            return _read_lines(opened, decoder, start, most)

    return read


def end_of_lines(file: Path) -> int | None:
    """`End` of a file of lines: of one that grows its tail is looked at, of others nothing."""
    with file.open("rb") as opened:
        if is_over(opened.fileno()):
            return None
        place = opened.seek(0, os.SEEK_END)
        while place:
            start = max(0, place - _TAIL_BYTES)
            opened.seek(start)
            cut = opened.read(place - start).rfind(b"\n") + 1
            if cut:
                return start + cut
            place = start
    return 0


def _read_lines(opened: BinaryIO, decoder: Any, start: int, most: int) -> Piece:
    piece = Piece([], start)
    is_closed = is_over(opened.fileno())  # before its end is looked for
    opened.seek(start)
    while len(piece.values) + piece.torn < most:
        block = _block(opened)
        cut = block.rfind(b"\n") + 1
        if not cut:
            if is_closed:
                _decode(block, decoder, piece)  # as it is taken up by the table, where all but its end is there
                piece.end, piece.is_over = piece.end + len(block), True
            return piece
        whole = _first_lines(block[:cut], most - len(piece.values) - piece.torn)
        _decode(whole, decoder, piece)
        piece.end += len(whole)
        opened.seek(piece.end)
    return piece


def _block(opened: BinaryIO) -> bytes:
    """Some lines, or the whole rest: never a part of one line where there is more of it."""
    parts = [opened.read(_BLOCK_BYTES)]
    while len(parts[-1]) == _BLOCK_BYTES and b"\n" not in parts[-1]:
        parts.append(opened.read(_BLOCK_BYTES))
    return b"".join(parts)


def _first_lines(block: bytes, most: int) -> bytes:
    if len(block) <= most or block.count(b"\n") <= most:
        return block
    end = -1
    for _ in range(most):
        end = block.find(b"\n", end + 1)
    return block[: end + 1]


def _decode(block: bytes, decoder: Any, piece: Piece) -> None:
    try:
        piece.values += decoder.decode_lines(block)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        for line in block.splitlines():
            try:
                piece.values.append(decoder.decode(line))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                piece.torn += bool(line.strip())  # a blank one was erased


def is_over(file: int) -> bool:
    """Whether nobody writes to an open file any more. Asked so that others may ask at the same time."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return True
