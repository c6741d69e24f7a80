"""Follow a loop's predictions, failures and labels as they come: each once, wherever who follows is killed.

A cursor says how far somebody has read: text, to be kept with what was made of it. Whoever reads on from a cursor gets
everything that came after it was told, and nothing twice, although files are written to, closed, become part of the
table and go meanwhile. Lines that an error took back while they were read are the one exception: they were there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from loopwright.core.clock import Clock, SystemClock
from loopwright.errors import UsageError
from loopwright.predictions import backlog, columnar, failures, journal, labels
from loopwright.predictions.backlog import Backlog
from loopwright.predictions.failures import Failure
from loopwright.predictions.journal import Line
from loopwright.predictions.labels import Label
from loopwright.predictions.tailing import End, Piece, Places, Reader, Tail, Taken, end_of_lines, is_over, lines_of

if TYPE_CHECKING:
    import pyarrow as pa

_FORMAT = 1
_KEPT = 64
_SETTLE_SECONDS, _TABLE_SETTLE_SECONDS = 1.0, 86_400.0
"""Files that become part of a table are gone long before the second."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What came since, and how far that is."""

    lines: Sequence[Line]
    """In the order of writing within each file, shadows among them."""
    failures: Sequence[Failure]
    labels: Sequence[Label]
    cursor: str
    torn: int = 0
    """Lines that could not be read, for a power cut or a full disk tore them."""
    is_more: bool = False
    """Whether to ask again at once: there was more than was asked for."""


class _Bare(Line, frozen=True, kw_only=True, omit_defaults=True, rename=lambda name: " row" if name == "row" else None):
    """A line read without its row."""

    row: Mapping[str, Any] = {}


class _State(msgspec.Struct, omit_defaults=True):
    """What a cursor says."""

    format: int
    predictions: Places = msgspec.field(default_factory=Places)
    failures: Places = msgspec.field(default_factory=Places)
    labels: Places = msgspec.field(default_factory=Places)
    version: int = -1
    """Of the table: its commits up to this were met."""
    base: str | None = None
    """Of the rows that were in the table at first, the last file that was met; None when they all were."""
    due: list[str] = []
    """Files that were met in the table, and are to be read from there."""
    last: list[str] = []
    """Files whose rows are in the table, and that may not have gone yet."""
    top: str = ""
    """The greatest name of a file that was met."""

    @property
    def is_met(self) -> bool:
        """Whether there was anything of predictions."""
        return self.predictions.is_met or self.version >= 0 or bool(self.top)


@dataclass(slots=True)
class _Rest:
    """What was read from the table and not told yet, for who goes on from this cursor."""

    cursor: str = ""
    whole: bool = True
    table: Any = field(default=None)


