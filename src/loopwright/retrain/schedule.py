"""Moments of `every`: multiples of an interval since the last training, or those of a cron line. Pure.

A cron line is followed on the clocks of its zone, without their hours from Greenwich: a moment that a spring night
skips comes as the clocks are put forward, one that an autumn night has twice comes once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from loopwright.errors import DeclarationError

FIELDS = 5
"""Of a cron line."""


def refuse_wrong(cron: str, zone: str) -> None:
    """Raises `DeclarationError` for what is no cron line, one that never comes, or no time zone."""
    from croniter import croniter

    where = f"every({cron!r})"
    try:
        croniter(cron if len(cron.split()) == FIELDS else "", datetime(2026, 1, 1)).get_next(datetime)  # noqa: DTZ001 - clocks of no zone in particular
    except (ValueError, KeyError) as error:
        fix = 'write five fields, minute, hour, day, month and weekday: every("0 3 * * 1")'
        raise DeclarationError(f"{cron!r} is no cron line: {error}", where=where, fix=fix) from None
    try:
        ZoneInfo(zone)
    except (LookupError, ValueError, OSError, TypeError):
        fix = 'write one as in every("0 3 * * 1", zone="America/New_York")'
        raise DeclarationError(f"{zone!r} is no time zone", where=where, fix=fix) from None


def slot(cron: str, zone: str, now: datetime) -> datetime:
    """The moment that came last, as the clocks showed it: without a zone.

    >>> slot("30 2 * * *", "America/New_York", datetime(2013, 3, 10, 7, 0, tzinfo=UTC)).isoformat()
    '2013-03-10T02:30:00'
    """
    from croniter import croniter

    found: datetime = croniter(cron, shown(zone, now) + timedelta(microseconds=1)).get_prev(datetime)
    return found


def following(cron: str, zone: str, now: datetime) -> datetime:
    """The moment that comes next, in UTC; of two in an autumn night the first, which may be over.

    >>> autumn, spring = datetime(2026, 10, 25, 1, 10, tzinfo=UTC), datetime(2026, 3, 29, 0, 50, tzinfo=UTC)
    >>> [following("30 2 * * *", "Europe/Berlin", now).isoformat() for now in (autumn, spring)]
    ['2026-10-26T01:30:00+00:00', '2026-03-29T01:00:00+00:00']
    """
    from croniter import croniter

    moments = croniter(cron, shown(zone, now))
    found = _instant(moments.get_next(datetime), zone)
    while found <= now:
        found = _instant(moments.get_next(datetime), zone)
    return found


def _instant(moment: datetime, zone: str) -> datetime:
    """When clocks come to show it: of one that they skip, when they are put forward."""
    before, found = (moment.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (1, 0))
    while found - before > timedelta(seconds=1):  # skipped: the change lies between
        middle = before + (found - before) // timedelta(seconds=2) * timedelta(seconds=1)
        before, found = (middle, found) if shown(zone, middle) < moment else (before, middle)
    return found


def shown(zone: str, moment: datetime) -> datetime:
    """What the clocks of the zone show: without a zone."""
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def multiple(since: datetime, now: datetime, interval: timedelta) -> datetime | None:
    """The newest multiple of the interval since then that has come; None while none has."""
    count = (now - since) // interval
    return since + count * interval if count >= 1 else None
