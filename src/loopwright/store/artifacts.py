"""Artifacts in SQL: what content there is, where it came from, and what still needs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from loopwright.core.artifact import Artifact
from loopwright.core.event import Cause
from loopwright.core.run import RunStatus
from loopwright.errors import ArtifactNotFound
from loopwright.store import events, schema, schema_live
from loopwright.store.database import Database

_ONE = sa.select(schema.artifacts).where(schema.artifacts.c.digest == sa.bindparam("of"))


class SqlArtifacts:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, digest: str) -> Artifact:
        with self._database.read() as connection:
            row = connection.execute(_ONE, {"of": digest}).mappings().one_or_none()
        if row is None:
            raise ArtifactNotFound(f"no artifact {digest}", fix="it was collected, or belongs to another workspace")
        return schema.artifact(row)

    def list(self) -> Sequence[Artifact]:
        with self._database.read() as connection:
            return _all(connection)

    def unreferenced(self, *, before: datetime | None = None) -> Sequence[Artifact]:
        with self._database.read() as connection:
            return _unreferenced(connection, before)

    def forget_unreferenced(self, cause: Cause, *, before: datetime | None = None) -> Sequence[Artifact]:
        with self._database.write() as connection:
            unneeded = _unreferenced(connection, before)
            for artifact in unneeded:
                connection.execute(schema.artifacts.delete().where(schema.artifacts.c.digest == artifact.digest))
                data = {"kind": artifact.kind, "size_bytes": artifact.size_bytes}
                events.record(connection, "ArtifactForgotten", f"artifact:{artifact.digest}", cause, data)
        return unneeded


def add(connection: sa.Connection, artifacts: Sequence[Artifact]) -> None:
    """Add what is not known yet, in the caller's transaction."""
    if not artifacts:
        return
    connection.execute(_insert(connection.dialect.name), [schema.artifact_row(artifact) for artifact in artifacts])


@cache
def _insert(dialect: str) -> Any:
    return (postgresql if dialect == "postgresql" else sqlite).insert(schema.artifacts).on_conflict_do_nothing()


def closure(roots: Iterable[str | None], parts: Mapping[str, Sequence[str]]) -> set[str]:
    """The roots and all that they are composed of.

    >>> sorted(closure(["whole", None], {"whole": ["left", "right"], "alone": []}))
    ['left', 'right', 'whole']
    """
    seen: set[str] = set()
    rest = [root for root in roots if root is not None]
    while rest:
        digest = rest.pop()
        if digest not in seen:
            seen.add(digest)
            rest.extend(parts.get(digest, ()))
    return seen


def _all(connection: sa.Connection) -> Sequence[Artifact]:
    query = sa.select(schema.artifacts).order_by(schema.artifacts.c.created_at, schema.artifacts.c.digest)
    return [schema.artifact(row) for row in connection.execute(query).mappings()]


def _unreferenced(connection: sa.Connection, before: datetime | None) -> Sequence[Artifact]:
    known = _all(connection)
    needed = closure(_roots(connection, before), {artifact.digest: artifact.parts for artifact in known})
    return [artifact for artifact in known if artifact.digest not in needed]


def _roots(connection: sa.Connection, before: datetime | None) -> Iterable[str | None]:
    executions, leases = schema.executions, schema.leases
    outputs = sa.select(executions.c.output, executions.c.log)
    if before is not None:
        outputs = outputs.where(executions.c.run_id.not_in(_expired(before)))
    yield from (digest for row in connection.execute(outputs) for digest in row)
    named = sa.select(leases.c.code, leases.c.environment, leases.c.git_diff)
    yield from (digest for row in connection.execute(named) for digest in row)
    for files, lineage in connection.execute(sa.select(schema.versions.c.files, schema.versions.c.lineage)):
        yield from made_with(lineage)
        yield from files.values()
    deployed = sa.select(schema_live.deployments.c.code, schema_live.deployments.c.environment)
    yield from (digest for row in connection.execute(deployed) for digest in row)


def made_with(lineage: Mapping[str, Any]) -> list[str | None]:
    """Code, environment and difference that a version was made with: needed as long as the version."""
    return [lineage.get(name) for name in ("code", "environment", "git_diff")]


def _expired(before: datetime) -> sa.Select[tuple[str]]:
    """Runs whose outputs are no longer kept: old, and not the newest success of their pipeline."""
    runs = schema.runs
    place = sa.func.row_number().over(partition_by=runs.c.pipeline, order_by=runs.c.created_at.desc())
    succeeded = sa.select(runs.c.id, place.label("place")).where(runs.c.status == RunStatus.SUCCEEDED.value).subquery()
    newest = sa.select(succeeded.c.id).where(succeeded.c.place == 1)
    return sa.select(runs.c.id).where(runs.c.finished_at < before, runs.c.id.not_in(newest))
