"""The gateway: follows the route table, and answers with the models it names, each answer recorded before it leaves.

What answers is one immutable value a loop, replaced by one assignment once the models of a new route are loaded. A
request takes it at its start and keeps it to its end, so that a change of route costs no request, and a route whose
models cannot be loaded changes nothing but what `loops` tells. No database is touched while predicting.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from loopwright.core.clock import Clock
from loopwright.core.stores import Routes
from loopwright.core.version import Arm, Route
from loopwright.errors import LoopwrightError, did_you_mean
from loopwright.gateway.decode import LISTED, Decoded, Problems
from loopwright.gateway.model import LoadedModel, Predicted
from loopwright.gateway.refused import Refused, unfit
from loopwright.predictions.journal import Journal, Line

_logger = logging.getLogger(__name__)
PINNED = "pinned"
"""The arm of a request that names its version: no evidence in a comparison, for whoever asked chose."""
_LONGEST_WAIT = 60.0
"""Seconds between two attempts to load what could not be loaded; the first waits are shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What answers for one loop."""

    route: Route
    models: Mapping[int, LoadedModel]
    """By version: those of this route, and those of the one before, so that the way back costs nothing."""

    @property
    def champion(self) -> LoadedModel:
        """Of the arm called so; without one, of the biggest."""
        arm = max(self.route.arms, key=lambda arm: (arm.version == self.route.champion, arm.share))
        return self.models[arm.version]


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of a request that one arm answers to."""

    arm: Arm
    model: LoadedModel
    numbers: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a route is not followed yet."""

    route: Route
    what: str
    fix: str | None
    attempts: int
    retry_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One loop, as a person may look at it."""

    loop: str
    served: Served | None
    fault: Fault | None
    predictions: int
    """Rows answered since this process began."""
    invalid: int
    """Answers withheld since then, for they were no numbers."""


