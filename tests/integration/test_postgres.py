"""The metadata store on PostgreSQL: a real server, started by this test run."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.conftest import lw, open_database, stores_on
from tests.integration.racing import race

from loopwright.core.stores import Stores
from loopwright.errors import StoreUnavailable
from loopwright.store import migrate
from loopwright.store.database import Database
from loopwright.testing.conformance import StoresConformance, a_run, cause, refusal
from loopwright.testing.conformance_live import LiveStoresConformance

_numbers = itertools.count()
Postgres = Callable[[str], str]


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres(f"test{next(_numbers)}")


@pytest.fixture
def database(url: str, opening: Callable[[str], Database]) -> Database:
    return opening(url)


class TestPostgres(StoresConformance, LiveStoresConformance):
    @pytest.fixture
    def stores(self, database: Database, tmp_path: Path) -> Stores:
        return stores_on(database, tmp_path / "blobs")


def test_events_are_numbered_in_the_order_of_commits_by_many_writers(database: Database, tmp_path: Path) -> None:
    stores, seen = stores_on(database, tmp_path), list[int]()
    done = threading.Event()

    def write(name: str) -> None:
        for number in range(25):
            stores.runs.request(a_run(f"{name}-{number}"), cause())

    def tail() -> None:
        while not done.is_set():
            seen.extend(event.number for event in stores.events.list(after=seen[-1] if seen else 0))
        seen.extend(event.number for event in stores.events.list(after=seen[-1] if seen else 0))

    writers = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    reader = threading.Thread(target=tail)
    for thread in [*writers, reader]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert len(seen) == 100  # a reader that remembers the last number misses nothing
    assert seen == sorted(set(seen))


def test_of_two_processes_that_decide_the_same_at_once_one_wins(url: str, database: Database, tmp_path: Path) -> None:
    race(stores_on(database, tmp_path / "blobs"), url, tmp_path)


def test_the_tables_in_the_code_are_what_the_migrations_leave(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from loopwright.store import schema

    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_a_migration_dumps_the_database_first(url: str, opening: Callable[[str], Database], tmp_path: Path) -> None:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        migrate.upgrade(connection, "0001")
    engine.dispose()
    opening(url)
    [backup] = (tmp_path / "backups").iterdir()
    assert backup.read_bytes().startswith(b"PGDMP")


def test_a_server_that_does_not_answer_is_told_without_the_password(tmp_path: Path) -> None:
    message = refusal(StoreUnavailable, open_database, "postgresql://me:secret@127.0.0.1:1/none", tmp_path)
    assert "127.0.0.1:1" in message
    assert "secret" not in message


def test_a_pipeline_runs_on_postgres(url: str, tmp_path: Path) -> None:
    lw("init", ".", "--pipeline", cwd=tmp_path, check=True)
    for expected in ("3 ran", "3 reused"):
        done = lw("run", "pipeline.py", cwd=tmp_path, LW_METADATA_URL=url)
        assert expected in done.stdout, done.stderr
    assert not (tmp_path / ".loopwright" / "metadata.db").exists()
