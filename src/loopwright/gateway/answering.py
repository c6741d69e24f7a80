"""Requests answered together: read, run as one batch a model, recorded with one write, told. Knows no protocol.

What one request brings cannot harm another of its batch: a row that the model fails at, or answers with no number, is
told to who sent it alone. What does not fit the type of the model goes the plain way, which knows every reason.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import msgspec
import numpy as np

from loopwright.core.clock import Clock
from loopwright.core.version import Arm
from loopwright.errors import StoreError
from loopwright.gateway.deadline import due, milliseconds
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.metrics import Tally
from loopwright.gateway.model import LoadedModel, Predicted, has_shape
from loopwright.gateway.note import Note, noting, rows_of
from loopwright.gateway.refused import Refused, no_number, too_slow
from loopwright.gateway.served import Served
from loopwright.gateway.typed import Misfit
from loopwright.gateway.watch import Hung, Watch
from loopwright.predictions.failures import Kind
from loopwright.predictions.journal import Journal, Line
from loopwright.transform.predictor import class_text

_logger = logging.getLogger(__name__)
FAST_SECONDS = 0.002
"""A row's, at most, in the thread of the event loop."""
_HERE_SECONDS = 0.05
"""A request's there, by what is known of its model."""
_READ_SECONDS = 0.00001
"""A value's on the plain way, which checks each."""
_ODD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Misfit)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What goes back for one request."""

    status: int
    content: bytes
    version: int = 0
    arm: str = ""
    rows: int = 0
    headers: bytes = b""
    """Beside the type and the length of the content, as they go over the wire."""
    type: bytes = b"application/json; charset=utf-8"


class Read:
    """A request as its form reads it: rows of the model's type."""

    __slots__ = ("is_one", "rows", "unit")

    def __init__(self, rows: Sequence[Any], unit: str | None, *, is_one: bool) -> None:
        self.rows = rows
        self.unit = unit
        self.is_one = is_one


class Form(Protocol):
    """How requests look in one protocol."""

    @property
    def name(self) -> str: ...
    def decoder(self, model: LoadedModel) -> Any:
        """What `read` is given for requests to this model."""
        ...

    def read(self, decoder: Any, content: bytes) -> Read:
        """Raises `Misfit`, or an error of msgspec."""
        ...

    def tell(self, read: Any, model: LoadedModel, lines: Sequence[Line]) -> bytes: ...
    def plainly(self, loop: str, content: bytes) -> Outcome:
        """The whole way of a request that `read` does not take: checked strictly, answered and recorded."""
        ...

    def refusal(self, refused: Refused) -> Outcome: ...


class Call:
    """One request that waits for its answer."""

    __slots__ = ("begun", "content", "form", "is_done", "is_large", "is_suspect", "loop", "until")

    def __init__(self, loop: str, form: Form, content: bytes, begun: float, until: float) -> None:
        self.loop = loop
        self.form = form
        self.content = content
        self.begun = begun
        self.until = until
        self.is_done = False
        """Answered, or nobody waits for it any more."""
        self.is_large = False
        """Whether it may take longer than the event loop can wait, as was seen when it was read."""
        self.is_suspect = False
        """Whether a batch with it hung: it runs alone then."""

    def answer(self, outcome: Outcome) -> None:
        """In the thread of the event loop."""
        raise NotImplementedError


class Asked:
    """A call that was read, on its way to a model."""

    __slots__ = ("arm", "call", "lines", "model", "outcome", "read", "route", "times", "ulid")

    def __init__(self, call: Call, read: Read, times: Sequence[tuple[int, ...]], ulid: str) -> None:
        self.call = call
        self.read = read
        self.times = times
        self.ulid = ulid
        self.arm: Arm
        self.model: LoadedModel
        self.route: int
        self.lines: Sequence[Line] = ()
        self.outcome: Outcome | None = None


