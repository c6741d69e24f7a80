"""The worker's part of a run: load the file, claim the run, hold it, walk it, tell the supervisor."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from loopwright.core.clock import Clock, new_id
from loopwright.core.event import Cause
from loopwright.core.run import Execution, Failure, Lease, Run, RunStatus, is_held
from loopwright.core.stores import Stores
from loopwright.errors import LeaseLost, LoopwrightError, UsageError
from loopwright.pipeline import hold, plan, provenance
from loopwright.pipeline.code import project_root
from loopwright.pipeline.executor import LocalExecutor
from loopwright.pipeline.graph import Pipeline
from loopwright.pipeline.load import load_module, load_pipeline
from loopwright.pipeline.plan import Plan
from loopwright.pipeline.request import Report, Request
from loopwright.pipeline.runner import Runner, Walk

if TYPE_CHECKING:
    from loopwright.data.tables import Tables


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Does one request. `leave(code)` ends the process at once, whatever its threads are doing."""

    stores: Stores
    clock: Clock
    actor: str
    logs: Path
    open_tables: Callable[[], Tables]
    workspace: Path
    workers: int
    lease_seconds: float
    heartbeat_seconds: float
    tell: Callable[[Report], None]
    leave: Callable[[int], None]
    listen: Callable[[Callable[[], None]], None]
    """Given what to call when the supervisor asks to stop."""

    def do(self, request: Request) -> None:
        """Tells how it ended; raises nothing that a user's code or a store can cause."""
        try:
            self._do(request)
        except LeaseLost as error:
            self.tell(Report(told="lost", error=_failure(error)))
        except LoopwrightError as error:
            self.tell(refusal(error))

    def _do(self, request: Request) -> None:
        file = request.file.resolve()
        loaded_at = self.clock.now()
        pipeline = self._loaded(file, request)
        ready = plan.prepare(
            pipeline,
            file,
            request.parameters,
            root=Path(request.snapshot.root) if request.snapshot else project_root(file),
            seed=request.seed,
            fresh=request.fresh,
            loaded_at=loaded_at,
            deployment=request.snapshot.deployment if request.snapshot else None,
        )
        run = self._claim(ready, request)
        report = Report(
            told="run", run=run.id, pipeline=pipeline.name, steps=_described(ready), is_held=self._is_held(run)
        )
        if run.status is RunStatus.SUCCEEDED:
            self.tell(report)
            return self._tell_end(run)
        try:
            lease = self._acquire(ready, run, request)
        except LeaseLost:
            if request.run is not None:
                raise
            return self.tell(replace(report, is_held=True))
        self.tell(replace(report, is_held=False, is_new=lease.token == 1))
        return self._walk(ready, run, lease)

    def _loaded(self, file: Path, request: Request) -> Pipeline:
        if request.snapshot is not None:
            sys.path[:0] = request.snapshot.paths
        pipeline = load_pipeline(file, request.pipeline)
        if request.snapshot is not None:
            pipeline = _with_its_files(pipeline, file.parent)
        if request.sample is not None:
            from loopwright.pipeline.sampling import on_a_sample  # Polars: not where nothing is tried

            pipeline = on_a_sample(pipeline, request.sample)
        return pipeline

    def _claim(self, ready: Plan, request: Request) -> Run:
        if request.run is not None:
            return self.stores.runs.get(request.run)
        now = self.clock.now()
        reason = f"deployment {ready.deployment}" if ready.deployment else "lw run"
        asked = Run(
            id=request.new or new_id(self.clock),
            pipeline=ready.pipeline.name,
            file=str(ready.file),
            parameters=dict(request.parameters),
            seed=request.seed,
            request_key=ready.request_key,
            status=RunStatus.RUNNING,
            created_at=now,
            fresh=request.fresh,
        )
        return self.stores.runs.request(asked, Cause(actor=self.actor, at=now, reason=reason))[0]

    def _acquire(self, ready: Plan, run: Run, request: Request) -> Lease:
        """Also records what this worker runs: code, environment, repository."""
        now = self.clock.now()
        commit = request.snapshot.git_commit if request.snapshot else ""
        taken = provenance.take(ready.root, ready.reached, self.stores.blobs, run.id, now, snapshot_of=commit)
        lease = Lease(
            run_id=run.id,
            token=0,
            holder=hold.this_process(),
            acquired_at=now,
            expires_at=now + timedelta(seconds=self.lease_seconds),
            code=taken.code,
            environment=taken.environment,
            git_commit=taken.git_commit,
            git_diff=taken.git_diff,
        )
        cause = Cause(actor=self.actor, at=now, reason="taken up where it stopped" if run.lease else "")
        return self.stores.runs.acquire(lease, cause, taken.artifacts, is_alive=hold.is_alive)

    def _walk(self, ready: Plan, run: Run, lease: Lease) -> None:
        executor = LocalExecutor(self.workers, load_module, ready.file)
        runner = Runner(
            stores=self.stores,
            clock=self.clock,
            executor=executor,
            logs=self.logs,
            scratch=self.workspace / "scratch",
            open_tables=self.open_tables,
            workspace=self.workspace,
            actor=self.actor,
            workers=self.workers,
            on_turn=self._tell_turn,
            on_stuck=self._restart,
        )
        walk = runner.start(ready, run, lease)
        self.listen(walk.cancel)
        with self._heartbeat(lease, walk):
            walk.go()
        self._tell_end(self.stores.runs.get(run.id))

    def _heartbeat(self, lease: Lease, walk: Walk) -> hold.Heartbeat:
        return hold.Heartbeat(
            self.stores.runs,
            lease,
            self.clock,
            every_seconds=self.heartbeat_seconds,
            lease_seconds=self.lease_seconds,
            on_lost=self._lost,
            on_cancel=walk.cancel,
        )

    def _lost(self, error: Exception) -> None:
        """Steps at work must not go on beside those of the worker that has the run now."""
        self.tell(Report(told="lost", error=_failure(error)))
        self.leave(1)

    def _restart(self, execution: Execution) -> None:
        self.tell(Report(told="restart", run=execution.run_id, step=execution.step, error=execution.error))
        self.leave(1)

    def _is_held(self, run: Run) -> bool:
        return run.status is RunStatus.RUNNING and is_held(run.lease, self.clock.now(), hold.is_alive)

    def _tell_turn(self, execution: Execution) -> None:
        self.tell(turn_report(execution))

    def _tell_end(self, run: Run) -> None:
        self.tell(Report(told="end", run=run.id, status=run.status.value, error=run.error))


