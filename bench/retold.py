"""Releases through the real reader of the prediction log and the reconciler: lines, failures and labels are written as
a gateway writes them, and what is taken back is what reader, evidence and controller take back together.

Users come again and again, a few far more often than most; a fifth of them is hard for both versions, and some fail
often. Rates and traffic rise by day and fall by night, and labels come hours later. All is seeded; users have names of
their own in each release, so that chance sends others to the challenger each time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import numpy as np

from bench.figure import Figure, Section
from loopwright.core.event import Cause
from loopwright.core.release import Release
from loopwright.core.stores import Stores
from loopwright.core.version import CHAMPION, Arm, Route, Version, VersionStatus
from loopwright.predictions.failures import Failure
from loopwright.predictions.journal import Line
from loopwright.predictions.labels import Label
from loopwright.rollout.controller import begin
from loopwright.rollout.decision import Verdict
from loopwright.rollout.log import Cursor
from loopwright.rollout.moving import Standing
from loopwright.rollout.plan import Canary
from loopwright.rollout.reconciler import Releases
from loopwright.rollout.replay import plan_to_dict
from loopwright.rollout.routing import route as route_of
from loopwright.rollout.state import ReleaseState, Status
from loopwright.testing import HandClock, memory_stores

LOOP = "retold"
PLAN = Canary(shadow="2h", hold="4h", shares=[0.1, 0.25, 0.5, 1.0], watch="12h", hold_back=0.05)
_DIGESTS = {1: f"{1:064x}", 2: f"{2:064x}"}
_MOST_HOURS = 168
RELEASES, FIRST_SEED = 40, 1_000
"""Of each setting. What was looked at while this was written has seeds below."""
Delay = Callable[[int, float], float]
"""Hours until the label of a version's prediction comes, by a chance from 0 to 1."""


def alike(_version: int, chance: float) -> float:
    return -6 * math.log(1 - chance)


def sooner(version: int, chance: float) -> float:
    """Those of the challenger."""
    return (4 if version == 2 else 8) + 4 * chance


