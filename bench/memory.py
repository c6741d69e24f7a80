"""A store that remembers 100,000 executions, and how long it takes to ask it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.environment import lw, ours
from bench.figure import Figure, Section
from bench.steps import pipeline
from bench.timing import time_process
from loopwright import system
from loopwright.core.artifact import Artifact
from loopwright.core.event import Cause, Event
from loopwright.core.run import Execution, ExecutionStatus, Lease, Run, RunStatus
from loopwright.store import schema
from loopwright.store.database import Database

RUNS, STEPS = 10_000, 10
_AT_ONCE = 500
_STARTED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def measure(rounds: int, work: Path) -> list[Section]:
    folder, small = work / "big", work / "small"
    for one in (folder, small):
        one.mkdir()
        (one / "chain.py").write_text(pipeline(STEPS), encoding="utf-8")
        time_process(lw("run", "chain.py"), one, ours())
    fill(folder)
    commands = {"lw runs": ["runs"], "lw show last": ["show", "last"], "lw run, all reused": ["run", "chain.py"]}
    samples: dict[tuple[str, Path], list[float]] = {(name, one): [] for name in commands for one in (folder, small)}
    for number in range(rounds + 1):
        for (name, one), seconds in samples.items():
            taken = time_process(lw(*commands[name]), one, ours()).seconds
            if number:
                seconds.append(taken)
    return [_section(name, samples[name, folder], samples[name, small]) for name in commands]


def _section(name: str, full: list[float], fresh: list[float]) -> Section:
    base = Figure(what="1 run", samples=fresh)
    target = None if name.startswith("lw run,") else 0.5
    return Section(
        title=name, figures=[base, Figure(what=f"{RUNS * STEPS:,} executions", samples=full, target=target)], base=base
    )


def fill(folder: Path) -> None:
    """As so many runs would leave the tables: runs, leases, executions, artifacts and events."""
    opened = system.open(folder)
    url = f"sqlite:///{opened.workspace / 'metadata.db'}"
    database = Database(url, clock=opened.clock, backups=opened.workspace / "backups")
    for first in range(0, RUNS, _AT_ONCE):
        rows = [_rows(number) for number in range(first, first + _AT_ONCE)]
        with database.write() as connection:
            for table in (schema.runs, schema.leases, schema.artifacts, schema.executions, schema.events):
                connection.execute(table.insert(), [row for run in rows for row in run[table.name]])
    database.close()


def _rows(number: int) -> dict[str, list[dict[str, object]]]:
    """By table, for one run that went well."""
    at = _STARTED_AT + timedelta(seconds=number)
    name = f"{at:%Y%m%d-%H%M%S}-bench{number:06}"
    lease = Lease(run_id=name, token=1, holder="bench", acquired_at=at, expires_at=at)
    run = Run(
        id=name, pipeline="chain", file="/chain.py", parameters={}, seed=0, request_key=f"request {number}",
        status=RunStatus.SUCCEEDED, created_at=at, finished_at=at, lease=lease,
    )  # fmt: skip
    executions = [_execution(name, step, at) for step in range(STEPS)]
    return {
        "runs": [schema.run_row(run)],
        "leases": [schema.lease_row(lease)],
        "artifacts": [schema.artifact_row(_artifact(execution, at)) for execution in executions],
        "executions": [schema.execution_row(execution) for execution in executions],
        "events": [schema.event_row(event) for event in _events(executions, at)],
    }


def _execution(run: str, step: int, at: datetime) -> Execution:
    name = f"step_{step}"
    return Execution(
        run_id=run, step=name, position=step, status=ExecutionStatus.RAN, key=f"key {run} {name}",
        inputs={f"step_{step - 1}": f"{run} {step - 1}"} if step else {}, output=f"{run} {step}", token=1, attempt=1,
        started_at=at, finished_at=at, seconds=0.001, peak_memory_bytes=100_000_000,
    )  # fmt: skip


def _artifact(execution: Execution, at: datetime) -> Artifact:
    assert execution.output
    return Artifact(
        digest=execution.output, kind="value", format="json", size_bytes=1, created_at=at, run_id=execution.run_id,
        step=execution.step,
    )  # fmt: skip


def _events(executions: list[Execution], at: datetime) -> list[Event]:
    cause = Cause(actor="worker", at=at)
    return [
        Event(kind=kind, subject=f"run:{execution.run_id}", cause=cause, data={"step": execution.step, "attempt": 1})
        for execution in executions
        for kind in ("StepRunning", "StepRan")
    ]
