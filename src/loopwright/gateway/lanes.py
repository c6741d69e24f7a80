"""Where requests wait for their turn, and for how long: each loop in a lane, each lane one batch after another.

What came in the same turn of the event loop is answered together. A model that answers a row within two milliseconds
does so in the thread of the event loop; a slower one, and a body of many rows, in a thread of their own, where the next
batch gathers while one runs. A lane that would let a request wait for too long refuses it at once, before it is read:
`Retry-After` says when. A model that hung runs in a thread from then on; after three times it is not called any more.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from loopwright.core.clock import Clock
from loopwright.gateway.answering import FAST_SECONDS, Answered, Answering, Call, Form, Outcome, Plan, failure
from loopwright.gateway.metrics import Tally
from loopwright.gateway.model import LoadedModel
from loopwright.gateway.refused import busy, late
from loopwright.gateway.watch import Hung

_logger = logging.getLogger(__name__)
_SURE_BATCHES = 20
"""Until so many were run here, what one costs is not known well enough to be held against a model."""
_LOOP_LIMIT_SECONDS = 0.25
"""A run's there: then the event loop gets its thread back, and the requests go to a thread."""
_BATCH_SECONDS = 0.1
"""A batch in a thread is not made to take longer."""
_MOST_CALLS = 64
_LARGE_BYTES = 32_768
_TICK_SECONDS = 0.05
_MEMORY = 0.1
"""Weight of the newest batch in what one request is taken to cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long things may take."""

    deadline_seconds: float = 10.0
    """A request, from its last byte in to its answer."""
    queue_share: float = 0.25
    """Of the deadline: who would wait for longer is refused at once."""
    recycle_seconds: float = 5.0
    """A run beyond its deadline, until the process is given up."""


class Lane:
    """Calls that wait, oldest first, and what one is taken to cost."""

    def __init__(self) -> None:
        self.waiting: deque[Call] = deque()
        self.call_seconds = 0.0
        """By the latest batches; 0 before the first."""
        self.running = 0
        self.least_seconds = math.inf
        """What one cost in the cheapest of the latest batches: a busy machine makes no model slow."""
        self.batches = 0

    @property
    def wait_seconds(self) -> float:
        return (len(self.waiting) + self.running) * self.call_seconds

    def note(self, calls: int, seconds: float) -> None:
        one = seconds / calls
        self.batches += 1
        self.least_seconds = min(self.least_seconds, one)
        self.call_seconds += (one - self.call_seconds) * (_MEMORY if self.call_seconds else 1.0)

    def take(self, most: int) -> list[Call]:
        """The oldest that somebody still waits for."""
        found: list[Call] = []
        while self.waiting and len(found) < most:
            call = self.waiting.popleft()
            if call.is_suspect and found:
                self.waiting.appendleft(call)
                break
            if not call.is_done:
                found.append(call)
            if call.is_suspect:
                break
        return found


class ThreadLane(Lane):
    """A lane that runs in a thread of its own, started when it is needed first."""

    def __init__(self, name: str, work: Callable[[Sequence[Call]], None]) -> None:
        super().__init__()
        self._name = name
        self._work = work
        self._any = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_over = False

    def put(self, call: Call) -> None:
        with self._any:
            self.waiting.append(call)
            self._any.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name=self._name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        with self._any:
            self._is_over = True
            self._any.notify()

    def _follow(self) -> None:
        while True:
            with self._any:
                self._any.wait_for(lambda: self.waiting or self._is_over)
                if self._is_over:
                    return
                most = int(_BATCH_SECONDS / self.call_seconds) if self.call_seconds else 1
                calls = self.take(max(1, min(most, _MOST_CALLS)))
                self.running = len(calls)
            if calls:
                self._work(calls)
            self.running = 0


