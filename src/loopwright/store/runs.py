"""Runs and leases in SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from loopwright.core.artifact import Artifact
from loopwright.core.event import Cause
from loopwright.core.run import Failure, Lease, Run, RunStatus, is_held
from loopwright.errors import LeaseLost, RunNotFound
from loopwright.store import artifacts as artifact_rows
from loopwright.store import events, schema
from loopwright.store.database import Database

_RUNS_WITH_LEASE = sa.select(schema.runs, *(column.label(f"lease_{column.name}") for column in schema.leases.c)).join(
    schema.leases,
    sa.and_(schema.leases.c.run_id == schema.runs.c.id, schema.leases.c.token == schema.runs.c.token),
    isouter=True,
)

# Statements on the path of every step are put together once: that takes longer than running them.
_HELD = sa.select(schema.runs.c.token, schema.runs.c.finished_at).where(schema.runs.c.id == sa.bindparam("run_id"))


class SqlRuns:
    def __init__(self, database: Database) -> None:
        self._database = database

    def request(self, run: Run, cause: Cause) -> tuple[Run, bool]:
        with self._database.write() as connection:
            unfinished = _one(connection, _unfinished(run.request_key))
            if unfinished is not None:
                return unfinished, False
            connection.execute(schema.runs.insert(), schema.run_row(run))
            data = {"pipeline": run.pipeline, "parameters": dict(run.parameters), "seed": run.seed}
            events.record(connection, "RunRequested", f"run:{run.id}", cause, data)
        return run, True

    def get(self, name: str) -> Run:
        with self._database.read() as connection:
            exact = _one(connection, schema.runs.c.id == name)
            if exact is not None:
                return exact
            query = _RUNS_WITH_LEASE.order_by(*_NEWEST_FIRST).limit(2)
            if name != "last":
                query = query.where(schema.runs.c.id.contains(name, autoescape=True))
            found = [_run(row) for row in connection.execute(query).mappings()]
        return only_run(name, found)

    def list(self, *, limit: int = 20, pipeline: str | None = None) -> Sequence[Run]:
        query = _RUNS_WITH_LEASE.order_by(*_NEWEST_FIRST).limit(limit)
        if pipeline is not None:
            query = query.where(schema.runs.c.pipeline == pipeline)
        with self._database.read() as connection:
            return [_run(row) for row in connection.execute(query).mappings()]

    def acquire(
        self, lease: Lease, cause: Cause, artifacts: Sequence[Artifact], *, is_alive: Callable[[str], bool | None]
    ) -> Lease:
        with self._database.write() as connection:
            artifact_rows.add(connection, artifacts)
            run = _existing(connection, lease.run_id)
            refuse_if_held(run, cause.at, is_alive)
            rival = _one(connection, _unfinished(run.request_key))
            if rival is not None and rival.id != run.id:
                raise LeaseLost(f"the same request is already running as {rival.id}", fix=f"lw show {rival.id}")
            taken = replace(lease, token=run.lease.token + 1 if run.lease else 1)
            connection.execute(schema.leases.insert(), schema.lease_row(taken))
            reopened = {"status": RunStatus.RUNNING.value, "finished_at": None, "cancel_requested_at": None}
            _update(connection, run.id, reopened | {"error": None, "token": taken.token})
            kind = "RunStarted" if taken.token == 1 else "RunResumed"
            data = {"holder": taken.holder, "token": taken.token, "code": taken.code, "environment": taken.environment}
            events.record(connection, kind, f"run:{run.id}", cause, data)
        return taken

    def heartbeat(self, lease: Lease, expires_at: datetime) -> Run:
        with self._database.write() as connection:
            check_lease(connection, lease)
            table = schema.leases
            mine = sa.and_(table.c.run_id == lease.run_id, table.c.token == lease.token)
            connection.execute(table.update().where(mine).values(expires_at=expires_at))
            return _existing(connection, lease.run_id)

    def finish(self, lease: Lease, status: RunStatus, cause: Cause, error: Failure | None = None) -> Run:
        with self._database.write() as connection:
            check_lease(connection, lease)
            end = {"status": status.value, "finished_at": cause.at, "error": schema.failure_row(error)}
            _update(connection, lease.run_id, end)
            data = {"error": error.message} if error else {}
            events.record(connection, f"Run{status.value.capitalize()}", f"run:{lease.run_id}", cause, data)
            return _existing(connection, lease.run_id)

    def request_cancel(self, run_id: str, cause: Cause) -> Run:
        with self._database.write() as connection:
            run = _existing(connection, run_id)
            if run.status.is_final or run.cancel_requested_at is not None:
                return run
            _update(connection, run_id, {"cancel_requested_at": cause.at})
            events.record(connection, "RunCancelRequested", f"run:{run_id}", cause)
            return _existing(connection, run_id)


def check_lease(connection: sa.Connection, lease: Lease) -> None:
    """Fencing: raises LeaseLost unless this is the newest lease of a run that is not finished."""
    row = connection.execute(_HELD, {"run_id": lease.run_id}).one_or_none()
    refuse_stale(lease, *(row or (None, None)))


def refuse_stale(lease: Lease, token: int | None, finished_at: datetime | None) -> None:
    if token == lease.token and finished_at is None:
        return
    now = "the run is finished" if token == lease.token else f"token {token} holds it now"
    raise LeaseLost(
        f"run {lease.run_id} is no longer held under token {lease.token}: {now}",
        fix="nothing: what this worker had not recorded is discarded",
    )


def refuse_if_held(run: Run, now: datetime, is_alive: Callable[[str], bool | None]) -> None:
    if run.status is RunStatus.RUNNING and run.lease and is_held(run.lease, now, is_alive):
        raise LeaseLost(
            f"run {run.id} is held by {run.lease.holder} until {run.lease.expires_at:%H:%M:%S} UTC",
            fix=f"wait for it, or stop it with: lw cancel {run.id}",
        )


def only_run(name: str, found: Sequence[Run]) -> Run:
    """The one run that was meant. Raises RunNotFound for none or several."""
    if not found:
        what = "there is no run yet" if name == "last" else f"no run is called {name!r}"
        raise RunNotFound(what, fix="see the runs there are with: lw runs")
    if len(found) > 1 and name != "last":
        raise RunNotFound(
            f"{name!r} fits several runs, among them {found[0].id} and {found[1].id}", fix="write more of the id"
        )
    return found[0]


_NEWEST_FIRST = (schema.runs.c.created_at.desc(), schema.runs.c.id.desc())


def _unfinished(request_key: str) -> sa.ColumnElement[bool]:
    return sa.and_(schema.runs.c.request_key == request_key, schema.runs.c.finished_at.is_(None))


def _one(connection: sa.Connection, where: sa.ColumnElement[bool]) -> Run | None:
    row = connection.execute(_RUNS_WITH_LEASE.where(where)).mappings().one_or_none()
    return None if row is None else _run(row)


def _existing(connection: sa.Connection, run_id: str) -> Run:
    run = _one(connection, schema.runs.c.id == run_id)
    return only_run(run_id, [] if run is None else [run])


def _run(row: sa.RowMapping) -> Run:
    lease = None
    if row["lease_token"] is not None:
        lease = Lease(**{column.name: row[f"lease_{column.name}"] for column in schema.leases.c})
    return schema.run(row, lease)


def _update(connection: sa.Connection, run_id: str, values: Mapping[str, Any]) -> None:
    connection.execute(schema.runs.update().where(schema.runs.c.id == run_id).values(**values))
