"""What the layers above ask of a store. Split by noun; every write is one transaction that also writes its event.

Two families implement these: `loopwright.store` (SQLite, PostgreSQL) and `loopwright.testing` (memory). Both pass
`loopwright.testing.conformance`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from loopwright.core.access import ApiKey
from loopwright.core.artifact import Artifact, Blob
from loopwright.core.deployment import Deployment
from loopwright.core.event import Cause, Event
from loopwright.core.finding import Finding
from loopwright.core.progress import Progress
from loopwright.core.release import Release
from loopwright.core.retraining import Retraining
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


class Releases(Protocol):
    """Versions on their way. A release and the route that it stands for change in one transaction."""

    def begin(
        self,
        release: Release,
        route: Route | None,
        expected: int | None,
        cause: Cause,
        kind: str,
        data: Mapping[str, Any],
    ) -> Release:
        """Record a new release, with the route that it begins with in place of revision `expected`.

        The aliases follow the route: each arm's name is that of its version, and names of arms that are gone are
        dropped. Raises Conflict when another release of this loop has not ended, or another route is in force;
        VersionNotFound for a version that is not there.
        """
        ...

    def move(
        self, release: Release, route: Route | None, cause: Cause, kind: str | None, data: Mapping[str, Any]
    ) -> Release:
        """Write the release over its record of the same `number`, with a new route (None: it stays) in place of the
        revision `release.route`, and an event (None: none, nothing was decided). Raises Conflict when either has
        changed meanwhile."""
        ...

    def get(self, name: str) -> Release:
        """By id, or by the name of a loop: its newest. Raises ReleaseNotFound."""
        ...

    def unended(self) -> Sequence[Release]:
        """Of all loops, by loop: one query."""
        ...

    def list(self, loop: str | None = None, *, limit: int = 20) -> Sequence[Release]:
        """Newest first."""
        ...


class Deployments(Protocol):
    """Loop files as they are deployed, numbered by loop. What is deployed stays, and its artifacts with it."""

    def add(self, deployment: Deployment, artifacts: Sequence[Artifact], cause: Cause) -> Deployment:
        """Record it under the next number of its loop and put it in force. Equal code, environment, settings and spec
        as one that is there: that one, put in force; where it is so already nothing changes."""
        ...

    def put_in_force(self, loop: str, number: int, cause: Cause, *, expected: int | None) -> Deployment:
        """Another one, in place of the one `expected`. Raises DeploymentNotFound, Conflict."""
        ...

    def in_force(self) -> Sequence[Deployment]:
        """Of every loop that has one, by loop: one query."""
        ...

    def get(self, loop: str, number: int | None = None) -> Deployment:
        """The one in force without a number. Raises DeploymentNotFound."""
        ...

    def list(self, loop: str) -> Sequence[Deployment]:
        """Newest first."""
        ...

    def history(self, loop: str) -> Sequence[int]:
        """The numbers in the order they were put in force, the newest last: what a rollback goes back along."""
        ...


class Retrainings(Protocol):
    def claim(self, retraining: Retraining, cause: Cause) -> Retraining:
        """Record that this cause makes this retraining. Raises Conflict when the cause made one already, or another
        one of the loop is not final. Decided by the database, so that of many that start at once exactly one wins."""
        ...

    def save(self, retraining: Retraining, cause: Cause) -> Retraining:
        """What became of it: run, version, status. Raises Conflict when it is final already."""
        ...

    def unfinished(self) -> Sequence[Retraining]:
        """Of all loops: one query."""
        ...

    def list(self, loop: str | None = None, *, limit: int = 20) -> Sequence[Retraining]:
        """Newest first."""
        ...


class Findings(Protocol):
    """What monitors found. Written by `Progresses.put`, with how far the monitor got."""

    def list(
        self, loop: str, *, monitor: str | None = None, since: datetime | None = None, limit: int = 1000
    ) -> Sequence[Finding]:
        """By the end of their windows, newest first."""
        ...

    def newest(self, loop: str | None = None) -> Sequence[Finding]:
        """The newest of each loop, monitor and subject: one query, however many loops."""
        ...


class Progresses(Protocol):
    def get(self, name: str) -> Progress | None: ...

    def list(self, prefix: str = "") -> Sequence[Progress]:
        """By name: one query."""
        ...

    def put(
        self,
        progress: Progress,
        cause: Cause,
        *,
        findings: Sequence[Finding] = (),
        events: Sequence[tuple[str, str, Mapping[str, Any]]] = (),
    ) -> Progress:
        """Write it over the one of the same `number` (0: there is none), with what was found and events (kind, subject,
        data), all or nothing. A finding takes the place of one of the same loop, monitor, subject, version and window.
        Raises Conflict when another number is there. Without findings and events it is no event: nothing changed."""
        ...


class Leaders(Protocol):
    """Which of many processes does what only one should. An economy: what they write is decided by revisions."""

    def take(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
        """Lead, or go on leading, for so long: whether this holder does. A lease that ends long after it could, for
        the clock was set back, is over."""
        ...

    def leave(self, name: str, holder: str) -> None: ...


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

    def list(
        self,
        *,
        subject: str | None = None,
        after: int = 0,
        limit: int = 1000,
        kinds: Collection[str] | None = None,
        newest_first: bool = False,
    ) -> Sequence[Event]:
        """In the order they were committed, or the newest first; of some kinds alone where they are named."""
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
    releases: Releases
    deployments: Deployments
    retrainings: Retrainings
    findings: Findings
    progress: Progresses
    leaders: Leaders
    keys: ApiKeys
    events: Events
    blobs: Blobs
