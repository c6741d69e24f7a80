"""What the layers above ask of a store. Split by noun; every write is one transaction that also writes its event.

Two families implement these: `loopwright.store` (SQLite, PostgreSQL) and `loopwright.testing` (memory). Both pass
`loopwright.testing.conformance`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from loopwright.core.access import ApiKey
from loopwright.core.artifact import Artifact, Blob
from loopwright.core.event import Cause, Event
from loopwright.core.run import Execution, Failure, Lease, Run, RunStatus
from loopwright.core.version import Route, Version


class Runs(Protocol):
    def request(self, run: Run, cause: Cause) -> tuple[Run, bool]:
        """Record a new run, unless one with the same request key is unfinished: then that one and False.

        Decided by the database, so that two processes asking at once get one run.
        """
        ...

    def get(self, name: str) -> Run:
        """By id, by any part of an id that fits one run only, or `last`. Raises RunNotFound."""
        ...

    def list(self, *, limit: int = 20, pipeline: str | None = None) -> Sequence[Run]:
        """Newest first."""
        ...

    def acquire(
        self, lease: Lease, cause: Cause, artifacts: Sequence[Artifact], *, is_alive: Callable[[str], bool | None]
    ) -> Lease:
        """Take the run, unless somebody holds it; the token of `lease` is ignored, the fresh one is returned.

        `artifacts` are what the lease names: code, environment, difference. Reopens a finished run. Raises LeaseLost,
        naming the holder, when the run is held or its request already runs.
        """
        ...

    def heartbeat(self, lease: Lease, expires_at: datetime) -> Run:
        """Extend the lease. Raises LeaseLost when another worker has the run. Not an event: nothing changed."""
        ...

    def finish(self, lease: Lease, status: RunStatus, cause: Cause, error: Failure | None = None) -> Run:
        """Raises LeaseLost when another worker has the run."""
        ...

    def request_cancel(self, run_id: str, cause: Cause) -> Run:
        """Ask whoever holds the run to stop; a finished run stays as it is."""
        ...


class Executions(Protocol):
    def save(
        self, lease: Lease, executions: Sequence[Execution], cause: Cause, artifacts: Sequence[Artifact] = ()
    ) -> None:
        """Write the executions as they are now, with the artifacts they made. Raises LeaseLost."""
        ...

    def of_run(self, run_id: str) -> Sequence[Execution]:
        """In dependency order."""
        ...

    def of_runs(self, run_ids: Sequence[str]) -> dict[str, dict[str, int]]:
        """How many executions of each status each run has."""
        ...

    def reusable(self, key: str) -> Execution | None:
        """The newest execution that ran under this key and whose output is not forgotten."""
        ...


class Artifacts(Protocol):
    def get(self, digest: str) -> Artifact:
        """Raises ArtifactNotFound."""
        ...

    def list(self) -> Sequence[Artifact]: ...

    def unreferenced(self, *, before: datetime | None = None) -> Sequence[Artifact]:
        """Artifacts that nothing needs: no execution, no lease, no version, no composite.

        With `before`, an execution of a run that finished earlier does not count, unless that run is the newest
        succeeded one of its pipeline.
        """
        ...

    def forget_unreferenced(self, cause: Cause, *, before: datetime | None = None) -> Sequence[Artifact]:
        """Drop the records of what is unreferenced at this moment, and say which they were.

        Executions keep the digest of a forgotten output, and will not be reused.
        """
        ...


class Versions(Protocol):
    """The models of every loop, numbered in the order they were registered."""

    def add(
        self, version: Version, artifacts: Sequence[Artifact], cause: Cause, *, is_imported: bool = False
    ) -> Version:
        """Record a version with the artifacts of its files, under the next number of its loop.

        The same bundle of the same loop again gives the version that is there, and changes nothing.
        """
        ...

    def get(self, loop: str, name: str) -> Version:
        """By number (`3`, `v3`), alias, `newest`, or at least six digits of its digest. Raises VersionNotFound."""
        ...

    def list(self, loop: str | None = None) -> Sequence[Version]:
        """By loop, newest first."""
        ...

    def annotate(
        self,
        loop: str,
        number: int,
        cause: Cause,
        *,
        notes: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Version:
        """Write notes or tags over those that were there; what is None stays. Raises VersionNotFound."""
        ...


class Routes(Protocol):
    """Which versions answer. Every route there ever was is kept."""

    def current(self, loop: str) -> Route | None: ...

    def loops(self) -> Sequence[str]:
        """Those that have a route, by name."""
        ...

    def newest(self) -> Sequence[Route]:
        """The route in force of every loop, by name: one query, however many there are."""
        ...

    def history(self, loop: str) -> Sequence[Route]:
        """Newest first."""
        ...

    def change(
        self,
        route: Route,
        aliases: Mapping[str, int | None],
        cause: Cause,
        expected: int | None,
        kind: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Route:
        """Put a route in place of revision `expected` (None: of no route), and move aliases with it; None drops one.

        Number, moment, actor and reason of `route` are written over with the next revision and the cause; `kind` is
        the event, the route's own unless given, and `data` is told with it. Raises Conflict when another revision is
        current, VersionNotFound for a version that is not there.
        """
        ...


class ApiKeys(Protocol):
    """Who may ask a gateway. A key that was made stays for good, revoked or not."""

    def add(self, key: ApiKey, cause: Cause) -> ApiKey:
        """Record a new key, made by the actor of the cause at its moment. Raises Conflict for an id that is there."""
        ...

    def get(self, name: str) -> ApiKey:
        """By id. Raises KeyNotFound."""
        ...

    def list(self) -> Sequence[ApiKey]:
        """In the order they were made."""
        ...

    def revoke(self, name: str, cause: Cause) -> ApiKey:
        """Good for nothing from now on; of one that is revoked already nothing changes. Raises KeyNotFound."""
        ...

    def note_use(self, used: Mapping[str, datetime]) -> None:
        """When each key, by id, was used last; an earlier moment changes nothing. Not an event: nothing changed."""
        ...


class Events(Protocol):
    def add(self, kind: str, subject: str, cause: Cause, data: Mapping[str, Any]) -> bool:
        """Tell of what was found, where no record changes. What the newest event of this kind and subject says already
        is not told again: then False.

        Decided by the database, so that two processes telling at once tell it once.
        """
        ...

    def list(self, *, subject: str | None = None, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """In the order they were committed."""
        ...


class Blobs(Protocol):
    """Content by digest. Knows nothing of runs."""

    def put(self, content: bytes | Path) -> Blob:
        """Store bytes or the content of a file; whole and durable when this returns. Equal content is stored once."""
        ...

    def read(self, digest: str) -> bytes:
        """Raises ArtifactCorrupted when the content is not what its digest says, ArtifactNotFound when it is gone."""
        ...

    def local(self, digest: str) -> AbstractContextManager[Path]:
        """A verified file to read from, for content too big for memory or read in place. Raises like `read`."""
        ...

    def has(self, digest: str, size_bytes: int) -> bool:
        """Whether content of that size is there; a look, not a verification."""
        ...

    def list(self) -> Iterator[Blob]: ...

    def delete(self, digests: Iterable[str]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The memory of a workspace."""

    runs: Runs
    executions: Executions
    artifacts: Artifacts
    versions: Versions
    routes: Routes
    keys: ApiKeys
    events: Events
    blobs: Blobs
