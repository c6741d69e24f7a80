"""Progress in SQL: changed only from the number that was read, with what was found and told, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from loopwright.core.event import Cause
from loopwright.core.finding import Finding
from loopwright.core.progress import Progress
from loopwright.errors import Conflict
from loopwright.store import events as trail
from loopwright.store import findings as found
from loopwright.store import schema_live as schema
from loopwright.store.database import Database

_PROGRESS = schema.progress


class SqlProgresses:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> Progress | None:
        with self._database.read() as connection:
            row = _row(connection, name)
        return None if row is None else schema.one_progress(row)

    def list(self, prefix: str = "") -> Sequence[Progress]:
        begins = sa.func.substr(_PROGRESS.c.name, 1, len(prefix)) == prefix
        query = sa.select(_PROGRESS).where(begins).order_by(_PROGRESS.c.name)
        with self._database.read() as connection:
            return [schema.one_progress(row) for row in connection.execute(query).mappings()]

    def put(
        self,
        progress: Progress,
        cause: Cause,
        *,
        findings: Sequence[Finding] = (),
        events: Sequence[tuple[str, str, Mapping[str, Any]]] = (),
    ) -> Progress:
        further = replace(progress, number=progress.number + 1)
        values = schema.progress_row(further, cause)
        with self._database.write() as connection:
            row = _row(connection, progress.name)
            refuse_if_gone_on(progress, row["number"] if row else 0, schema.changer(row) if row else None)
            if row is None:
                connection.execute(_PROGRESS.insert(), values)
            else:
                connection.execute(_PROGRESS.update().where(_PROGRESS.c.name == progress.name).values(**values))
            found.write(connection, findings)
            for kind, subject, data in events:
                trail.record(connection, kind, subject, cause, data)
        return further


def refuse_if_gone_on(progress: Progress, number: int, last: Cause | None) -> None:
    """Raises Conflict unless the number that is there is the one that was read."""
    if number == progress.number:
        return
    by = f"{last.actor} went on at {last.at:%Y-%m-%d %H:%M:%S} UTC" if last else "there is none"
    raise Conflict(f"the progress {progress.name} is at change {number}, not {progress.number}: {by}",
                   fix="read it again and go on from there")  # fmt: skip


def _row(connection: sa.Connection, name: str) -> sa.RowMapping | None:
    return connection.execute(sa.select(_PROGRESS).where(_PROGRESS.c.name == name)).mappings().one_or_none()
