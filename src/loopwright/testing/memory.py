"""The stores, in memory: the twins of `loopwright.store`, for tests that take no time. Nothing outlives the process."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from loopwright.core.access import ApiKey
from loopwright.core.artifact import Artifact, Blob
from loopwright.core.clock import Clock
from loopwright.core.event import Cause, Event
from loopwright.core.run import Execution, ExecutionStatus, Failure, Lease, Run, RunStatus
from loopwright.core.stores import Stores
from loopwright.core.version import Route, Version
from loopwright.errors import ArtifactCorrupted, ArtifactNotFound, LeaseLost
from loopwright.store.artifacts import closure, made_with
from loopwright.store.deployments import needed
from loopwright.store.events import as_kept
from loopwright.store.executions import event_data
from loopwright.store.keys import as_made, no_key, taken
from loopwright.store.keys import event_data as key_data
from loopwright.store.keys import subject as key_subject
from loopwright.store.routes import refuse_if_changed
from loopwright.store.runs import only_run, refuse_if_held
from loopwright.store.versions import event_data as version_data
from loopwright.store.versions import registered, subject
from loopwright.testing.clock import START, HandClock
from loopwright.testing.memory_live import (
    MemoryDeployments,
    MemoryFindings,
    MemoryLeaders,
    MemoryProgresses,
    MemoryReleases,
    MemoryRetrainings,
)
from loopwright.testing.memory_state import State


def memory_stores(clock: Clock | None = None) -> Stores:
    """A fresh, empty memory.

    >>> memory_stores().runs.list()
    []
    """
    state = State()
    return Stores(
        runs=MemoryRuns(state),
        executions=MemoryExecutions(state),
        artifacts=MemoryArtifacts(state),
        versions=MemoryVersions(state),
        routes=MemoryRoutes(state),
        releases=MemoryReleases(state),
        deployments=MemoryDeployments(state),
        retrainings=MemoryRetrainings(state),
        findings=MemoryFindings(state),
        progress=MemoryProgresses(state),
        leaders=MemoryLeaders(state),
        keys=MemoryApiKeys(state),
        events=MemoryEvents(state),
        blobs=MemoryBlobs(clock or HandClock()),
    )


class MemoryRuns:
    def __init__(self, state: State) -> None:
        self._state = state

    def request(self, run: Run, cause: Cause) -> tuple[Run, bool]:
        with self._state.lock:
            for known in self._state.runs.values():
                if known.request_key == run.request_key and known.finished_at is None:
                    return known, False
            self._state.runs[run.id] = run
            data = {"pipeline": run.pipeline, "parameters": dict(run.parameters), "seed": run.seed}
            self._state.record("RunRequested", f"run:{run.id}", cause, data)
            return run, True

    def get(self, name: str) -> Run:
        if name in self._state.runs:
            return self._state.runs[name]
        return only_run(name, [run for run in self._state.rank() if name == "last" or name in run.id][:2])

    def list(self, *, limit: int = 20, pipeline: str | None = None) -> Sequence[Run]:
        return [run for run in self._state.rank() if pipeline in (None, run.pipeline)][:limit]

    def acquire(
        self, lease: Lease, cause: Cause, artifacts: Sequence[Artifact], *, is_alive: Callable[[str], bool | None]
    ) -> Lease:
        with self._state.lock:
            run = only_run(lease.run_id, [run for run in self._state.runs.values() if run.id == lease.run_id])
            refuse_if_held(run, cause.at, is_alive)
            for rival in self._state.runs.values():
                if rival.request_key == run.request_key and rival.finished_at is None and rival.id != run.id:
                    raise LeaseLost(f"the same request is already running as {rival.id}", fix=f"lw show {rival.id}")
            taken = replace(lease, token=run.lease.token + 1 if run.lease else 1)
            self._state.add(artifacts)
            self._state.leases.append(taken)
            self._state.runs[run.id] = replace(
                run, lease=taken, status=RunStatus.RUNNING, finished_at=None, cancel_requested_at=None, error=None
            )
            kind = "RunStarted" if taken.token == 1 else "RunResumed"
            data = {"holder": taken.holder, "token": taken.token, "code": taken.code, "environment": taken.environment}
            self._state.record(kind, f"run:{run.id}", cause, data)
            return taken

    def heartbeat(self, lease: Lease, expires_at: datetime) -> Run:
        with self._state.lock:
            run = self._state.check(lease)
            self._state.runs[run.id] = replace(run, lease=replace(lease, expires_at=expires_at))
            return self._state.runs[run.id]

    def finish(self, lease: Lease, status: RunStatus, cause: Cause, error: Failure | None = None) -> Run:
        with self._state.lock:
            run = replace(self._state.check(lease), status=status, finished_at=cause.at, error=error)
            self._state.runs[run.id] = run
            data = {"error": error.message} if error else {}
            self._state.record(f"Run{status.value.capitalize()}", f"run:{run.id}", cause, data)
            return run

    def request_cancel(self, run_id: str, cause: Cause) -> Run:
        with self._state.lock:
            run = only_run(run_id, [run for run in self._state.runs.values() if run.id == run_id])
            if run.status.is_final or run.cancel_requested_at is not None:
                return run
            self._state.runs[run_id] = replace(run, cancel_requested_at=cause.at)
            self._state.record("RunCancelRequested", f"run:{run_id}", cause)
            return self._state.runs[run_id]


class MemoryExecutions:
    def __init__(self, state: State) -> None:
        self._state = state

    def save(
        self, lease: Lease, executions: Sequence[Execution], cause: Cause, artifacts: Sequence[Artifact] = ()
    ) -> None:
        with self._state.lock:
            self._state.check(lease)
            known = self._state.artifacts.keys() | {artifact.digest for artifact in artifacts}
            for execution in executions:
                if execution.status is ExecutionStatus.REUSED and execution.output not in known:
                    raise ArtifactNotFound(f"the output of step {execution.step!r} was collected meanwhile")
            self._state.add(artifacts)
            for execution in executions:
                self._state.executions[execution.run_id, execution.step] = execution
                kind = f"Step{execution.status.value.capitalize()}"
                self._state.record(kind, f"run:{execution.run_id}", cause, event_data(execution))

    def of_run(self, run_id: str) -> Sequence[Execution]:
        found = [execution for execution in self._state.executions.values() if execution.run_id == run_id]
        return sorted(found, key=lambda execution: execution.position)

    def of_runs(self, run_ids: Sequence[str]) -> dict[str, dict[str, int]]:
        counts = {run_id: Counter(execution.status.value for execution in self.of_run(run_id)) for run_id in run_ids}
        return {run_id: dict(count) for run_id, count in counts.items() if count}

    def reusable(self, key: str) -> Execution | None:
        found = [
            execution
            for execution in self._state.executions.values()
            if execution.key == key
            and execution.status is ExecutionStatus.RAN
            and execution.output in self._state.artifacts
        ]
        return max(found, key=lambda execution: execution.finished_at or START, default=None)


class MemoryArtifacts:
    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, digest: str) -> Artifact:
        if digest not in self._state.artifacts:
            raise ArtifactNotFound(f"no artifact {digest}", fix="it was collected, or belongs to another workspace")
        return self._state.artifacts[digest]

    def list(self) -> Sequence[Artifact]:
        return sorted(self._state.artifacts.values(), key=lambda artifact: (artifact.created_at, artifact.digest))

    def unreferenced(self, *, before: datetime | None = None) -> Sequence[Artifact]:
        needed = closure(self._roots(before), {a.digest: a.parts for a in self._state.artifacts.values()})
        return [artifact for artifact in self.list() if artifact.digest not in needed]

    def forget_unreferenced(self, cause: Cause, *, before: datetime | None = None) -> Sequence[Artifact]:
        with self._state.lock:
            unneeded = self.unreferenced(before=before)
            for artifact in unneeded:
                del self._state.artifacts[artifact.digest]
                data = {"kind": artifact.kind, "size_bytes": artifact.size_bytes}
                self._state.record("ArtifactForgotten", f"artifact:{artifact.digest}", cause, data)
            return unneeded

    def _roots(self, before: datetime | None) -> Iterator[str | None]:
        expired = self._expired(before) if before else set()
        for execution in self._state.executions.values():
            if execution.run_id not in expired:
                yield from (execution.output, execution.log)
        for lease in self._state.leases:
            yield from (lease.code, lease.environment, lease.git_diff)
        for version in self._state.versions.values():
            yield from made_with(version.lineage)
            yield from version.files.values()
        for deployed in self._state.deployments.values():
            yield from needed(deployed)

    def _expired(self, before: datetime) -> set[str]:
        newest: dict[str, str] = {}
        for run in self._state.rank():
            if run.status is RunStatus.SUCCEEDED:
                newest.setdefault(run.pipeline, run.id)
        old = {run.id for run in self._state.runs.values() if run.finished_at and run.finished_at < before}
        return old - set(newest.values())


class MemoryVersions:
    def __init__(self, state: State) -> None:
        self._state = state

    def add(
        self, version: Version, artifacts: Sequence[Artifact], cause: Cause, *, is_imported: bool = False
    ) -> Version:
        with self._state.lock:
            there = self.list(version.loop)
            same = [known for known in there if known.digest == version.digest]
            if same:
                return same[0]
            self._state.add(artifacts)
            added = replace(version, number=there[0].number + 1 if there else 1, aliases=())
            self._state.versions[added.loop, added.number] = added
            kind = registered(added, is_imported=is_imported)
            self._state.record(kind, subject(added.loop, added.number), cause, version_data(added))
            return added

    def get(self, loop: str, name: str) -> Version:
        with self._state.lock:
            return self._state.version(loop, name)

    def list(self, loop: str | None = None) -> Sequence[Version]:
        with self._state.lock:
            found = [
                self._state.named(version) for key, version in self._state.versions.items() if loop in (None, key[0])
            ]
            return sorted(found, key=lambda version: (version.loop, -version.number))

    def annotate(
        self,
        loop: str,
        number: int,
        cause: Cause,
        *,
        notes: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Version:
        with self._state.lock:
            version = self._state.version(loop, f"v{number}")
            changed: dict[str, Any] = {} if notes is None else {"notes": notes}
            changed |= {} if tags is None else {"tags": dict(tags)}
            if changed:
                self._state.versions[loop, number] = replace(version, **changed)
                self._state.record("VersionAnnotated", subject(loop, number), cause, changed)
            return self._state.version(loop, f"v{number}")


class MemoryRoutes:
    def __init__(self, state: State) -> None:
        self._state = state

    def current(self, loop: str) -> Route | None:
        return next(iter(self.history(loop)), None)

    def loops(self) -> Sequence[str]:
        return sorted(self._state.routes)

    def newest(self) -> Sequence[Route]:
        return [self._state.routes[loop][-1] for loop in self.loops()]

    def history(self, loop: str) -> Sequence[Route]:
        return self._state.routes.get(loop, [])[::-1]

    def change(
        self,
        route: Route,
        aliases: Mapping[str, int | None],
        cause: Cause,
        expected: int | None,
        kind: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Route:
        with self._state.lock:
            refuse_if_changed(self.current(route.loop), expected, route.loop)
            return self._state.place(route, aliases, cause, kind, data or {})


class MemoryApiKeys:
    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, key: ApiKey, cause: Cause) -> ApiKey:
        with self._state.lock:
            if key.id in self._state.keys:
                raise taken(key.id)
            self._state.keys[key.id] = added = as_made(key, cause)
            self._state.record("KeyMade", key_subject(key.id), cause, key_data(added))
            return added

    def get(self, name: str) -> ApiKey:
        if name not in self._state.keys:
            raise no_key(name)
        return self._state.keys[name]

    def list(self) -> Sequence[ApiKey]:
        with self._state.lock:
            return sorted(self._state.keys.values(), key=lambda key: (key.created_at, key.id))

    def revoke(self, name: str, cause: Cause) -> ApiKey:
        with self._state.lock:
            key = self.get(name)
            if key.revoked_at is None:
                self._state.keys[name] = replace(key, revoked_at=cause.at)
                self._state.record("KeyRevoked", key_subject(name), cause, key_data(key))
            return self._state.keys[name]

    def note_use(self, used: Mapping[str, datetime]) -> None:
        with self._state.lock:
            for name, at in used.items():
                key = self._state.keys.get(name)
                if key is not None and (key.last_used_at is None or key.last_used_at < at):
                    self._state.keys[name] = replace(key, last_used_at=at)


class MemoryEvents:
    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, kind: str, subject: str, cause: Cause, data: Mapping[str, Any]) -> bool:
        with self._state.lock:
            told = [event for event in self._state.events if (event.kind, event.subject) == (kind, subject)]
            if told and told[-1].data == as_kept(data):
                return False
            self._state.record(kind, subject, cause, data)
        return True

    def list(
        self,
        *,
        subject: str | None = None,
        after: int = 0,
        limit: int = 1000,
        kinds: Collection[str] | None = None,
        newest_first: bool = False,
    ) -> Sequence[Event]:
        found = [e for e in self._state.events if e.number > after and subject in (None, e.subject)]
        wanted = [e for e in found if kinds is None or e.kind in kinds]
        return (wanted[::-1] if newest_first else wanted)[:limit]


class MemoryBlobs:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._content: dict[str, tuple[bytes, datetime]] = {}

    def put(self, content: bytes | Path) -> Blob:
        whole = content if isinstance(content, bytes) else content.read_bytes()
        digest = hashlib.sha256(whole).hexdigest()
        self._content[digest] = (whole, self._clock.now())
        return Blob(digest=digest, size_bytes=len(whole), modified_at=self._clock.now())

    def read(self, digest: str) -> bytes:
        if digest not in self._content:
            raise ArtifactNotFound(f"the content of artifact {digest} is gone")
        content = self._content[digest][0]
        if hashlib.sha256(content).hexdigest() != digest:
            raise ArtifactCorrupted(f"the stored content of artifact {digest} is not what its digest says")
        return content

    @contextmanager
    def local(self, digest: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="loopwright-") as folder:
            path = Path(folder) / digest
            path.write_bytes(self.read(digest))
            yield path

    def has(self, digest: str, size_bytes: int) -> bool:
        return digest in self._content and len(self._content[digest][0]) == size_bytes

    def list(self) -> Iterator[Blob]:
        for digest, (content, at) in sorted(self._content.items()):
            yield Blob(digest=digest, size_bytes=len(content), modified_at=at)

    def delete(self, digests: Iterable[str]) -> None:
        for digest in digests:
            self._content.pop(digest, None)

    def overwrite(self, digest: str, content: bytes) -> None:
        """Damage what is stored, as a failing disk does."""
        self._content[digest] = (content, self._clock.now())
