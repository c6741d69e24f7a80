"""Where files are: local paths, globs and object-store URLs, through fsspec.

Arrow reads ahead in threads of its own, which nobody can wait for. One that is inside Python when the interpreter ends
aborts the process, so local files are read without Python, and remote ones through a gate that shuts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from loopwright.errors import BadSource, MissingExtra

_KINDS = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".tsv": "tsv",
    ".tsv.gz": "tsv",
    ".jsonl": "json lines",
    ".ndjson": "json lines",
    ".json": "json lines",
    ".jsonl.gz": "json lines",
    ".ndjson.gz": "json lines",
    ".parquet": "parquet",
}
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file to read: `name` as errors show it, `path` as its filesystem knows it, `kind` by its suffix."""

    name: str
    path: str
    kind: str
    filesystem: fsspec.AbstractFileSystem

    @contextmanager
    def opened(self) -> Iterator[pa.NativeFile]:
        """The bytes, unpacked when gzipped. Raises `BadSource` for a file that cannot be opened or is empty."""
        try:
            size = self.filesystem.size(self.path)
            raw = self._raw()
        except OSError as error:
            raise BadSource(
                f"cannot be opened: {error}", where=self.name, fix="check the path and the rights"
            ) from None
        with raw:
            if size == 0:
                raise BadSource("the file is empty: 0 bytes", where=self.name, fix="write it again, or leave it out")
            stream = raw if isinstance(raw, pa.NativeFile) else pa.PythonFile(raw, mode="r")
            yield pa.CompressedInputStream(stream, "gzip") if self.path.endswith(".gz") else stream

    def _raw(self) -> pa.OSFile | _Gate:
        if isinstance(self.filesystem, LocalFileSystem):
            return pa.OSFile(self.path, "rb")
        return _Gate(self.filesystem.open(self.path, "rb"))


class _Gate:
    """A file that gives no more once it is shut, whoever still reads; shutting it waits for the read under way."""

    def __init__(self, raw: Any) -> None:
        self._raw, self._lock, self._shut = raw, Lock(), False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def __enter__(self) -> _Gate:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._shut = True
            self._raw.close()

    def read(self, size: int = -1) -> bytes:
        with self._lock:
            return b"" if self._shut else bytes(self._raw.read(size))


def shown(location: str) -> str:
    """A location without the password in it.

    >>> shown("s3://me:secret@bucket/a.csv")
    's3://***@bucket/a.csv'
    """
    return re.sub(r"//[^/@]*@", "//***@", location)


def find(location: str) -> list[File]:
    """The files at `location`, sorted by name; a folder that is a Delta table counts as one file of kind `delta`."""
    filesystem, path = _filesystem(location)
    if filesystem.isdir(path):
        return [_delta(filesystem, path, location)]
    if filesystem.exists(path):
        return [_file(filesystem, path, shown(location))]
    if not any(mark in path for mark in "*?["):
        raise BadSource("no such file", where=shown(location), fix="check the path; a glob needs a *")
    found = sorted(one for one in filesystem.glob(path) if not filesystem.isdir(one))
    if not found:
        raise BadSource("no file matches", where=shown(location), fix="check the pattern and the folder before it")
    prefix = location.split("://", maxsplit=1)[0] + "://" if "://" in location else ""
    return [_file(filesystem, one, prefix + one.removeprefix("/") if prefix else one) for one in found]


def _filesystem(location: str) -> tuple[fsspec.AbstractFileSystem, str]:
    scheme = location.split("://", maxsplit=1)[0] if "://" in location else ""
    try:
        filesystem, path = fsspec.core.url_to_fs(location)
    except ImportError:
        extra = _EXTRAS.get(scheme)
        fix = f"pip install 'loopwright[{extra}]'" if extra else f"install the fsspec driver for {scheme}://"
        raise MissingExtra(f"{scheme}:// needs a driver", where=shown(location), fix=fix) from None
    except ValueError as error:
        raise BadSource(str(error), where=shown(location), fix="write a path, or a URL like s3://...") from None
    return filesystem, str(path)


def _file(filesystem: fsspec.AbstractFileSystem, path: str, name: str) -> File:
    base = path.rsplit("/", maxsplit=1)[-1].lower()
    for suffix, kind in _KINDS.items():
        if base.endswith(suffix):
            return File(name=name, path=path, kind=kind, filesystem=filesystem)
    raise BadSource(
        "its suffix tells no known kind of file", where=name, fix=f"rename it to one of {', '.join(_KINDS)}"
    )


def _delta(filesystem: fsspec.AbstractFileSystem, path: str, location: str) -> File:
    if not filesystem.isdir(f"{path.rstrip('/')}/_delta_log"):
        raise BadSource(
            "a folder that is no Delta table",
            where=shown(location),
            fix=f"name the files in it: {shown(location).rstrip('/')}/*.parquet",
        )
    return File(name=shown(location), path=location, kind="delta", filesystem=filesystem)
