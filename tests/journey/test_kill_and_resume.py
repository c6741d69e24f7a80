"""Runs that are killed, stopped, asked for twice: with real processes, through the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import lw

import loopwright

STEPS = [f"s{number}" for number in range(10)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(Path(__file__).parent / "ten_steps.py", tmp_path / "ten_steps.py")
    return tmp_path


def output_of(folder: Path, step: str) -> Any:
    with loopwright.open(folder) as system:
        executions = {e.step: e for e in system.stores.executions.of_run(system.stores.runs.get("last").id)}
        return json.loads(system.stores.blobs.read(executions[step].output or ""))


def begin(*words: str, cwd: Path, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "loopwright.cli", *words],
        cwd=cwd,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(what: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come about")


@pytest.mark.parametrize("victim", ["worker", "both"])
@pytest.mark.parametrize("step", STEPS)
def test_a_run_killed_in_any_step_and_run_again_does_each_step_once(project: Path, step: str, victim: str) -> None:
    killed = lw("run", "ten_steps.py", cwd=project, DIE_AT=step, VICTIM=victim)
    assert killed.returncode == (1 if victim == "worker" else -signal.SIGKILL)
    again = (
        lw("resume", "last", "--json", cwd=project)
        if victim == "worker"
        else lw("run", "ten_steps.py", "--json", cwd=project)
    )
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert told["status"] == "succeeded"
    before = STEPS.index(step)
    assert [e["status"] for e in told["executions"]] == ["reused"] * before + ["ran"] * (10 - before)
    assert (project / "done.txt").read_text().split() == STEPS
    assert output_of(project, "s9") == 118097  # what an unbroken run gives: 3x + 2 ten times over, from 1
    assert len(json.loads(lw("runs", "--json", cwd=project).stdout)) == 1


def test_a_killed_worker_is_told_with_what_to_do(project: Path) -> None:
    killed = lw("run", "ten_steps.py", cwd=project, DIE_AT="s3", VICTIM="worker")
    assert "SIGKILL" in killed.stderr
    assert "while step 's3' was running" in killed.stderr
    run = json.loads(lw("show", "last", "--json", cwd=project).stdout)
    assert f"lw resume {run['run']}" in killed.stderr
    assert [e["status"] for e in run["executions"]] == ["ran"] * 3 + ["failed"]


def test_a_run_whose_processes_are_both_gone_is_shown_as_interrupted_at_once(project: Path) -> None:
    lw("run", "ten_steps.py", cwd=project, DIE_AT="s3", VICTIM="both")
    listed = json.loads(lw("runs", "--json", cwd=project).stdout)
    assert [run["status"] for run in listed] == ["interrupted"]
    shown = json.loads(lw("show", "last", "--json", cwd=project).stdout)
    assert [e["status"] for e in shown["executions"]] == ["ran"] * 3 + ["interrupted"]


SLOW = """
import time
from pathlib import Path
import loopwright as lw

HERE = Path(__file__).parent

@lw.step
def quick() -> int:
    with (HERE / "done.txt").open("a") as done: done.write("quick ")
    return 1

@lw.step
def slow(quick: int) -> int:
    (HERE / "at-work").touch()
    while not (HERE / "go").exists():
        time.sleep(0.02)
    with (HERE / "done.txt").open("a") as done: done.write("slow ")
    return quick + 1

pipeline = lw.Pipeline([quick, slow])
"""


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    (tmp_path / "slow.py").write_text(SLOW)
    return tmp_path


def test_two_that_run_the_same_at_once_share_one_run(slow: Path) -> None:
    both = [begin("run", "slow.py", cwd=slow) for _ in range(2)]
    first_words = sorted(str(process.stdout and process.stdout.readline()).split()[0] for process in both)
    assert first_words == ["running", "watching"]
    (slow / "go").touch()
    ends = [process.communicate(timeout=30)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all("succeeded: 2 ran" in end for end in ends)
    assert (slow / "done.txt").read_text() == "quick slow "
    assert len(json.loads(lw("runs", "--json", cwd=slow).stdout)) == 1


def test_a_second_run_watches_the_first_and_takes_it_over_when_that_dies(slow: Path) -> None:
    first = begin("run", "slow.py", cwd=slow)
    wait_for((slow / "at-work").exists)
    second = begin("run", "slow.py", cwd=slow)
    assert second.stdout
    assert "watching" in second.stdout.readline()
    first.kill()
    first.communicate()
    while "resuming" not in second.stdout.readline():
        assert second.poll() is None
    (slow / "go").touch()
    _, errors = second.communicate(timeout=30)
    assert second.returncode == 0, errors
    assert (slow / "done.txt").read_text() == "quick slow "


def test_a_worker_that_comes_back_late_cannot_write(slow: Path) -> None:
    first = begin("run", "slow.py", "--set", "lease_seconds=1", "--set", "heartbeat_seconds=0.2", cwd=slow)
    wait_for((slow / "at-work").exists)
    worker = worker_pid(slow)
    os.kill(worker, signal.SIGSTOP)
    try:
        wait_for(lambda: json.loads(lw("runs", "--json", cwd=slow).stdout)[0]["status"] == "interrupted")
        (slow / "go").touch()
        second = lw("run", "slow.py", "--json", cwd=slow)
        assert json.loads(second.stdout)["status"] == "succeeded", second.stdout
        events = len(json.loads(lw("events", "--json", cwd=slow).stdout))
    finally:
        os.kill(worker, signal.SIGCONT)
    _, errors = first.communicate(timeout=30)
    assert first.returncode == 1
    assert "no longer held" in errors
    assert len(json.loads(lw("events", "--json", cwd=slow).stdout)) == events


def worker_pid(folder: Path) -> int:
    shown = json.loads(lw("show", "last", "--json", cwd=folder).stdout)
    return int(shown["lease"]["holder"].split("/")[-2])


def test_a_cancelled_run_stops_and_can_be_resumed(slow: Path) -> None:
    running = begin("run", "slow.py", cwd=slow)
    wait_for((slow / "at-work").exists)
    assert "asked to stop" in lw("cancel", "last", "--because", "wrong data", cwd=slow).stdout
    output, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "cancelled" in output
    told = json.loads(lw("events", "--run", "last", "--json", cwd=slow).stdout)
    assert [e["cause"]["reason"] for e in told if e["kind"] == "RunCancelRequested"] == ["wrong data"]
    (slow / "go").touch()
    assert "1 ran, 1 reused" in lw("resume", "last", cwd=slow).stdout
    assert (slow / "done.txt").read_text() == "quick slow "


def test_a_ctrl_c_cancels_the_run(slow: Path) -> None:
    running = begin("run", "slow.py", cwd=slow)
    wait_for((slow / "at-work").exists)
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=30)
    assert "cancelled" in output
    assert "lw resume" in errors
    assert json.loads(lw("runs", "--json", cwd=slow).stdout)[0]["status"] == "cancelled"


FALLING = """
import ctypes, os, sys, time
from pathlib import Path
import loopwright as lw

