"""What lies in the folder of an edge: a bundle, which version it is, and the journal of what was answered.

    <folder>/bundle/       the sealed files
    <folder>/edge.json     loop, version and digest, as the workspace knows them
    <folder>/journal/      what was not handed in yet

A bundle's own folder will do too; its journal lies beside it then, for nothing may be added to a bundle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from loopwright.errors import BundleRefused
from loopwright.transform import strict_json
from loopwright.transform.bundle import MANIFEST, Bundle, read

ABOUT, BUNDLE, JOURNAL = "edge.json", "bundle", "journal"
_FIX = "write the folder again: lw bundle edge LOOP --output FOLDER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder whose bundle was verified."""

    bundle: Bundle
    version: int
    """Of the loop in its workspace; 0 where that is not known."""
    journal: Path

    @property
    def loop(self) -> str:
        return self.bundle.manifest.name

    @property
    def digest(self) -> str:
        return self.bundle.manifest.digest


def look(folder: Path) -> Place:
    """Raises `BundleRefused`."""
    if (folder / MANIFEST).is_file() or not (folder / ABOUT).is_file():
        return Place(bundle=read(folder), version=0, journal=folder.absolute().with_name(f"{folder.name}-{JOURNAL}"))
    bundle = read(folder / BUNDLE)
    return Place(bundle=bundle, version=_version(folder / ABOUT, bundle), journal=folder / JOURNAL)


def write(folder: Path, loop: str, version: int, digest: str) -> None:
    """What stands beside the bundle, written last: without it the folder is none."""
    about = {"format": 1, "loop": loop, "version": version, "digest": digest}
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _version(path: Path, bundle: Bundle) -> int:
    try:
        said = strict_json.decoded(path.read_bytes())
        known = (said["loop"], said["digest"]) == (bundle.manifest.name, bundle.manifest.digest)
        version = said["version"]
    except (OSError, strict_json.NoJson, KeyError, TypeError) as error:
        raise BundleRefused(f"{ABOUT} cannot be read: {error}", where=str(path), fix=_FIX) from None
    if not known or type(version) is not int:
        raise BundleRefused(f"{ABOUT} tells of another bundle than the one beside it", where=str(path), fix=_FIX)
    return version
