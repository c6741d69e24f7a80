"""The lines of a window as Arrow tables of one shape, wherever they lie: piece by piece, so that memory is a piece's.

What is in the table is read as columns, and no more of it than is asked for; lines of the journal are made into the
same. Shadows are left out: nobody heard them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from loopwright.core.clock import moment_of
from loopwright.data.schema import Schema
from loopwright.monitor.windows import Window
from loopwright.predictions import columnar, delta, failures, journal, layout, quick
from loopwright.predictions.batch import expected
from loopwright.predictions.blocks import Glance, Stretches, Wanted, decoded, texts
from loopwright.predictions.journal import Line
from loopwright.predictions.layout import Kinds
from loopwright.predictions.pages import is_text

PROFILED = (
    *("at", "version", "arm", "layout", "latency_ms"),
    *("row_*", "label", "label:*", "value", "value:*", "probability_*"),
)
"""Columns that the monitors of inputs and answers need."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def pieces(
    workspace: Path, loop: str, window: Window, kinds: Kinds, known: Stretches | None = None
) -> Iterator[pa.Table]:
    """All that was answered in the window, each line once. `known`: see `logged.flat`."""
    root, read = workspace / journal.FOLDER, set[str]()
    yield from _of_journals(root, loop, window, kinds, read, known)
    yield from _of_columns(root, loop, window, read)
    span: Any = {"since": window.since, "until": window.until, "left_out": read}
    for table in delta.tables(root, loop, **span, columns=PROFILED, coded=("*",)):
        yield from _by_layout(table)


def _of_journals(
    root: Path, loop: str, window: Window, kinds: Kinds, read: set[str], known: Stretches | None
) -> Iterator[pa.Table]:
    wanted = Wanted(since=window.since, until=window.until)
    for file in journal.files(root, loop):
        with suppress(FileNotFoundError), file.open("rb") as opened:
            read.add(file.name)
            if not _may_hold(file, window):
                continue
            for lines in texts(opened, wanted, known):
                for piece in _columns(lines, file.name, kinds):
                    yield from _by_layout(layout.assemble([piece]))


def _columns(wanted: Sequence[tuple[bytes, Glance]], file: str, kinds: Kinds) -> Iterator[layout.Piece]:
    """Version by version; as they are, where they cannot be read quickly."""
    by_version: dict[int, list[bytes]] = {}
    for line, seen in wanted:
        by_version.setdefault(seen.version, []).append(line)
    for version, lines in by_version.items():
        piece = quick.columns(lines, kinds(version))
        whole = () if piece else layout.of_lines(decoded(lines, msgspec.json.Decoder(Line)), file, kinds)
        yield from (piece,) if piece else whole


def _may_hold(file: Path, window: Window) -> bool:
    """Lines of a file are of no moment before it was opened, but for a clock that was set back: names go on all the
    same, and the last line tells of it."""
    until = window.until + timedelta(hours=1)
    if moment_of(file.stem) < until:
        return True
    last = _last_moment(file)
    return last is not None and last < until


def _of_columns(root: Path, loop: str, window: Window, read: set[str]) -> Iterator[pa.Table]:
    for file in journal.column_files(root, loop):
        with suppress(FileNotFoundError):
            for found in columnar.batches(file):
                read.add(file.name)
                if found is not None and not found[0].shadow and window.since <= found[0].at < window.until:
                    yield from _by_layout(layout.assemble([layout.of_columns(*found, file.name)]))


def _by_layout(table: pa.Table) -> Iterator[pa.Table]:
    """Rows of one version and one layout together."""
    parts = [table]
    for name in ("version", "layout"):
        parts = [one for part in parts for one in _by(part, name)]
    yield from parts


def _by(table: pa.Table, name: str) -> list[pa.Table]:
    column = _one(table[name])
    codes = (column if pa.types.is_dictionary(column.type) else column.dictionary_encode()).indices
    found = pc.unique(codes)
    return [table] if len(found) == 1 else [table.filter(pc.equal(codes, one)) for one in found]


