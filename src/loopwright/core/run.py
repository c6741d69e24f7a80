"""Runs, their executions, and the lease by which exactly one worker holds a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

REJECTED = "Rejected"
"""The kind of a failure by which a step does not let its result through."""


class RunStatus(Enum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    """A gate said no: everything ran, and the result must not be used."""
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """Never stored: a run that says `running` and whose worker is gone."""

    @property
    def is_final(self) -> bool:
        return self not in (RunStatus.RUNNING, RunStatus.INTERRUPTED)


class ExecutionStatus(Enum):
    PENDING = "pending"
    WAITING = "waiting"
    """Not before `wake_at`: a retry, or a step that said `Wait`."""
    RUNNING = "running"
    RAN = "ran"
    REUSED = "reused"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_output(self) -> bool:
        return self in (ExecutionStatus.RAN, ExecutionStatus.REUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a step or run did not succeed."""

    kind: str
    """Name of the exception."""
    message: str
    where: str | None = None
    """`file:line` of the user's code, where that is known."""
    traceback: str = ""

    @property
    def is_rejection(self) -> bool:
        """Whether a gate said no, rather than something going wrong."""
        return self.kind == REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One worker's hold on a run, and what that worker runs.

    The token is a fencing token: it rises with every lease on the run, every write names it, and the store refuses a
    write under any but the newest (Kleppmann, "How to do distributed locking", 2016). A worker that was thought dead
    and comes back can therefore harm nothing.
    """

    run_id: str
    token: int
    holder: str
    """`host/boot/pid namespace/pid/start time`: tells a dead worker of this machine at once."""
    acquired_at: datetime
    expires_at: datetime
    code: str | None = None
    """Digest of the snapshot of the project's code."""
    environment: str | None = None
    """Digest of the list of exact versions."""
    git_commit: str | None = None
    git_diff: str | None = None
    """Digest of what differed from the commit; None for a clean tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One walk through a pipeline."""

    id: str
    pipeline: str
    file: str
    """Absolute path of the file that declares the pipeline."""
    parameters: Mapping[str, Any]
    """As given by the caller, in JSON; defaults are in the executions."""
    seed: int
    request_key: str
    """Equal for equal requests: same pipeline, code, parameters, seed and environment."""
    status: RunStatus
    created_at: datetime
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    error: Failure | None = None
    fresh: bool = False
    """Reuses nothing from other runs."""
    lease: Lease | None = None
    """The newest."""

    def status_at(self, now: datetime, is_alive: Callable[[str], bool | None]) -> RunStatus:
        """The status a person should see: a run whose worker is gone is `interrupted`, never `running` for ever.

        `is_alive(holder)` is None where it cannot be known (another machine); then the lease's term decides.
        """
        if self.status is RunStatus.RUNNING and not is_held(self.lease, now, is_alive):
            return RunStatus.INTERRUPTED
        return self.status

    def status_of(self, execution: Execution) -> str:
        """A step's status as a person should see it: one that a gate stopped did not fail."""
        is_refused = self.status is RunStatus.REJECTED and execution.status is ExecutionStatus.FAILED
        return RunStatus.REJECTED.value if is_refused else execution.status.value


def is_held(lease: Lease | None, now: datetime, is_alive: Callable[[str], bool | None]) -> bool:
    """Whether the lease still keeps others from the run."""
    return lease is not None and now < lease.expires_at and is_alive(lease.holder) is not False


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One step of one run: what went in, what came out, and how it went."""

    run_id: str
    step: str
    position: int
    """In dependency order, from 0."""
    status: ExecutionStatus = ExecutionStatus.PENDING
    key: str | None = None
    """Digest of code, parameters, inputs and environment; None until the inputs are known."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Digest of the artifact behind each input."""
    output: str | None = None
    log: str | None = None
    reused_from: str | None = None
    """The run that computed the output, for a reused one."""
    token: int | None = None
    """The lease under which it ran: leads to code and environment."""
    attempt: int = 0
    """How many times it was started in this run; 1 for a step that went well at once."""
    failures: int = 0
    """How many of the attempts failed: what `retries` is counted against."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    wake_at: datetime | None = None
    seconds: float | None = None
    peak_memory_bytes: int | None = None
    """Highest resident memory of the worker while the step ran; steps side by side share it."""
    error: Failure | None = None
