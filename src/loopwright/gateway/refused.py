"""What the gateway will not answer, as an exception that knows its status; `door` turns it into the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from loopwright.gateway.decode import Problem, Problems

_LONGEST_RETRY_SECONDS = 60
NO_NUMBER = 500
"""The status of what a model withheld."""


class Refused(Exception):
    """A request that gets no answer but this. Holds nothing that a client may not see."""

    def __init__(
        self,
        status: int,
        what: str,
        *,
        fix: str | None = None,
        where: str | None = None,
        problems: Sequence[Problem] = (),
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(what)
        self.status = status
        self.what = what
        self.where = where
        self.fix = fix
        self.problems = tuple(problems)
        self.retry_seconds = retry_seconds
        """When to ask again, where that is known: the header `Retry-After`."""


def unfit(problems: Problems, what: str, *, fix: str = "send for every column what is expected there") -> Refused:
    """The refusal of rows, labels or lines with problems."""
    count = "1 value does" if len(problems.listed) == 1 else f"{len(problems.listed)} values do"
    return Refused(
        422,
        f"{count if problems.is_all else f'at least {count}'} not fit {what}",
        fix=fix,
        problems=problems.listed,
    )


def too_slow(name: str, rows: int, seconds: float, most: float) -> Refused:
    """The refusal of rows that a model is known to take too long for: before it begins, so that others are served."""
    return Refused(
        413,
        f"{rows:,} rows take {name} about {math.ceil(seconds)} seconds, and an answer may take {most:g}",
        fix="send fewer rows at once",
    )


def busy(wait_seconds: float) -> Refused:
    """The refusal of whoever would wait so long for a turn: when to ask again is told in whole seconds.

    >>> busy(0.2).retry_seconds, busy(2.5).retry_seconds
    (1, 3)
    """
    retry_seconds = min(max(1, math.ceil(wait_seconds)), _LONGEST_RETRY_SECONDS)
    return Refused(503, "the gateway is busy", fix="ask again", retry_seconds=retry_seconds)


def late(seconds: float) -> Refused:
    """The refusal of a request that could not be answered in its time."""
    return Refused(504, f"there was no answer within {seconds:g} seconds", fix="ask again")


def no_number(name: str) -> Refused:
    """The refusal of an answer with a NaN or an infinity, which JSON cannot say and nobody should act on."""
    return Refused(NO_NUMBER, f"{name} gave no number for a row, so it was given no answer")
