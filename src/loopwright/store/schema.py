"""The tables of the metadata store, and how their rows read as the nouns of `core`.

What stands here is what the newest migration leaves behind: a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from loopwright.core.access import ApiKey, Scope
from loopwright.core.artifact import Artifact
from loopwright.core.event import Cause, Event
from loopwright.core.run import Execution, ExecutionStatus, Failure, Lease, Run, RunStatus
from loopwright.core.version import Arm, Route, Version, VersionStatus

REVISION = "0005"
"""The migration that this code was written against."""

metadata = sa.MetaData()


class Instant(sa.TypeDecorator[datetime]):
    """An aware UTC time. SQLite keeps no zone, so it is taken off on the way in and put back on the way out."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("parameters", Json, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("request_key", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("finished_at", Instant),
    sa.Column("cancel_requested_at", Instant),
    sa.Column("error", Json),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("fresh", sa.Boolean, nullable=False),
    sa.Index("runs_by_time", "created_at", "id"),
    sa.Index("runs_by_pipeline", "pipeline", "created_at"),
    sa.Index(
        "one_unfinished_run_per_request",
        "request_key",
        unique=True,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    ),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("token", sa.Integer, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("acquired_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("code", sa.Text),
    sa.Column("environment", sa.Text),
    sa.Column("git_commit", sa.Text),
    sa.Column("git_diff", sa.Text),
)

executions = sa.Table(
    "executions",
    metadata,
    sa.Column("run_id", sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("step", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("parameters", Json, nullable=False),
    sa.Column("inputs", Json, nullable=False),
    sa.Column("output", sa.Text),
    sa.Column("log", sa.Text),
    sa.Column("reused_from", sa.Text),
    sa.Column("token", sa.Integer),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("started_at", Instant),
    sa.Column("finished_at", Instant),
    sa.Column("wake_at", Instant),
    sa.Column("seconds", sa.Double),
    sa.Column("peak_memory_bytes", sa.BigInteger),
    sa.Column("error", Json),
    sa.Index("executions_by_key", "key", "status"),
    sa.Index("executions_by_output", "output"),
)

artifacts = sa.Table(
    "artifacts",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("step", sa.Text),
    sa.Column("parts", Json, nullable=False),
)

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("loop", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("files", Json, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("metric", sa.Text, nullable=False),
    sa.Column("value", sa.Double),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("lineage", Json, nullable=False),
    sa.Column("notes", sa.Text, nullable=False),
    sa.Column("tags", Json, nullable=False),
    sa.Index("one_version_per_bundle", "loop", "digest", unique=True),
)

aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("loop", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.ForeignKeyConstraint(["loop", "number"], ["versions.loop", "versions.number"]),
)

routes = sa.Table(
    "routes",
    metadata,
    sa.Column("loop", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("arms", Json, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("scopes", Json, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("loops", Json, nullable=False),
    sa.Column("rate_per_second", sa.Double),
    sa.Column("revoked_at", Instant),
    sa.Column("last_used_at", Instant),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("data", Json, nullable=False),
    sa.Index("events_by_subject", "subject", "number"),
    sa.Index("events_by_kind", "kind", "number"),
    sqlite_autoincrement=True,
)


def _names(table: sa.Table) -> list[str]:
    return [column.name for column in table.c]


def failure_row(failure: Failure | None) -> dict[str, Any] | None:
    return None if failure is None else asdict(failure)


def failure(row: dict[str, Any] | None) -> Failure | None:
    return None if row is None else Failure(**row)


def run_row(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "pipeline": run.pipeline,
        "file": run.file,
        "parameters": dict(run.parameters),
        "seed": run.seed,
        "request_key": run.request_key,
        "status": run.status.value,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "cancel_requested_at": run.cancel_requested_at,
        "error": failure_row(run.error),
        "token": run.lease.token if run.lease else 0,
        "fresh": run.fresh,
    }


def run(row: sa.RowMapping, lease: Lease | None) -> Run:
    values = {name: row[name] for name in _names(runs) if name != "token"}
    values |= {"status": RunStatus(row["status"]), "error": failure(row["error"]), "lease": lease}
    return Run(**values)


def lease(row: sa.RowMapping) -> Lease:
    return Lease(**{name: row[name] for name in _names(leases)})


def lease_row(lease: Lease) -> dict[str, Any]:
    return asdict(lease)


def execution_row(execution: Execution) -> dict[str, Any]:
    values = {name: getattr(execution, name) for name in _names(executions)}
    return values | {
        "status": execution.status.value,
        "error": failure_row(execution.error),
        "parameters": dict(execution.parameters),
        "inputs": dict(execution.inputs),
    }


def execution(row: sa.RowMapping) -> Execution:
    values = {name: row[name] for name in _names(executions)}
    return Execution(**(values | {"status": ExecutionStatus(row["status"]), "error": failure(row["error"])}))


def artifact_row(artifact: Artifact) -> dict[str, Any]:
    return asdict(artifact) | {"parts": list(artifact.parts)}


def artifact(row: sa.RowMapping) -> Artifact:
    values = {name: row[name] for name in _names(artifacts)}
    return Artifact(**(values | {"parts": tuple(row["parts"])}))


def version_row(version: Version) -> dict[str, Any]:
    values = {name: getattr(version, name) for name in _names(versions)}
    plain = {name: dict(values[name]) for name in ("files", "lineage", "tags")}
    return values | plain | {"status": version.status.value}


def version(row: sa.RowMapping, named: Iterable[str]) -> Version:
    values = {name: row[name] for name in _names(versions)}
    return Version(**(values | {"status": VersionStatus(row["status"]), "aliases": tuple(sorted(named))}))


def route_row(route: Route) -> dict[str, Any]:
    return {name: getattr(route, name) for name in _names(routes)} | {"arms": [arm.plain() for arm in route.arms]}


def route(row: sa.RowMapping) -> Route:
    values = {name: row[name] for name in _names(routes)}
    return Route(**(values | {"arms": tuple(Arm(**arm) for arm in row["arms"])}))


def api_key_row(key: ApiKey) -> dict[str, Any]:
    values = {name: getattr(key, name) for name in _names(api_keys)}
    return values | {"scopes": sorted(scope.value for scope in key.scopes), "loops": sorted(key.loops)}


def api_key(row: sa.RowMapping) -> ApiKey:
    values = {name: row[name] for name in _names(api_keys)}
    return ApiKey(**(values | {"scopes": frozenset(map(Scope, row["scopes"])), "loops": frozenset(row["loops"])}))


def event_row(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "subject": event.subject,
        "actor": event.cause.actor,
        "at": event.cause.at,
        "reason": event.cause.reason,
        "data": dict(event.data),
    }


def event(row: sa.RowMapping) -> Event:
    cause = Cause(actor=row["actor"], at=row["at"], reason=row["reason"])
    return Event(kind=row["kind"], subject=row["subject"], cause=cause, data=row["data"], number=row["number"])
