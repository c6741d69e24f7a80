"""How old the champion is, and the newest rows that it learned from; and how long ago the newest label came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from loopwright.core.finding import Finding, Level
from loopwright.monitor.ages import in_words
from loopwright.monitor.view import View

_NAME = "staleness"
_DAY = timedelta(days=1)


def staleness(view: View, newest_label: datetime | None) -> Iterator[Finding]:
    monitor, champion = view.watched.monitor, view.champion
    if champion is None:
        yield view.found(_NAME, "champion", Level.UNKNOWN, "there is no champion", measure="age_days")
    else:
        made = champion.version.created_at
        yield _aged(view, "champion", champion.version.name, made, monitor.champion_within, champion.number)
        learned = learned_until(champion.version.lineage)
        if learned is not None:
            what = f"the newest of what {champion.version.name} learned from"
            yield _aged(view, "training", what, learned, None, champion.number)
    if newest_label is None:
        level = Level.UNKNOWN if monitor.data_within is None else Level.NOTICED
        yield view.found(_NAME, "labels", level, "not enough data: no label came yet", measure="age_days")
    else:
        yield _aged(view, "labels", "the newest label", newest_label, monitor.data_within, None)


def learned_until(lineage: Mapping[str, Any]) -> datetime | None:
    """What a version learned from lies before it: where its held-out rows begin, or where its span ended. None where
    neither is known, for its rows were not split by time, and all were taken."""
    split, data = lineage.get("split") or {}, lineage.get("data") or {}
    bounds = split.get("bounds") or [data.get("until")]
    with suppress(TypeError, ValueError):
        found = datetime.fromisoformat(bounds[-1])
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def _aged(
    view: View, subject: str, what: str, made: datetime, within: timedelta | None, version: int | None
) -> Finding:
    """At the end of the window."""
    age = max((view.window.until - made) / _DAY, 0.0)
    limit = None if within is None else within / _DAY
    told = f"{what} is {in_words(age)} old" + ("" if limit is None else f"; the limit is {in_words(limit)}")
    level = Level.NOTICED if limit is not None and age > limit else Level.FINE
    return view.found(
        _NAME, subject, level, told, measure="age_days", number=age, limit=limit, version=version, made=made.isoformat()
    )
