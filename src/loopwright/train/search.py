"""`Search`: which values of `train`'s parameters are tried. Nothing heavy may be imported.

How it is carried out is in `trials.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from loopwright.errors import DeclarationError

Choice = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`, both included; on a logarithmic scale where they span a factor of 10 or more."""

    low: float
    high: float

    @property
    def is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def is_logarithmic(self) -> bool:
        return self.low > 0 and self.high / self.low >= 10


@dataclass(frozen=True, slots=True, init=False)
class Search:
    """How many trials, at most how long, and what each parameter of `train` may be. A plain value.

    A pair `(low, high)` is a range, of whole numbers where both are; a list names the values to choose from.
    Raises `DeclarationError` for a space that is empty or neither.

    >>> search = Search(trials=20, learning_rate=(0.02, 0.3), num_leaves=[15, 31, 63])
    >>> search.space["learning_rate"], search.space["num_leaves"]
    (Range(low=0.02, high=0.3), (15, 31, 63))
    >>> Search(trials=20, learning_rate=0.1)
    Traceback (most recent call last):
    loopwright.errors.DeclarationError: learning_rate=0.1 is one value, and a search needs several
      where: Search(learning_rate=0.1)
      to do: write a range, learning_rate=(0.01, 1.0), or a list of values, learning_rate=[0.1]
    """

    trials: int
    seconds: float | None
    space: Mapping[str, Range | Choice]

    def __init__(self, trials: int = 20, *, seconds: float | None = None, **space: object) -> None:
        """`seconds`: no trial is begun after that many."""
        if not _is_count(trials):
            raise DeclarationError(f"trials={trials!r} is no number of trials", where="Search()", fix="write trials=20")
        if seconds is not None and not (_is_number(seconds) and seconds > 0):
            raise DeclarationError(
                f"seconds={seconds!r} is no length of time", where="Search()", fix="write seconds=60"
            )
        if not space:
            raise DeclarationError(
                "the search names no parameter", where="Search()", fix="write Search(trials=20, depth=(3, 10))"
            )
        object.__setattr__(self, "trials", trials)
        object.__setattr__(self, "seconds", seconds)
        object.__setattr__(self, "space", MappingProxyType({name: _choices(name, of) for name, of in space.items()}))


def _choices(name: str, given: object) -> Range | Choice:
    where = f"Search({name}={given!r})"
    if isinstance(given, tuple) and len(given) == 2 and all(_is_number(one) for one in given):
        low, high = given
        if not low < high:
            raise DeclarationError(f"{low!r} is not below {high!r}", where=where, fix=f"write {name}=({high}, {low})")
        return Range(low=low, high=high)
    if isinstance(given, list) and given:
        for value in given:
            if value is not None and not isinstance(value, bool | int | float | str):
                raise DeclarationError(f"{value!r} is no plain value", where=where, fix="list numbers, text or None")
        return tuple(given)
    if _is_number(given) or isinstance(given, str):
        raise DeclarationError(
            f"{name}={given!r} is one value, and a search needs several",
            where=where,
            fix=f"write a range, {name}=(0.01, 1.0), or a list of values, {name}=[{given!r}]",
        )
    raise DeclarationError(
        f"{name}={given!r} is neither a pair nor a list", where=where, fix=f"write {name}=(1, 10) or {name}=[1, 2, 5]"
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
