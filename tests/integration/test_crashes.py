"""Kill -9 after every write of the store: it opens, and nothing half-written is visible."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.conftest import SOURCE, stores_on

from loopwright.core.run import RunStatus
from loopwright.core.stores import Stores
from loopwright.store.database import Database


def test_a_kill_after_any_write_leaves_a_whole_store(tmp_path: Path, opening: Callable[[str], Database]) -> None:
    lives = killed_after_every_write(tmp_path)
    assert len(lives) > 60
    assert [life["killed"] for life in lives] == [True] * (len(lives) - 1) + [False]
    states = [state_of(Path(str(life["folder"])), opening) for life in lives]
    assert states == sorted(states)  # each further write is at least as far
    assert states[-1] == 5


def killed_after_every_write(folder: Path) -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "crashing.py"), str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCE), str(SOURCE.parent)])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def state_of(folder: Path, opening: Callable[[str], Database]) -> int:
    """How far the run came, after checking that all of it is whole."""
    database = opening(f"sqlite:///{folder}/metadata.db")
    stores = stores_on(database, folder / "blobs")
    far = len(stores.events.list())
    assert far == changes_visible(stores)
    for artifact in stores.artifacts.list():
        assert stores.blobs.read(artifact.digest) in (b"from memory", b"from a file")
    for blob in stores.blobs.list():
        if not blob.digest.startswith(".writing-"):
            stores.blobs.read(blob.digest)
    database.close()
    return far


def changes_visible(stores: Stores) -> int:
    """One a transaction: the run, its lease, each step, the end."""
    if not (runs := stores.runs.list()):
        return 0
    executions = stores.executions.of_run("first")
    known = {artifact.digest for artifact in stores.artifacts.list()}
    assert {execution.output for execution in executions} == known
    [run] = runs
    return 1 + (run.lease is not None) + len(executions) + (run.status is RunStatus.SUCCEEDED)
