"""Mistakes of a model that is judged by how it ranks: of two rows, one of each class, the wrong one comes out on top.

No threshold decides, so a version that is calibrated otherwise, or used at another point, is not wrong for that. Rows
are compared with rows close in time, so that what moves a whole day alike (weather, a fair) falls out: the share of
pairs ranked wrongly is 1 - AUC (Hanley & McNeil 1982) among rows of about the same time. Pairs are disjoint, for then
no row counts twice: a labelled row is matched with the nearest in time of the other class that waits, of the same
version and answered under the same share. What was answered under different shares is never matched, for its event
would have no one share to be expected by. The matching follows the order in which labels came, and whoever reads the
log again makes the same pairs. An arm of very few rows finds fewer partners: that errs on the challenger's side.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

CLOSE = timedelta(hours=12)
"""Rows further apart are no pair."""
_MOST = 50_000
"""Rows of one class, arm and share that wait; beyond it the oldest are given up."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A labelled row."""

    at: datetime
    id: str
    unit: str
    scores: tuple[float, ...]
    """Of the version that was heard; in the shadow also the challenger's."""

    @property
    def place(self) -> tuple[datetime, str]:
        return self.at, self.id


@dataclass(frozen=True, slots=True)
class Pair:
    """A row of the second class, whose event it is, and one of the first."""

    positive: Scored
    negative: Scored

    @property
    def wrong(self) -> tuple[bool, ...]:
        """By each version. A tie is decided by the positive's id, for both versions alike.

        >>> at = datetime(2026, 1, 1)
        >>> Pair(Scored(at, "a", "ann", (0.9, 0.2)), Scored(at, "b", "bob", (0.4, 0.4))).wrong
        (False, True)
        """
        is_lost = bool(zlib.crc32(self.positive.id.encode()) & 1)
        both = zip(self.positive.scores, self.negative.scores, strict=True)
        return tuple(one < other or (one == other and is_lost) for one, other in both)


@dataclass(slots=True)
class Pairs:
    """What waits for its other half, by share in force and arm."""

    waiting: dict[tuple[float, bool, bool], list[Scored]] = field(default_factory=dict)
    """By share, arm and class; each in the order of time."""

    def match(self, row: Scored, share: float, *, is_canary: bool, is_positive: bool) -> Pair | None:
        """The pair that this row makes whole; without one it waits."""
        others = self.waiting.get((share, is_canary, not is_positive), [])
        nearest = _nearest(others, row)
        if nearest is None:
            _wait(self.waiting.setdefault((share, is_canary, is_positive), []), row)
            return None
        other = others.pop(nearest)
        return Pair(row, other) if is_positive else Pair(other, row)

    def forget(self, before: datetime) -> None:
        for rows in self.waiting.values():
            del rows[: bisect_left(rows, (before, ""), key=_place)]


def _place(row: Scored) -> tuple[datetime, str]:
    return row.place


def _nearest(rows: Sequence[Scored], row: Scored) -> int | None:
    """Of two as near the earlier."""
    after = bisect_left(rows, row.place, key=_place)
    near = [at for at in (after - 1, after) if 0 <= at < len(rows)]
    found = min(near, key=lambda at: abs(rows[at].at - row.at), default=None)
    return found if found is not None and abs(rows[found].at - row.at) <= CLOSE else None


def _wait(rows: list[Scored], row: Scored) -> None:
    rows.insert(bisect_left(rows, row.place, key=_place), row)
    if len(rows) > _MOST:
        del rows[0]
