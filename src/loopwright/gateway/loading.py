"""Which models are in memory: loaded when a route names them, let go when others need the room, loaded again on demand.

Every loop is loaded in a thread of its own, so that a slow one delays no other. What answers is replaced by one
assignment once all models of a new route are there; whatever fails changes nothing but the fault that is told. Where
nothing answers yet, as in a process that has just begun, the newest earlier route that can be loaded does meanwhile.
Loops that nobody asked for the longest rest first when the models outgrow the budget; their columns stay known.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import MappingProxyType
from typing import Any, TypeVar

from loopwright.core.clock import Clock
from loopwright.core.stores import Routes
from loopwright.core.version import Route
from loopwright.errors import LoopwrightError, StoreUnavailable, did_you_mean
from loopwright.gateway.model import LoadedModel
from loopwright.gateway.notices import Notices
from loopwright.gateway.refused import Refused
from loopwright.gateway.served import Fault, Served

_logger = logging.getLogger(__name__)
T = TypeVar("T")
NOT_LOADED = "VersionNotLoaded"
"""The event of a version that a gateway could not load; the one before answers on."""
_LONGEST_WAIT = 60.0
"""Seconds between two attempts to load what could not be loaded; the first waits are shorter."""
_TOLD_AGAIN = (3, 5)
"""Attempts after which it is told once more that a version cannot be loaded: a release takes it back by that. Told
alike by all workers, each counts once. A store that is away says nothing of the version."""
_SIDE_BY_SIDE = 8
_MOST_TORN = 4
"""Versions of a loop that are found torn before no earlier route is tried any more: each may take long to try."""
_WAKE_SECONDS = 10.0
"""What a request waits for a loop that rests, at most."""
_NICE = 10


class NotLoaded(Exception):
    """A version that could not be loaded; the reason is its cause."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


