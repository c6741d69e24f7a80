"""Folders that deployments were laid out in and that nothing runs from any more: made again where one is wanted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from loopwright.core.deployment import Deployment
from loopwright.core.stores import Stores
from loopwright.pipeline import deployed, environments

_RUNS = 1000
"""Newest, of which those that have not ended keep their code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """A folder of the workspace, and the file by which others are kept from it meanwhile."""

    path: Path
    lock: Path
    size_bytes: int


def unused(stores: Stores, workspace: Path, now: datetime, grace: timedelta) -> list[Unused]:
    """Of no deployment in force and no run that has not ended, and not used within the grace period."""
    wanted = [*stores.deployments.in_force(), *_at_work(stores, workspace)]
    code = {workspace / deployed.FOLDER / one.loop / str(one.number) for one in wanted}
    locks = {one.environment for one in wanted}
    names = {environments.name_of(json.loads(stores.blobs.read(digest))) for digest in locks}
    homes = {workspace / environments.FOLDER / name for name in names}
    found = [*(workspace / deployed.FOLDER).glob("*/[0-9]*"), *(workspace / environments.FOLDER).glob("[0-9a-f]*")]
    idle = [path for path in found if path not in code | homes and now - _used_at(path) > grace]
    return [Unused(path=path, lock=path.parent / f".{path.name}.lock", size_bytes=_size(path)) for path in sorted(idle)]


def remove(folder: Unused) -> None:
    """Whole or half gone, it is made anew."""
    with environments.alone(folder.lock):
        (folder.path / environments.MARK).unlink(missing_ok=True)
        shutil.rmtree(folder.path, ignore_errors=True)


def _at_work(stores: Stores, workspace: Path) -> Iterator[Deployment]:
    for run in stores.runs.list(limit=_RUNS):
        named = None if run.status.is_final else deployed.named(workspace, Path(run.file))
        if named is not None:
            yield stores.deployments.get(*named)


def _used_at(path: Path) -> datetime:
    mark = path / environments.MARK
    moment = (mark if mark.exists() else path).stat().st_mtime
    return datetime.fromtimestamp(moment, UTC)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
