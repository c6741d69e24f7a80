"""When one request was there whole, and until when it is to be answered: handed on as a context variable, so that time
spent waiting for a thread is taken from what a model may run, and told in what is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from loopwright.core.clock import Clock

_SPAN: ContextVar[tuple[float | None, float] | None] = ContextVar("span", default=None)


@contextmanager
def due(until: float, begun: float | None = None) -> Iterator[None]:
    """What is called meanwhile is to be done, and was there whole, at these times of the monotonic clock."""
    token = _SPAN.set((begun, until))
    try:
        yield
    finally:
        _SPAN.reset(token)


def seconds_left(clock: Clock, most: float) -> float:
    """At most so many, and no fewer than 0."""
    span = _SPAN.get()
    return most if span is None else max(0.0, min(most, span[1] - clock.monotonic()))


def begun_at(clock: Clock) -> float:
    """When the request was there whole, by the monotonic clock; now, where nobody said."""
    span = _SPAN.get()
    return clock.monotonic() if span is None or span[0] is None else span[0]


def milliseconds(begun: float, now: float) -> float:
    """Between two times of the monotonic clock, to the microsecond.

    >>> milliseconds(1.0, 1.0123456)
    12.346
    """
    return int((now - begun) * 1_000_000 + 0.5) / 1000  # a third of the time of `round`
