"""`Monitors`: closes every window of every loop that answers, once, and tells windows again as their labels come.

Read, look, and one transaction: findings, events and how far it got together. Killed in between, the window is looked
at again, and found the same under the same names; of two that go on at once one wins.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from loopwright.core.clock import Clock
from loopwright.core.event import Cause
from loopwright.core.progress import Progress
from loopwright.core.stores import Stores
from loopwright.core.version import Route
from loopwright.errors import Conflict, LoopwrightError
from loopwright.monitor import machine, spans
from loopwright.monitor.closing import Closed, Watching, again, close
from loopwright.monitor.machine import Machine
from loopwright.monitor.pieces import first_moment
from loopwright.monitor.state import State
from loopwright.monitor.watched import Bundles, Watched
from loopwright.monitor.windows import closed, due_again, window_of
from loopwright.reconciler import Troubles

if TYPE_CHECKING:
    from loopwright.predictions.joining import Joiner

_logger = logging.getLogger(__name__)
PREFIX = "monitor:"
_WINDOWS = 8
"""Of a loop in one pass, at most: others wait no longer for one that has much to catch up with."""
_JOINERS = 16


class Monitors:
    """The reconciler. `machine` says how the machine is; None: it is not asked."""

    name = "monitor"

    def __init__(
        self,
        *,
        stores: Stores,
        workspace: Path,
        clock: Clock,
        actor: str = "monitor",
        look_at_machine: Callable[[Path], Machine] | None = machine.look,
    ) -> None:
        self._stores, self._workspace, self._clock, self._actor = stores, workspace, clock, actor
        self._machine = None if look_at_machine is None else partial(look_at_machine, workspace)
        self._bundles = Bundles(stores)
        self._joiners: dict[str, Joiner] = {}
        self._begun_anew: set[str] = set()
        self._troubles = Troubles(self.name, stores.events, clock, actor)

    def reconcile(self) -> int:
        """Close what is over, tell again what is due: how many windows were. Three queries where nothing is."""
        deployments = {one.loop: one for one in self._stores.deployments.in_force()}
        known = {one.name: one for one in self._stores.progress.list(PREFIX)}
        done = 0
        for route in self._stores.routes.newest():
            try:
                watched = Watched.of(route, deployments.get(route.loop))
                name = f"{PREFIX}{route.loop}"
                done += self._of(watched, known.get(name, Progress(name=name, value={})))
                self._troubles.well(route.loop)
            except Conflict:  # somebody else did it: read again next time
                continue
            except LoopwrightError as error:
                self._troubles.failed(route.loop, error)
        return done

    def _of(self, watched: Watched, progress: Progress) -> int:
        now, monitor = self._clock.now(), watched.monitor
        state = State.of(progress.value if progress.number else None, monitor.window).at(now)
        self._tell_unread(watched.loop, state)
        if state.next is None:
            first = first_moment(self._workspace, watched.loop)
            if first is None:
                return 0
            state = replace(state, next=window_of(min(first, now), monitor.window).since)
        watching: Watching | None = None
        for done in range(_WINDOWS):
            assert state.next is not None
            window = closed(state.next, state.length, monitor.lateness, now)
            if window is None:
                return done or self._again(watched, state, progress)
            watching = watching or self._watching(watched, state)
            found = close(watching, state, window)
            progress = self._put(progress, found, f"the window {window} of {watched.loop} is over")
            state = found.state
            spans.tidy(self._workspace, watched.loop, state.spans)
        return _WINDOWS

    def _tell_unread(self, loop: str, state: State) -> None:
        """Once, not at every pass until the next window is over."""
        if state.unread and loop not in self._begun_anew:
            self._begun_anew.add(loop)
            parts = ", ".join(state.unread)
            _logger.warning("what was kept of the monitors of %s cannot be read, and begins anew: %s", loop, parts)

    def _again(self, watched: Watched, state: State, progress: Progress) -> int:
        now, within = self._clock.now(), watched.monitor.labels_within
        if all(due_again(one, within, now) is None for one in state.pending):
            return 0
        found = again(self._watching(watched, state), state)
        if found is None:
            return 0
        self._put(progress, found, f"labels of {watched.loop} came")
        return 1

    def _watching(self, watched: Watched, state: State) -> Watching:
        joiner = self._joiner(watched, state)
        return Watching(
            workspace=self._workspace,
            watched=watched,
            now=self._clock.now(),
            known=partial(self._bundles.of, watched.loop),
            joined=joiner.joined,
            stretches=joiner.known,
            routes=self._routes(watched.route),
            machine=self._machine,
        )

    def _routes(self, route: Route) -> list[Route]:
        return list(self._stores.routes.history(route.loop)) or [route]

    def _joiner(self, watched: Watched, state: State) -> Joiner:
        """Of labels told before the oldest window that still waits for some, none is kept: nor, for those by a key may
        come before their prediction, of so long before that."""
        from loopwright.predictions.joining import Joiner

        loop, asked = watched.loop, [one.window.since for one in state.pending]
        if loop not in self._joiners:
            if len(self._joiners) >= _JOINERS:
                self._joiners.pop(next(iter(self._joiners)))
            self._joiners[loop] = Joiner(self._workspace, loop)
        asked += [] if state.next is None else [state.next]
        if asked:
            self._joiners[loop].forget(min(asked) - watched.monitor.labels_within)
        return self._joiners[loop]

    def _put(self, progress: Progress, found: Closed, reason: str) -> Progress:
        cause = Cause(actor=self._actor, at=self._clock.now(), reason=reason)
        further = replace(progress, value=found.state.to_dict())
        return self._stores.progress.put(further, cause, findings=found.findings, events=found.events)
