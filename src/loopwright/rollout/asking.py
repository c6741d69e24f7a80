"""What a person asks of a release: hold, resume, abort or promote it. Each is one transaction on what was looked at.

The controller goes on meanwhile, and writes how far it read; that changes nothing of what was asked, so it is asked
again of what is there then. A promotion is not, once somebody else moved the release: of two at once one wins.
"""

from __future__ import annotations

from datetime import datetime

from loopwright.core.event import Cause
from loopwright.core.release import Release
from loopwright.core.stores import Stores
from loopwright.errors import Conflict, UsageError
from loopwright.rollout.controller import decide
from loopwright.rollout.decision import Decision
from loopwright.rollout.facts import Asked, Facts, Move
from loopwright.rollout.moving import Standing, overtaken, written
from loopwright.rollout.state import Holding

_TIMES = 8


def ask(stores: Stores, name: str, move: Move, cause: Cause) -> tuple[Standing, Decision]:
    """`name` is a release's or a loop's; `cause.reason` why it is asked.

    Raises ReleaseNotFound, UsageError for what would change nothing, Conflict for a release that ended, or was moved by
    somebody else while this was asked.
    """
    first = Standing.of(stores.releases.get(name))
    standing = first
    for _ in range(_TIMES):
        _refuse_idle(standing, move)
        try:
            return _asked(stores, standing, move, cause)
        except Conflict:
            standing = Standing.of(stores.releases.get(first.release.id))
            _refuse_overtaken(stores, first, standing, move)
    raise Conflict(f"the release {first.release.id} changes too often", fix="ask again")


def end_overtaken(stores: Stores, loop: str, cause: Cause) -> None:
    """The release of a loop whose route was changed by hand is over; nothing where there is none."""
    for _ in range(_TIMES):
        found, route = under_way(stores, loop), stores.routes.current(loop)
        if found is None or route is None or route.number == found.release.route:
            return
        try:
            overtaken(stores, found, route.champion, cause)
        except Conflict:
            continue
        return


def under_way(stores: Stores, loop: str) -> Standing | None:
    """The release of a loop that has not ended."""
    found = next((one for one in stores.releases.unended() if one.loop == loop), None)
    return None if found is None else Standing.of(found)


def _asked(stores: Stores, standing: Standing, move: Move, cause: Cause) -> tuple[Standing, Decision]:
    facts = Facts(
        now=cause.at,
        known_until=cause.at,
        cursor=standing.state.cursor,
        asked=Asked(move=move, actor=cause.actor, reason=cause.reason),
    )
    state, decision = decide(standing.plan, standing.state, facts)
    return written(stores, standing, state, facts, decision, cause), decision


def _refuse_idle(standing: Standing, move: Move) -> None:
    release, state = standing.release, standing.state
    if state.ended is not None:
        raise _ended(release, f"it is {state.ended.value}")
    held = any(hold.kind is Holding.ASKED for hold in state.holds)
    why = {
        Move.HOLD: "it is held already" if held else "",
        Move.RESUME: "" if state.holds else "nothing holds it",
        Move.PROMOTE: "it has taken over already" if state.watches else "",
        Move.ABORT: "",
    }[move]
    if why:
        raise UsageError(
            f"nothing changes for the release of {release.loop} v{release.challenger}: {why}",
            fix=f"look at it: lw release status {release.loop}",
        )


def _refuse_overtaken(stores: Stores, first: Standing, now: Standing, move: Move) -> None:
    release, state = now.release, now.state
    if state.ended is not None:
        raise _ended(release, f"it was {state.ended.value} meanwhile")
    current = stores.routes.current(release.loop)
    if current is not None and current.number != release.route:
        raise Conflict(
            f"{current.actor} changed the route of {release.loop} meanwhile, at {_at(current.at)}",
            fix=f"look at what is there now: lw models {release.loop}",
        )
    if move is Move.PROMOTE and state.decisions != first.state.decisions:
        last = state.decisions[-1]
        raise Conflict(
            f"the release of {release.loop} moved meanwhile: {last.reason}",
            fix=f"look at it, and decide again: lw release status {release.loop}",
        )


def _ended(release: Release, how: str) -> Conflict:
    return Conflict(
        f"the release of {release.loop} v{release.challenger} goes on no more: {how}",
        fix=f"see them all: lw release list {release.loop}",
    )


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