HERE = Path(__file__).parent

def first_time(name: str) -> bool:
    mark = HERE / name
    if mark.exists():
        return False
    mark.touch()
    return True

@lw.step
def before() -> int:
    with (HERE / "done.txt").open("a") as done: done.write("before ")
    return 1

@lw.step(retries=1, backoff_seconds=0.1)
def crashes(before: int) -> int:
    if first_time("crashed"):
        ctypes.string_at(0)
    return before + 1

@lw.step(retries=1, backoff_seconds=0.1, timeout_seconds=1)
def hangs(crashes: int) -> int:
    while first_time("hung") or (HERE / "hang-for-ever").exists():
        time.sleep(60)
    return crashes + 1

@lw.step(retries=2, backoff_seconds=0.1)
def fails(hangs: int) -> int:
    if first_time("failed-once") or first_time("failed-twice"):
        raise ValueError(f"no luck with {hangs}")
    return hangs + 1

pipeline = lw.Pipeline([before, crashes, hangs, fails])
"""


def test_retries_survive_crashes_hangs_and_exceptions(tmp_path: Path) -> None:
    (tmp_path / "falling.py").write_text(FALLING)
    done = lw("run", "falling.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIGSEGV" in done.stdout
    assert "still running after 1 seconds" in done.stdout
    assert "ValueError: no luck with 3" in done.stdout
    assert (tmp_path / "done.txt").read_text() == "before "
    assert output_of(tmp_path, "fails") == 4
    attempts = {
        e["step"]: e["attempt"] for e in json.loads(lw("show", "last", "--json", cwd=tmp_path).stdout)["executions"]
    }
    assert attempts == {"before": 1, "crashes": 2, "hangs": 2, "fails": 3}


def test_a_step_that_only_hangs_fails_the_run_in_time(tmp_path: Path) -> None:
    (tmp_path / "falling.py").write_text(FALLING)
    (tmp_path / "crashed").touch()
    (tmp_path / "hang-for-ever").touch()
    started = time.monotonic()
    done = lw("run", "falling.py", cwd=tmp_path)
    assert time.monotonic() - started < 30
    assert done.returncode == 1
    assert "was still running after 1 seconds" in done.stderr
    executions = json.loads(lw("show", "last", "--json", cwd=tmp_path).stdout)["executions"]
    assert [e["status"] for e in executions] == ["ran", "ran", "failed"]


WIDE = """
import os, time
from pathlib import Path
import loopwright as lw

HERE = Path(__file__).parent

def one(number: int) -> int:
    (HERE / f"pid-{number}").write_text(str(os.getpid()))
    time.sleep(60)
    return number

@lw.step
def wide(context: lw.Context) -> list[int]:
    return context.map(one, [1, 2])

pipeline = lw.Pipeline([wide])
"""


def test_no_process_outlives_a_killed_worker(tmp_path: Path) -> None:
    (tmp_path / "wide.py").write_text(WIDE)
    running = begin("run", "wide.py", cwd=tmp_path)
    marks = [tmp_path / "pid-1", tmp_path / "pid-2"]
    wait_for(lambda: all(mark.exists() and mark.read_text() for mark in marks))
    helpers = [int(mark.read_text()) for mark in marks]
    running.kill()
    running.communicate()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in helpers))


CROWD = """
import os, subprocess, time
from pathlib import Path
import loopwright as lw

HERE = Path(__file__).parent

@lw.step
def innocent() -> int:
    while not (HERE / "crashed").exists():
        time.sleep(0.02)
    time.sleep(0.3)
    return 1

@lw.step(retries=1, backoff_seconds=0.1)
def guilty() -> int:
    child = subprocess.Popen(["sleep", "300"])
    (HERE / "child").write_text(str(child.pid))
    if not (HERE / "crashed").exists():
        (HERE / "crashed").touch()
        os._exit(3)
    return 2

pipeline = lw.Pipeline([innocent, guilty])
"""


def test_a_crash_is_not_held_against_steps_beside_it_and_leaves_no_child(tmp_path: Path) -> None:
    (tmp_path / "crowd.py").write_text(CROWD)
    done = lw("run", "crowd.py", "--set", "workers=2", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    child = int((tmp_path / "child").read_text())
    wait_for(lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text())
