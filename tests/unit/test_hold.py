"""Holding a run: who lives, and what the heartbeat does when the store or the clock does not."""

import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from loopwright.core.event import Cause
from loopwright.core.run import Lease, Run, RunStatus, is_held
from loopwright.core.stores import Stores
from loopwright.errors import LeaseLost, StoreUnavailable
from loopwright.pipeline import hold
from loopwright.testing import HandClock, memory_stores
from loopwright.testing.conformance import a_lease, cause, dead, start

OWN = hold.this_process()


def with_part(position: int, text: str) -> str:
    """Our own holder with one part from the right replaced: pid 1, start time 0."""
    parts = OWN.rsplit("/", 2)
    parts[2 - position] = text
    return "/".join(parts)


@pytest.mark.parametrize(
    ("holder", "expected"),
    [
        (OWN, True),
        (hold.holder_of(os.getppid()), True),
        (with_part(0, "1"), False),
        (with_part(1, "999999999"), False),
        (with_part(2, "elsewhere"), None),
        (with_part(2, "elsewhere/boot/pid:[1]"), None),
        (with_part(0, "?"), None),
    ],
    ids=[
        "ourselves",
        "our parent",
        "the pid was given anew",
        "no such process",
        "no such machine",
        "another",
        "unknown",
    ],
)
def test_whether_a_holder_lives(holder: str, expected: bool | None) -> None:
    assert hold.is_alive(holder) is expected


def test_a_process_that_ended_and_was_not_waited_for_is_dead() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        holder = hold.holder_of(process.pid)
        assert hold.is_alive(holder) is True
        assert process.stdin
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert hold.is_alive(holder) is False
    assert hold.is_alive(holder) is False


NOW = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize(
    ("seconds", "alive", "expected"),
    [(5, True, True), (5, None, True), (5, False, False), (-1, True, False), (-1, None, False), (0, True, False)],
)
def test_a_lease_holds_until_its_term_unless_its_worker_is_known_to_be_gone(
    seconds: float, alive: bool | None, expected: bool
) -> None:
    lease = Lease(run_id="r", token=1, holder="h", acquired_at=NOW, expires_at=NOW + timedelta(seconds=seconds))
    assert is_held(lease, NOW, lambda _: alive) is expected
    assert not is_held(None, NOW, lambda _: alive)


class Failing:
    """Runs of which heartbeats fail as long as it says so."""

    def __init__(self, stores: Stores) -> None:
        self.runs = stores.runs
        self.error: Exception | None = None

    def heartbeat(self, lease: Lease, expires_at: datetime) -> Run:
        if self.error:
            raise self.error
        return self.runs.heartbeat(lease, expires_at)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runs, name)


@dataclass
class Scene:
    clock: HandClock = field(default_factory=HandClock)
    told: list[str] = field(default_factory=list)
    heard: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.stores = memory_stores(self.clock)
        self.lease = start(self.stores)
        self.runs = Failing(self.stores)

    def heartbeat(self, every_seconds: float = 0.001) -> hold.Heartbeat:
        runs: Any = self.runs
        return hold.Heartbeat(
            runs, self.lease, self.clock, every_seconds=every_seconds, lease_seconds=5,
            on_lost=self.hear("lost"), on_cancel=self.hear("cancel"),
        )  # fmt: skip

    def hear(self, word: str) -> Callable[..., None]:
        def on(*_: object) -> None:
            self.told.append(word)
            self.heard.set()

        return on

    def expires_at(self) -> datetime:
        lease = self.stores.runs.get("first").lease
        assert lease
        return lease.expires_at


def test_a_beat_extends_the_lease_by_its_term() -> None:
    scene = Scene()
    scene.clock.advance(3)
    scene.heartbeat().beat()
    assert scene.expires_at() == scene.clock.now() + timedelta(seconds=5)


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_jump_of_the_clock_loses_nothing(jump: float) -> None:
    """The term is of the time of day, because others must judge it; whether we still beat is not."""
    scene = Scene()
    heartbeat = scene.heartbeat()
    scene.clock.jump(jump)
    heartbeat.beat()
    assert scene.expires_at() == scene.clock.now() + timedelta(seconds=5)
    with scene.heartbeat():
        scene.clock.jump(jump)
    assert scene.told == []


def test_a_run_that_another_took_is_lost() -> None:
    scene = Scene()
    scene.stores.runs.acquire(a_lease(holder="other"), cause(1), [], is_alive=dead)
    with scene.heartbeat():
        assert scene.heard.wait(10)
    assert scene.told == ["lost"]
    with pytest.raises(LeaseLost):
        scene.heartbeat().beat()


def test_a_run_that_this_worker_finished_between_two_beats_is_not_lost() -> None:
    scene = Scene()
    scene.stores.runs.finish(scene.lease, RunStatus.SUCCEEDED, cause(1))
    heartbeat = scene.heartbeat()
    with heartbeat:
        heartbeat._thread.join(10)
    assert scene.told == []


def test_a_cancel_is_heard_once() -> None:
    scene = Scene()
    heartbeat = scene.heartbeat()
    scene.stores.runs.request_cancel("first", Cause(actor="tester", at=scene.clock.now()))
    for _ in range(3):
        heartbeat.beat()
    assert scene.told == ["cancel"]


def test_a_store_that_does_not_answer_is_asked_again_until_the_term_has_passed() -> None:
    scene = Scene()
    scene.runs.error = StoreUnavailable("locked")
    with scene.heartbeat():
        assert not scene.heard.wait(0.02)
        scene.clock.advance(5.1)
        assert scene.heard.wait(10)
    assert scene.told == ["lost"]


def test_a_store_that_answers_again_in_time_loses_nothing() -> None:
    scene = Scene()
    scene.runs.error = StoreUnavailable("locked")
    heartbeat = scene.heartbeat()
    with heartbeat:
        scene.clock.advance(4)
        scene.runs.error = None
    heartbeat.beat()
    assert scene.expires_at() == scene.clock.now() + timedelta(seconds=5)
    assert scene.told == []


def test_an_answer_that_took_long_does_not_lengthen_the_term() -> None:
    """The store wrote a term counted from when it was asked: from there it must be counted here too."""
    scene = Scene()

    class Slow(Failing):
        def heartbeat(self, lease: Lease, expires_at: datetime) -> Run:
            run = super().heartbeat(lease, expires_at)
            scene.clock.advance(4)
            return run

    scene.runs = Slow(scene.stores)
    heartbeat = scene.heartbeat()
    heartbeat.beat()
    scene.runs.error = StoreUnavailable("locked")
    scene.clock.advance(2)
    with heartbeat:
        assert scene.heard.wait(10)
    assert scene.told == ["lost"]
