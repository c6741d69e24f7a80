"""Retraining as it is carried out: what is due is claimed, run by the code that is deployed, and its end written down.

A claim names the run before it begins, so that whoever finds a claim without an end goes on with that run, and begins
none beside it. While a run goes on, who runs it says so again and again: only one that fell silent is replaced.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from loopwright.core.clock import Clock, SystemClock, new_id, new_ulid
from loopwright.core.deployment import Deployment
from loopwright.core.event import Cause
from loopwright.core.retraining import Retraining, RetrainingStatus
from loopwright.core.stores import Stores
from loopwright.errors import Conflict, LoopwrightError, StoreUnavailable
from loopwright.pipeline.deployed import Run
from loopwright.reconciler import Troubles
from loopwright.retrain.due import BY_HAND, Due, decide, learns_since
from loopwright.retrain.facts import Facts
from loopwright.retrain.reading import Reading, Tables, retrain_of
from loopwright.retrain.sources import Sources
from loopwright.retrain.triggers import Retrain

_logger = logging.getLogger(__name__)
HOLD_SECONDS = 15.0
"""For so long a process that fell silent is waited for, as one that leads is. One that comes back is no harm: the run
has a lease of its own."""
_GIVEN = ("start", "since")
"""Of a claim's evidence, what its run gets as parameters."""
_ENDS = {
    "succeeded": RetrainingStatus.SUCCEEDED,
    "rejected": RetrainingStatus.REJECTED,
    "failed": RetrainingStatus.FAILED,
    "cancelled": RetrainingStatus.FAILED,
}


