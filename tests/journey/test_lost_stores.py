"""What a release reads and writes is away for a while: it holds, promotes nothing, and goes on when it is back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.conftest import stores_on
from tests.journey.test_killed_controller import JournalLog
from tests.unit.street import Street

from loopwright.errors import StoreUnavailable
from loopwright.predictions import journal, labels
from loopwright.store.database import Database
from loopwright.testing import HandClock


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    """With a database that gives up after a moment, and journals in files."""
    clock = HandClock()
    database = Database(
        f"sqlite:///{tmp_path}/metadata.db", clock=clock, backups=tmp_path / "backups", busy_timeout_seconds=0.1
    )
    log = JournalLog(tmp_path, clock)
    yield Street(tmp_path / "made", clock=clock, log=log, given=stores_on(database, tmp_path / "blobs"))
    log.close()
    database.close()


@contextmanager
def replaced(folder: Path) -> Iterator[None]:
    """By a file."""
    kept = folder.rename(folder.with_name("kept"))
    folder.write_text("nothing")
    yield
    folder.unlink()
    kept.rename(folder)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """By somebody who writes, and does not end."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    yield
    other.execute("ROLLBACK")
    other.close()


@pytest.mark.parametrize("lost", [journal.FOLDER, labels.FOLDER])
def test_while_the_log_cannot_be_read_a_release_holds(street: Street, tmp_path: Path, lost: str) -> None:
    street.start()
    street.hour(5000)  # all that a promotion needs
    with replaced(tmp_path / lost):
        for _ in range(3):
            street.clock.advance(3600)
            street.reconciler.reconcile()
            street.another().reconcile()
        assert street.verdicts() == ["begin", "hold"]
        assert ("challenger", 2, 0.049) in street.arms()
    goes_on(street)
    assert street.verdicts() == ["begin", "hold", "resume", "promote", "finish"]


def test_while_the_database_is_locked_nothing_moves(street: Street, tmp_path: Path) -> None:
    street.start()
    street.hour(5000)
    arms = street.arms()
    with locked(tmp_path / "metadata.db"):
        tries(street.reconciler.reconcile)
        tries(street.another().reconcile)
    assert (street.verdicts(), street.arms()) == (["begin"], arms)
    goes_on(street)
    assert street.verdicts() == ["begin", "promote", "finish"]


def tries(reconcile: Callable[[], int]) -> None:
    """In vain, whether it says so or waits for the next pass."""
    with suppress(StoreUnavailable):
        assert reconcile() == 0


def goes_on(street: Street) -> None:
    for _ in range(12):
        street.reconciler.reconcile()
        if street.standing().state.ended is not None:
            return
        street.hour(500)
