"""Walks in one process, over stores in memory and a clock that is turned by hand."""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.unit.builders import Workshop

from loopwright.core.event import Cause
from loopwright.core.run import ExecutionStatus
from loopwright.core.stores import Stores
from loopwright.errors import ArtifactNotFound, LeaseLost, UsageError
from loopwright.pipeline.capture import routed
from loopwright.pipeline.code import Reached
from loopwright.pipeline.context import Context, step_seed
from loopwright.pipeline.graph import AnyStep
from loopwright.pipeline.step import Rejected, Wait, resources, step
from loopwright.testing.memory import MemoryBlobs

# What steps share with tests: they may close over nothing.
ran: list[str] = []
fail: dict[str, BaseException] = {}
values: dict[str, Any] = {}
gates: dict[str, threading.Event] = {}
meeting = threading.Barrier(2, timeout=20)
workshops: list[Workshop] = []


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    for held in gates.values():
        held.set()
    for shared in (ran, fail, values, gates, workshops):
        shared.clear()


def act(name: str, default: int) -> Any:
    ran.append(name)
    if name in gates:
        assert gates[name].wait(20)
    if name in fail:
        raise fail[name]
    return values.get(name, default)


@step
def load(year: int = 2013) -> int:
    return int(act("load", year))


@step
def clean(load: int) -> int:
    return int(act("clean", load + 1))


@step
def train(clean: int) -> int:
    return int(act("train", clean * 10))


@step
def report(train: int, load: int) -> str:
    return f"{act('report', train)} from {load}"


STEPS: list[AnyStep] = [report, train, clean, load]


def test_steps_run_after_what_they_depend_on_and_hand_it_on() -> None:
    walked = Workshop().go(STEPS)
    assert walked.status == "succeeded"
    assert ran == ["load", "clean", "train", "report"]
    assert walked.output("report") == "20140 from 2013"
    assert walked.steps == dict.fromkeys(ran, "ran")


def test_an_execution_tells_what_went_in_and_came_out() -> None:
    walked = Workshop().go(STEPS, given={"year": "2015"})
    found = walked.executions["clean"]
    assert found.inputs == {"load": walked.executions["load"].output}
    assert walked.executions["load"].parameters == {"year": 2015}
    assert (found.attempt, found.failures, found.token, found.position) == (1, 0, 1, 1)
    assert found.started_at
    assert found.finished_at
    assert found.peak_memory_bytes
    assert found.seconds == 0.0


@step
def left() -> str:
    return f"left {meeting.wait()}"[:4]


@step
def right() -> str:
    return f"right {meeting.wait()}"[:5]


def test_steps_that_do_not_depend_on_each_other_run_side_by_side() -> None:
    walked = Workshop().go([left, right])
    assert walked.status == "succeeded"
    assert (walked.output("left"), walked.output("right")) == ("left", "right")


# -- reuse -----------------------------------------------------------------------------------------------------------


def test_what_was_done_before_is_reused_and_said_so() -> None:
    workshop = Workshop()
    first = workshop.go(STEPS)
    ran.clear()
    second = workshop.go(STEPS)
    assert ran == []
    assert second.status == "succeeded"
    assert second.steps == dict.fromkeys(["load", "clean", "train", "report"], "reused")
    assert {execution.reused_from for execution in second.executions.values()} == {first.id}
    assert second.output("report") == first.output("report")
    third = workshop.go(STEPS)
    assert {execution.reused_from for execution in third.executions.values()} == {first.id}


def test_another_parameter_runs_again_what_depends_on_it() -> None:
    workshop = Workshop()
    workshop.go(STEPS)
    ran.clear()
    walked = workshop.go(STEPS, given={"year": 2014})
    assert ran == ["load", "clean", "train", "report"]
    assert walked.output("report") == "20150 from 2014"


