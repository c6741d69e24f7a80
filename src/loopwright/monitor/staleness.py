"""How old the champion is, and how long ago the newest label came."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from loopwright.core.finding import Finding, Level
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
    if newest_label is None:
        level = Level.UNKNOWN if monitor.data_within is None else Level.NOTICED
        yield view.found(_NAME, "labels", level, "not enough data: no label came yet", measure="age_days")
    else:
        yield _aged(view, "labels", "the newest label", newest_label, monitor.data_within, None)


def _aged(
    view: View, subject: str, what: str, made: datetime, within: timedelta | None, version: int | None
) -> Finding:
    """At the end of the window."""
    age = max((view.window.until - made) / _DAY, 0.0)
    limit = None if within is None else within / _DAY
    told = f"{what} is {age:.1f} days old" + ("" if limit is None else f"; the limit is {limit:g} days")
    level = Level.NOTICED if limit is not None and age > limit else Level.FINE
    return view.found(
        _NAME, subject, level, told, measure="age_days", number=age, limit=limit, version=version, made=made.isoformat()
    )
