"""The controller of releases at work: how soon a gateway follows it, and what its passes cost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from bench import promoted
from bench.figure import Figure, Section
from bench.promoted import LOOP, PATH, Promoted
from loopwright import system
from loopwright.core.clock import SystemClock, Ulids, new_id
from loopwright.core.release import Release
from loopwright.core.version import CHAMPION, Arm, Route, Version, VersionStatus
from loopwright.demo.client import starting
from loopwright.predictions.journal import FOLDER, Journal, Line
from loopwright.rollout.asking import ask
from loopwright.rollout.controller import begin
from loopwright.rollout.facts import Move
from loopwright.rollout.log import Cursor
from loopwright.rollout.plan import Canary
from loopwright.rollout.reconciler import Releases, follower
from loopwright.rollout.replay import plan_to_dict
from loopwright.rollout.starting import start
from loopwright.system import System

_PLAN = Canary(hold="12h", shares=[0.5, 1.0])
_CLOCK = SystemClock()
_LOOPS, _LINES = 200, 1_000
_SETTLES_SECONDS = 1.0


def measure(work: Path, rounds: int = 5) -> Iterator[Section]:
    model = promoted.make(work)
    seconds = list(_followed(model, rounds))
    figure = Figure(what="a version that is taken back", samples=seconds, unit="s", target=1.0)
    yield Section(title="from the decision to the last answer of the version", figures=[figure])
    yield Section(title="a pass over all releases", figures=list(_passes(work / "passes")))


@dataclass
class _Asking:
    """Asks without a pause; when each version answered last."""

    url: str
    body: bytes
    last: dict[int, float] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        while not self.stopped.is_set():
            connection.request("POST", PATH, self.body, {"Content-Type": "application/json"})
            told = json.loads(connection.getresponse().read())
            self.last[told["predictions"][0]["version"]] = _CLOCK.monotonic()
        connection.close()


@contextmanager
def _asking(url: str, model: Promoted) -> Iterator[_Asking]:
    """Each request is a unit of its own, so that half of them come to each version."""
    made = _Asking(url, json.dumps({"rows": [dict(model.rows[0])]}).encode())
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.stopped.set()
        thread.join(10)


def _followed(model: Promoted, rounds: int) -> Iterator[float]:
    """Seconds from when the decision was made, before it was written, to when the last answer came."""
    with system.open(model.project) as opened, starting(model.project, _CLOCK) as url, _asking(url(), model) as asked:
        version = opened.stores.versions.get(LOOP, "v2")
        for _ in range(rounds):
            log = follower(opened.workspace, LOOP)
            start(opened.stores, log, version, _PLAN, opened.cause("a measurement"), _CLOCK)
            asked.last.pop(2, None)
            while 2 not in asked.last:
                _CLOCK.sleep(0.02)
            _CLOCK.sleep(_SETTLES_SECONDS)
            decided = _CLOCK.monotonic()
            ask(opened.stores, LOOP, Move.ABORT, opened.cause("measured"))
            _CLOCK.sleep(2 * _SETTLES_SECONDS)
            yield asked.last[2] - decided


def _passes(folder: Path) -> Iterator[Figure]:
    """In SQLite, and the log in files: nothing new of many loops, and new lines of one."""
    for name in ("many", "one"):
        (folder / name).mkdir(parents=True)
    with system.open(folder / "many") as opened:
        controller = _controller(opened, _LOOPS)
        idle = [_seconds(controller) for _ in range(5)]
    yield Figure(what=f"{_LOOPS} releases, nothing new", samples=idle, unit="s", target=1.0)
    with system.open(folder / "one") as opened:
        controller = _controller(opened, 1)
        journal, ulids, busy = Journal(opened.workspace / FOLDER, _CLOCK), Ulids(_CLOCK), list[float]()
        for _ in range(6):
            journal.append("loop-0", [_line(ulids, place) for place in range(_LINES)])
            busy.append(_seconds(controller))
        journal.close()
        idle = [_seconds(controller) for _ in range(20)]
    yield Figure(what=f"one release, {_LINES:,} new lines", samples=busy[1:], unit="ms", target=50.0)
    yield Figure(what="one release, nothing new", samples=idle, unit="ms", target=5.0)


def _controller(opened: System, loops: int) -> Releases:
    """That has looked at all of them once."""
    for number in range(loops):
        _begun(opened, f"loop-{number}")
    controller = Releases(stores=opened.stores, workspace=opened.workspace, clock=_CLOCK)
    controller.reconcile()
    return controller


def _seconds(controller: Releases) -> float:
    begun = _CLOCK.monotonic()
    controller.reconcile()
    return _CLOCK.monotonic() - begun


def _begun(opened: System, loop: str) -> None:
    """A release of a loop, of versions that nobody loads."""
    stores, cause = opened.stores, opened.cause("a measurement")
    for number in (1, 2):
        version = Version(
            loop=loop, digest=f"{number:032x}{hash(loop) % 16**8:032x}", files={}, status=VersionStatus.ACCEPTED,
            run_id="run", created_at=cause.at, created_by=cause.actor, metric="r2", value=None, reason="",
            task="binary", lineage={},
        )  # fmt: skip
        stores.versions.add(version, [], cause)
    arm = Arm(name=CHAMPION, version=1, share=1.0)
    stores.routes.change(Route(loop=loop, arms=(arm,), at=cause.at, actor=cause.actor), {CHAMPION: 1}, cause, None)
    state, _ = begin(_PLAN, loop=loop, challenger=2, champion=1, at=cause.at)
    cursor = Cursor(begun="", log="", began_at=cause.at, route=2)
    arms = (replace(arm, share=0.5), Arm(name="challenger", version=2, share=0.5))
    route = Route(loop=loop, arms=arms, at=cause.at, actor=cause.actor)
    release = Release(
        id=new_id(_CLOCK), loop=loop, challenger=2, champion=1, plan=plan_to_dict(_PLAN),
        state=replace(state, cursor=cursor.text()).to_dict(), status="ramping", route=1, created_at=cause.at,
        created_by=cause.actor,
    )  # fmt: skip
    stores.releases.begin(release, route, 1, cause, "ReleaseMoved", {})


def _line(ulids: Ulids, place: int) -> Line:
    version = 1 + place % 2
    return Line(
        id=f"{ulids.next()}.0", at=_CLOCK.now(), loop="loop-0", version=version, digest=f"{version:064x}",
        arm=(CHAMPION, "challenger")[version - 1], row={"x": 1.0, "carrier": "UA"}, unit=f"unit-{place}", label=True,
        probabilities={"false": 0.3, "true": 0.7}, latency_ms=2.0,
    )  # fmt: skip
