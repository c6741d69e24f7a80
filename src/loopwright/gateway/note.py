"""What one request became on its way, noted where it is known, for what counts, logs and traces.

The note goes with the request as a context variable, so that nothing between has to hand it on. The hot path needs
none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from loopwright.core.clock import Clock
from loopwright.gateway.metrics import MIXED, Tally


@dataclass(slots=True, kw_only=True)
class Note:
    """One request."""

    is_traced: bool = False
    loop: str = ""
    """Empty until one is known to be served."""
    protocol: str = ""
    parts: list[tuple[int, str, int]] = field(default_factory=list)
    """Version, arm and number of rows: of each arm that answered."""
    stages: list[tuple[str, float, float]] = field(default_factory=list)
    """Name, begin and end by the monotonic clock; none where nobody traces it."""

    @property
    def version(self) -> int:
        """0 where there is none, or more than one."""
        return self.parts[0][0] if len(self.parts) == 1 else 0

    @property
    def arm(self) -> str:
        return "" if not self.parts else self.parts[0][1] if len(self.parts) == 1 else MIXED

    @property
    def rows(self) -> int:
        return sum(rows for _, _, rows in self.parts)


class Tracer(Protocol):
    """Who tells of requests beyond this process."""

    def wants(self, parent: str | None) -> bool:
        """Whether to trace a request that came with this `traceparent`."""
        ...

    def tell(self, note: Note, headers: Mapping[str, str], status: int, begun: float, ended: float) -> None:
        """A request that was answered. `headers` are `traceparent` and `tracestate`, as far as they came."""
        ...


_NOTE: ContextVar[Note | None] = ContextVar("note", default=None)
_NOTHING = nullcontext()


@contextmanager
def noting(note: Note) -> Iterator[Note]:
    """What is called meanwhile notes here."""
    token = _NOTE.set(note)
    try:
        yield note
    finally:
        _NOTE.reset(token)


def note_arms(loop: str, parts: list[tuple[int, str, int]], protocol: str = "") -> None:
    """Who answers a request of this loop: version, arm and rows of each. `protocol` where the body says more than the
    path."""
    found = _NOTE.get()
    if found is not None:
        found.loop, found.parts, found.protocol = loop, parts, protocol or found.protocol


def stage(name: str, clock: Clock) -> AbstractContextManager[None]:
    """A part of the work, timed where somebody traces the request."""
    note = _NOTE.get()
    return _NOTHING if note is None or not note.is_traced else _timed(note, name, clock)


@contextmanager
def _timed(note: Note, name: str, clock: Clock) -> Iterator[None]:
    begun = clock.monotonic()
    try:
        yield
    finally:
        note.stages.append((name, begun, clock.monotonic()))


def count(tally: Tally, note: Note, status: int, seconds: float) -> None:
    """A request for predictions that was answered outside the hot path."""
    rows = rows_of(tally, note, status)
    tally.answered(note.loop, note.version, note.arm, note.protocol, status, rows, seconds)


def rows_of(tally: Tally, note: Note, status: int) -> int:
    """Rows to count with a request: those that got a prediction. Of several arms they are counted here, by arm."""
    if status != 200 or len(note.parts) < 2:
        return note.rows if status == 200 else 0
    for version, arm, rows in note.parts:
        tally.answered_rows(note.loop, version, arm, note.protocol, rows)
    return 0