class Loading:
    """Call `refresh` once before the first request, and `poll` now and then."""

    def __init__(
        self,
        *,
        routes: Callable[[], Routes],
        load: Callable[[str, int], LoadedModel],
        clock: Clock,
        asked: Callable[[str], int],
        budget_bytes: int = 0,
        notices: Notices | None = None,
    ) -> None:
        """`asked` counts what a loop was asked for; a budget of 0 bytes is none."""
        self._routes = routes
        self._load = load
        self._clock = clock
        self._asked = asked
        self._budget_bytes = budget_bytes
        self._notices = notices
        self.awake: Mapping[str, Served] = MappingProxyType({})
        """What answers, by loop: replaced whole, never changed."""
        self.resting: Mapping[str, Served] = MappingProxyType({})
        self.faults: Mapping[str, Fault] = MappingProxyType({})
        self.on_rest: Callable[[str], None] = lambda _: None
        """Told of a loop whose models are let go: to forget them too."""
        self._last_asked: dict[str, tuple[int, float]] = {}
        self._busy: dict[str, Future[None]] = {}
        self._waking: dict[str, Future[None]] = {}
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.RLock()
        self._pool = ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="load", initializer=_step_back)
        self._is_cut_off = False

    def refresh(self, wait_seconds: float | None = None) -> None:
        """Read the routes, load what is new, and wait for it so long; without a number until all of it is there.

        Raises what the store raises.
        """
        begun = [self._begin(route) for route in self._routes().newest() if self._is_due(route)]
        self._note_asked()
        futures.wait(begun, wait_seconds)

    def poll(self, wait_seconds: float) -> None:
        """Refresh; whatever goes wrong is logged once, and serving goes on."""
        try:
            self.refresh(wait_seconds)
        except Exception as error:  # noqa: BLE001 - the loop of a thread: a database may be away in many ways
            if not self._is_cut_off:
                _logger.warning("the route table cannot be read; serving goes on as it was: %s", error)
            self._is_cut_off = True
        else:
            if self._is_cut_off:
                _logger.warning("the route table is read again")
            self._is_cut_off = False

    def stop(self) -> None:
        """Begin nothing new. What is at work is not waited for: it may be anything."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def served(self, loop: str) -> Served:
        """What answers for a loop now. One that rests is loaded: who may not wait for it is refused for now.

        Raises `Refused`.
        """
        found = self.awake.get(loop)
        if found is None and loop in self.resting and not self._is_put_off(loop):
            found = self._woken(loop)
        return found or self._refuse(loop)

    def described(self, loop: str) -> Served:
        """What answers, or would if it did not rest: to look at. Raises `Refused`."""
        return self.awake.get(loop) or self.resting.get(loop) or self._refuse(loop)

    def wake(self, loop: str) -> Future[None]:
        """Done once the loop's models are loaded, or could not be: at once where that was seen a moment ago."""
        with self._lock:
            found = self._waking.get(loop)
            if found is None and self._is_put_off(loop):
                found = Future()
                found.set_result(None)
            elif found is None:
                found = self._waking[loop] = self._pool.submit(self._rouse, loop)
        return found

    def digests(self) -> set[str]:
        """Of all bundles that answer, or would if they did not rest."""
        known = (*self.awake.values(), *self.resting.values())
        return {model.version.digest for served in known for model in served.models.values()}

    def _is_due(self, route: Route) -> bool:
        loop = route.loop
        if loop in self._busy and not self._busy[loop].done():
            return False
        fault, served = self.faults.get(loop), self.awake.get(loop) or self.resting.get(loop)
        if fault is not None and fault.route.number == route.number:
            return self._clock.monotonic() >= fault.retry_at
        return fault is not None or served is None or served.route.number != route.number

    def _begin(self, route: Route) -> Future[None]:
        found = self._busy[route.loop] = self._pool.submit(self._take_up, route)
        return found

    def _take_up(self, route: Route) -> None:
        loop = route.loop
        with self._turns[loop]:
            before = self.awake.get(loop)
            known = dict(before.models) if before else {}
            try:
                models = {arm.version: self._model(loop, arm.version, known) for arm in route.answering}
            except NotLoaded as error:
                self._note_fault(route, error)
                if before is None and loop not in self.resting:
                    self._fall_back(route, error.version)
                return
            fault = self._take_shadows(route, known | models, models)
            named = {arm.version for arm in before.route.arms} if before else set()
            kept = {version: model for version, model in known.items() if version in named}
            self._put(Served(route=route, models=MappingProxyType(kept | models)))
            if fault is not None:
                self._note_fault(route, fault)
                return
            with self._lock:
                self.faults = _without(self.faults, loop)
        _logger.info("%s is answered by %s", loop, _told(route))

    def _fall_back(self, route: Route, first: int) -> None:
        """Answer by the newest earlier route that can be loaded, without its shadows; the fault stays.

        `first` is the version that could not be.
        """
        loop, torn = route.loop, {first}
        for earlier in self._earlier(route):
            versions = {arm.version for arm in earlier.answering}
            if versions & torn or len(torn) == _MOST_TORN:
                continue
            try:
                models = {version: self._model(loop, version, {}) for version in sorted(versions)}
            except NotLoaded as error:
                _logger.warning("%s cannot fall back to route %d: %s", loop, earlier.number, error.__cause__)
                torn.add(error.version)
            else:
                self._put(Served(route=earlier, models=MappingProxyType(models)))
                _logger.warning("%s falls back to route %d: %s", loop, earlier.number, _told(earlier))
                return

    def _earlier(self, route: Route) -> Sequence[Route]:
        """Newest first; none where the store cannot say."""
        try:
            return [one for one in self._routes().history(route.loop) if one.number < route.number]
        except StoreUnavailable as error:
            _logger.warning("%s has no route to fall back to, for they cannot be read: %s", route.loop, error)
            return []

    def _model(self, loop: str, version: int, known: Mapping[int, LoadedModel]) -> LoadedModel:
        """Raises `NotLoaded`."""
        found = known.get(version)
        if found is not None:
            return found
        try:
            return self._load(loop, version)
        except Exception as error:
            raise NotLoaded(version) from error  # in whatever way a bundle cannot be loaded, it must stop nothing

    def _take_shadows(
        self, route: Route, known: Mapping[int, LoadedModel], models: dict[int, LoadedModel]
    ) -> NotLoaded | None:
        """Adds them to `models`. What could not be loaded is no reason not to follow the route: nobody hears it."""
        found = None
        for arm in route.shadows:
            try:
                models[arm.version] = self._model(route.loop, arm.version, known)
            except NotLoaded as fault:
                found = fault
        return found

    def _note_fault(self, route: Route, not_loaded: NotLoaded) -> None:
        loop, error = route.loop, not_loaded.__cause__
        before = self.faults.get(loop)
        attempts = before.attempts + 1 if before and before.route.number == route.number else 1
        ours = error if isinstance(error, LoopwrightError) else None
        fault = Fault(
            route=route,
            version=not_loaded.version,
            what=ours.what if ours else f"a {type(error).__name__}; see the gateway's log",
            fix=ours.fix if ours else None,
            attempts=attempts,
            retry_at=self._clock.monotonic() + min(_LONGEST_WAIT, 2.0 ** (attempts - 1)),
        )
        with self._lock:
            self.faults = MappingProxyType({**self.faults, loop: fault})
        if attempts == 1:
            _logger.error(
                "%s does not follow route %d: v%d cannot be loaded: %s", loop, route.number, fault.version, error
            )
        if attempts == 1 or (attempts in _TOLD_AGAIN and not isinstance(error, StoreUnavailable)):
            self._tell(fault)

    def _tell(self, fault: Fault) -> None:
        if self._notices is not None:
            data: dict[str, Any] = {"route": fault.route.number, "what": fault.what, "fix": fault.fix}
            data |= {"attempts": fault.attempts} if fault.attempts > 1 else {}
            self._notices.note(NOT_LOADED, f"version:{fault.route.loop}:{fault.version}", fault.what, data)

    def _put(self, served: Served) -> None:
        loop = served.route.loop
        with self._lock:
            self._last_asked[loop] = (self._asked(loop), self._clock.monotonic())
            self.awake = MappingProxyType({**self.awake, loop: served})
            self.resting = _without(self.resting, loop)
            self._make_room(loop)

    def _make_room(self, newest: str) -> None:
        """Until the models fit: first those of older routes go, then loops rest, who was asked longest ago first."""
        oldest_first = sorted(self.awake, key=lambda loop: (loop == newest, self._last_asked[loop][1]))
        for loop in oldest_first:
            if self._fits():
                return
            if self.awake[loop].has_older:
                self.awake = MappingProxyType({**self.awake, loop: self.awake[loop].without_older()})
        for loop in oldest_first[:-1]:
            if self._fits():
                return
            self._rest(loop)
        if not self._fits():
            _logger.warning("the models of %s alone take more than the memory for models: %d", newest, self._bytes())

    def _rest(self, loop: str) -> None:
        served = self.awake[loop]
        self.resting = MappingProxyType({**self.resting, loop: served.at_rest()})
        self.awake = _without(self.awake, loop)
        self.on_rest(loop)
        _logger.info("%s rests: its models are let go, for others need the memory", loop)

    def _fits(self) -> bool:
        return not self._budget_bytes or self._bytes() <= self._budget_bytes

    def _bytes(self) -> int:
        return sum(model.memory_bytes for served in self.awake.values() for model in served.models.values())

    def _note_asked(self) -> None:
        now = self._clock.monotonic()
        for loop in self.awake:
            count = self._asked(loop)
            if self._last_asked.get(loop, (-1, 0.0))[0] != count:
                self._last_asked[loop] = (count, now)

    def _rouse(self, loop: str) -> None:
        """Load the models of a loop that rests."""
        try:
            with self._turns[loop]:
                resting = self.resting.get(loop)
                if resting is None:
                    return
                route = resting.route
                try:
                    models = {arm.version: self._model(loop, arm.version, {}) for arm in route.answering}
                except NotLoaded as fault:
                    self._note_fault(route, fault)
                    self._fall_back(route, fault.version)
                    return
                self._take_shadows(route, models, models)
                self._put(Served(route=route, models=MappingProxyType(models)))
                self._drop_fault(route)
                _logger.info("%s is loaded again, for somebody asked", loop)
        finally:
            with self._lock:
                self._waking.pop(loop, None)

    def _is_put_off(self, loop: str) -> bool:
        """Whether the models of a loop that rests could not be loaded, and are not tried again yet."""
        fault, resting = self.faults.get(loop), self.resting.get(loop)
        is_of_it = fault is not None and resting is not None and fault.route.number == resting.route.number
        return is_of_it and fault is not None and self._clock.monotonic() < fault.retry_at

    def _drop_fault(self, route: Route) -> None:
        """Where it is of this route, and of no newer one."""
        with self._lock:
            fault = self.faults.get(route.loop)
            if fault is not None and fault.route.number == route.number:
                self.faults = _without(self.faults, route.loop)

    def _woken(self, loop: str) -> Served | None:
        waking = self.wake(loop)
        if _is_in_event_loop():
            raise Refused(503, f"the model of {loop} is being loaded", fix="ask again", retry_seconds=1.0)
        with suppress(TimeoutError):
            waking.result(_WAKE_SECONDS)
            return self.awake.get(loop)
        raise Refused(503, f"the model of {loop} is still being loaded", fix="ask again", retry_seconds=5.0)

    def _refuse(self, loop: str) -> Served:
        fault = self.faults.get(loop)
        if fault is not None:
            raise Refused(
                503,
                f"{loop} has no model that could be loaded: {fault.what}",
                fix="promote a version that can be loaded: lw promote LOOP",
            )
        known = {*self.awake, *self.resting}
        raise Refused(
            404,
            f"no loop {loop[:80]!r} is served; {did_you_mean(loop[:80], known)}",
            fix="promote one of its versions: lw promote LOOP",
        )


def _without(mapping: Mapping[str, T], name: str) -> Mapping[str, T]:
    return MappingProxyType({key: value for key, value in mapping.items() if key != name})


def _is_in_event_loop() -> bool:
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        return True
    return False


def _step_back() -> None:
    """Loading is work, and whoever answers goes first."""
    with suppress(OSError, AttributeError):  # where threads have no priority of their own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _told(route: Route) -> str:
    return ", ".join(f"v{arm.version} ({arm.name} {arm.share:.0%})" for arm in route.arms)
