"""The gateway: follows the route table, and answers with the models it names, each answer recorded before it leaves.

What answers is one immutable value a loop, replaced by one assignment once the models of a new route are loaded. A
request takes it at its start and keeps it to its end, so that a change of route costs no request, and a route whose
models cannot be loaded changes nothing but what `loops` tells. No database is touched while predicting.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from loopwright.core.clock import Clock
from loopwright.core.stores import Routes
from loopwright.core.version import Arm, Route
from loopwright.gateway.deadline import begun_at, milliseconds, seconds_left
from loopwright.gateway.decode import LISTED, Array, Decoded, Problems
from loopwright.gateway.loading import Loading
from loopwright.gateway.model import LoadedModel, Predicted, has_shape
from loopwright.gateway.note import note_arms, stage
from loopwright.gateway.notices import Notices
from loopwright.gateway.precomputed import ARM as PRECOMPUTED
from loopwright.gateway.precomputed import Precomputed
from loopwright.gateway.refused import NO_NUMBER, Refused, late, no_number, too_slow, unfit
from loopwright.gateway.served import Served, State
from loopwright.gateway.watch import Hung, Watch
from loopwright.predictions.columnar import Facts
from loopwright.predictions.failures import Failures, Kind
from loopwright.predictions.journal import Journal, Line

_logger = logging.getLogger(__name__)
PINNED = "pinned"
"""The arm of a request that names its version: no evidence in a comparison, for whoever asked chose."""


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of a request that one arm answers to."""

    arm: Arm
    model: LoadedModel
    numbers: Sequence[int]
    route: int | None
    """The revision that chose the arm; None where a batch answered before."""


class Unheard(Protocol):
    """What scores the same rows for the shadows of a route. Never waits."""

    def offer_plain(self, served: Served, lines: Sequence[Line]) -> None: ...
    def offer_columns(self, served: Served, facts: Facts, rows: Any) -> None:
        """Of Arrow rows, which have all of this in common."""
        ...


