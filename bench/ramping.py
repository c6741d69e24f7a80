"""Simulated traffic for the controller of releases: requests, units and what happens to them, seeded.

The controller is the real one: it gets the facts of a few thousand requests at a time, and looks at every event in
them. Beside it, on the same requests, what one might do without it: a z test of the pooled rates at every error, and
a fixed threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np

from loopwright.rollout.controller import begin, decide
from loopwright.rollout.course import Course, course
from loopwright.rollout.facts import Counts, Events, Facts, Row, Split
from loopwright.rollout.plan import Canary
from loopwright.rollout.state import ReleaseState, Status

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = timedelta(hours=3)
_MOST_BATCHES = 120
_Z, _TIMES, _LEAST = 1.645, 1.5, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the champion's requests are like."""

    name: str
    rates: Mapping[str, float]
    """Of each guardrail's events, by request."""
    swing: float = 0.0
    """How far rates and traffic rise by day and fall by night: 0 to 1."""
    users: int = 0
    """Who come again and again, and whose requests end alike; 0: each request is of somebody else."""


_USUAL = {"errors": 0.01, "slow": 0.01, "invalid": 0.0005, "mistakes": 0.05}
SETTINGS = (
    Setting(name="flat", rates=_USUAL),
    Setting(name="day and night", rates=_USUAL, swing=0.9),
    Setting(name="rare events", rates={"errors": 0.0003, "slow": 0.0003, "invalid": 0.0001, "mistakes": 0.001}),
    Setting(name="clustered users", rates=_USUAL, users=20_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """How one release went."""

    status: Status
    touched: int
    """Requests that the challenger answered."""
    batches: int
    z_alarms: bool
    threshold_alarms: bool


@dataclass(slots=True)
class Traffic:
    """Requests from one setting on, batch by batch."""

    setting: Setting
    risks: Mapping[str, float]
    """How many times as often the challenger's requests end so."""
    draw: np.random.Generator
    batch: int = 0
    positions: Array = field(init=False)
    frailty: Array = field(init=False)
    activity: Array = field(init=False)
    met: dict[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        users = self.setting.users
        self.positions = self.draw.random(users)
        self.frailty = np.minimum(self.draw.gamma(0.1, 10.0, users), 20.0)
        self.activity = np.cumsum(self.draw.lognormal(0.0, 1.0, users))
        self.met = {name: np.zeros(users, dtype=bool) for name in (*self.setting.rates, "request")}

    def next(self, share: float, requests: int) -> tuple[Facts, Array, Array]:
        """The facts of so many requests; and of each, whether the challenger answered and whether it failed."""
        began, self.batch = self.batch, self.batch + 1
        requests = max(int(requests * self._times(np.array([began + 0.5]))[0]), _LEAST)
        times = self._times(began + np.arange(requests) / requests)
        units = self._units(requests)
        is_canary = (self.draw.random(requests) if units is None else self.positions[units]) < share
        ended = {name: self._events(name, times, is_canary, units) for name in self.setting.rates}
        now = BEGAN + self.batch * BATCH
        events = tuple(
            Events(guardrail=name, shares=(share,) * len(first), canary=tuple(is_canary[first].tolist()))
            for name, one in ended.items()
            for first in [self._first(name, np.flatnonzero(one), units)]
        )
        seen = is_canary[self._first("request", np.arange(requests), units)]
        facts = Facts(
            now=now,
            known_until=now,
            requests=_counts(is_canary),
            events=events,
            units=(Split(share=share, units=_counts(seen)),),
            row=_row(ended["errors"], is_canary, units),
            champion_row=_row(ended["errors"], ~is_canary, units),
        )
        return facts, is_canary, ended["errors"]

    def _times(self, batches: Array) -> Array:
        """How many times as many as on average."""
        hours = batches * (BATCH / timedelta(hours=1))
        found: Array = 1 + self.setting.swing * np.sin(hours * (2 * np.pi / 24))
        return found

    def _units(self, requests: int) -> Array | None:
        if not self.setting.users:
            return None
        places = self.draw.random(requests) * self.activity[-1]
        found: Array = np.minimum(np.searchsorted(self.activity, places), self.setting.users - 1)
        return found

    def _events(self, name: str, times: Array, is_canary: Array, units: Array | None) -> Array:
        rates = self.setting.rates[name] * times * np.where(is_canary, self.risks.get(name, 1.0), 1.0)
        if units is not None:
            rates = rates * self.frailty[units]
        found: Array = self.draw.random(len(times)) < rates
        return found

    def _first(self, name: str, places: Array, units: Array | None) -> Array:
        """Those of units that were not met before."""
        if units is None:
            return places
        users, firsts = np.unique(units[places], return_index=True)
        fresh = ~self.met[name][users]
        self.met[name][users] = True
        found: Array = np.sort(places[firsts[fresh]])
        return found


def _counts(is_canary: Array) -> Counts:
    canary = int(is_canary.sum())
    return Counts(canary=canary, champion=len(is_canary) - canary)


def _row(failed: Array, chosen: Array, units: Array | None) -> Row:
    """As `Row.of`, for many requests at once."""
    ends = failed[chosen]
    if units is not None and len(ends):
        of = units[chosen]
        again = np.concatenate([[False], ends[1:] & ends[:-1] & (of[1:] == of[:-1])])
        ends = ends[~again]
    if not len(ends):
        return Row()
    wells = np.flatnonzero(~ends)
    failures = int(ends.sum())
    if not len(wells):
        return Row(failures=failures, begins=failures, ends=failures, longest=failures)
    borders = np.concatenate([[-1], wells, [len(ends)]])
    longest = int(np.diff(borders).max()) - 1
    begins, tail = int(wells[0]), len(ends) - 1 - int(wells[-1])
    return Row(successes=len(wells), failures=failures, begins=begins, ends=tail, longest=longest)


def ramp(setting: Setting, seed: int, risks: Mapping[str, float] | None = None, plan: Canary | None = None) -> Ramp:
    """One release to its end, or until it holds for good."""
    plan = plan or Canary(hold="3h", patience="10d")
    follows, traffic = course(plan), Traffic(setting, risks or {}, np.random.default_rng(seed))
    state, _ = begin(plan, loop="simulated", challenger=2, champion=1, at=BEGAN)
    naive = _Naive()
    while state.ended is None and traffic.batch < _MOST_BATCHES:
        facts, is_canary, failed = traffic.next(state.share, _batch(follows, state))
        if not state.watches:
            naive.look(is_canary, failed)
        state, _ = decide(plan, state, facts)
        if any(hold.kind.stays for hold in state.holds):
            break
    return Ramp(
        status=state.status,
        touched=state.requests.canary,
        batches=traffic.batch,
        z_alarms=naive.z_alarms,
        threshold_alarms=naive.threshold_alarms,
    )


def _batch(follows: Course, state: ReleaseState) -> int:
    """Half of what a stage needs at least."""
    if state.watches:
        return 2_000
    stage = follows.stages[state.stage]
    return int(stage.least / stage.share / 2)


@dataclass(slots=True)
class _Naive:
    """What looks at the pooled rates after every error."""

    requests: Array = field(default_factory=lambda: np.zeros(2))
    errors: Array = field(default_factory=lambda: np.zeros(2))
    z_alarms: bool = False
    threshold_alarms: bool = False

    def look(self, is_canary: Array, failed: Array) -> None:
        arms = np.stack([~is_canary, is_canary])
        requests = self.requests[:, None] + np.cumsum(arms, axis=1)
        errors = self.errors[:, None] + np.cumsum(arms & failed, axis=1)
        self.requests, self.errors = requests[:, -1], errors[:, -1]
        looks = failed & (requests[1] >= _LEAST) & (errors.sum(axis=0) >= 5)
        champion, canary = errors[:, looks] / requests[:, looks]
        pooled = errors[:, looks].sum(axis=0) / requests[:, looks].sum(axis=0)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / requests[:, looks]).sum(axis=0))
        self.z_alarms |= bool((canary - champion > _Z * spread).any())
        self.threshold_alarms |= bool((canary > _TIMES * champion).any())
