"""Take everything off the disk that was kept under a key: predictions in journal and table, and labels. For good.

What is erased is chosen by a key's columns and their values, in the clear or as they were hashed. Files that a gateway
has open are asked for first. Nothing that is written down about it holds a value.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from loopwright.core.clock import Clock
from loopwright.errors import StoreUnavailable, UsageError, did_you_mean
from loopwright.predictions import aside, brought, compaction, concealing, delta, journal, labels, layout
from loopwright.predictions.journal import Line
from loopwright.predictions.labels import Label
from loopwright.predictions.layout import Kinds
from loopwright.predictions.writing import CLOSE, is_closed

_AT_ONCE = 500
"""Ids in one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    predictions: int
    labels: int


def erase(
    workspace: Path,
    loop: str,
    key: Mapping[str, str],
    *,
    kinds: Kinds,
    clock: Clock,
    declared: Collection[str] = (),
    wait_seconds: float = 30.0,
) -> Erased:
    """Erase what has all these values, written as text: `7` is the number and the text.

    Only columns that name rows choose: those `declared` as key or time, and those of the keys in the log. Asked again,
    it finds nothing. Raises `UsageError` for any other column, before anything is erased, and `StoreUnavailable` when
    a file stays open for longer than `wait_seconds`; what was erased until then is gone.
    """
    root = workspace / journal.FOLDER
    fits = _fits(key, workspace)
    with compaction.held(root, loop, clock, wait_seconds):
        _closed(root, loop, clock, wait_seconds)
        compaction.take_up(root, loop, kinds)
        _refuse_others(loop, key, {*declared, *_recorded(workspace, loop)})
        ids = {line.id for table in delta.tables(root, loop, shadows=True) for line in layout.lines(table)
               if fits({**line.row, **(line.key or {})})}  # fmt: skip
        count = _erase_rows(root, loop, sorted(ids)) + _erase_aside(root, loop, fits)
    brought.forget(workspace, loop)
    told = sum(
        _erase_labels(root, name, lambda one: _is_of(one, ids, fits), clock, wait_seconds)
        for root, name in ((workspace / labels.FOLDER, loop), (workspace / aside.FOLDER, aside.NAME))
    )
    return Erased(predictions=count, labels=told)


def _recorded(workspace: Path, loop: str) -> set[str]:
    """The columns that named rows and labels so far."""
    table = delta.opened(workspace / journal.FOLDER, loop)
    fields = [] if table is None else [field.name for field in table.schema().fields]
    found = {unquote(name.removeprefix("key_").partition(":")[0]) for name in fields if name.startswith("key_")}
    return found.union(*(label.key or () for label in labels.told(workspace, loop)))


def _refuse_others(loop: str, key: Mapping[str, str], known: set[str]) -> None:
    for name in key:
        if name not in known:
            which = f"which has: {', '.join(sorted(known))}" if known else "which has none"
            raise UsageError(
                f"{name!r} is no key column of {loop}, {which}", where="--key", fix=did_you_mean(name, known)
            )


def _fits(key: Mapping[str, str], workspace: Path) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a row has the values, in the clear or hidden."""
    has_secret = (workspace / concealing.KEY_FILE).exists()
    secret = concealing.secret_of(workspace) if has_secret else None
    wanted = {name: _written(name, text, secret) for name, text in key.items()}
    return lambda row: all(name in row and _text(row[name]) in wanted[name] for name in wanted)


def _written(name: str, text: str, secret: bytes | None) -> set[str]:
    """All that a value may have become."""
    plain: list[Any] = [text]
    with suppress(ValueError):
        number = json.loads(text)
        plain += [number] if isinstance(number, int | float) else []
    found = {_text(value) for value in plain}
    return found | {concealing.hidden(secret, name, value) for value in plain} if secret else found


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value)


def _erase_rows(root: Path, loop: str, ids: list[str]) -> int:
    """How many. The statement, which the table's log keeps, names ids alone; the files go at once."""
    table = delta.opened(root, loop)
    if table is None or not ids:
        return 0
    count = 0
    for first in range(0, len(ids), _AT_ONCE):
        named = ", ".join(f"'{one}'" for one in ids[first : first + _AT_ONCE])
        count += table.delete(f"id IN ({named})")["num_deleted_rows"] or 0
    compaction.sweep(table, timedelta(0))
    return count


def _erase_aside(root: Path, loop: str, fits: Callable[[Mapping[str, Any]], bool]) -> int:
    """From files that became no part of the table. Raises `StoreUnavailable` where one of them is columns."""
    count = 0
    for file in compaction.set_aside(root, loop):
        if not file.name.startswith(file.stem.partition(".")[0] + journal.SUFFIX):
            raise StoreUnavailable(
                "a file that was set aside is columns, so not all is erased",
                where=str(file),
                fix="see what is wrong with it in the text beside it, and remove it",
            )
        found = _without(file, lambda line: fits({**line.row, **(line.key or {})}), Line)
        if found:  # the reason may hold a value
            file.with_name(f"{file.name}.txt").unlink(missing_ok=True)
        count += found
    return count


def _is_of(label: Label, ids: set[str], fits: Callable[[Mapping[str, Any]], bool]) -> bool:
    return label.prediction_id in ids or bool(label.key and fits(label.key))


def _erase_labels(root: Path, loop: str, is_meant: Callable[[Label], bool], clock: Clock, wait_seconds: float) -> int:
    return sum(_without(file, is_meant) for file in _closed(root, loop, clock, wait_seconds))


def _without(file: Path, is_meant: Callable[[Any], bool], kind: Any = Label) -> int:
    """The file with blanks for some of its lines, in its place at one stroke. What is torn stays; and so do the places
    of all other lines, and the time of the last one, for somebody who follows the file."""
    decoder = msgspec.json.Decoder(kind)
    kept, count = [], 0
    for line in file.read_bytes().splitlines(keepends=True):
        try:
            is_erased = is_meant(decoder.decode(line))
        except msgspec.MsgspecError:
            is_erased = False
        count += is_erased
        kept.append(b" " * (len(line) - 1) + b"\n" if is_erased else line)
    if count:
        temporary, times = file.with_name(f".{file.name}-{os.getpid()}"), file.stat()
        temporary.write_bytes(b"".join(kept))
        os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))
        temporary.replace(file)
    return count


def _closed(root: Path, loop: str, clock: Clock, wait_seconds: float) -> list[Path]:
    """The files that there are, once nobody writes to them any more: their writers are asked to close them."""
    files = [*journal.files(root, loop), *journal.column_files(root, loop)]
    if not files:
        return []
    mark, until = journal.folder_of(root, loop) / CLOSE, clock.monotonic() + wait_seconds
    mark.touch()
    try:
        while still := [file for file in files if file.exists() and not is_closed(file)]:
            if clock.monotonic() >= until:
                raise StoreUnavailable(
                    f"{len(still)} files stay open, so not all is erased",
                    where=str(still[0]),
                    fix="ask again; or stop the process that writes to them, if it hangs",
                )
            clock.sleep(0.05)
    finally:
        mark.unlink(missing_ok=True)
    return [file for file in files if file.exists()]
