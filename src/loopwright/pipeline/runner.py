"""Runs a plan: starts each step when its inputs are there, reuses what was done before, records every turn.

One thread decides and writes; steps work in threads beside it and hand back outcomes. Whatever is not recorded has not
happened: killed anywhere, the next worker goes on from the records.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING

from loopwright.core.artifact import Artifact
from loopwright.core.clock import Clock
from loopwright.core.event import Cause
from loopwright.core.run import Execution, ExecutionStatus, Failure, Lease, Run, RunStatus
from loopwright.core.stores import Stores
from loopwright.errors import ArtifactNotFound, UsageError
from loopwright.pipeline import machine, turn
from loopwright.pipeline.attempt import Attempt, Outcome
from loopwright.pipeline.executor import Executor
from loopwright.pipeline.graph import AnyStep
from loopwright.pipeline.keys import as_json
from loopwright.pipeline.memory import PeakMemory
from loopwright.pipeline.plan import Plan
from loopwright.pipeline.step import Resources
from loopwright.pipeline.values import Values

if TYPE_CHECKING:
    from loopwright.data.tables import Tables

_GLANCE_SECONDS = 0.5
"""How long to wait at most before looking whether somebody asked to stop."""


def no_tables() -> Tables:
    raise UsageError("this run has no tables", fix="give the runner open_tables=")


@dataclass(frozen=True, kw_only=True)
class Runner:
    """What it takes to run plans; `on_turn` hears of every execution that is recorded."""

    stores: Stores
    clock: Clock
    executor: Executor
    logs: Path
    scratch: Path
    """For files of steps at work; a killed worker's are removed by the next that takes the run up."""
    open_tables: Callable[[], Tables] = no_tables
    workspace: Path | None = None
    actor: str = "worker"
    workers: int = 0
    on_turn: Callable[[Execution], None] = lambda _: None
    on_stuck: Callable[[Execution], None] = lambda _: None
    """Called when a step over its time is to be tried again: its thread cannot be stopped from within the process."""

    def start(self, plan: Plan, run: Run, lease: Lease) -> Walk:
        """Raises UsageError for a step that needs more than this machine has."""
        capacity = machine.capacity(self.workers)
        for step in plan.pipeline.steps:
            machine.refuse_too_big(step, capacity)
        return Walk(self, plan, run, lease, capacity)


