"""A deployment made ready to run: its code laid out in the workspace, exactly as it was deployed, and its interpreter.

deployed/LOOP/NUMBER/    the files of the snapshot; looked at before every run, laid out anew where they differ
environments/DIGEST/     see `environments.py`
"""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from loopwright.core.deployment import Deployment
from loopwright.core.stores import Blobs
from loopwright.errors import DataError
from loopwright.pipeline import environments
from loopwright.pipeline.request import Snapshot

FOLDER = "deployed"
"""Of the workspace."""
_OLD = 315_532_800
"""1980: code that is laid out is older than any run of it, so that a result is known by it."""
_MOST_FILES, _LARGEST = 20_000, 1 << 30
_MADE_BY_PYTHON = "__pycache__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of running a deployment."""

    status: str
    """`succeeded`, `rejected`, `failed` or `cancelled`."""
    run_id: str | None
    """None where nothing began."""
    version: int | None
    """The one that the run registered, accepted or rejected; None for none, as where that very bundle is one."""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Where the code of a deployment lies now, and what runs it."""

    file: Path
    snapshot: Snapshot
    python: Path


def ready(deployment: Deployment, blobs: Blobs, *, workspace: Path, project: Path) -> Ready:
    """Lay out its code and make its environment, unless both are there.

    Raises ArtifactCorrupted and ArtifactNotFound, `DataError` for a snapshot that is none, `EnvironmentFailed`.
    """
    home = workspace / FOLDER / deployment.loop / str(deployment.number)
    lock = json.loads(blobs.read(deployment.environment))
    python = environments.interpreter(lock, workspace / environments.FOLDER)
    lay_out(blobs.read(deployment.code), home)
    plain = snapshot_of(deployment.spec, home, project)
    snapshot = replace(plain, deployment=deployment.number, git_commit=deployment.git_commit)
    return Ready(file=home / deployment.file, snapshot=snapshot, python=python)


def snapshot_of(spec: Mapping[str, Any], home: Path, project: Path) -> Snapshot:
    """Code that lies in `home`, run where the loop file lay in the project: there, paths of data are read."""
    place = spec.get("place") or {}
    folder = (project / str(place.get("folder", "."))).resolve()
    return Snapshot(
        root=str(home),
        folder=str(folder if folder.is_dir() else project),
        paths=tuple(str(home / path) for path in place.get("paths", ["."])),
    )


def named(workspace: Path, file: Path) -> tuple[str, int] | None:
    """Loop and number of the deployment that a file belongs to; None for one of the working tree.

    >>> named(Path("/shop/.loopwright"), Path("/shop/.loopwright/deployed/late/3/loops/late.py"))
    ('late', 3)
    """
    if not file.is_relative_to(workspace / FOLDER):
        return None
    loop, number, *_ = file.relative_to(workspace / FOLDER).parts
    return loop, int(number)


def lay_out(content: bytes, home: Path) -> None:
    """The files of a snapshot, in a folder that is there whole or not at all. One that was changed is made anew.

    Raises `DataError` for content that is no such snapshot: names that lead out of the folder, links, too much.
    """
    files = unpacked(content)
    with environments.alone(home.parent / f".{home.name}.lock"):
        if found(home) == files:
            os.utime(home)  # used just now
            return
        begun = home.parent / f".{home.name}-{os.getpid()}"
        shutil.rmtree(begun, ignore_errors=True)
        for name, body in files.items():
            target = begun / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)
            os.utime(target, (_OLD, _OLD))
        shutil.rmtree(home, ignore_errors=True)
        begun.rename(home)


def unpacked(content: bytes) -> dict[str, bytes]:
    """File by file. Raises `DataError`."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_FILES or sum(entry.file_size for entry in entries) > _LARGEST:
                raise _refused(f"it holds {len(entries):,} files, or more than {_LARGEST:,} bytes")
            return {_safe(entry): archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise _refused(str(error)) from None


def found(home: Path) -> dict[str, bytes | None]:
    """What lies there, without what Python made of it; None for a link."""
    below = [path for path in home.rglob("*") if _MADE_BY_PYTHON not in path.parts]
    files = [path for path in below if path.is_symlink() or not path.is_dir()]
    return {path.relative_to(home).as_posix(): None if path.is_symlink() else path.read_bytes() for path in files}


def differing(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> list[str]:
    """Names of files that are not the same in both.

    >>> differing({"a.py": b"1", "b.py": b"2"}, {"a.py": b"1", "b.py": b"3", "c.py": b"4"})
    ['b.py', 'c.py']
    """
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def _safe(entry: zipfile.ZipInfo) -> str:
    """A file below the folder, by a name that means the same everywhere."""
    name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
    path = PurePosixPath(name)
    wrong = "\\" in name or "\0" in name or path.is_absolute() or ".." in path.parts or name != path.as_posix()
    if wrong or entry.is_dir() or kind not in (0, stat.S_IFREG):
        raise _refused(f"it holds {name!r}")
    return name


def _refused(why: str) -> DataError:
    return DataError(f"the snapshot of the code is refused: {why}", fix="deploy the loop again: lw deploy FILE")


class Run(Protocol):
    """What makes a run of a deployment with these parameters."""

    def __call__(self, deployment: Deployment, parameters: Mapping[str, Any], *, run_id: str | None = None) -> Ran:
        """Called `run_id`: where there is one of that name it is taken up, or told when it has ended."""
        ...