class Follower:
    """Reads one loop. What it remembers saves time alone: another one goes on from its cursors."""

    def __init__(self, workspace: Path, loop: str, *, clock: Clock | None = None) -> None:
        """The clock is that by which time passes, never the time of day."""
        clock = clock or SystemClock()
        root = workspace / journal.FOLDER
        self._loop = loop
        self._backlog = Backlog(root, loop)
        self._tails = {
            whole: Tail(
                journal.folder_of(root, loop),
                {journal.SUFFIX: lines_of(_decoder(whole=whole)), journal.COLUMNS_SUFFIX: _columns(whole=whole)},
                clock,
                kept=_KEPT,
                settle_seconds=_TABLE_SETTLE_SECONDS,
            )
            for whole in (True, False)
        }
        self._failures = _tail(workspace / failures.FOLDER, loop, Failure, clock)
        self._labels = _tail(workspace / labels.FOLDER, loop, Label, clock)
        self._rest = _Rest()

    def read(self, cursor: str = "", most: int | None = None, *, rows: bool = True) -> Followed:
        """What came after a cursor, or all there is; about `most` of each kind at once, for as many as `is_more` says.

        Without `rows` the lines have empty ones, which saves the time of wide ones. Raises `UsageError` for what is no
        cursor of this, `StoreUnavailable` where the table cannot be read or a folder that the cursor knows files of is
        gone, and `MissingExtra`.
        """
        most = sys.maxsize if most is None else max(1, most)
        state, rest = self._state(cursor), self._rest
        self._rest = _Rest()
        is_known = rest.cursor == cursor and rest.whole is rows
        taken, left = self._predictions(state, most, rest.table if is_known else None, whole=rows)
        failed = _taken(self._failures, state.failures, most)
        told = _taken(self._labels, state.labels, most)
        after = _ENCODER.encode(state).decode()
        if left is not None:
            self._rest = _Rest(after, rows, left)
        return Followed(
            lines=taken.values,
            failures=failed.values,
            labels=told.values,
            cursor=after,
            torn=taken.torn + failed.torn + told.torn,
            is_more=taken.is_cut or failed.is_cut or told.is_cut,
        )

    def at_end(self) -> str:
        """A cursor after all that is there now, of which nothing is decoded: what is told from now on comes after it.

        It takes the sizes of the files and the version of the table. Raises `StoreUnavailable` and `MissingExtra` as
        `read` does.
        """
        predictions = self._at_end()
        while (failed := self._failures.end(self._failures.files(), _ENDS)) is None:
            continue
        while (told := self._labels.end(self._labels.files(), _ENDS)) is None:
            continue
        predictions.failures, predictions.labels = failed, told
        return _ENCODER.encode(predictions).decode()

    def _at_end(self) -> _State:
        """The table first, and again at the end: what became part of it meanwhile would be met twice."""
        tail = self._tails[True]
        while True:
            version, names = self._backlog.newest()
            files = tail.files()
            places = tail.end(files, _ENDS, names)
            if places is None or self._backlog.after(version) is not None:
                continue
            top = max([self._backlog.last(), *names, *files], default="")
            last = [name for name in names if name in files]
            return _State(format=_FORMAT, predictions=places, version=version, last=last, top=top)

    def _state(self, cursor: str) -> _State:
        if cursor:
            try:
                state = _DECODER.decode(cursor)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                state = _State(format=0)
            if state.format != _FORMAT:
                raise UsageError(
                    f"{cursor[:40]!r} is no cursor of {self._loop}", fix="give one back as it was told, or none"
                )
            return state
        version, names = self._backlog.newest()
        return _State(format=_FORMAT, version=version, last=names, base=None if version < 0 else "")

    def _predictions(
        self, state: _State, most: int, rest: pa.Table | None, *, whole: bool
    ) -> tuple[Taken, pa.Table | None]:
        """And what is left of rows that were read already. The table first, then the files that are no part of it:
        what becomes one while they are listed is met in the table."""
        taken, tail, is_met = Taken(), self._tails[whole], state.is_met
        tail.files(is_met=is_met)  # a table that was taken away has nothing new, and no rows
        while True:
            if state.due:
                rest = self._take_due(state, taken, most, rest, whole=whole)
                if rest is not None or len(taken.values) >= most:
                    taken.is_cut = True
                    return taken, rest
            elif not self._meet(state):
                files = tail.files(is_met=is_met)
                if self._meet(state):
                    continue
                state.last = [name for name in state.last if name in files]
                state.top = max([state.top, *files])
                found = tail.take(state.predictions, files, most - len(taken.values), set(state.last))
                return Taken(taken.values + found.values, taken.torn + found.torn, found.is_cut), None

    def _meet(self, state: _State) -> bool:
        """Whether there is more of the table than was met: then it is due, or passed."""
        if state.base is not None:
            state.due = self._backlog.group(state.version, state.base)
            state.base = state.due[-1] if state.due else None
            return True
        found = self._backlog.after(state.version)
        if found is None:
            return False
        places, is_next = state.predictions, found[0] == state.version + 1
        state.version = found[0]
        if not is_next:  # the log was tidied up: what is beyond all that was met is new
            found = found[0], [name for name in found[1] if name in places.at or name > state.top]
        state.last = found[1] or state.last
        done = set(places.done)
        state.due = sorted(
            name for name in found[1] if name in places.at or not (name in done or name <= places.before)
        )
        return True

    def _take_due(
        self, state: _State, taken: Taken, most: int, rest: pa.Table | None, *, whole: bool
    ) -> pa.Table | None:
        """Reads on in the files that are due; what is left of them for the next time."""
        at = state.predictions.at
        table = self._backlog.rows(state.due, at, whole=whole) if rest is None else rest
        count = 0 if table is None else backlog.count_within(table, most - len(taken.values))
        if table is not None:
            taken.values += backlog.lines(table.slice(0, count), whole=whole)
        if table is None or count == len(table):
            passed, state.due = state.due, []
        else:
            current, place = backlog.place_of(table, count)
            passed = [name for name in state.due if name < current]
            state.due = [name for name in state.due if name >= current]
            at[current] = place
        for name in passed:
            at.pop(name, None)
        state.top = max([state.top, *passed])
        return table.slice(count) if table is not None and count < len(table) else None


