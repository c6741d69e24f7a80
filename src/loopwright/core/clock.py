"""Time and chance, passed in. The only file that may ask the system for either."""

from __future__ import annotations

import mmap
import os
import secrets
import time
from array import array
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from loopwright.errors import SettingsError

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


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WORD_BYTES = 8
_TURN = "turn it first: loopwright.core.clock.turn(file, moment)"


class FileClock:
    """A clock that stands in a file until somebody turns it: one time of day for many processes, for replays.

    Only the time of day is by hand. Durations are real, so that deadlines and naps go on.

    >>> file = getfixture("tmp_path") / "clock"
    >>> turn(file, datetime(2013, 1, 1, tzinfo=UTC))
    >>> clock = FileClock(file)
    >>> turn(file, datetime(2013, 1, 2, tzinfo=UTC))
    >>> clock.now().isoformat()
    '2013-01-02T00:00:00+00:00'
    """

    __slots__ = ("_file", "_seen", "_word")

    def __init__(self, file: Path) -> None:
        """Raises `SettingsError` for a file that is not there, or holds no moment."""
        self._file = file
        self._word = _mapped(file)
        self._seen = (0, _EPOCH)
        self.now()

    def now(self) -> datetime:
        """Raises `SettingsError` where the file was filled with something else meanwhile."""
        microseconds = self._word[0]
        seen = self._seen
        if seen[0] != microseconds:
            try:
                seen = self._seen = (microseconds, _EPOCH + microseconds * _MICROSECOND)
            except OverflowError:
                raise SettingsError("the clock file holds no moment", where=str(self._file), fix=_TURN) from None
        return seen[1]

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def turn(file: Path, moment: datetime) -> None:
    """Set the clock of a file to an aware moment, to the microsecond, for every process that has it open; it is made
    where it is not there. Raises `SettingsError` where the file is something else.

    All eight bytes change in one store of the processor, so that whoever reads sees the moment before or this one.
    """
    microseconds = (moment - _EPOCH) // _MICROSECOND
    if not file.exists():
        fresh = file.with_name(f".{file.name}-{os.getpid()}-{secrets.token_hex(4)}")
        fresh.write_bytes(memoryview(array("q", [microseconds])))
        try:
            with suppress(FileExistsError):  # somebody else made it meanwhile
                os.link(fresh, file)
        finally:
            fresh.unlink()
    with _mapped(file, mmap.ACCESS_WRITE) as word:
        word[0] = microseconds


def _mapped(file: Path, access: int = mmap.ACCESS_READ) -> memoryview[int]:
    """The file as one aligned machine word, which is read and written at once."""
    try:
        opened = os.open(file, os.O_RDONLY if access == mmap.ACCESS_READ else os.O_RDWR)
    except OSError as error:
        what = f"the clock file cannot be read: {error.strerror}"
        raise SettingsError(what, where=str(file), fix=_TURN) from None
    try:
        if os.fstat(opened).st_size != _WORD_BYTES:
            what = f"the clock file has {os.fstat(opened).st_size} bytes, and a clock has {_WORD_BYTES}"
            raise SettingsError(what, where=str(file), fix=_TURN)
        return memoryview(mmap.mmap(opened, _WORD_BYTES, access=access)).cast("q")
    finally:
        os.close(opened)


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
