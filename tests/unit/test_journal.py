"""The journal of predictions: written whole or not at all, found again by id, and read as frames."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from loopwright.core.clock import new_ulid
from loopwright.errors import PredictionNotFound, StoreUnavailable, UsageError
from loopwright.predictions import finding, journal, reading
from loopwright.predictions.journal import Journal, Line
from loopwright.testing import HandClock
from loopwright.testing.clock import START

UNKNOWN = "01KE7Z3W1C9N7V0QWJ4S8YH2TX.0"


def a_line(identity: str, clock: HandClock, **given: Any) -> Line:
    facts: dict[str, Any] = {
        "loop": "flights",
        "version": 1,
        "digest": "d" * 64,
        "arm": "champion",
        "row": {"x": 1.5},
        "value": 2.0,
    }
    return Line(id=identity, at=clock.now(), **(facts | given))


class Book:
    """A journal in a workspace, with a clock that moves with every request."""

    def __init__(self, workspace: Path, **options: Any) -> None:
        self.workspace = workspace
        self.clock = HandClock()
        self.journal = Journal(workspace / journal.FOLDER, self.clock, **options)

    def predict(self, rows: int = 1, *, loop: str = "flights", **given: Any) -> list[str]:
        ulid = self.journal.new_id()
        ids = [f"{ulid}.{row}" for row in range(rows)]
        self.journal.append(loop, [a_line(one, self.clock, loop=loop, **given) for one in ids])
        self.clock.advance(0.001)
        return ids

    @property
    def files(self) -> list[Path]:
        return journal.files(self.workspace / journal.FOLDER, "flights")


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path)
    yield made
    made.journal.close()


def test_ids_sort_by_time_and_within_one_millisecond() -> None:
    clock, ids = HandClock(), [""]
    for _ in range(1000):
        ids.append(new_ulid(clock, ids[-1]))
        clock.jump(random.Random(len(ids)).choice([0, 0, 0.001, -5]))
    assert ids[1:] == sorted(set(ids[1:]))
    assert all(finding.ID.fullmatch(f"{one}.0") for one in ids[1:])


def test_a_line_is_in_the_file_when_append_returns(book: Book) -> None:
    (identity,) = book.predict()
    (line,) = book.files[0].read_bytes().splitlines()
    assert line.startswith(f'{{"id":"{identity}",'.encode())
    assert msgspec.json.decode(line)["row"] == {"x": 1.5}


@pytest.mark.parametrize("name", ["..", "a/b", "/etc", "Flights", "", "a" * 65, "a.b", "a\n", "-a"])
def test_no_text_but_the_name_of_a_loop_becomes_a_folder(book: Book, name: str) -> None:
    with pytest.raises(UsageError, match="no name of a loop"):
        book.predict(loop=name)
    assert not any(book.workspace.iterdir())


def test_a_file_that_has_grown_is_followed_by_another(tmp_path: Path) -> None:
    book = Book(tmp_path, limit_bytes=1000)
    made = [book.predict()[0] for _ in range(20)]
    assert len(book.files) > 2
    assert [line.id for line in reading.read(tmp_path, "flights").lines] == made
    book.journal.close()


def test_each_thread_writes_a_file_of_its_own_in_the_order_of_its_ids(book: Book) -> None:
    def work() -> None:
        for _ in range(200):
            book.predict()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(book.files) == 4
    for file in book.files:
        ids = [msgspec.json.decode(line)["id"] for line in file.read_bytes().splitlines()]
        assert ids == sorted(ids)
        assert len(ids) == 200


def test_a_full_disk_leaves_nothing_half_written_and_the_next_line_goes_well(small_disk: Path) -> None:
    book = Book(small_disk)
    kept = book.predict()
    with pytest.raises(StoreUnavailable, match="No space left on device"):
        book.predict(rows=20_000)
    assert [line.id for line in reading.read(small_disk, "flights").lines] == kept
    after = book.predict(rows=3)
    assert [line.id for line in reading.read(small_disk, "flights").lines] == kept + after
    book.journal.close()


def test_a_disk_that_stays_full_gathers_no_empty_files(small_disk: Path) -> None:
    book = Book(small_disk)
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            book.predict(unit="u" * (3 << 20))
    assert book.files == []
    kept = book.predict()
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            book.predict(unit="u" * (3 << 20))
    book.journal.close()
    assert len(book.files) == 1
    assert [line.id for line in reading.read(small_disk, "flights").lines] == kept


def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / journal.FOLDER).write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailable, match="the journal cannot be written"):
        Book(tmp_path).predict()


def test_a_torn_last_line_is_left_out_and_counted(book: Book) -> None:
    kept = book.predict(rows=2)
    with book.files[0].open("ab") as file:
        file.write(b'{"id":"01KE7Z3W1C9N7V0QWJ4S8YH2TX.0","at":"2026-')
    found = reading.read(book.workspace, "flights")
    assert ([line.id for line in found.lines], found.torn) == (kept, 1)
    assert finding.find(book.workspace, kept[1])["id"] == kept[1]
    with pytest.raises(PredictionNotFound):
        finding.find(book.workspace, "01KE7Z3W1C9N7V0QWJ4S8YH2TX.0")


def test_every_prediction_is_found_by_its_id(tmp_path: Path) -> None:
    book, chance = Book(tmp_path, limit_bytes=5000), random.Random(0)
    made = [
        one
        for _ in range(150)
        for one in book.predict(rows=chance.choice([1, 1, 2, 12]), unit="u" * chance.randint(1, 90))
    ]
    assert len(book.files) > 3
    assert finding.known(tmp_path, [*made, UNKNOWN]) == dict.fromkeys(made, "flights")
    for one in made:
        assert finding.find(tmp_path, one)["id"] == one
    book.journal.close()


def test_however_many_files_there_are_one_is_open_at_a_time(tmp_path: Path) -> None:
    book = Book(tmp_path, limit_bytes=1)
    made = [book.predict()[0] for _ in range(120)]
    assert len(book.files) == 120
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 10, hard))
    try:
        assert finding.known(tmp_path, [*made, UNKNOWN]) == dict.fromkeys(made, "flights")
        assert finding.find(tmp_path, made[0])["id"] == made[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    book.journal.close()


def test_very_many_ids_are_looked_up_at_once(tmp_path: Path) -> None:
    book = Book(tmp_path, limit_bytes=200_000)
    made = [one for _ in range(400) for one in book.predict(rows=50)]
    strange = [f"{one[:26]}.{row}" for one in made[::50] for row in range(50, 175)]
    begun = time.process_time()
    assert finding.known(tmp_path, made + strange) == dict.fromkeys(made, "flights")
    assert time.process_time() - begun < 2
    book.journal.close()


def test_a_prediction_is_found_after_the_clock_was_set_back_between_two_processes(tmp_path: Path) -> None:
    first = Book(tmp_path)
    first.predict()
    second = Book(tmp_path)
    second.clock.jump(-3600)
    earlier = second.predict()
    first.clock.advance(7200)
    later = first.predict()
    assert finding.known(tmp_path, earlier + later) == dict.fromkeys(earlier + later, "flights")
    first.journal.close()
    second.journal.close()


def test_the_id_of_a_request_alone_means_its_first_row(book: Book) -> None:
    first, _ = book.predict(rows=2)
    assert finding.find(book.workspace, first.removesuffix(".0"))["id"] == first


@pytest.mark.parametrize("name", ["", "x", "../x.0", "01KE7Z3W1C9N7V0QWJ4S8YH2TX.01", "01KE7Z3W1C9N7V0QWJ4S8YH2TX.99"])
def test_what_was_never_predicted_is_not_found(book: Book, name: str) -> None:
    book.predict()
    with pytest.raises(PredictionNotFound, match="no prediction"):
        finding.find(book.workspace, name)


def test_predictions_of_a_span_and_of_a_version_are_read(book: Book) -> None:
    first = book.predict(version=1)
    book.clock.advance(60)
    second = book.predict(version=2)
    minute = START + timedelta(seconds=60)
    assert reading.predictions(book.workspace, "flights", until=minute)["id"].to_list() == first
    assert reading.predictions(book.workspace, "flights", since=minute)["id"].to_list() == second
    assert reading.predictions(book.workspace, "flights", version=2)["id"].to_list() == second


def test_a_frame_has_a_row_a_prediction_with_the_types_of_its_values(book: Book) -> None:
    book.predict(row={"carrier": "UA", "distance": 1400, "is_late": None}, key={"flight_id": 7})
    book.predict(
        row={"carrier": None, "distance": 0.5, "is_late": True}, label=True, value=None, probabilities={"true": 0.9}
    )
    found = reading.predictions(book.workspace, "flights")
    assert found.schema["at"] == pl.Datetime("us", "UTC")
    assert found.schema["row"] == pl.Struct({"carrier": pl.String, "distance": pl.Float64, "is_late": pl.Boolean})
    assert found["row"].to_list()[0] == {"carrier": "UA", "distance": 1400.0, "is_late": None}
    assert found["key"].to_list() == [{"flight_id": 7}, None]
    assert found["predicted"].to_list() == [None, True]
    assert found["probabilities"].to_list() == [None, {"true": 0.9}]


def test_the_newest_predictions_are_read_from_the_ends_of_the_files(tmp_path: Path) -> None:
    book = Book(tmp_path, limit_bytes=200_000)
    made = [book.predict(unit="u" * 300)[0] for _ in range(1500)]
    with book.files[-1].open("ab") as file:
        file.write(b'{"id":"01KE7Z3W1C9N7V0QWJ4S8YH2TX.0","at":"2026-')
    assert len(book.files) > 2
    for limit in (1, 7, 700):
        found = [line.id for line, _ in reading.newest(tmp_path, "flights", limit)]
        assert found[: limit - 1] == made[::-1][: limit - 1]
        assert len(found) == limit
    book.journal.close()


def test_a_column_whose_kind_changed_between_versions_is_read_as_json_text(book: Book) -> None:
    book.predict(row={"gate": 7})
    book.predict(row={"gate": "B7", "terminal": "B"})
    found = reading.predictions(book.workspace, "flights")["row"].to_list()
    assert found == [{"gate": "7", "terminal": None}, {"gate": '"B7"', "terminal": "B"}]


def test_of_a_loop_that_predicted_nothing_the_frame_is_empty(tmp_path: Path) -> None:
    found = reading.joined(tmp_path, "flights")
    assert found.height == 0
    assert {"id", "at", "row", "predicted", "label", "labelled_at"} <= set(found.columns)


WRITER = """
import sys
from pathlib import Path
from tests.unit.test_journal import Book
book = Book(Path(sys.argv[1]))
while True:
    print(book.predict()[0], flush=True)
"""


def test_a_killed_process_loses_no_line_it_was_told_of(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        told = [writer.stdout.readline() for _ in range(200)]
        writer.kill()
        told += writer.stdout.readlines()
    ids = {line.strip().decode() for line in told if line.endswith(b"\n")}
    assert len(ids) >= 200
    assert ids <= {line.id for line in reading.read(tmp_path, "flights").lines}