def test_changed_code_with_an_equal_output_lets_what_follows_be_reused() -> None:
    workshop = Workshop()
    workshop.go(STEPS)
    ran.clear()
    walked = workshop.go(STEPS, changed=["clean"])
    assert ran == ["clean"]
    assert walked.steps == {"load": "reused", "clean": "ran", "train": "reused", "report": "reused"}


def test_changed_code_with_another_output_runs_all_that_follows() -> None:
    workshop = Workshop()
    workshop.go(STEPS)
    ran.clear()
    values["clean"] = 1
    walked = workshop.go(STEPS, changed=["clean"])
    assert ran == ["clean", "train", "report"]
    assert walked.output("train") == 10


@step
def number() -> Any:
    return act("number", 1)


@step
def kind(number: Any) -> str:
    return type(act("kind", number)).__name__


def test_an_output_that_only_looks_like_the_old_one_is_not_taken_for_it() -> None:
    workshop = Workshop()
    assert workshop.go([number, kind]).output("kind") == "int"
    values["number"] = "1"
    assert workshop.go([number, kind], changed=["number"]).output("kind") == "str"


@step(cache=False)
def look() -> int:
    return int(act("look", 1))


@step
def after(look: int) -> int:
    return int(act("after", look))


def test_a_step_without_cache_runs_every_time_and_what_follows_only_if_it_must() -> None:
    workshop = Workshop()
    workshop.go([look, after])
    workshop.go([look, after])
    assert ran == ["look", "after", "look"]
    values["look"] = 2
    workshop.go([look, after])
    assert ran == ["look", "after", "look", "look", "after"]


def test_a_fresh_run_reuses_nothing_and_is_reused_itself() -> None:
    workshop = Workshop()
    workshop.go(STEPS)
    second = workshop.go(STEPS, fresh=True)
    assert set(second.steps.values()) == {"ran"}
    assert workshop.go(STEPS).executions["load"].reused_from == second.id


def test_code_that_cannot_be_told_is_never_reused() -> None:
    workshop = Workshop()
    for _ in range(2):
        ready = workshop.plan(STEPS)
        workshop.walk(replace(ready, codes=dict.fromkeys(ready.codes))).go()
    assert ran.count("load") == 2


def test_an_output_that_is_gone_is_made_again() -> None:
    workshop = Workshop()
    first = workshop.go(STEPS)
    workshop.memory.blobs.delete([first.executions["clean"].output or ""])
    ran.clear()
    walked = workshop.go(STEPS)
    assert ran == ["clean"]
    assert walked.steps["train"] == "reused"


@step
def frames() -> dict[str, pl.DataFrame]:
    return {"train": pl.DataFrame({"a": [act("frames", 1)]})}


def test_an_output_of_which_a_part_is_gone_is_made_again() -> None:
    workshop = Workshop()
    first = workshop.go([frames])
    workshop.memory.blobs.delete(workshop.memory.artifacts.get(first.executions["frames"].output or "").parts)
    assert workshop.go([frames]).steps == {"frames": "ran"}


class Collecting:
    """Executions whose reused outputs are collected between the look and the write, once."""

    def __init__(self, stores: Stores) -> None:
        self.executions, self.left = stores.executions, 1

    def save(self, lease: Any, executions: Any, cause: Cause, artifacts: Any = ()) -> None:
        if self.left and any(execution.status is ExecutionStatus.REUSED for execution in executions):
            self.left -= 1
            raise ArtifactNotFound("collected meanwhile")
        self.executions.save(lease, executions, cause, artifacts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.executions, name)


@pytest.mark.parametrize("changed", [[], ["train"], ["clean"], ["load"], ["report"]])
def test_a_collection_between_the_look_and_the_reuse_makes_all_of_it_run(changed: list[str]) -> None:
    workshop = Workshop()
    first = workshop.go(STEPS)
    ran.clear()
    executions: Any = Collecting(workshop.memory)
    workshop.runner = replace(workshop.runner, stores=replace(workshop.memory, executions=executions))
    walked = workshop.go(STEPS, changed=changed)
    assert walked.status == "succeeded"
    assert sorted(ran) == ["clean", "load", "report", "train"]
    assert walked.output("report") == first.output("report")


