"""The version that may take the champion's place: one whose release goes on, or that waits for its own.

Retrainings wait for what comes by itself alone, as `rollout` begins it: accepted, made by what is deployed, newer than
all that was ever tried, and the loop has a plan.
"""

from __future__ import annotations

from collections.abc import Sequence

from loopwright.core.deployment import Deployment
from loopwright.core.release import Release
from loopwright.core.stores import Stores
from loopwright.core.version import Version, VersionStatus
from loopwright.retrain.facts import Coming

_HOLDING = "holding"
"""The status of a release that goes on no more, and may never."""
_RELEASES = 100


def coming(
    stores: Stores, deployment: Deployment, versions: Sequence[Version], champion: Version | None
) -> Coming | None:
    """None without a champion, and where nothing newer is left to be tried; `versions` are the newest first."""
    if champion is None:
        return None
    released = stores.releases.list(champion.loop, limit=_RELEASES)
    going = next((one for one in released if one.ended_at is None), None)
    if going is not None:
        return None if going.challenger == champion.number else _of_release(going)
    tried = [arm.version for route in stores.routes.history(champion.loop) for arm in route.arms]
    newest = max([champion.number, *tried, *(one.challenger for one in released)])
    found = [one for one in versions if one.number > newest and one.status is VersionStatus.ACCEPTED]
    by_itself = [one for one in found if one.lineage.get("deployment") is not None]
    if by_itself and deployment.spec.get("release") is not None:
        says = f"{by_itself[0].name} was accepted on {by_itself[0].created_at:%Y-%m-%d}, and its release is to begin"
        return Coming(says=says, since=by_itself[0].created_at)
    return _of_hand(found[0]) if found else None


def _of_release(release: Release) -> Coming:
    named = f"{release.loop} v{release.challenger}"
    if release.status != _HOLDING:
        return Coming(says=f"{named} is on its way: release {release.id}", since=release.created_at)
    to_do = f"lw release resume {release.loop}, or lw release abort {release.loop}"
    return Coming(says=f"{named} is on its way, and its release holds", since=release.created_at, to_do=to_do)


def _of_hand(version: Version) -> Coming:
    says = f"{version.name} was accepted on {version.created_at:%Y-%m-%d}, and nothing releases it by itself"
    return Coming(says=says, since=version.created_at, to_do=f"lw release start {version.loop} {version.number}")
