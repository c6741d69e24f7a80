"""Time and chance, passed in. The only file that may ask the system for either."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Protocol

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letter reads as a digit


class Clock(Protocol):
    """What tells the time. Tests turn one by hand: `loopwright.testing.HandClock`."""

    def now(self) -> datetime:
        """The time of day: aware, UTC. May jump, in either direction."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point: for durations. Never goes back."""
        ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def new_id(clock: Clock) -> str:
    """A fresh name for a run: sorts by time, reads as a time, unique among a billion a second.

    >>> len(new_id(SystemClock()))
    22
    """
    tail = "".join(secrets.choice(_ALPHABET) for _ in range(6))
    return f"{clock.now():%Y%m%d-%H%M%S}-{tail}"


_CROCKFORD = _ALPHABET.upper()
_DIGITS = {digit: value for value, digit in enumerate(_CROCKFORD)}


def new_ulid(clock: Clock, after: str = "") -> str:
    """A fresh name for one of very many things: 26 characters that sort by time (github.com/ulid/spec).

    Sorts after the ULID `after`, also within one millisecond and when the clock was set back: a writer that passes its
    last one writes them in order.

    >>> first = new_ulid(SystemClock())
    >>> len(first), first < new_ulid(SystemClock(), first)
    (26, True)
    """
    milliseconds = int(clock.now().timestamp() * 1000)
    number = milliseconds << 80 | secrets.randbits(80)
    if after:
        number = max(number, _number(after) + 1)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def _number(ulid: str) -> int:
    number = 0
    for digit in ulid:
        number = number << 5 | _DIGITS[digit]
    return number
