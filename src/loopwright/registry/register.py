"""A sealed bundle becomes a version: first its files as blobs, then the row that names them.

Killed in between, blobs without a row are left, which `lw gc` takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from loopwright.core.artifact import Artifact, Blob
from loopwright.core.event import Cause
from loopwright.core.stores import Blobs, Stores
from loopwright.core.version import Version, VersionStatus
from loopwright.errors import BundleRefused
from loopwright.transform.manifest import MANIFEST, Manifest


def register(
    stores: Stores,
    folder: Path,
    manifest: Manifest,
    cause: Cause,
    *,
    status: VersionStatus,
    run_id: str,
    metric: str,
    value: float | None,
    reason: str,
    notes: str = "",
    tags: Mapping[str, str] | None = None,
) -> Version:
    """Store the bundle in `folder`, which `manifest` seals, as the next version of its loop.

    The same bundle again gives the version that is there. Raises BundleRefused when a file is not what the manifest
    says.
    """
    blobs = put(stores.blobs, folder, manifest)
    version = Version(
        loop=manifest.name,
        digest=manifest.digest,
        files={name: blob.digest for name, blob in blobs.items()},
        status=status,
        run_id=run_id,
        created_at=cause.at,
        created_by=cause.actor,
        metric=metric,
        value=value,
        reason=reason,
        task=manifest.task,
        lineage=manifest.lineage,
        notes=notes,
        tags=tags or {},
    )
    return stores.versions.add(version, artifacts(version, blobs), cause)


def put(blobs: Blobs, folder: Path, manifest: Manifest) -> dict[str, Blob]:
    """The bundle's files as blobs, by name."""
    stored = {name: blobs.put(folder / name) for name in [*manifest.files, MANIFEST]}
    for name, entry in manifest.files.items():
        if stored[name].digest != entry.sha256:
            raise BundleRefused(
                f"{name} was changed after the bundle was sealed: its digest is {stored[name].digest[:12]}, "
                f"not {entry.sha256[:12]}",
                where=str(folder / name),
                fix="run the pipeline again",
            )
    return stored


def artifacts(version: Version, blobs: Mapping[str, Blob]) -> list[Artifact]:
    """The records of the files, by name, that a version keeps."""
    return [
        Artifact(
            digest=blob.digest,
            kind="bundle",
            format=Path(name).suffix.removeprefix("."),
            size_bytes=blob.size_bytes,
            created_at=version.created_at,
            run_id=version.run_id,
        )
        for name, blob in blobs.items()
    ]
