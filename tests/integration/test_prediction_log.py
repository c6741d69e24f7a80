"""Journals that become a table: nothing lost and nothing twice, wherever it is killed and whoever reads meanwhile."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from tests.unit.test_journal import UNKNOWN, Book

from loopwright.core.clock import SystemClock
from loopwright.data.schema import Column, Schema
from loopwright.errors import PredictionNotFound, StoreUnavailable
from loopwright.predictions import (
    columnar,
    compaction,
    delta,
    erasing,
    finding,
    journal,
    labels,
    layout,
    reading,
    window,
)
from loopwright.predictions.columnar import Facts
from loopwright.predictions.compaction import Compacted
from loopwright.predictions.concealing import Concealer, secret_of
from loopwright.predictions.journal import Journal, Terms
from loopwright.predictions.keys import Keys
from loopwright.predictions.labels import Label

ROOT = Path(__file__).parents[2]
LOOP = "flights"


def kinds(_version: int) -> dict[str, str]:
    return {"carrier": "string", "distance": "integer", "at": "time", "late": "boolean", "x": "float"}


def compact(workspace: Path, *, days: int = 0, book: Book | None = None) -> Compacted:
    clock = book.clock if book else SystemClock()
    return compaction.compact(workspace / journal.FOLDER, LOOP, kinds=kinds, clock=clock, days=days)


def ids(workspace: Path) -> list[str]:
    """As they are read, doubles included."""
    return sorted(line.id for line in reading.stream(workspace, LOOP) if line is not None)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path)
    yield made
    made.journal.close()


ROWS = [
    {"row": {"carrier": "UA", "distance": 1400, "at": "2026-01-31T13:45:00Z", "late": None}, "key": {"flight_id": 7}},
    {"row": {"carrier": None, "distance": 5, "at": None, "late": True}, "key": {"flight_id": "7", "leg": 1}},
    {"row": {"carrier": 5, "Größe (cm)": 0.5, "carrier:integer": "x"}, "unit": "anna"},
    {"row": {}, "label": True, "value": None, "probabilities": {"true": 0.75, "false": 0.25}},
    {"row": {"x": 1}, "label": "a b", "value": None, "probabilities": {"a b": 1.0}, "version": 2, "arm": "canary"},
    {"row": {"x": [1, 2]}, "label": 3, "value": None, "key": {"flight_id": None}},
]


def test_every_line_is_read_from_the_table_as_it_was(book: Book) -> None:
    for given in ROWS:
        book.predict(2, **given)  # type: ignore[arg-type]
    book.journal.close()
    before = reading.read(book.workspace, LOOP).lines
    assert compact(book.workspace) == Compacted(rows=12, files=1)
    assert book.files == []
    assert list(reading.read(book.workspace, LOOP).lines) == list(before)
    assert compact(book.workspace) == Compacted()


def test_the_table_has_typed_columns_for_everybody_who_reads_delta(book: Book) -> None:
    book.predict(2, **ROWS[0], label=True, value=None, probabilities={"true": 0.9})  # type: ignore[arg-type]
    book.journal.close()
    compact(book.workspace)
    found = pl.read_delta(str(delta.folder_of(book.workspace / journal.FOLDER, LOOP)))
    assert found.schema["row_distance"] == pl.Int64
    assert found.schema["row_at"] == pl.Datetime("us", "UTC")
    assert found.schema["key_flight_id"] == pl.Int64
    assert found.schema["probability_true"] == pl.Float64
    assert found["day"].to_list() == ["2026-01-01"] * 2


def test_files_that_are_written_to_are_left_alone_and_read_beside_the_table(book: Book) -> None:
    closed = book.predict(3)
    book.journal.close()
    other = Book(book.workspace)
    other.clock.advance(60)
    still = other.predict(3)
    assert compact(book.workspace).rows == 3
    assert len(book.files) == 1
    assert ids(book.workspace) == sorted(closed + still)
    assert [line.id for line, _ in reading.newest(book.workspace, LOOP, 4)] == [*still[::-1], closed[-1]]
    assert reading.counts(book.workspace, LOOP) == {1: 6}
    assert finding.known(book.workspace, [*closed, *still, UNKNOWN]) == dict.fromkeys(closed + still, LOOP)
    for one in closed + still:
        assert finding.find(book.workspace, one)["id"] == one
    with pytest.raises(PredictionNotFound):
        finding.find(book.workspace, UNKNOWN)
    other.journal.close()


def test_spans_versions_and_labels_are_read_from_the_table(book: Book) -> None:
    first = book.predict(1, key={"flight_id": 7})
    book.clock.advance(86_400)
    second = book.predict(1, version=2)
    book.journal.close()
    told = Journal(book.workspace / labels.FOLDER, book.clock)
    told.append(LOOP, [Label(label=1.5, at=book.clock.now(), origin="test", key={"flight_id": 7})])
    told.close()
    compact(book.workspace)
    midnight = book.clock.now() - timedelta(hours=1)
    assert reading.predictions(book.workspace, LOOP, until=midnight)["id"].to_list() == first
    assert reading.predictions(book.workspace, LOOP, since=midnight)["id"].to_list() == second
    assert reading.predictions(book.workspace, LOOP, version=2)["id"].to_list() == second
    assert reading.joined(book.workspace, LOOP)["label"].to_list() == [1.5, None]


def test_keys_are_known_from_the_journal_and_from_the_table(book: Book) -> None:
    known = Keys(book.workspace, LOOP, ("flight_id",))
    for number in range(6):
        book.predict(1, key={"flight_id": number})
        if number % 2:
            book.journal.close()
            compact(book.workspace)
            book = Book(book.workspace)
            known.refresh()
    assert [{"flight_id": number} in known for number in range(7)] == [True] * 6 + [False]


def test_the_serving_window_is_the_same_from_journal_and_table(book: Book) -> None:
    contract = Schema(
        columns=(
            Column(name="carrier", kind="string", missing=True),
            Column(name="distance", kind="integer", missing=False),
            Column(name="at", kind="time", missing=True),
        )
    )
    for number in range(4):
        row = {"carrier": "UA", "distance": number, "at": "2026-01-31T13:45:00Z"}
        book.predict(1, row=row)
        if number == 1:
            book.journal.close()
            compact(book.workspace)
            book = Book(book.workspace)
    found = pa.Table.from_batches(list(window.inputs(book.workspace, LOOP, contract, {1}).batches()))
    assert sorted(found["distance"].to_pylist()) == [0, 1, 2, 3]
    assert found["at"].null_count == 0
    book.journal.close()


def test_shadows_are_kept_apart_from_what_was_answered(book: Book) -> None:
    (one,) = book.predict(1, value=1.0)
    shadow = Book(book.workspace)
    line = next(line for line in reading.stream(book.workspace, LOOP) if line is not None)
    from msgspec.structs import replace

    shadow.journal.append(LOOP, [replace(line, shadow=True, value=9.0, arm="shadow")])
    for made in (False, True):
        if made:
            book.journal.close()
            shadow.journal.close()
            assert compact(book.workspace).rows == 2
        assert ids(book.workspace) == [one]
        assert finding.find(book.workspace, one)["value"] == 1.0
        assert [line.value for line, _ in reading.newest(book.workspace, LOOP, 5)] == [1.0]
        assert reading.predictions(book.workspace, LOOP, shadows=True)["value"].sort().to_list() == [1.0, 9.0]
        assert reading.counts(book.workspace, LOOP) == {1: 1}


def columns(made: Journal, clock: SystemClock, rows: int = 3) -> list[str]:
    ulid = made.new_id()
    facts = Facts(ulid=ulid, at=clock.now(), loop=LOOP, version=1, digest="d" * 64, arm="champion")
    names = pa.array(["UA", None, "B6"] * (rows // 3)).dictionary_encode()
    table = columnar.recorded(
        facts,
        {"carrier": names, "distance": pa.array(range(rows), pa.int32())},
        keys={"day": pa.array([clock.now().date()] * rows)},
        value=pa.array([0.5] * rows, pa.float32()),
    )
    made.append_table(LOOP, ulid, table)
    return [f"{ulid}.{row}" for row in range(rows)]


def test_predictions_that_came_as_columns_are_read_like_any_others(tmp_path: Path) -> None:
    clock = SystemClock()
    made = Journal(tmp_path / journal.FOLDER, clock)
    told = columns(made, clock) + columns(made, clock, 300)
    for is_table in (False, True):
        if is_table:
            made.close()
            assert compact(tmp_path).rows == 303
            assert journal.column_files(tmp_path / journal.FOLDER, LOOP) == []
        lines = reading.read(tmp_path, LOOP).lines
        assert [line.id for line in lines] == told
        assert [line.row for line in lines[:3]] == [
            {"carrier": "UA", "distance": 0},
            {"carrier": None, "distance": 1},
            {"carrier": "B6", "distance": 2},
        ]
        assert lines[0].value == 0.5
        assert [line.id for line, _ in reading.newest(tmp_path, LOOP, 5)] == told[::-1][:5]
        assert finding.find(tmp_path, told[150])["id"] == told[150]
        assert finding.known(tmp_path, [*told, UNKNOWN]) == dict.fromkeys(told, LOOP)


def test_a_torn_tail_of_columns_is_left_out_and_counted(tmp_path: Path) -> None:
    clock = SystemClock()
    made = Journal(tmp_path / journal.FOLDER, clock)
    kept = columns(made, clock)
    (file,) = journal.column_files(tmp_path / journal.FOLDER, LOOP)
    size = file.stat().st_size
    columns(made, clock)
    made.close()
    with file.open("r+b") as opened:
        opened.truncate(size + 200)
    found = reading.read(tmp_path, LOOP)
    assert ([line.id for line in found.lines], found.torn) == (kept, 1)
    assert compact(tmp_path) == Compacted(rows=3, files=1, torn=1)
    assert ids(tmp_path) == sorted(kept)


def test_hidden_values_are_nowhere_on_the_disk_and_labels_still_find_their_predictions(book: Book) -> None:
    schema = Schema(
        columns=(Column(name="email", kind="string", missing=True, tags=("pii",)),), key=("person",), pii=("person",)
    )
    secret = secret_of(book.workspace)
    concealer = Concealer(schema, "hash", secret)
    book.journal.conceal(LOOP, 1, concealer)
    book.predict(1, row={"email": "anna@example.org", "x": 1.0}, key={"person": 4242424242})
    book.journal.close()
    assert (book.workspace / "journal.key").stat().st_mode & 0o777 == 0o600
    assert secret_of(book.workspace) == secret
    for is_table in (False, True):
        if is_table:
            compact(book.workspace)
        content = b"".join(file.read_bytes() for file in book.workspace.rglob("*") if file.is_file())
        assert b"anna" not in content
        assert b"4242424242" not in content
        (line,) = reading.read(book.workspace, LOOP).lines
        assert line.row["x"] == 1.0
        assert line.key == concealer.label_key({"person": 4242424242.0})
    assert erase(book.workspace, person="4242424242").predictions == 1
    assert ids(book.workspace) == []


def erase(workspace: Path, **key: str) -> erasing.Erased:
    return erasing.erase(workspace, LOOP, key, kinds=kinds, clock=SystemClock(), wait_seconds=5)


def test_a_key_is_erased_from_journal_table_and_labels_and_nothing_of_it_stays_on_the_disk(book: Book) -> None:
    gone = book.predict(2, row={"carrier": "QZX", "distance": 1}, key={"flight_id": 7777777})
    kept = book.predict(1, key={"flight_id": 8})
    book.journal.close()
    compact(book.workspace)
    second = Book(book.workspace)
    gone += second.predict(1, row={"carrier": "QZX", "distance": 2}, key={"flight_id": 7777777})
    told = Journal(book.workspace / labels.FOLDER, book.clock)
    at = book.clock.now()
    told.append(LOOP, [Label(label="LBL", at=at, origin="t", key={"flight_id": 7777777})])
    told.append(LOOP, [Label(label="LBL", at=at, origin="t", prediction_id=gone[0])])
    told.append(LOOP, [Label(label="other", at=at, origin="t", key={"flight_id": 8})])
    told.close()
    stop = threading.Event()

    def polls() -> None:
        while not stop.wait(0.05):
            second.journal.close_old()

    gateway = threading.Thread(target=polls)
    gateway.start()
    try:
        assert erase(book.workspace, flight_id="7777777") == erasing.Erased(predictions=3, labels=2)
    finally:
        stop.set()
        gateway.join()
    assert ids(book.workspace) == kept
    assert reading.joined(book.workspace, LOOP)["label"].to_list() == ["other"]
    content = b"".join(file.read_bytes() for file in book.workspace.rglob("*") if file.is_file())
    for trace in (b"QZX", b"LBL", b"7777777", (7777777).to_bytes(8, "little")):
        assert trace not in content
    assert erase(book.workspace, flight_id="7777777") == erasing.Erased(predictions=0, labels=0)


def test_erasing_waits_for_no_writer_that_does_not_answer(book: Book) -> None:
    book.predict(1, key={"flight_id": 7})
    with pytest.raises(StoreUnavailable, match="stay open"):
        erasing.erase(book.workspace, LOOP, {"flight_id": "7"}, kinds=kinds, clock=SystemClock(), wait_seconds=0.2)


def test_whole_days_that_are_too_old_are_dropped_and_off_the_disk(book: Book) -> None:
    for _ in range(5):
        book.predict(2)
        book.clock.advance(86_400)
    book.journal.close()
    done = compact(book.workspace, days=2, book=book)
    assert done.dropped_days == ("2026-01-01", "2026-01-02", "2026-01-03")
    assert len(ids(book.workspace)) == 4
    table = delta.folder_of(book.workspace / journal.FOLDER, LOOP)
    assert sorted({file.parent.name for file in table.rglob("*.parquet")}) == ["day=2026-01-04", "day=2026-01-05"]


def test_many_small_files_of_a_day_are_joined(tmp_path: Path) -> None:
    made = list[str]()
    for _ in range(20):
        one = Book(tmp_path)
        made += one.predict(2)
        one.journal.close()
        compact(tmp_path)
    table = delta.opened(tmp_path / journal.FOLDER, LOOP)
    assert table is not None
    assert len(delta.parts(tmp_path / journal.FOLDER, LOOP, table)) < 10
    assert ids(tmp_path) == sorted(made)


def test_two_processes_do_not_work_on_one_loop_at_a_time(book: Book) -> None:
    book.predict()
    book.journal.close()
    with (
        compaction.held(book.workspace / journal.FOLDER, LOOP, SystemClock()),
        pytest.raises(StoreUnavailable, match="another process"),
    ):
        compact(book.workspace)
    assert compact(book.workspace).rows == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.integration.test_prediction_log import compact
left = [int(sys.argv[2])]
def count(event, _):
    if event in ("open", "os.remove", "os.listdir", "os.scandir", "os.mkdir", "fcntl.flock"):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
compact(Path(sys.argv[1]))
print("done")
"""


