"""Sources of loops, looked at now and then: a loop that brings its rows in itself does so when it learns, and what is
to make it learn again is in them.

When a source was looked at last, and what came of it, stands in the store: whoever leads next goes by it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from loopwright.core.clock import Clock
from loopwright.core.deployment import Deployment
from loopwright.core.event import Cause
from loopwright.core.progress import Progress
from loopwright.core.run import RunStatus
from loopwright.core.stores import Progresses, Stores
from loopwright.errors import Conflict, LoopwrightError, StoreUnavailable
from loopwright.pipeline import hold
from loopwright.reconciler import Troubles
from loopwright.retrain.reading import retrain_of
from loopwright.retrain.triggers import OnDrift, OnNewData

POLL_SECONDS = 3600.0
_NAME = "source"
_RUNS = 20


class Sources:
    """Brings in what is new in the source of a deployed loop, where a trigger looks at its rows."""

    def __init__(
        self,
        *,
        stores: Stores,
        clock: Clock,
        actor: str,
        bring: Callable[[Deployment], str],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """`bring` does it, and tells what came in words. No loop's source is looked at more often than every so many
        seconds."""
        self._stores, self._clock, self._actor, self._bring = stores, clock, actor, bring
        self._rest = timedelta(seconds=poll_seconds)
        self._troubles = Troubles(_NAME, stores.events, clock, actor)
        self._looked: dict[str, datetime] = {}

    def look(self, deployment: Deployment) -> None:
        """Where it is time, and no run of the loop goes on. What goes wrong is told, and tried again at the next turn.

        Raises StoreUnavailable."""
        if not is_looked_at(deployment):
            self._troubles.well(deployment.loop)
        elif not self._rests(deployment.loop):
            known = _progress(self._stores.progress, deployment.loop)
            self._heed(known, deployment.loop)
            if not self._rests(deployment.loop) and not self._is_running(deployment.loop):
                with suppress(Conflict):  # another process looks at it
                    self._look(deployment, known)

    def _heed(self, known: Progress, loop: str) -> None:
        """When another process looked last, or this one before it was started again."""
        if looked_at := known.value.get("looked_at"):
            self._looked[loop] = datetime.fromisoformat(looked_at)

    def _rests(self, loop: str) -> bool:
        """A clock that was ahead left moments that are far from now: they hold nothing."""
        looked_at = self._looked.get(loop)
        return looked_at is not None and abs(self._clock.now() - looked_at) < self._rest

    def _is_running(self, loop: str) -> bool:
        """It brings the source in itself."""
        if any(one.loop == loop for one in self._stores.retrainings.unfinished()):
            return True
        now, runs = self._clock.now(), self._stores.runs.list(pipeline=loop, limit=_RUNS)
        return any(one.status_at(now, hold.is_alive) is RunStatus.RUNNING for one in runs)

    def _look(self, deployment: Deployment, known: Progress) -> None:
        """Taken first, so that of two that see it is time one looks. Raises Conflict for the other."""
        now = self._clock.now()
        known = self._put(known, now, {})
        self._looked[deployment.loop] = now
        try:
            told = self._bring(deployment)
        except StoreUnavailable:
            raise
        except LoopwrightError as error:
            self._troubles.failed(deployment.loop, error)
            self._put(known, now, {"error": error.what})
            return
        self._troubles.well(deployment.loop)
        self._put(known, now, {"told": told})

    def _put(self, known: Progress, at: datetime, rest: dict[str, str]) -> Progress:
        changed = replace(known, value={"looked_at": at.isoformat(), **rest})
        return self._stores.progress.put(changed, Cause(actor=self._actor, at=self._clock.now()))


def is_looked_at(deployment: Deployment) -> bool:
    """Whether the loop has a source, as older deployments do not say, and a trigger that looks at its rows."""
    if deployment.spec.get("has_source") is not True:
        return False
    return any(isinstance(one, OnNewData | OnDrift) for one in retrain_of(deployment).triggers)


def last_look(stores: Stores, deployment: Deployment) -> str:
    """When the source was looked at, and what came of it, for people; empty where it is not."""
    if not is_looked_at(deployment):
        return ""
    told = _progress(stores.progress, deployment.loop).value
    if not told:
        return "its source was not looked at yet: lw up does"
    at = f"{datetime.fromisoformat(told['looked_at']):%Y-%m-%d %H:%M} UTC"
    if "error" in told:
        return f"its source was looked at last on {at}, in vain: {told['error']}"
    return f"its source was looked at last on {at}: {told.get('told', 'that has not ended')}"


def _progress(store: Progresses, loop: str) -> Progress:
    name = f"{_NAME}:{loop}"
    return store.get(name) or Progress(name=name, value={})