# -- failing ---------------------------------------------------------------------------------------------------------


def test_a_failure_ends_the_run_and_says_where() -> None:
    fail["clean"] = ValueError("no rows")
    walked = Workshop().go(STEPS)
    assert walked.status == "failed"
    assert walked.steps == {"load": "ran", "clean": "failed"}
    error = walked.executions["clean"].error
    assert walked.run.error == error
    assert error
    assert (error.kind, error.message) == ("ValueError", "no rows")
    assert error.where
    assert error.where.startswith(__file__)
    assert "raise fail[name]" in error.traceback
    assert "attempt.py" not in error.traceback
    assert "no rows" in walked.log("clean")


class Panic(BaseException):
    """Compiled libraries panic with an exception that is no Exception."""


@pytest.mark.parametrize("error", [SystemExit(3), Panic("index out of bounds"), KeyboardInterrupt()])
def test_whatever_a_step_raises_the_run_ends(error: BaseException) -> None:
    fail["load"] = error
    walked = Workshop().go([load])
    assert walked.status == "failed"
    assert walked.run.error
    assert walked.run.error.kind == type(error).__name__


@step
def beside() -> int:
    return int(act("beside", 1))


@step
def later(beside: int) -> int:
    return int(act("later", beside))


def test_a_failure_starts_nothing_more_and_records_what_still_runs() -> None:
    workshop = Workshop()
    fail["load"] = ValueError("no")
    gates["beside"] = threading.Event()
    workshop.on_turn = lambda e: gates["beside"].set() if e.status is ExecutionStatus.FAILED else None
    walked = workshop.go([load, beside, later])
    assert walked.status == "failed"
    assert walked.steps == {"load": "failed", "beside": "ran"}


@step
def wrong() -> int:
    return values.get("wrong", "text")  # type: ignore[no-any-return]


def test_a_step_that_returns_another_type_than_it_says_fails() -> None:
    walked = Workshop().go([wrong])
    assert walked.run.error
    assert walked.run.error.kind == "WrongType"
    assert "returned 'text', a str, but says it returns int" in walked.run.error.message
    assert "correct the function or its annotation" in walked.run.error.message


@step
def unkept() -> Any:
    return object()


def test_a_step_that_returns_what_cannot_be_kept_fails() -> None:
    walked = Workshop().go([unkept])
    assert walked.run.error
    assert walked.run.error.kind == "NotStorable"
    assert "test_runner.py" in str(walked.run.error.where)


def test_a_damaged_input_fails_and_names_who_made_it() -> None:
    workshop = Workshop()
    first = workshop.go([load])
    blobs = workshop.memory.blobs
    assert isinstance(blobs, MemoryBlobs)
    blobs.overwrite(first.executions["load"].output or "", b"2014")
    walked = workshop.go([load, clean])
    assert walked.run.error
    assert walked.run.error.kind == "ArtifactCorrupted"
    assert f"step 'load' of run {first.id}" in f"{walked.run.error.message} {walked.run.error.where}"


@step
def gate(load: int) -> int:
    if act("gate", load) < 3000:
        raise Rejected("too old")
    return load


def test_a_rejection_ends_the_run_as_such_and_is_never_tried_again() -> None:
    walked = Workshop().go([load, step(retries=3)(gate.function)])
    assert walked.status == "rejected"
    assert ran == ["load", "gate"]
    assert walked.run.error
    assert (walked.run.error.kind, walked.run.error.message) == ("Rejected", "too old")
    assert walked.executions["gate"].failures == 1
    assert walked.log("gate") == "rejected: too old\n"


