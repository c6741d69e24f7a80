"""The bundle: a model with all it takes to serve it, as a folder of plain files. Sealed, verified, packed, unpacked.

Standard library and the modules beside: the gateway, and the edge, read bundles where nothing else is installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from loopwright.transform.admission import admit, check_classes
from loopwright.transform.archive import pack, unpack
from loopwright.transform.columns import Column
from loopwright.transform.contents import (
    FILES,
    MODEL,
    SCHEMA,
    UNSEALED,
    Bundle,
    check_json,
    check_there,
    contents,
    entry,
    listed,
    read,
)
from loopwright.transform.manifest import MANIFEST, FileEntry, Manifest, check, classes_of, digest_of, plain

__all__ = [
    "FILES", "MANIFEST", "MODEL", "SCHEMA", "Bundle", "FileEntry", "Manifest", "pack", "read", "unpack",
    "verify", "write",
]  # fmt: skip


def write(
    folder: Path,
    *,
    name: str,
    inputs: Sequence[Column],
    task: str,
    classes: Sequence[object],
    parity: Mapping[str, Any],
    lineage: Mapping[str, Any],
) -> Manifest:
    """Seal the files of a folder under a manifest, which is written last and at once; one that is there is replaced.

    Everything is checked as `verify` does. Raises `BundleRefused`.
    """
    files = contents(folder, [one for one in listed(folder) if one not in (MANIFEST, UNSEALED)])
    check_there(folder, [MANIFEST, *files])
    found = classes_of(classes)
    check_classes(task, found)
    graph = admit(files[MODEL], inputs, task, found)
    unsealed = Manifest(
        name=name,
        digest="",
        files={one: entry(content) for one, content in files.items()},
        inputs=tuple(inputs),
        task=task,
        classes=found,
        opset=graph.opset,
        operators=graph.operators,
        parity=plain(parity, "parity"),
        lineage=plain(lineage, "the lineage"),
    )
    check(unsealed)
    manifest = replace(unsealed, digest=digest_of(unsealed))
    check_json(files, manifest.inputs)
    (folder / UNSEALED).write_text(manifest.to_json(), encoding="utf-8")
    (folder / UNSEALED).replace(folder / MANIFEST)
    return manifest


def verify(folder: Path) -> Manifest:
    """Check everything in a folder. Raises `BundleRefused` for what is not whole, not safe or not what it says."""
    return read(folder).manifest
