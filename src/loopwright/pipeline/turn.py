"""What an execution becomes when something happens to it. Pure: no clock, no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from loopwright.core.run import Execution, ExecutionStatus, Failure
from loopwright.pipeline.attempt import Outcome
from loopwright.pipeline.step import Retry


def reopened(previous: Execution) -> Execution:
    """As found by a worker that takes the run up: what had failed for good gets its retries afresh."""
    match previous.status:
        case ExecutionStatus.WAITING | ExecutionStatus.RAN | ExecutionStatus.REUSED:
            return previous
        case ExecutionStatus.FAILED:
            return replace(previous, status=ExecutionStatus.PENDING, failures=0)
    return replace(previous, status=ExecutionStatus.PENDING)


def known(
    execution: Execution, *, key: str | None, inputs: Mapping[str, str], parameters: Mapping[str, Any]
) -> Execution:
    """With what its output will be known by."""
    return replace(execution, key=key, inputs=inputs, parameters=parameters)


def undone(execution: Execution) -> Execution:
    """As if it had not run: its code, parameters or inputs changed, or its output is gone."""
    return Execution(
        run_id=execution.run_id,
        step=execution.step,
        position=execution.position,
        key=execution.key,
        inputs=execution.inputs,
        parameters=execution.parameters,
        attempt=execution.attempt,
    )


def started(execution: Execution, now: datetime, token: int) -> Execution:
    return replace(
        execution,
        status=ExecutionStatus.RUNNING,
        attempt=execution.attempt + 1,
        token=token,
        started_at=now,
        finished_at=None,
        wake_at=None,
        seconds=None,
        output=None,
        error=None,
        reused_from=None,
    )


def reused(execution: Execution, source: Execution, now: datetime, token: int) -> Execution:
    return replace(
        execution,
        status=ExecutionStatus.REUSED,
        output=source.output,
        log=source.log,
        reused_from=source.run_id,
        token=token,
        started_at=now,
        finished_at=now,
        seconds=0.0,
        wake_at=None,
        error=None,
    )


def ended(execution: Execution, outcome: Outcome, retry: Retry, now: datetime) -> Execution:
    """Ran, failed, or waiting: for its wish, or for its next attempt."""
    measured = replace(
        execution,
        finished_at=now,
        seconds=outcome.seconds,
        peak_memory_bytes=outcome.peak_memory_bytes,
        log=outcome.log or execution.log,
    )
    if outcome.wait_until is not None:
        return replace(measured, status=ExecutionStatus.WAITING, wake_at=outcome.wait_until)
    if outcome.error is None:
        return replace(measured, status=ExecutionStatus.RAN, output=outcome.output)
    return failed(measured, outcome.error, retry, now, is_final=outcome.is_rejection)


def failed(execution: Execution, error: Failure, retry: Retry, now: datetime, *, is_final: bool = False) -> Execution:
    """Waiting for the next attempt while there is one left, else failed."""
    failures = execution.failures + 1
    if is_final or failures > retry.retries:
        return replace(execution, status=ExecutionStatus.FAILED, failures=failures, error=error, finished_at=now)
    wake_at = now + retry.backoff(failures)
    return replace(execution, status=ExecutionStatus.WAITING, failures=failures, error=error, wake_at=wake_at)


def cancelled(execution: Execution, now: datetime) -> Execution:
    return replace(execution, status=ExecutionStatus.CANCELLED, finished_at=now, wake_at=None)
