"""What else came true: the mean of each declared outcome by version, with an interval, and how versions differ."""

from __future__ import annotations

import math
from collections.abc import Iterator

import polars as pl

from loopwright.core.finding import Finding, Level
from loopwright.judge.evaluation import interval, number
from loopwright.monitor.view import View

_NAME = "outcome"
_LEAST = 100
_WIDTH = 2.576
"""Standard errors on either side: 99 %."""


def outcome(view: View, name: str, found: pl.DataFrame) -> Iterator[Finding]:
    """Of what `joining.joined` gave for this outcome."""
    champion = None if view.champion is None else view.champion.number
    kept = dict[int, tuple[float, float]]()
    for (version,), rows in sorted(found.group_by("version"), key=lambda one: one[0] != (champion,)):
        values = rows["label"].cast(pl.Float64, strict=False).drop_nulls()
        count = len(values)
        evidence: dict[str, float] = {
            "rows": len(rows),
            "known": count,
            "missing": int((rows["label_status"] == "missing").sum()),
        }
        mean = float(values.mean() or 0.0) if count else math.nan  # type: ignore[arg-type]
        if count < _LEAST:
            told = f"not enough data: {_LEAST - count} more values of {name} are needed"
            level = Level.UNKNOWN
        else:
            width = _WIDTH * float(values.std() or 0.0) / math.sqrt(count)  # type: ignore[arg-type]
            kept[int(str(version))] = (mean, width)
            told = f"{name} is {number(mean)} {interval(mean - width, mean + width)} on {count:,} predictions"
            level, more = _beside(kept, int(str(version)), champion)
            told += more
            evidence |= {"low": mean - width, "high": mean + width}
        yield view.found(_NAME, name, level, told, measure="mean", number=mean, version=int(str(version)), **evidence)


def _beside(kept: dict[int, tuple[float, float]], version: int, champion: int | None) -> tuple[Level, str]:
    """Told of a challenger; which way is better only a release knows."""
    if champion is None or champion == version or champion not in kept:
        return Level.FINE, ""
    (mean, width), (other, others) = kept[version], kept[champion]
    apart = abs(mean - other) - math.hypot(width, others)
    told = f"; v{champion}, the champion: {number(other)}"
    return (Level.NOTICED, f"{told}: they differ") if apart > 0 else (Level.FINE, told)
