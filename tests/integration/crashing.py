"""A scenario that is killed after its n-th write, for every n. Run as a script; prints one line of JSON for each life.

Writes are counted where they reach the operating system or the database: statements and commits, writes of files,
fsync, rename. The children are forked from a process with everything imported, so that a life takes milliseconds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.conftest import open_database, stores_on

from loopwright.core.run import RunStatus
from loopwright.store import migrate  # noqa: F401 - imported before the fork
from loopwright.testing.conformance import a_lease, a_run, alive, an_artifact, cause, ran


def scenario(folder: Path) -> None:
    """The life of a run: asked for, started, two steps with outputs from memory and from a file, finished."""
    stores = stores_on(open_database(f"sqlite:///{folder}/metadata.db", folder / "backups"), folder / "blobs")
    stores.runs.request(a_run(), cause())
    lease = stores.runs.acquire(a_lease(), cause(), [], is_alive=alive)
    source = folder / "source"
    source.write_bytes(b"from a file")
    for step, content in (("load", b"from memory"), ("train", source)):
        blob = stores.blobs.put(content)
        stores.executions.save(lease, [ran(lease, step, output=blob.digest)], cause(), [an_artifact(blob.digest)])
    stores.runs.finish(lease, RunStatus.SUCCEEDED, cause())


def die_after(writes: int) -> None:
    """Arrange for this process to be killed right after so many writes."""
    left = [writes]

    def count(*_: object, **__: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("fsync", "replace", "rename"):
        setattr(os, name, _then(count, getattr(os, name)))
    sys.addaudithook(lambda event, _: count() if event == "open" else None)
    for moment in ("after_cursor_execute", "commit", "begin"):
        sa.event.listen(sa.Engine, moment, count)


def _then(count: Callable[..., None], function: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*args: Any, **options: Any) -> Any:
        result = function(*args, **options)
        count()
        return result

    return counted


def main(base: Path) -> None:
    writes = 0
    while True:
        writes += 1
        folder = base / str(writes)
        folder.mkdir()
        child = os.fork()
        if child == 0:
            die_after(writes)
            scenario(folder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"writes": writes, "folder": str(folder), "killed": os.WIFSIGNALED(status)}), flush=True)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
