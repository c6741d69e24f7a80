"""The supervisor with real processes that do nothing: who dies is replaced, who is told to go goes, nobody is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "supervised.py"


class Family:
    """A supervisor and what became of its workers."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(workers), str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def born(self) -> list[tuple[int, int]]:
        """Place and process of every worker there was, in any order."""
        names = [file.name.split("-") for file in self.folder.glob("worker-*")]
        return [(int(number), int(pid)) for _, number, pid in names]

    def alive(self) -> list[tuple[int, int]]:
        return sorted(one for one in self.born() if is_alive(one[1]))

    def told(self, pid: int) -> str:
        (file,) = self.folder.glob(f"worker-*-{pid}")
        return file.read_text()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may go between the opening and the reading
        return False


def until(holds: Callable[[], object], seconds: float = 10) -> None:
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() < begun + seconds, "it did not come to pass"
        time.sleep(0.01)


@contextmanager
def family(folder: Path, workers: int = 2) -> Iterator[Family]:
    made = Family(folder, workers)
    with made.process:
        try:
            yield made
        finally:
            made.process.kill()
    until(lambda: not made.alive(), 15)  # nobody outlives it


def test_it_is_ready_once_all_workers_are_and_ends_with_them(tmp_path: Path) -> None:
    with family(tmp_path, 3) as found:
        assert found.ready() == "ready {'flights': [1]}"
        assert [number for number, _ in found.alive()] == [0, 1, 2]
        found.process.send_signal(signal.SIGTERM)
        assert found.process.wait(5) == 0
        assert found.alive() == []


@pytest.mark.parametrize(("number", "said"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGUSR1, "flights v2 hangs")])
def test_a_worker_that_ends_is_replaced_and_the_next_one_knows_why(
    tmp_path: Path, number: signal.Signals, said: str
) -> None:
    with family(tmp_path) as found:
        found.ready()
        (_, first), second = found.alive()
        os.kill(first, number)
        until(lambda: len(found.born()) == 3 and len(found.alive()) == 2)
        assert second in found.alive()
        ((_, new),) = set(found.alive()) - {second}
        until(lambda: said in found.told(new))
        assert str(first) in found.told(new)


@pytest.mark.parametrize(
    ("number", "runs", "crashed"),
    [
        (signal.SIGSEGV, "flights:2", "flights:2"),
        (signal.SIGABRT, "flights:2 flights:2", "flights:2"),
        (signal.SIGUSR1, "flights:2", "flights:2"),
        (signal.SIGSEGV, "flights:1 flights:2", ""),
        (signal.SIGSEGV, "", ""),
        (signal.SIGKILL, "flights:2", ""),
    ],
)
def test_the_next_worker_knows_of_which_version_the_one_before_died(
    tmp_path: Path, number: signal.Signals, runs: str, crashed: str
) -> None:
    (tmp_path / "runs").write_text(runs)
    with family(tmp_path, 1) as found:
        found.ready()
        ((_, first),) = found.alive()
        os.kill(first, number)
        until(lambda: len(found.born()) == 2 and len(found.alive()) == 1)
        ((_, new),) = found.alive()
        until(lambda: (f"running {crashed}" if crashed else str(first)) in found.told(new))
        until(lambda: (tmp_path / "crashed").read_text() == crashed)


def test_workers_that_crash_again_and_again_are_started_ever_more_rarely(tmp_path: Path) -> None:
    with family(tmp_path) as found:
        found.ready()
        (tmp_path / "crash").touch()
        for _, pid in found.alive():
            os.kill(pid, signal.SIGKILL)
        time.sleep(3)
        assert 4 <= len(found.born()) <= 12
        (tmp_path / "crash").unlink()
        until(lambda: len(found.alive()) == 2, 15)


def test_a_first_worker_that_cannot_begin_ends_it_all_with_its_code(tmp_path: Path) -> None:
    (tmp_path / "refuse").touch()
    with family(tmp_path, 1) as found:
        assert found.process.wait(10) == 3


def test_a_rolling_restart_replaces_one_after_the_other(tmp_path: Path) -> None:
    with family(tmp_path) as found:
        found.ready()
        before = found.alive()
        found.process.send_signal(signal.SIGHUP)
        least = 2
        while not (len(found.born()) == 4 and len(found.alive()) == 2):
            least = min(least, len(found.alive()))
        assert least == 2
        assert not set(before) & set(found.alive())
        assert [number for number, _ in found.alive()] == [0, 1]


def test_a_rolling_restart_to_what_cannot_begin_leaves_the_old_ones(tmp_path: Path) -> None:
    with family(tmp_path) as found:
        found.ready()
        before = found.alive()
        (tmp_path / "refuse").touch()
        found.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert found.alive() == before


def test_a_rolling_restart_to_one_that_answers_for_fewer_loops_leaves_the_old_ones(tmp_path: Path) -> None:
    with family(tmp_path) as found:
        found.ready()
        before = found.alive()
        (tmp_path / "torn").write_text("flights fares")
        found.process.send_signal(signal.SIGHUP)
        until(lambda: len(found.born()) == 3 and found.alive() == before)
        time.sleep(0.5)
        assert (len(found.born()), found.alive()) == (3, before)  # it goes no further, until it is told to again
        (tmp_path / "torn").write_text("fares")  # which nobody answered for before
        found.process.send_signal(signal.SIGHUP)
        until(lambda: len(found.born()) == 5 and len(found.alive()) == 2 and not set(before) & set(found.alive()))


def test_a_loop_that_came_to_a_worker_while_it_ran_is_not_rolled_away(tmp_path: Path) -> None:
    with family(tmp_path) as found:
        found.ready()
        before = found.alive()
        (tmp_path / "fares").touch()
        time.sleep(0.5)  # for the workers to see and tell it
        (tmp_path / "torn").write_text("fares")
        found.process.send_signal(signal.SIGHUP)
        until(lambda: len(found.born()) == 3 and found.alive() == before)
        time.sleep(0.5)
        assert (len(found.born()), found.alive()) == (3, before)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_being_told_twice_ends_it_at_once(tmp_path: Path, second: signal.Signals) -> None:
    with family(tmp_path) as found:
        (tmp_path / "deaf").touch()
        found.ready()
        found.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert found.process.poll() is None
        found.process.send_signal(second)
        found.process.wait(2)
        assert found.alive() == []


def test_workers_go_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with family(tmp_path) as found:
        found.ready()
        found.process.kill()
        until(lambda: not found.alive(), 3)
