"""A bundle as one file to send: a zip of fixed order and times, read as if a stranger had made it.

Nothing is extracted by the archive's word: members have names from the bundle's list, or are plain names below
`lineage/`; bytes are counted while they are read; the folder appears whole and verified, or not at all.
"""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, NoReturn

from loopwright.errors import BundleRefused
from loopwright.transform.contents import FILES, read
from loopwright.transform.manifest import MANIFEST

LINEAGE = "lineage/"
MOST_BYTES = 4 << 30
"""Of all members together, unpacked; and of the archive itself."""
MOST_LINEAGE_BYTES = 64 << 20
"""Of what lies beside the bundle, together: it is read into memory."""
MOST_MEMBERS = 64

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_DIRECTORY_BYTES = 1 << 20
_END, _END_BYTES, _END64, _END64_BYTES = b"PK\x05\x06", 22, b"PK\x06\x07", 20
_PIECE = 1 << 20
_OLDEST = (1980, 1, 1, 0, 0, 0)
_MODE = (stat.S_IFREG | 0o644) << 16
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def pack(folder: Path, target: Path, lineage: Mapping[str, bytes] | None = None) -> None:
    """Write a verified bundle, and beside it members of the given names, into one file. Raises `BundleRefused`."""
    bundle = read(folder)
    files = {MANIFEST: bundle.manifest.to_json().encode(), **bundle.files}
    members = [(name, files[name]) for name in FILES if name in files]
    members += [(LINEAGE + name, content) for name, content in sorted((lineage or {}).items())]
    for name, _ in members:
        _check_name(name)
    if sum(map(len, (lineage or {}).values())) > MOST_LINEAGE_BYTES:
        _refuse(f"it is more than {MOST_LINEAGE_BYTES:,} bytes", "what is packed beside the bundle")
    unfinished = target.with_name(f".{target.name}.new")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name, _OLDEST)
            info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_DEFLATED, _MODE, 3
            archive.writestr(info, content)
    unfinished.replace(target)


def unpack(archive: Path, folder: Path) -> dict[str, bytes]:
    """Verify an archive into a folder that is not there yet; give the lineage members, by name without `lineage/`.

    Raises `BundleRefused`, and leaves no folder then.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleRefused("the folder is there already", where=str(folder), fix="name one that is not")
    folder.parent.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpack-"))
    try:
        lineage = _extracted(archive, room)
        read(room)
        room.chmod(0o755)
        room.replace(folder)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return lineage


def _extracted(archive: Path, room: Path) -> dict[str, bytes]:
    lineage: dict[str, bytes] = {}
    try:
        with archive.open("rb") as file:
            _check_end(file)
            with zipfile.ZipFile(file) as members:
                left = MOST_BYTES
                for info in _checked(members):
                    most = min(left, FILES.get(info.filename, MOST_LINEAGE_BYTES - sum(map(len, lineage.values()))))
                    with members.open(info) as member:
                        left -= _keep(info.filename, member, most, room, lineage)
    except _DAMAGE as error:
        _refuse(f"the archive cannot be read: {error}", archive.name)
    return lineage


def _check_end(file: IO[bytes]) -> None:
    """Before anything of the directory is read: that it is small, and said in one place alone."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_BYTES - _END64_BYTES))
    end = file.read()
    entries, directory = int.from_bytes(end[-12:-10], "little"), int.from_bytes(end[-10:-6], "little")
    if end[-_END_BYTES : -_END_BYTES + 4] != _END or end[:4] == _END64:
        _refuse("the file is no zip as Loopwright writes it", "the archive")
    if size > MOST_BYTES or entries > MOST_MEMBERS or directory > _DIRECTORY_BYTES:
        _refuse(f"{size:,} bytes with {entries} members are more than a bundle has", "the archive")
    file.seek(0)


def _checked(members: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    seen: set[str] = set()
    for info in members.infolist():
        _check_name(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.filename in seen:
            _refuse("it is there twice", info.filename)
        if info.orig_filename != info.filename or info.is_dir() or kind not in (0, stat.S_IFREG):
            _refuse("it is no plain file, or its name is not plain", info.filename)
        if info.flag_bits & 0x41 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            _refuse("it is encrypted, or packed in another way", info.filename)
        seen.add(info.filename)
        yield info


def _check_name(name: str) -> None:
    beside = name.removeprefix(LINEAGE)
    if name not in FILES and (beside == name or not _NAME.fullmatch(beside)):
        _refuse(f"{name!r} is no file of a bundle", "the archive")


def _keep(name: str, member: IO[bytes], most: int, room: Path, lineage: dict[str, bytes]) -> int:
    """A bundle's file to disk, a lineage member to memory. How much it was; counted as it comes, whatever it says."""
    size = 0
    with (room / name).open("xb") if name in FILES else BytesIO() as file:
        while piece := member.read(_PIECE):
            size += len(piece)
            if size > most:
                _refuse(f"it has more than {most:,} bytes", name)
            file.write(piece)
        if isinstance(file, BytesIO):
            lineage[name.removeprefix(LINEAGE)] = file.getvalue()
    return size


def _refuse(what: str, where: str) -> NoReturn:
    raise BundleRefused(what, where=where, fix="ask for the archive again, from whom you trust")
