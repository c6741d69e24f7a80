"""What a release reads of the prediction log: the shape of it, and nothing of where it lies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from typing import TYPE_CHECKING, Protocol

import msgspec

from loopwright.errors import DataError
from loopwright.rollout.maturity import Ripe

if TYPE_CHECKING:
    from loopwright.predictions.failures import Failure
    from loopwright.predictions.journal import Line
    from loopwright.predictions.labels import Label

MOST = 20_000
"""Lines at once: what is in memory of a day that is read late."""


class Followed(Protocol):
    """What is new, and where to go on."""

    @property
    def lines(self) -> Sequence[Line]: ...
    @property
    def failures(self) -> Sequence[Failure]: ...
    @property
    def labels(self) -> Sequence[Label]: ...
    @property
    def cursor(self) -> str: ...
    @property
    def is_more(self) -> bool: ...


class Log(Protocol):
    """Of one loop. What is read from a cursor on comes once, however often the files it lay in have changed."""

    def read(self, cursor: str = "", most: int | None = None, *, rows: bool = True) -> Followed: ...
    def at_end(self) -> str:
        """A cursor after all that is there now."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Of both, in the order of their ids; labels in the order they were told."""

    lines: Sequence[Line]
    failures: Sequence[Failure]
    labels: Sequence[Label]

    @property
    def is_empty(self) -> bool:
        return not (self.lines or self.failures or self.labels)

    @classmethod
    def of(cls, found: Followed) -> Batch:
        return cls(
            sorted(found.lines, key=lambda one: (one.id, one.shadow)),
            sorted(found.failures, key=lambda one: (one.id, one.shadow)),
            sorted(found.labels, key=lambda one: one.at),
        )


@dataclass(frozen=True, slots=True)
class Unread:
    """What comes after a cursor, by its names alone."""

    lines: set[tuple[str, int]]
    failures: set[tuple[str, int]]
    labels: set[bytes]

    @classmethod
    def of(cls, found: Iterable[Followed]) -> Unread:
        unread = cls(set(), set(), set())
        for part in found:
            unread.lines.update((one.id, one.version) for one in part.lines)
            unread.failures.update((one.id, one.version) for one in part.failures)
            unread.labels.update(_ENCODER.encode(one) for one in part.labels)
        return unread

    def without(self, batch: Batch) -> Batch:
        """What of it is read already."""
        return Batch(
            [one for one in batch.lines if (one.id, one.version) not in self.lines],
            [one for one in batch.failures if (one.id, one.version) not in self.failures],
            [one for one in batch.labels if _ENCODER.encode(one) not in self.labels],
        )


_ENCODER = msgspec.json.Encoder(order="deterministic")


def in_order(batch: Batch) -> Iterator[tuple[Line | None, Failure | None]]:
    """Lines and failures as they happened, by their ids; one of both."""
    answered = (((line.id, line.shadow), line, None) for line in batch.lines)
    failed = (((failure.id, failure.shadow), None, failure) for failure in batch.failures)
    for _, line, failure in merge(answered, failed, key=lambda one: one[0]):
        yield line, failure


class RowsPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where the window of asked rows that is not full lies, so that another reader can hold it again."""

    begun: str = ""
    """Of the log: what was read from there on holds it."""
    past: int = 0
    """Rows from there that belong to windows before."""
    held: int = 0
    suspected: tuple[str, ...] = ()
    """Columns by the window before."""


class Froze(msgspec.Struct, frozen=True, kw_only=True):
    """The predictions by which a limit was frozen: what is older is not held against it, by who reads again either."""

    slow_from: str = ""
    wrong_from: str = ""


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """How far a release has read, and what it froze on the way. Stored as text with the state of the release."""

    begun: str
    """Of the log, where the release began."""
    log: str
    event: int = 0
    """The last of the version's events that was looked at."""
    began_at: datetime
    route: int
    """The revision that the release began with."""
    wrong_by: float | None = None
    slow_ms: float | None = None
    rows: RowsPlace = RowsPlace()
    froze: Froze = Froze()
    thinned: int = 0
    """How often the units whose labels are waited for were halved."""
    ripe: dict[str, Ripe] = {}
    """Of the labels (by no name), and of each outcome."""

    def text(self) -> str:
        return _ENCODER.encode(self).decode()

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raises `DataError` for what `text` did not make."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError as error:
            raise DataError(
                f"how far a release has read is not known: {error}", fix="abort the release and begin anew"
            ) from None


def pieces(log: Log, cursor: str, *, rows: int = 0) -> Iterator[Followed]:
    """Everything from there on, a part at a time; the first one, about so many lines, with their rows."""
    is_whole = bool(rows)
    while True:
        found = log.read(cursor, rows if is_whole else MOST, rows=is_whole)
        yield found
        if not found.is_more:
            return
        is_whole, cursor = False, found.cursor
