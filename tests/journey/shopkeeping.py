"""A small shop whose loop is deployed and kept by `lw up`, with a clock that is turned by hand: hours of customers,
labels that come after, a rule that turns round, and processes that die whenever they are told to."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tests.conftest import lw
from tests.integration.test_processes import is_there
from tests.journey.test_serve import Project
from tests.journey.test_up import Up, up
from tests.journey.test_workers import until

import loopwright
from loopwright import system
from loopwright.core.clock import FileClock, turn
from loopwright.core.release import Release
from loopwright.demo.client import Client
from loopwright.demo.traffic import Traffic, bodies, identity
from loopwright.errors import LoopwrightError
from loopwright.predictions.following import Follower
from loopwright.rollout.log import Cursor
from loopwright.rollout.moving import Standing
from loopwright.system import System

LOOP = "buys"
VISITS = loopwright.Table("visits", key="id", time="at", label="bought")
BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW_HOURS = 6
_CHUNK, _TRIES = 100, 200
_FILE = """
import loopwright as lw
from sklearn.linear_model import LogisticRegression

visits = lw.Table("visits", key="id", time="at", label="bought")


def train(data: lw.TrainingData, C: float = 1.0):
    # the newest rows alone: they stand in the order of their time
    newest = data.X["at"].arg_sort()[-500:]
    X = data.X.select("pages")[newest]
    return lw_model(C).fit(X, data.y[newest.to_numpy()])


def lw_model(C):
    return LogisticRegression(C=C)


loop = lw.Loop(
    name="buys",
    table=visits,
    train=train,
    judge=lw.Judge("roc_auc", gates=[lw.at_least("roc_auc", 0.7)]),
    release=lw.Canary(shadow="1h", hold="1h", shares=[0.2, 1.0], watch="1h", hold_back=0.1),
    retrain=lw.Retrain([lw.on_decay("roc_auc", by=0.1)], cool_down="6h", least_labels=300),
    monitor=lw.Monitor(window="6h", labels_within="12h"),
)
"""


def visits(since: datetime, count: int, *, first: int, is_turned: bool) -> pl.DataFrame:
    """Of one stretch of time; who looks at much buys, and since the rule has turned round, who looks at little."""
    draw = np.random.default_rng([7, first])
    pages = draw.normal(size=count)
    chance = 1 / (1 + np.exp((4.0 if is_turned else -4.0) * pages))
    return pl.DataFrame(
        {
            "id": [f"v{first + number}" for number in range(count)],
            "at": [since + number * HOUR / count for number in range(count)],
            "pages": pages,
            "bought": draw.random(count) < chance,
        }
    )


def lay(folder: Path) -> None:
    """The project, its first rows, and the deployment; nothing runs yet."""
    folder.mkdir()
    (folder / "buys.py").write_text(_FILE)
    (folder / "loopwright.toml").write_text('clock_file = "clock"\nreconcile_seconds = 0.1\nworkers = 1\n')
    turn(folder / "clock", BEGIN)
    with system.open(folder) as opened:
        opened.tables.append(VISITS, visits(BEGIN - HOUR, 1000, first=0, is_turned=False))
    done = lw("deploy", "buys.py", "--no-tests", cwd=folder, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass
class Blows:
    """Processes that are killed with -9 at moments that are drawn; none without a `seed`."""

    seed: int | None
    struck: list[str] = field(default_factory=list)
    _dead: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)

    @contextmanager
    def on(self, parts: Sequence[str], started: Up, within_seconds: float = 1.0) -> Iterator[None]:
        """One of these parts dies meanwhile, or right after."""
        if self.seed is None or not parts:
            yield
            return
        name = self._draw.choice(parts)
        timer = threading.Timer(self._draw.random() * within_seconds, self._strike, (name, started.pids[name]))
        timer.start()
        try:
            yield
        finally:
            timer.join()
            until(lambda: started.pids[name] not in self._dead)

    def at_work(self, name: str, started: Up, within_seconds: float) -> None:
        """The process that trains dies, or the one that waits for it, some time after it was begun."""
        if self.seed is None:
            return
        until(lambda: workers_of(started.pids["retrain"]))
        [worker] = workers_of(started.pids["retrain"])
        pid = worker if name == "trainer" else started.pids[name]
        threading.Event().wait(self._draw.random() * within_seconds)
        self._strike(name, pid)
        until(lambda: not is_there(worker))

    def _strike(self, name: str, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.struck.append(name)
            self._dead.add(pid)


def workers_of(pid: int) -> list[int]:
    """Those that train, below the part that lets them."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(one) for task in Path(f"/proc/{pid}/task").iterdir()
                for one in (task / "children").read_text().split()]  # fmt: skip
    return []