class Walk:
    """One worker's way through one run."""

    def __init__(self, runner: Runner, plan: Plan, run: Run, lease: Lease, capacity: Resources) -> None:
        self._runner, self._plan, self._run, self._lease = runner, plan, run, lease
        self._stores, self._clock, self._capacity = runner.stores, runner.clock, capacity
        self._values = Values(blobs=runner.stores.blobs)
        self._steps = {step.name: step for step in plan.pipeline.order}
        self._unwritten: list[Execution] = []
        self._executions = self._found()
        self._artifacts: dict[str, Artifact] = {}
        self._at_work: dict[str, float] = {}
        self._outcomes: Queue[tuple[str, int, Outcome]] = Queue()
        self._memory = PeakMemory()
        self._folder = runner.scratch / run.id
        self._settled: set[str] = set()
        self._unwritten_artifacts: list[Artifact] = []
        self._ready: list[str] = []
        """Open and not to be reused: waiting for room."""
        self._needs = {name: plan.pipeline.needs(step) for name, step in self._steps.items()}
        self._followers = {name: [f for f, needs in self._needs.items() if name in needs] for name in self._steps}
        self._find_open()
        self._may_reuse = not plan.fresh
        self._rejected: set[str] = set()
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ask the walk to stop. From any thread."""
        self._cancelled.set()

    def go(self) -> RunStatus:
        """Walk to the end and record how it ended. Raises LeaseLost when another worker took the run."""
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            while not self._cancelled.is_set():
                self._start_what_can_be()
                if not self._at_work and not self._next_wake():
                    break
                self._take_outcome()
            return self._finish()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    # -- what is known ---------------------------------------------------------------------------------------------

    def _found(self) -> dict[str, Execution]:
        """As earlier workers left it. A step that the pipeline no longer has is closed, not forgotten."""
        previous = {e.step: e for e in self._stores.executions.of_run(self._run.id)}
        dropped = [e for name, e in previous.items() if name not in self._steps and not e.status.has_output]
        self._unwritten = [turn.cancelled(execution, self._clock.now()) for execution in dropped]
        return {
            name: turn.reopened(previous[name])
            if name in previous
            else Execution(run_id=self._run.id, step=name, position=position)
            for position, name in enumerate(self._steps)
        }

    def _has_failed(self) -> bool:
        return any(execution.status is ExecutionStatus.FAILED for execution in self._executions.values())

    def _is_awake(self, name: str) -> bool:
        wake_at = self._executions[name].wake_at
        return wake_at is None or wake_at <= self._clock.now()

    def _find_open(self) -> None:
        """Settle afresh what each step waits for, and which steps wait for nothing."""
        self._missing = {
            name: {needed for needed in needs if needed not in self._settled}
            for name, needs in self._needs.items()
            if name not in self._settled and name not in self._at_work
        }
        self._open = [name for name, missing in self._missing.items() if not missing]

    def _settle(self, name: str) -> None:
        """Its output is there: steps that waited for nothing else are open now."""
        self._settled.add(name)
        for follower in self._followers[name]:
            missing = self._missing[follower]
            missing.discard(name)
            if not missing:
                self._open.append(follower)

    def _next_wake(self) -> float | None:
        """Seconds until the first waiting step may start; None when none waits or none may start any more."""
        if self._has_failed():
            return None
        wakes = [e.wake_at for e in self._executions.values() if e.status is ExecutionStatus.WAITING and e.wake_at]
        return max((min(wakes) - self._clock.now()).total_seconds(), 0.001) if wakes else None

    # -- starting --------------------------------------------------------------------------------------------------

    def _start_what_can_be(self) -> None:
        """Reuse all that can be reused in one write, then start what there is room for."""
        reused: list[Execution] = []
        for name in self._open:  # grows on the way, so that one pass reuses a whole chain
            if self._is_awake(name):
                self._identify(name)
                if self._is_done_before(name) or self._reuse(name, reused):
                    self._settle(name)
                else:
                    self._ready.append(name)
        self._open = [name for name in self._open if name not in self._settled and name not in self._ready]
        if reused and not self._record_reused(reused):
            return self._start_what_can_be()
        starting = [name for name in list(self._ready) if not self._has_failed() and self._take_room_for(name)]
        self._write()
        for name in starting:
            self._start(name)
        return None

    def _identify(self, name: str) -> None:
        step, execution = self._steps[name], self._executions[name]
        inputs = {needed: self._executions[needed].output or "" for needed in self._needs[name]}
        key = self._plan.key(step, inputs)
        if execution.status.has_output and execution.key != key:
            execution = turn.undone(execution)
        self._executions[name] = turn.known(
            execution, key=key, inputs=inputs, parameters=as_json(self._plan.arguments[name])
        )

    def _is_done_before(self, name: str) -> bool:
        """Finished by an earlier worker of this very run."""
        execution = self._executions[name]
        if not execution.status.has_output or not self._is_there(execution.output):
            return False
        self._runner.on_turn(_told_as_reused(execution))
        return True

    def _reuse(self, name: str, reused: list[Execution]) -> bool:
        execution, step = self._executions[name], self._steps[name]
        if not self._may_reuse or not step.cache or execution.key is None:
            return False
        source = self._stores.executions.reusable(execution.key)
        if source is None or not self._is_there(source.output):
            return False
        self._executions[name] = turn.reused(execution, source, self._clock.now(), self._lease.token)
        reused.append(self._executions[name])
        return True

    def _record_reused(self, reused: list[Execution]) -> bool:
        """False when a collection came between: then nothing is reused, and all of it runs."""
        before = list(self._unwritten)
        self._unwritten += reused
        try:
            self._write()
        except ArtifactNotFound:
            self._unwritten = before
            self._may_reuse = False
            for execution in reused:
                self._settled.discard(execution.step)
                self._executions[execution.step] = turn.undone(execution)
            self._ready = []
            self._find_open()
            return False
        return True

    def _is_there(self, output: str | None) -> bool:
        """A look at the artifact and all its parts."""
        try:
            artifact = self._artifact(output or "")
            parts = [self._artifact(part) for part in artifact.parts]
        except ArtifactNotFound:
            return False
        return all(self._stores.blobs.has(each.digest, each.size_bytes) for each in (artifact, *parts))

    def _take_room_for(self, name: str) -> bool:
        """Its turn to start is written together with the end of the step before it."""
        taken = [self._steps[other].resources for other in self._at_work]
        if not machine.is_room(self._steps[name].resources, machine.left(self._capacity, taken)):
            return False
        self._ready.remove(name)
        self._at_work[name] = float("inf")
        self._executions[name] = turn.started(self._executions[name], self._clock.now(), self._lease.token)
        self._unwritten.append(self._executions[name])
        return True

    def _start(self, name: str) -> None:
        attempt = self._attempt(self._steps[name])
        self._at_work[name] = self._clock.monotonic() + (attempt.step.timeout_seconds or float("inf"))

        def work() -> None:
            self._outcomes.put((name, attempt.number, _guarded(attempt)))

        threading.Thread(target=work, name=f"step {name}", daemon=True).start()

    def _attempt(self, step: AnyStep) -> Attempt:
        execution = self._executions[step.name]
        return Attempt(
            run_id=self._run.id,
            step=step,
            number=execution.attempt,
            parameters=self._plan.arguments[step.name],
            inputs={name: self._artifact(digest) for name, digest in execution.inputs.items()},
            seed=self._plan.seed,
            values=self._values,
            clock=self._clock,
            memory=self._memory,
            executor=self._runner.executor,
            actor=self._runner.actor,
            deployment=self._plan.deployment,
            stores=self._stores,
            open_tables=self._runner.open_tables,
            workspace=self._runner.workspace,
            log=self._runner.logs / self._run.id / f"{step.name}.log",
            folder=self._folder / f"{step.name}-{execution.attempt}",
        )

    def _artifact(self, digest: str) -> Artifact:
        if digest not in self._artifacts:
            self._artifacts[digest] = self._stores.artifacts.get(digest)
        return self._artifacts[digest]

    # -- ending ----------------------------------------------------------------------------------------------------

    def _take_outcome(self) -> None:
        """Wait until something happens: a step ended, ran out of time, may start again, or somebody wants to stop."""
        seconds = min(_GLANCE_SECONDS, self._next_wake() or _GLANCE_SECONDS, *self._seconds_left())
        if not self._at_work:
            self._clock.sleep(seconds)
            return
        try:
            name, number, outcome = self._outcomes.get(timeout=seconds)
        except Empty:
            self._end_overdue()
            return
        if name in self._at_work and number == self._executions[name].attempt:
            self._end(name, outcome)

    def _seconds_left(self) -> list[float]:
        return [max(deadline - self._clock.monotonic(), 0.001) for deadline in self._at_work.values()]

    def _end(self, name: str, outcome: Outcome) -> None:
        del self._at_work[name]
        if not self._plan.is_unchanged(self._steps[name]):
            self._executions[name] = replace(self._executions[name], key=None)
        self._executions[name] = turn.ended(self._executions[name], outcome, self._steps[name].retry, self._clock.now())
        if outcome.is_rejection:
            self._rejected.add(name)
        self._artifacts |= {artifact.digest: artifact for artifact in outcome.artifacts}
        if self._executions[name].status is ExecutionStatus.RAN:
            self._settle(name)
        elif self._executions[name].status is ExecutionStatus.WAITING:
            self._open.append(name)
        self._unwritten.append(self._executions[name])
        self._unwritten_artifacts += outcome.artifacts

    def _end_overdue(self) -> None:
        now = self._clock.monotonic()
        for name in [name for name, deadline in self._at_work.items() if deadline <= now]:
            step = self._steps[name]
            message = f"step {name!r} was still running after {step.timeout_seconds:g} seconds"
            error = Failure(kind="StepTimedOut", message=message, where=step.where)
            self._end(name, Outcome(error=error, seconds=step.timeout_seconds or 0.0))
            self._write()
            if self._executions[name].status is ExecutionStatus.WAITING:
                self._runner.on_stuck(self._executions[name])

    def _finish(self) -> RunStatus:
        if self._cancelled.is_set():
            self._unwritten += [turn.cancelled(self._executions[name], self._clock.now()) for name in self._at_work]
            self._write()
            return self._close(RunStatus.CANCELLED, None)
        failed = [e for e in self._executions.values() if e.status is ExecutionStatus.FAILED]
        errors = sorted((e for e in failed if e.step not in self._rejected), key=lambda e: e.position)
        if errors:
            return self._close(RunStatus.FAILED, errors[0].error)
        if failed:
            return self._close(RunStatus.REJECTED, failed[0].error)
        return self._close(RunStatus.SUCCEEDED, None)

    def _close(self, status: RunStatus, error: Failure | None) -> RunStatus:
        self._stores.runs.finish(self._lease, status, self._cause(), error)
        return status

    # -- recording -------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        """All turns since the last write, in one transaction. Nothing starts before its turn is written."""
        if not self._unwritten:
            return
        self._stores.executions.save(self._lease, self._unwritten, self._cause(), self._unwritten_artifacts)
        written, self._unwritten, self._unwritten_artifacts = self._unwritten, [], []
        for execution in written:
            self._runner.on_turn(execution)

    def _cause(self) -> Cause:
        return Cause(actor="worker", at=self._clock.now())


def _guarded(attempt: Attempt) -> Outcome:
    """Even a full disk under the attempt's own folder is an outcome."""
    try:
        return attempt.run()
    except BaseException as error:  # noqa: BLE001 - the thread's one way out: an outcome always arrives
        return Outcome(error=Failure(kind=type(error).__name__, message=str(error), where=attempt.step.where))


def _told_as_reused(execution: Execution) -> Execution:
    """For the caller of this worker: what an earlier worker did was not done now."""
    return replace(execution, status=ExecutionStatus.REUSED, seconds=0.0)
