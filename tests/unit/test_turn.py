"""What an execution becomes, by pure functions."""

from datetime import timedelta

import pytest

from loopwright.core.run import Execution, ExecutionStatus, Failure
from loopwright.pipeline import turn
from loopwright.pipeline.attempt import Outcome
from loopwright.pipeline.step import Retry
from loopwright.testing.conformance import at

ERROR = Failure(kind="OSError", message="no")
ONCE, THRICE = Retry(retries=0, backoff_seconds=1), Retry(retries=2, backoff_seconds=10)


def an_execution(
    status: ExecutionStatus = ExecutionStatus.RUNNING, *, failures: int = 0, attempt: int = 1
) -> Execution:
    return Execution(
        run_id="r", step="load", position=0, status=status, key="k", output="out", failures=failures, attempt=attempt,
        wake_at=at(9), log="log", error=ERROR,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (ExecutionStatus.PENDING, ExecutionStatus.PENDING),
        (ExecutionStatus.WAITING, ExecutionStatus.WAITING),
        (ExecutionStatus.RUNNING, ExecutionStatus.PENDING),
        (ExecutionStatus.RAN, ExecutionStatus.RAN),
        (ExecutionStatus.REUSED, ExecutionStatus.REUSED),
        (ExecutionStatus.FAILED, ExecutionStatus.PENDING),
        (ExecutionStatus.CANCELLED, ExecutionStatus.PENDING),
    ],
)
def test_a_worker_that_takes_up_a_run_finds(status: ExecutionStatus, expected: ExecutionStatus) -> None:
    found = turn.reopened(an_execution(status, failures=2, attempt=3))
    assert found.status is expected
    assert found.attempt == 3
    assert found.failures == (0 if status is ExecutionStatus.FAILED else 2)


def test_a_start_counts_and_forgets_what_was_before() -> None:
    started = turn.started(an_execution(ExecutionStatus.WAITING, failures=1), at(10), token=4)
    assert (started.status, started.attempt, started.failures, started.token) == (ExecutionStatus.RUNNING, 2, 1, 4)
    assert (started.started_at, started.finished_at, started.wake_at) == (at(10), None, None)
    assert (started.output, started.error, started.seconds, started.reused_from) == (None, None, None, None)


@pytest.mark.parametrize(
    ("outcome", "retry", "failures", "expected"),
    [
        (Outcome(output="new"), ONCE, 0, ExecutionStatus.RAN),
        (Outcome(error=ERROR), ONCE, 0, ExecutionStatus.FAILED),
        (Outcome(error=ERROR), THRICE, 0, ExecutionStatus.WAITING),
        (Outcome(error=ERROR), THRICE, 1, ExecutionStatus.WAITING),
        (Outcome(error=ERROR), THRICE, 2, ExecutionStatus.FAILED),
        (Outcome(error=ERROR, is_rejection=True), THRICE, 0, ExecutionStatus.FAILED),
        (Outcome(wait_until=at(60)), ONCE, 0, ExecutionStatus.WAITING),
    ],
    ids=["ran", "failed", "tries again", "tries once more", "has tried enough", "rejected", "wants to wait"],
)
def test_an_attempt_that_ended(outcome: Outcome, retry: Retry, failures: int, expected: ExecutionStatus) -> None:
    ended = turn.ended(an_execution(failures=failures), outcome, retry, at(10))
    assert ended.status is expected
    assert ended.failures == failures + (outcome.error is not None)
    assert ended.log == "log"
    assert ended.finished_at == at(10)


def test_the_wait_grows_with_the_failures() -> None:
    waits = [turn.failed(an_execution(failures=n), ERROR, THRICE, at(0)).wake_at for n in range(2)]
    assert waits == [at(10), at(20)]
    assert turn.ended(an_execution(), Outcome(wait_until=at(60)), ONCE, at(0)).wake_at == at(60)


def test_a_reused_one_took_no_time_and_tells_from_where() -> None:
    source = an_execution(ExecutionStatus.RAN)
    reused = turn.reused(Execution(run_id="later", step="load", position=0), source, at(5), token=1)
    assert (reused.status, reused.output, reused.log, reused.reused_from) == (ExecutionStatus.REUSED, "out", "log", "r")
    assert (reused.seconds, reused.attempt, reused.error) == (0.0, 0, None)


def test_an_undone_one_keeps_its_identity_and_count_alone() -> None:
    undone = turn.undone(an_execution(ExecutionStatus.RAN, failures=1, attempt=2))
    assert undone == Execution(run_id="r", step="load", position=0, key="k", attempt=2)


def test_a_cancelled_one_waits_for_nothing() -> None:
    cancelled = turn.cancelled(an_execution(), at(3))
    assert (cancelled.status, cancelled.finished_at, cancelled.wake_at) == (ExecutionStatus.CANCELLED, at(3), None)
    assert at(3) - at(0) == timedelta(seconds=3)