def test_a_rejected_run_that_is_taken_up_is_judged_again() -> None:
    workshop = Workshop()
    first = workshop.go([load, gate])
    ran.clear()
    assert workshop.go([load, gate], run=first.id).status == "rejected"
    assert ran == ["gate"]


# -- trying again and waiting ----------------------------------------------------------------------------------------


@step(retries=2, backoff_seconds=60)
def flaky() -> int:
    tries = act("flaky", 1)
    if ran.count("flaky") < values.get("good after", 99):
        raise OSError(f"try {ran.count('flaky')}")
    return int(tries)


def test_a_failed_attempt_becomes_a_row_that_waits_twice_as_long_each_time() -> None:
    workshop = Workshop()
    waits = []
    start = workshop.clock.now()
    workshop.on_turn = lambda e: waits.append(e.wake_at - start) if e.wake_at else None
    walked = workshop.go([flaky])
    assert walked.status == "failed"
    assert ran == ["flaky"] * 3
    found = walked.executions["flaky"]
    assert (found.attempt, found.failures) == (3, 3)
    assert [wait.total_seconds() for wait in waits] == pytest.approx([60, 180], abs=2)
    assert workshop.told == [
        ("flaky", "running"), ("flaky", "waiting"), ("flaky", "running"), ("flaky", "waiting"), ("flaky", "running"),
        ("flaky", "failed"),
    ]  # fmt: skip
    assert [line for line in walked.log("flaky").splitlines() if line.startswith("OSError")] == [
        "OSError: try 1", "OSError: try 2", "OSError: try 3",
    ]  # fmt: skip


def test_a_step_that_succeeds_at_a_later_attempt_succeeded() -> None:
    values["good after"] = 2
    walked = Workshop().go([flaky])
    assert walked.status == "succeeded"
    assert walked.executions["flaky"].failures == 1
    assert walked.executions["flaky"].error is None


@step
def patient() -> int:
    act("patient", 1)
    if ran.count("patient") < 3:
        raise Wait("the file of today has not arrived", seconds=600)
    return 1


def test_a_step_that_waits_is_a_row_and_counts_no_failure() -> None:
    workshop = Workshop()
    start = workshop.clock.now()
    walked = workshop.go([patient, load, clean])
    assert walked.status == "succeeded"
    found = walked.executions["patient"]
    assert (found.attempt, found.failures, found.wake_at) == (3, 0, None)
    assert found.started_at
    assert found.started_at - start >= timedelta(seconds=1200)
    assert ran.index("clean") < ran.index("patient", ran.index("patient") + 1)
    assert "waiting: the file of today has not arrived" in walked.log("patient")


def test_a_failure_elsewhere_is_not_held_up_by_what_waits() -> None:
    workshop = Workshop()
    start = workshop.clock.now()
    fail["load"] = ValueError("no")
    walked = workshop.go([patient, load])
    assert walked.status == "failed"
    assert workshop.clock.now() - start < timedelta(seconds=600)
    assert walked.steps["patient"] == "waiting"


@step(timeout_seconds=30)
def slow() -> int:
    workshops[0].clock.advance(31)
    return int(act("slow", 1))


@step(timeout_seconds=30, retries=1)
def slow_twice() -> int:
    ran.append("slow_twice")
    if ran.count("slow_twice") == 1:
        workshops[0].clock.advance(31)
        gates["slow_twice"].wait(20)
    return ran.count("slow_twice")


def test_a_step_over_its_time_fails() -> None:
    workshop = Workshop()
    workshops.append(workshop)
    gates["slow"] = threading.Event()
    walked = workshop.go([slow])
    assert walked.status == "failed"
    assert walked.run.error
    assert walked.run.error.kind == "StepTimedOut"
    assert "'slow' was still running after 30 seconds" in walked.run.error.message
    assert workshop.stuck == []


