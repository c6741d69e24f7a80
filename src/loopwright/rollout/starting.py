"""How a release begins: by hand, or by itself for a version that what is deployed made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from loopwright.core.clock import Clock, new_id
from loopwright.core.deployment import Deployment
from loopwright.core.event import Cause
from loopwright.core.horizon import LABELS_WITHIN, labels_within
from loopwright.core.plain import plain
from loopwright.core.release import Release
from loopwright.core.stores import Stores
from loopwright.core.version import Version, VersionStatus
from loopwright.errors import Conflict, DataError, ModelError, NotFound, UsageError
from loopwright.registry.fetch import fill
from loopwright.rollout.controller import begin
from loopwright.rollout.log import Cursor, Log
from loopwright.rollout.plan import Canary, Plan, from_spec
from loopwright.rollout.replay import plan_to_dict
from loopwright.rollout.routing import MOVED, record_of_beginning, route

SKIPPED = "ReleaseSkipped"
"""A newer version was accepted before this one's turn came."""
_DRAWS = 100
"""More would help nothing: the clock was set back, and the moment tells then."""


@dataclass(frozen=True, slots=True)
class Due:
    """A version whose turn it is, and those that were passed over for it."""

    version: Version
    skipped: Sequence[Version]


def start(stores: Stores, log: Log, version: Version, plan: Plan, cause: Cause, clock: Clock) -> Release:
    """Begin the release of a version: its record, its first route and the event, in one transaction.

    Its bundle is fetched and verified first. Raises ModelError for a rejected version, UsageError for the champion,
    Conflict where another release of the loop goes on or the route changed meanwhile, and whatever is wrong with the
    bundle.
    """
    if version.status is VersionStatus.REJECTED:
        raise ModelError(
            f"{version.name} was rejected by its gates: {version.reason}",
            fix=f"see why: lw why {version.loop}:{version.number}; or promote it yourself, with a reason: "
            f"lw promote {version.loop} {version.number} --override --because REASON",
        )
    current = stores.routes.current(version.loop)
    champion = current.champion if current else None
    if champion == version.number:
        raise UsageError(f"{version.name} is the champion already", fix=f"release another: lw models {version.loop}")
    refuse_second(stores, version)
    with TemporaryDirectory(prefix="loopwright-") as room:
        fill(stores.blobs, version, Path(room))
    last = next(iter(stores.releases.list(version.loop, limit=1)), None)
    plan = watched(plan, horizon(stores, version.loop))
    place = log.at_end()
    state, decision = begin(plan, loop=version.loop, challenger=version.number, champion=champion, at=cause.at)
    event, number = _last_event(stores, version), current.number if current else 0
    cursor = Cursor(begun=place, log=place, event=event, began_at=cause.at, route=number + 1)
    state = replace(state, cursor=cursor.text(), has_label=_has_label(stores, version.loop))
    release = Release(
        id=_new_id(clock, last.id if last else ""),
        loop=version.loop,
        challenger=version.number,
        champion=champion,
        plan=plan_to_dict(plan),
        state=state.to_dict(),
        status=state.status.value,
        route=current.number if current else None,
        created_at=cause.at,
        created_by=cause.actor,
        ended_at=cause.at if state.ended else None,
    )
    told = replace(cause, reason=decision.reason if not cause.reason else f"{decision.reason}: {cause.reason}")
    data = record_of_beginning(plan, decision)
    return stores.releases.begin(release, route(state, decision, told), release.route, told, MOVED, data)


def _last_event(stores: Stores, version: Version) -> int:
    """What was told of it before is of another release. By its number, whatever the clocks say."""
    found = stores.events.list(subject=f"version:{version.loop}:{version.number}", newest_first=True, limit=1)
    return found[0].number if found else 0


def horizon(stores: Stores, loop: str) -> timedelta:
    """How late a label may come, as the deployed loop says it."""
    try:
        return labels_within(stores.deployments.get(loop).spec)
    except NotFound:
        return LABELS_WITHIN


def watched(plan: Plan, within: timedelta) -> Plan:
    """With a watch of one label horizon, where none is said.

    >>> watched(Canary(), timedelta(days=2)).watch.days, watched(Canary(watch="1h"), timedelta(days=2)).watch.seconds
    (2, 3600)
    """
    if not isinstance(plan, Canary) or plan.watch is not None:
        return plan
    return from_spec({"plan": "Canary", "fields": plain(plan) | {"watch": within.total_seconds()}})


def _has_label(stores: Stores, loop: str) -> bool:
    """Whether what is predicted comes true some day: unless the deployed loop says that it has no label."""
    try:
        table = stores.deployments.get(loop).spec.get("table")
    except NotFound:
        return True
    return not table or table.get("label") is not None


def _new_id(clock: Clock, last: str) -> str:
    """After the last one of the loop, also within its second: which of them is the newest must be certain."""
    found = new_id(clock)
    for _ in range(_DRAWS):
        if found > last:
            break
        found = new_id(clock)
    return found


def refuse_second(stores: Stores, version: Version) -> None:
    """Said before anything is fetched; the store says it again, for whoever comes first."""
    for release in stores.releases.unended():
        if release.loop == version.loop:
            raise Conflict(
                f"a release of {version.loop} goes on: v{release.challenger} is {release.status}",
                fix=f"wait for its end, or end it: lw release abort {version.loop}",
            )


def due(stores: Stores, deployment: Deployment) -> Due | None:
    """The newest accepted version that what is deployed made, if it is newer than all that any route ever named: what
    was released or promoted and taken back is not begun again. None too where the loop has no plan.

    What somebody runs by hand, from files that are not deployed, is released by hand.
    """
    if deployment.spec.get("release") is None:
        return None
    loop = deployment.loop
    newest = max((arm.version for route in stores.routes.history(loop) for arm in route.arms), default=0)
    found = [
        version
        for version in stores.versions.list(loop)
        if version.number > newest
        and version.status is VersionStatus.ACCEPTED
        and version.lineage.get("deployment") is not None
    ]
    return Due(found[0], found[1:]) if found else None


def plan_of(deployment: Deployment) -> Plan:
    """Raises DataError for a deployment that says none, or one that this Loopwright does not know."""
    told = deployment.spec.get("release")
    if told is None:
        raise DataError(
            f"{deployment.name} says no release plan", fix="give one by flags, or write release=lw.Canary(...)"
        )
    return from_spec(told)
