"""The audit trail. Written beside a change, by the function below, or of what was found; never changed or deleted."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
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


def as_kept(data: Mapping[str, Any]) -> Any:
    """As it is read back: a tuple as a list."""
    return json.loads(json.dumps(dict(data)))


class SqlEvents:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: str, subject: str, cause: Cause, data: Mapping[str, Any]) -> bool:
        table = schema.events
        same = (table.c.subject == subject) & (table.c.kind == kind)
        newest = sa.select(table).where(same).order_by(table.c.number.desc()).limit(1)
        with self._database.write() as connection:
            row = connection.execute(newest).mappings().first()
            if row is not None and schema.event(row).data == as_kept(data):
                return False
            record(connection, kind, subject, cause, data)
        return True

    def list(
        self,
        *,
        subject: str | None = None,
        after: int = 0,
        limit: int = 1000,
        kinds: Collection[str] | None = None,
        newest_first: bool = False,
    ) -> Sequence[Event]:
        table = schema.events
        order = table.c.number.desc() if newest_first else table.c.number
        query = sa.select(table).where(table.c.number > after).order_by(order).limit(limit)
        if subject is not None:
            query = query.where(table.c.subject == subject)
        if kinds is not None:
            query = query.where(table.c.kind.in_(kinds))
        with self._database.read() as connection:
            return [schema.event(row) for row in connection.execute(query).mappings()]
