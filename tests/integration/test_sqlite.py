"""The stores on SQLite and in a folder, on a real disk."""

import itertools
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.conftest import SOURCE, stores_on
from tests.integration.racing import race

from loopwright.core.run import RunStatus
from loopwright.core.stores import Blobs, Stores
from loopwright.errors import ArtifactCorrupted, LeaseLost, SettingsError, StoreTooNew, StoreUnavailable
from loopwright.store import gc
from loopwright.store.blobs import LocalBlobs
from loopwright.store.database import Database
from loopwright.store.objects import ObjectBlobs
from loopwright.testing import HandClock
from loopwright.testing.conformance import (
    BlobsConformance,
    StoresConformance,
    a_lease,
    a_run,
    alive,
    an_artifact,
    at,
    cause,
    ran,
    refusal,
    start,
)
from loopwright.testing.conformance_live import LiveStoresConformance

Opening = Callable[[str], Database]


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder}/metadata.db"


@pytest.fixture
def database(tmp_path: Path, opening: Opening) -> Database:
    return opening(url_in(tmp_path))


class TestSqlite(StoresConformance, LiveStoresConformance):
    @pytest.fixture
    def stores(self, database: Database, tmp_path: Path) -> Stores:
        return stores_on(database, tmp_path / "blobs")


class TestLocalBlobs(BlobsConformance):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Blobs:
        return LocalBlobs(tmp_path / "blobs")


class TestObjectBlobs(BlobsConformance):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Blobs:
        return ObjectBlobs(f"memory://{tmp_path.name}", HandClock())


def test_the_database_is_as_durable_as_it_should_be(database: Database) -> None:
    with database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        }
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


def test_threads_that_ask_for_the_same_run_at_once_get_one(database: Database, tmp_path: Path) -> None:
    stores, answers = stores_on(database, tmp_path), list[bool]()
    together = threading.Barrier(8)

    def ask(number: int) -> None:
        together.wait()
        answers.append(stores.runs.request(a_run(f"run-{number}", request="same"), cause())[1])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] * 7 + [True]
    assert len(stores.runs.list()) == 1


def test_threads_that_take_a_run_at_once_get_one_lease(database: Database, tmp_path: Path) -> None:
    stores, tokens = stores_on(database, tmp_path), list[int]()
    stores.runs.request(a_run(), cause())
    together = threading.Barrier(8)

    def take(number: int) -> None:
        together.wait()
        try:
            tokens.append(stores.runs.acquire(a_lease(holder=f"w{number}"), cause(), [], is_alive=alive).token)
        except LeaseLost:
            tokens.append(0)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tokens) == [0] * 7 + [1]


WRITER = """
import sys
from pathlib import Path
from tests.conftest import open_database, stores_on
from loopwright.testing.conformance import a_run, cause, ran, a_lease, alive, an_artifact
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
stores = stores_on(open_database(f"sqlite:///{folder}/metadata.db", folder / "backups"), folder)
for number in range(count):
    run = f"{name}-{number}"
    stores.runs.request(a_run(run), cause())
    lease = stores.runs.acquire(a_lease(run), cause(), [], is_alive=alive)
    stores.executions.save(lease, [ran(lease, output=run)], cause(), [an_artifact(run)])
    print(run, flush=True)
"""


def child(script: str, *words: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(SOURCE), str(SOURCE.parent)])
    return subprocess.Popen(
        [sys.executable, "-c", script, *words], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    )


def test_two_processes_that_write_at_once_lose_nothing(tmp_path: Path, opening: Opening) -> None:
    writers = [child(WRITER, str(tmp_path), name, "60") for name in ("a", "b")]  # they also race to make the database
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    stores = stores_on(opening(url_in(tmp_path)), tmp_path)
    assert len(stores.runs.list(limit=1000)) == 120
    numbers = [event.number for event in stores.events.list()]
    assert numbers == list(range(1, 361))


def test_of_two_processes_that_decide_the_same_at_once_one_wins(tmp_path: Path, database: Database) -> None:
    race(stores_on(database, tmp_path / "blobs"), url_in(tmp_path), tmp_path)


def test_what_was_acknowledged_before_a_kill_is_there_after_it(tmp_path: Path, opening: Opening) -> None:
    for life in range(5):
        writer = child(WRITER, str(tmp_path), f"life{life}", "1000")
        assert writer.stdout
        acknowledged = [writer.stdout.readline().strip() for _ in range(5 + life)]
        writer.kill()
        writer.communicate()
        stores = stores_on(opening(url_in(tmp_path)), tmp_path)
        for run in acknowledged:
            assert stores.executions.of_run(run)[0].output == run
        for artifact in stores.artifacts.list():  # never a record of an output without its execution
            assert stores.executions.of_run(artifact.digest)


def test_a_store_written_by_the_previous_revision_is_migrated_after_a_backup(tmp_path: Path, opening: Opening) -> None:
    write_previous_revision(tmp_path / "metadata.db")
    stores = stores_on(opening(url_in(tmp_path)), tmp_path)
    run = stores.runs.get("old")
    assert run.lease
    assert (run.pipeline, run.lease.holder, run.lease.token) == ("flights", "worker-1", 3)
    [backup] = (tmp_path / "backups").iterdir()
    kept = sqlite3.connect(backup)
    assert kept.execute("SELECT holder FROM runs").fetchall() == [("worker-1",)]
    assert kept.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    kept.close()
    assert stores.runs.acquire(a_lease("old", seconds=100), cause(100), [], is_alive=alive).token == 4