class Plan:
    """What a route means for requests, worked out once a route."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.number = served.route.number
        self.arms = served.route.answering
        self.models = [served.models[arm.version] for arm in self.arms]
        first = self.models[0].typed
        self.is_even = all(model.typed.shape == first.shape for model in self.models)
        """Whether all arms read rows alike, so that one can be read before its arm is known."""
        self.sole = (self.arms[0], self.models[0]) if len(self.arms) == 1 else None
        self.shadows = served.shadows
        self.is_slow = max(model.row_seconds for model in self.models) > FAST_SECONDS
        """Whether it must not run in the thread of the event loop."""
        self._decoders: dict[str, Any] = {}

    def decoder(self, form: Form) -> Any:
        found = self._decoders.get(form.name)
        if found is None:
            found = self._decoders[form.name] = form.decoder(self.models[0])
        return found

    def choose(self, asked: Asked) -> None:
        asked.route = self.number
        if self.sole is not None:
            asked.arm, asked.model = self.sole
            return
        asked.arm = self.served.route.choose(asked.read.unit or f"{asked.ulid}.0")
        asked.model = self.served.models[asked.arm.version]


@dataclass(frozen=True, slots=True)
class Answered:
    """Outcomes in the order of the calls; None for those whose model hung, and those that may not run here."""

    outcomes: Sequence[Outcome | None]
    recorded: Sequence[Asked]
    plan: Plan | None
    hung: Hung | None = None


class Answering:
    """Answers calls of one loop together, in whatever thread it is called."""

    def __init__(self, *, gateway: Gateway, journal: Journal, watch: Watch, clock: Clock, tally: Tally) -> None:
        self._gateway = gateway
        self._journal = journal
        self._watch = watch
        self._clock = clock
        self._tally = tally
        self._plans: dict[str, Plan] = {}

    def plan(self, loop: str) -> Plan:
        """What the loop's route means now. Raises `Refused`."""
        served = self._gateway.served(loop)
        plan = self._plans.get(loop)
        if plan is None or plan.served is not served:
            plan = self._plans[loop] = Plan(served)
        return plan

    def plan_of(self, loop: str) -> Plan | None:
        """As `plan`; None where nothing answers."""
        try:
            return self.plan(loop)
        except Refused:
            return None

    def forget(self, loop: str) -> None:
        """Let go of what a loop's route meant, for its models are to leave the memory."""
        self._plans.pop(loop, None)

    def answer(self, loop: str, calls: Sequence[Call], seconds: float, *, is_here: bool = False) -> Answered:
        """All of them. A model may run for so many seconds. Raises nothing that a request brought.

        `is_here`, in the event loop, what may take long is left alone: `Call.is_large`.
        """
        try:
            plan = self.plan(loop)
        except Refused as refused:
            return Answered([call.form.refusal(refused) for call in calls], (), None)
        asked = self._read(plan, calls)
        at_work = _due(plan, calls, asked, is_here=is_here)
        if len(at_work) < len(calls):
            late = [one for one in asked if one is not None and one.outcome is not None]
            self._failed(late, "timeout", "it takes longer for so many rows than it may")
        hung = self._run(plan, at_work, seconds)
        if hung is not None and not is_here:
            gone = [one for one in at_work if one.outcome is None and not one.lines]
            gone = gone if len(calls) == 1 else [one for one in gone if one.call.is_done]  # others get another try
            self._failed(gone, "timeout", "it took longer than it may, and was stopped")
        moment = self._clock.now()
        recorded = self._record(loop, [one for one in asked if one is not None and one.lines], moment)
        pairs = zip(calls, asked, strict=True)
        found = [
            one.outcome if one is not None else None if is_here and call.is_large else _plainly(call, self._tally)
            for call, one in pairs
        ]
        return Answered(found, recorded, plan, hung)

    def _read(self, plan: Plan, calls: Sequence[Call]) -> list[Asked | None]:
        """None for what must go the plain way."""
        ulids, now = self._journal.ulids(), self._clock.now()
        typed = plan.models[0].typed
        found: list[Asked | None] = []
        for call in calls:
            try:
                if not plan.is_even:
                    raise Misfit
                read = call.form.read(plan.decoder(call.form), call.content)
                if plan.sole is None and read.unit is None and len(read.rows) > 1:
                    raise Misfit  # each row goes its own way
                one = Asked(call, read, typed.fits(read.rows), ulids.at(now))
            except _ODD:
                found.append(None)
                continue
            plan.choose(one)
            known = self._gateway.precomputed
            found.append(None if known is not None and known.has(one.model, read.rows) else one)
        return found

    def _run(self, plan: Plan, asked: Sequence[Asked], seconds: float) -> Hung | None:
        """Gives each its lines or its outcome; of those whose model hung, neither. What hung, if any."""
        groups: dict[int, list[Asked]] = {}
        for one in asked:
            groups.setdefault(one.arm.version, []).append(one)
        hung, begun = None, self._clock.monotonic()
        for group in groups.values():
            waited = self._clock.monotonic() - begun if len(groups) > 1 else 0.0
            try:
                self._run_group(plan, group, seconds, waited)
            except Hung as error:
                hung = error
        return hung

    def _run_group(self, plan: Plan, group: Sequence[Asked], seconds: float, waited: float) -> None:
        """One arm's. That it `waited` for the arms before it is no slowness of its own."""
        model = group[0].model
        try:
            plan.served.refuse_hanging(model)
        except Refused as refused:
            self._failed(group, "timeout", "it hung too often, and is not called any more")
            _refuse(group, refused)
            return
        rows = [row for one in group for row in one.read.rows] if len(group) > 1 else group[0].read.rows
        times = [time for one in group for time in one.times]
        try:
            predicted = self._watch.run(model, model.typed.feed(rows, times), len(rows), seconds)
        except Hung:
            raise
        except Exception as error:  # a graph may fail in many ways, and must take nothing with it
            if len(group) > 1:
                for one in group:
                    self._run_group(plan, [one], seconds, waited)
                return
            _logger.exception("%s failed at a request", model.version.name)
            self._failed(group, "error", type(error).__name__)
            _refuse(group, Refused(500, "the gateway failed at this", fix="see its log"))
            return
        self._tally.ran(model.version.loop, len(rows))
        self._hand_out(model, group, predicted, len(rows), waited)

    def _hand_out(
        self, model: LoadedModel, group: Sequence[Asked], predicted: Predicted, count: int, waited: float
    ) -> None:
        told = told_of(model, predicted, count)
        place, now, ended = 0, self._clock.now(), self._clock.monotonic() - waited
        for one in group:
            last = place + len(one.read.rows)
            mine = told[place:last]
            place = last
            if None in mine:
                self._gateway.count(model.version.loop, "invalid", 1)
                _logger.error("%s gave a number that is none", model.version.name)
                self._failed([one], "invalid", "it gave no number for a row")
                _refuse([one], no_number(model.version.name))
            else:
                one.lines = lines_of(one, one.arm, model, mine, now, milliseconds(one.call.begun, ended))

    def _failed(self, group: Sequence[Asked], kind: Kind, reason: str) -> None:
        failures = self._gateway.failures
        if failures is None:
            return
        for one in group:
            about: Any = {"rows": len(one.read.rows), "unit": one.read.unit, "route": one.route}
            failures.note(one.model.version, one.arm, one.ulid, kind, reason, **about)

    def _record(self, loop: str, asked: Sequence[Asked], moment: datetime) -> Sequence[Asked]:
        if not asked:
            return ()
        lines = [line for one in asked for line in one.lines]
        try:
            is_written = self._journal.append(loop, lines)
        except StoreError as error:
            _logger.error("nothing could be recorded: %s", error)  # noqa: TRY400 - a full disk needs no traceback
            _refuse(asked, Refused(503, error.what, fix=error.fix))
            return ()
        self._gateway.count(loop, "predictions", len(lines))
        for one in asked:
            one.lines = self._journal.as_told(one.lines, is_written=is_written)
            content = one.call.form.tell(one.read, one.model, one.lines)
            one.outcome = Outcome(200, content, one.arm.version, one.arm.name, len(one.lines))
        return asked


