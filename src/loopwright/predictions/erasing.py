"""Take everything off the disk that was kept under a key: predictions in journal and table, and labels. For good.

What is erased is chosen by a key's columns and their values, in the clear or as they were hashed. Files that a gateway
has open are asked for first. Nothing that is written down about it holds a value.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from loopwright.core.clock import Clock
from loopwright.errors import StoreUnavailable
from loopwright.predictions import compaction, concealing, delta, journal, labels, layout
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
    wait_seconds: float = 30.0,
) -> Erased:
    """Erase what has all these values, written as text: `7` is the number and the text.

    Asked again, it finds nothing. Raises `StoreUnavailable` when a file stays open for longer than `wait_seconds`;
    what was erased until then is gone.
    """
    root = workspace / journal.FOLDER
    fits = _fits(key, workspace)
    with compaction.held(root, loop, clock, wait_seconds):
        _closed(root, loop, clock, wait_seconds)
        compaction.take_up(root, loop, kinds)
        ids = {line.id for table in delta.tables(root, loop, shadows=True) for line in layout.lines(table)
               if fits({**line.row, **(line.key or {})})}  # fmt: skip
        count = _erase_rows(root, loop, sorted(ids))
    told = _erase_labels(workspace / labels.FOLDER, loop, lambda one: _is_of(one, ids, fits), clock, wait_seconds)
    return Erased(predictions=count, labels=told)


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


def _is_of(label: Label, ids: set[str], fits: Callable[[Mapping[str, Any]], bool]) -> bool:
    return label.prediction_id in ids or bool(label.key and fits(label.key))


def _erase_labels(root: Path, loop: str, is_meant: Callable[[Label], bool], clock: Clock, wait_seconds: float) -> int:
    return sum(_without(file, is_meant) for file in _closed(root, loop, clock, wait_seconds))


def _without(file: Path, is_meant: Callable[[Label], bool]) -> int:
    """The file without some of its lines, in its place at one stroke. What is torn stays."""
    decoder = msgspec.json.Decoder(Label)
    kept, count = [], 0
    for line in file.read_bytes().splitlines(keepends=True):
        try:
            is_erased = is_meant(decoder.decode(line))
        except msgspec.MsgspecError:
            is_erased = False
        count += is_erased
        kept += [] if is_erased else [line]
    if count:
        temporary = file.with_name(f".{file.name}-{os.getpid()}")
        temporary.write_bytes(b"".join(kept))
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
