"""A controller of releases that is killed at random moments, and begun again, ends where an unbroken one does."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.street import LOOP, PaperLog, Street

from loopwright import system
from loopwright.core.clock import SystemClock, turn
from loopwright.core.version import Arm
from loopwright.predictions import failures, journal, labels
from loopwright.predictions.failures import Failure
from loopwright.predictions.following import Follower
from loopwright.predictions.journal import Journal, Line
from loopwright.predictions.labels import Label
from loopwright.rollout.moving import Standing
from loopwright.rollout.plan import Canary
from loopwright.rollout.replaying import replayed
from loopwright.system import System
from loopwright.testing import HandClock

CLOCK = SystemClock()
PLAN = Canary(shadow="1h", hold="1h", shares=[0.049, 1.0], watch="3h", hold_back=0.05)
HOURS, PATIENCE_SECONDS = 12, 60
_WORK = """
import sys
from pathlib import Path
from loopwright import system
from loopwright.core.clock import FileClock
from loopwright.rollout.reconciler import Releases

folder, clock = Path(sys.argv[1]), FileClock(Path(sys.argv[1]) / "clock")
with system.open(folder, clock=clock) as opened:
    releases = Releases(stores=opened.stores, workspace=opened.workspace, clock=clock)
    begun = None
    while True:
        if clock.now() == begun:
            clock.sleep(0.005)
            continue
        begun = clock.now()
        releases.reconcile()
        (folder / "passed.new").write_text(begun.isoformat())
        (folder / "passed.new").replace(folder / "passed")
"""


class JournalLog(PaperLog):
    """Into the files of a workspace, as a gateway writes them."""

    def __init__(self, workspace: Path, clock: HandClock) -> None:
        super().__init__()
        self._follower = Follower(workspace, LOOP)
        kinds = ((Line, journal.FOLDER), (Failure, failures.FOLDER), (Label, labels.FOLDER))
        self._journals = {kind: Journal(workspace / folder, clock, limit_bytes=200_000) for kind, folder in kinds}

    def write(self, one: Line | Failure | Label) -> None:
        self._journals[type(one)].append(LOOP, [one])

    def read(self, cursor: str = "", most: int | None = None, *, rows: bool = True) -> Any:
        return self._follower.read(cursor, most, rows=rows)

    def at_end(self) -> str:
        return self._follower.at_end()

    def close(self) -> None:
        for each in self._journals.values():
            each.close()


@dataclass
class Controller:
    """A process that may die."""

    folder: Path

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        command = [sys.executable, "-c", _WORK, str(self.folder)]
        with (self.folder / "told").open("ab") as told:
            self._process = subprocess.Popen(command, stderr=told)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def wait(self, until: str) -> None:
        """For a pass that began no earlier."""
        begun = CLOCK.monotonic()
        while CLOCK.monotonic() - begun < PATIENCE_SECONDS:
            with suppress(FileNotFoundError):
                if (self.folder / "passed").read_text() >= until:
                    return
            assert self._process.poll() is None, (self.folder / "told").read_text()
            CLOCK.sleep(0.005)
        raise AssertionError("the controller does not go on")


def lived(folder: Path, kills: random.Random | None) -> tuple[System, Street]:
    """A release from its beginning to its end. A pass is waited for after each hour."""
    folder.mkdir()
    clock = HandClock()
    turn(folder / "clock", clock.now())
    opened = system.open(folder, clock=clock)
    log = JournalLog(opened.workspace, clock)
    street = Street(folder / "made", clock=clock, log=log, given=opened.stores)
    street.start(PLAN)
    controller = Controller(folder)
    controller.wait(clock.now().isoformat())
    for _ in range(HOURS):
        street.hour(900, fails=some, errs=some_other)
        turn(folder / "clock", clock.now())
        if kills is not None:
            CLOCK.sleep(kills.random() * 0.06)
            controller.kill()
            controller.begin()
        controller.wait(clock.now().isoformat())
    controller.kill()
    log.close()
    return opened, street


def some(number: int, _arm: Arm) -> bool:
    return number % 45 == 0


def some_other(number: int, _arm: Arm) -> bool:
    return number % 11 == 0


def test_a_controller_killed_a_dozen_times_ends_as_an_unbroken_one_and_counts_nothing_twice(tmp_path: Path) -> None:
    told = []
    for kills in (None, random.Random(11)):
        opened, street = lived(tmp_path / ("whole" if kills is None else "killed"), kills)
        release = opened.stores.releases.get(LOOP)
        state = Standing.of(release).state
        counted = (state.requests, state.in_stage, state.guards, state.units, state.successes, state.failures)
        told.append((street.verdicts(), street.arms(), counted, state.scored, state.in_a_row))
        assert all(one.is_same for one in replayed(opened.stores, release))
        opened.close()
    assert told[0] == told[1], street.standing().state.decisions
    assert told[0][0] == ["begin", "ramp", "promote", "finish"], [one.reason for one in state.decisions]