def killed_at(workspace: Path, step: int) -> bool:
    """Compact in a process that is killed at its so many-th touch of the disk; whether it was."""
    command = [sys.executable, "-c", KILLED, str(workspace), str(step)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def test_killed_at_every_touch_of_the_disk_it_carries_on_without_loss_or_doubles(tmp_path: Path) -> None:
    made, kills, step = list[str](), 0, 0
    while True:
        writers = [Book(tmp_path) for _ in range(3)]
        made += [one for writer in writers for one in writer.predict(4, key={"flight_id": 7})]
        for writer in writers:
            writer.journal.close()
        step += 7
        was_killed = killed_at(tmp_path, step)
        assert ids(tmp_path) == sorted(made)
        kills += was_killed
        if not was_killed or step > 60:
            break
    assert kills >= 3
    compact(tmp_path)
    assert journal.files(tmp_path / journal.FOLDER, LOOP) == []
    assert ids(tmp_path) == sorted(made)


AGAIN = """
import sys
from pathlib import Path
from tests.integration.test_prediction_log import compact
while True:
    compact(Path(sys.argv[1]))
    print("once", flush=True)
"""


def test_a_table_that_is_made_anew_is_told_from_the_one_before(book: Book, tmp_path: Path) -> None:
    """It has as many commits: readers that remember what a table consists of must not take it for the same."""
    root, told = tmp_path / journal.FOLDER, list[list[str]]()
    for _ in range(2):
        told.append(book.predict(3))
        book.journal.close()
        compact(tmp_path, book=book)
        assert finding.known(tmp_path, told[-1]) == dict.fromkeys(told[-1], LOOP)
        assert sum(part.rows for part in delta.contents(root, LOOP).parts) == 3
        shutil.rmtree(delta.folder_of(root, LOOP))
        assert delta.contents(root, LOOP) == delta.Contents()
    assert finding.known(tmp_path, [*told[0], *told[1]]) == {}


def test_readers_miss_nothing_and_see_nothing_twice_while_it_is_killed_again_and_again(tmp_path: Path) -> None:
    clock, chance, told = SystemClock(), random.Random(5), list[str]()
    made = Journal(tmp_path / journal.FOLDER, clock, terms=Terms(limit_bytes=20_000))
    stop = threading.Event()

    def write() -> None:
        from tests.unit.test_journal import a_line

        from loopwright.testing import HandClock

        while not stop.wait(0.001):
            one = f"{made.new_id()}.0"
            made.append(LOOP, [a_line(one, HandClock(), key={"flight_id": 7})])
            told.append(one)

    writer = threading.Thread(target=write)
    writer.start()
    looks = 0
    try:
        for _ in range(2):
            with subprocess.Popen(
                [sys.executable, "-c", AGAIN, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
            ) as one:
                assert one.stdout
                one.stdout.readline()
                until, enough = time.monotonic() + 0.3 + chance.random(), looks + 6
                while time.monotonic() < until or looks < enough:  # on a busy machine a look takes its time
                    acknowledged = list(told)
                    found = ids(tmp_path)
                    assert len(found) == len(set(found))
                    assert set(acknowledged) <= set(found)
                    looks += 1
                one.kill()
    finally:
        stop.set()
        writer.join()
        made.close()
    assert looks > 10
    compact(tmp_path)
    assert ids(tmp_path) == sorted(told)


def test_a_full_disk_leaves_the_journal_as_it_was(small_disk: Path) -> None:
    book = Book(small_disk)
    made = book.predict(1000, unit="u")
    book.journal.close()
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(StoreUnavailable, match="cannot be made part"):
        compact(small_disk)
    assert ids(small_disk) == sorted(made)
    filler.unlink()
    assert compact(small_disk).rows == 1000
    assert ids(small_disk) == sorted(made)


def test_what_was_not_erased_is_found_by_id_labelled_and_listed_afterwards(book: Book) -> None:
    book.predict(2, key={"flight_id": 7})
    first, second = book.predict(2, key={"flight_id": 8})
    book.journal.close()
    compact(book.workspace)
    assert erase(book.workspace, flight_id="7").predictions == 2
    assert finding.find(book.workspace, first)["key"] == {"flight_id": 8}
    assert finding.known(book.workspace, [first, second]) == {first: LOOP, second: LOOP}
    told = Journal(book.workspace / labels.FOLDER, book.clock)
    told.append(LOOP, [Label(label=True, at=book.clock.now(), origin="t", prediction_id=first)])
    told.close()
    again = Book(book.workspace)
    (third,) = again.predict(1, key={"flight_id": 9})  # so that a file of the journal is left out of the table
    found = reading.newest(book.workspace, LOOP, 5)
    assert {line.id: label and label.label for line, label in found} == {first: True, second: None, third: None}
    assert ids(book.workspace) == sorted([first, second, third])
    assert reading.read(book.workspace, LOOP, since=book.clock.now() - timedelta(hours=1), version=1).lines
    again.journal.close()
    assert erase(book.workspace, flight_id="9").predictions == 1
    assert ids(book.workspace) == [first, second]


ODD_TIMES = ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"]


@pytest.mark.parametrize("moment", ODD_TIMES)
def test_a_moment_that_no_calendar_has_in_utc_breaks_no_reader(book: Book, moment: str) -> None:
    book.predict(row={"carrier": "UA", "at": moment}, key={"flight_id": 7, "at": moment})
    book.predict(row={"carrier": "UA", "at": "2026-01-31T13:45:00Z"}, key={"flight_id": 8})
    book.journal.close()
    before = reading.read(book.workspace, LOOP).lines
    assert compact(book.workspace).rows == 2
    assert list(reading.read(book.workspace, LOOP).lines) == list(before)
    seen = Keys(book.workspace, LOOP, ("flight_id",))
    seen.refresh()
    assert {"flight_id": 7} in seen
    assert erasing.erase(book.workspace, LOOP, {"flight_id": "7"}, kinds=kinds, clock=book.clock).predictions == 1


@pytest.mark.parametrize("moment", ODD_TIMES)
def test_a_table_that_has_such_a_moment_already_is_read(moment: str) -> None:
    at = datetime.fromisoformat(moment)
    text = layout._written((at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    assert text is not None
    assert datetime.fromisoformat(text) - at == timedelta(0)


def test_a_line_made_at_such_a_moment_is_kept_under_that_of_its_id(book: Book) -> None:
    (identity,) = book.predict()
    book.journal.close()
    (file,) = book.files
    file.write_text(json.dumps(json.loads(file.read_bytes()) | {"at": ODD_TIMES[0]}) + "\n")
    assert compact(book.workspace).rows == 1
    (line,) = reading.read(book.workspace, LOOP).lines
    assert (line.id, line.at.date()) == (identity, book.clock.now().date())


def test_columns_that_differ_in_large_and_small_letters_alone_are_kept_apart(book: Book) -> None:
    rows: list[dict[str, object]] = [{"X": 1, "x": 2}, {"x": "text", "X": 2.5}, {"AB": 1, "ab": 2, "Ab": 3, "aB": [4]}]
    for row in rows:
        book.predict(row=row)
        book.journal.close()
        assert compact(book.workspace).rows == 1
    assert [line.row for line in reading.read(book.workspace, LOOP).lines] == rows
    table = delta.opened(book.workspace / journal.FOLDER, LOOP)
    assert table is not None
    names = [field.name for field in table.schema().fields]
    assert {"row_X", "row_%78"} <= set(names)
    assert len({name.lower() for name in names}) == len(names)


def test_a_file_that_cannot_be_read_is_set_aside_whole_and_stops_no_other_and_is_erased_from(book: Book) -> None:
    book.predict(key={"flight_id": 7})
    book.journal.close()
    (file,) = book.files
    no_year = json.loads(file.read_bytes()) | {"at": ODD_TIMES[0], "id": "7ZZZZZZZZZZZZZZZZZZZZZZZZZ.0"}
    file.write_text(json.dumps(no_year) + "\n")
    other = Book(book.workspace)
    other.clock.advance(60)
    kept = other.predict(2)
    other.journal.close()
    done = compact(book.workspace)
    assert (done.rows, done.files, done.aside) == (2, 1, (file.name,))
    assert ids(book.workspace) == sorted(kept)
    (aside,) = compaction.set_aside(book.workspace / journal.FOLDER, LOOP)
    assert json.loads(aside.read_bytes()) == no_year
    assert "year" in aside.with_name(f"{aside.name}.txt").read_text()
    assert compact(book.workspace) == Compacted()
    gone = erasing.erase(
        book.workspace, LOOP, {"flight_id": "7"}, kinds=kinds, clock=book.clock, declared=["flight_id"]
    )
    assert gone.predictions == 1
    assert aside.read_bytes().strip() == b""
    assert not aside.with_name(f"{aside.name}.txt").exists()
