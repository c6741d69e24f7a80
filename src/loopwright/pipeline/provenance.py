"""What a worker runs: the project's code, the exact environment, the state of its repository. Taken once a lease."""

from __future__ import annotations

import io
import json
import os
import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from loopwright.core.artifact import Artifact, Kind
from loopwright.core.stores import Blobs
from loopwright.pipeline.code import is_project_file

_SOURCES = {".py", ".toml", ".sql", ".lock"}  # kinds of file that people keep no passwords in
_NO_CODE = {"alerts.toml"}  # whom to tell is no part of what runs, and its URLs hold secrets
_LARGEST_FILE = 1 << 20
_MOST_FILES = 2000
_PASSWORD = re.compile(r"(\w://[^/\s:@'\"]*):[^@\s'\"]+@")
_MASKED = {".toml", ".lock"}
_UNCHANGING = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can hold: equal code gives equal bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Digests for the lease, and the artifacts to record with it."""

    code: str
    environment: str
    git_commit: str | None
    git_diff: str | None
    artifacts: tuple[Artifact, ...]


def take(
    root: Path, reached: Iterable[Path], blobs: Blobs, run_id: str, now: datetime, *, snapshot_of: str | None = ""
) -> Provenance:
    """Store code, environment and difference; equal ones are stored once.

    `snapshot_of` is the commit of code that was deployed, None for one of no repository: the repository that it may lie
    in now says nothing of it.
    """
    commit, difference = git_state(root) if snapshot_of == "" else (snapshot_of, b"")
    artifacts = [
        _store(blobs, snapshot(root, reached), "code", "zip", run_id, now),
        _store(blobs, json.dumps(environment(), indent=1).encode(), "environment", "json", run_id, now),
    ]
    if difference:
        artifacts.append(_store(blobs, difference, "diff", "text", run_id, now))
    return Provenance(
        code=artifacts[0].digest,
        environment=artifacts[1].digest,
        git_commit=commit,
        git_diff=artifacts[2].digest if difference else None,
        artifacts=tuple(artifacts),
    )


def environment() -> dict[str, object]:
    """Exact versions of all that is installed, of Python, and the platform."""
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "system": platform.system(),
        "machine": platform.machine(),
        "packages": dict(sorted(_packages())),
    }


def snapshot(root: Path, reached: Iterable[Path]) -> bytes:
    """The project's source files and whatever else of the user's the steps reach, as a zip; equal code gives equal
    bytes.

    A project of more than 2,000 such files is too big to copy at every run: then only what the steps reach.
    """
    files = {path for path in reached if path.is_file() and is_project_file(path)}
    below = list(_sources(root, _MOST_FILES + 1))
    if len(below) <= _MOST_FILES:
        files |= set(below)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, path in sorted((name_in(root, path), path) for path in files):
            archive.writestr(zipfile.ZipInfo(name, _UNCHANGING), source_of(path), zipfile.ZIP_DEFLATED, 1)
    return content.getvalue()


def source_of(path: Path) -> bytes:
    """A file as it is kept: passwords in the URLs of settings are none of its."""
    content = path.read_bytes()
    if path.suffix not in _MASKED or b"://" not in content:
        return content
    return masked(content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def masked(text: str) -> str:
    """Without the passwords of URLs.

    >>> masked('metadata_url = "postgresql://shop:secret@host/shop"')
    'metadata_url = "postgresql://shop:***@host/shop"'
    """
    return _PASSWORD.sub(r"\1:***@", text)


def git_state(root: Path) -> tuple[str | None, bytes]:
    """The commit checked out and what differs from it; (None, nothing) outside a repository."""
    if not any((above / ".git").exists() for above in [root, *root.parents]):
        return None, b""
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        return None, b""
    difference = _git(root, "diff", "HEAD", "--no-color", "--no-ext-diff", "--", str(root)) or b""
    return commit.decode().strip(), masked(difference.decode("utf-8", "surrogateescape")).encode(
        "utf-8", "surrogateescape"
    )


def _git(root: Path, *words: str) -> bytes | None:
    """None where git is missing or says no: provenance is worth having, and no reason to stop a run."""
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout


def _packages() -> Iterator[tuple[str, str]]:
    """Read off the folder names: 2 ms, where reading the metadata of 70 packages takes 50."""
    seen: set[str] = set()
    for folder in sys.path:
        if not Path(folder).is_dir():
            continue
        for entry in os.scandir(folder or "."):  # empty stands for the working folder
            stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122 - one call an entry of a big folder
            if suffix in (".dist-info", ".egg-info") and "-" in stem:
                name, version = stem.split("-")[:2]
                if name not in seen:  # the first on the path is the one that is imported
                    seen.add(name)
                    yield name.lower().replace("_", "-"), version


def _sources(root: Path, most: int) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        at = Path(folder)
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__pycache__")) and not _is_foreign(at / f))
        for name in sorted(files):
            path = at / name
            if (
                path.suffix in _SOURCES
                and path.name not in _NO_CODE
                and not path.is_symlink()
                and path.stat().st_size <= _LARGEST_FILE
            ):
                yield path
                most -= 1
                if most == 0:
                    return


def _is_foreign(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").exists() or folder.name in ("node_modules", "site-packages")


def name_in(root: Path, path: Path) -> str:
    """What a file is called in a snapshot."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else f"outside{path.as_posix()}"


def _store(blobs: Blobs, content: bytes, kind: Kind, form: str, run_id: str, now: datetime) -> Artifact:
    blob = blobs.put(content)
    return Artifact(
        digest=blob.digest, kind=kind, format=form, size_bytes=blob.size_bytes, created_at=now, run_id=run_id
    )
