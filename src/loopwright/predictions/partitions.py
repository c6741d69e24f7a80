"""One fragment of a batch, predicted on and laid down: in any process, as often as it takes, with the same outcome.

<staging>/parts/...        what was predicted
<staging>/done/00000.json  that fragment 0 is finished: written last, so that what it names is whole
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl
import pyarrow as pa

from loopwright.core.clock import SystemClock
from loopwright.data.tables import Tables
from loopwright.errors import UsageError
from loopwright.predictions import batch, splitting
from loopwright.predictions.splitting import Fragment
from loopwright.transform import bundle
from loopwright.transform.bundle import Bundle
from loopwright.transform.predictor import Predictor

PARTS, DONE = "parts", "done"
_MOST_VALUES = 1000
_NONE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every process that works on a batch must know: plain values."""

    bundle: Path
    staging: Path
    schema: pa.Schema
    """Of the source."""
    suffix: str
    """Of the files that are laid down."""
    by: str | None = None
    """The column whose values part the files."""
    tables_url: str = ""
    version: int | None = None
    """Of the table that is read."""


class Scorer:
    """Works on fragments, one after the other; the model is opened once."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def score(self, fragment: Fragment) -> int:
        """Predict on a fragment, unless that is finished; how many rows it has. Raises `SchemaMismatch`, `BadSource`,
        `UsageError`."""
        mark = self._work.staging / DONE / f"{fragment.number:05d}.json"
        if mark.exists():
            return int(json.loads(mark.read_text(encoding="utf-8"))["rows"])
        work = self._work
        source = splitting.opened(fragment, work.schema, lambda: self._tables, work.version)
        beside = () if work.by is None else (work.by,)
        frames = batch.predict(self._bundle, source, beside=beside, predictor=self._predictor)
        rows = self._laid_down(frames, f"part-{fragment.number:05d}{work.suffix}")
        temporary = mark.with_name(f".{mark.name}-{os.getpid()}")
        temporary.write_text(json.dumps({"rows": rows, "name": fragment.name}), encoding="utf-8")
        temporary.replace(mark)
        return rows

    def _laid_down(self, frames: Iterator[pl.DataFrame], name: str) -> int:
        parts = self._work.staging / PARTS
        if self._work.by is None:
            return batch.write(frames, parts / name)
        self._sweep(parts, name)
        return _parted(frames, self._work.by, parts, name)

    def _sweep(self, parts: Path, name: str) -> None:
        """What an earlier attempt at this fragment left."""
        for old in parts.glob(f"*/{name}"):
            old.unlink()

    @cached_property
    def _bundle(self) -> Bundle:
        return bundle.read(self._work.bundle)

    @cached_property
    def _predictor(self) -> Predictor:
        return batch.scorer(self._bundle)

    @cached_property
    def _tables(self) -> Tables:
        return Tables(self._work.tables_url, SystemClock())


def _parted(frames: Iterator[pl.DataFrame], by: str, parts: Path, name: str) -> int:
    """A file for each value, in a folder called after it. Values come in any order, so their rows are gathered first in
    files that Arrow streams to."""
    rows, room = 0, parts / f".{name}"
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    values: dict[str, Path] = {}
    for number, frame in enumerate(frames):
        rows += len(frame)
        for (value,), some in frame.partition_by(by, as_dict=True, maintain_order=True).items():
            folder = f"{by}={_NONE if value is None else quote(str(value), safe=' ')}"
            values.setdefault(folder, room / f"{len(values):05d}").mkdir(exist_ok=True)
            some.drop(by).write_ipc(values[folder] / f"{number:07d}.arrow")
        if len(values) > _MOST_VALUES:
            raise UsageError(
                f"{by} has more than {_MOST_VALUES:,} values in {name}", where="--by", fix="part by a coarser column"
            )
    for folder, gathered in values.items():
        (parts / folder).mkdir(exist_ok=True)
        batch.write((pl.read_ipc(one) for one in sorted(gathered.iterdir())), parts / folder / name)
    shutil.rmtree(room, ignore_errors=True)
    return rows


_SCORERS: list[Scorer] = []


def begin(work: Work) -> None:
    """In each process, before its first fragment."""
    _SCORERS[:] = [Scorer(work)]


def score(fragment: Fragment) -> int:
    """In a process that has begun."""
    return _SCORERS[0].score(fragment)


def finished(staging: Path) -> dict[str, Any]:
    """The marks that are there, by name."""
    found = {}
    for mark in (staging / DONE).glob("*.json"):
        with suppress(OSError, ValueError):
            found[mark.stem] = json.loads(mark.read_text(encoding="utf-8"))
    return found