def later(version: int, chance: float) -> float:
    return sooner(3 - version, chance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What happens to requests, and when their labels come."""

    name: str
    late: Delay | None = alike
    """None: no label ever comes, and the loop has none."""
    times: float = 1.0
    """How often as often the challenger is wrong, fails and is slow."""
    users: int = 3_000
    requests: int = 500
    """In an hour, on average."""
    wrong: tuple[float, float] = (0.35, 0.04)
    """Of users that are hard, a fifth of all, and of the others."""
    fails: float = 0.01
    slow: float = 0.01
    swing: float = 0.9
    """How far rates rise by day and fall by night; traffic does so by two thirds of that."""
    partner: float = 0.0
    """The share of requests that are one user's."""


AS_GOOD = (
    Setting(name="labels hours late"),
    Setting(name="no labels", late=None),
    Setting(name="its labels come sooner", late=sooner),
    Setting(name="one user asks for half, no labels", late=None, partner=0.5),
)
WORSE = (
    Setting(name="twice as bad", times=2.0),
    Setting(name="twice as bad, no labels", times=2.0, late=None),
    Setting(name="twice as bad, its labels come later", times=2.0, late=later),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Went:
    """How one release ended."""

    status: Status
    touched: int
    """Requests that the challenger answered."""
    reason: str
    held: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A page of the log."""

    lines: Sequence[Line] = ()
    failures: Sequence[Failure] = ()
    labels: Sequence[Label] = ()
    cursor: str = ""
    is_more: bool = False


@dataclass
class Pages:
    """A prediction log in memory. The cursor is the number of pages that were read."""

    written: list[Found] = field(default_factory=list)

    def read(self, cursor: str = "", most: int | None = None, *, rows: bool = True) -> Found:
        place = int(cursor or 0)
        if place >= len(self.written):
            return Found(cursor=str(place))
        return replace(self.written[place], cursor=str(place + 1), is_more=place + 1 < len(self.written))

    def at_end(self) -> str:
        return str(len(self.written))


class Town:
    """The users of one loop, the gateway that answers them, and the controller."""

    def __init__(self, setting: Setting, seed: int, plan: Canary = PLAN) -> None:
        self.setting, self.draw = setting, np.random.default_rng(seed)
        self.names = [f"{seed}-{number}" for number in range(setting.users)]
        hard, others = setting.wrong
        self.wrong = np.where(self.draw.random(setting.users) < 0.2, hard, others).tolist()
        self.broken = np.minimum(self.draw.gamma(0.3, 1 / 0.3, setting.users), 10.0).tolist()
        self.clock, self.log = HandClock(), Pages()
        self.began = self.clock.now()
        self.stores = memory_stores(self.clock)
        cause = Cause(actor="me", at=self.began)
        begun(self.stores, self.log, plan, cause, has_label=setting.late is not None)
        self.releases = Releases(stores=self.stores, workspace=Path(), clock=self.clock, log=lambda _: self.log)
        self._asked = 0
        self._rise = 0.0
        self._page: tuple[list[Line], list[Failure]] = ([], [])
        self._due: list[tuple[datetime, str]] = []

    def hour(self) -> ReleaseState:
        """What is asked and answered in it, and the labels that come; then the controller looks."""
        self._rise = self.setting.swing * math.sin((self.clock.now() - self.began) / timedelta(hours=24) * 2 * math.pi)
        requests = int(self.setting.requests * (1 + self._rise * 2 / 3))
        users = (self.setting.users * self.draw.random(requests) ** 2).astype(int).tolist()
        if self.setting.partner:
            users = np.where(self.draw.random(requests) < self.setting.partner, 0, users).tolist()
        chances = self.draw.random((requests, 6)).tolist()
        self._page, route = ([], []), self.stores.routes.current(LOOP)
        assert route is not None
        for user, chance in zip(users, chances, strict=True):
            self.clock.advance(3600 / requests)
            self._request(route, user, chance)
        self.log.written.append(Found(*self._page, list(self._labels())))
        self.releases.reconcile()
        return self.state

    @property
    def state(self) -> ReleaseState:
        newest = self.stores.releases.list(LOOP, limit=1)[0]
        return Standing.of(newest).state

    def _request(self, route: Route, user: int, chance: Sequence[float]) -> None:
        self._asked += 1
        identity, arm = f"{self._asked:026d}", route.choose(self.names[user])
        if chance[0] < self.setting.fails * self.broken[user] * (1 + self._rise) * self._times(arm):
            self._page[1].append(Failure(**self._told(route, arm, user), id=identity, kind="error", reason="it raised"))
            return
        for one, other in zip((arm, *route.shadows), chance[1:3], strict=False):
            is_right = other >= min(0.9, self.wrong[user] * (1 + self._rise) * self._times(one))
            self._answer(route, one, user, f"{identity}.0", chance, is_right=is_right)
        if self.setting.late is not None:
            late = timedelta(hours=self.setting.late(arm.version, chance[5]))
            heappush(self._due, (self.clock.now() + late, f"{identity}.0"))

    def _answer(
        self, route: Route, arm: Arm, user: int, identity: str, chance: Sequence[float], *, is_right: bool
    ) -> None:
        """All that is predicted comes true where it is right."""
        is_slow = chance[3] < self.setting.slow * (1 + self._rise) * self._times(arm)
        share = (1 + chance[4]) / 2 if is_right else chance[4] / 2
        self._page[0].append(
            Line(
                **self._told(route, arm, user),
                id=identity,
                row={},
                label=is_right,
                probabilities={"false": 1 - share, "true": share},
                latency_ms=5 + chance[4] + 100 * is_slow,
                shadow=arm.shadow,
            )
        )

    def _told(self, route: Route, arm: Arm, user: int) -> dict[str, Any]:
        return {
            "at": self.clock.now(),
            "loop": LOOP,
            "version": arm.version,
            "digest": _DIGESTS[arm.version],
            "arm": arm.name,
            "unit": self.names[user],
            "route": route.number,
        }

    def _times(self, arm: Arm) -> float:
        return self.setting.times if arm.version == 2 else 1.0

    def _labels(self) -> Iterator[Label]:
        while self._due and self._due[0][0] <= self.clock.now():
            at, identity = heappop(self._due)
            yield Label(label=True, at=at, origin="retold", prediction_id=identity)


def release(setting: Setting, seed: int, plan: Canary = PLAN, hours: int = _MOST_HOURS) -> Went:
    """As it stands when it has ended, or after so many hours."""
    town = Town(setting, seed, plan)
    state = town.state
    for _ in range(hours):
        state = town.hour()
        if state.ended is not None:
            break
    held = tuple(one.reason for one in state.decisions if one.verdict is Verdict.HOLD)
    return Went(status=state.status, touched=state.requests.canary, reason=state.decisions[-1].reason, held=held)


def begun(stores: Stores, log: Pages, plan: Canary, cause: Cause, *, has_label: bool) -> None:
    """Two versions of a loop, the first of them champion, and the release of the second."""
    for number, digest in _DIGESTS.items():
        version = Version(
            loop=LOOP, digest=digest, files={}, status=VersionStatus.ACCEPTED, run_id=f"run-{number}",
            created_at=cause.at, created_by=cause.actor, metric="accuracy", value=None, reason="", task="binary",
            lineage={},
        )  # fmt: skip
        stores.versions.add(version, [], cause)
    alone = (Arm(name=CHAMPION, version=1, share=1.0),)
    stores.routes.change(Route(loop=LOOP, arms=alone, at=cause.at, actor=cause.actor), {CHAMPION: 1}, cause, None)
    state, decision = begin(plan, loop=LOOP, challenger=2, champion=1, at=cause.at)
    cursor = Cursor(begun=log.at_end(), log=log.at_end(), began_at=cause.at, route=2)
    state = replace(state, cursor=cursor.text(), has_label=has_label)
    record = Release(
        id="0" * 26, loop=LOOP, challenger=2, champion=1, plan=plan_to_dict(plan), state=state.to_dict(),
        status=state.status.value, route=1, created_at=cause.at, created_by=cause.actor,
    )  # fmt: skip
    stores.releases.begin(record, route_of(state, decision, cause), 1, cause, "ReleaseMoved", {})


def measure(releases: int = RELEASES) -> Iterator[Section]:
    """In as many processes as there are cores."""
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        as_good, worse = ({one.name: _went(processes, one, releases) for one in group} for group in (AS_GOOD, WORSE))
        yield from _as_good(as_good)
        yield from _worse(worse)


def _went(processes: ProcessPoolExecutor, setting: Setting, releases: int) -> list[Went]:
    """Worse ones are soon over, and half as many tell enough."""
    count = releases // 2 if setting in WORSE else releases
    return list(processes.map(partial(release, setting), range(FIRST_SEED, FIRST_SEED + count)))


def _as_good(went: Mapping[str, Sequence[Went]]) -> Iterator[Section]:
    from bench.release import upper_bound

    all_ = [one for found in went.values() for one in found]
    back = sum(one.status is Status.ROLLED_BACK for one in all_)
    bound = Figure(what="of all settings", samples=[upper_bound(back, len(all_))], unit="%", target=5.0)
    title = f"{len(all_):,} releases read from the log, no worse"
    yield Section(title=f"{title}: taken back, upper 95 % bound", figures=[bound])
    for told, is_so in _TOLD.items():
        shares = {name: sum(map(is_so, found)) / len(found) for name, found in went.items()}
        figures = [Figure(what=name, samples=[share], unit="%") for name, share in shares.items()]
        yield Section(title=f"{title}: {told}", figures=figures)


_TOLD: Mapping[str, Callable[[Went], bool]] = {
    "taken back": lambda one: one.status is Status.ROLLED_BACK,
    "promoted": lambda one: one.status is Status.PROMOTED,
    "held for a time": lambda one: bool(one.held),
}


def _worse(went: Mapping[str, Sequence[Went]]) -> Iterator[Section]:
    back = {name: [one for one in found if one.status is Status.ROLLED_BACK] for name, found in went.items()}
    shares = [Figure(what=name, samples=[len(back[name]) / len(found)], unit="%") for name, found in went.items()]
    yield Section(title="releases read from the log, worse: taken back", figures=shares)
    touched = [
        Figure(what=name, samples=[one.touched for one in found] or [math.inf], unit="") for name, found in back.items()
    ]
    yield Section(title="requests that it answered until then", figures=touched)
