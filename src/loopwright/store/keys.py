"""API keys in SQL. None is ever deleted: that one was made is what turns authentication on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from loopwright.core.access import ApiKey
from loopwright.core.event import Cause
from loopwright.errors import Conflict, KeyNotFound
from loopwright.store import events, schema
from loopwright.store.database import Database

_KEYS = schema.api_keys


class SqlApiKeys:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key: ApiKey, cause: Cause) -> ApiKey:
        added = as_made(key, cause)
        with self._database.write() as connection:
            if connection.execute(sa.select(_KEYS.c.id).where(_KEYS.c.id == key.id)).first():
                raise taken(key.id)
            connection.execute(_KEYS.insert(), schema.api_key_row(added))
            events.record(connection, "KeyMade", subject(key.id), cause, event_data(added))
        return added

    def get(self, name: str) -> ApiKey:
        with self._database.read() as connection:
            return _one(connection, name)

    def list(self) -> Sequence[ApiKey]:
        query = sa.select(_KEYS).order_by(_KEYS.c.created_at, _KEYS.c.id)
        with self._database.read() as connection:
            return [schema.api_key(row) for row in connection.execute(query).mappings()]

    def revoke(self, name: str, cause: Cause) -> ApiKey:
        with self._database.write() as connection:
            key = _one(connection, name)
            if key.revoked_at is not None:
                return key
            connection.execute(_KEYS.update().where(_KEYS.c.id == key.id).values(revoked_at=cause.at))
            events.record(connection, "KeyRevoked", subject(key.id), cause, event_data(key))
        return replace(key, revoked_at=cause.at)

    def note_use(self, used: Mapping[str, datetime]) -> None:
        with self._database.write() as connection:
            for name, at in used.items():
                is_later = sa.or_(_KEYS.c.last_used_at.is_(None), _KEYS.c.last_used_at < at)
                connection.execute(_KEYS.update().where(_KEYS.c.id == name, is_later).values(last_used_at=at))


def as_made(key: ApiKey, cause: Cause) -> ApiKey:
    """The key as it is stored first."""
    return replace(key, created_at=cause.at, created_by=cause.actor, revoked_at=None, last_used_at=None)


def subject(name: str) -> str:
    return f"key:{name}"


def event_data(key: ApiKey) -> dict[str, Any]:
    """What the trail tells: not the hash, which only a store of keys has to know."""
    return {
        "name": key.name,
        "owner": key.owner,
        "scopes": sorted(scope.value for scope in key.scopes),
        "loops": sorted(key.loops),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "rate_per_second": key.rate_per_second,
    }


def no_key(name: str) -> KeyNotFound:
    """The error for an id that nobody has. It may be a whole key by mistake: it is not repeated."""
    return KeyNotFound(f"no API key has the id {name!r}" if len(name) <= 12 else "no API key has this id",
                       fix="see them with: lw keys")  # fmt: skip


def taken(name: str) -> Conflict:
    return Conflict(f"there is an API key with the id {name!r} already", fix="make another")


def _one(connection: sa.Connection, name: str) -> ApiKey:
    row = connection.execute(sa.select(_KEYS).where(_KEYS.c.id == name)).mappings().one_or_none()
    if row is None:
        raise no_key(name)
    return schema.api_key(row)
