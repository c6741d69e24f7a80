"""A version's bundle as a folder on this machine: verified, and in place whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from loopwright.core.stores import Blobs, Stores
from loopwright.core.version import Version
from loopwright.errors import BundleRefused
from loopwright.registry.evidence import LINEAGE
from loopwright.transform import bundle
from loopwright.transform.manifest import Manifest


def fetch(stores: Stores, version: Version, folder: Path) -> Path:
    """The bundle at `folder/<digest>`, fetched unless it is there and whole.

    Several processes may ask at once. Raises BundleRefused, ArtifactCorrupted and ArtifactNotFound.
    """
    target = folder / version.digest
    if _is_whole(target, version):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".fetching-", dir=folder))
    try:
        fill(stores.blobs, version, temporary)
        _settle(temporary, target, version)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def fill(blobs: Blobs, version: Version, folder: Path) -> Manifest:
    """Write the bundle's files into an empty folder, and verify them."""
    for name, digest in bundled(version).items():
        with blobs.local(digest) as content:
            shutil.copyfile(content, folder / name)
    manifest = bundle.verify(folder)
    if manifest.digest != version.digest:
        raise BundleRefused(
            f"the bundle of {version.name} has digest {manifest.digest}, not {version.digest}",
            where=str(folder),
            fix="restore the metadata store from a backup, or run the loop again",
        )
    return manifest


def bundled(version: Version) -> dict[str, str]:
    """The files that belong to the bundle itself."""
    return {name: digest for name, digest in version.files.items() if not name.startswith(LINEAGE)}


def _is_whole(target: Path, version: Version) -> bool:
    if not target.is_dir():
        return False
    with suppress(BundleRefused):
        return bundle.verify(target).digest == version.digest
    return False


def _settle(temporary: Path, target: Path, version: Version) -> None:
    """A damaged folder goes first; one that another process put there meanwhile stays."""
    if target.exists() and not _is_whole(target, version):
        shutil.rmtree(target, ignore_errors=True)
    try:
        temporary.rename(target)
    except OSError:
        if not _is_whole(target, version):
            raise
