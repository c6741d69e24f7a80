"""The database connection: how a transaction begins, and how the schema is brought up to date.

Rules: one writer at a time, decided when a write begins (`BEGIN IMMEDIATE` on SQLite, an advisory lock on PostgreSQL),
so that a check and the write that depends on it see the same state and events are numbered in commit order. A
transaction that is rolled back leaves nothing.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import exc

from loopwright.core.clock import Clock
from loopwright.errors import MissingExtra, SettingsError, StoreTooNew, StoreUnavailable
from loopwright.store.schema import REVISION

_WRITER_LOCK = 0x10095219  # any number that no other program on the server uses
MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """One metadata database, on SQLite or PostgreSQL.

    Raises StoreUnavailable when it cannot be reached, StoreTooNew when a newer Loopwright wrote it.
    """

    def __init__(self, url: str, *, clock: Clock, backups: Path, busy_timeout_seconds: float = 30.0) -> None:
        self.url = _parse(url)
        self.clock = clock
        self.backups = backups
        self.engine = self._engine(busy_timeout_seconds)
        try:
            self._bring_up_to_date()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that may change things: alone, and all or nothing."""
        with _told_clearly(self.url), self.engine.begin() as connection:
            if self.url.get_backend_name() == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITER_LOCK})
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Statements that change nothing and never wait for a writer."""
        with _told_clearly(self.url), self.engine.connect() as connection:
            yield connection.execution_options(only_reads=True)

    def close(self) -> None:
        self.engine.dispose()

    def revision(self) -> str | None:
        """The migration the database stands at; None for an empty one."""
        with self.read() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    def _engine(self, busy_timeout_seconds: float) -> sa.Engine:
        if self.url.get_backend_name() == "postgresql":
            return _postgres(self.url)
        return _sqlite(self.url, busy_timeout_seconds)

    def _bring_up_to_date(self) -> None:
        found = self.revision()
        if found == REVISION:
            return
        from loopwright.store import migrate  # Alembic costs 0.2 s: only when there is something to do

        if found is not None:
            if found not in migrate.revisions():
                raise StoreTooNew(
                    f"the metadata store stands at revision {found}, this Loopwright knows up to {REVISION}",
                    where=self.url.render_as_string(hide_password=True),
                    fix="install the newer Loopwright that wrote it, or restore a backup",
                )
            self._back_up(found, self.clock.now())
        with self.write() as connection:
            migrate.upgrade(connection)

    def _back_up(self, revision: str, now: datetime) -> Path:
        """A copy of the whole database, before anything in it is changed."""
        self.backups.mkdir(parents=True, exist_ok=True)
        target = self.backups / f"metadata-{revision}-{now:%Y%m%d-%H%M%S-%f}"
        if self.url.get_backend_name() == "postgresql":
            return _dump_postgres(self.url, target.with_suffix(".dump"))
        return _copy_sqlite(self.url, target.with_suffix(".db"))


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError:
        raise SettingsError(
            f"{url!r} is no database URL",
            where="setting metadata_url",
            fix="write sqlite:////absolute/path.db or postgresql://user@host/database",
        ) from None
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        return parsed
    raise SettingsError(
        f"{parsed.get_backend_name()} is not a database that Loopwright keeps its memory in",
        where="setting metadata_url",
        fix="write sqlite:////absolute/path.db or postgresql://user@host/database",
    )


def _sqlite(url: sa.URL, busy_timeout_seconds: float) -> sa.Engine:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": busy_timeout_seconds, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver must begin nothing of its own
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A plain BEGIN that reads and then writes fails with "database is locked" as soon as two do it at once.
        if not connection.get_execution_options().get("only_reads"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _postgres(url: sa.URL) -> sa.Engine:
    try:
        return sa.create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError:
        raise MissingExtra(
            "PostgreSQL needs the driver psycopg, which is not installed", fix="pip install 'loopwright[postgres]'"
        ) from None


def _copy_sqlite(url: sa.URL, target: Path) -> Path:
    assert url.database
    source, copy = sqlite3.connect(url.database), sqlite3.connect(target)
    try:
        source.backup(copy)
    finally:
        source.close()
        copy.close()
    return target


def _dump_postgres(url: sa.URL, target: Path) -> Path:
    plain = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    try:
        subprocess.run(
            ["pg_dump", "--format=custom", f"--file={target}", plain],  # noqa: S607 - the one on the PATH is wanted
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | ({"PGPASSWORD": str(url.password)} if url.password else {}),
        )
    except (OSError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        raise StoreUnavailable(
            f"the database must be migrated, and could not be backed up first: {detail.strip()}",
            where=plain,
            fix="install pg_dump of the server's version (Debian: postgresql-client) and start again",
        ) from error
    return target


@contextmanager
def _told_clearly(url: sa.URL) -> Iterator[None]:
    """Turn what only the operator can mend into a StoreUnavailable."""
    try:
        yield
    except exc.DatabaseError as error:
        if not isinstance(error, exc.OperationalError) and not _is_damaged(str(error.orig)):
            raise
        raise StoreUnavailable(
            f"the metadata store does not answer: {str(error.orig).strip()}",
            where=url.render_as_string(hide_password=True),
            fix=_remedy(str(error.orig)),
        ) from error


def _is_damaged(message: str) -> bool:
    return "not a database" in message or "malformed" in message


def _remedy(message: str) -> str:
    if _is_damaged(message):
        return "restore a copy from backups/, or move the file away to start afresh"
    if "full" in message:
        return "free some disk space and start again; nothing half-written was kept"
    if "locked" in message:
        return "another program has held the database for too long; find it, or raise busy_timeout_seconds"
    if "readonly" in message or "unable to open" in message:
        return "check that the folder exists and that you may write to it"
    return "check that the server runs and that the URL in metadata_url is right"