def test_a_step_over_its_time_that_may_be_tried_again_tells_that_it_is_stuck() -> None:
    workshop = Workshop()
    workshops.append(workshop)
    gates["slow_twice"] = threading.Event()
    workshop.on_turn = lambda e: gates["slow_twice"].set() if e.attempt == 2 else None
    walked = workshop.go([slow_twice])
    assert workshop.stuck == ["slow_twice"]
    assert walked.status == "succeeded"
    assert walked.output("slow_twice") == 2
    assert (walked.executions["slow_twice"].attempt, walked.executions["slow_twice"].failures) == (2, 1)


# -- stopping --------------------------------------------------------------------------------------------------------


def test_a_cancelled_walk_records_what_was_at_work() -> None:
    workshop = Workshop()
    gates["clean"] = threading.Event()
    walk = workshop.walk(workshop.plan(STEPS))
    workshop.on_turn = lambda e: walk.cancel() if e.step == "clean" else None
    assert walk.go().value == "cancelled"
    found = {e.step: e.status.value for e in workshop.memory.executions.of_run(walk._run.id)}
    assert found == {"load": "ran", "clean": "cancelled"}
    gates["clean"].set()
    del gates["clean"]
    ran.clear()
    workshop.on_turn = lambda _: None
    resumed = workshop.go(STEPS, run=walk._run.id)
    assert resumed.status == "succeeded"
    assert ran == ["clean", "train", "report"]


def test_a_walk_that_lost_its_lease_writes_nothing_more() -> None:
    workshop = Workshop()
    gates["clean"] = threading.Event()
    walk = workshop.walk(workshop.plan(STEPS))

    def take(execution: Any) -> None:
        if execution.step == "clean":
            workshop.hold(walk._run.id)
            gates["clean"].set()

    workshop.on_turn = take
    with pytest.raises(LeaseLost):
        walk.go()
    found = {e.step: e.status.value for e in workshop.memory.executions.of_run(walk._run.id)}
    assert found == {"load": "ran", "clean": "running"}
    assert workshop.memory.runs.get(walk._run.id).finished_at is None


# -- taking a run up -------------------------------------------------------------------------------------------------


def test_a_failed_run_goes_on_where_it_failed() -> None:
    workshop = Workshop()
    fail["train"] = ValueError("no")
    first = workshop.go(STEPS)
    fail.clear()
    ran.clear()
    walked = workshop.go(STEPS, run=first.id)
    assert walked.status == "succeeded"
    assert ran == ["train", "report"]
    assert walked.run.error is None
    assert workshop.told[:2] == [("load", "reused"), ("clean", "reused")]
    assert walked.steps == dict.fromkeys(["load", "clean", "train", "report"], "ran")
    assert walked.executions["train"].attempt == 2
    assert walked.executions["train"].token == 2


def test_a_run_taken_up_with_changed_code_runs_what_is_touched() -> None:
    workshop = Workshop()
    fail["report"] = ValueError("no")
    first = workshop.go(STEPS)
    fail.clear()
    ran.clear()
    values["clean"] = 5
    walked = workshop.go(STEPS, run=first.id, changed=["clean"])
    assert ran == ["clean", "train", "report"]
    assert walked.output("report") == "50 from 2013"


def test_a_run_taken_up_makes_again_what_was_lost() -> None:
    workshop = Workshop()
    fail["report"] = ValueError("no")
    first = workshop.go(STEPS)
    fail.clear()
    ran.clear()
    workshop.memory.blobs.delete([first.executions["load"].output or ""])
    walked = workshop.go(STEPS, run=first.id)
    assert walked.status == "succeeded"
    assert ran == ["load", "report"]


