"""`lw promote` and `lw rollback` where a release may be under way: they are about it then.

Nothing heavy may be imported before there is a release.
"""

from __future__ import annotations

from dataclasses import replace

from loopwright.core.event import Cause
from loopwright.core.stores import Stores
from loopwright.errors import VersionNotFound
from loopwright.registry import promote as promoting
from loopwright.registry.promote import Promotion


def promote(
    stores: Stores, loop: str, name: str | None, cause: Cause, *, override: bool = False, because: str = ""
) -> Promotion:
    """The challenger of a release takes over as the release would let it, with the former champion kept warm; any other
    version, or one that has taken over already, answers alone, and the release is over. Raises as
    `registry.promote.promote`."""
    going = _challenger(stores, loop)
    if going is not None and _number(stores, loop, name) == going:
        return _asked(stores, loop, "promote", cause, because)
    done = promoting.promote(stores, loop, name, cause, override=override, because=because)
    reason = f"{cause.actor} promoted {done.version.name} by hand"
    ended = _end(stores, loop, replace(cause, reason=f"{reason}: {because.strip()}" if because.strip() else reason))
    return replace(done, note="; ".join(filter(None, [ended, done.note])))


def rollback(stores: Stores, loop: str, cause: Cause, *, because: str = "") -> Promotion:
    """A release that is under way is aborted, which leads to the champion from before it. Raises as
    `registry.promote.rollback`."""
    if any(one.loop == loop for one in stores.releases.unended()):
        return _asked(stores, loop, "abort", cause, because)
    return promoting.rollback(stores, loop, cause, because=because)


def _challenger(stores: Stores, loop: str) -> int | None:
    """Of the release that is under way, unless it has taken over."""
    found = next((one for one in stores.releases.unended() if one.loop == loop), None)
    return None if found is None or found.state["watches"] else found.challenger


def _number(stores: Stores, loop: str, name: str | None) -> int:
    return (stores.versions.get(loop, name) if name else promoting.newest_accepted(stores, loop)).number


def _asked(stores: Stores, loop: str, move: str, cause: Cause, because: str) -> Promotion:
    from loopwright.rollout.asking import ask
    from loopwright.rollout.facts import Move

    before = stores.routes.current(loop)
    told = replace(cause, reason=because.strip() or cause.reason)
    standing, decision = ask(stores, loop, Move(move), told)
    route = stores.routes.current(loop)
    if route is None or route.champion is None:
        raise VersionNotFound(f"{loop} has no champion", fix=f"lw release status {loop}")
    return Promotion(
        version=stores.versions.get(loop, f"v{route.champion}"),
        route=route,
        previous=before.champion if before else None,
        is_change=True,
        note=f"the release of v{standing.release.challenger} is {standing.release.status}: {decision.reason}",
    )


def _end(stores: Stores, loop: str, cause: Cause) -> str:
    """What was ended, in words; empty where nothing went on."""
    going = next((one for one in stores.releases.unended() if one.loop == loop), None)
    if going is None:
        return ""
    from loopwright.rollout.asking import end_overtaken

    end_overtaken(stores, loop, cause)
    return f"this ended the release of v{going.challenger}"
