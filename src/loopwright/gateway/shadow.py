"""Shadows: models that predict on what others answered, after the answers left, and are heard by nobody.

Rows wait in a queue of bounded length and are dropped, and counted, when it is full: no answer waits for a shadow. One
thread of low priority runs them in small batches and records them under the ids of the answered predictions.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from loopwright.core.clock import Clock
from loopwright.core.version import Arm
from loopwright.errors import StoreError
from loopwright.gateway.answering import Answered, Asked, lines_of, told_of
from loopwright.gateway.deadline import milliseconds
from loopwright.gateway.decode import Array, Problems
from loopwright.gateway.metrics import Tally
from loopwright.gateway.model import LoadedModel, Predicted, has_shape
from loopwright.gateway.refused import NO_NUMBER, Refused, no_number
from loopwright.gateway.served import Served
from loopwright.gateway.typed import Misfit
from loopwright.gateway.watch import Hung, Watch
from loopwright.predictions.columnar import Facts
from loopwright.predictions.failures import Failures, Kind
from loopwright.predictions.journal import Journal, Line

_logger = logging.getLogger(__name__)
_MOST_WAITING = 4096
"""Requests."""
_MOST_ROWS = 16
"""Of a batch: while it is made ready, the thread that answers may have to wait for the interpreter."""
_REST_SECONDS, _REST = 0.001, 3.0
"""At least, and as a multiple of what a batch took: shadows get a quarter of a thread, however much there is to do."""
_SECONDS = 10.0
"""A run's, at most."""
_NICE = 10


@dataclass(frozen=True, slots=True)
class _Task:
    arm: Arm
    model: LoadedModel
    asked: Asked


@dataclass(frozen=True, slots=True)
class _Plain:
    """Rows that were answered on the plain way, by a door or in a form that the lanes do not take."""

    arm: Arm
    model: LoadedModel
    lines: Sequence[Line]

    @property
    def ulid(self) -> str:
        return self.lines[0].id.partition(".")[0]

    @property
    def in_common(self) -> dict[str, Any]:
        return {"rows": len(self.lines), "unit": self.lines[0].unit, "route": self.lines[0].route}


@dataclass(frozen=True, slots=True)
class _Columns:
    """Arrow rows that were answered."""

    arm: Arm
    model: LoadedModel
    facts: Facts
    rows: Any

    @property
    def ulid(self) -> str:
        return self.facts.ulid

    @property
    def in_common(self) -> dict[str, Any]:
        return {"rows": self.rows.num_rows, "unit": self.facts.unit, "route": self.facts.route}