def test_a_run_taken_up_while_a_step_waits_keeps_its_wake_time_and_count() -> None:
    workshop = Workshop()
    values["good after"] = 3
    walk = workshop.walk(workshop.plan([flaky]))
    workshop.on_turn = lambda e: walk.cancel() if e.status is ExecutionStatus.WAITING else None
    walk.go()
    workshop.on_turn = lambda _: None
    (waiting,) = workshop.memory.executions.of_run(walk._run.id)
    assert (waiting.status, waiting.failures) == (ExecutionStatus.WAITING, 1)
    assert waiting.wake_at
    walked = workshop.go([flaky], run=walk._run.id)
    assert walked.status == "succeeded"
    found = walked.executions["flaky"]
    assert (found.attempt, found.failures) == (3, 2)
    assert found.started_at
    assert found.started_at > waiting.wake_at


def test_a_step_that_was_at_work_when_its_worker_died_runs_again() -> None:
    workshop = Workshop()
    walk = workshop.walk(workshop.plan(STEPS))
    workshop.on_turn = lambda e: (_ for _ in ()).throw(RuntimeError("killed")) if e.step == "clean" else None
    with pytest.raises(RuntimeError, match="killed"):
        walk.go()
    workshop.on_turn = lambda _: None
    ran.clear()
    walked = workshop.go(STEPS, run=walk._run.id)
    assert walked.status == "succeeded"
    assert ran == ["clean", "train", "report"]
    assert walked.executions["clean"].attempt == 2


def test_a_run_taken_up_reuses_what_another_run_did_meanwhile() -> None:
    workshop = Workshop()
    fail["train"] = ValueError("no")
    first = workshop.go(STEPS)
    fail.clear()
    second = workshop.go(STEPS)
    ran.clear()
    walked = workshop.go(STEPS, run=first.id)
    assert ran == []
    assert walked.executions["train"].reused_from == second.id


# -- room ------------------------------------------------------------------------------------------------------------


@step(resources=resources(cpus=2))
def wide_one() -> int:
    ran.extend(["+", "-"])
    return 1


@step(resources=resources(cpus=2))
def wide_two() -> int:
    ran.extend(["+", "-"])
    return 1


def test_steps_that_do_not_fit_side_by_side_run_one_after_the_other() -> None:
    walked = Workshop(workers=3).go([wide_one, wide_two])
    assert walked.status == "succeeded"
    first, second = walked.executions["wide_one"], walked.executions["wide_two"]
    events = [event.data["step"] for event in walked.workshop.memory.events.list() if event.kind.startswith("Step")]
    assert events == [first.step, first.step, second.step, second.step]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (resources(cpus=5), "needs cpus=5, this machine gives 4"),
        (resources(memory=10**18), "memory"),
        (resources(gpus=1000), "gpus=1000"),
    ],
)
def test_a_step_that_needs_more_than_there_is_is_refused_at_once(asked: Any, told: str) -> None:
    workshop = Workshop(workers=4)
    with pytest.raises(UsageError, match=told.split(",")[0]) as raised:
        workshop.walk(workshop.plan([step(resources=asked)(load.function)]))
    assert told in str(raised.value)


# -- what a step may ask for -----------------------------------------------------------------------------------------


@step
def seeded(seed: int) -> int:
    return seed


@step
def asking(context: Context) -> dict[str, Any]:
    (context.folder / "scratch").write_text("x")
    return {"run": context.run_id, "step": context.step, "seed": context.seed, "empty": len(os.listdir(context.folder))}


def test_the_seed_goes_to_the_steps_that_ask_and_only_their_keys_depend_on_it() -> None:
    workshop = Workshop()
    first = workshop.go([seeded, asking, load], seed=7)
    assert first.output("seeded") == 7
    assert first.output("asking") == {
        "run": first.id, "step": "asking", "seed": step_seed(7, "asking"), "empty": 1,
    }  # fmt: skip
    assert workshop.go([seeded, asking, load], seed=8).steps == {"seeded": "ran", "asking": "ran", "load": "reused"}


@step
def chatty_one() -> int:
    meeting.wait()
    print("one prints")
    logging.getLogger("one").warning("one logs")
    meeting.wait()
    print("one errs", file=sys.stderr)
    return 1


