"""Versions and routes on real databases: brought up from the revision before, and changed by several at once."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.conftest import SOURCE, stores_on
from tests.unit.bundles import Works

from loopwright.core.stores import Stores
from loopwright.errors import Conflict
from loopwright.registry.archive import export_bundle, import_bundle
from loopwright.registry.promote import promote, rollback
from loopwright.registry.why import explain, render
from loopwright.store import migrate
from loopwright.store.database import Database
from loopwright.testing import memory_stores
from loopwright.testing.conformance import a_route, a_version, cause

Opening = Callable[[str], Database]
Postgres = Callable[[str], str]
_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/metadata.db"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres(f"registry{next(_numbers)}")


@pytest.fixture
def stores(url: str, opening: Opening, tmp_path: Path) -> Stores:
    return stores_on(opening(url), tmp_path / "blobs")


OLD_ROWS = """
INSERT INTO runs (id, pipeline, file, parameters, seed, request_key, status, created_at, token, fresh)
VALUES ('old', 'flights', '/f.py', '{"year": 2013}', 5, 'k', 'running', '2026-01-01 00:00:00', 2, false);
INSERT INTO leases (run_id, token, holder, acquired_at, expires_at, code)
VALUES ('old', 2, 'worker-1', '2026-01-01 00:00:00', '2026-01-01 00:00:05', 'c0de');
INSERT INTO artifacts (digest, kind, format, size_bytes, created_at, run_id, parts)
VALUES ('c0de', 'code', 'zip', 7, '2026-01-01 00:00:00', 'old', '[]')
"""


def write_revision_0002(url: str) -> None:
    """A database as revision 0002 left it, with a run, its lease and an artifact in it."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        migrate.upgrade(connection, "0002")
        for statement in OLD_ROWS.split(";"):
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_store_of_the_revision_before_is_brought_up_with_all_it_holds(
    url: str, opening: Opening, tmp_path: Path
) -> None:
    write_revision_0002(url)
    stores = stores_on(opening(url), tmp_path / "blobs")
    run = stores.runs.get("old")
    assert run.lease
    assert (dict(run.parameters), run.lease.code, run.lease.token) == ({"year": 2013}, "c0de", 2)
    assert [artifact.digest for artifact in stores.artifacts.list()] == ["c0de"]
    assert (stores.versions.list(), stores.routes.loops()) == ([], [])
    stores.versions.add(a_version(), [], cause())
    stores.routes.change(a_route(("champion", 1, 1.0)), {"champion": 1}, cause(), None)
    assert stores.versions.get("flights", "champion").number == 1
    [backup] = (tmp_path / "backups").iterdir()
    if url.startswith("sqlite"):
        kept = sqlite3.connect(backup)
        assert kept.execute("SELECT version_num FROM alembic_version").fetchall() == [("0002",)]
        assert kept.execute("SELECT code FROM leases").fetchall() == [("c0de",)]
        kept.close()


def at_once(count: int, work: Callable[[int], object]) -> list[object]:
    """What each of several threads that start together gave."""
    together, ended = threading.Barrier(count), list[object]()

    def go(number: int) -> None:
        together.wait(10)
        ended.append(work(number))

    threads = [threading.Thread(target=go, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended


def test_threads_that_register_the_same_bundle_at_once_make_one_version(stores: Stores) -> None:
    made = at_once(6, lambda _: stores.versions.add(a_version(), [], cause()).number)
    assert made == [1] * 6
    assert len(stores.events.list()) == 1


def test_threads_that_register_at_once_get_numbers_without_a_gap(stores: Stores) -> None:
    made = at_once(6, lambda number: stores.versions.add(a_version(f"{number}"), [], cause()).number)
    assert sorted(map(str, made)) == list("123456")


def test_of_threads_that_change_a_route_at_once_one_wins(stores: Stores) -> None:
    for number in range(6):
        stores.versions.add(a_version(f"{number}"), [], cause())

    def change(number: int) -> int:
        route = a_route(("champion", number + 1, 1.0))
        try:
            return stores.routes.change(route, {"champion": number + 1}, cause(), None).arms[0].version
        except Conflict:
            return 0

    [*lost, won] = sorted(int(str(end)) for end in at_once(6, change))
    assert lost == [0] * 5
    assert stores.versions.get("flights", "champion").number == won
    assert [route.champion for route in stores.routes.history("flights")] == [won]


PROMOTER = """
import sys
from pathlib import Path
from tests.conftest import open_database, stores_on
from loopwright.errors import Conflict
from loopwright.testing.conformance import a_route, cause
folder, version = Path(sys.argv[1]), int(sys.argv[2])
stores = stores_on(open_database(f"sqlite:///{folder}/metadata.db", folder / "backups"), folder)
print("ready", flush=True)
sys.stdin.readline()
won = 0
for revision in range(50):
    try:
        stores.routes.change(a_route(("champion", version, 1.0)), {"champion": version}, cause(), revision or None)
        won += 1
    except Conflict:
        while stores.routes.current("flights") is None:
            pass
print(won)
"""


def test_of_two_processes_that_change_a_route_at_once_one_wins_each_time(tmp_path: Path, opening: Opening) -> None:
    stores = stores_on(opening(f"sqlite:///{tmp_path}/metadata.db"), tmp_path)
    for name in "12":
        stores.versions.add(a_version(name), [], cause())
    path = os.pathsep.join([str(SOURCE), str(SOURCE.parent)])
    promoters = [
        subprocess.Popen(
            [sys.executable, "-c", PROMOTER, str(tmp_path), name],
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "12"
    ]
    for promoter in promoters:
        assert promoter.stdout
        assert promoter.stdout.readline() == "ready\n"
    for promoter in promoters:
        assert promoter.stdin
        promoter.stdin.write("go\n")
        promoter.stdin.flush()
    won = [int(promoter.communicate(timeout=60)[0]) for promoter in promoters]
    history = stores.routes.history("flights")
    assert [route.number for route in history] == list(range(sum(won), 0, -1))
    assert [sum(route.champion == number for route in history) for number in (1, 2)] == won
    assert stores.versions.get("flights", "champion").number == history[0].champion


def test_a_version_goes_all_the_way(stores: Stores, tmp_path: Path) -> None:
    works = Works(stores, tmp_path / "made")
    for _ in range(2):
        works.version(slices={"AA": 0.6})
        promote(stores, "flights", None, cause())
    assert rollback(stores, "flights", cause()).version.number == 1
    told = render(explain(stores, stores.versions.get("flights", "champion")))
    assert "version flights v1 (champion): accepted" in told
    assert "VersionRolledBack by tester" in told
    archive = export_bundle(stores, stores.versions.get("flights", "2"), tmp_path / "two.zip", tmp_path / "scratch")
    there = memory_stores()
    found = import_bundle(there, archive, tmp_path / "scratch", cause()).version
    assert explain(there, found).run == explain(stores, stores.versions.get("flights", "2")).run
