"""Until when one request is to be answered, counted from when it was there whole: handed on as a context variable, so
that time spent waiting for a thread is taken from what a model may run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from loopwright.core.clock import Clock

_UNTIL: ContextVar[float | None] = ContextVar("until", default=None)


@contextmanager
def due(until: float) -> Iterator[None]:
    """What is called meanwhile is to be done at that time of the monotonic clock."""
    token = _UNTIL.set(until)
    try:
        yield
    finally:
        _UNTIL.reset(token)


def seconds_left(clock: Clock, most: float) -> float:
    """At most so many, and no fewer than 0."""
    until = _UNTIL.get()
    return most if until is None else max(0.0, min(most, until - clock.monotonic()))
