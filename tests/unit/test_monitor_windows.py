"""Windows whose labels are waited for: many of them, of another length, and not all in memory."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from tests.unit.monitoring import DAY, FIRST, LOOP, World

from loopwright.monitor import maturing
from loopwright.monitor.declare import MOST_WAITING, Monitor
from loopwright.monitor.state import State
from loopwright.monitor.windows import Pending, Window, window_of
from loopwright.predictions.joining import Joiner

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def detector_labels(world: World) -> int:
    kept = world.stores.progress.get(f"monitor:{LOOP}")
    assert kept is not None
    return int(kept.value["decay"]["detector"]["labels"])


@pytest.mark.parametrize(("before", "after"), [("1d", "12h"), ("1d", "1h"), ("1h", "1d"), ("5h", "3h")])
def test_windows_of_another_length_lose_no_label_and_count_none_twice(tmp_path: Path, before: str, after: str) -> None:
    world = World(tmp_path, monitor=Monitor(window=before))
    asked, later = [], []
    for _ in range(6):
        new = world.ask(world.flights(60))
        world.answer(new[:40])
        asked.append(new)
        world.pass_days(0.3)
    world.deploy(Monitor(window=after))
    for new in asked:
        later += new[40:]
    world.answer(later)
    for _ in range(4):
        world.answer(world.ask(world.flights(20)))
        world.pass_days(0.5)
    while world.monitors.reconcile():
        pass
    spans = sorted((one.since, one.until) for one in world.found("operation", "requests"))
    assert all(until <= since for (_, until), (since, _) in pairwise(spans))
    assert sum(one.number or 0 for one in world.found("operation", "requests")) == 440
    assert all(one.number == 1.0 for one in world.found("quality", "coverage"))
    assert detector_labels(world) == 440


def test_a_clock_set_back_into_a_longer_window_does_not_look_at_its_end_twice() -> None:
    day = window_of(FIRST, DAY)
    state = State(length=DAY, next=day.until, pending=(Pending(window=day, age=0, rows=9),), spans=(FIRST,))
    shorter = State.of(state.to_dict(), HOUR)
    assert shorter.next == day.until
    assert shorter.at(FIRST + 6 * HOUR).next == day.until


def test_as_many_windows_are_told_again_as_may_be_declared() -> None:
    Monitor(window="1s", labels_within=f"{MOST_WAITING}s")
    state = State(length=SECOND)
    for place in range(MOST_WAITING):
        state = state.passed(Window(since=FIRST + place * SECOND, until=FIRST + (place + 1) * SECOND), {1: 1})
    assert len(state.pending) == MOST_WAITING
    assert state.pending[0].window.since == FIRST


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were read at once, each time."""
    rows, joined = list[int](), Joiner.joined

    def counted(self: Joiner, **asked: object) -> pl.DataFrame:
        found = joined(self, **asked)
        rows.append(len(found))
        return found

    monkeypatch.setattr(Joiner, "joined", counted)
    return rows


def test_windows_that_are_not_due_count_as_well_where_those_around_them_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: list[int]
) -> None:
    monkeypatch.setattr(maturing, "_AT_ONCE", 1000)
    world = World(tmp_path, monitor=Monitor(window="1h", labels_within="30d", slices=[]))
    for _ in range(14):
        world.ask(world.flights(150))
        world.pass_days(1 / 24)
    assert max(read) <= 1000
    assert max(read) > 150  # few small ones are read together
