"""The caller's side of a run: start a worker in a process of its own, relay what it tells, and survive its death.

Light on purpose: the stores are opened only when a worker died or another one has the run.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from loopwright.core.clock import Clock
from loopwright.core.event import Cause
from loopwright.core.run import Execution, ExecutionStatus, Failure, Lease, RunStatus
from loopwright.core.stores import Stores
from loopwright.errors import LeaseLost
from loopwright.pipeline import hold, turn
from loopwright.pipeline.request import Report, Request
from loopwright.pipeline.step import Retry
from loopwright.pipeline.worker import turn_report

_LOOK_SECONDS = 0.2
ENVIRONMENT = {"PYTHONHASHSEED": "0", "OMP_WAIT_POLICY": "PASSIVE"}
"""Of workers, unless the user's says otherwise: sets of text in the same order in every run, and threads of OpenMP that
sleep while they wait. On a busy machine two that spin took 47 seconds for a LightGBM model that one made in two."""
WORKER_DIED = "WorkerDied"
"""The kind of a failure that no step raised: its process is gone."""


@dataclass(kw_only=True)
class Ending:
    """How a run ended, as far as this caller saw it."""

    run: str = ""
    pipeline: str = ""
    status: str = ""
    executions: dict[str, Report] = field(default_factory=dict)
    """The last word on each step that ran, was reused or failed, in order."""
    error: Failure | None = None
    fix: str = ""
    is_usage: bool = False

    @property
    def is_success(self) -> bool:
        return self.status == RunStatus.SUCCEEDED.value


@dataclass(kw_only=True)
class Supervisor:
    """Runs requests by workers; `command` starts one that reads a request from its input and reports on its output."""

    command: Sequence[str]
    stores: Callable[[], Stores]
    clock: Clock
    logs: Path
    on_report: Callable[[Report], None] = lambda _: None

    def run(self, request: Request) -> Ending:
        """Until the run has ended, whoever worked on it and however many workers died on the way."""
        ending = Ending()
        while True:
            death = self._one_worker(request, ending)
            if ending.status or ending.error:
                return ending
            if not ending.run:
                return self._stillborn(ending, death)
            if death.is_held:
                is_over = self._follow(ending)
            else:
                is_over = not death.is_restart and self._record_death(ending, death)
            if is_over:
                return ending
            request = replace(request, run=ending.run)

    def _one_worker(self, request: Request, ending: Ending) -> _Death:
        """Relay one worker to its end; what it leaves open is told by the result."""
        self.logs.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # so that what steps have started can be ended with the worker
            env=ENVIRONMENT | os.environ,
        )
        death = _Death(holder=hold.holder_of(process.pid))
        assert process.stdin
        assert process.stdout
        try:
            _say(process, request.to_line())
            for report in self._reports(process):
                self._hear(report, ending, death)
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()  # a worker whose supervisor is gone stops
            death.code = process.wait()
            process.stdout.close()
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        return death

    def _reports(self, process: subprocess.Popen[str]) -> Iterator[Report]:
        """Lines until the worker closes its end. A first Ctrl-C asks it to stop, a second one ends it."""
        asked = False
        assert process.stdout
        while True:
            try:
                line = process.stdout.readline()
                if not line:
                    return
                yield Report.from_line(line)
            except KeyboardInterrupt:
                if asked:
                    process.kill()
                _say(process, "cancel\n")
                asked = True

    def _hear(self, report: Report, ending: Ending, death: _Death) -> None:
        match report.told:
            case "run":
                ending.run, ending.pipeline = report.run, report.pipeline
                death.is_held = report.is_held
                death.retries = {
                    s["name"]: Retry(retries=s["retries"], backoff_seconds=s["backoff_seconds"]) for s in report.steps
                }
            case "turn":
                _note(ending, report)
            case "end":
                ending.status, ending.error = report.status, report.error
            case "restart":
                death.is_restart = True
            case "lost" | "refused":
                ending.error, ending.fix, ending.is_usage = report.error, report.fix, report.is_usage
        self.on_report(report)

    def _follow(self, ending: Ending) -> bool:
        """Watch a run that another worker has; False when that worker is gone and the run is free to take up."""
        stores, told = self.stores(), dict[str, ExecutionStatus]()
        while True:
            run = stores.runs.get(ending.run)
            for execution in stores.executions.of_run(run.id):
                if told.get(execution.step) is not execution.status:
                    told[execution.step] = execution.status
                    self._tell(turn_report(execution), ending)
            status = run.status_at(self.clock.now(), hold.is_alive)
            if status is RunStatus.INTERRUPTED:
                return False
            if status.is_final:
                ending.status, ending.error = status.value, run.error
                self.on_report(Report(told="end", run=run.id, status=status.value, error=run.error))
                return True
            self.clock.sleep(_LOOK_SECONDS)

    def _tell(self, report: Report, ending: Ending) -> None:
        _note(ending, report)
        self.on_report(report)

    def _record_death(self, ending: Ending, death: _Death) -> bool:
        """Act for the dead worker, under its own lease: its steps failed; False when they are to be tried again."""
        stores = self.stores()
        run = stores.runs.get(ending.run)
        if run.lease is None or run.lease.holder != death.holder or run.status.is_final:
            return False  # somebody else was quicker: see what became of it
        try:
            lease = self._prolonged(run.lease, stores)
        except LeaseLost:
            return False
        cause = Cause(actor="supervisor", at=self.clock.now(), reason=death.told)
        hit = [e for e in stores.executions.of_run(run.id) if e.status is ExecutionStatus.RUNNING]
        after = spare_the_innocent([self._after_death(execution, death) for execution in hit])
        stores.executions.save(lease, after, cause)
        for execution in after:
            self._tell(turn_report(execution), ending)
        failed = next((e for e in after if e.status is ExecutionStatus.FAILED), None)
        if failed or not hit:
            error = failed.error if failed else Failure(kind=WORKER_DIED, message=f"the worker {death.told}")
            stores.runs.finish(lease, RunStatus.FAILED, cause, error)
            ending.status, ending.error = RunStatus.FAILED.value, error
            self.on_report(Report(told="end", run=run.id, status=ending.status, error=error))
        return bool(ending.status)

    def _after_death(self, execution: Execution, death: _Death) -> Execution:
        message = f"the worker {death.told} while step {execution.step!r} was running"
        log = self.logs / execution.run_id / f"worker-{execution.token}.log"
        error = Failure(kind=WORKER_DIED, message=message, traceback=tail(log))
        retry = death.retries.get(execution.step, Retry(retries=0, backoff_seconds=1))
        return turn.failed(execution, error, retry, self.clock.now())

    def _prolonged(self, lease: Lease, stores: Stores) -> Lease:
        """So that nobody takes the run up while its end is being written."""
        expires_at = self.clock.now() + timedelta(seconds=10)
        stores.runs.heartbeat(lease, expires_at)
        return replace(lease, expires_at=expires_at)

    def _stillborn(self, ending: Ending, death: _Death) -> Ending:
        ending.error = Failure(kind=WORKER_DIED, message=f"the worker {death.told} before it had begun")
        ending.fix = "try again; if it happens again, run the file with python to see what it does when imported"
        return ending


@dataclass(kw_only=True)
class _Death:
    """How a worker left."""

    holder: str
    code: int = 0
    is_held: bool = False
    is_restart: bool = False
    retries: dict[str, Retry] = field(default_factory=dict)

    @property
    def told(self) -> str:
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        name = signal.Signals(-self.code).name
        hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return f"was ended by {name}{hint}"


def spare_the_innocent(after: Sequence[Execution]) -> list[Execution]:
    """Of steps side by side, the one that killed the worker cannot be told: those with retries left use one up, and
    the others start again, as long as there is one with retries left."""
    if not any(execution.status is ExecutionStatus.WAITING for execution in after):
        return list(after)
    return [
        replace(execution, status=ExecutionStatus.PENDING, failures=execution.failures - 1, error=None)
        if execution.status is ExecutionStatus.FAILED
        else execution
        for execution in after
    ]


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log; nothing when there is none."""
    try:
        return "".join(log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)[-lines:])
    except OSError:
        return ""


def _note(ending: Ending, report: Report) -> None:
    if report.status in ("ran", "reused", "failed"):
        ending.executions[report.step] = report


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin
    with suppress(BrokenPipeError):  # it died: its exit code tells
        process.stdin.write(line)
        process.stdin.flush()
