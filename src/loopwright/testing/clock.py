"""A clock that stands still until it is turned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class HandClock:
    """Time passes only by `advance`, `jump` and `sleep`.

    >>> clock = HandClock()
    >>> clock.advance(60)
    >>> clock.now().isoformat()
    '2026-01-01T00:01:00+00:00'
    """

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass, as it does."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the time of day, as an administrator or a time server does; no time passes."""
        self._now += timedelta(seconds=seconds)
