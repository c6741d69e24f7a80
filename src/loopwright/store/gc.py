"""Garbage: content that nothing needs any more. First a plan that says every byte, then the sweep.

Never collected: what an execution, a lease or a composite refers to, and whatever was written or wanted again within
the grace period, because a worker may be about to record it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from loopwright.core.artifact import Artifact, Blob
from loopwright.core.event import Cause
from loopwright.core.stores import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """What a collection would take, or took."""

    unreferenced: Sequence[Artifact]
    """Recorded, and needed by nothing."""
    orphans: Sequence[Blob]
    """Content without a record: left by a worker that was killed between writing and recording."""

    @property
    def size_bytes(self) -> int:
        return sum(a.size_bytes for a in self.unreferenced) + sum(b.size_bytes for b in self.orphans)


def plan(stores: Stores, now: datetime, *, grace: timedelta, older_than: timedelta | None = None) -> Garbage:
    """What `collect` would take now."""
    blobs = {blob.digest: blob for blob in stores.blobs.list()}
    unreferenced = stores.artifacts.unreferenced(before=_before(now, older_than))
    known = {artifact.digest for artifact in stores.artifacts.list()}
    return Garbage(
        unreferenced=[artifact for artifact in unreferenced if _is_old(blobs.get(artifact.digest), now, grace)],
        orphans=[blob for digest, blob in blobs.items() if digest not in known and _is_old(blob, now, grace)],
    )


def collect(stores: Stores, cause: Cause, *, grace: timedelta, older_than: timedelta | None = None) -> Garbage:
    """Forget first, delete then: killed in between, what is left are orphans that the next collection takes."""
    forgotten = stores.artifacts.forget_unreferenced(cause, before=_before(cause.at, older_than))
    garbage = plan(stores, cause.at, grace=grace, older_than=older_than)
    stores.blobs.delete(blob.digest for blob in garbage.orphans)
    gone = {blob.digest for blob in garbage.orphans}
    taken = [artifact for artifact in forgotten if artifact.digest in gone]
    return Garbage(
        unreferenced=taken, orphans=[b for b in garbage.orphans if b.digest not in {a.digest for a in taken}]
    )


def _before(now: datetime, older_than: timedelta | None) -> datetime | None:
    return None if older_than is None else now - older_than


def _is_old(blob: Blob | None, now: datetime, grace: timedelta) -> bool:
    return blob is None or now - blob.modified_at > grace
