"""What lies in a bundle's folder, read once and checked whole: the very bytes that were checked are then used.

Files are read by names from one fixed list, never by a name that a bundle gives; no link is followed, nothing in a
bundle is code, and nothing is unpickled.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from loopwright.data.schema import Schema
from loopwright.errors import BundleRefused, DataError
from loopwright.transform.admission import admit
from loopwright.transform.columns import Column, Kind
from loopwright.transform.manifest import MANIFEST, FileEntry, Manifest
from loopwright.transform.strict_json import NoJson, decoded

MODEL, SCHEMA, CARD = "model.onnx", "schema.json", "card.html"
_MIB = 1 << 20
FILES: Mapping[str, int] = {
    MANIFEST: 64 * _MIB,
    MODEL: (2 << 30) - 1,
    SCHEMA: 64 * _MIB,
    "statistics.json": 64 * _MIB,
    "evaluation.json": 64 * _MIB,
    "comparison.json": 64 * _MIB,
    "verdict.json": 64 * _MIB,
    CARD: 64 * _MIB,
}
"""Every file that a bundle may hold, in order, and the most bytes of it. Protocol buffers end at two gigabytes."""
REQUIRED = (MANIFEST, MODEL, SCHEMA)

UNSEALED = ".manifest.json.new"
_FETCH = "fetch the bundle again"
_KINDS = {
    "string": Kind.STRING,
    "time": Kind.TIME,
    "integer": Kind.NUMBER,
    "float": Kind.NUMBER,
    "boolean": Kind.NUMBER,
}  # no lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle in memory, verified: `files` are the bytes that its digest stands for, by name."""

    manifest: Manifest
    schema: Schema
    files: Mapping[str, bytes]


def read(folder: Path) -> Bundle:
    """The bundle, verified; use its bytes rather than the folder's, which may change. Raises `BundleRefused`."""
    names = listed(folder)
    check_there(folder, names)
    files = contents(folder, names)
    manifest = Manifest.from_json(_text(files.pop(MANIFEST), MANIFEST))
    _compare(manifest, files)
    graph = admit(files[MODEL], manifest.inputs, manifest.task, manifest.classes)
    if graph.operators != manifest.operators or graph.opset != manifest.opset:
        raise BundleRefused("the manifest names other operators than the graph has", where=MODEL, fix=_FETCH)
    return Bundle(manifest=manifest, schema=check_json(files, manifest.inputs), files=files)


def listed(folder: Path) -> list[str]:
    """The names in a folder, known ones alone."""
    try:
        names = sorted(one.name for one in os.scandir(folder))
    except OSError as error:
        raise BundleRefused(f"the folder cannot be read: {error}", where=str(folder), fix=_FETCH) from None
    for name in names:
        if name not in FILES and name != UNSEALED:
            raise BundleRefused(
                f"{name!r} is no file of a bundle",
                where=str(folder),
                fix=f"keep it elsewhere; known: {', '.join(FILES)}",
            )
    return names


def check_there(folder: Path, names: Sequence[str]) -> None:
    for name in REQUIRED:
        if name not in names:
            raise BundleRefused(f"{name} is missing", where=str(folder), fix=_FETCH)
    if UNSEALED in names:
        raise BundleRefused(f"the folder was left while it was sealed: {UNSEALED}", where=str(folder), fix=_FETCH)


def contents(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    return {name: _content(folder / name, FILES[name]) for name in names}


def _content(path: Path, most: int) -> bytes:
    """The bytes of a plain file: no link is followed, and no pipe waited for."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise BundleRefused("it is no plain file", where=path.name, fix=_FETCH)
        if status.st_size > most:
            raise BundleRefused(f"it has {status.st_size:,} bytes; the most are {most:,}", where=path.name, fix=_FETCH)
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return file.read(status.st_size + 1)  # room is taken for as much as is asked for
    except OSError as error:
        raise BundleRefused(f"it cannot be read: {error}", where=path.name, fix=_FETCH) from None


def entry(content: bytes) -> FileEntry:
    return FileEntry(sha256=sha256(content).hexdigest(), size_bytes=len(content))


def _compare(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    if manifest.files.keys() != files.keys():
        raise BundleRefused(
            f"the manifest names {sorted(manifest.files)}, and there are {sorted(files)}", where=MANIFEST, fix=_FETCH
        )
    for name, content in files.items():
        said, found = manifest.files[name], entry(content)
        if said.size_bytes != found.size_bytes:
            raise BundleRefused(f"it has {found.size_bytes:,} bytes, not {said.size_bytes:,}", where=name, fix=_FETCH)
        if said.sha256 != found.sha256:
            raise BundleRefused(f"its digest is {found.sha256[:12]}, not {said.sha256[:12]}", where=name, fix=_FETCH)


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BundleRefused(f"it is no UTF-8: {error}", where=name, fix=_FETCH) from None


def check_json(files: Mapping[str, bytes], inputs: Sequence[Column]) -> Schema:
    """The schema, which must be the model's; the other files must be JSON, or text."""
    for name in files:
        if name.endswith(".json"):
            _check(files[name], name)
    _text(files.get(CARD, b""), CARD)
    schema = _schema(files[SCHEMA])
    found = [(one.name, _KINDS.get(one.kind)) for one in schema.columns]
    if found != [(one.name, one.kind) for one in inputs]:
        raise BundleRefused(
            f"the schema's columns are {', '.join(schema.names)}, and not the model's inputs in order and kind",
            where=SCHEMA, fix="write the schema of the columns the model was trained on",
        )  # fmt: skip
    return schema


def _schema(content: bytes) -> Schema:
    try:
        return Schema.from_json(_text(content, SCHEMA))
    except DataError as error:
        raise BundleRefused(f"it is not the JSON it must be: {error.what}", where=SCHEMA, fix=error.fix) from error


def _check(content: bytes, name: str) -> None:
    try:
        decoded(content)
    except NoJson as error:
        raise BundleRefused(f"it is not the JSON it must be: {error}", where=name, fix=_FETCH) from None
