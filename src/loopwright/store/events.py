"""The audit trail. Written only beside a change, by the function below; never changed, never deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from loopwright.core.event import Cause, Event
from loopwright.store import schema
from loopwright.store.database import Database

_INSERT = schema.events.insert()


def record(
    connection: sa.Connection, kind: str, subject: str, cause: Cause, data: Mapping[str, Any] | None = None
) -> None:
    """Write one event in the caller's transaction."""
    event = Event(kind=kind, subject=subject, cause=cause, data=data or {})
    connection.execute(_INSERT, schema.event_row(event))


class SqlEvents:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, *, subject: str | None = None, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        table = schema.events
        query = sa.select(table).where(table.c.number > after).order_by(table.c.number).limit(limit)
        if subject is not None:
            query = query.where(table.c.subject == subject)
        with self._database.read() as connection:
            return [schema.event(row) for row in connection.execute(query).mappings()]
