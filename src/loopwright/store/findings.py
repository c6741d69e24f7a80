"""Findings in SQL: told again for the same window, the newer one stands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from loopwright.core.finding import Finding
from loopwright.store import schema_live as schema
from loopwright.store.database import Database

_FINDINGS = schema.findings
_IDENTITY = ("loop", "monitor", "subject", "version", "since", "until")
_SUBJECT = [_FINDINGS.c[name] for name in _IDENTITY[:3]]
_OVERTAKE = (
    _FINDINGS.update()
    .where(_FINDINGS.c.is_newest, *(column == sa.bindparam(f"of_{column.name}") for column in _SUBJECT))
    .values(is_newest=False)
)
_DELETE = _FINDINGS.delete().where(*(_FINDINGS.c[name] == sa.bindparam(f"of_{name}") for name in _IDENTITY))
_NAMES = [_FINDINGS.c[name] for name in ("loop", "monitor", "subject", "version")]


class SqlFindings:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list(
        self, loop: str, *, monitor: str | None = None, since: datetime | None = None, limit: int = 1000
    ) -> Sequence[Finding]:
        query = sa.select(_FINDINGS).where(_FINDINGS.c.loop == loop)
        if monitor is not None:
            query = query.where(_FINDINGS.c.monitor == monitor)
        if since is not None:
            query = query.where(_FINDINGS.c.until > since)
        query = query.order_by(_FINDINGS.c.until.desc(), *_NAMES, _FINDINGS.c.since).limit(limit)
        with self._database.read() as connection:
            return [schema.finding(row) for row in connection.execute(query).mappings()]

    def newest(self, loop: str | None = None) -> Sequence[Finding]:
        query = sa.select(_FINDINGS).where(_FINDINGS.c.is_newest).order_by(*_NAMES, _FINDINGS.c.since)
        if loop is not None:
            query = query.where(_FINDINGS.c.loop == loop)
        with self._database.read() as connection:
            return [schema.finding(row) for row in connection.execute(query).mappings()]


def write(connection: sa.Connection, findings: Sequence[Finding]) -> None:
    """Each in the place of the one that it tells again, in the caller's transaction."""
    told = {tuple(row[name] for name in _IDENTITY): row for row in map(schema.finding_row, findings)}
    if not told:
        return
    rows = list(told.values())
    before = _newest(connection, {row["loop"] for row in rows})
    newest = dict(before)
    for row in rows:
        newest[_subject(row)] = max(row["until"], newest.get(_subject(row), row["until"]))
    if overtaken := [_bound(*subject) for subject, until in before.items() if until < newest[subject]]:
        connection.execute(_OVERTAKE, overtaken)
    connection.execute(_DELETE, [_bound(*identity) for identity in told])
    connection.execute(_FINDINGS.insert(), [row | {"is_newest": row["until"] == newest[_subject(row)]} for row in rows])


def _bound(*values: object) -> dict[str, object]:
    """What the statements above are told: a whole identity, or its subject."""
    return {f"of_{name}": value for name, value in zip(_IDENTITY, values, strict=False)}


def _subject(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return (row["loop"], row["monitor"], row["subject"])


def _newest(connection: sa.Connection, loops: Collection[str]) -> dict[tuple[str, str, str], datetime]:
    """Where the last window of each subject ends."""
    query = sa.select(*_SUBJECT, _FINDINGS.c.until).where(_FINDINGS.c.is_newest, _FINDINGS.c.loop.in_(loops)).distinct()
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}
