"""Which version is the champion: made so by a person or the loop, and taken back.

Both are one change of the route, decided upon the revision that was looked at: of two at once one wins, and the other
gets Conflict. A rejected version is promoted only over somebody's name and reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from loopwright.core.event import Cause
from loopwright.core.stores import Stores
from loopwright.core.version import CHAMPION, FORMER, PROMOTED, ROLLED_BACK, Arm, Route, Version, VersionStatus
from loopwright.errors import ModelError, UsageError, VersionNotFound
from loopwright.registry.fetch import fill


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What a promotion or a rollback did."""

    version: Version
    """The champion now."""
    route: Route
    previous: int | None
    """The champion before; None where there was none."""
    is_change: bool
    """False when it was the champion already, and answered alone."""
    note: str = ""
    """What whoever promotes should know: that it was judged beside another champion than the one it follows."""


def promote(
    stores: Stores, loop: str, name: str | None, cause: Cause, *, override: bool = False, because: str = ""
) -> Promotion:
    """Make a version the champion, which then answers alone; without a name, the newest accepted one.

    `because` is kept in the trail, in place of the cause's own reason. Its bundle is fetched and verified first, so
    that nothing becomes the champion that no gateway could load. Raises VersionNotFound, ModelError for a rejected
    version without `override`, UsageError for an override without a reason, BundleRefused, ArtifactCorrupted and
    ArtifactNotFound for a bundle that is damaged, Conflict when another change came first.
    """
    current = stores.routes.current(loop)
    version = stores.versions.get(loop, name) if name else newest_accepted(stores, loop)
    if current is not None and is_alone(current, version.number):
        return Promotion(version=version, route=current, previous=version.number, is_change=False)
    data: dict[str, object] = {}
    if version.status is VersionStatus.REJECTED:
        _refuse_rejected(version, override=override, because=because)
        data = {"override": True, "verdict": version.reason}
    with TemporaryDirectory(prefix="loopwright-") as room:
        fill(stores.blobs, version, Path(room))
    told = replace(cause, reason=because.strip() or cause.reason)
    done = _put(stores, version, current, told, PROMOTED, data)
    return replace(done, note=_judged_beside(version, stores.versions.list(loop), done.previous))


def rollback(stores: Stores, loop: str, cause: Cause, *, because: str = "") -> Promotion:
    """Go back to the champion before this one; from beside a challenger, to the champion alone.

    Rolling back again goes further back: a champion that was taken back is never returned to. Raises VersionNotFound
    for an unknown loop, UsageError when there is nothing to go back to, Conflict when another change came first.
    """
    history = stores.routes.history(loop)
    if not history:
        stores.versions.get(loop, CHAMPION)  # tells a loop that is not there from one without a champion
    target = rollback_target(history)
    if target is None:
        raise UsageError(
            f"there is nothing to roll {loop} back to: no champion came before v{history[0].champion}",
            fix=f"promote another version: lw promote {loop} VERSION; see them with: lw models {loop}",
        )
    told = replace(cause, reason=because.strip() or cause.reason)
    return _put(stores, stores.versions.get(loop, f"v{target}"), history[0], told, ROLLED_BACK, {})


def newest_accepted(stores: Stores, loop: str) -> Version:
    """Raises VersionNotFound, and UsageError when it was imported: its verdict was given elsewhere."""
    found = stores.versions.list(loop)
    newest = next((version for version in found if version.status is VersionStatus.ACCEPTED), None)
    if newest is not None and _is_imported(stores, newest):
        raise UsageError(
            f"the newest accepted version, {newest.name}, was imported: it was judged in another workspace",
            fix=f"look at it with lw why {loop}:{newest.number}; to promote it, name it: "
            f"lw promote {loop} {newest.number}",
        )
    if newest is not None:
        return newest
    last = found[0] if found else stores.versions.get(loop, "newest")  # raises for a loop that is not there
    raise VersionNotFound(
        f"{loop} has no accepted version; the newest, v{last.number}, was rejected: {last.reason}",
        fix=f"see why: lw why {loop}:{last.number}; or run the loop again",
    )


def rollback_target(history: Sequence[Route]) -> int | None:
    """The version that a rollback goes to; None when there is none. `history` is newest first.

    Champions stand on one another: a promotion puts one on top, a rollback takes the top off.
    """
    champions = standing(history)
    if len(history[0].arms) > 1 and champions:
        return champions[-1]
    return champions[-2] if len(champions) > 1 else None


def standing(history: Sequence[Route]) -> list[int]:
    """The champions that were not taken back, the present one last; none follows itself.

    A release takes its champion back by giving the arm of that name to the one that it kept warm.
    """
    stack: list[int] = []
    warm: set[int] = set()
    for route in reversed(history):
        is_back = route.kind == ROLLED_BACK or route.champion in warm
        warm = {arm.version for arm in route.arms if arm.name == FORMER}
        if route.champion is None or stack[-1:] == [route.champion]:
            continue
        if is_back and stack:
            stack.pop()
        if stack[-1:] != [route.champion]:
            stack.append(route.champion)
    return stack


def is_alone(route: Route, version: int) -> bool:
    """Whether the version is the champion and nothing else answers."""
    return [(arm.name, arm.version) for arm in route.arms] == [(CHAMPION, version)]


def _is_imported(stores: Stores, version: Version) -> bool:
    subject = f"version:{version.loop}:{version.number}"
    return any(event.kind == "BundleImported" for event in stores.events.list(subject=subject))


def _judged_beside(version: Version, known: Sequence[Version], champion: int | None) -> str:
    """Whom it was compared with, where that is not the champion it follows; nothing for one that does not say."""
    if "champion" not in version.lineage:
        return ""
    digest = version.lineage["champion"]
    beside = next((f"v{one.number}" for one in known if one.digest == digest), None)
    today = "" if champion is None else f"v{champion}"
    if champion == version.number or (beside or str(digest or "")) == today:
        return ""
    told = "no champion" if digest is None else beside or f"a version that is not known here, {str(digest)[:12]}"
    return f"judged beside {told}; " + (f"the champion until now was {today}" if today else "there was no champion")


def _refuse_rejected(version: Version, *, override: bool, because: str) -> None:
    loop, number = version.loop, version.number
    if not override:
        raise ModelError(
            f"{version.name} was rejected by its gates: {version.reason}",
            fix=f"see why: lw why {loop}:{number}; or take it on yourself: "
            f"lw promote {loop} {number} --override --because REASON",
        )
    if not because.strip():
        raise UsageError(
            f"{version.name} was rejected; promoting it needs a reason, and none was given",
            fix=f"lw promote {loop} {number} --override --because REASON",
        )


def _put(
    stores: Stores, version: Version, current: Route | None, cause: Cause, kind: str, data: Mapping[str, object]
) -> Promotion:
    """The version alone, in place of what was looked at; the aliases of arms that end are dropped."""
    arm = Arm(name=CHAMPION, version=version.number, share=1.0)
    route = Route(loop=version.loop, arms=(arm,), at=cause.at, actor=cause.actor, reason=cause.reason)
    ended: dict[str, int | None] = {arm.name: None for arm in current.arms} if current else {}
    aliases = ended | {CHAMPION: version.number}
    expected = current.number if current else None
    changed = stores.routes.change(route, aliases, cause, expected, kind, data)
    return Promotion(
        version=stores.versions.get(version.loop, f"v{version.number}"),
        route=changed,
        previous=current.champion if current else None,
        is_change=True,
    )