class Gateway:
    """Call `refresh` once before the first request; then `start` follows the route table in a thread."""

    def __init__(
        self, *, routes: Callable[[], Routes], load: Callable[[str, int], LoadedModel], journal: Journal, clock: Clock
    ) -> None:
        self._routes = routes
        self._load = load
        self._journal = journal
        self._clock = clock
        self._served: Mapping[str, Served] = MappingProxyType({})
        self._faults: Mapping[str, Fault] = MappingProxyType({})
        self._counts: Counter[tuple[str, str]] = Counter()
        self._counting = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_cut_off = False

    def start(self, seconds: float) -> None:
        """Follow the route table in a thread from now on."""
        self._thread = threading.Thread(target=self._follow, args=(seconds,), name="routes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def poll(self) -> None:
        """Refresh; whatever goes wrong is logged once, and serving goes on."""
        try:
            self.refresh()
        except Exception as error:  # noqa: BLE001 - the loop of a thread: a database may be away in many ways
            if not self._is_cut_off:
                _logger.warning("the route table cannot be read; serving goes on as it was: %s", error)
            self._is_cut_off = True
        else:
            if self._is_cut_off:
                _logger.warning("the route table is read again")
            self._is_cut_off = False

    def refresh(self) -> None:
        """Read the route of every loop, and load what is new. Raises what the store raises."""
        routes = self._routes()
        for loop in routes.loops():
            route = routes.current(loop)
            if route is not None and self._is_due(loop, route):
                self._take_up(loop, route)

    def predict(self, loop: str, rows: Sequence[Any], unit: str | None = None) -> list[Line]:
        """Answer to rows and record it: their lines in the journal, in order. Raises `Refused`, `StoreUnavailable`.

        Without a `unit` each row is one of its own.
        """
        served, ulid = self.served(loop), self._journal.new_id()
        if unit is not None:
            return self._answer(rows, ulid, [_part(served, served.route.choose(unit), range(len(rows)))], unit)
        parts = [_part(served, arm, numbers) for arm, numbers in _split(served.route, ulid, len(rows)).items()]
        return self._answer(rows, ulid, parts, None)

    def predict_together(
        self,
        loop: str,
        rows_for: Callable[[LoadedModel], Sequence[Any]],
        unit: str | None = None,
        version: int | None = None,
    ) -> tuple[LoadedModel, list[Line]]:
        """As `predict`, with all rows on one model, which tells how to read them. `version` pins one that answers."""
        served, ulid = self.served(loop), self._journal.new_id()
        arm = served.route.choose(unit or f"{ulid}.0") if version is None else _pinned(served, version)
        model = served.models[arm.version]
        rows = rows_for(model)
        return model, self._answer(rows, ulid, [_part(served, arm, range(len(rows)))], unit)

    def model(self, loop: str, version: int | None = None) -> LoadedModel:
        """One that answers: of that version, or the champion. Raises `Refused`."""
        served = self.served(loop)
        return served.champion if version is None else served.models[_pinned(served, version).version]

    def served(self, loop: str) -> Served:
        """What answers for a loop now. Raises `Refused`."""
        served, fault = self._served.get(loop), self._faults.get(loop)
        if served is not None:
            return served
        if fault is not None:
            raise Refused(503, f"{loop} has no model that could be loaded: {fault.what}", fix="see GET /v1/loops")
        raise Refused(
            404, f"no loop {loop[:80]!r} is served; {did_you_mean(loop[:80], self._served)}", fix="see GET /v1/loops"
        )

    def states(self) -> list[State]:
        """Every loop that has a route."""
        served, faults = self._served, self._faults
        return [
            State(
                loop=loop,
                served=served.get(loop),
                fault=faults.get(loop),
                predictions=self._counts[loop, "predictions"],
                invalid=self._counts[loop, "invalid"],
            )
            for loop in sorted({*served, *faults})
        ]

    def _answer(self, rows: Sequence[Any], ulid: str, parts: Sequence[Part], unit: str | None) -> list[Line]:
        """All is checked before anything runs, and all recorded before anything is answered."""
        loop, lines = parts[0].model.version.loop, {}
        for part, decoded in zip(parts, _decode(rows, parts), strict=True):
            predicted = self._run(part.model, decoded)
            for index, number in enumerate(part.numbers):
                lines[number] = self._line(f"{ulid}.{number}", part, decoded, predicted, index, unit)
        ordered = [lines[number] for number in range(len(rows))]
        self._journal.append(loop, ordered)
        self._count(loop, "predictions", len(rows))
        return ordered

    def _follow(self, seconds: float) -> None:
        while not self._stopped.wait(seconds):
            self.poll()

    def _is_due(self, loop: str, route: Route) -> bool:
        fault, served = self._faults.get(loop), self._served.get(loop)
        if fault is not None and fault.route.number == route.number:
            return self._clock.monotonic() >= fault.retry_at
        return fault is not None or served is None or served.route.number != route.number

    def _take_up(self, loop: str, route: Route) -> None:
        before = self._served.get(loop)
        known = dict(before.models) if before else {}
        try:
            models = {arm.version: known.get(arm.version) or self._load(loop, arm.version) for arm in route.arms}
        except Exception as error:  # noqa: BLE001 - a bundle that cannot be loaded, in whatever way, must stop nothing
            self._note_fault(loop, route, error)
            return
        kept = {arm.version: known[arm.version] for arm in before.route.arms} if before else {}
        served = Served(route=route, models=MappingProxyType(kept | models))
        self._served = MappingProxyType({**self._served, loop: served})
        self._faults = MappingProxyType({name: fault for name, fault in self._faults.items() if name != loop})
        _logger.info("%s is answered by %s", loop, _told(route))

    def _note_fault(self, loop: str, route: Route, error: Exception) -> None:
        before = self._faults.get(loop)
        attempts = before.attempts + 1 if before and before.route.number == route.number else 1
        if attempts == 1:
            _logger.error("%s stays as it was: %s cannot be loaded: %s", loop, _told(route), error)
        fault = Fault(
            route=route,
            what=error.what
            if isinstance(error, LoopwrightError)
            else f"a {type(error).__name__}; see the gateway's log",
            fix=error.fix if isinstance(error, LoopwrightError) else None,
            attempts=attempts,
            retry_at=self._clock.monotonic() + min(_LONGEST_WAIT, 2.0 ** (attempts - 1)),
        )
        self._faults = MappingProxyType({**self._faults, loop: fault})

    def _run(self, model: LoadedModel, part: Decoded) -> Predicted:
        """Raises `Refused` for an answer with a NaN or an infinity, which JSON cannot say and nobody should act on."""
        predicted = model.predictor.run(part.feed)
        for values in (predicted.probabilities, predicted.value):
            if values is not None and not np.isfinite(values).all():
                self._count(model.version.loop, "invalid", 1)
                _logger.error("%s gave a number that is none", model.version.name)
                raise Refused(500, f"{model.version.name} gave no number for a row, so it was given no answer")
        return predicted

    def _line(
        self, identity: str, part: Part, decoded: Decoded, predicted: Predicted, index: int, unit: str | None
    ) -> Line:
        version = part.model.version
        return Line(
            id=identity,
            at=self._clock.now(),
            loop=version.loop,
            version=version.number,
            digest=version.digest,
            arm=part.arm.name,
            row=decoded.rows[index],
            key=decoded.keys[index],
            unit=unit,
            **predicted.take(index),
        )

    def _count(self, loop: str, what: str, number: int) -> None:
        with self._counting:
            self._counts[loop, what] += number


def _part(served: Served, arm: Arm, numbers: Sequence[int]) -> Part:
    return Part(arm, served.models[arm.version], numbers)


def _pinned(served: Served, version: int) -> Arm:
    answering = sorted({arm.version for arm in served.route.arms})
    if version not in answering:
        known = ", ".join(map(str, answering))
        raise Refused(
            404, f"{served.route.loop} is not answered by version {version} now", fix=f"ask for one of these: {known}"
        )
    return Arm(name=PINNED, version=version, share=0)


def _split(route: Route, ulid: str, count: int) -> Mapping[Arm, Sequence[int]]:
    """The rows of each arm: each goes by its own id."""
    if len(route.arms) == 1:
        return {route.arms[0]: range(count)}
    chosen: dict[Arm, list[int]] = {}
    for number in range(count):
        chosen.setdefault(route.choose(f"{ulid}.{number}"), []).append(number)
    return chosen


def _decode(rows: Sequence[Any], parts: Sequence[Part]) -> list[Decoded]:
    """All parts, or the refusal with the problems of all."""
    found = [part.model.decoder.decode([rows[number] for number in part.numbers], part.numbers) for part in parts]
    problems = [part for part in found if isinstance(part, Problems)]
    if problems:
        listed = sorted((one for part in problems for one in part.listed), key=lambda one: one.row)
        is_all = len(listed) <= LISTED and all(part.is_all for part in problems)
        raise unfit(Problems(tuple(listed[:LISTED]), is_all), "the model's columns")
    return [part for part in found if isinstance(part, Decoded)]


def _told(route: Route) -> str:
    return ", ".join(f"v{arm.version} ({arm.name} {arm.share:.0%})" for arm in route.arms)
