"""A window with all that its monitors look at, and how they say what they found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from loopwright.core.finding import Finding, Level
from loopwright.data.profile import Profile
from loopwright.monitor.looking import Seen
from loopwright.monitor.watched import Known, Watched
from loopwright.monitor.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What is kept of a window that was looked at, for those after it."""

    rows: int
    inputs: Profile | None
    answers: Mapping[int, Profile] = field(default_factory=dict)
    """By version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One window of one loop, as known at a moment."""

    watched: Watched
    window: Window
    known_at: datetime
    champion: Known | None
    """None where nobody is, or its bundle cannot be read."""
    seen: Seen
    before: tuple[Span, ...] = ()
    """The windows before that had rows, oldest first; two at most."""

    @property
    def worth(self) -> Mapping[str, float]:
        """Of the champion's inputs, beside the one that matters most; empty where its bundle does not say."""
        judged = None if self.champion is None else self.champion.judged
        return {} if judged is None or judged.importance is None else judged.importance.shares()

    @property
    def why_no_rows(self) -> str:
        """Why there are none that the champion's contract could be held against."""
        total, unlike = self.seen.total, self.seen.unlike
        if not total:
            return "not enough data: there are no rows"
        if self.champion is None:
            return "there is no champion whose inputs they could be held against"
        if unlike:
            return f"not enough data: {unlike:,} rows are of versions that take other columns"
        return f"not enough data: {total:,} rows are of versions whose bundles cannot be read"

    def found(
        self,
        monitor: str,
        subject: str,
        level: Level,
        reason: str,
        *,
        measure: str,
        number: float | None = None,
        limit: float | None = None,
        version: int | None = None,
        **evidence: Any,
    ) -> Finding:
        """A finding of this window. What is no number is none."""
        return Finding(
            loop=self.watched.loop,
            monitor=monitor,
            subject=subject,
            version=version,
            since=self.window.since,
            until=self.window.until,
            known_at=self.known_at,
            level=level,
            measure=measure,
            number=_finite(number),
            limit=_finite(limit),
            reason=reason,
            evidence={name: _plain(value) for name, value in evidence.items()},
        )


def _plain(value: Any) -> Any:
    """As JSON has it, which knows no infinity."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return _finite(value) if isinstance(value, float) else value


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else float(number)


def share_bounds(events: int, rows: int, z: float = 1.96) -> tuple[float, float]:
    """Of a share, at 95 % (Wilson 1927).

    >>> [round(one, 3) for one in share_bounds(0, 100)]
    [0.0, 0.037]
    """
    if not rows:
        return 0.0, 1.0
    share, spread = events / rows, z * z / rows
    middle = (share + spread / 2) / (1 + spread)
    width = z / (1 + spread) * math.sqrt(share * (1 - share) / rows + spread / (4 * rows))
    return max(middle - width, 0.0), min(middle + width, 1.0)