class Retrainings:
    """Looks at every loop that is deployed, and lets it learn again when one of its triggers is due."""

    name = "retrain"

    def __init__(
        self,
        *,
        stores: Stores,
        tables: Tables,
        clock: Clock,
        actor: str,
        run: Run,
        lease_clock: Clock | None = None,
        sources: Sources | None = None,
        workspace: Path | None = None,
    ) -> None:
        """`run` begins the run of the name it is told, goes on with it where it stopped, or tells how it ended. By
        `lease_clock`, the machine's unless given, it is seen who fell silent: a replay may let `clock` stand. The
        `sources` of loops are looked at before their triggers are. The `workspace` is not needed: what happens is in
        the stores."""
        self._stores, self._clock, self._actor, self._run = stores, clock, actor, run
        self._lease_clock, self._sources = lease_clock or SystemClock(), sources
        self._reading = Reading(stores, tables)
        self._holder = new_ulid(clock)
        self._troubles = Troubles(self.name, stores.events, clock, actor)
        self._stuck = set[str]()
        """The loops that something was wrong with in this pass."""

    def reconcile(self) -> int:
        """Go on with what was claimed, then look at every trigger: how many retrainings began or ended."""
        changes = 0
        self._stuck.clear()
        for claimed in self._stores.retrainings.unfinished():
            changes += self._safely(claimed.loop, partial(self._go_on, claimed))
        for deployment, read in self._reading.all(self._clock.now()):
            changes += self._safely(deployment.loop, partial(self._look, deployment, read))
        return changes

    def by_hand(self, loop: str, because: str = "", *, fine_tune: bool = False) -> Retraining:
        """Because somebody asks: to the end, or as far as it is when another process carries it out.

        Raises DeploymentNotFound, and Conflict while another retraining of the loop has not ended.
        """
        deployment, facts = self._reading.one(loop, self._clock.now())
        asked = new_ulid(self._clock)
        told = Due(
            cause=f"{BY_HAND}:{asked}",
            trigger=BY_HAND,
            reason=because or f"{self._actor} asked for it",
            fine_tune=fine_tune,
            is_fresh=not fine_tune,
            evidence={"rows_until": facts.rows_until.isoformat() if facts.rows_until else None},
        )
        claimed = self._claim(deployment, told, facts, asked)
        self._go_on(claimed)
        return next(one for one in self._stores.retrainings.list(loop) if one.id == claimed.id)

    def _look(self, deployment: Deployment, read: Callable[[], Facts]) -> int:
        if self._sources is not None:
            self._sources.look(deployment)
        if decide(retrain_of(deployment), read()) is None:
            return 0
        # Read before this pass trained other loops, for hours maybe: what is in force now decides.
        deployment, facts = self._reading.one(deployment.loop, self._clock.now())
        found = decide(retrain_of(deployment), facts)
        if found is None:
            return 0
        try:
            claimed = self._claim(deployment, found, facts, new_ulid(self._clock))
        except Conflict as error:  # somebody else saw it too
            _logger.debug("%s", error.what)
            return 0
        return 1 + self._go_on(claimed)

    def _claim(self, deployment: Deployment, found: Due, facts: Facts, named: str) -> Retraining:
        now, retrain = self._clock.now(), retrain_of(deployment)
        asked = Retraining(
            id=named,
            loop=deployment.loop,
            cause=found.cause,
            trigger=found.trigger,
            reason=found.reason,
            fine_tune=found.fine_tune,
            deployment=deployment.number,
            status=RetrainingStatus.CLAIMED,
            run_id=new_id(self._clock),
            evidence={**found.evidence, **_parameters(found, retrain, facts)},
            created_at=now,
            created_by=self._actor,
        )
        return self._stores.retrainings.claim(asked, Cause(actor=self._actor, at=now, reason=found.reason))

    def _go_on(self, claimed: Retraining) -> int:
        """Run it, or take its run up, unless another process is at it."""
        with self._held(claimed) as is_mine:
            if not is_mine or not self._is_unfinished(claimed):
                return 0
            ended = self._ended(claimed)
            if not ended.status.is_final:
                return 0
            cause = Cause(actor=self._actor, at=self._clock.now(), reason=claimed.reason)
            with suppress(Conflict):  # it was seen to its end by somebody else
                self._stores.retrainings.save(ended, cause)
                return 1
        return 0

    def _is_unfinished(self, claimed: Retraining) -> bool:
        """Still: it may have come to its end before this process was let in."""
        return any(one.id == claimed.id for one in self._stores.retrainings.unfinished())

    def _ended(self, claimed: Retraining) -> Retraining:
        try:
            deployment = self._stores.deployments.get(claimed.loop, claimed.deployment)
            given = {name: claimed.evidence[name] for name in _GIVEN if name in claimed.evidence}
            ran = self._run(deployment, given, run_id=claimed.run_id)
        except StoreUnavailable:
            raise
        except LoopwrightError as error:
            return replace(claimed, status=RetrainingStatus.FAILED, error=str(error), finished_at=self._clock.now())
        status = _ENDS.get(ran.status, RetrainingStatus.CLAIMED)
        at = self._clock.now() if status.is_final else None
        named = ran.run_id or claimed.run_id
        return replace(claimed, status=status, run_id=named, version=ran.version, error=ran.error, finished_at=at)

    @contextmanager
    def _held(self, claimed: Retraining) -> Iterator[bool]:
        name, leaders = f"retraining:{claimed.id}", self._stores.leaders
        if not leaders.take(name, self._holder, self._lease_clock.now(), HOLD_SECONDS):
            yield False
            return
        over = threading.Event()
        beating = threading.Thread(target=self._beat, args=(name, over), name="retraining", daemon=True)
        beating.start()
        try:
            yield True
        finally:
            over.set()
            beating.join()
        leaders.leave(name, self._holder)

    def _beat(self, name: str, over: threading.Event) -> None:
        while not over.wait(HOLD_SECONDS / 3):
            with suppress(LoopwrightError):
                self._stores.leaders.take(name, self._holder, self._lease_clock.now(), HOLD_SECONDS)

    def _safely(self, loop: str, act: Callable[[], int]) -> int:
        """What is wrong with one loop is told, once, and keeps no other waiting."""
        try:
            done = act()
        except LoopwrightError as error:
            self._stuck.add(loop)
            self._troubles.failed(loop, error)
            return 0
        if loop not in self._stuck:
            self._troubles.well(loop)
        return done


def _parameters(found: Due, retrain: Retrain, facts: Facts) -> dict[str, str]:
    """What the run is given: see `loop.SETTABLE`."""
    since = learns_since(retrain, facts)
    return {"start": _start(found, retrain), **({} if since is None else {"since": since.isoformat()})}


def _start(found: Due, retrain: Retrain) -> str:
    if found.fine_tune:
        return "fine_tune"
    return "scratch" if found.is_fresh or retrain.search_again else "parameters"