def version_of(piece: pa.Table) -> int:
    found: int = piece["version"][0].as_py()
    return found


def rows_of(piece: pa.Table, contract: Schema) -> tuple[pa.RecordBatch, list[str]]:
    """The model's columns in the types of its contract, texts coded or plain; and those of another type, null here."""
    placed: Mapping[str, str | None] = json.loads(piece["layout"][0].as_py()).get("row") or {}
    arrays, wrong = [], []
    for field in expected(contract):
        column = placed.get(field.name)
        array = None if column is None or column not in piece.column_names else _one(piece[column])
        if array is not None and array.type != field.type:
            array = _cast(array, field.type)
            if array is None:
                wrong.append(field.name)
        arrays.append(pa.nulls(piece.num_rows, field.type) if array is None else array)
    return pa.RecordBatch.from_arrays(arrays, names=expected(contract).names), wrong


def answers_of(piece: pa.Table) -> tuple[pa.Array | None, dict[str, pa.Array], pa.Array | None]:
    """Label, probabilities by class, and value, as far as they are there."""
    placed = json.loads(piece["layout"][0].as_py())

    def column(name: str | None) -> pa.Array | None:
        return None if name is None or name not in piece.column_names else _one(piece[name])

    shares = {name: column(at) for name, at in (placed.get("probability") or {}).items()}
    there = {name: array for name, array in shares.items() if array is not None}
    return column(placed.get("label")), there, column(placed.get("value"))


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """None for what is no such value."""
    given = array.type
    if pa.types.is_dictionary(given) and pa.types.is_string(kind) and is_text(given.value_type):
        return array
    if pa.types.is_null(given) or (is_text(given) and pa.types.is_string(kind)):
        return array.cast(kind)
    if pa.types.is_integer(given) and pa.types.is_floating(kind):
        return array.cast(kind, safe=False)
    return None


def first_moment(workspace: Path, loop: str, since: datetime | None = None) -> datetime | None:
    """About when the loop was first asked, at `since` or later, whether a model answered or failed: by days, and by the
    names and last lines of files, so it is at most a day, or the age of an open file, too early. None where nobody
    asked since."""
    root = workspace / journal.FOLDER
    spans = [*_opened(root, loop), *_days(root, loop)]
    if since is None:
        moments = [began for began, _ in spans]
    else:
        moments = [max(began, since) for began, ended in spans if ended >= since]
    failed = (one.at for one in failures.since(workspace, loop, since or _EPOCH) if not one.shadow)
    return min([*moments, *failed], default=None)


def _opened(root: Path, loop: str) -> Iterator[tuple[datetime, datetime]]:
    """When the predictions of each file of the journal began and ended, about."""
    for file in journal.files(root, loop):
        began = moment_of(file.stem)
        ended = _last_moment(file) or began
        yield min(began, ended), ended
    for file in journal.column_files(root, loop):
        with suppress(FileNotFoundError):
            moments = [found[0].at for found in columnar.batches(file) if found is not None]
            if moments:
                yield min(moments), max(moments)


def _last_moment(file: Path) -> datetime | None:
    """Of a file of lines, as its last whole one says; None where none can be read."""
    for text in reversed(journal.last_lines(file, 2)):
        with suppress(msgspec.MsgspecError):
            return msgspec.json.decode(text, type=Glance).at
    return None


def _days(root: Path, loop: str) -> Iterator[tuple[datetime, datetime]]:
    """The same of each file of the table, by its ids; where a clock was set back they run ahead of its day."""
    for part in delta.contents(root, loop).parts:
        day = datetime.fromisoformat(f"{part.day}T00:00:00+00:00")
        over = day + timedelta(days=1)
        began, ended = (moment_of(one[:26]) if one else None for one in (part.least, part.most))
        yield day if began is None or began >= over else began, ended or over


def kinds_of(contract: Callable[[int], Schema | None]) -> Kinds:
    """By the contracts of the versions."""

    def kinds(version: int) -> Mapping[str, str]:
        found = contract(version)
        return {} if found is None else {column.name: column.kind for column in found.columns}

    return kinds
