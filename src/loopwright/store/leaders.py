"""Who leads, in SQL: one row a name, with the end of the lease."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from loopwright.store import schema_live as schema
from loopwright.store.database import Database

_LEADERS = schema.leaders


class SqlLeaders:
    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
        with self._database.read() as connection:  # who follows writes nothing, and waits for nobody
            if not is_free(_leader(connection, name), holder, now, seconds):
                return False
        with self._database.write() as connection:
            found = _leader(connection, name)
            if not is_free(found, holder, now, seconds):
                return False
            values = {"name": name, "holder": holder, "ends_at": now + timedelta(seconds=seconds)}
            changed = _LEADERS.update().where(_LEADERS.c.name == name) if found else _LEADERS.insert()
            connection.execute(changed.values(**values))
        return True

    def leave(self, name: str, holder: str) -> None:
        with self._database.write() as connection:
            connection.execute(_LEADERS.delete().where(_LEADERS.c.name == name, _LEADERS.c.holder == holder))


def is_free(found: tuple[str, datetime] | None, holder: str, now: datetime, seconds: float) -> bool:
    """Whether the holder may lead: nobody does, or it does itself, or the lease is over.

    A lease that ends later than twice the time one lasts was taken before the clock was set back: nobody renews it.
    """
    if found is None or found[0] == holder:
        return True
    return not now < found[1] <= now + 2 * timedelta(seconds=seconds)


def _leader(connection: sa.Connection, name: str) -> tuple[str, datetime] | None:
    row = connection.execute(sa.select(_LEADERS).where(_LEADERS.c.name == name)).mappings().one_or_none()
    return None if row is None else (row["holder"], row["ends_at"])
