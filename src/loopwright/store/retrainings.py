"""Retrainings in SQL: a cause is claimed once, and of many that claim at once the database lets one in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from loopwright.core.event import Cause
from loopwright.core.retraining import Retraining
from loopwright.errors import Conflict, NotFound
from loopwright.store import events
from loopwright.store import schema_live as schema
from loopwright.store.database import Database

_RETRAININGS = schema.retrainings


class SqlRetrainings:
    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, retraining: Retraining, cause: Cause) -> Retraining:
        of_cause, unfinished = _RETRAININGS.c.cause == retraining.cause, _RETRAININGS.c.finished_at.is_(None)
        with self._database.write() as connection:
            refuse_if_claimed(retraining, _first(connection, retraining.loop, of_cause))
            refuse_if_busy(_first(connection, retraining.loop, unfinished))
            connection.execute(_RETRAININGS.insert(), schema.retraining_row(retraining))
            subject = f"loop:{retraining.loop}"
            events.record(connection, "RetrainingClaimed", subject, cause, event_data(retraining))
        return retraining

    def save(self, retraining: Retraining, cause: Cause) -> Retraining:
        mine = _RETRAININGS.c.id == retraining.id
        with self._database.write() as connection:
            found = _first(connection, retraining.loop, mine)
            if found is None:
                raise no_retraining(retraining)
            saved = as_saved(found, retraining, cause)
            kind = event_kind(found, saved)
            connection.execute(_RETRAININGS.update().where(mine).values(**schema.retraining_row(saved)))
            if kind:
                events.record(connection, kind, f"loop:{saved.loop}", cause, event_data(saved))
        return saved

    def unfinished(self) -> Sequence[Retraining]:
        query = sa.select(_RETRAININGS).where(_RETRAININGS.c.finished_at.is_(None)).order_by(_RETRAININGS.c.loop)
        with self._database.read() as connection:
            return [schema.retraining(row) for row in connection.execute(query).mappings()]

    def list(self, loop: str | None = None, *, limit: int = 20) -> Sequence[Retraining]:
        order = (_RETRAININGS.c.created_at.desc(), _RETRAININGS.c.id.desc())
        query = sa.select(_RETRAININGS).order_by(*order).limit(limit)
        if loop is not None:
            query = query.where(_RETRAININGS.c.loop == loop)
        with self._database.read() as connection:
            return [schema.retraining(row) for row in connection.execute(query).mappings()]


def refuse_if_claimed(retraining: Retraining, found: Retraining | None) -> None:
    """Raises Conflict where the cause made a retraining already."""
    if found is not None:
        raise Conflict(
            f"{retraining.cause} made {retraining.loop} learn again already: {found.created_by} claimed it "
            f"at {found.created_at:%Y-%m-%d %H:%M:%S} UTC ({found.id}, {found.status.value})",
            fix="one cause makes one run; to run once more, ask by hand: lw retrain " + retraining.loop,
        )


def refuse_if_busy(found: Retraining | None) -> None:
    """Raises Conflict where another one of the loop is not final."""
    if found is not None:
        raise Conflict(
            f"{found.loop} is learning again already, because of {found.cause}: {found.created_by} claimed it "
            f"at {found.created_at:%Y-%m-%d %H:%M:%S} UTC ({found.id})",
            fix=f"wait for its end: lw why-not {found.loop}",
        )


def as_saved(found: Retraining, retraining: Retraining, cause: Cause) -> Retraining:
    """What became of the one that was claimed: its cause and its past stay. Raises Conflict when it is final."""
    if found.finished_at is not None:
        raise Conflict(
            f"the retraining {found.id} of {found.loop} {found.status.value} "
            f"at {found.finished_at:%Y-%m-%d %H:%M:%S} UTC already",
            fix=f"look at what came of it: lw why-not {found.loop}",
        )
    return replace(
        found,
        status=retraining.status,
        run_id=retraining.run_id,
        version=retraining.version,
        error=retraining.error,
        evidence=retraining.evidence,
        finished_at=(retraining.finished_at or cause.at) if retraining.status.is_final else None,
    )


def event_kind(found: Retraining, saved: Retraining) -> str | None:
    """What happened; None where nothing did that anybody waits for."""
    if saved.status.is_final:
        return f"Retraining{saved.status.value.capitalize()}"
    return "RetrainingStarted" if saved.run_id != found.run_id else None


def event_data(retraining: Retraining) -> dict[str, Any]:
    names = ("cause", "trigger", "reason", "fine_tune", "deployment", "run_id", "version", "error")
    told: Mapping[str, Any] = {name: getattr(retraining, name) for name in names}
    return {"retraining": retraining.id, **told, "evidence": dict(retraining.evidence)}


def no_retraining(retraining: Retraining) -> NotFound:
    return NotFound(f"{retraining.loop} has no retraining {retraining.id}", fix="claim it before it is saved")


def _first(connection: sa.Connection, loop: str, which: sa.ColumnElement[bool]) -> Retraining | None:
    row = connection.execute(sa.select(_RETRAININGS).where(_RETRAININGS.c.loop == loop, which)).mappings().first()
    return None if row is None else schema.retraining(row)
