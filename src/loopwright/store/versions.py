"""Versions and their aliases in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from loopwright.core.artifact import Artifact
from loopwright.core.event import Cause
from loopwright.core.version import Version, VersionStatus, resolve
from loopwright.store import artifacts as artifact_rows
from loopwright.store import events, schema
from loopwright.store.database import Database

_VERSIONS, _ALIASES = schema.versions, schema.aliases


class SqlVersions:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, version: Version, artifacts: Sequence[Artifact], cause: Cause, *, is_imported: bool = False
    ) -> Version:
        with self._database.write() as connection:
            same = _of(connection, _VERSIONS.c.loop == version.loop, _VERSIONS.c.digest == version.digest)
            if same:
                return same[0]
            artifact_rows.add(connection, artifacts)
            newest = sa.select(sa.func.max(_VERSIONS.c.number)).where(_VERSIONS.c.loop == version.loop)
            number = (connection.execute(newest).scalar() or 0) + 1
            added = replace(version, number=number, aliases=())
            connection.execute(_VERSIONS.insert(), schema.version_row(added))
            kind = registered(added, is_imported=is_imported)
            events.record(connection, kind, subject(added.loop, number), cause, event_data(added))
        return added

    def get(self, loop: str, name: str) -> Version:
        with self._database.read() as connection:
            return _one(connection, loop, _resolve(connection, loop, name))

    def list(self, loop: str | None = None) -> Sequence[Version]:
        with self._database.read() as connection:
            return _of(connection, *(() if loop is None else (_VERSIONS.c.loop == loop,)))

    def annotate(
        self,
        loop: str,
        number: int,
        cause: Cause,
        *,
        notes: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Version:
        changed: dict[str, Any] = {} if notes is None else {"notes": notes}
        changed |= {} if tags is None else {"tags": dict(tags)}
        with self._database.write() as connection:
            found = _resolve(connection, loop, f"v{number}")
            if changed:
                mine = sa.and_(_VERSIONS.c.loop == loop, _VERSIONS.c.number == found)
                connection.execute(_VERSIONS.update().where(mine).values(**changed))
                events.record(connection, "VersionAnnotated", subject(loop, found), cause, changed)
            return _one(connection, loop, found)


def subject(loop: str, number: int) -> str:
    return f"version:{loop}:{number}"


def registered(version: Version, *, is_imported: bool) -> str:
    """The event of a version that is new here."""
    if is_imported:
        return "BundleImported"
    return "VersionRegistered" if version.status is VersionStatus.ACCEPTED else "VersionRejected"


def event_data(version: Version) -> dict[str, object]:
    return {
        "digest": version.digest,
        "status": version.status.value,
        "run": version.run_id,
        "metric": version.metric,
        "value": version.value,
        "verdict": version.reason,
    }


def check(connection: sa.Connection, loop: str, number: int) -> None:
    """Raises VersionNotFound, in the caller's transaction."""
    _resolve(connection, loop, f"v{number}")


def _resolve(connection: sa.Connection, loop: str, name: str) -> int:
    digests = dict(_pairs(connection, _VERSIONS.c.number, _VERSIONS.c.digest, _VERSIONS.c.loop == loop))
    named = dict(_pairs(connection, _ALIASES.c.name, _ALIASES.c.number, _ALIASES.c.loop == loop))
    loops = [] if digests else connection.execute(sa.select(_VERSIONS.c.loop).distinct()).scalars().all()
    return resolve(loop, name, digests, named, loops)


def _pairs(
    connection: sa.Connection, left: sa.Column[Any], right: sa.Column[Any], where: sa.ColumnElement[bool]
) -> list[tuple[Any, Any]]:
    return [(row[0], row[1]) for row in connection.execute(sa.select(left, right).where(where))]


def _one(connection: sa.Connection, loop: str, number: int) -> Version:
    return _of(connection, _VERSIONS.c.loop == loop, _VERSIONS.c.number == number)[0]


def _of(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> Sequence[Version]:
    query = sa.select(_VERSIONS).where(*where).order_by(_VERSIONS.c.loop, _VERSIONS.c.number.desc())
    rows = connection.execute(query).mappings().all()
    named: dict[tuple[str, int], list[str]] = defaultdict(list)
    for alias in connection.execute(sa.select(_ALIASES)).mappings():
        named[alias["loop"], alias["number"]].append(alias["name"])
    return [schema.version(row, named[row["loop"], row["number"]]) for row in rows]
