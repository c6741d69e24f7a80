"""The facts of every loop that is deployed, read from the stores: once for all loops what can be, and again only when
something happened. The loop's own code is never run for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol

from loopwright.core.deployment import Deployment
from loopwright.core.event import Event
from loopwright.core.finding import Finding
from loopwright.core.horizon import labels_within
from loopwright.core.retraining import Retraining, RetrainingStatus
from loopwright.core.stores import Stores
from loopwright.core.version import Version
from loopwright.data.reach import Reach
from loopwright.errors import TableNotFound
from loopwright.judge.catalog import METRICS
from loopwright.registry.evidence import evaluation_of
from loopwright.retrain.coming import coming
from loopwright.retrain.facts import Facts, Moved, Quality, Window
from loopwright.retrain.triggers import OnDecay, Retrain, from_spec

DRIFT, DECAY = "DriftFound", "DecayFound"
_PAST = 200
_FINDINGS = 20_000
"""Of slices too, which are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is kept of a loop until something happens."""

    facts: Facts
    champion: Version | None


class Tables(Protocol):
    """What is asked of the tables."""

    def reach(self, name: str, version: int | None = None) -> Reach: ...


class Reading:
    """Keeps in memory what changes only when something happens; all of it is in the stores."""

    def __init__(self, stores: Stores, tables: Tables) -> None:
        self._stores, self._tables = stores, tables
        self._upto = -1
        self._known: dict[str, Known] = {}
        self._versions: dict[tuple[str, int], datetime | None] = {}
        self._measured: dict[tuple[str, str], tuple[object, list[Finding]]] = {}
        self._judged: dict[tuple[str, str], float | None] = {}

    def all(self, now: datetime) -> Iterator[tuple[Deployment, Callable[[], Facts]]]:
        """Of each loop that is deployed, and what reads its facts."""
        self._forget_if_anything_happened()
        for one in self._stores.deployments.in_force():
            yield one, partial(self._facts, one, now)

    def one(self, loop: str, now: datetime) -> tuple[Deployment, Facts]:
        """Raises DeploymentNotFound."""
        self._forget_if_anything_happened()
        found = self._stores.deployments.get(loop)
        return found, self._facts(found, now)

    def _forget_if_anything_happened(self) -> None:
        last = self._stores.events.list(newest_first=True, limit=1)
        upto = last[0].number if last else 0
        if upto != self._upto:
            self._known.clear()
        self._upto = upto

    def _facts(self, deployment: Deployment, now: datetime) -> Facts:
        known = self._known.get(deployment.loop)
        if known is None or known.facts.deployment != deployment.number:
            known = self._known[deployment.loop] = self._read(deployment, now)
        reach = self._reach(deployment)
        return replace(
            known.facts,
            now=now,
            rows=reach.rows if reach else 0,
            rows_until=reach.until if reach else None,
            quality=dict(self._qualities(deployment, known, now)),
        )

    def _qualities(self, deployment: Deployment, known: Known, now: datetime) -> Iterator[tuple[str, Quality]]:
        for trigger in retrain_of(deployment).triggers:
            if isinstance(trigger, OnDecay) and known.champion is not None:
                one = self._quality(trigger.metric, known.champion, replace(known.facts, now=now))
                if one is not None:
                    yield trigger.metric, one

    def _read(self, deployment: Deployment, now: datetime) -> Known:
        loop = deployment.loop
        versions = tuple(self._stores.versions.list(loop))
        past = tuple(self._stores.retrainings.list(loop, limit=_PAST))
        route = self._stores.routes.current(loop)
        champion = next((one for one in versions if route and one.number == route.champion), None)
        facts = Facts(
            now=now,
            labels_within=labels_within(deployment.spec),
            deployment=deployment.number,
            deployed_at=deployment.created_at,
            is_learned=any(_is_of(one, deployment) for one in versions),
            champion=champion.name if champion else None,
            coming=coming(self._stores, deployment, versions, champion),
            trained=tuple(_begins(versions, past)),
            trained_until=self._trained_until(versions, past),
            moved=_moved(self._newest(DRIFT, loop)),
            alarmed_at=_alarmed_at(self._newest(DECAY, loop), champion),
            declined_at=_declined_at(self._newest(DECAY, loop)),
            past=past,
        )
        return Known(facts=facts, champion=champion)

    def _newest(self, kind: str, loop: str) -> Event | None:
        found = self._stores.events.list(subject=f"loop:{loop}", kinds=(kind,), newest_first=True, limit=1)
        return found[0] if found else None

    def _quality(self, metric: str, champion: Version, facts: Facts) -> Quality | None:
        judged = self._judged_by(metric, champion)
        if judged is None:
            return None
        known = (facts.alarmed_at, facts.last_so_far)
        since = max([one for one in known if one is not None and one <= facts.now], default=None)
        return Quality.of(metric, judged, map(_window, self._windows(metric, champion, facts)), since)

    def _windows(self, metric: str, champion: Version, facts: Facts) -> Sequence[Finding]:
        """Those of the champion since it learned, newest first: read again when the monitor has told anything, for
        labels may have come of any of them, without an event and of the newest none."""
        monitor = self._stores.progress.get(f"monitor:{champion.loop}")
        told = (monitor and monitor.number, champion.number, facts.last_so_far)
        if self._measured.get((champion.loop, metric), (None,))[0] != told:
            read = self._stores.findings.list(
                champion.loop, monitor="quality", since=facts.last_so_far, limit=_FINDINGS
            )
            of_it = [one for one in read if _is_quality(one, metric, champion)]
            self._measured[champion.loop, metric] = (told, of_it)
        return self._measured[champion.loop, metric][1]

    def _judged_by(self, metric: str, champion: Version) -> float | None:
        named = (champion.digest, metric)
        if named not in self._judged:
            evaluation = evaluation_of(self._stores, champion)
            judged = evaluation.metric(metric) if evaluation else None
            self._judged[named] = judged.value if judged else None
        return self._judged[named]

    def _reach(self, deployment: Deployment) -> Reach | None:
        try:
            return self._tables.reach(str(deployment.spec["table"]["name"]))
        except TableNotFound:
            return None

    def _trained_until(self, versions: Iterable[Version], past: Iterable[Retraining]) -> datetime | None:
        told = [one.evidence.get("rows_until") for one in past if _came_to_an_end(one)]
        found = [datetime.fromisoformat(one) for one in told if one]
        newest = next(iter(versions), None)
        of_version = self._version_until(newest) if newest else None
        return max([*found, *([of_version] if of_version else [])], default=None)

    def _version_until(self, version: Version) -> datetime | None:
        """The newest event time of the rows that it was made of, as the table has it still."""
        data = version.lineage.get("data")
        if not isinstance(data, Mapping):
            return None
        named = (str(data.get("table")), int(data.get("version") or 0))
        if named not in self._versions:
            try:
                self._versions[named] = self._tables.reach(*named).until
            except TableNotFound:
                self._versions[named] = None
        return self._versions[named]


def retrain_of(deployment: Deployment) -> Retrain:
    return from_spec(deployment.spec.get("retrain"))


def _is_of(version: Version, deployment: Deployment) -> bool:
    """Whether the deployed code made it."""
    told = version.lineage
    return told.get("code") == deployment.code or told.get("deployment") == deployment.number


def _begins(versions: Iterable[Version], past: Sequence[Retraining]) -> Iterator[datetime]:
    """What came while a training ran, it may not have seen: so its begin tells, not its end."""
    begun = {one.run_id: one.created_at for one in past if one.run_id}
    yield from (begun.get(one.run_id, one.created_at) for one in versions)
    yield from (one.created_at for one in past if _came_to_an_end(one))


def _came_to_an_end(one: Retraining) -> bool:
    """One that failed has learned nothing."""
    return one.status.is_final and one.status is not RetrainingStatus.FAILED


def _moved(event: Event | None) -> Moved | None:
    if event is None:
        return None
    drifted, suspected = (tuple(map(str, event.data.get(name) or ())) for name in ("drifted", "suspected"))
    champion = str(event.data.get("champion") or "")
    return Moved(at=event.cause.at, champion=champion, drifted=drifted, suspected=suspected)


def _alarmed_at(event: Event | None, champion: Version | None) -> datetime | None:
    """Of this champion: of another one it says nothing."""
    if event is None or champion is None:
        return None
    is_its = event.data.get("version") == champion.number or event.data.get("champion") == champion.name
    return event.cause.at if is_its else None


def _declined_at(event: Event | None) -> datetime | None:
    told = None if event is None else event.data.get("began_at")
    return None if told is None else datetime.fromisoformat(str(told))


def _is_quality(one: Finding, metric: str, champion: Version) -> bool:
    """Over all rows of a window: its subject is the metric then."""
    is_whole = one.monitor == "quality" and one.subject == metric == one.measure
    return is_whole and one.version == champion.number


def _window(one: Finding) -> Window:
    end = "high" if METRICS[one.measure].bigger_is_better else "low"
    labels = int(one.evidence.get("labels") or one.evidence.get("rows") or 0)
    return Window(until=one.until, labels=labels, value=one.number, nearest=one.evidence.get(end))