class Shadows:
    """Call `start` before the first `offer`."""

    def __init__(
        self, *, journal: Journal, watch: Watch, clock: Clock, tally: Tally, failures: Failures | None = None
    ) -> None:
        self._journal = journal
        self._failures = failures
        self._watch = watch
        self._clock = clock
        self._tally = tally
        self._waiting: deque[_Task | _Plain | _Columns] = deque()
        self._any = threading.Event()
        self._stopped = False
        self._failed: set[str] = set()
        """The bundles that did, by digest."""
        self._last: dict[str, str] = {}
        self._thread = threading.Thread(target=self._follow, name="shadow", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._any.set()

    def offer(self, answered: Answered) -> None:
        """What was answered just now, for the shadows of its route. Never waits."""
        plan = answered.plan
        if plan is None or not plan.shadows:
            return
        for asked in answered.recorded:
            for arm, model in plan.shadows:
                self._put(_Task(arm, model, asked))
        self._any.set()

    def offer_plain(self, served: Served, lines: Sequence[Line]) -> None:
        """The same, of lines as they were recorded. Never waits."""
        for arm, model in served.shadows:
            for first in range(0, len(lines), _MOST_ROWS):
                self._put(_Plain(arm, model, lines[first : first + _MOST_ROWS]))
        self._any.set()

    def offer_columns(self, served: Served, facts: Facts, rows: Any) -> None:
        """The same, of Arrow rows, all at once."""
        for arm, model in served.shadows:
            self._put(_Columns(arm, model, facts, rows))
        self._any.set()

    def _put(self, task: _Task | _Plain | _Columns) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self._tally.happened(task.model.version.loop, "shadow_dropped")
        else:
            self._waiting.append(task)

    def _follow(self) -> None:
        with suppress(OSError, AttributeError):  # where threads have no priority of their own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while not self._stopped:
            self._any.wait()
            self._any.clear()
            while self._waiting and not self._stopped:
                begun, task = self._clock.monotonic(), self._waiting.popleft()
                self._run(self._take(task)) if isinstance(task, _Task) else self._run_whole(task)
                self._clock.sleep(max(_REST_SECONDS, _REST * (self._clock.monotonic() - begun)))

    def _take(self, oldest: _Task) -> list[_Task]:
        """With those after it, as far as they are for one model and make a small batch."""
        found, rows = [oldest], len(oldest.asked.read.rows)
        while self._waiting:
            after = self._waiting[0]
            if not isinstance(after, _Task):
                break
            rows += len(after.asked.read.rows)
            if after.model is not oldest.model or rows > _MOST_ROWS:
                break
            self._waiting.popleft()
            found.append(after)
        return found

    def _run_whole(self, task: _Plain | _Columns) -> None:
        """As `_run`, all rows or none."""
        try:
            self._predict_plain(task) if isinstance(task, _Plain) else self._predict_columns(task)
        except (StoreError, Refused, Hung, Misfit, ValueError, RuntimeError, AttributeError) as error:
            if self._failures is not None and not isinstance(error, StoreError):
                reason = error.what if isinstance(error, Refused) else type(error).__name__
                self._failures.note(task.model.version, task.arm, task.ulid, _kind(error), reason, **task.in_common)
            self._note_failed(task.model, 1, error)

    def _predict_plain(self, task: _Plain) -> None:
        lines, version = task.lines, task.model.version
        decoded = task.model.decoder.decode([line.row for line in lines], range(len(lines)))
        if isinstance(decoded, Problems):
            raise Misfit("it takes other rows")
        predicted, latency_ms = self._predicted(task.model, decoded.feed, len(lines))
        nothing: dict[str, Any] = dict.fromkeys(("label", "probabilities", "value"))
        about: dict[str, Any] = {
            "at": self._clock.now(),
            "version": version.number,
            "digest": version.digest,
            "arm": task.arm.name,
        }
        about |= {"latency_ms": latency_ms, "shadow": True}
        found = [
            msgspec.structs.replace(line, **about, **(nothing | dict(predicted.take(row))))
            for row, line in enumerate(lines)
        ]
        self._journal.append(version.loop, found)
        self._tally.happened(version.loop, "shadowed", len(found))

    def _predict_columns(self, task: _Columns) -> None:
        from loopwright.gateway import columns  # Arrow at use

        model, version, count = task.model, task.model.version, task.rows.num_rows
        feed, kept = columns.taken(model.decoder, task.rows)
        predicted, latency_ms = self._predicted(model, feed, count)
        about: Any = {"unit": task.facts.unit, "latency_ms": latency_ms, "route": task.facts.route}
        made = columns.facts(task.ulid, self._clock.now(), version, task.arm, **about)
        answered = columns.Answered.of(made, predicted, model.predictor.classes)
        self._journal.append_table(version.loop, made.ulid, answered.recorded(kept))
        self._tally.happened(version.loop, "shadowed", count)

    def _predicted(self, model: LoadedModel, feed: Mapping[str, Array], count: int) -> tuple[Predicted, float]:
        """And in how many milliseconds. Raises `Hung`, and `Refused` for what is no number."""
        begun = self._clock.monotonic()
        predicted = self._watch.run(model, feed, count, _SECONDS)
        latency_ms = milliseconds(begun, self._clock.monotonic())
        if not has_shape(predicted, count, len(model.predictor.classes)) or not predicted.is_finite:
            raise no_number(model.version.name)
        return predicted, latency_ms

    def _run(self, tasks: Sequence[_Task]) -> None:
        """Whatever a shadow does wrong is written down, then counted, and told in the log the first time.

        Of a batch that fails each is tried alone: what one request brings is not held against the model at another.
        """
        model = tasks[0].model
        try:
            self._predict(model, tasks)
        except StoreError as error:
            self._note_failed(model, len(tasks), error)
        except Hung as error:
            self._write_down(tasks, "timeout", "it took longer than it may, and was stopped")
            self._note_failed(model, len(tasks), error)
        except (Misfit, ValueError, RuntimeError, AttributeError) as error:
            if len(tasks) > 1:
                for task in tasks:
                    self._run([task])
                return
            self._write_down(tasks, "error", type(error).__name__)
            self._note_failed(model, 1, error)

    def _note_failed(self, model: LoadedModel, count: int, error: Exception) -> None:
        self._tally.happened(model.version.loop, "shadow_failed", count)
        if model.version.digest not in self._failed:
            self._failed.add(model.version.digest)
            _logger.warning("the shadow %s failed: %s", model.version.name, error)

    def _write_down(self, tasks: Sequence[_Task], kind: Kind, reason: str) -> None:
        if self._failures is None:
            return
        for one in tasks:
            about: Any = {"rows": len(one.asked.read.rows), "unit": one.asked.read.unit, "route": one.asked.route}
            self._failures.note(one.model.version, one.arm, one.asked.ulid, kind, reason, **about)

    def _predict(self, model: LoadedModel, tasks: Sequence[_Task]) -> None:
        rows = [row for task in tasks for row in task.asked.read.rows]
        begun = self._clock.monotonic()
        predicted = self._watch.run(model, model.typed.feed(rows, self._times(tasks)), len(rows), _SECONDS)
        latency_ms = milliseconds(begun, self._clock.monotonic())
        told, place, lines = told_of(model, predicted, len(rows)), 0, []
        for task in tasks:
            mine = told[place : place + len(task.asked.read.rows)]
            place += len(mine)
            if None in mine:
                self._write_down([task], "invalid", "it gave no number for a row")
                self._tally.happened(model.version.loop, "shadow_failed")
            else:
                lines += lines_of(task.asked, task.arm, model, mine, self._clock.now(), latency_ms)
        if lines:
            self._journal.append(model.version.loop, lines)
            self._tally.happened(model.version.loop, "shadowed", len(lines))

    def _times(self, tasks: Sequence[_Task]) -> Sequence[tuple[int, ...]]:
        return [time for task in tasks for time in task.asked.times]


def _kind(error: Exception) -> Kind:
    if isinstance(error, Hung):
        return "timeout"
    return "invalid" if isinstance(error, Refused) and error.status == NO_NUMBER else "error"
