"""Parts that several tests start: a PostgreSQL server, a small disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from loopwright.core.stores import Stores
from loopwright.store.blobs import LocalBlobs
from loopwright.store.database import Database
from loopwright.store.stores import sql_stores
from loopwright.testing import HandClock

SOURCE = Path(__file__).parents[1] / "src"
settings.register_profile("any machine", deadline=None)  # a busy one is slow at what is right
settings.load_profile("any machine")


def open_database(url: str, backups: Path) -> Database:
    return Database(url, clock=HandClock(), backups=backups)


@pytest.fixture
def opening(tmp_path: Path) -> Iterator[Callable[[str], Database]]:
    """Opens databases by URL, with backups in `tmp_path`, and closes them after the test."""
    opened: list[Database] = []

    def open_one(url: str) -> Database:
        opened.append(open_database(url, tmp_path / "backups"))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


def stores_on(database: Database, blobs: Path) -> Stores:
    return sql_stores(database, LocalBlobs(blobs))


def lw(
    *words: str, cwd: Path, timeout: float = 60, check: bool = False, **environ: str
) -> subprocess.CompletedProcess[str]:
    """The command line, as a user types it."""
    return subprocess.run(
        [sys.executable, "-m", "loopwright.cli", *words],
        cwd=cwd,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=check,
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[str], str]]:
    """A PostgreSQL server of this test run's own; called with a name, it gives the URL of a fresh database."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    home = Path(tempfile.mkdtemp(prefix="loopwright-postgres-"))
    server = Server(programs[-1].parent, home)
    server.start()
    try:
        yield server.create
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


class Server:
    """Runs as the user `postgres` when the tests run as root, because the server refuses to."""

    def __init__(self, programs: Path, home: Path) -> None:
        self.programs, self.home = programs, home
        self.data = home / "data"
        self.user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def start(self) -> None:
        if self.user:
            shutil.chown(self.home, "postgres")
        self.call("initdb", "-D", str(self.data), "-U", "tester", "-A", "trust", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={self.home} -c fsync=off"
        self.call("pg_ctl", "-D", str(self.data), "-l", str(self.home / "log"), "-w", "-o", options, "start")
        self.home.chmod(0o755)

    def stop(self) -> None:
        self.call("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def create(self, name: str) -> str:
        self.call("createdb", "-h", str(self.home), "-U", "tester", name)
        return f"postgresql://tester@/{name}?host={self.home}"

    def call(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [*self.user, str(self.programs / program), *words], capture_output=True, text=True, cwd="/"
        )
        assert done.returncode == 0, done.stderr or done.stdout


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)
