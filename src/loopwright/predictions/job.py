"""A batch run: a source through a version's bundle, fragment by fragment, to files or a table. Killed anywhere, it is
started again and goes on: no finished fragment is done again, nothing is there twice, nothing is there in part.

Until the end everything lies in a hidden folder beside the target, whose name says what the batch is: these rows, this
version, this target. Then it is put in place at once, and the folder goes. Each run is told in the store, by events.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from loopwright.core.clock import Clock, new_id
from loopwright.core.event import Cause
from loopwright.core.stores import Stores
from loopwright.core.version import Version
from loopwright.data.files import shown
from loopwright.data.source import Query
from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.errors import Conflict, LoopwrightError, UsageError, did_you_mean
from loopwright.pipeline.executor import LocalExecutor
from loopwright.predictions import batch, partitions, splitting
from loopwright.predictions.partitions import DONE, PARTS, Work
from loopwright.predictions.splitting import Pieces
from loopwright.transform.bundle import Bundle
from loopwright.transform.scoring import CHUNK_ROWS

BEGAN, SUCCEEDED, FAILED = "BatchBegan", "BatchSucceeded", "BatchFailed"
ABOUT = "_batch.json"
"""In a folder of predictions: what they are. What such a folder held before is replaced; any other is left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be predicted, and where it goes: to `path`, a file or a folder, or to `table`."""

    loop: str
    source: str
    """A file, a glob, a URL, a table of the workspace, or with `query` the URL of a database."""
    version: str = "champion"
    query: str | None = None
    path: Path | None = None
    table: str | None = None
    by: str | None = None
    suffix: str = ".parquet"
    """Of the files in a folder."""
    due: str = ""
    """The moment a schedule asked for it; another one is another batch."""
    missed: int = 0
    """Due times before it that nobody met."""
    schedule: str = ""
    """The target as the schedule was given it."""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.table is None):
            raise UsageError("predictions go to one place", fix="write either --to FILE_OR_FOLDER or --table NAME")
        if self.by is not None and (self.path is None or self.is_one_file):
            raise UsageError("--by parts a folder of files", fix="write --to FOLDER")
        if self.suffix not in batch.SUFFIXES:
            raise UsageError(f"{self.suffix} is no kind of file", fix=f"known: {', '.join(batch.SUFFIXES)}")

    @property
    def is_one_file(self) -> bool:
        return self.path is not None and self.path.suffix != ""

    @property
    def target(self) -> str:
        return f"table {self.table}" if self.table is not None else str(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a batch run works with."""

    stores: Stores
    tables: Callable[[], Tables]
    tables_url: str
    workspace: Path
    bundles: Path
    """A folder: bundles lie there by their digests."""
    fetch: Callable[[Version], Bundle]
    """Puts a version's bundle there, verified."""
    clock: Clock
    actor: str
    workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A batch that is there."""

    batch: str
    version: Version
    rows: int
    fragments: int
    resumed: int
    """Of the fragments, those that an earlier attempt had finished."""
    is_repeated: bool = False
    """Whether a table had these rows already, so that none was appended."""


class Job:
    """One order. Call `run` once."""

    def __init__(self, order: Order, around: Surroundings) -> None:
        self._order = order
        self._around = around
        self._version = around.stores.versions.get(order.loop, order.version)

    def run(self) -> Outcome:
        """Raises `Conflict` when another process is at it, and what reading, predicting and writing raise."""
        if self._order.is_one_file:
            _check_file(self._order)
        staging = self._staging
        staging.mkdir(parents=True, exist_ok=True)
        with _held(staging):
            identity = self._identity(staging)
            facts = {"batch": identity, "version": self._version.number, "target": self._order.target}
            facts |= {"source": self._told_source, **self._told_due}
            self._tell(BEGAN, facts | {"digest": self._version.digest})
            try:
                outcome = self._run(staging, identity)
            except (LoopwrightError, OSError) as error:
                self._tell(FAILED, facts | {"error": getattr(error, "what", str(error))})
                if not partitions.finished(staging):
                    shutil.rmtree(staging, ignore_errors=True)
                raise
            self._tell(SUCCEEDED, facts | {"rows": outcome.rows, "resumed": outcome.resumed})
            shutil.rmtree(staging, ignore_errors=True)
        self._tidy()
        return outcome

    def _run(self, staging: Path, identity: str) -> Outcome:
        pieces, before, is_repeated = self._pieces, len(partitions.finished(staging)), False
        if not self._is_in_place(identity):
            for name in (PARTS, DONE):
                (staging / name).mkdir(exist_ok=True)
            rows = sum(self._scored(staging, pieces))
            is_repeated = not self._put_in_place(staging, identity, rows)
        marks = partitions.finished(staging)
        return Outcome(
            batch=identity,
            version=self._version,
            rows=sum(mark["rows"] for mark in marks.values()),
            fragments=len(pieces.fragments),
            resumed=before,
            is_repeated=is_repeated,
        )

    def _scored(self, staging: Path, pieces: Pieces) -> list[int]:
        work = Work(
            bundle=self._around.bundles / self._version.digest,
            staging=staging,
            schema=pieces.schema,
            suffix=self._order.suffix if self._is_folder else ".parquet",
            by=self._order.by,
            tables_url=self._around.tables_url,
            version=pieces.version,
        )
        if len(pieces.fragments) == 1 or self._around.workers == 1:
            scorer = partitions.Scorer(work)
            return [scorer.score(fragment) for fragment in pieces.fragments]
        executor = LocalExecutor(min(self._around.workers, len(pieces.fragments)), partitions.begin, work)
        try:
            return executor.map(partitions.score, pieces.fragments)
        finally:
            executor.close()

    def _put_in_place(self, staging: Path, identity: str, rows: int) -> bool:
        """Whether it was not there before."""
        order, parts = self._order, sorted((staging / PARTS).glob("*.parquet"))
        if order.table is not None:
            about = {"version": self._version.number, "batch": identity, "predicted_at": self._around.clock.now()}
            frame = pl.scan_parquet(parts).with_columns(**{name: pl.lit(value) for name, value in about.items()})
            declared, tables = Table(order.table, time="predicted_at"), self._around.tables()
            last = tables.current(order.table).version if order.table in tables.names() else -1
            landed = tables.append(declared, frame, batch_id=f"predict-{self._key}")
            return landed.version > last or rows == 0
        if self._is_folder:
            assert order.path is not None
            about = {"batch": identity, "loop": order.loop, "version": self._version.number, "rows": rows}
            _swap(staging, order.path, about | {"digest": self._version.digest})
        else:
            assert order.path is not None
            batch.write((frame for part in parts for frame in _frames(part)), order.path)
        return True

    def _is_in_place(self, identity: str) -> bool:
        """A folder that was moved to its place before the process died."""
        path = self._order.path
        return self._is_folder and path is not None and _about(path).get("batch") == identity

    def _tidy(self) -> None:
        """What was begun for this target from other rows, or by another version, and given up."""
        for other in self._staging.parent.glob(self._staging.name.removesuffix(self._key) + "?" * len(self._key)):
            with suppress(Conflict, OSError), _held(other):
                shutil.rmtree(other)

    @property
    def _is_folder(self) -> bool:
        return self._order.path is not None and not self._order.is_one_file

    @cached_property
    def _bundle(self) -> Bundle:
        return self._around.fetch(self._version)

    @cached_property
    def _pieces(self) -> Pieces:
        order, schema = self._order, self._bundle.schema
        if order.query is not None:
            query = Query(order.source, order.query)
            found = splitting.of_query(query, batch.expected(schema), self._staging / "query")
        else:
            found = splitting.of_source(order.source, self._around.tables, schema, [order.by] if order.by else [])
        if order.by is not None and order.by not in found.schema.names:
            fix = did_you_mean(order.by, found.schema.names)
            raise UsageError(f"the rows do not have the column {order.by!r}", where="--by", fix=fix)
        return found

    @cached_property
    def _key(self) -> str:
        """The same for the same rows, version and target."""
        order = self._order
        source = [order.source, order.query] if order.query is not None else self._pieces.digest
        told = [self._version.digest, source, order.target, order.by, order.suffix, order.due]
        return sha256(json.dumps(told).encode()).hexdigest()[:24]

    @cached_property
    def _staging(self) -> Path:
        """Hidden, on the disk of the target, so that putting in place is a matter of names."""
        path = self._order.path
        if path is None:
            return self._around.workspace / "batches" / f"{self._order.table}-{self._key}"
        return path.absolute().parent / f".{path.name}-{self._key}"

    @property
    def _told_source(self) -> str:
        source = self._order.source
        return repr(Query(source, self._order.query)) if self._order.query is not None else shown(source)

    @property
    def _told_due(self) -> dict[str, Any]:
        order = self._order
        return {"due": order.due, "missed": order.missed, "schedule": order.schedule} if order.due else {}

    def _identity(self, staging: Path) -> str:
        """The name of the batch, kept over attempts."""
        file = staging / "batch"
        if not file.exists():
            temporary = staging / ".batch"
            temporary.write_text(new_id(self._around.clock), encoding="ascii")
            temporary.replace(file)
        return file.read_text(encoding="ascii")

    def _tell(self, kind: str, facts: dict[str, Any]) -> None:
        cause = Cause(actor=self._around.actor, at=self._around.clock.now())
        self._around.stores.events.add(kind, subject(self._order.loop), cause, facts)


def subject(loop: str) -> str:
    """Of the events of a loop's batches."""
    return f"batch:{loop}"


