"""A version carried to another workspace: its bundle, and beside it what the lineage names, in one file.

Nothing that comes in is believed: the bundle is verified, accepted is what its own verdict says, and code, environment
and difference must be those that its manifest names. The runs, of which one made the model and one judged it, are told
as they were told there.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from loopwright.core.event import Cause
from loopwright.core.stores import Stores
from loopwright.core.version import Version, VersionStatus
from loopwright.errors import BundleRefused, DataError
from loopwright.judge.evaluation import Evaluation
from loopwright.judge.verdict import Verdict
from loopwright.registry import evidence
from loopwright.registry.evidence import CODE, DIFFERENCE, ENVIRONMENT, JUDGED, LINEAGE, MADE, RUN
from loopwright.registry.fetch import fill
from loopwright.registry.register import artifacts, put
from loopwright.transform import bundle
from loopwright.transform.manifest import Manifest

_MEMBERS = {CODE: "code", ENVIRONMENT: "environment", DIFFERENCE: "git_diff"}
"""What may come along, and what the manifest's lineage calls its digest."""
_NOT_JUDGED = "it was never judged: the bundle holds no verdict"
_AGAIN = "ask for the archive again, from whom you trust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    version: Version
    is_new: bool
    """False when the same bundle was here already."""


def export_bundle(stores: Stores, version: Version, target: Path, scratch: Path) -> Path:
    """Write a version to one file, which replaces one that is there. Raises BundleRefused, ArtifactNotFound."""
    with _room(scratch) as room:
        fill(stores.blobs, version, Path(room))
        bundle.pack(Path(room), target, _lineage(stores, version))
    return target


def import_bundle(stores: Stores, archive: Path, scratch: Path, cause: Cause) -> Imported:
    """Make a version of what another workspace exported.

    Without a verdict it counts as rejected. Raises BundleRefused for what is not what it says, DataError for a
    verdict, an evaluation or a run that cannot be read.
    """
    with _room(scratch) as room:
        folder = Path(room) / "bundle"
        members = bundle.unpack(archive, folder)
        manifest = bundle.verify(folder)
        facts = _facts(members, manifest)
        _check(members, manifest)
        there = any(known.digest == manifest.digest for known in stores.versions.list(manifest.name))
        version = _version(folder, manifest, facts, cause)
        _check_text(version)
        blobs = put(stores.blobs, folder, manifest)
        blobs |= {LINEAGE + name: stores.blobs.put(content) for name, content in sorted(members.items())}
    version = replace(version, files={name: blob.digest for name, blob in blobs.items()})
    added = stores.versions.add(version, artifacts(version, blobs), cause, is_imported=True)
    return Imported(version=added, is_new=not there)


def _room(scratch: Path) -> tempfile.TemporaryDirectory[str]:
    scratch.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=scratch, prefix="bundle-")


def _lineage(stores: Stores, version: Version) -> dict[str, bytes]:
    found = {
        CODE: evidence.content_of(stores, evidence.code_of(version)),
        ENVIRONMENT: evidence.content_of(stores, evidence.environment_of(version)),
        DIFFERENCE: evidence.content_of(stores, evidence.difference_of(version)),
        RUN: _run_json(stores, version),
    }
    return {name: content for name, content in found.items() if content is not None}


def _run_json(stores: Stores, version: Version) -> bytes:
    judged, made = evidence.run_of(stores, version), evidence.maker_of(stores, version)
    told = {
        "name": version.name,
        "digest": version.digest,
        "run_id": version.run_id,
        "status": version.status.value,
        "metric": version.metric,
        "notes": version.notes,
        "tags": dict(version.tags),
    }
    runs = {JUDGED: asdict(judged) if judged else None, MADE: asdict(made) if made else None}
    return json.dumps({"version": told} | runs, indent=1, sort_keys=True, ensure_ascii=False).encode()