def _due(plan: Plan, calls: Sequence[Call], asked: Sequence[Asked | None], *, is_here: bool) -> list[Asked]:
    """What is to run now; of the rest, what cannot be answered in time has its refusal."""
    found = []
    for call, one in zip(calls, asked, strict=True):
        if one is not None:
            _settle(one)
        call.is_large = call.is_large or (is_here and _is_long(plan, call, one))
        if one is not None and one.outcome is None and not (is_here and call.is_large):
            found.append(one)
    return found


def _is_long(plan: Plan, call: Call, asked: Asked | None) -> bool:
    """Whether it may take longer than the event loop can wait. What was not read has as many rows as commas."""
    if asked is not None:
        return asked.model.pace.seconds(len(asked.read.rows)) > _HERE_SECONDS
    row_seconds = max(model.row_seconds for model in plan.models)
    return (call.content.count(b",") + 1) * (row_seconds + _READ_SECONDS) > _HERE_SECONDS


def _settle(asked: Asked) -> None:
    """Refuses what its model is known to take longer for than its deadline allows."""
    call, model, rows = asked.call, asked.model, len(asked.read.rows)
    seconds, most = model.pace.seconds(rows), call.until - call.begun
    if seconds > most:
        _refuse([asked], too_slow(model.version.name, rows, seconds, most))


