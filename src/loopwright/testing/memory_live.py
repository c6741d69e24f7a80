"""The stores of the live loops, in memory: releases, deployments, retrainings, findings, progress, leaders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from loopwright.core.artifact import Artifact
from loopwright.core.deployment import Deployment
from loopwright.core.event import Cause
from loopwright.core.finding import Finding
from loopwright.core.progress import Progress
from loopwright.core.release import Release
from loopwright.core.retraining import Retraining
from loopwright.core.version import Route
from loopwright.store import deployments, releases, retrainings
from loopwright.store.events import as_kept
from loopwright.store.leaders import is_free
from loopwright.store.progress import refuse_if_gone_on
from loopwright.store.routes import refuse_if_changed
from loopwright.testing.memory_state import State


class MemoryReleases:
    def __init__(self, state: State) -> None:
        self._state = state

    def begin(
        self,
        release: Release,
        route: Route | None,
        expected: int | None,
        cause: Cause,
        kind: str,
        data: Mapping[str, Any],
    ) -> Release:
        with self._state.lock:
            releases.refuse_if_under_way(next((one for one in self.unended() if one.loop == release.loop), None))
            current = self._state.route(release.loop)
            refuse_if_changed(current, expected, release.loop)
            for number in releases.versions_of(release):
                self._state.version(release.loop, f"v{number}")
            return self._placed(releases.begun_with(release, current), route, cause, kind, data)

    def move(
        self, release: Release, route: Route | None, cause: Cause, kind: str | None, data: Mapping[str, Any]
    ) -> Release:
        with self._state.lock:
            if release.id not in self._state.releases:
                raise releases.no_release(release.id, ())
            releases.refuse_if_moved(release, self._state.releases[release.id], self._state.changed[release.id])
            if route is not None:
                refuse_if_changed(self._state.route(release.loop), release.route, release.loop)
            return self._placed(replace(release, number=release.number + 1), route, cause, kind, data)

    def get(self, name: str) -> Release:
        ranked = sorted(self._rank(), key=lambda one: one.ended_at is not None)  # what goes on is the newest
        found = next((one for one in ranked if name in (one.id, one.loop)), None)
        if found is None:
            raise releases.no_release(name, {one.loop for one in self._rank()})
        return found

    def unended(self) -> Sequence[Release]:
        return sorted((one for one in self._rank() if one.ended_at is None), key=lambda one: one.loop)

    def list(self, loop: str | None = None, *, limit: int = 20) -> Sequence[Release]:
        return [one for one in self._rank() if loop in (None, one.loop)][:limit]

    def _rank(self) -> Sequence[Release]:
        with self._state.lock:
            known = [*self._state.releases.values()]
        return sorted(known, key=lambda one: (one.created_at, one.id), reverse=True)

    def _placed(
        self, release: Release, route: Route | None, cause: Cause, kind: str | None, data: Mapping[str, Any]
    ) -> Release:
        """The release with its route and the event of both."""
        told = releases.told_of(release, data)
        placed = release
        if route is not None:
            aliases = releases.moved_aliases(route, self._state.route(release.loop))
            placed = replace(release, route=self._state.place(route, aliases, cause, kind, told).number)
        elif kind is not None:
            self._state.record(kind, f"loop:{release.loop}", cause, told)
        kept = replace(placed, plan=as_kept(placed.plan), state=as_kept(placed.state))
        self._state.releases[release.id] = kept
        self._state.changed[release.id] = cause
        return placed


class MemoryDeployments:
    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, deployment: Deployment, artifacts: Sequence[Artifact], cause: Cause) -> Deployment:
        with self._state.lock:
            there = self.list(deployment.loop)
            same = next((known for known in there if deployments.is_same(known, deployment)), None)
            if same is not None and same.is_in_force:
                return same
            self._state.add(artifacts)
            added = same or deployments.numbered(deployment, there)
            if same is None:
                kept = replace(added, settings=as_kept(added.settings), spec=as_kept(added.spec))
                self._state.deployments.setdefault(added.loop, []).append(kept)
            return self._put(added, cause, deployments.DEPLOYED, is_new=same is None)

    def put_in_force(self, loop: str, number: int, cause: Cause, *, expected: int | None) -> Deployment:
        with self._state.lock:
            found = self.get(loop, number)
            last = self._last(loop)
            deployments.refuse_if_replaced(loop, last, expected)
            if found.is_in_force:
                return found
            kind = deployments.event_kind(number, last.number if last else None)
            return self._put(found, cause, kind, is_new=False)

    def in_force(self) -> Sequence[Deployment]:
        with self._state.lock:
            return [self.get(loop) for loop in sorted(self._state.in_force)]

    def get(self, loop: str, number: int | None = None) -> Deployment:
        with self._state.lock:
            return deployments.named(self.list(loop), loop, number, self._state.deployments)

    def list(self, loop: str) -> Sequence[Deployment]:
        with self._state.lock:
            last = self._last(loop)
            in_force = last.number if last else None
            known = reversed(self._state.deployments.get(loop, []))
            return [replace(one, is_in_force=one.number == in_force) for one in known]

    def history(self, loop: str) -> Sequence[int]:
        return [standing.number for standing in self._state.in_force.get(loop, [])]

    def _last(self, loop: str) -> deployments.Standing | None:
        return next(reversed(self._state.in_force.get(loop, [])), None)

    def _put(self, deployment: Deployment, cause: Cause, kind: str, *, is_new: bool) -> Deployment:
        last = self._last(deployment.loop)
        standing = deployments.Standing(number=deployment.number, at=cause.at, actor=cause.actor)
        self._state.in_force.setdefault(deployment.loop, []).append(standing)
        told = deployments.event_data(deployment, last.number if last else None, is_new=is_new)
        self._state.record(kind, f"loop:{deployment.loop}", cause, told)
        return replace(deployment, is_in_force=True)


class MemoryRetrainings:
    def __init__(self, state: State) -> None:
        self._state = state

    def claim(self, retraining: Retraining, cause: Cause) -> Retraining:
        with self._state.lock:
            of_loop = self.list(retraining.loop, limit=len(self._state.retrainings))
            of_cause = next((one for one in of_loop if one.cause == retraining.cause), None)
            retrainings.refuse_if_claimed(retraining, of_cause)
            retrainings.refuse_if_busy(next((one for one in of_loop if one.finished_at is None), None))
            self._keep(retraining)
            told = retrainings.event_data(retraining)
            self._state.record("RetrainingClaimed", f"loop:{retraining.loop}", cause, told)
            return retraining

    def save(self, retraining: Retraining, cause: Cause) -> Retraining:
        with self._state.lock:
            found = self._state.retrainings.get(retraining.id)
            if found is None:
                raise retrainings.no_retraining(retraining)
            saved = retrainings.as_saved(found, retraining, cause)
            kind = retrainings.event_kind(found, saved)
            self._keep(saved)
            if kind:
                self._state.record(kind, f"loop:{saved.loop}", cause, retrainings.event_data(saved))
            return saved

    def unfinished(self) -> Sequence[Retraining]:
        found = [one for one in self._rank() if one.finished_at is None]
        return sorted(found, key=lambda one: one.loop)

    def list(self, loop: str | None = None, *, limit: int = 20) -> Sequence[Retraining]:
        return [one for one in self._rank() if loop in (None, one.loop)][:limit]

    def _rank(self) -> Sequence[Retraining]:
        with self._state.lock:
            known = [*self._state.retrainings.values()]
        return sorted(known, key=lambda one: (one.created_at, one.id), reverse=True)

    def _keep(self, retraining: Retraining) -> None:
        self._state.retrainings[retraining.id] = replace(retraining, evidence=as_kept(retraining.evidence))


class MemoryFindings:
    def __init__(self, state: State) -> None:
        self._state = state

    def list(
        self, loop: str, *, monitor: str | None = None, since: datetime | None = None, limit: int = 1000
    ) -> Sequence[Finding]:
        found = [one for one in self._rank() if one.loop == loop and monitor in (None, one.monitor)]
        ended = [one for one in found if since is None or one.until > since]
        return sorted(ended, key=lambda one: one.until, reverse=True)[:limit]

    def newest(self, loop: str | None = None) -> Sequence[Finding]:
        found = [one for one in self._rank() if loop in (None, one.loop)]
        last: dict[tuple[str, str, str], datetime] = {}
        for one in found:
            subject = (one.loop, one.monitor, one.subject)
            last[subject] = max(one.until, last.get(subject, one.until))
        return [one for one in found if one.until == last[one.loop, one.monitor, one.subject]]

    def _rank(self) -> Sequence[Finding]:
        with self._state.lock:
            known = [*self._state.findings.values()]
        return sorted(known, key=lambda one: (one.loop, one.monitor, one.subject, one.version or 0, one.since))


class MemoryProgresses:
    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, name: str) -> Progress | None:
        return self._state.progress.get(name)

    def list(self, prefix: str = "") -> Sequence[Progress]:
        with self._state.lock:
            known = [*self._state.progress.values()]
        return sorted((one for one in known if one.name.startswith(prefix)), key=lambda one: one.name)

    def put(
        self,
        progress: Progress,
        cause: Cause,
        *,
        findings: Sequence[Finding] = (),
        events: Sequence[tuple[str, str, Mapping[str, Any]]] = (),
    ) -> Progress:
        with self._state.lock:
            there, label = self._state.progress.get(progress.name), f"progress {progress.name}"
            refuse_if_gone_on(progress, there.number if there else 0, self._state.changed.get(label))
            further = replace(progress, number=progress.number + 1, value=as_kept(progress.value))
            found = [replace(finding, evidence=as_kept(finding.evidence)) for finding in findings]
            told = [(kind, subject, as_kept(data)) for kind, subject, data in events]
            self._state.progress[progress.name] = further
            self._state.changed[label] = cause
            self._state.findings |= {_identity(finding): finding for finding in found}
            for kind, subject, data in told:
                self._state.record(kind, subject, cause, data)
            return further


def _identity(finding: Finding) -> tuple[object, ...]:
    """A finding takes the place of one that has the same."""
    window = (finding.since, finding.until)
    return (finding.loop, finding.monitor, finding.subject, finding.version, window)


class MemoryLeaders:
    def __init__(self, state: State) -> None:
        self._state = state

    def take(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
        with self._state.lock:
            if not is_free(self._state.leaders.get(name), holder, now, seconds):
                return False
            self._state.leaders[name] = (holder, now + timedelta(seconds=seconds))
            return True

    def leave(self, name: str, holder: str) -> None:
        with self._state.lock:
            if self._state.leaders.get(name, ("",))[0] == holder:
                del self._state.leaders[name]