class Gateway:
    """Call `refresh` once before the first request; then `start` follows the route table in a thread."""

    def __init__(
        self,
        *,
        routes: Callable[[], Routes],
        load: Callable[[str, int], LoadedModel],
        journal: Journal,
        clock: Clock,
        budget_bytes: int = 0,
        notices: Notices | None = None,
        watched: tuple[Watch, float] | None = None,
        precomputed: Precomputed | None = None,
        failures: Failures | None = None,
    ) -> None:
        """Models may take so much memory together; 0 is no limit.

        `watched` is who stops a model that takes more seconds than that, by whatever door it was asked; `precomputed`
        what is told by key, where a batch run knew it; `failures` where requests that models failed are written down.
        """
        self._journal = journal
        self.health = journal.health
        """How the recording of predictions goes."""
        self.clock = clock
        self._counts: Counter[tuple[str, str]] = Counter()
        self._counting = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._watched = watched
        self.precomputed = precomputed
        self.failures = failures
        self.shadows: Unheard | None = None
        """Told what was answered here where the route has shadows."""
        self.loading = Loading(
            routes=routes,
            load=load,
            clock=clock,
            asked=lambda loop: self._counts[loop, "predictions"],
            budget_bytes=budget_bytes,
            notices=notices,
        )

    def start(self, seconds: float, *beside: Callable[[], None]) -> None:
        """Follow the route table in a thread from now on; what stands `beside` is called each time after."""
        self._thread = threading.Thread(target=self._follow, args=(seconds, beside), name="routes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        self.loading.stop()

    def refresh(self) -> None:
        """Read the route of every loop, and load what is new. Raises what the store raises."""
        self.loading.refresh()

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
        ulid = self._journal.new_id()
        served, arm = self._chosen(loop, ulid, unit, version)
        model = served.models[arm.version]
        rows = rows_for(model)
        return model, self._answer(rows, ulid, [_part(served, arm, range(len(rows)))], unit)

    def predict_columns(self, loop: str, rows: Any, unit: str | None = None, version: int | None = None) -> Any:
        """As `predict_together`, of rows that came as Arrow, verified; the answers are a `pyarrow.RecordBatch`."""
        from loopwright.gateway import columns  # Arrow at use

        ulid, begun = self._journal.new_id(), begun_at(self.clock)
        served, arm = self._chosen(loop, ulid, unit, version)
        model, part = served.models[arm.version], _part(served, arm, range(rows.num_rows))
        note_arms(loop, [(arm.version, arm.name, rows.num_rows)], protocol="arrow")
        with stage("decode", self.clock):
            feed, kept = columns.taken(model.decoder, rows)
        with self._held_against(part, ulid, unit):
            predicted = self._run(model, feed)
        about: Any = {"unit": unit, "latency_ms": milliseconds(begun, self.clock.monotonic()), "route": part.route}
        facts = columns.facts(ulid, self.clock.now(), model.version, arm, **about)
        answered = columns.Answered.of(facts, predicted, model.predictor.classes)
        with stage("journal", self.clock):
            is_written = self._journal.append_table(loop, ulid, answered.recorded(kept))
        self.count(loop, "predictions", rows.num_rows)
        if self.shadows is not None and served.route.shadows:
            self.shadows.offer_columns(served, facts, rows)
        return answered.told(is_recorded=is_written and self._journal.takes(ulid))

    def model(self, loop: str, version: int | None = None) -> LoadedModel:
        """One that answers, to look at: of that version, or the champion. Raises `Refused`."""
        served = self.loading.described(loop)
        return served.champion if version is None else served.models[_pinned(served, version).version]

    def served(self, loop: str) -> Served:
        """What answers for a loop now; one that rests is loaded first. Raises `Refused`."""
        return self.loading.served(loop)

    def serves(self, loop: str) -> bool:
        """Whether it answers at once."""
        return loop in self.loading.awake

    def knows(self, loop: str) -> bool:
        """Whether it has a route."""
        return any(loop in known for known in (self.loading.awake, self.loading.resting, self.loading.faults))

    def states(self) -> list[State]:
        """Every loop that has a route."""
        awake, resting, faults = self.loading.awake, self.loading.resting, self.loading.faults
        return [
            State(
                loop=loop,
                served=awake.get(loop) or resting.get(loop),
                fault=faults.get(loop),
                predictions=self._counts[loop, "predictions"],
                invalid=self._counts[loop, "invalid"],
                is_resting=loop in resting,
            )
            for loop in sorted({*awake, *resting, *faults})
        ]

    def _chosen(self, loop: str, ulid: str, unit: str | None, version: int | None) -> tuple[Served, Arm]:
        """For all rows of a request together. Raises `Refused`."""
        served = self.served(loop)
        return served, served.route.choose(unit or f"{ulid}.0") if version is None else _pinned(served, version)

    def _answer(self, rows: Sequence[Any], ulid: str, parts: Sequence[Part], unit: str | None) -> list[Line]:
        """All is checked before anything runs, and all recorded before anything is answered."""
        loop, begun = parts[0].model.version.loop, begun_at(self.clock)
        lines = dict[int, Line]()
        if self.precomputed is not None:
            parts = [one for part in parts for one in _looked_up(self.precomputed, part, rows)]
        note_arms(loop, [(part.arm.version, part.arm.name, len(part.numbers)) for part in parts])
        with stage("decode", self.clock):
            all_decoded = _decode(rows, parts)
        first = self.clock.monotonic()
        for part, decoded in zip(parts, all_decoded, strict=True):
            waited = self.clock.monotonic() - first  # for the arms before it: no slowness of its own
            with self._held_against(part, ulid, unit):
                predicted = self._run(part.model, decoded.feed)
            moment, latency_ms = self.clock.now(), milliseconds(begun + waited, self.clock.monotonic())
            about = {"at": moment, "unit": unit, "latency_ms": latency_ms}
            lines |= dict(_lines(ulid, part, decoded, predicted, about))
        ordered = [lines[number] for number in range(len(rows))]
        with stage("journal", self.clock):
            is_written = self._journal.append(loop, ordered)
        self.count(loop, "predictions", len(rows))
        served = self.loading.awake.get(loop)
        if self.shadows is not None and served is not None and served.route.shadows:
            self.shadows.offer_plain(served, ordered)
        return list(self._journal.as_told(ordered, is_written=is_written))

    def _follow(self, seconds: float, beside: Sequence[Callable[[], None]]) -> None:
        while not self._stopped.wait(seconds):
            self.loading.poll(seconds)
            for work in beside:
                work()

    def _run(self, model: LoadedModel, feed: Mapping[str, Array]) -> Predicted:
        """Raises `Refused` for an answer with a NaN or an infinity, or of another shape than the rows have."""
        count = len(next(iter(feed.values())))
        with stage("predict", self.clock):
            predicted = self._within_time(model, feed, count)
        if not has_shape(predicted, count, len(model.predictor.classes)) or not predicted.is_finite:
            self.count(model.version.loop, "invalid", 1)
            _logger.error("%s gave a number that is none", model.version.name)
            raise no_number(model.version.name)
        return predicted

    def _within_time(self, model: LoadedModel, feed: Mapping[str, Array], count: int) -> Predicted:
        """Raises `Refused` when it takes longer than the deadline allows, or did so too often."""
        served = self.loading.awake.get(model.version.loop)
        if self._watched is None or not model.is_stoppable:
            return model.predictor.run(feed)
        if served is not None:
            served.refuse_hanging(model)
        watch, most = self._watched
        if model.pace.seconds(count) > most:
            raise too_slow(model.version.name, count, model.pace.seconds(count), most)
        seconds = seconds_left(self.clock, most)
        try:
            return watch.run(model, feed, count, seconds)
        except Hung as hung:
            if served is not None and hung.is_hang:
                served.note_hang(model)
            raise late(most) from None

    @contextmanager
    def _held_against(self, part: Part, ulid: str, unit: str | None) -> Iterator[None]:
        """Whatever goes wrong meanwhile is the model's, and written down."""
        try:
            yield
        except Exception as error:
            is_invalid = isinstance(error, Refused) and error.status == NO_NUMBER
            kind: Kind = "invalid" if is_invalid else "timeout" if isinstance(error, Refused) else "error"
            reason = error.what if isinstance(error, Refused) else type(error).__name__
            if self.failures is not None:
                about: Any = {"rows": len(part.numbers), "unit": unit, "route": part.route}
                self.failures.note(part.model.version, part.arm, ulid, kind, reason, **about)
            raise

    def count(self, loop: str, what: str, number: int) -> None:
        """Rows answered (`predictions`), or answers withheld (`invalid`)."""
        with self._counting:
            self._counts[loop, what] += number


def _lines(
    ulid: str, part: Part, decoded: Decoded, predicted: Predicted, about: Mapping[str, Any]
) -> Iterator[tuple[int, Line]]:
    """What a model said of its rows, by their numbers; `about` is what all of them share."""
    version = part.model.version
    for index, number in enumerate(part.numbers):
        yield (
            number,
            Line(
                id=f"{ulid}.{number}",
                loop=version.loop,
                version=version.number,
                digest=version.digest,
                arm=part.arm.name,
                route=part.route,
                row=decoded.rows[index],
                key=decoded.keys[index],
                **about,
                **predicted.take(index),
            ),
        )


def _part(served: Served, arm: Arm, numbers: Sequence[int]) -> Part:
    return Part(arm, served.models[arm.version], numbers, served.route.number)


def _looked_up(precomputed: Precomputed, part: Part, rows: Sequence[Any]) -> Iterator[Part]:
    """The rows whose answers are there already, and the others."""
    model, known, others = precomputed.split(part.model, rows, part.numbers)
    if known:
        yield Part(Arm(name=PRECOMPUTED, version=part.arm.version, share=0), model, known, None)
    if others:
        yield Part(part.arm, part.model, others, part.route)


def _pinned(served: Served, version: int) -> Arm:
    answering = sorted({arm.version for arm in served.route.answering})
    if version not in answering:
        known = ", ".join(map(str, answering))
        raise Refused(
            404, f"{served.route.loop} is not answered by version {version} now", fix=f"ask for one of these: {known}"
        )
    return Arm(name=PINNED, version=version, share=0)


def _split(route: Route, ulid: str, count: int) -> Mapping[Arm, Sequence[int]]:
    """The rows of each arm: each goes by its own id."""
    answering = route.answering
    if len(answering) == 1:
        return {answering[0]: range(count)}
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
