"""Executions in SQL: one row a step of a run, written whole at each turn of its life."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from loopwright.core.artifact import Artifact
from loopwright.core.event import Cause
from loopwright.core.run import Execution, ExecutionStatus, Lease
from loopwright.errors import ArtifactNotFound
from loopwright.store import artifacts as artifact_rows
from loopwright.store import events, schema
from loopwright.store.database import Database
from loopwright.store.runs import check_lease

_REUSABLE = (
    sa.select(schema.executions)
    .join(schema.artifacts, schema.artifacts.c.digest == schema.executions.c.output)
    .where(schema.executions.c.key == sa.bindparam("of"), schema.executions.c.status == ExecutionStatus.RAN.value)
    .order_by(schema.executions.c.finished_at.desc())
    .limit(1)
)
_KNOWN = sa.select(schema.artifacts.c.digest).where(schema.artifacts.c.digest == sa.bindparam("output"))


class SqlExecutions:
    def __init__(self, database: Database) -> None:
        self._database = database

    def save(
        self, lease: Lease, executions: Sequence[Execution], cause: Cause, artifacts: Sequence[Artifact] = ()
    ) -> None:
        with self._database.write() as connection:
            check_lease(connection, lease)
            artifact_rows.add(connection, artifacts)
            for execution in executions:
                if execution.status is ExecutionStatus.REUSED:
                    _still_known(connection, execution)
                connection.execute(_upsert(connection.dialect.name), schema.execution_row(execution))
                kind = f"Step{execution.status.value.capitalize()}"
                events.record(connection, kind, f"run:{execution.run_id}", cause, event_data(execution))

    def of_run(self, run_id: str) -> Sequence[Execution]:
        table = schema.executions
        query = sa.select(table).where(table.c.run_id == run_id).order_by(table.c.position)
        with self._database.read() as connection:
            return [schema.execution(row) for row in connection.execute(query).mappings()]

    def of_runs(self, run_ids: Sequence[str]) -> dict[str, dict[str, int]]:
        table = schema.executions
        query = (
            sa.select(table.c.run_id, table.c.status, sa.func.count())
            .where(table.c.run_id.in_(run_ids))
            .group_by(table.c.run_id, table.c.status)
        )
        counts: dict[str, dict[str, int]] = defaultdict(dict)
        with self._database.read() as connection:
            for run_id, status, count in connection.execute(query):
                counts[run_id][status] = count
        return dict(counts)

    def reusable(self, key: str) -> Execution | None:
        with self._database.read() as connection:
            row = connection.execute(_REUSABLE, {"of": key}).mappings().one_or_none()
        return None if row is None else schema.execution(row)


def event_data(execution: Execution) -> dict[str, object]:
    """What the trail keeps of an execution: enough to tell its story after a later attempt wrote over it."""
    data: dict[str, object] = {"step": execution.step, "attempt": execution.attempt}
    for name in ("key", "output", "reused_from", "seconds"):
        if (value := getattr(execution, name)) is not None:
            data[name] = value
    if execution.error:
        data["error"] = f"{execution.error.kind}: {execution.error.message}"
    return data


def _still_known(connection: sa.Connection, execution: Execution) -> None:
    """A garbage collection may have come between the look and this write."""
    if connection.execute(_KNOWN, {"output": execution.output}).one_or_none() is None:
        raise ArtifactNotFound(f"the output {execution.output} of step {execution.step!r} was collected meanwhile")


@cache
def _upsert(dialect: str) -> Any:
    """Built once: putting it together takes longer than running it."""
    insert: Any = (postgresql if dialect == "postgresql" else sqlite).insert(schema.executions)
    changing = {column.name: column for column in insert.excluded if column.name not in ("run_id", "step")}
    return insert.on_conflict_do_update(index_elements=["run_id", "step"], set_=changing)
