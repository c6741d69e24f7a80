"""Processes side by side: started again when they end, ended together, and never left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import SOURCE

ABOVE = """
import json, sys
from loopwright.core.clock import SystemClock
from loopwright.processes import Part, Processes

class Told:
    def say(self, *told):
        print(json.dumps(told), flush=True)
    def said(self, name, pid, line):
        self.say("said", name, pid, line)
        return not line.startswith("not yet")
    def ended(self, name, pid, how, rest_seconds):
        self.say("ended", name, pid, how, rest_seconds)
    def stopping(self):
        self.say("stopping")

grace, vital, scripts = json.loads(sys.argv[1])
parts = [Part(name=name, command=lambda script=script: [sys.executable, "-c", script], is_vital=name == vital)
         for name, script in scripts.items()]
sys.exit(Processes(parts, clock=SystemClock(), listener=Told(), grace_seconds=grace).run())
"""
AT_WORK = """
import sys
from loopwright.core.clock import SystemClock
from loopwright.processes import Bell
bell = Bell(lifeline=True, clock=SystemClock(), grace_seconds=0.3)
print("at work", flush=True)
"""
RESTING = AT_WORK + "bell.is_over(60)\nprint('finished', flush=True)\n"
BUSY = AT_WORK + "import time\ntime.sleep(60)\n"
STUBBORN = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('at work', flush=True)\ntime.sleep(60)\n"


@contextmanager
def above(scripts: dict[str, str], *, grace: float = 10.0, vital: str = "") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", ABOVE, json.dumps([grace, vital, scripts])],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str], count: int) -> list[Any]:
    """So many more of the things it tells."""
    assert process.stdout
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def rest_of(process: subprocess.Popen[str]) -> list[Any]:
    out, _ = process.communicate(timeout=30)
    return [json.loads(line) for line in out.splitlines()]


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_gone(pids: list[int], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while any(map(is_there, pids)):
        assert time.monotonic() < until, "a process was left behind"
        time.sleep(0.02)


def test_a_process_that_is_killed_is_started_again_and_the_others_go_on() -> None:
    with above({"one": RESTING, "two": RESTING}) as process:
        first = {name: pid for _, name, pid, _ in said(process, 2)}
        os.kill(first["one"], signal.SIGKILL)
        (_, name, pid, how, rest), (_, again, new, line) = said(process, 2)
        assert (name, pid, rest) == ("one", first["one"], 0.5)
        assert "SIGKILL" in how
        assert (again, line) == ("one", "at work")
        assert new != first["one"]
        assert is_there(first["two"])
        process.terminate()
        assert process.wait(20) == 0


def test_one_that_ends_again_and_again_is_started_ever_more_seldom() -> None:
    with above({"one": "import sys\nsys.exit(3)"}) as process:
        ended = said(process, 3)
    assert [(how, rest) for _, _, _, how, rest in ended] == [
        ("ended with exit code 3", rest) for rest in (0.5, 1.0, 2.0)
    ]


def test_told_to_end_all_finish_what_they_began() -> None:
    with above({"one": RESTING, "two": RESTING}) as process:
        pids = [pid for _, _, pid, _ in said(process, 2)]
        process.terminate()
        told = rest_of(process)
        assert told[0] == ["stopping"]
        assert sorted(one[3] for one in told[1:]) == ["finished", "finished"]
        assert process.returncode == 0
        assert_gone(pids)


def test_a_process_that_does_not_end_is_killed_after_its_grace() -> None:
    with above({"one": STUBBORN}, grace=0.2) as process:
        [(_, _, pid, _)] = said(process, 1)
        process.terminate()
        assert process.wait(20) == 0
        assert_gone([pid])


def test_told_a_second_time_all_end_at_once() -> None:
    with above({"one": STUBBORN, "two": BUSY}, grace=600) as process:
        pids = [pid for _, _, pid, _ in said(process, 2)]
        process.terminate()
        assert said(process, 1) == [["stopping"]]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert_gone(pids)


def test_killed_themselves_they_leave_nobody_behind() -> None:
    with above({"resting": RESTING, "busy": BUSY}) as process:
        pids = [pid for _, _, pid, _ in said(process, 2)]
        process.kill()
        process.wait()
        assert_gone(pids)


def test_a_vital_part_that_cannot_begin_ends_all_with_its_code() -> None:
    vital = "import sys\nprint('not yet')\nsys.exit(7)"
    with above({"vital": vital, "other": RESTING}, vital="vital") as process:
        told = rest_of(process)
    assert process.returncode == 7
    [ended] = [one for one in told if one[0] == "ended"]
    assert ended[1] == "vital"
    assert ended[3:] == ["ended with exit code 7", None]


def test_a_part_that_has_no_use_is_not_started_again_and_the_others_go_on() -> None:
    with above({"one": "import sys\nsys.exit(2)", "two": RESTING}) as process:
        told = sorted(said(process, 2))
        assert told[0][:2] == ["ended", "one"]
        assert told[0][4] is None
        assert told[1][3] == "at work"
        process.terminate()
        rest_of(process)
    assert process.returncode == 2


def test_where_no_part_has_a_use_it_ends() -> None:
    with above({"one": "import sys\nsys.exit(2)"}) as process:
        rest_of(process)
    assert process.returncode == 2


def test_ctrl_c_in_a_terminal_reaches_the_one_above_alone() -> None:
    with above({"one": RESTING}) as process:
        [(_, _, pid, _)] = said(process, 1)
        assert os.getpgid(pid) == os.getsid(pid) == pid
        process.send_signal(signal.SIGINT)
        assert rest_of(process)[-1][3] == "finished"
