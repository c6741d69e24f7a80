"""Closed journal files become rows of the loop's table, each file once, wherever this is killed.

A commit of the table names the files whose rows it brings; only then do they go. Whoever comes next first looks at what
the newest such commit names, and takes away what is still there: the rows of a file are in the table before the file
goes, and a file that is named is never read again. One process at a time works on a loop, and no other part of the
program writes to its table without `held`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError

from loopwright.core.clock import Clock
from loopwright.errors import StoreUnavailable
from loopwright.predictions import columnar, delta, journal, layout
from loopwright.predictions.journal import Line
from loopwright.predictions.layout import Kinds, Piece
from loopwright.predictions.writing import ASIDE, is_closed, is_locked

_logger = logging.getLogger(__name__)
_LOCK = "compacting"
_NAMES = "loopwright.journals"
_PIECE_LINES = 16_384
_COMMIT_BYTES = journal.LIMIT_BYTES
"""So much of the journal becomes one commit: what is in memory at once is a few times that."""
_SMALL_FILES = 16
"""A day of more files than this has them joined."""
_SETTLE = timedelta(hours=1)
"""How long files that were joined stay, for whoever is reading them."""
_CONFIGURATION = {
    "delta.dataSkippingStatsColumns": "id,at,journal",  # else values would stay in the log after they were erased
}
_UNFIT = (ValueError, TypeError, LookupError, OverflowError, RecursionError, pa.ArrowNotImplementedError)
"""What is raised about values themselves, never about a disk."""
_CODEC = WriterProperties(compression="ZSTD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What became part of the table."""

    rows: int = 0
    files: int = 0
    torn: int = 0
    """Lines that a power cut or a full disk tore: left out, for nobody was answered with them."""
    dropped_days: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    """Files that were set aside: they cannot become part of a table, and would keep all others from it."""


@dataclass(slots=True)
class _Batch:
    """Files read, waiting for their commit."""

    names: list[str] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    made: pa.Table | None = None
    torn: int = 0


def compact(root: Path, loop: str, *, kinds: Kinds, clock: Clock, days: int = 0, wait_seconds: float = 0) -> Compacted:
    """Take up every file that nobody writes to any more, drop days older than `days` days (0: none), join small files.

    Raises `StoreUnavailable` when another process is at it for longer than `wait_seconds`, or the disk is full.
    """
    with held(root, loop, clock, wait_seconds):
        done = take_up(root, loop, kinds)
        dropped = _drop(root, loop, clock, days) if days else ()
        _join(root, loop)
    return replace(done, dropped_days=dropped)


@contextmanager
def held(root: Path, loop: str, clock: Clock, wait_seconds: float = 0) -> Iterator[None]:
    """The right to write to a loop's table, which the system takes back from a process that dies.

    What an earlier process committed and could not clear away is cleared away first.
    """
    folder = journal.folder_of(root, loop)
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        until = clock.monotonic() + wait_seconds
        while not is_locked(file):
            if clock.monotonic() >= until:
                what = f"another process is making the predictions of {loop} part of its table"
                raise StoreUnavailable(what, where=str(folder), fix="wait for it to end")
            clock.sleep(0.05)
        with _store_errors(folder):
            _clear(root, loop, _newest_names(root, loop))
            yield
    finally:
        os.close(file)


def take_up(root: Path, loop: str, kinds: Kinds) -> Compacted:
    """Every file that nobody writes to. Call it within `held`."""
    rows = files = torn = 0
    aside = list[str]()
    for together in _batches(root, loop):
        for batch in _fitting(root, loop, together, kinds, aside):
            rows += _commit(root, loop, batch)
            files, torn = files + len(batch.names), torn + batch.torn
            _clear(root, loop, batch.names)
    return Compacted(rows=rows, files=files, torn=torn, aside=tuple(aside))


def _batches(root: Path, loop: str) -> Iterator[list[Path]]:
    """Files that become one commit."""
    files, size_bytes = list[Path](), 0
    for file in sorted([*journal.files(root, loop), *journal.column_files(root, loop)]):
        if not is_closed(file):
            continue
        size_bytes += file.stat().st_size
        files.append(file)
        if size_bytes >= _COMMIT_BYTES:
            yield files
            files, size_bytes = [], 0
    if files:
        yield files


def _fitting(root: Path, loop: str, files: list[Path], kinds: Kinds, aside: list[str]) -> Iterator[_Batch]:
    """What can be made of these files: all at once, or one by one where some cannot; those are set aside."""
    try:
        whole = _batch(root, loop, files, kinds)
    except _UNFIT as error:
        if len(files) == 1:
            _set_aside(files[0], error)
            aside.append(files[0].name)
            return
    else:
        yield whole
        return
    for file in files:
        yield from _fitting(root, loop, [file], kinds, aside)


def _batch(root: Path, loop: str, files: list[Path], kinds: Kinds) -> _Batch:
    """Read, and made one table. Raises `_UNFIT`."""
    batch, before = _Batch(), delta.opened(root, loop)
    for file in files:
        batch.names.append(file.name)
        if file.suffix == journal.SUFFIX:
            _read_lines(file, kinds, batch)
        else:
            _read_columns(file, batch)
    batch.made = layout.assemble(batch.pieces, pa.schema(before.schema().to_arrow()) if before else None)
    batch.pieces = []
    return batch


