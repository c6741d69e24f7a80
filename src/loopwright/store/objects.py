"""Content by digest in an object store, through fsspec: S3, GCS, Azure, memory, and whatever else it speaks.

An object store shows an object only once it is written whole, so what the local folder needs a rename for comes free.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loopwright.core.artifact import Blob
from loopwright.core.clock import Clock
from loopwright.errors import ArtifactCorrupted, ArtifactNotFound, MissingExtra, SettingsError

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}


class ObjectBlobs:
    """Blobs under a URL such as `s3://bucket/prefix`."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self._clock = clock
        self._files, self._root = _open(url)

    def put(self, content: bytes | Path) -> Blob:
        if isinstance(content, bytes):
            digest, size = hashlib.sha256(content).hexdigest(), len(content)
            self._files.pipe_file(self._path(digest), content)
        else:
            with content.open("rb") as file:
                digest, size = hashlib.file_digest(file, "sha256").hexdigest(), content.stat().st_size
            self._files.put_file(str(content), self._path(digest))
        return Blob(digest=digest, size_bytes=size, modified_at=self._clock.now())

    def read(self, digest: str) -> bytes:
        try:
            content: bytes = self._files.cat_file(self._path(digest))
        except FileNotFoundError:
            raise self._gone(digest) from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise self._corrupted(digest)
        return content

    @contextmanager
    def local(self, digest: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="loopwright-") as folder:
            copy = Path(folder) / digest
            try:
                self._files.get_file(self._path(digest), str(copy))
            except FileNotFoundError:
                raise self._gone(digest) from None
            with copy.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    raise self._corrupted(digest)
            yield copy

    def has(self, digest: str, size_bytes: int) -> bool:
        try:
            return bool(self._files.info(self._path(digest))["size"] == size_bytes)
        except FileNotFoundError:
            return False

    def list(self) -> Iterator[Blob]:
        found = self._files.find(self._root, detail=True)
        for path, details in sorted(found.items()):
            digest = "".join(path.rsplit("/", 2)[-2:])
            yield Blob(digest=digest, size_bytes=details["size"], modified_at=_modified(details))

    def delete(self, digests: Iterable[str]) -> None:
        for digest in digests:
            if self._files.exists(self._path(digest)):
                self._files.rm_file(self._path(digest))

    def _path(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest[2:]}"

    def _gone(self, digest: str) -> ArtifactNotFound:
        return ArtifactNotFound(
            f"the content of artifact {digest} is gone",
            where=self.url,
            fix="run its pipeline again: only what is missing is redone",
        )

    def _corrupted(self, digest: str) -> ArtifactCorrupted:
        return ArtifactCorrupted(
            f"the stored content of artifact {digest} is not what its digest says",
            where=f"{self.url}/{digest[:2]}/{digest[2:]}",
            fix="restore it, or delete the object and run its pipeline again: only what is missing is redone",
        )


def _open(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        files, root = fsspec.url_to_fs(url)
    except ValueError as error:
        raise SettingsError(
            str(error), where="setting artifacts_url", fix="write a folder, or s3://bucket/..."
        ) from None
    except ImportError as error:
        extra = _EXTRAS.get(url.split("://", 1)[0])
        fix = f"pip install 'loopwright[{extra}]'" if extra else str(error)
        raise MissingExtra(f"{url} needs a driver that is not installed", fix=fix) from None
    return files, root.rstrip("/")


def _modified(details: dict[str, Any]) -> datetime:
    """Drivers name it differently; one that does not tell counts as new, so that nothing is collected too early."""
    for name in ("LastModified", "last_modified", "updated", "mtime", "created"):
        value = details.get(name)
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.max.replace(tzinfo=UTC)