class Lanes:
    """Takes calls in the thread of the event loop, and answers each exactly once there."""

    def __init__(
        self,
        answering: Answering,
        *,
        patience: Patience,
        clock: Clock,
        tally: Tally,
        after: Callable[[Answered], None] = lambda _: None,
    ) -> None:
        self._answering = answering
        self._patience = patience
        self._clock = clock
        self._tally = tally
        self._after = after
        self._fast: dict[str, Lane] = {}
        self._threads: dict[str, ThreadLane] = {}
        self._is_due = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._in_threads: deque[Call] = deque()
        self._busy: dict[tuple[Form, float | None], Outcome] = {}
        """Refusals ready made: where there are too many requests, one more must cost next to nothing."""

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Call it in the event loop, before the first call."""
        self._loop = loop
        self._tick()

    def close(self) -> None:
        for lane in self._threads.values():
            lane.stop()

    def waiting(self) -> dict[str, int]:
        """Calls that wait or are at work, by loop. From any thread."""
        found: Counter[str] = Counter()
        for name, lane in [*self._fast.copy().items(), *self._threads.copy().items()]:
            found[name.removeprefix("large ")] += len(lane.waiting) + lane.running
        return found

    def put(self, call: Call, *, at_once: bool = False) -> None:
        """Answer a call when it is its turn; `at_once` where nobody else could come meanwhile."""
        lane = self._lane(call)
        if lane.wait_seconds > self._patience.deadline_seconds * self._patience.queue_share:
            self._refuse(call, lane)
        elif isinstance(lane, ThreadLane):
            self._in_threads.append(call)
            lane.put(call)
        else:
            lane.waiting.append(call)
            if at_once:
                self._flush()
            elif not self._is_due:
                self._is_due = True
                assert self._loop is not None
                self._loop.call_soon(self._flush)

    def _lane(self, call: Call) -> Lane:
        if call.is_large or len(call.content) > _LARGE_BYTES:
            return self._thread(f"large {call.loop}")
        plan = self._answering.plan_of(call.loop)
        if plan is not None and plan.is_slow:
            return self._thread(call.loop)
        lane = self._fast.get(call.loop)
        if lane is None:
            lane = self._fast[call.loop] = Lane()
        return lane

    def _thread(self, name: str) -> ThreadLane:
        lane = self._threads.get(name)
        if lane is None:
            lane = self._threads[name] = ThreadLane(name, lambda calls: self._work(lane_of(), calls))

            def lane_of() -> ThreadLane:
                return self._threads[name]

        return lane

    def _refuse(self, call: Call, lane: Lane) -> None:
        self._tally.happened(call.loop, "overload")
        refused = busy(lane.wait_seconds)
        outcome = self._busy.get((call.form, refused.retry_seconds))
        if outcome is None:
            outcome = self._busy[call.form, refused.retry_seconds] = call.form.refusal(refused)
        self._answer(call, outcome)

    def _flush(self) -> None:
        """A batch of every loop that runs here. What is left over waits until these answers are out."""
        self._is_due = False
        for loop, lane in self._fast.items():
            calls = lane.take(_MOST_CALLS) if lane.waiting else None
            if calls:
                self._run_here(loop, lane, calls)
        if any(lane.waiting for lane in self._fast.values()):
            self._is_due = True
            assert self._loop is not None
            self._loop.call_soon(self._flush)

    def _run_here(self, loop: str, lane: Lane, calls: Sequence[Call]) -> None:
        begun = self._clock.monotonic()
        answered = self._answered(calls, _LOOP_LIMIT_SECONDS, is_here=True)
        seconds = self._clock.monotonic() - begun
        lane.note(len(calls), seconds)
        if answered.plan is not None and answered.hung is not None:
            self._move_hung(answered.plan, answered.hung, calls)
        elif answered.plan is not None and lane.batches >= _SURE_BATCHES:
            if lane.least_seconds > 2 * FAST_SECONDS:
                self._move(answered.plan, f"a request takes {lane.least_seconds * 1000:.1f} ms")
            lane.batches, lane.least_seconds = 0, math.inf
        for call, outcome in zip(calls, answered.outcomes, strict=True):
            if outcome is not None:
                self._answer(call, outcome)
            else:
                self._try_again(call, calls)
        self._after(answered)

    def _try_again(self, call: Call, calls: Sequence[Call]) -> None:
        """In a thread, and alone where it was not: the model may have hung at another."""
        call.is_suspect = len(calls) > 1
        self.put(call)

    def _work(self, lane: ThreadLane, calls: Sequence[Call]) -> None:
        """In the thread of a lane."""
        begun = self._clock.monotonic()
        answered = self._answered(calls, self._seconds(calls, begun))
        lane.note(len(calls), self._clock.monotonic() - begun)
        assert self._loop is not None
        with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._deliver, calls, answered)

    def _answered(self, calls: Sequence[Call], seconds: float, *, is_here: bool = False) -> Answered:
        try:
            return self._answering.answer(calls[0].loop, calls, seconds, is_here=is_here)
        except Exception:  # the loop of a lane: it must go on, and each of these be told
            _logger.exception("requests to %s failed", calls[0].loop)
            return Answered([failure(call) for call in calls], (), None)

    def _seconds(self, calls: Sequence[Call], now: float) -> float:
        """How long a model may run for these: so that, where one of them makes it hang, the others have time left."""
        left = max(0.001, min(call.until for call in calls) - now)
        if len(calls) > 1:
            return left / 2
        return min(left, self._patience.deadline_seconds / 4) if calls[0].is_suspect else left

    def _deliver(self, calls: Sequence[Call], answered: Answered) -> None:
        hung = answered.hung
        if answered.plan is not None and hung is not None and hung.is_hang and len(calls) == 1:
            self._note_hang(answered.plan, hung.model)
        for call, outcome in zip(calls, answered.outcomes, strict=True):
            if outcome is None and len(calls) > 1 and not call.is_done:
                self._try_again(call, calls)
            elif not call.is_done:
                self._answer(call, outcome or self._late(call))
        self._after(answered)

    def _note_hang(self, plan: Plan, model: LoadedModel) -> None:
        self._tally.happened(model.version.loop, "hung")
        plan.served.note_hang(model)
        self._move(plan, f"{model.version.name} hung")

    def _move_hung(self, plan: Plan, hung: Hung, calls: Sequence[Call]) -> None:
        """All of a model that takes too long for few rows; else those that were too many together."""
        if hung.is_hang:
            self._move(plan, f"{hung.model.version.name} takes too long")
        for call in calls:
            call.is_large = call.is_large or not hung.is_hang

    def _move(self, plan: Plan, why: str) -> None:
        if not plan.is_slow:
            _logger.warning("%s: what answers for %s runs in a thread of its own now", why, plan.served.route.loop)
            plan.is_slow = True

    def _tick(self) -> None:
        """Answers those whose deadline passed while their lane was busy."""
        now = self._clock.monotonic()
        waiting = self._in_threads
        while waiting and (waiting[0].is_done or waiting[0].until <= now):
            call = waiting.popleft()
            if not call.is_done:
                self._answer(call, self._late(call))
        assert self._loop is not None
        self._loop.call_later(_TICK_SECONDS, self._tick)

    def _late(self, call: Call) -> Outcome:
        self._tally.happened(call.loop, "deadline")
        seconds = self._patience.deadline_seconds
        return call.form.refusal(late(seconds))

    def _answer(self, call: Call, outcome: Outcome) -> None:
        if call.is_done:
            return
        call.is_done = True
        seconds = self._clock.monotonic() - call.begun
        self._tally.answered(
            call.loop, outcome.version, outcome.arm, call.form.name, outcome.status, outcome.rows, seconds
        )
        call.answer(outcome)
