"""Releases in SQL: a release and the route that it stands for change in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from loopwright.core.event import Cause
from loopwright.core.release import Release
from loopwright.core.version import Route
from loopwright.errors import Conflict, ReleaseNotFound, did_you_mean
from loopwright.store import events, routes, versions
from loopwright.store import schema_live as schema
from loopwright.store.database import Database

_RELEASES = schema.releases
_NEWEST_FIRST = (_RELEASES.c.created_at.desc(), _RELEASES.c.id.desc())


class SqlReleases:
    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self,
        release: Release,
        route: Route | None,
        expected: int | None,
        cause: Cause,
        kind: str,
        data: Mapping[str, Any],
    ) -> Release:
        with self._database.write() as connection:
            refuse_if_under_way(_unended(connection, release.loop))
            current = routes.current(connection, release.loop)
            routes.refuse_if_changed(current, expected, release.loop)
            for number in versions_of(release):
                versions.check(connection, release.loop, number)
            begun = begun_with(release, current)
            connection.execute(_RELEASES.insert(), schema.release_row(begun, cause))
            return _placed(connection, begun, route, current, cause, kind, data)

    def move(
        self, release: Release, route: Route | None, cause: Cause, kind: str | None, data: Mapping[str, Any]
    ) -> Release:
        with self._database.write() as connection:
            row = connection.execute(sa.select(_RELEASES).where(_RELEASES.c.id == release.id)).mappings().one_or_none()
            if row is None:
                raise no_release(release.id, ())
            refuse_if_moved(release, schema.release(row), schema.changer(row))
            current = routes.current(connection, release.loop)
            if route is not None:
                routes.refuse_if_changed(current, release.route, release.loop)
            moved = replace(release, number=release.number + 1)
            mine = _RELEASES.c.id == release.id
            connection.execute(_RELEASES.update().where(mine).values(**schema.release_row(moved, cause)))
            return _placed(connection, moved, route, current, cause, kind, data)

    def get(self, name: str) -> Release:
        by_name = (_RELEASES.c.id == name) | (_RELEASES.c.loop == name)
        is_over = _RELEASES.c.ended_at.is_not(None)  # one that goes on is the newest, whatever the clock was set to
        query = sa.select(_RELEASES).where(by_name).order_by(is_over, *_NEWEST_FIRST).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().first()
            if row is None:
                raise no_release(name, connection.execute(sa.select(_RELEASES.c.loop).distinct()).scalars().all())
        return schema.release(row)

    def unended(self) -> Sequence[Release]:
        query = sa.select(_RELEASES).where(_RELEASES.c.ended_at.is_(None)).order_by(_RELEASES.c.loop)
        with self._database.read() as connection:
            return [schema.release(row) for row in connection.execute(query).mappings()]

    def list(self, loop: str | None = None, *, limit: int = 20) -> Sequence[Release]:
        query = sa.select(_RELEASES).order_by(*_NEWEST_FIRST).limit(limit)
        if loop is not None:
            query = query.where(_RELEASES.c.loop == loop)
        with self._database.read() as connection:
            return [schema.release(row) for row in connection.execute(query).mappings()]


def refuse_if_under_way(found: Release | None) -> None:
    """Raises Conflict where a release of the loop has not ended."""
    if found is not None:
        raise Conflict(
            f"a release of {found.loop} is under way: v{found.challenger}, begun by {found.created_by} "
            f"at {found.created_at:%Y-%m-%d %H:%M:%S} UTC ({found.id})",
            fix=f"wait for its end, or end it: lw release abort {found.loop}",
        )


def refuse_if_moved(release: Release, found: Release, last: Cause) -> None:
    """Raises Conflict unless what is stored is what the caller decided upon."""
    if found.number == release.number and found.ended_at is None:
        return
    what = f"ended as {found.status}" if found.ended_at else f"at change {found.number}, not {release.number}"
    raise Conflict(
        f"the release {found.id} of {found.loop} is {what}: {last.actor} changed it at {last.at:%Y-%m-%d %H:%M:%S} UTC",
        fix=f"look at what is there now (lw release status {found.loop}) and decide again",
    )


def versions_of(release: Release) -> list[int]:
    """Those that must be there."""
    return [release.challenger] + ([] if release.champion is None else [release.champion])


def begun_with(release: Release, current: Route | None) -> Release:
    """As it is stored first, beside the route in force."""
    return replace(release, number=1, route=current.number if current else None)


def moved_aliases(route: Route, current: Route | None) -> dict[str, int | None]:
    """Each arm's name is that of its version; names of arms that are gone are dropped."""
    gone: dict[str, int | None] = {arm.name: None for arm in current.arms} if current else {}
    return gone | {arm.name: arm.version for arm in route.arms}


def told_of(release: Release, data: Mapping[str, Any]) -> dict[str, Any]:
    """What an event of a release says of it beside what the caller says."""
    said = {"release": release.id, "challenger": release.challenger, "champion": release.champion}
    return said | {"status": release.status} | dict(data)


def no_release(name: str, loops: Collection[str]) -> ReleaseNotFound:
    known = did_you_mean(name, loops) if loops else "there was none yet"
    return ReleaseNotFound(f"no release is called {name!r}, and no loop with one; {known}", fix="lw release list")


def _unended(connection: sa.Connection, loop: str) -> Release | None:
    query = sa.select(_RELEASES).where(_RELEASES.c.loop == loop, _RELEASES.c.ended_at.is_(None))
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else schema.release(row)


def _placed(
    connection: sa.Connection,
    release: Release,
    route: Route | None,
    current: Route | None,
    cause: Cause,
    kind: str | None,
    data: Mapping[str, Any],
) -> Release:
    """The route that goes with it and the event of both, in the caller's transaction."""
    told = told_of(release, data)
    if route is None:
        if kind is not None:
            events.record(connection, kind, f"loop:{release.loop}", cause, told)
        return release
    placed = routes.place(connection, route, moved_aliases(route, current), cause, current, kind, told)
    connection.execute(_RELEASES.update().where(_RELEASES.c.id == release.id).values(route=placed.number))
    return replace(release, route=placed.number)