def _plainly(call: Call, tally: Tally) -> Outcome:
    try:
        with noting(Note(protocol=call.form.name)) as noted, due(call.until, call.begun):
            found = call.form.plainly(call.loop, call.content)
        rows = rows_of(tally, noted, found.status)
        return replace(found, version=noted.version, arm=noted.arm, rows=rows)
    except Exception:  # as a group's: what one request brings must not take others with it
        _logger.exception("a request to %s failed", call.loop)
        return failure(call)


def failure(call: Call) -> Outcome:
    """Of the gateway itself; its log has the reason."""
    return call.form.refusal(Refused(500, "the gateway failed at this", fix="see its log"))


def _refuse(group: Sequence[Asked], refused: Refused) -> None:
    for one in group:
        found = one.call.form.refusal(refused)
        one.outcome = replace(found, version=one.arm.version, arm=one.arm.name, rows=len(one.read.rows))
        one.lines = ()


Told = tuple[Any, dict[str, float] | None, float | None]
"""Label, probabilities, value."""


def told_of(model: LoadedModel, predicted: Predicted, count: int) -> list[Told | None]:
    """For each row what is told, and None where the model gave no number, or none of the shape it must have."""
    label, shares, value = predicted.label, predicted.probabilities, predicted.value
    numbers = value if shares is None else shares
    names = [class_text(one) for one in model.predictor.classes]
    if numbers is None or not has_shape(predicted, count, len(names)):
        return [None] * count
    if value is not None and shares is None:
        found: list[Told | None] = [(None, None, one) for one in value.tolist()]
    else:
        assert label is not None
        assert shares is not None
        pairs = zip(label.tolist(), shares.tolist(), strict=True)
        found = [(one, dict(zip(names, row, strict=True)), None) for one, row in pairs]
    if np.isfinite(numbers).all():
        return found
    is_good: Any = np.isfinite(numbers.reshape(count, -1)).all(axis=1).tolist()
    return [one if good else None for one, good in zip(found, is_good, strict=True)]


def lines_of(
    asked: Asked, arm: Arm, model: LoadedModel, told: Sequence[Any], moment: datetime, latency_ms: float
) -> list[Line]:
    """The lines of the journal for what a model said of a request's rows."""
    version, parts, unit, ulid = model.version, model.typed.parts, asked.read.unit, asked.ulid
    loop, number, digest, name, shadow = version.loop, version.number, version.digest, arm.name, arm.shadow
    route = asked.route
    found = []
    for place, (row, (label, shares, value)) in enumerate(zip(asked.read.rows, told, strict=True)):
        plain, key = parts(row)
        found.append(
            Line(
                id=f"{ulid}.{place}",
                at=moment,
                loop=loop,
                version=number,
                digest=digest,
                arm=name,
                row=plain,
                key=key,
                unit=unit,
                label=label,
                probabilities=shares,
                value=value,
                latency_ms=latency_ms,
                route=route,
                shadow=shadow,
            )
        )
    return found
