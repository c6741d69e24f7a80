"""The prediction log, read on and on, as facts of one release.

An event is a request that failed, one slower than the champion's frozen 99th percentile, a prediction that is none, or
one that its label shows to be wrong: the first of each unit, with the share in force when it was answered. A request
without a named unit is a unit of its own. Whoever chose a version (`pinned`), or was told what a batch knew, is left
out: no chance sent him there. Of a prediction's labels the first counts, for what was decided by it cannot be unsaid.

In the shadow a failure of the champion counts for it, although nobody knows whether the challenger would have failed
there too: so the comparison errs on the challenger's side. Latencies are not compared there: shadows have no hurry.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from loopwright.core.stores import Events
from loopwright.core.version import CHALLENGER, CHAMPION, FORMER
from loopwright.errors import LoopwrightError
from loopwright.rollout import scores
from loopwright.rollout.facts import Facts
from loopwright.rollout.log import Batch, Cursor, Log, drain, in_order
from loopwright.rollout.seen import Open, Seen
from loopwright.rollout.shares import Shares, Stretch
from loopwright.rollout.tally import Tally
from loopwright.rollout.yardstick import FIRST_ERRORS, FIRST_LATENCIES, Said, Yardstick

if TYPE_CHECKING:
    from loopwright.predictions.failures import Failure
    from loopwright.predictions.journal import Line
    from loopwright.predictions.labels import Label

_logger = logging.getLogger(__name__)
ARMS = (CHAMPION, CHALLENGER, FORMER)
CRASHED = "VersionNotLoaded"
HORIZON = timedelta(days=7)
_UNHEARD = "unheard "
_KINDS: Mapping[str, str] = {"error": "errors", "timeout": "errors", "invalid": "invalid"}
_REQUEST = slice(0, 26)


class Reader:
    """Of one release. What it remembers is made anew from the log, by `resume`."""

    def __init__(
        self,
        log: Log,
        cursor: Cursor,
        *,
        loop: str,
        challenger: int,
        champion: int | None,
        yardstick: Yardstick,
        horizon: timedelta = HORIZON,
        has_outcomes: bool = False,
    ) -> None:
        self._log = log
        self.cursor = cursor
        self.subject = f"version:{loop}:{challenger}"
        self._is_canary = {challenger: True} | ({} if champion is None else {champion: False})
        self._challenger = challenger
        self._yardstick = replace(yardstick, wrong_by=cursor.wrong_by, slow_ms=cursor.slow_ms)
        self._horizon = horizon
        self._has_outcomes = has_outcomes
        self._seen = Seen()
        self._tally = Tally()
        self._shares: Shares
        self._drift = ""
        self._again = False

    def resume(self, shares: Shares) -> None:
        """Take up what was seen up to the cursor, which is not told again: all that is not still to be read. Raises
        what the log does."""
        self._shares = shares
        if self.cursor.log != self.cursor.begun:
            everything = Batch.of(drain(self._log, self.cursor.begun)[0])
            later = Batch.of(drain(self._log, self.cursor.log)[0])
            self._again = True
            self._take(everything.without(later))
            self._again = False

    def read(self, shares: Shares, events: Events | None, now: Callable[[], datetime]) -> Facts:
        """What is new; without `events` nothing was told of the version.

        The moment is taken after it was read, so that nothing read is later. Unreadable, nothing is known.
        """
        self._shares, self._tally = shares, Tally()
        try:
            found, place = drain(self._log, self.cursor.log)
            event = self.cursor.event if events is None else self._crashes(events)
        except (LoopwrightError, OSError) as error:
            _logger.warning("what %s predicts cannot be read: %s", self.subject, error)
            return Facts(now=now())
        batch = Batch.of(found)
        if not batch.is_empty:
            self._take(batch)
        self.cursor = msgspec.structs.replace(
            self.cursor, log=place, event=event, wrong_by=self._yardstick.wrong_by, slow_ms=self._yardstick.slow_ms
        )
        moment = now()
        self._seen.forget(moment - self._horizon)
        return self._tally.facts(moment, known_until=moment, cursor=self.cursor.text(), score_drift=self._drift)

    def _crashes(self, events: Events) -> int:
        found = events.list(subject=self.subject, after=self.cursor.event)
        began = self.cursor.began_at
        self._tally.crashes += sum(one.kind == CRASHED and one.cause.at >= began for one in found)
        return found[-1].number if found else self.cursor.event

    def _take(self, batch: Batch) -> None:
        for line, failure in in_order(batch):
            if failure is not None:
                self._failure(failure)
            elif line is not None:
                (self._shadow if line.shadow else self._line)(line)
        for label in batch.labels:
            self._label(label)
        self._drift = scores.apart(self._seen.scores)

    def _line(self, line: Line) -> None:
        is_canary = self._is_canary.get(line.version)
        stretch = self._shares.at(line.at, again=self._again) if line.arm in ARMS else None
        if is_canary is None or stretch is None:
            return
        unit = line.unit or line.id[_REQUEST]
        self._latency(line, unit, stretch, is_canary=is_canary)
        if stretch.share:
            self._request(unit, stretch, is_canary=is_canary, is_well=True, is_named=line.unit is not None)
            self._score(line, stretch, is_canary=is_canary)
        share = stretch.share if 0 < stretch.share < 1 else 0.0
        self._answered(line, unit, share, self._yardstick.said(line), is_canary=is_canary)

    def _request(self, unit: str, stretch: Stretch, *, is_canary: bool, is_well: bool, is_named: bool) -> None:
        if stretch.number == self._shares.newest:
            self._tally.requests[not is_canary] += 1
        self._tally.ended(unit, is_well=is_well, is_canary=is_canary)
        if self._seen.is_new(unit, is_named=is_named) and stretch.share < 1:
            self._tally.unit(stretch.share, is_canary=is_canary)

    def _latency(self, line: Line, unit: str, stretch: Stretch, *, is_canary: bool) -> None:
        latency, slow = line.latency_ms, self._yardstick.slow_ms
        if latency is None:
            return
        if slow is not None:
            if latency > slow:
                self._event("slow", unit, stretch.share, is_canary=is_canary)
        elif not is_canary:
            self._seen.latencies.append(latency)
            if len(self._seen.latencies) >= FIRST_LATENCIES:
                self._yardstick = self._yardstick.with_latencies(self._seen.latencies)
                self._seen.latencies.clear()

    def _score(self, line: Line, stretch: Stretch, *, is_canary: bool) -> None:
        if stretch.number < self._seen.stretch:
            return
        if stretch.number > self._seen.stretch:
            self._seen.stretch, self._seen.scores = stretch.number, scores.nothing()
        score = self._yardstick.score(line)
        if score is not None:
            self._seen.scores[is_canary].append(score)

    def _failure(self, failure: Failure) -> None:
        is_canary, guardrail = self._is_canary.get(failure.version), _KINDS.get(failure.kind)
        stretch = self._shares.at(failure.at, again=self._again) if failure.shadow or failure.arm in ARMS else None
        if is_canary is None or guardrail is None or stretch is None:
            return
        unit = failure.unit or failure.id[_REQUEST]
        if not stretch.share:
            self._pair(guardrail, unit, is_challenger=is_canary)
        elif not failure.shadow:
            self._request(unit, stretch, is_canary=is_canary, is_well=False, is_named=failure.unit is not None)
            self._event(guardrail, unit, stretch.share, is_canary=is_canary)

    def _event(self, guardrail: str, unit: str, share: float, *, is_canary: bool) -> None:
        if 0 < share < 1 and self._seen.is_first(guardrail, unit):
            self._tally.event(guardrail, share, is_canary=is_canary)

    def _pair(self, guardrail: str, unit: str, *, is_challenger: bool) -> None:
        if self._seen.is_first(_UNHEARD + guardrail, unit):
            self._tally.pair(guardrail, is_challenger=is_challenger)

    def _answered(self, line: Line, unit: str, share: float, said: Said | None, *, is_canary: bool) -> None:
        found = self._seen.open.get(line.id)
        if found is None:  # always, but for a shadow whose line is older than that of the answer
            found = Open(at=line.at, unit=unit, key=line.key)
            self._seen.keep(line.id, found)
        found.share, found.is_canary, found.said = share, is_canary, said
        self._match(line)

    def _shadow(self, line: Line) -> None:
        stretch = self._shares.at(line.at, again=self._again)
        if line.version != self._challenger or stretch is None or stretch.share:
            return
        self._tally.scored += 1
        found = self._seen.open.get(line.id)
        if found is None:
            found = Open(at=line.at, unit=line.unit or line.id[_REQUEST], key=line.key)
            self._seen.keep(line.id, found)
        found.unheard = self._yardstick.said(line)
        self._match(line)

    def _match(self, line: Line) -> None:
        """With a label that came first."""
        label = self._seen.label_of(line.id, line.key)
        if label is not None:
            self._judge(line.id, label)

    def _label(self, label: Label) -> None:
        outcome = getattr(label, "outcome", None)
        known = [one for one in self._seen.labelled_by(label) if one in self._seen.open]
        if outcome is not None:
            for identity in known:
                self._outcome(self._seen.open[identity], str(outcome), label.label)
            return
        for identity in known:
            self._judge(identity, label)
        if not known:
            self._seen.put_aside(label)

    def _judge(self, identity: str, label: Label) -> None:
        """In the shadow it waits for the answers of both."""
        found = self._seen.open[identity]
        if found.is_labelled:
            return
        if found.share:
            self._heard(found, label)
        elif found.said is not None and found.unheard is not None:
            self._both(found, label)
        else:
            self._seen.told[identity] = label
            return
        found.is_labelled = True
        self._seen.told.pop(identity, None)
        if not self._has_outcomes:
            del self._seen.open[identity]

    def _heard(self, found: Open, label: Label) -> None:
        if found.said is None:
            return
        is_wrong = self._yardstick.is_wrong(found.said, label.label)
        error = self._yardstick.error(found.said, label.label)
        if is_wrong:
            self._event("mistakes", found.unit, found.share, is_canary=found.is_canary)
        elif is_wrong is None and error is not None and not found.is_canary:
            self._error(error)

    def _both(self, found: Open, label: Label) -> None:
        assert found.said is not None
        assert found.unheard is not None
        heard = self._yardstick.is_wrong(found.said, label.label)
        unheard = self._yardstick.is_wrong(found.unheard, label.label)
        if heard is None or unheard is None:
            error = self._yardstick.error(found.said, label.label)
            if error is not None:
                self._error(error)
        elif heard != unheard:
            self._pair("mistakes", found.unit, is_challenger=unheard)

    def _error(self, error: float) -> None:
        """Of the champion, until its limit is frozen."""
        self._seen.errors.append(error)
        if len(self._seen.errors) >= FIRST_ERRORS:
            self._yardstick = self._yardstick.with_errors(self._seen.errors)
            self._seen.errors.clear()

    def _outcome(self, found: Open, name: str, value: object) -> None:
        """Of a unit the first, so that units are independent of one another."""
        if not isinstance(value, int | float) or not math.isfinite(value) or not found.share:
            return
        if self._seen.is_first(f"outcome {name}", found.unit):
            self._tally.outcome(name, found.share, float(value), is_canary=found.is_canary)