def _facts(members: dict[str, bytes], manifest: Manifest) -> Mapping[str, Any]:
    """What the exporter said of the version; members that are not known, or that no digest proves, are dropped."""
    proved = {member for member, name in _MEMBERS.items() if manifest.lineage.get(name) is not None}
    for name in members.keys() - {*proved, RUN}:
        del members[name]
    if RUN not in members:
        return {}
    judged = _judged(members[RUN], manifest)
    facts = json.loads(members[RUN]).get("version")
    if not isinstance(facts, dict):
        raise DataError("the run of the archive says nothing of the version", where=LINEAGE + RUN, fix=_AGAIN)
    if facts.get("digest") != manifest.digest:
        raise BundleRefused(
            f"what came along is of another bundle: {facts.get('digest')}, not {manifest.digest}",
            where=LINEAGE + RUN,
            fix=_AGAIN,
        )
    return facts | ({"run_id": judged} if judged else {})


def _judged(content: bytes, manifest: Manifest) -> str | None:
    """The run that judged it. Readable before anything is kept; and the maker is the run that the manifest names."""
    judged = evidence.run_from_json(content, JUDGED)
    maker, said = evidence.run_from_json(content, MADE), manifest.lineage.get("run")
    if maker is not None and maker.id != said:
        raise BundleRefused(
            f"what came along says that run {maker.id!r} made it, and the manifest says {said!r}",
            where=LINEAGE + RUN,
            fix=_AGAIN,
        )
    return str(judged.id) if judged else None


def _check(members: Mapping[str, bytes], manifest: Manifest) -> None:
    """Code, environment and difference are those that the manifest names, or they prove nothing."""
    for member, name in _MEMBERS.items():
        if member not in members:
            continue
        said = manifest.lineage.get(name)
        found = sha256(members[member]).hexdigest()
        if found != said:
            raise BundleRefused(
                f"{member} is not what the manifest names: its digest is {found}, not {said}",
                where=LINEAGE + member,
                fix=_AGAIN,
            )


def _version(folder: Path, manifest: Manifest, facts: Mapping[str, Any], cause: Cause) -> Version:
    verdict = _read(folder / "verdict.json", Verdict)
    evaluation = _read(folder / "evaluation.json", Evaluation)
    metric, value = _measured(evaluation, str(facts.get("metric", "")))
    is_accepted = verdict is not None and verdict.accepted is True
    tags = facts.get("tags")
    return Version(
        loop=manifest.name,
        digest=manifest.digest,
        files={},
        status=VersionStatus.ACCEPTED if is_accepted else VersionStatus.REJECTED,
        run_id=str(facts.get("run_id") or manifest.lineage.get("run", "")),
        created_at=cause.at,
        created_by=cause.actor,
        metric=metric,
        value=value,
        reason=str(verdict.reason) if verdict else _NOT_JUDGED,
        task=manifest.task,
        lineage=manifest.lineage,
        notes=str(facts.get("notes", "")),
        tags={str(name): str(tag) for name, tag in tags.items()} if isinstance(tags, dict) else {},
    )


def _read(path: Path, kind: Any) -> Any:
    return evidence.parsed(path.read_bytes(), path.name, kind.from_json) if path.exists() else None


def _measured(evaluation: Evaluation | None, metric: str) -> tuple[str, float | None]:
    """The value is the evaluation's own, whatever came along; which metric comes first is the exporter's word."""
    if evaluation is None or not evaluation.metrics:
        return metric, None
    found = evaluation.metric(metric) or evaluation.metrics[0]
    return str(found.metric), float(found.value) if isinstance(found.value, int | float) else None


def _check_text(version: Version) -> None:
    """A zero byte or half a character cannot be stored by every database."""
    for text in _texts([version.lineage, version.tags, version.notes, version.metric, version.reason, version.run_id]):
        if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise BundleRefused("it holds text that cannot be stored", where=ascii(text)[:80], fix=_AGAIN)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for name, inner in value.items():
                yield name
                yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)
