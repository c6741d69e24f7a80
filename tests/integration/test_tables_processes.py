"""Tables under several processes, sudden death and a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.errors import StoreUnavailable
from loopwright.testing import HandClock

KEYED = Table("t", key="id", label="late")
FREE = Table("t")

# Each writer says it is ready and then waits for a line, so that all of them append at the same moment.
WRITER = """
import sys
import polars as pl
from loopwright.core.clock import SystemClock
from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.errors import DuplicateKeys
folder, key, first, times, batch_id = sys.argv[1:]
tables, table = Tables(folder, SystemClock()), Table("t", key=key or None, label="late" if key else None)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(int(times)):
    frame = pl.DataFrame({"id": [int(first) + turn]})
    try:
        print("landed", tables.append(table, frame, batch_id=batch_id or None).version, flush=True)
    except DuplicateKeys as error:
        print("refused", error.what, flush=True)
"""


def start(folder: Path, key: str, first: int, times: int = 1, batch_id: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), key, str(first), str(times), batch_id]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def let_go(writers: list[subprocess.Popen[str]]) -> list[str]:
    """Release all writers at once, and gather what they say."""
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    said = [line for writer in writers for line in writer.communicate(timeout=60)[0].splitlines()]
    assert all(writer.returncode == 0 for writer in writers)
    return said


@pytest.mark.parametrize("key", ["", "id"])
@pytest.mark.parametrize("made_before", [True, False])
def test_appends_from_several_processes_all_land(tmp_path: Path, key: str, made_before: bool) -> None:
    tables = Tables(tmp_path, HandClock())
    if made_before:
        tables.append(KEYED if key else FREE, pl.DataFrame({"id": [-1]}))
    said = let_go([start(tmp_path, key, writer * 100, times=10) for writer in range(3)])
    assert sorted(line.split()[0] for line in said) == ["landed"] * 30
    ids = sorted([writer * 100 + turn for writer in range(3) for turn in range(10)] + [-1] * made_before)
    assert sorted(tables.read("t")["id"].to_list()) == ids
    assert len(set(said)) == 30, "each landed as a version of its own"
    assert tables.versions("t")[-1].rows == tables.current("t").rows == len(ids)


@pytest.mark.parametrize("made_before", [True, False])
def test_of_two_processes_appending_the_same_keys_exactly_one_lands(tmp_path: Path, made_before: bool) -> None:
    tables = Tables(tmp_path, HandClock())
    if made_before:
        tables.append(KEYED, pl.DataFrame({"id": [-1]}))
    said = let_go([start(tmp_path, "id", 0, times=5) for _ in range(3)])
    assert sorted(line.split()[0] for line in said) == ["landed"] * 5 + ["refused"] * 10
    assert sorted(tables.read("t")["id"].to_list()) == [-1] * made_before + [0, 1, 2, 3, 4]
    assert len(list(tmp_path.rglob("*.parquet"))) == 5 + made_before, "losers leave no file behind"


@pytest.mark.parametrize("key", ["", "id"])
def test_the_same_batch_from_several_processes_lands_once(tmp_path: Path, key: str) -> None:
    said = let_go([start(tmp_path, key, 7, batch_id="march") for _ in range(3)])
    assert len(set(said)) == 1, "all are told of the same version"
    assert Tables(tmp_path, HandClock()).read("t")["id"].to_list() == [7]


# A source that stops in mid-stream tells the test, which then kills the process: no guess about timing.
STALLED = """
import sys
import pyarrow as pa
from loopwright.core.clock import SystemClock
from loopwright.data.table import Table
from loopwright.data.tables import Tables
schema = pa.schema([("id", pa.int64())])
def rows():
    for turn in range(100):
        yield pa.RecordBatch.from_pydict({"id": range(100 + turn * 100_000, 100 + (turn + 1) * 100_000)}, schema)
    print("in the middle", flush=True)
    sys.stdin.readline()
source = pa.RecordBatchReader.from_batches(schema, rows())
Tables(sys.argv[1], SystemClock()).append(Table("t", key="id", label="late"), source)
"""


def test_kill_9_in_the_middle_of_an_append_leaves_the_table_at_its_version(tmp_path: Path) -> None:
    tables = Tables(tmp_path, HandClock())
    before = tables.append(KEYED, pl.DataFrame({"id": [1, 2]}))
    command = [sys.executable, "-c", STALLED, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment()
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "in the middle\n"
        writer.send_signal(signal.SIGKILL)
    assert len(list(tmp_path.rglob("*.parquet"))) > 1, "it was writing"
    assert tables.current("t") == before
    assert tables.read("t")["id"].to_list() == [1, 2]
    assert tables.append(KEYED, pl.DataFrame({"id": [100]})).rows == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB. Needs the right to mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_told_and_the_table_stays_whole(small_disk: Path) -> None:
    tables = Tables(small_disk, HandClock())
    before = tables.append(KEYED, pl.DataFrame({"id": range(1000)}))
    files = set(small_disk.rglob("*"))
    noise = pl.DataFrame(
        {"id": pl.int_range(1000, 2_001_000, eager=True).hash(seed=1).cast(pl.Int64, wrap_numerical=True)}
    )
    with pytest.raises(StoreUnavailable, match="the disk is full") as refused:
        tables.append(KEYED, noise)
    assert str(small_disk) in str(refused.value)
    assert set(small_disk.rglob("*")) == files, "what was half-written is gone"
    assert tables.current("t") == before
    assert tables.append(KEYED, pl.DataFrame({"id": [-5]})).rows == 1001


@pytest.mark.parametrize("spare_pages", [0, 1, 2])
def test_a_disk_that_fills_up_at_any_write_leaves_the_table_whole(small_disk: Path, spare_pages: int) -> None:
    tables = Tables(small_disk, HandClock())
    before = tables.append(KEYED, pl.DataFrame({"id": range(1000)}))
    files = set(small_disk.rglob("*"))
    ballast = small_disk / "ballast"
    _fill(ballast, small_disk, spare_pages * 4096)  # tmpfs gives whole pages: one for the rows, one for the log
    landed = _lands(tables, pl.DataFrame({"id": [5000]}))
    ballast.unlink()
    assert landed == (spare_pages == 2)
    assert landed or set(small_disk.rglob("*")) == files
    assert tables.current("t").version == before.version + landed
    assert tables.read("t").height == 1000 + landed


def _lands(tables: Tables, rows: pl.DataFrame) -> bool:
    try:
        tables.append(KEYED, rows)
    except StoreUnavailable as error:
        return "the disk is full" not in error.what
    return True


def _fill(ballast: Path, disk: Path, spare_bytes: int) -> None:
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast.write_bytes(b"\0" * (free - spare_bytes))
