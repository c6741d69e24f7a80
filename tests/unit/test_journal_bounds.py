"""A journal that cannot be written, or not in time: how long answers wait for it, what they get, and what is told."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_journal import Book, a_line

from loopwright.core.clock import SystemClock
from loopwright.errors import StoreUnavailable
from loopwright.gateway.notices import Notices
from loopwright.predictions import journal, reading
from loopwright.predictions.health import tell
from loopwright.predictions.journal import Journal, Terms
from loopwright.predictions.writing import CLOSE, Hand, is_closed
from loopwright.testing import HandClock, memory_stores

PATIENCE = 0.2


def book(workspace: Path, **terms: Any) -> Book:
    return Book(workspace, terms=Terms(**terms))


def test_work_that_is_done_in_time_is_done_and_its_error_is_told() -> None:
    hand, done = Hand(5.0), list[int]()
    hand.do(lambda: done.append(1), done.clear)

    def fail() -> None:
        raise StoreUnavailable("no space")

    with pytest.raises(StoreUnavailable, match="no space"):
        hand.do(fail, done.clear)
    hand.do(lambda: done.append(2), done.clear)
    assert done == [1, 2]
    hand.stop()


def test_work_that_hangs_is_given_up_in_time_others_are_refused_at_once_and_it_is_undone_in_the_end() -> None:
    hand, may_go, seen = Hand(PATIENCE), threading.Event(), list[str]()

    def hang() -> None:
        may_go.wait()
        seen.append("done")

    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="more than"):
        hand.do(hang, lambda: seen.append("undone"))
    assert PATIENCE <= time.monotonic() - begun < PATIENCE + 0.5
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="still hangs"):
        hand.do(lambda: seen.append("next"), lambda: None)
    assert time.monotonic() - begun < PATIENCE / 2
    may_go.set()
    deadline = time.monotonic() + 5
    while "undone" not in seen and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen == ["done", "undone"]
    time.sleep(0.05)
    hand.do(lambda: seen.append("next"), lambda: None)
    assert seen[-1] == "next"
    hand.stop()


class Disk:
    """A file system of its own, whose writes hang while it is frozen: not even a signal ends them."""

    def __init__(self, image: Path, mount: Path) -> None:
        self.mount = mount
        image.write_bytes(bytes(16 << 20))
        mount.mkdir()
        self.call("mkfs.ext4", "-q", str(image))
        self.call("mount", "-o", "loop", str(image), str(mount))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.call("fsfreeze", "-f", str(self.mount))
        try:
            yield
        finally:
            self.call("fsfreeze", "-u", str(self.mount))

    def call(self, *words: str) -> None:
        subprocess.run(words, check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    try:
        made = Disk(tmp_path / "image", tmp_path / "mount")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a file system that can be frozen cannot be mounted here: {error}")
    yield made
    made.call("umount", "-l", str(made.mount))


def test_a_store_that_hangs_costs_one_request_its_patience_and_the_next_ones_nothing(disk: Disk) -> None:
    made, waited = book(disk.mount, patience_seconds=PATIENCE), []
    kept = made.predict()
    with disk.frozen():
        for _ in range(5):
            begun = time.monotonic()
            with pytest.raises(StoreUnavailable, match="cannot be written"):
                made.predict(rows=3)
            waited.append(time.monotonic() - begun)
        health = made.journal.health()
        made.journal.close_old()  # hangs neither
    assert PATIENCE <= waited[0] < PATIENCE + 0.5
    assert max(waited[1:]) < PATIENCE / 2
    assert (health.is_degraded, health.refused, health.unrecorded) == (True, 15, 0)
    after = as_soon_as_it_goes(made)
    assert [line.id for line in reading.read(disk.mount, "flights").lines] == kept + after
    made.journal.close()


def test_a_store_that_hangs_stops_no_answer_where_answers_go_without_it(disk: Disk) -> None:
    made, waited = book(disk.mount, patience_seconds=PATIENCE, when_full="answer"), []
    kept = made.predict()
    with disk.frozen():
        for _ in range(3):
            begun = time.monotonic()
            made.predict()
            waited.append(time.monotonic() - begun)
    assert waited[0] < PATIENCE + 0.5
    assert max(waited[1:]) < PATIENCE / 2
    assert made.journal.health().unrecorded == 3
    as_soon_as_it_goes(made)
    assert kept[0] in {line.id for line in reading.read(disk.mount, "flights").lines}
    made.journal.close()


def as_soon_as_it_goes(made: Book) -> list[str]:
    deadline = time.monotonic() + 5
    while True:
        try:
            return made.predict()
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_predictions_are_answered_without_a_record_where_that_is_configured_and_counted(small_disk: Path) -> None:
    made = book(small_disk, when_full="answer", patience_seconds=5.0)
    big = [a_line(f"{made.journal.new_id()}.0", made.clock, unit="u" * (3 << 20))]
    small = [a_line(f"{made.journal.new_id()}.0", made.clock)]
    assert made.journal.append("flights", small) is True
    assert made.journal.append("flights", big) is False
    assert made.journal.append("flights", big) is False
    assert made.journal.health().unrecorded == 2
    assert [line.id for line in reading.read(small_disk, "flights").lines] == [small[0].id]
    made.journal.close()


def test_a_full_disk_refuses_with_a_reason_and_is_told_once_as_degraded_and_once_as_recovered(small_disk: Path) -> None:
    made, stores = book(small_disk, patience_seconds=5.0), memory_stores(HandClock())
    notices = Notices(lambda: stores.events, made.clock)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="No space left on device"):
            made.predict(unit="u" * (3 << 20))
        tell(notices.note, made.journal.changes())
    kept = made.predict()
    tell(notices.note, made.journal.changes())
    made.clock.advance(10)
    for _ in range(3):
        tell(notices.note, made.journal.changes())
    notices.write()
    told = stores.events.list(subject="journal:predictions")
    assert [event.kind for event in told] == ["JournalDegraded", "JournalRecovered"]
    assert "No space left" in told[0].cause.reason
    assert told[1].data["refused"] == 3
    assert not made.journal.health().is_degraded
    assert [line.id for line in reading.read(small_disk, "flights").lines] == kept
    made.journal.close()


def test_a_share_of_the_requests_is_recorded_always_the_same_ones(tmp_path: Path) -> None:
    made = book(tmp_path, share=0.25)
    ids = [one for _ in range(2000) for one in made.predict(rows=2)]
    found = {line.id for line in reading.read(tmp_path, "flights").lines}
    assert found == {one for one in ids if made.journal.takes(one)}
    assert 0.2 < len(found) / len(ids) < 0.3
    assert {one[:26] for one in found} & {one[:26] for one in set(ids) - found} == set()
    made.journal.close()


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (1.0, 50)])
def test_none_or_all_may_be_recorded(tmp_path: Path, share: float, count: int) -> None:
    made = book(tmp_path, share=share)
    for _ in range(50):
        made.predict()
    assert len(reading.read(tmp_path, "flights").lines) == count
    made.journal.close()


def test_a_file_is_locked_while_its_writer_lives_and_let_go_when_it_is_old_or_asked_for(tmp_path: Path) -> None:
    made = book(tmp_path, close_seconds=60)
    made.predict()
    made.journal.close_old()
    assert [is_closed(file) for file in made.files] == [False]
    made.clock.advance(61)
    made.journal.close_old()
    assert [is_closed(file) for file in made.files] == [True]
    made.predict()
    (made.files[0].parent / CLOSE).touch()
    made.journal.close_old()
    assert [is_closed(file) for file in made.files] == [True, True]
    made.journal.close()


def test_a_write_through_another_thread_costs_little(tmp_path: Path) -> None:
    made = Journal(tmp_path / journal.FOLDER, SystemClock(), terms=Terms(patience_seconds=5.0))
    begun = time.perf_counter()
    for _ in range(500):
        made.append_encoded("flights", b"{}\n", 1)
    assert (time.perf_counter() - begun) / 500 < 0.005
    made.close()
    assert sum(file.stat().st_size for file in journal.files(tmp_path / journal.FOLDER, "flights")) == 1500
    assert os.listdir(tmp_path / journal.FOLDER) == ["flights"]