def _set_aside(file: Path, error: Exception) -> None:
    """Beside the journal, whole, with the reason: it is in nobody's way, and no row of it is lost."""
    file.with_name(f"{file.name}{ASIDE}.txt").write_text(f"{type(error).__name__}: {error}\n", encoding="utf-8")
    file.rename(file.with_name(file.name + ASIDE))
    _logger.error("%s cannot become part of a table, and is set aside: %s", file, error)


def set_aside(root: Path, loop: str) -> list[Path]:
    """The files of a loop that lie aside."""
    return sorted(file for file in journal.folder_of(root, loop).glob(f"*{ASIDE}"))


def _read_lines(file: Path, kinds: Kinds, batch: _Batch) -> None:
    decoder, lines, places, place = msgspec.json.Decoder(Line), list[Line](), list[int](), 0
    with file.open("rb") as opened:
        for text in opened:
            try:
                lines.append(decoder.decode(text))
                places.append(place)
            except msgspec.MsgspecError:
                batch.torn += 1
            place += len(text)
            if len(lines) == _PIECE_LINES:
                batch.pieces += layout.of_lines(lines, file.name, kinds, places)
                lines, places = [], []
    batch.pieces += layout.of_lines(lines, file.name, kinds, places)


def _read_columns(file: Path, batch: _Batch) -> None:
    for place, _, found in columnar.placed(file):
        if found is None:
            batch.torn += 1
        else:
            batch.pieces.append(layout.of_columns(*found, file.name, place))


def _commit(root: Path, loop: str, batch: _Batch) -> int:
    """How many rows. Of files in which nothing stands there is nothing to commit."""
    before, made = delta.opened(root, loop), batch.made
    if made is None or not len(made):
        return 0
    folder = delta.folder_of(root, loop)
    write_deltalake(
        str(folder) if before is None else before,
        made.sort_by("id"),
        mode="append",
        partition_by=["day"],
        schema_mode="merge" if before else None,
        name=loop,
        configuration=_CONFIGURATION if before is None else None,
        writer_properties=_CODEC,
        commit_properties=CommitProperties(custom_metadata={_NAMES: json.dumps(batch.names)}),
    )
    _flush(folder)
    return len(made)


def _flush(folder: Path) -> None:
    """Make the newest commit outlast a power cut, before the journal goes."""
    newest = max((folder / "_delta_log").glob("*.json"))
    added = [json.loads(line).get("add") for line in newest.read_text(encoding="utf-8").splitlines()]
    paths = [folder / unquote(one["path"]) for one in added if one]
    for path in (*paths, *{path.parent for path in paths}, newest, newest.parent, folder, folder.parent):
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _newest_names(root: Path, loop: str) -> list[str]:
    """The files whose rows the newest commit brought that brought any."""
    log = delta.folder_of(root, loop) / "_delta_log"
    for path in sorted(log.glob("*.json"), reverse=True):
        for line in path.read_text(encoding="utf-8").splitlines():
            told = json.loads(line).get("commitInfo", {})
            if _NAMES in told:
                names: list[str] = json.loads(told[_NAMES])
                return names
    return []


def _clear(root: Path, loop: str, names: list[str]) -> None:
    folder = journal.folder_of(root, loop)
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _drop(root: Path, loop: str, clock: Clock, days: int) -> tuple[str, ...]:
    """Whole days that are too old: out of the table, and off the disk."""
    table = delta.opened(root, loop)
    if table is None:
        return ()
    first = (clock.now().astimezone(UTC).date() - timedelta(days=days)).isoformat()
    old = sorted({part.day for part in delta.parts(root, loop, table) if part.day < first})
    if old:
        table.delete(f"day < '{first}'")
        sweep(table, timedelta(0))
    return tuple(old)


def _join(root: Path, loop: str) -> None:
    """Days of many small files become days of few."""
    table = delta.opened(root, loop)
    if table is None:
        return
    days = [part.day for part in delta.parts(root, loop, table)]
    crowded = sorted(day for day in set(days) if days.count(day) > _SMALL_FILES)
    for day in crowded:
        table.optimize.compact(partition_filters=[("day", "=", day)], writer_properties=_CODEC)
    if crowded:
        sweep(table, _SETTLE)


def sweep(table: DeltaTable, age: timedelta) -> None:
    """Take files off the disk that the newest version has no row in, those that a killed process left among them."""
    hours = int(age.total_seconds() // 3600)
    table.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False, full=True)


@contextmanager
def _store_errors(folder: Path) -> Iterator[None]:
    """A full disk, told as one: nothing is lost, for the journal stays."""
    try:
        yield
    except (OSError, DeltaError) as error:
        raise StoreUnavailable(
            f"the journal cannot be made part of the table: {error}",
            where=str(folder),
            fix="free some disk space; what was predicted is in the journal still",
        ) from error
