"""`lw predictions`: show, compact and erase, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.conftest import lw
from tests.unit.test_journal import Book

from loopwright import system
from loopwright.core.clock import SystemClock
from loopwright.predictions import background, journal, reading
from loopwright.predictions.background import Compactor


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """With five predictions, closed."""
    with system.open(tmp_path) as opened:
        book = Book(opened.workspace)
        for number in range(5):
            book.predict(1, key={"flight_id": number})
        book.journal.close()
    return tmp_path


def test_what_is_no_command_is_the_loop_to_show(project: Path) -> None:
    for words in (["flights", "--limit", "2"], ["--limit", "2", "flights"], ["show", "flights", "--limit", "2"]):
        found = json.loads(lw("predictions", *words, "--json", cwd=project, check=True).stdout)
        assert [one["prediction"]["key"] for one in found] == [{"flight_id": 4}, {"flight_id": 3}]


def test_compacting_and_erasing_tell_what_they_did_and_leave_an_event_without_the_value(project: Path) -> None:
    assert "5 predictions from 1 file\n" in lw("predictions", "compact", cwd=project, check=True).stdout
    assert json.loads(lw("predictions", "compact", "flights", "--json", cwd=project, check=True).stdout) == {
        "flights": {"rows": 0, "files": 0, "torn": 0, "dropped_days": []}
    }
    done = lw("predictions", "erase", "flights", "--key", "flight_id=3", cwd=project, check=True)
    assert "1 prediction and 0 labels of flights are erased" in done.stdout
    found = json.loads(lw("predictions", "flights", "--json", cwd=project, check=True).stdout)
    assert [one["prediction"]["key"]["flight_id"] for one in found] == [4, 2, 1, 0]
    with system.open(project) as opened:
        (event,) = opened.stores.events.list(subject="loop:flights")
    assert event.kind == "PredictionsErased"
    assert dict(event.data) | {"at": ""} == {"columns": ["flight_id"], "predictions": 1, "labels": 0, "at": ""}


def test_a_loop_whose_table_is_broken_stops_no_other_and_is_told_of_once(project: Path) -> None:
    with system.open(project) as opened:
        root = opened.workspace / journal.FOLDER
        book = Book(opened.workspace)
        book.predict(1, loop="broken")
        book.journal.close()
    log = root / "broken" / "table" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("no json\n")
    for count in ("5 predictions from 1 file", "0 predictions from 0 files"):
        done = lw("predictions", "compact", cwd=project)
        assert done.returncode == 1
        assert f"flights: {count}\n" in done.stdout
        assert "error:" in done.stderr
    assert len(journal.files(root, "broken")) == 1
    with system.open(project) as opened:
        assert [one.kind for one in opened.stores.events.list(subject="loop:broken")] == ["CompactionFailed"]


def test_a_file_that_is_set_aside_is_named_and_told_of(project: Path) -> None:
    with system.open(project) as opened:
        (file,) = journal.files(opened.workspace / journal.FOLDER, "flights")
    line = json.loads(file.read_bytes().splitlines()[0])
    no_year = line | {"id": "7ZZZZZZZZZZZZZZZZZZZZZZZZZ.0", "at": "9999-12-31T23:59:59-12:00"}
    file.write_text(json.dumps(no_year) + "\n")
    done = lw("predictions", "compact", cwd=project, check=True)
    assert f"flights: 0 predictions from 0 files; set aside, for they cannot be read: {file.name}\n" in done.stdout
    with system.open(project) as opened:
        (event,) = opened.stores.events.list(subject="loop:flights")
    assert (event.kind, dict(event.data)) == ("JournalSetAside", {"files": [file.name]})


def test_only_key_columns_choose_what_is_erased(project: Path) -> None:
    for column, fix in (("x", "known: flight_id"), ("flightid", "did you mean 'flight_id'?")):
        done = lw("predictions", "erase", "flights", "--key", f"{column}=1.5", cwd=project)
        assert done.returncode == 2
        assert f"{column!r} is no key column of flights, which has: flight_id" in done.stderr
        assert fix in done.stderr
    done = lw("predictions", "erase", "flights", "--key", "flight_id=77", cwd=project, check=True)
    assert done.stdout == "nothing of flights was found for flight_id=77, so nothing was erased\n"
    assert len(json.loads(lw("predictions", "flights", "--json", cwd=project, check=True).stdout)) == 5


def test_a_loop_that_is_not_there_is_refused(project: Path) -> None:
    done = lw("predictions", "compact", "nothing", cwd=project)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def waiting(project: Path) -> int:
    return len(journal.files(project / ".loopwright" / journal.FOLDER, "flights"))


def until_none_waits(project: Path) -> None:
    deadline = time.monotonic() + 60
    while waiting(project):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_process_beside_a_gateway_compacts_is_started_again_and_ends_with_it(project: Path) -> None:
    compactor = Compactor(background.command(project, {}, 0.2), SystemClock())
    compactor.start()
    try:
        until_none_waits(project)
        book = Book(project / ".loopwright")
        book.predict(2)
        book.journal.close()
        until_none_waits(project)
        compactor.keep()
    finally:
        compactor.stop()
    assert len(reading.read(project / ".loopwright", "flights").lines) == 7


PARENT = """
import sys, time
from pathlib import Path
from loopwright.core.clock import SystemClock
from loopwright.predictions import background
made = background.Compactor(background.command(Path(sys.argv[1]), {}, 0.2), SystemClock())
made.start()
print(made._process.pid, flush=True)
time.sleep(100)
"""


def test_it_ends_when_the_gateway_is_killed(project: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(project)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = Path(f"/proc/{int(parent.stdout.readline())}")
        until_none_waits(project)
        parent.kill()
    deadline = time.monotonic() + 20
    while child.exists() and " Z " not in (child / "stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_install_without_delta_lake_keeps_journals_reads_them_and_says_so(project: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text(
        "import sys\nfor name in ('deltalake', 'pyarrow', 'polars'): sys.modules[name] = None\n"
    )
    without = str(blocked)
    done = lw("predictions", "compact", cwd=project, PYTHONPATH=without)
    assert done.returncode == background.WRONG_USAGE
    assert "stay in journals" in done.stderr
    assert waiting(project) == 1
    assert (
        len(json.loads(lw("predictions", "flights", "--json", cwd=project, check=True, PYTHONPATH=without).stdout)) == 5
    )
    lw("predictions", "compact", cwd=project, check=True)
    done = lw("predictions", "flights", cwd=project, PYTHONPATH=without)
    assert done.returncode == background.WRONG_USAGE
    assert "pip install loopwright" in done.stderr
