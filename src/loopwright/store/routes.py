"""Routes in SQL: one row a revision; the newest of a loop is the one in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from loopwright.core.event import Cause
from loopwright.core.version import Route
from loopwright.errors import Conflict
from loopwright.store import events, schema, versions
from loopwright.store.database import Database

_ROUTES, _ALIASES = schema.routes, schema.aliases
_NEWEST = sa.select(_ROUTES).where(_ROUTES.c.loop == sa.bindparam("of")).order_by(_ROUTES.c.number.desc()).limit(1)
_HIGHEST = sa.func.max(_ROUTES.c.number).label("number")
_REVISIONS = sa.select(_ROUTES.c.loop, _HIGHEST).group_by(_ROUTES.c.loop).subquery()
_IN_FORCE = (
    sa.select(_ROUTES)
    .join(_REVISIONS, (_ROUTES.c.loop == _REVISIONS.c.loop) & (_ROUTES.c.number == _REVISIONS.c.number))
    .order_by(_ROUTES.c.loop)
)


class SqlRoutes:
    def __init__(self, database: Database) -> None:
        self._database = database

    def current(self, loop: str) -> Route | None:
        with self._database.read() as connection:
            return current(connection, loop)

    def loops(self) -> Sequence[str]:
        query = sa.select(_ROUTES.c.loop).distinct().order_by(_ROUTES.c.loop)
        with self._database.read() as connection:
            return connection.execute(query).scalars().all()

    def newest(self) -> Sequence[Route]:
        with self._database.read() as connection:
            return [schema.route(row) for row in connection.execute(_IN_FORCE).mappings()]

    def history(self, loop: str) -> Sequence[Route]:
        query = sa.select(_ROUTES).where(_ROUTES.c.loop == loop).order_by(_ROUTES.c.number.desc())
        with self._database.read() as connection:
            return [schema.route(row) for row in connection.execute(query).mappings()]

    def change(
        self,
        route: Route,
        aliases: Mapping[str, int | None],
        cause: Cause,
        expected: int | None,
        kind: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Route:
        with self._database.write() as connection:
            found = current(connection, route.loop)
            refuse_if_changed(found, expected, route.loop)
            return place(connection, route, aliases, cause, found, kind, data or {})


def place(
    connection: sa.Connection,
    route: Route,
    aliases: Mapping[str, int | None],
    cause: Cause,
    replaced: Route | None,
    kind: str | None,
    data: Mapping[str, Any],
) -> Route:
    """Put a route in force after the one in force, with its aliases and its event, in the caller's transaction."""
    placed = next_route(route, replaced, cause, kind)
    for number in sorted(named(placed, aliases)):
        versions.check(connection, route.loop, number)
    connection.execute(_ROUTES.insert(), schema.route_row(placed))
    _move(connection, route.loop, aliases)
    told = route_data(placed, aliases) | dict(data)
    events.record(connection, placed.kind, f"loop:{route.loop}", cause, told)
    return placed


def refuse_if_changed(current: Route | None, expected: int | None, loop: str) -> None:
    """Raises Conflict unless the revision in force is the one that the caller decided upon."""
    found = current.number if current else None
    if found == expected:
        return
    by = f"{current.actor} changed it at {current.at:%Y-%m-%d %H:%M:%S} UTC" if current else "there is none yet"
    raise Conflict(
        f"the route of {loop} is at revision {found or 0}, not {expected or 0}: {by}",
        fix=f"look at what is there now (lw models {loop}) and decide again",
    )


def next_route(route: Route, current: Route | None, cause: Cause, kind: str | None) -> Route:
    """The route as it is stored."""
    number = current.number + 1 if current else 1
    return replace(route, number=number, at=cause.at, actor=cause.actor, reason=cause.reason, kind=kind or route.kind)


def named(route: Route, aliases: Mapping[str, int | None]) -> set[int]:
    """The versions that must be there."""
    return {arm.version for arm in route.arms} | {number for number in aliases.values() if number is not None}


def route_data(route: Route, aliases: Mapping[str, int | None]) -> dict[str, Any]:
    return {"route": route.number, "arms": [arm.plain() for arm in route.arms], "aliases": dict(aliases)}


def current(connection: sa.Connection, loop: str) -> Route | None:
    """The one in force, in the caller's transaction."""
    row = connection.execute(_NEWEST, {"of": loop}).mappings().one_or_none()
    return None if row is None else schema.route(row)


def _move(connection: sa.Connection, loop: str, aliases: Mapping[str, int | None]) -> None:
    for name, number in aliases.items():
        connection.execute(_ALIASES.delete().where(_ALIASES.c.loop == loop, _ALIASES.c.name == name))
        if number is not None:
            connection.execute(_ALIASES.insert(), {"loop": loop, "name": name, "number": number})