@dataclass
class Shop:
    """`hour` lets customers come; the clock stands in between."""

    folder: Path
    opened: System
    started: Up
    project: Project
    blows: Blows
    hours: int = 0
    asked: int = 1000
    is_turned: bool = False
    answers: dict[str, str] = field(default_factory=dict)
    """The prediction that a visitor was told, by his own name."""

    @property
    def now(self) -> datetime:
        return FileClock(self.folder / "clock").now()

    def turn(self, length: timedelta) -> None:
        turn(self.folder / "clock", self.now + length)

    def hour(self, count: int, *, kills: Sequence[str] = ()) -> None:
        """So many visitors, then the hour is over, and what they did is told; the controller has read it all then."""
        since = BEGIN + self.hours * HOUR
        rows = visits(since, count, first=self.asked, is_turned=self.is_turned)
        self.asked, self.hours = self.asked + count, self.hours + 1
        until(self.follows)
        turn(self.folder / "clock", since + timedelta(minutes=5))
        with self.blows.on(kills, self.started):
            self._ask(rows)
            turn(self.folder / "clock", since + HOUR)
            self.opened.tables.append(VISITS, rows.with_columns(bought=pl.lit(None, pl.Boolean)))
            self._label(rows)
        until(self.is_read)

    def _ask(self, rows: pl.DataFrame) -> None:
        asked = rows.drop("bought").with_columns(pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")).to_dicts()
        for place in range(0, len(asked), _CHUNK):
            part = asked[place : place + _CHUNK]
            found = self._sent(bodies(part, lambda row: str(row["id"])))
            self.answers |= {row["id"]: identity(one) for row, one in zip(part, found, strict=True)}

    def _sent(self, asked: Sequence[bytes]) -> list[bytes]:
        """One after the other, so that a machine that stalls slows single requests; asked again where the gateway was
        gone before it answered."""
        for _ in range(_TRIES):
            with suppress(LoopwrightError), Traffic(self.project.url, LOOP, connections=1) as traffic:
                return traffic.send(asked)
            self.opened.clock.sleep(0.1)
        raise AssertionError("the gateway does not come back")

    def _label(self, rows: pl.DataFrame) -> None:
        told = [
            {"prediction_id": self.answers[one["id"]], "label": one["bought"]}
            for one in rows.select("id", "bought").to_dicts()
        ]
        for _ in range(_TRIES):
            with suppress(LoopwrightError, OSError), Client(self.project.url) as client:
                assert client.post("/v1/labels", {"labels": told})["accepted"] == len(told)
                return
            self.opened.clock.sleep(0.1)
        raise AssertionError("the gateway takes no labels")

    def follows(self) -> bool:
        """Whether the gateway is there, and answers by the newest route."""
        route = self.opened.stores.routes.current(LOOP)
        with suppress(OSError):
            status, told = self.project.get(f"/v1/loops/{LOOP}")
            return bool(status == 200 and route and told["route"]["number"] == route.number)
        return False

    def is_read(self) -> bool:
        """Whether the release that goes on has seen everything that happened."""
        release = self.release
        if release is None or release.ended_at is not None:
            return True
        log = Cursor.parse(str(release.state["cursor"])).log
        found = Follower(self.opened.workspace, LOOP).read(log)
        return not (found.lines or found.failures or found.labels)

    @property
    def release(self) -> Release | None:
        return next(iter(self.opened.stores.releases.list(LOOP, limit=1)), None)

    def standing(self) -> Standing:
        return Standing.of(self.opened.stores.releases.get(LOOP))

    def closed(self) -> bool:
        """Whether the monitors looked at every window that is over."""
        progress = self.opened.stores.progress.get(f"monitor:{LOOP}")
        if progress is None or not progress.value.get("next"):
            return False
        return self.now - datetime.fromisoformat(progress.value["next"]) < WINDOW_HOURS * HOUR

    def window(self, count: int) -> None:
        """To the end of a window of the monitors, and a minute beyond it: they have looked at it then."""
        for _ in range(WINDOW_HOURS):
            self.hour(count // WINDOW_HOURS)
        self.turn(timedelta(minutes=1))
        until(self.closed)

    def serves(self, version: int) -> bool:
        route = self.opened.stores.routes.current(LOOP)
        return route is not None and route.champion == version and self.follows()

    def verdicts(self) -> list[str]:
        told = self.opened.stores.events.list(subject=None, limit=100_000, kinds=("ReleaseMoved",))
        return [str(one.data["verdict"]) for one in told]

    def kinds(self) -> Counter[str]:
        return Counter(one.kind for one in self.opened.stores.events.list(limit=100_000))

    def say(self, *words: str) -> Any:
        """What `lw` says of it, as JSON."""
        done = lw(*words, "--json", cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


@contextmanager
def kept(folder: Path, seed: int | None = None) -> Iterator[Shop]:
    """The shop of a project that is laid, while `lw up` keeps its loop."""
    with system.open(folder) as opened:
        project = Project(folder, opened)
        with up(project) as started:
            yield Shop(folder, opened, started, project, Blows(seed))
