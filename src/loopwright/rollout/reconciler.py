"""Keeps releases going: reads what was seen, lets the controller decide, writes the decision; and begins new ones.

Read, decide, one transaction. Killed anywhere, the next pass goes on from what is stored: what was read is stored with
what it led to. A second one at the same time changes nothing, for it loses by a Conflict and reads again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from loopwright.core.clock import Clock
from loopwright.core.deployment import Deployment
from loopwright.core.event import Cause
from loopwright.core.release import Release
from loopwright.core.stores import Stores
from loopwright.core.version import Route
from loopwright.errors import Conflict, LoopwrightError, StoreUnavailable
from loopwright.reconciler import Troubles
from loopwright.rollout import moving, starting, unlike
from loopwright.rollout.controller import decide
from loopwright.rollout.course import course
from loopwright.rollout.decision import Verdict
from loopwright.rollout.facts import Facts
from loopwright.rollout.log import Cursor, Log
from loopwright.rollout.moving import Standing
from loopwright.rollout.reader import Reader
from loopwright.rollout.shares import Shares
from loopwright.rollout.yardstick import yardstick

_logger = logging.getLogger(__name__)
_PAGE = 1000
_RETRY = timedelta(minutes=1)
"""After a release could not begin."""


class Releases:
    """Of all loops. `log` gives what a loop's predictions are read by; the workspace's own unless told otherwise."""

    name = "release"

    def __init__(
        self,
        *,
        stores: Stores,
        workspace: Path,
        clock: Clock,
        actor: str = "release",
        log: Callable[[str], Log] | None = None,
    ) -> None:
        self._stores = stores
        self._clock = clock
        self._actor = actor
        self._log = log or (lambda loop: follower(workspace, loop))
        self._readers: dict[str, Reader] = {}
        self._standing: dict[str, Standing] = {}
        self._shares: dict[str, tuple[int | None, Shares]] = {}
        self._troubles = Troubles(self.name, stores.events, clock, actor)
        self._event = 0
        """The last that was heard of."""
        self._dirty: set[str] | None = None
        """The loops whose turn for a release is to be looked at; None for all."""
        self._tried: dict[str, datetime] = {}
        """When the release of a loop could not begin."""
        self._told: set[str] = set()
        """Subjects of which something was told that the release of a version has not looked at."""

    def reconcile(self) -> int:
        """Every release once, then whatever is to begin: how many moved or began."""
        self._hear()
        releases = self._stores.releases.unended()
        routes = {route.loop: route for route in self._stores.routes.newest()} if releases else {}
        self._forget({release.id for release in releases})
        moved = sum(self._guarded(one.loop, self._step, one, routes.get(one.loop)) for one in releases)
        return moved + self._begin({release.loop for release in releases})

    def _step(self, release: Release, route: Route | None) -> bool:
        """Whether it moved."""
        standing = self._standing.get(release.id)
        if standing is None or standing.release.number != release.number:
            standing = Standing.of(release)
        if route is not None and route.number != release.route:
            return self._overtaken(standing, route)
        reader, facts = self._read(standing)
        state, decision = decide(standing.plan, standing.state, facts)
        is_move = decision.verdict is not Verdict.STAY
        if is_move or state.cursor != standing.state.cursor:
            cause = Cause(actor=self._actor, at=facts.now, reason=decision.reason)
            standing = moving.written(self._stores, standing, state, facts, decision, cause)
        self._standing[release.id] = standing
        if reader is not None:
            self._readers[release.id] = reader
        if is_move:
            _logger.info("%s v%d: %s, %s", release.loop, release.challenger, decision.verdict.value, decision.reason)
        return is_move

    def _read(self, standing: Standing) -> tuple[Reader | None, Facts]:
        """Where what was seen before cannot be read again, nothing is known, and no reader is kept."""
        shares, reader = self._shares_of(standing), self._reader(standing)
        if reader is None:
            reader = self._new_reader(standing)
            try:
                reader.resume(shares)
            except (LoopwrightError, OSError) as error:
                _logger.warning("the predictions of %s cannot be read: %s", standing.release.loop, error)
                return None, Facts(now=self._clock.now())
            self._told.add(reader.subject)
        is_told = reader.subject in self._told
        facts = reader.read(shares, self._stores.events if is_told else None, self._clock.now)
        if facts.known_until is not None:
            self._told.discard(reader.subject)
        return reader, facts

    def _overtaken(self, standing: Standing, route: Route) -> bool:
        """Unless it is what was read just before somebody else moved the release: then nothing is done now."""
        if self._stores.releases.get(standing.release.id).number != standing.release.number:
            return False
        reason = f"{route.actor} changed the route: {route.reason or route.kind}"
        moving.overtaken(self._stores, standing, route.champion, self._cause(reason))
        return True

    def _reader(self, standing: Standing) -> Reader | None:
        """The one that goes on from where the stored state ends, with what it remembers."""
        found = self._readers.pop(standing.release.id, None)
        return found if found is not None and found.cursor.text() == standing.state.cursor else None

    def _new_reader(self, standing: Standing) -> Reader:
        release, follows = standing.release, course(standing.plan)
        challenger, champion = (
            None if number is None else self._stores.versions.get(release.loop, f"v{number}")
            for number in (release.challenger, release.champion)
        )
        assert challenger is not None
        return Reader(
            self._log(release.loop),
            Cursor.parse(standing.state.cursor),
            loop=release.loop,
            challenger=release.challenger,
            champion=release.champion,
            yardstick=yardstick(self._stores, challenger, champion),
            horizon=starting.horizon(self._stores, release.loop),
            has_outcomes=bool(follows.bigger_is_better or follows.smaller_is_better),
            trained=unlike.both(self._stores, challenger, champion),
        )

    def _shares_of(self, standing: Standing) -> Shares:
        release = standing.release
        known = self._shares.get(release.id)
        if known is not None and known[0] == release.route:
            return known[1]
        first = Cursor.parse(standing.state.cursor).route
        last = release.route or 0
        routes = [one for one in self._stores.routes.history(release.loop) if first <= one.number <= last]
        shares = Shares(routes[::-1], release.challenger)
        self._shares[release.id] = release.route, shares
        return shares

    def _begin(self, busy: set[str]) -> int:
        """A loop that has a release waits for its end: then its events make it looked at again."""
        dirty = self._dirty
        if dirty is not None and not dirty - busy:
            return 0
        deployed = [one for one in self._stores.deployments.in_force() if dirty is None or one.loop in dirty]
        self._dirty = {one.loop for one in deployed}
        found = [one for one in deployed if one.loop not in busy and not self._is_put_off(one.loop)]
        return sum(self._looked_at(deployment) for deployment in found)

    def _looked_at(self, deployment: Deployment) -> bool:
        """Until it went through once, it is looked at again."""
        loop = deployment.loop
        self._tried[loop] = self._clock.now()
        found = self._guarded(loop, self._start, deployment)
        if loop not in (self._dirty or ()):
            del self._tried[loop]
        return found

    def _is_put_off(self, loop: str) -> bool:
        """Whether a release of it could not begin a moment ago: to fetch a bundle again may be dear."""
        tried = self._tried.get(loop)
        return tried is not None and timedelta(0) <= self._clock.now() - tried < _RETRY

    def _start(self, deployment: Deployment) -> bool:
        found = self._begun(deployment)
        assert self._dirty is not None
        self._dirty.discard(deployment.loop)
        return found

    def _begun(self, deployment: Deployment) -> bool:
        due = starting.due(self._stores, deployment)
        if due is None:
            return False
        cause, plan = self._cause(""), starting.plan_of(deployment)
        starting.start(self._stores, self._log(deployment.loop), due.version, plan, cause, self._clock)
        for version in due.skipped:
            reason = f"v{due.version.number} was accepted since"
            told = {"reason": reason, "instead": due.version.number}
            self._stores.events.add(
                starting.SKIPPED, f"version:{version.loop}:{version.number}", self._cause(reason), told
            )
        return True

    def _hear(self) -> None:
        """What was told since the last pass. At first all of it, for no reader has looked at anything."""
        while page := self._stores.events.list(after=self._event, limit=_PAGE):
            self._event = page[-1].number
            subjects = {one.subject for one in page}
            self._told |= {one for one in subjects if one.startswith("version:")}
            if self._dirty is not None:
                self._dirty |= {one.split(":")[1] for one in subjects if one.startswith(("version:", "loop:"))}

    def _guarded(self, loop: str, work: Callable[..., bool], *given: object) -> bool:
        """What concerns one loop keeps no other one from going on."""
        try:
            found = work(*given)
        except Conflict:  # somebody else did it, or something else: the next pass sees what
            self._drop(loop)
            self._tried.pop(loop, None)
            return False
        except (LoopwrightError, OSError) as error:
            self._drop(loop)
            self._troubles.failed(loop, _ours(error))
            return False
        self._troubles.well(loop)
        return found

    def _drop(self, loop: str) -> None:
        """What was read is not stored: it is to be read again, by a new reader."""
        for name, standing in list(self._standing.items()):
            if standing.release.loop == loop:
                self._standing.pop(name, None)
                self._readers.pop(name, None)

    def _forget(self, going: set[str]) -> None:
        for kept in (self._readers, self._standing, self._shares):
            for name in kept.keys() - going:
                del kept[name]

    def _cause(self, reason: str) -> Cause:
        return Cause(actor=self._actor, at=self._clock.now(), reason=reason)


def _ours(error: LoopwrightError | OSError) -> LoopwrightError:
    if isinstance(error, LoopwrightError):
        return error
    return StoreUnavailable(f"the machine says: {error}", fix="look at its disk and its network")


def follower(workspace: Path, loop: str) -> Log:
    """What the loop's predictions are read by."""
    from loopwright.predictions.following import Follower

    return Follower(workspace, loop)
