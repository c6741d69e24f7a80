"""Content by digest in a local folder.

A blob is written under a temporary name, hashed on the way, flushed to the disk, renamed to its digest, and the folder
is flushed too; only then may a row in the database name it. So a blob under its own name is always whole, and what a
kill leaves behind is a temporary file that `lw gc` removes. Every read is checked against the digest.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from loopwright.core.artifact import Blob
from loopwright.errors import ArtifactCorrupted, ArtifactNotFound, StoreUnavailable

_CHUNK = 1 << 20


class LocalBlobs:
    """Blobs under `root`, as `ab/cdef...`: 256 folders, so that none grows too big to list."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, content: bytes | Path) -> Blob:
        with _told_clearly(self.root):
            if isinstance(content, bytes):
                digest = hashlib.sha256(content).hexdigest()
                if not self._touch(digest, len(content)):
                    self._write(content, digest)
            else:
                digest = self._copy(content)
            status = self.path(digest).stat()
        return Blob(digest=digest, size_bytes=status.st_size, modified_at=_time(status))

    def read(self, digest: str) -> bytes:
        with _found(digest):
            content = self.path(digest).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise _corrupted(digest, f"{self.path(digest)}, {len(content)} bytes")
        return content

    @contextmanager
    def local(self, digest: str) -> Iterator[Path]:
        with _found(digest), self.path(digest).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise _corrupted(digest, str(self.path(digest)))
        yield self.path(digest)

    def has(self, digest: str, size_bytes: int) -> bool:
        try:
            return self.path(digest).stat().st_size == size_bytes
        except FileNotFoundError:
            return False

    def list(self) -> Iterator[Blob]:
        for path in sorted(self.root.glob("??/*")):
            with suppress(FileNotFoundError):
                status = path.stat()
                name = path.name if path.name.startswith(".") else path.parent.name + path.name
                yield Blob(digest=name, size_bytes=status.st_size, modified_at=_time(status))

    def delete(self, digests: Iterable[str]) -> None:
        for digest in digests:
            path = next(self.root.glob(f"??/{digest}"), None) if digest.startswith(".") else self.path(digest)
            if path is not None:
                path.unlink(missing_ok=True)

    def path(self, digest: str) -> Path:
        return self.root / digest[:2] / digest[2:]

    def _touch(self, digest: str, size_bytes: int) -> bool:
        """Say that equal content is wanted again, so that a collection under way leaves it; False if there is none."""
        if not self.has(digest, size_bytes):
            return False
        os.utime(self.path(digest))
        return True

    def _write(self, content: bytes, digest: str) -> None:
        with self._temporary(digest[:2]) as (file, temporary):
            file.write(content)
            self._settle(file, temporary, digest)

    def _copy(self, source: Path) -> str:
        """Hash and copy in one pass; the digest is known only at the end, so the temporary file lies beside."""
        checksum = hashlib.sha256()
        with source.open("rb") as original, self._temporary("00") as (file, temporary):
            while chunk := original.read(_CHUNK):
                checksum.update(chunk)
                file.write(chunk)
            digest = checksum.hexdigest()
            if self._touch(digest, file.tell()):
                temporary.unlink()
            else:
                self._settle(file, temporary, digest)
        return digest

    def _settle(self, file: BinaryIO, temporary: Path, digest: str) -> None:
        file.flush()
        os.fsync(file.fileno())
        target = self.path(digest)
        if not target.parent.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _flush_folder(self.root)
        temporary.replace(target)
        _flush_folder(target.parent)

    @contextmanager
    def _temporary(self, folder: str) -> Iterator[tuple[BinaryIO, Path]]:
        """A file that is gone again unless it was settled."""
        parent = self.root / folder
        parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", dir=parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file, Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _time(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)


def _corrupted(digest: str, where: str) -> ArtifactCorrupted:
    return ArtifactCorrupted(
        f"the stored content of artifact {digest} is not what its digest says",
        where=where,
        fix="restore it from a backup, or delete the file and run its pipeline again: only what is missing is redone",
    )


@contextmanager
def _found(digest: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ArtifactNotFound(
            f"the content of artifact {digest} is gone", fix="run its pipeline again: only what is missing is redone"
        ) from None


@contextmanager
def _told_clearly(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM):
            raise
        free = shutil.disk_usage(root).free if root.exists() else 0
        raise StoreUnavailable(
            f"an artifact could not be written: {error.strerror} ({free:,} bytes are free)",
            where=str(error.filename or root),
            fix="make room or check the rights of the folder, then resume; nothing half-written was kept",
        ) from error
