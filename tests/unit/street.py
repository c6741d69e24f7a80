"""A street of customers before a gateway of fakes, with a clock turned by hand: what a release lives through."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.unit.bundles import Works

from loopwright.core.clock import Ulids
from loopwright.core.event import Cause, Event
from loopwright.core.release import Release
from loopwright.core.stores import Stores
from loopwright.core.version import Arm
from loopwright.predictions.failures import Failure
from loopwright.predictions.journal import Line
from loopwright.predictions.labels import Label
from loopwright.registry.promote import promote
from loopwright.rollout.log import Log
from loopwright.rollout.moving import Standing
from loopwright.rollout.plan import Canary, Plan
from loopwright.rollout.reconciler import Releases
from loopwright.rollout.starting import start
from loopwright.testing import HandClock, memory_stores

LOOP = "flights"
QUICK = Canary(hold="1h", shares=[0.049, 1.0], watch="2h", hold_back=0.05)


@dataclass
class Found:
    lines: Sequence[Line]
    failures: Sequence[Failure]
    labels: Sequence[Label]
    cursor: str
    is_more: bool = False


@dataclass
class PaperLog:
    """What was predicted, in the order it was written. The cursor is how many were read."""

    written: list[Line | Failure | Label] = field(default_factory=list)
    is_readable: bool = True

    def write(self, one: Line | Failure | Label) -> None:
        self.written.append(one)

    def read(self, cursor: str = "", most: int | None = None, *, rows: bool = True) -> Found:
        if not self.is_readable:
            raise OSError("the disk is gone")
        first = int(cursor or 0)
        found = self.written[first : first + (most or len(self.written))]
        return Found(
            [one for one in found if isinstance(one, Line)],
            [one for one in found if isinstance(one, Failure)],
            [one for one in found if isinstance(one, Label)],
            str(first + len(found)),
            is_more=first + len(found) < len(self.written),
        )

    def at_end(self) -> str:
        if not self.is_readable:
            raise OSError("the disk is gone")
        return str(len(self.written))


Behaviour = Callable[[int, Arm], bool]
"""Of the request of that number, whether the arm's version does badly at it."""


def never(_number: int, _arm: Arm) -> bool:
    return False


@dataclass
class Street:
    """`hour` lets so many units ask, one after the other, and their labels come."""

    folder: Path
    clock: HandClock = field(default_factory=HandClock)
    log: PaperLog = field(default_factory=PaperLog)
    asked: int = 0
    given: Stores | None = None
    beside: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
    """Other files of both versions' bundles."""
    tells_route: bool = False
    """Whether its gateway says by which revision of the route it answered: all but old ones do."""

    slow: Behaviour = field(default=lambda _number, _arm: False)
    """Who takes ten times as long."""

    def __post_init__(self) -> None:
        self.stores: Stores = self.given or memory_stores(self.clock)
        self.works = Works(self.stores, self.folder)
        self.ulids = Ulids(self.clock)
        self.works.version(beside=self.beside[0])
        promote(self.stores, LOOP, None, self.cause())
        self.challenger = self.works.version(beside=self.beside[1]).number
        self.reconciler = self.another()

    def cause(self, actor: str = "ann", reason: str = "") -> Cause:
        return Cause(actor=actor, at=self.clock.now(), reason=reason)

    def another(self) -> Releases:
        """A controller that remembers nothing."""
        return Releases(stores=self.stores, workspace=self.folder, clock=self.clock, log=self.logs)

    def logs(self, _loop: str) -> Log:
        return self.log

    def start(self, plan: Plan = QUICK) -> Release:
        version = self.stores.versions.get(LOOP, f"v{self.challenger}")
        return start(self.stores, self.log, version, plan, self.cause(), self.clock)

    def hour(
        self,
        requests: int = 400,
        *,
        fails: Behaviour = never,
        errs: Behaviour | None = None,
        hours: float = 1.0,
        slow: Behaviour | None = None,
        label: bool = True,
    ) -> None:
        """Requests over an hour, of units that ask once; the labels come right after, if at all."""
        self.slow = slow or never
        for _ in range(requests):
            self.clock.advance(hours * 3600 / requests)
            self.request(f"unit-{self.asked}", fails=fails, errs=errs or never, label=label)

    def request(self, unit: str, *, fails: Behaviour = never, errs: Behaviour = never, label: bool = True) -> str:
        self.asked += 1
        route = self.stores.routes.current(LOOP)
        assert route is not None
        ulid = self.ulids.next()
        arm = route.choose(unit)
        if fails(self.asked, arm):
            self._fail(ulid, arm, unit)
            return ulid
        self._answer(ulid, arm, unit, errs)
        for shadow in route.shadows:
            self._answer(ulid, shadow, unit, errs)
        if label:
            self.label(ulid, True)
        return ulid

    def scored(self, unit: str, scores: Mapping[int, float], label: bool | None, row: Mapping[str, Any]) -> str:
        """A request that each version answers with a probability of its own, and its label, if it has one."""
        self.asked += 1
        route = self.stores.routes.current(LOOP)
        assert route is not None
        ulid = self.ulids.next()
        for arm in (route.choose(unit), *route.shadows):
            share = scores[arm.version]
            self.log.write(
                Line(
                    id=f"{ulid}.0",
                    at=self.clock.now(),
                    loop=LOOP,
                    version=arm.version,
                    digest=f"{arm.version:064x}",
                    arm=arm.name,
                    row=row,
                    unit=unit,
                    label=share > 0.5,
                    probabilities={"false": 1 - share, "true": share},
                    shadow=arm.shadow,
                    route=self._route(),
                )
            )
        if label is not None:
            self.label(ulid, label)
        return ulid

    def label(self, ulid: str, value: bool | float, **more: Any) -> None:
        self.log.write(Label(label=value, at=self.clock.now(), origin="test", prediction_id=f"{ulid}.0", **more))

    def _answer(self, ulid: str, arm: Arm, unit: str, errs: Behaviour) -> None:
        said = not errs(self.asked, arm)
        self.log.write(
            Line(
                id=f"{ulid}.0",
                at=self.clock.now(),
                loop=LOOP,
                version=arm.version,
                digest=f"{arm.version:064x}",
                arm=arm.name,
                row={"x": 1.0},
                unit=unit,
                label=said,
                probabilities={"false": 0.3 + 0.0 * arm.version, "true": 0.7} if said else {"false": 0.7, "true": 0.3},
                shadow=arm.shadow,
                route=self._route(),
                latency_ms=(50.0 if self.slow(self.asked, arm) else 5.0) + self.asked % 50 / 10,
            )
        )

    def _route(self) -> int | None:
        found = self.stores.routes.current(LOOP) if self.tells_route else None
        return found.number if found else None

    def _fail(self, ulid: str, arm: Arm, unit: str) -> None:
        self.log.write(
            Failure(id=ulid, at=self.clock.now(), loop=LOOP, version=arm.version, digest=f"{arm.version:064x}",
                    arm=arm.name, kind="error", reason="it raised", unit=unit, route=self._route())
        )  # fmt: skip

    def standing(self) -> Standing:
        return Standing.of(self.stores.releases.get(LOOP))

    def moves(self) -> list[Event]:
        return [one for one in self.stores.events.list(limit=100_000) if one.kind == "ReleaseMoved"]

    def verdicts(self) -> list[str]:
        return [str(one.data["verdict"]) for one in self.moves()]

    def arms(self) -> list[tuple[str, int, float]]:
        route = self.stores.routes.current(LOOP)
        assert route is not None
        return [(arm.name, arm.version, round(arm.share, 6)) for arm in route.arms]