@contextmanager
def _held(staging: Path) -> Iterator[None]:
    """The system lets go of it when the process dies. Raises `Conflict`."""
    file = os.open(staging / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict("another process is at this batch", where=str(staging), fix="wait for it to end") from None
        yield
    finally:
        os.close(file)


def _check_file(order: Order) -> None:
    assert order.path is not None
    if order.path.suffix not in batch.SUFFIXES:
        known = ", ".join(batch.SUFFIXES)
        raise UsageError(
            f"{order.path} is no file that can be written", fix=f"end its name in {known}, or in nothing for a folder"
        )


def _frames(part: Path) -> Iterator[pl.DataFrame]:
    """Bounded by a row group."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(part) as opened:
        if opened.metadata.num_rows == 0:
            yield pl.DataFrame(opened.schema_arrow.empty_table())
        for group in opened.iter_batches(batch_size=CHUNK_ROWS):
            yield pl.DataFrame(group)


def _swap(staging: Path, target: Path, about: dict[str, Any]) -> None:
    """Put a folder in the place of an older one. Killed between, the next attempt does the rest.

    Raises `UsageError` for a folder that no batch made.
    """
    made, old = staging / PARTS, staging / "old"
    if target.exists() and not _about(target) and any(target.iterdir()):
        raise UsageError(f"{target} holds something else", fix=f"name another folder: one with {ABOUT} is replaced")
    (made / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    made.rename(target)


def _about(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
