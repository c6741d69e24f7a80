"""The rhythm of a reconciler: who leads, when it rests, and what becomes of its failures. No time passes."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from loopwright.core.stores import Leaders
from loopwright.errors import DataError, StoreUnavailable
from loopwright.reconciler import LEASE_SECONDS, Troubles, keep, seat_here
from loopwright.testing import HandClock, memory_stores


@dataclass
class Counting:
    """Counts its passes; `failures` of the first ones raise."""

    failures: dict[int, Exception] = field(default_factory=dict)
    passes: int = 0
    on_pass: Callable[[], None] = lambda: None
    name: str = "counting"

    def reconcile(self) -> int:
        self.passes += 1
        self.on_pass()
        if self.passes in self.failures:
            raise self.failures[self.passes]
        return 0


@dataclass
class Rests:
    """Lets time pass by hand, and says when it is over: after so many rests."""

    most: int
    clock: HandClock = field(default_factory=HandClock)
    seconds: list[float] = field(default_factory=list)
    beside: Callable[[], None] = lambda: None

    def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        self.clock.advance(seconds)
        self.beside()
        return len(self.seconds) >= self.most


def kept(
    reconciler: Counting, rests: Rests, leaders: Leaders | None = None, holder: str = "a", seconds: float = 1.0
) -> list[bool]:
    told: list[bool] = []
    keep(
        reconciler,
        leaders=leaders or memory_stores().leaders,
        holder=holder,
        clock=rests.clock,
        seconds=seconds,
        is_over=rests,
        on_lead=told.append,
    )
    return told


def test_a_pass_is_made_at_once_and_then_after_every_rest() -> None:
    reconciler, rests = Counting(), Rests(5)
    assert kept(reconciler, rests, seconds=2.0) == [True]
    assert reconciler.passes == 5
    assert rests.seconds == [2.0] * 5


def test_a_failure_is_told_and_the_rest_doubles_until_a_pass_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    unreachable = StoreUnavailable("the store does not answer")
    reconciler, rests = Counting(dict.fromkeys((1, 2, 3), unreachable)), Rests(5)
    with caplog.at_level(logging.INFO):
        kept(reconciler, rests)
    assert rests.seconds == [2.0, 4.0, 8.0, 1.0, 1.0]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "ERROR", "INFO"]
    assert "counting failed (3 in a row): the store does not answer" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_mistake_of_ours_is_told_with_its_place_once_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    reconciler = Counting(dict.fromkeys((1, 2), ZeroDivisionError("by nought")))
    kept(reconciler, Rests(3))
    assert reconciler.passes == 3
    assert caplog.text.count("Traceback") == 1


def test_a_rest_after_many_failures_is_a_minute() -> None:
    rests = Rests(40)
    kept(Counting(dict.fromkeys(range(1, 41), StoreUnavailable("gone"))), rests)
    assert rests.seconds[-1] == 60.0
    assert sorted(rests.seconds) == rests.seconds


def test_one_of_two_leads_and_the_other_follows_until_it_leaves() -> None:
    leaders, first, second = memory_stores().leaders, Counting(), Counting()
    clock, told = HandClock(), list[list[bool]]()

    def after_each_rest_of_the_first() -> None:
        told.append(kept(second, Rests(1, clock), leaders, "b"))

    kept(first, Rests(10, clock, beside=after_each_rest_of_the_first), leaders, "a")
    assert (first.passes, second.passes) == (10, 0)
    assert told == [[False]] * 10
    assert kept(second, Rests(1, clock), leaders, "b") == [True]
    assert second.passes == 1


def test_a_follower_takes_over_when_the_leader_falls_silent() -> None:
    leaders, follower, rests = memory_stores().leaders, Counting(), Rests(20)
    assert leaders.take("counting", "one that was killed", rests.clock.now(), LEASE_SECONDS)
    assert kept(follower, rests, leaders, "b") == [False, True]
    assert follower.passes == 20 - LEASE_SECONDS


def test_two_of_one_host_and_one_process_number_have_seats_of_their_own() -> None:
    clock = HandClock()  # as two containers have them, at one moment
    assert seat_here(clock) != seat_here(clock)


def test_a_leader_that_was_replaced_follows() -> None:
    leaders, reconciler, rests = memory_stores().leaders, Counting(), Rests(12)

    def usurp() -> None:
        if len(rests.seconds) == 2:  # as when the clock of this machine was set back
            leaders.leave("counting", "a")
            leaders.take("counting", "b", rests.clock.now(), 20)

    rests.beside = usurp
    assert kept(reconciler, rests, leaders) == [True, False]
    assert reconciler.passes == 5  # until a third of its own lease is over


def test_a_leader_asks_the_store_seldom() -> None:
    asked: list[datetime] = []
    leaders = memory_stores().leaders

    class Counted:
        def take(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
            asked.append(now)
            return leaders.take(name, holder, now, seconds)

        def leave(self, name: str, holder: str) -> None:
            leaders.leave(name, holder)

    kept(Counting(), Rests(30), Counted())
    assert len(asked) == 30 / (LEASE_SECONDS / 3)


def test_the_lead_is_kept_during_a_pass_that_takes_longer_than_a_lease() -> None:
    renewed, clock = threading.Event(), HandClock()
    leaders = memory_stores().leaders
    takes = 0

    class Counted:
        def take(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
            nonlocal takes
            takes += 1
            if takes > 3:
                renewed.set()
            return leaders.take(name, holder, now, seconds)

        def leave(self, name: str, holder: str) -> None: ...

    def work() -> None:
        while not renewed.is_set():
            clock.advance(1.0)  # the pass takes long by this clock
            renewed.wait(0.001)

    keep(
        Counting(on_pass=work),
        leaders=Counted(),
        holder="a",
        clock=clock,
        seconds=1.0,
        is_over=lambda _: True,
        lease_seconds=0.003,
    )
    assert takes > 3


def test_a_store_that_does_not_answer_ends_nothing_and_is_asked_again() -> None:
    class Gone:
        def take(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
            raise StoreUnavailable("gone")

        def leave(self, name: str, holder: str) -> None:
            raise StoreUnavailable("gone")

    reconciler, rests = Counting(), Rests(4)
    assert kept(reconciler, rests, Gone()) == []
    assert reconciler.passes == 0
    assert rests.seconds == [2.0, 4.0, 8.0, 16.0]


class Trail:
    """What a reconciler says of a loop, over a memory store."""

    def __init__(self) -> None:
        self.clock, self.stores = HandClock(), memory_stores()

    def troubles(self, name: str = "monitor") -> Troubles:
        return Troubles(name, self.stores.events, self.clock, "monitor@here")

    def told(self) -> list[str]:
        return [event.kind for event in self.stores.events.list(subject="loop:flights")]


WRONG, AWAY = DataError("the schema is torn"), StoreUnavailable("the disk is gone")


def test_what_is_wrong_with_a_loop_is_told_once_and_when_it_is_over_also_by_another_process() -> None:
    trail = Trail()
    for _ in range(3):
        trail.troubles().failed("flights", WRONG)
    trail.troubles("release").well("flights")
    assert trail.told() == ["ReconcilerFailed"]
    for _ in range(3):
        trail.troubles().well("flights")
    assert trail.told() == ["ReconcilerFailed", "ReconcilerRecovered"]


def test_the_same_again_after_it_was_over_is_told_again() -> None:
    trail = Trail()
    troubles = trail.troubles()
    for _ in range(2):
        troubles.failed("flights", WRONG)
        trail.clock.advance(60)
        troubles.well("flights")
    assert trail.told() == ["ReconcilerFailed", "ReconcilerRecovered"] * 2


def test_a_store_that_was_away_for_one_pass_is_not_told_of() -> None:
    trail = Trail()
    troubles = trail.troubles()
    for _ in range(3):
        troubles.failed("flights", AWAY)
        troubles.well("flights")
    assert trail.told() == []
    troubles.failed("flights", AWAY)
    troubles.failed("flights", AWAY)
    assert trail.told() == ["ReconcilerFailed"]
