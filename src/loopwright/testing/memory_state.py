"""What the memory twins share: every noun by its name, and one lock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import RLock
from typing import Any

from loopwright.core.access import ApiKey
from loopwright.core.artifact import Artifact
from loopwright.core.deployment import Deployment
from loopwright.core.event import Cause, Event
from loopwright.core.finding import Finding
from loopwright.core.progress import Progress
from loopwright.core.release import Release
from loopwright.core.retraining import Retraining
from loopwright.core.run import Execution, Lease, Run
from loopwright.core.version import Route, Version, resolve
from loopwright.store.deployments import Standing
from loopwright.store.routes import named, next_route, route_data
from loopwright.store.runs import refuse_stale


@dataclass
class State:
    """What all the twins share, and the lock that makes each change one transaction."""

    lock: RLock = field(default_factory=RLock)
    runs: dict[str, Run] = field(default_factory=dict)
    leases: list[Lease] = field(default_factory=list)
    executions: dict[tuple[str, str], Execution] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    versions: dict[tuple[str, int], Version] = field(default_factory=dict)
    aliases: dict[tuple[str, str], int] = field(default_factory=dict)
    routes: dict[str, list[Route]] = field(default_factory=dict)
    releases: dict[str, Release] = field(default_factory=dict)
    deployments: dict[str, list[Deployment]] = field(default_factory=dict)
    in_force: dict[str, list[Standing]] = field(default_factory=dict)
    retrainings: dict[str, Retraining] = field(default_factory=dict)
    findings: dict[tuple[object, ...], Finding] = field(default_factory=dict)
    progress: dict[str, Progress] = field(default_factory=dict)
    leaders: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    changed: dict[str, Cause] = field(default_factory=dict)
    """Who changed a release or a progress last, by its name."""

    def record(self, kind: str, subject: str, cause: Cause, data: Mapping[str, Any] | None = None) -> None:
        kept = json.loads(json.dumps(data or {}))
        self.events.append(Event(kind=kind, subject=subject, cause=cause, data=kept, number=len(self.events) + 1))

    def add(self, artifacts: Iterable[Artifact]) -> None:
        for artifact in artifacts:
            self.artifacts.setdefault(artifact.digest, artifact)

    def check(self, lease: Lease) -> Run:
        run = self.runs.get(lease.run_id)
        held = run.lease if run else None
        refuse_stale(lease, held.token if held else None, run.finished_at if run else None)
        assert run is not None
        return run

    def rank(self) -> list[Run]:
        return sorted(self.runs.values(), key=lambda run: (run.created_at, run.id), reverse=True)

    def version(self, loop: str, name: str) -> Version:
        """Raises VersionNotFound."""
        digests = {number: version.digest for (of, number), version in self.versions.items() if of == loop}
        aliases = {alias: number for (of, alias), number in self.aliases.items() if of == loop}
        number = resolve(loop, name, digests, aliases, {of for of, _ in self.versions})
        return self.named(self.versions[loop, number])

    def named(self, version: Version) -> Version:
        key = (version.loop, version.number)
        aliases = sorted(name for (loop, name), number in self.aliases.items() if (loop, number) == key)
        return replace(version, aliases=tuple(aliases))

    def route(self, loop: str) -> Route | None:
        """The one in force."""
        return next(reversed(self.routes.get(loop, [])), None)

    def place(
        self,
        route: Route,
        aliases: Mapping[str, int | None],
        cause: Cause,
        kind: str | None,
        data: Mapping[str, Any],
    ) -> Route:
        """Put a route in force, with its aliases and its event."""
        placed = next_route(route, self.route(route.loop), cause, kind)
        for number in sorted(named(placed, aliases)):
            self.version(route.loop, f"v{number}")
        self.routes.setdefault(route.loop, []).append(placed)
        for name, moved in aliases.items():
            self.aliases.pop((route.loop, name), None)
            if moved is not None:
                self.aliases[route.loop, name] = moved
        self.record(placed.kind, f"loop:{route.loop}", cause, route_data(placed, aliases) | dict(data))
        return placed
