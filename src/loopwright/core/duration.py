"""Lengths of time as people write them: `30d`, `6h`."""

from __future__ import annotations

import re
from datetime import timedelta

from loopwright.errors import DeclarationError

_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=36_525)
"""What is added to a moment is still a moment."""


def duration(text: object, where: str, *, may_be_zero: bool = False) -> timedelta:
    """A length of time above zero, unless it may be zero, and of a hundred years at most; minutes are `m` or `min`.
    Raises `DeclarationError` naming `where`.

    >>> duration("6h", "hold=")
    datetime.timedelta(seconds=21600)
    >>> duration("5m", "hold=") == duration("5min", "hold=")
    True
    >>> duration("6", "hold=")
    Traceback (most recent call last):
    loopwright.errors.DeclarationError: '6' is no length of time
      where: hold=
      to do: write a number and s, min, h, d or w: "6h"
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)", text) if isinstance(text, str) else None
    try:
        found = timedelta(**{_UNITS[match[2]]: float(match[1])}) if match is not None else None
    except OverflowError:
        found = timedelta.max
    if found is not None and found > _LONGEST:
        raise DeclarationError(f"{text!r} is more than a hundred years", where=where, fix='write less: "30d"')
    if found is None or not (found or may_be_zero):
        raise DeclarationError(
            f"{text!r} is no length of time", where=where, fix='write a number and s, min, h, d or w: "6h"'
        )
    return found
