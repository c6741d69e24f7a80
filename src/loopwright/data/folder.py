"""The folder a table lives in, on this machine or in an object store, and what goes wrong there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow.fs as pa_fs
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

from loopwright.data.files import shown
from loopwright.errors import StoreUnavailable

_FULL = ("os error 28", "No space left", "Errno 28", "os error 122", "quota exceeded")
_DENIED = ("os error 13", "Permission denied", "os error 30", "Read-only file system", "Forbidden", "AccessDenied")


@dataclass(frozen=True, slots=True)
class Folder:
    """A local path or an object-store URL, with the options (region, credentials) its driver needs."""

    url: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        return "://" not in self.url

    @property
    def storage_options(self) -> dict[str, str] | None:
        return dict(self.options) or None

    def uri(self, path: str) -> str:
        return f"{self.url}/{path}"

    def inside(self, name: str) -> Folder:
        return Folder(self.uri(name), self.options)

    def filesystem(self) -> pa_fs.FileSystem:
        """Arrow's view of this folder; paths are relative to it. The folder is made when it is missing."""
        self.make()
        return pa_fs.PyFileSystem(DeltaStorageHandler(self.url, self.storage_options))

    def make(self) -> None:
        if self.is_local:
            Path(self.url).mkdir(parents=True, exist_ok=True)

    def delete(self, paths: Iterable[str]) -> None:
        filesystem = self.filesystem()
        for path in paths:
            if filesystem.get_file_info(path).type == pa_fs.FileType.File:
                filesystem.delete_file(path)

    def remove_when_empty(self) -> None:
        """Leave no trace of a table that never came to be."""
        if self.is_local and Path(self.url).is_dir() and not any(Path(self.url).iterdir()):
            Path(self.url).rmdir()


@contextmanager
def store_errors(folder: Folder) -> Iterator[None]:
    """Tell what the store refused in our words: a full disk, missing rights. Other errors pass as they are."""
    try:
        yield
    except (OSError, DeltaError, pl.exceptions.PolarsError) as error:
        where, text = shown(folder.url), str(error)
        if any(mark in text for mark in _FULL):
            raise StoreUnavailable(
                "the disk is full; nothing was stored", where=where, fix="free some space and append again"
            ) from error
        if any(mark in text for mark in _DENIED):
            raise StoreUnavailable(f"not allowed to write: {text}", where=where, fix="check the rights") from error
        raise
