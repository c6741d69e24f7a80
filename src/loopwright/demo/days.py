"""Days of the year as they pass: flights ask before they leave, labels come once they have landed, a week's rows go
into the table, and once a day the reconcilers look at it all, as those of `lw up` do.

The clock is turned six hours at a time. Nothing is asked before the gateway follows the newest route and the shadows
have scored what they were given: there is no time in between in which they could.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from loopwright.core.clock import turn
from loopwright.core.event import Event
from loopwright.demo import traffic
from loopwright.demo.client import Client, follow_route
from loopwright.demo.schedule import Departure, Schedule
from loopwright.demo.story import LABELS_A_REQUEST, LOOP, TABLE
from loopwright.reconciler import Reconciler
from loopwright.system import System

TICK, DAY, WEEK = timedelta(hours=6), timedelta(days=1), timedelta(days=7)
_RECONCILERS = ("monitor", "retrain", "release")
_SHADOWS = re.compile(r"^loopwright_shadow_rows(?:_total)?\{[^}]*\} (\d+)", re.MULTILINE)
_SHADOWS_WAIT_SECONDS = 5.0
_PAGE = 1000


@dataclass(kw_only=True)
class Asked:
    """What was asked so far."""

    ids: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Of predictions, by the month of the flight."""
    waiting: dict[str, str] = field(default_factory=dict)
    """The prediction of each flight that has not landed."""
    labels: int = 0


class Days:
    """From one morning to the next, with `pass_one`."""

    def __init__(
        self, opened: System, clock_file: Path, schedule: Schedule, begin: datetime, hear: Callable[[Event], None]
    ) -> None:
        """`hear` is told every event of the workspace, once and in order."""
        self._opened, self._clock_file, self._schedule, self._hear = opened, clock_file, schedule, hear
        self.now = self._written = begin
        self.asked = Asked()
        self.seconds: dict[str, float] = defaultdict(float)
        """By what was done."""
        self._reconcilers: dict[str, Reconciler] = {name: opened.reconciler(name) for name in _RECONCILERS}
        self._heard = 0
        self._route = 0
        turn(clock_file, begin)

    def reconcile(self) -> None:
        """Every live loop once, by the clock as it stands."""
        for name in _RECONCILERS:
            with self.timed(name):
                self._reconcilers[name].reconcile()
            self.listen()

    def listen(self) -> None:
        """Hear what happened since."""
        while page := self._opened.stores.events.list(after=self._heard, limit=_PAGE):
            self._heard = page[-1].number
            for event in page:
                self._hear(event)

    def pass_one(self, client: Client, asking: traffic.Traffic) -> None:
        """A day of flights, and what the reconcilers make of it in the morning after."""
        for _ in range(DAY // TICK):
            self._turn(self.now)
            self._label(client)
            self._ask(asking)
            self.now += TICK
        self._turn(self.now)
        self._label(client)
        if self.now - self._written >= WEEK:
            self._write()
        self._await_shadows(client)
        self.reconcile()
        self.follow(client)

    def follow(self, client: Client) -> None:
        """Wait until the gateway answers by the newest route."""
        route = self._opened.stores.routes.current(LOOP)
        if route is not None and route.number != self._route:
            with self.timed("route"):
                follow_route(client, LOOP, route.number, self._opened.clock)
            self._route = route.number

    def _turn(self, moment: datetime) -> None:
        turn(self._clock_file, moment)

    def _ask(self, asking: traffic.Traffic) -> None:
        with self.timed("read"):
            leaving = self._schedule.departing(self.now + TICK)
        with self.timed("ask"):
            answers = asking.send([one.body for one in leaving])
            for one, answer in zip(leaving, answers, strict=True):
                self._note(one, traffic.identity(answer))

    def _note(self, one: Departure, prediction: str) -> None:
        self.asked.ids[one.month].append(prediction)
        self.asked.waiting[one.flight] = prediction

    def _label(self, client: Client) -> None:
        """What came true, hours later; of what was cancelled nothing ever does."""
        waiting = self.asked.waiting
        with self.timed("label"):
            told = [
                {"prediction_id": waiting.pop(flight), "label": late}
                for flight, late in self._schedule.landed(self.now)
                if flight in waiting
            ]
            for some in _in_turn(told, LABELS_A_REQUEST):
                self.asked.labels += client.post("/v1/labels", {"labels": some})["accepted"]

    def _write(self) -> None:
        with self.timed("write"):
            rows = self._schedule.flown(self._written, self.now)
            if len(rows):
                self._opened.tables.append(TABLE, rows, batch_id=f"until-{self.now:%Y-%m-%d}")
            self._written = self.now

    def _await_shadows(self, client: Client) -> None:
        route, clock = self._opened.stores.routes.current(LOOP), self._opened.clock
        if route is None or not any(arm.shadow for arm in route.arms):
            return
        with self.timed("shadow"):
            begun, before = clock.monotonic(), -1
            while clock.monotonic() - begun < _SHADOWS_WAIT_SECONDS:
                done = sum(map(int, _SHADOWS.findall(client.text("/metrics"))))
                if done == before:
                    break
                before = done
                clock.sleep(0.1)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        begun = self._opened.clock.monotonic()
        try:
            yield
        finally:
            self.seconds[name] += self._opened.clock.monotonic() - begun


def _in_turn(rows: Sequence[dict[str, object]], each: int) -> list[Sequence[dict[str, object]]]:
    return [rows[first : first + each] for first in range(0, len(rows), each)]