def labels_after(workspace: Path, loop: str, cursor: str = "", most: int | None = None) -> Followed:
    """As `Follower.read`, of labels alone, and with a cursor of its own kind. Raises `UsageError` for another one, and
    `StoreUnavailable`."""
    try:
        places = msgspec.json.decode(cursor, type=Places) if cursor else Places()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise UsageError(f"{cursor[:40]!r} is no cursor of labels", fix="give one back as it was told") from None
    tail = _tail(workspace / labels.FOLDER, loop, Label, SystemClock())
    told = _taken(tail, places, sys.maxsize if most is None else max(1, most))
    after = _ENCODER.encode(places).decode()
    return Followed([], [], told.values, after, told.torn, told.is_cut)


def _taken(tail: Tail, places: Places, most: int) -> Taken:
    return tail.take(places, tail.files(is_met=places.is_met), most)


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_State)


def _decoder(*, whole: bool) -> Any:
    return msgspec.json.Decoder(Line if whole else _Bare)


def _tail(root: Path, loop: str, kind: type, clock: Clock) -> Tail:
    readers = {journal.SUFFIX: lines_of(msgspec.json.Decoder(kind))}
    return Tail(journal.folder_of(root, loop), readers, clock, kept=_KEPT, settle_seconds=_SETTLE_SECONDS)


def _columns(*, whole: bool) -> Reader:
    """What reads files of columns: never a part of a batch."""

    def read(file: Path, start: int, most: int) -> Piece:
        piece = Piece([], start)
        try:
            opened = os.open(file, os.O_RDONLY)
        except FileNotFoundError:  # its rest is in the table
            return piece
        try:
            is_closed, size = is_over(opened), os.fstat(opened).st_size
        finally:
            os.close(opened)
        if size > start:
            _read_columns(file, piece, most, is_closed=is_closed, whole=whole)
        piece.is_over = is_closed and len(piece.values) < most
        return piece

    return read


def _end_of_columns(file: Path) -> int | None:
    """`End` of a file of columns: only one that grows is looked through."""
    with file.open("rb") as opened:
        if is_over(opened.fileno()):
            return None
    end = 0
    for _, place, found in columnar.placed(file, is_growing=True):
        end = end if found is None else place
    return end


_ENDS: Mapping[str, End] = {journal.SUFFIX: end_of_lines, journal.COLUMNS_SUFFIX: _end_of_columns}


def _read_columns(file: Path, piece: Piece, most: int, *, is_closed: bool, whole: bool) -> None:
    from loopwright.predictions import layout

    try:
        for place, end, found in columnar.placed(file, piece.end, is_growing=True):
            if found is None:
                piece.torn += is_closed
                return
            piece.values += layout.ordered(layout.assemble([layout.of_columns(*found, file.name, place)]), whole=whole)
            piece.end = end
            if len(piece.values) >= most:
                return
    except FileNotFoundError:
        return