@step
def chatty_two() -> int:
    meeting.wait()
    print("two prints")
    meeting.wait()
    return 1


def test_each_step_has_a_log_of_its_own_though_they_run_side_by_side() -> None:
    with routed():
        handler = logging.StreamHandler(sys.stderr)
        logging.getLogger("one").addHandler(handler)
        try:
            walked = Workshop().go([chatty_one, chatty_two, load])
        finally:
            logging.getLogger("one").removeHandler(handler)
    assert walked.log("chatty_one") == "one prints\none logs\none errs\n"
    assert walked.log("chatty_two") == "two prints\n"
    assert walked.executions["load"].log is None


@step
def saying() -> int:
    print("said")
    return 1


def test_a_reused_step_shows_the_log_of_when_it_ran() -> None:
    workshop = Workshop()
    with routed():
        first = workshop.go([saying])
        second = workshop.go([saying])
    assert second.steps == {"saying": "reused"}
    assert second.log("saying") == first.log("saying") == "said\n"


def test_every_turn_is_an_event_of_the_run() -> None:
    workshop = Workshop()
    fail["clean"] = ValueError("no")
    walked = workshop.go(STEPS)
    kinds = [event.kind for event in workshop.memory.events.list(subject=f"run:{walked.id}")]
    assert kinds == ["RunRequested", "RunStarted", "StepRunning", "StepRan", "StepRunning", "StepFailed", "RunFailed"]


def test_a_long_chain_is_walked_without_end_of_stack() -> None:
    source = "def s0() -> int: return 0\n"
    source += "".join(f"def s{n}(s{n - 1}: int) -> int: return s{n - 1} + 1\n" for n in range(1, 300))
    names: dict[str, Any] = {"__name__": "chain"}
    exec(compile(source, __file__, "exec"), names)
    steps = [step(names[f"s{n}"]) for n in range(300)]
    walked = Workshop().go(steps[::-1])
    assert walked.output("s299") == 299


def test_a_rejection_beside_a_failure_is_a_failure() -> None:
    workshop = Workshop()
    fail["load"], fail["beside"] = Rejected("too few"), ValueError("no")
    gates["load"] = threading.Event()
    workshop.on_turn = lambda e: gates["load"].set() if e.status is ExecutionStatus.FAILED else None
    walked = workshop.go([load, beside])
    assert (walked.status, walked.run.error and walked.run.error.kind) == ("failed", "ValueError")


def test_what_ran_from_files_saved_after_it_was_loaded_is_not_reused(tmp_path: Path) -> None:
    workshop = Workshop()
    source = tmp_path / "helper.py"
    source.write_text("")
    code = {"load": Reached("code", frozenset({source}))}
    saved = datetime.fromtimestamp(source.stat().st_mtime, UTC)
    for loaded_at, known in ((saved + timedelta(seconds=1), True), (saved - timedelta(seconds=1), False)):
        ready = replace(workshop.plan([load], fresh=True), codes=code, loaded_at=loaded_at)
        walk = workshop.walk(ready)
        walk.go()
        [execution] = workshop.memory.executions.of_run(walk._run.id)
        assert execution.status is ExecutionStatus.RAN
        assert (execution.key is not None) == known
        workshop.clock.advance(1)


def test_a_run_taken_up_closes_steps_that_the_pipeline_no_longer_has() -> None:
    workshop = Workshop()
    fail["beside"] = ValueError("no")
    first = workshop.go([load, beside])
    second = workshop.go([load], run=first.id)
    assert (second.status, second.steps) == ("succeeded", {"load": "ran", "beside": "cancelled"})


def test_a_failure_tells_what_caused_it() -> None:
    workshop = Workshop()
    error = ValueError("no rows")
    error.__cause__ = OSError("the disk was gone")
    fail["load"] = error
    told = workshop.go([load]).run.error
    assert told
    assert "the disk was gone" in told.traceback
    assert "direct cause" in told.traceback