def _with_its_files(pipeline: Pipeline, folder: Path) -> Pipeline:
    """Files that it names and that were kept with its code, such as a schema, are read as they were then."""
    own = {
        name: folder / value
        for name, value in pipeline.parameters.items()
        if isinstance(value, Path) and (folder / value).is_file()
    }
    return replace(pipeline, parameters={**pipeline.parameters, **own}) if own else pipeline


def refusal(error: LoopwrightError) -> Report:
    """For what stops a worker before or beside the steps."""
    usage = isinstance(error, UsageError)
    return Report(told="refused", error=_failure(error), fix=error.fix or "", is_usage=usage)


def turn_report(execution: Execution) -> Report:
    return Report(
        told="turn",
        run=execution.run_id,
        step=execution.step,
        status=execution.status.value,
        seconds=execution.seconds,
        attempt=execution.attempt,
        wake_at=execution.wake_at.isoformat() if execution.wake_at else None,
        error=execution.error,
    )


def _described(ready: Plan) -> tuple[dict[str, object], ...]:
    return tuple(
        {"name": step.name, "retries": step.retries, "backoff_seconds": step.backoff_seconds}
        for step in ready.pipeline.order
    )


def _failure(error: Exception) -> Failure:
    if isinstance(error, LoopwrightError):
        return Failure(kind=type(error).__name__, message=error.what, where=error.where)
    return Failure(kind=type(error).__name__, message=str(error))
