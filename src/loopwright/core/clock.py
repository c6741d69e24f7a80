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


def new_token(digits: int) -> str:
    """What nobody can guess, from the operating system: five random bits a digit, 52 digits for 32 bytes and more.

    >>> len(new_token(52)), new_token(52) == new_token(52)
    (52, False)
    """
    return "".join(secrets.choice(_ALPHABET) for _ in range(digits))


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


def moment_of(ulid: str) -> datetime:
    """When it was made, to the millisecond.

    >>> moment_of("01ARZ3NDEKTSV4RRFFQ69G5FAV").isoformat()
    '2016-07-30T23:54:10.259000+00:00'
    """
    return datetime.fromtimestamp((_number(ulid) >> 80) / 1000, UTC)


def _number(ulid: str) -> int:
    number = 0
    for digit in ulid:
        number = number << 5 | _DIGITS[digit]
    return number


class Ulids:
    """ULIDs of one writer, each after the one before, at a fraction of what `new_ulid` costs.

    Within a millisecond they count up from a place that was drawn for it, as the specification says; another writer
    draws another of 2**60 places.

    >>> ulids = Ulids(SystemClock())
    >>> first, second = ulids.next(), ulids.next()
    >>> len(first), first < second
    (26, True)
    """

    __slots__ = ("_clock", "_count", "_head", "_milliseconds")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._milliseconds = -1
        self._count = 0
        self._head = ""

    def next(self) -> str:
        return self.at(self._clock.now())

    def at(self, moment: datetime) -> str:
        """For somebody who looked at the clock already. A moment that lies back is taken as the last one."""
        milliseconds = int(moment.timestamp() * 1000)
        if milliseconds > self._milliseconds:
            self._begin(milliseconds)
        count = self._count
        if count == _PER_MILLISECOND:
            self._begin(self._milliseconds + 1)
            count = 0
        self._count = count + 1
        return self._head + _PAIRS[count >> 10] + _PAIRS[count & 1023]

    def _begin(self, milliseconds: int) -> None:
        number = milliseconds << 60 | secrets.randbits(60)
        self._milliseconds, self._count = milliseconds, 0
        self._head = "".join(_PAIRS[number >> shift & 1023] for shift in range(100, -1, -10))


_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_PER_MILLISECOND = 1 << 20