def write_previous_revision(path: Path) -> None:
    """A database as revision 0001 left it, with a run in it."""
    import sqlalchemy as sa

    from loopwright.store import migrate

    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrate.upgrade(connection, "0001")
        connection.execute(
            sa.text(
                "INSERT INTO runs (id, pipeline, file, parameters, seed, request_key, status, created_at, token, "
                "holder, expires_at) VALUES ('old', 'flights', '/f.py', '{}', 0, 'k', 'running', "
                "'2026-01-01 00:00:00.000000', 3, 'worker-1', '2026-01-01 00:00:05.000000')"
            )
        )
    engine.dispose()


def test_the_tables_in_the_code_are_what_the_migrations_leave(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from loopwright.store import schema

    with database.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    assert found == []


def test_a_store_of_a_newer_loopwright_is_refused_untouched(
    database: Database, tmp_path: Path, opening: Opening
) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    message = refusal(StoreTooNew, opening, url_in(tmp_path))
    assert "9999" in message
    assert not (tmp_path / "backups").exists()


def test_a_database_url_that_is_none_is_refused_with_an_example(opening: Opening) -> None:
    for url in ("metadata.db", "mysql://localhost/x"):
        assert "sqlite:///" in refusal(SettingsError, opening, url)


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path, opening: Opening) -> None:
    (tmp_path / "metadata.db").write_text("these are somebody's notes, not a database, and longer than a header")
    message = refusal(StoreUnavailable, opening, url_in(tmp_path))
    assert "metadata.db" in message
    assert (tmp_path / "metadata.db").read_text().startswith("these are")


def test_a_database_that_another_program_holds_is_told_after_the_timeout(tmp_path: Path, opening: Opening) -> None:
    opening(url_in(tmp_path))
    holder = sqlite3.connect(tmp_path / "metadata.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    impatient = Database(
        f"sqlite:///{tmp_path}/metadata.db", clock=HandClock(), backups=tmp_path, busy_timeout_seconds=0.05
    )
    message = refusal(StoreUnavailable, stores_on(impatient, tmp_path).runs.request, a_run(), cause())
    assert "locked" in message
    assert "busy_timeout_seconds" in message
    holder.close()
    impatient.close()


@pytest.mark.parametrize("damage", ["one bit", "truncated", "emptied"])
def test_damaged_content_is_never_given_out(tmp_path: Path, damage: str) -> None:
    blobs = LocalBlobs(tmp_path)
    digest = blobs.put(b"flights of 2013").digest
    path = blobs.path(digest)
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes({"one bit": bytes(content), "truncated": b"flights", "emptied": b""}[damage])
    assert digest in refusal(ArtifactCorrupted, blobs.read, digest)
    with pytest.raises(ArtifactCorrupted), blobs.local(digest):
        pass


def test_a_full_disk_under_an_artifact_is_told_and_leaves_nothing(small_disk: Path) -> None:
    blobs = LocalBlobs(small_disk / "blobs")
    kept = blobs.put(b"kept")
    big = small_disk.parent / "big"
    big.write_bytes(os.urandom(4 << 20))
    for content in (big.read_bytes(), big):
        message = refusal(StoreUnavailable, blobs.put, content)
        assert "No space left" in message
        assert "resume" in message
    assert list(blobs.list()) == [kept]
    assert blobs.read(kept.digest) == b"kept"


def test_a_full_disk_under_the_database_is_told_and_the_store_stays_intact(small_disk: Path, opening: Opening) -> None:
    stores = stores_on(opening(url_in(small_disk)), small_disk / "blobs")
    lease = start(stores)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        file.writelines(itertools.repeat(bytes(4096)))
    big = ran(lease, output="x" * 200_000)
    message = refusal(StoreUnavailable, stores.executions.save, lease, [big], cause(1), [an_artifact("y" * 200_000)])
    assert "free some disk space" in message
    assert stores.executions.of_run("first") == []
    filler.unlink()
    stores.executions.save(lease, [ran(lease)], cause(2), [an_artifact("out")])
    assert [event.kind for event in stores.events.list()] == ["RunRequested", "RunStarted", "StepRan"]


def test_garbage_is_told_to_the_byte_and_what_is_referenced_never_goes(database: Database, tmp_path: Path) -> None:
    stores = stores_on(database, tmp_path / "blobs")
    lease = start(stores)
    kept, orphan = stores.blobs.put(b"kept"), stores.blobs.put(b"an orphan")
    loose = stores.blobs.put(b"loose")
    stores.executions.save(
        lease, [ran(lease, output=kept.digest)], cause(1), [an_artifact(kept.digest), an_artifact(loose.digest)]
    )
    (tmp_path / "blobs" / kept.digest[:2] / ".writing-abc").write_bytes(b"half of something")
    now = kept.modified_at + timedelta(hours=2)
    grace = timedelta(hours=1)
    young = gc.plan(stores, kept.modified_at, grace=grace)
    assert (young.orphans, young.unreferenced) == ([], [])
    told = gc.plan(stores, now, grace=grace)
    assert {blob.digest for blob in told.orphans} == {orphan.digest, ".writing-abc"}
    assert [artifact.digest for artifact in told.unreferenced] == [loose.digest]
    went = gc.collect(stores, replace(cause(), at=now), grace=grace)
    assert [artifact.digest for artifact in went.unreferenced] == [loose.digest]
    assert [blob.digest for blob in stores.blobs.list()] == [kept.digest]
    assert stores.blobs.read(kept.digest) == b"kept"


def test_times_are_kept_to_the_microsecond(database: Database, tmp_path: Path) -> None:
    stores = stores_on(database, tmp_path)
    lease = start(stores)
    stores.runs.heartbeat(lease, at(60.123456))
    run = stores.runs.get("first")
    assert run.lease
    assert run.lease.expires_at == at(60.123456)
    assert run.status is RunStatus.RUNNING
