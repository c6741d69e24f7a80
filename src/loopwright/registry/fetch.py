"""A version's bundle as a folder on this machine: verified, and in place whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from loopwright.core.stores import Blobs, Stores
from loopwright.core.version import Version
from loopwright.errors import BundleRefused
from loopwright.registry.evidence import LINEAGE
from loopwright.transform import bundle
from loopwright.transform.bundle import Bundle
from loopwright.transform.manifest import Manifest

FETCHING = ".fetching-"
"""How a folder is called that is being filled."""
_KEPT = 3
_FRESH = timedelta(hours=1)
"""What is younger may be about to be used."""


def fetch(stores: Stores, version: Version, folder: Path) -> Path:
    """The bundle at `folder/<digest>`, fetched unless it is there and whole.

    Several processes may ask at once. Raises BundleRefused, ArtifactCorrupted and ArtifactNotFound.
    """
    fetched(stores, version, folder)
    return folder / version.digest


def fetched(stores: Stores, version: Version, folder: Path) -> Bundle:
    """As `fetch`; the bundle itself, as it was verified: who uses its bytes need not read it again."""
    target = folder / version.digest
    there = _whole(target, version)
    if there is not None:
        return there
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=FETCHING, dir=folder))
    try:
        found = _filled(stores.blobs, version, temporary)
        _settle(temporary, target, version)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return found


def fill(blobs: Blobs, version: Version, folder: Path) -> Manifest:
    """Write the bundle's files into an empty folder, and verify them."""
    return _filled(blobs, version, folder).manifest


def _filled(blobs: Blobs, version: Version, folder: Path) -> Bundle:
    for name, digest in bundled(version).items():
        with blobs.local(digest) as content:
            shutil.copyfile(content, folder / name)
    found = bundle.read(folder)
    if found.manifest.digest != version.digest:
        raise BundleRefused(
            f"the bundle of {version.name} has digest {found.manifest.digest}, not {version.digest}",
            where=str(folder),
            fix="restore the metadata store from a backup, or run the loop again",
        )
    return found


def clean(folder: Path, needed: Collection[str], now: datetime) -> list[str]:
    """Delete bundles that are not needed, but for the newest few, and what was left of fetches; their names.

    What is deleted too early is fetched again.
    """
    if not folder.is_dir():
        return []
    old = (now - _FRESH).timestamp()
    there = sorted(((one.stat().st_mtime, one) for one in folder.iterdir()), reverse=True)
    unneeded = [(at, one) for at, one in there if one.name not in needed and not one.name.startswith(FETCHING)]
    left = [(at, one) for at, one in there if one.name.startswith(FETCHING)]
    gone = [one for at, one in [*unneeded[_KEPT:], *left] if at < old]
    for one in gone:
        shutil.rmtree(one, ignore_errors=True)
    return sorted(one.name for one in gone)


def bundled(version: Version) -> dict[str, str]:
    """The files that belong to the bundle itself."""
    return {name: digest for name, digest in version.files.items() if not name.startswith(LINEAGE)}


def _whole(target: Path, version: Version) -> Bundle | None:
    if not target.is_dir():
        return None
    with suppress(BundleRefused):
        found = bundle.read(target)
        return found if found.manifest.digest == version.digest else None
    return None


def _settle(temporary: Path, target: Path, version: Version) -> None:
    """A damaged folder goes first; one that another process put there meanwhile stays."""
    if target.exists() and _whole(target, version) is None:
        shutil.rmtree(target, ignore_errors=True)
    try:
        temporary.rename(target)
    except OSError:
        if _whole(target, version) is None:
            raise
