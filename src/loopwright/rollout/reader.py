"""The prediction log, read on and on, as facts of one release.

An event is a request that failed, one slower than the champion's frozen 99th percentile, a prediction that is none, or
a mistake (an answer that its label shows to be wrong, or two that are ranked wrongly): the first of each unit, with the
share in force when it was answered. A request without a named unit is a unit of its own. Whoever chose a version
(`pinned`), or was told what a batch knew, is left out: no chance sent him there. Of a prediction's labels the first
counts, for what was decided by it cannot be unsaid; and once it is mature, for versions whose labels come sooner or
later than the other's would else be compared by their sooner ones.

In the shadow a failure of the champion counts for it, although nobody knows whether the challenger would have failed
there too: so the comparison errs on the challenger's side. Latencies are not compared there: shadows have no hurry.
What is slow is a run of a model, and the share that of the runs (`runs`).
After a change of shares they are compared once each version has answered `COLD` times under the new one, for a bundle's
first answers are slow of themselves, and in a replay they are sent while the clock stands still.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from loopwright.core.clock import moment_of
from loopwright.core.horizon import LABELS_WITHIN
from loopwright.core.stores import Events
from loopwright.core.version import CHALLENGER, CHAMPION, FORMER
from loopwright.errors import LoopwrightError
from loopwright.rollout import scores, unlike
from loopwright.rollout.facts import Facts
from loopwright.rollout.log import Batch, Cursor, Log, Unread, in_order, pieces
from loopwright.rollout.maturity import Maturity, Ripe
from loopwright.rollout.ranking import Scored
from loopwright.rollout.runs import Runs
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
CRASHED = ("VersionNotLoaded", "VersionCrashed")
COLD = 20
"""Latencies of each version under a new share that say nothing; so long the other's say nothing either."""
_CLOCKS_APART = timedelta(minutes=15)
"""Those of two machines, at most."""
LABEL = ""
"""The name of what is no outcome: the label itself."""
_UNHEARD = "unheard "
_BACK = "set back "
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
        horizon: timedelta = LABELS_WITHIN,
        has_outcomes: bool = False,
        trained: unlike.Both | None = None,
    ) -> None:
        self._log = log
        self.cursor = cursor
        self.subject = f"version:{loop}:{challenger}"
        self._beside = None if champion is None else f"version:{loop}:{champion}"
        self._is_canary = {challenger: True} | ({} if champion is None else {champion: False})
        self._challenger = challenger
        self._yardstick = replace(yardstick, wrong_by=cursor.wrong_by, slow_ms=cursor.slow_ms)
        self._runs = Runs()
        self._horizon = horizon
        self._has_outcomes = has_outcomes
        self._froze = cursor.froze
        self._back = cursor.began_at - _CLOCKS_APART
        """What was predicted before it was predicted by a clock that was set back since."""
        self._maturing: dict[str, Maturity] = {}
        self._seen = Seen(thinned=cursor.thinned)
        self._tally = Tally()
        self._shares: Shares
        self._drift = scores.Apart()
        self._again = False
        self._classes: tuple[str, ...] = ()
        self._asked = None if trained is None else unlike.Asked(log, cursor.rows, trained, self._is_meant)

    def resume(self, shares: Shares) -> None:
        """Take up what was seen up to the cursor, which is not told again: all that is not still to be read. Raises
        what the log does."""
        self._shares = shares
        if self.cursor.log != self.cursor.begun:
            unread = Unread.of(pieces(self._log, self.cursor.log))
            self._again = True
            for found in pieces(self._log, self.cursor.begun):
                self._take(unread.without(Batch.of(found)))
                if not self._yardstick.ranks:
                    self._count_again()
            self._count_again()
            self._again = False
            self._seen.bound()
        if self._asked is not None:
            self._asked.resume()

    def read(self, shares: Shares, events: Events | None, now: Callable[[], datetime]) -> Facts:
        """What is new; without `events` nothing was told of the version.

        The moment is taken after it was read, so that nothing read is later. Unreadable, nothing is known.
        """
        self._shares, self._tally = shares, Tally()
        is_known, place, event, skewed = True, self.cursor.log, self.cursor.event, ""
        try:
            for found in pieces(self._log, place, rows=unlike.MOST if self._asked else 0):
                self._take(Batch.of(found))
                if self._asked and place == self.cursor.log:
                    skewed = self._asked.take(found.lines, place)
                place = found.cursor
            event = event if events is None else self._crashes(events)
        except (LoopwrightError, OSError) as error:
            _logger.warning("what %s predicts cannot be read: %s", self.subject, error)
            is_known = False
        moment = now()
        self._count(moment)
        self._seen.forget(moment - self._horizon)
        self.cursor = self._reached(place, event)
        return self._tally.facts(
            moment,
            known_until=moment if is_known else None,
            cursor=self.cursor.text(),
            score_drift=self._drift.beyond,
            score_near=self._drift.near,
            skewed=skewed,
        )

    def _reached(self, place: str, event: int) -> Cursor:
        return msgspec.structs.replace(
            self.cursor,
            log=place,
            event=event,
            wrong_by=self._yardstick.wrong_by,
            slow_ms=self._yardstick.slow_ms,
            froze=self._froze,
            rows=self._asked.place if self._asked else self.cursor.rows,
            thinned=self._seen.thinned,
            ripe={name: one.ripe for name, one in self._maturing.items()},
        )

    def _is_after(self, identity: str, at: datetime, frozen: str) -> bool:
        """Whether it was predicted after a limit was frozen: by its name, or by a clock that was set back since."""
        return identity > frozen or at < self._back <= moment_of(frozen[_REQUEST])

    def _is_meant(self, line: Line) -> bool:
        """Whether chance chose who answered."""
        return line.arm in ARMS and line.version in self._is_canary

    def _crashes(self, events: Events) -> int:
        """More than the champion's: what breaks both, a request or a disk, is no fault of one."""
        beside, before = (0, 0) if self._beside is None else self._crashes_of(self._beside, events)
        crashes, last = self._crashes_of(self.subject, events)
        self._tally.crashes += max(crashes - beside, 0)
        return max(last, before)

    def _crashes_of(self, subject: str, events: Events) -> tuple[int, int]:
        """Since the cursor, and the last event's number."""
        last, crashes = self.cursor.event, 0
        while page := events.list(subject=subject, after=last):
            crashes += sum(one.kind in CRASHED for one in page)
            last = page[-1].number
        return crashes, last

    def _take(self, batch: Batch) -> None:
        if batch.is_empty:
            return
        for line, failure in in_order(batch):
            if failure is not None:
                self._failure(failure)
            elif line is not None:
                (self._shadow if line.shadow else self._line)(line)
        for label in batch.labels:
            self._label(label)
        if not self._again:
            self._seen.thin()
        self._drift = scores.apart(self._seen.scores.of)

    def _line(self, line: Line) -> None:
        is_canary = self._is_canary.get(line.version)
        stretch = self._shares.of(line, again=self._again) if line.arm in ARMS else None
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
        is_warm = self._seen.is_warm(stretch.number, COLD, is_canary=is_canary)
        if slow is not None:
            is_slow = latency > slow and is_warm and self._is_after(line.id, line.at, self._froze.slow_from)
            if unit in self._seen.first["slow"]:
                return
            share = self._runs.slow(line.at, stretch.number, line.unit, is_canary=is_canary, is_slow=is_slow)
            if share is not None and 0 < stretch.share < 1:
                self._event("slow", unit, share, is_canary=is_canary)
        elif not is_canary:
            self._seen.latencies.append(latency)
            if len(self._seen.latencies) >= FIRST_LATENCIES:
                self._yardstick = self._yardstick.with_latencies(self._seen.latencies)
                self._froze = msgspec.structs.replace(self._froze, slow_from=line.id)
                self._seen.latencies.clear()

    def _score(self, line: Line, stretch: Stretch, *, is_canary: bool) -> None:
        if stretch.number < self._seen.stretch:
            return
        if stretch.number > self._seen.stretch:
            self._seen.stretch, self._seen.scores = stretch.number, scores.Scores()
        score = self._yardstick.score(line)
        if score is not None:
            self._seen.scores.add(score, line.unit, is_canary=is_canary)

    def _failure(self, failure: Failure) -> None:
        is_canary, guardrail = self._is_canary.get(failure.version), _KINDS.get(failure.kind)
        stretch = self._shares.of(failure, again=self._again) if failure.shadow or failure.arm in ARMS else None
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
        found = self._opened(line, unit)
        found.share, found.is_canary, found.said = share, is_canary, said
        self._match(line)

    def _shadow(self, line: Line) -> None:
        stretch = self._shares.of(line, again=self._again)
        if line.version != self._challenger or stretch is None or stretch.share:
            return
        self._tally.scored += 1
        found = self._opened(line, line.unit or line.id[_REQUEST])
        found.unheard = self._yardstick.said(line)
        self._match(line)

    def _opened(self, line: Line, unit: str) -> Open:
        """Of a unit that is not sampled, nothing is kept of it."""
        found = self._seen.open.get(line.id)
        if found is None:  # of an answer always, but for a shadow whose line is older than that of the answer
            found = Open(at=line.at, unit=unit, key=line.key)
            if self._seen.is_sampled(unit):
                self._seen.keep(line.id, found)
        if self._yardstick.ranks and line.probabilities:
            names = tuple(line.probabilities)
            found.classes = self._classes = self._classes if names == self._classes else names
        return found

    def _match(self, line: Line) -> None:
        """With a label that came first."""
        label = self._seen.label_of(line.id, line.key)
        if label is not None and line.id in self._seen.open:
            self._judge(line.id, label)

    def _label(self, label: Label) -> None:
        outcome = getattr(label, "outcome", None)
        known = [one for one in self._seen.labelled_by(label) if one in self._seen.open]
        if outcome is not None:
            for identity in known:
                self._outcome(identity, self._seen.open[identity], str(outcome), label)
            return
        for identity in known:
            self._judge(identity, label)
        if not known:
            self._seen.put_aside(label)

    def _judge(self, identity: str, label: Label) -> None:
        """In the shadow it waits for the answers of both, whose label is the same; else until it is mature."""
        found = self._seen.open[identity]
        if found.label is not None:
            return
        is_paired = found.said is not None and found.unheard is not None
        if not found.share and not is_paired:
            self._seen.told[identity] = label
            return
        found.label = label
        self._seen.told.pop(identity, None)
        self._tally.labels[not found.is_canary] += 1
        if found.share:
            self._maturity(LABEL, found.at).put(identity, found.at, label.at, is_canary=found.is_canary)
        else:
            self._judged(identity, found, label)

    def _maturity(self, name: str, at: datetime) -> Maturity:
        """By the clock that the prediction was made by: what is old by one is not by another. The age is of both."""
        if at < self._back:
            known = self._maturity(name, self._back).ripe.seconds
            name, first = _BACK + name, Ripe(seconds=known)
        else:
            first = Ripe()
        if name not in self._maturing:
            self._maturing[name] = Maturity(self.cursor.ripe.get(name, first), self._horizon)
        return self._maturing[name]

    def _count(self, now: datetime) -> None:
        """What is mature, in the order of the predictions."""
        for name, maturity in self._maturing.items():
            self._count_all(name.removeprefix(_BACK), maturity, maturity.take(now))

    def _count_again(self) -> None:
        """What was mature when it was read first."""
        for name, maturity in self._maturing.items():
            self._count_all(name.removeprefix(_BACK), maturity, maturity.again())

    def _count_all(self, name: str, maturity: Maturity, ripe: Iterable[str]) -> None:
        for identity in ripe:
            found = self._seen.open.get(identity)
            if found is None:  # given up since, with its unit
                continue
            if name:
                self._valued(found, name, found.outcomes[name])
            elif found.label is not None:
                self._covered(found, is_timely=maturity.is_timely(found.at, found.label.at))
                self._judged(identity, found, found.label)

    def _covered(self, found: Open, *, is_timely: bool) -> None:
        self._tally.mature[not found.is_canary] += 1
        if is_timely and self._seen.is_first(LABEL, found.unit):
            self._tally.labelled(found.share, is_canary=found.is_canary)

    def _judged(self, identity: str, found: Open, label: Label) -> None:
        if self._yardstick.ranks:
            self._ranked(identity, found, label)
        elif found.share:
            self._heard(identity, found, label)
        else:
            self._both(identity, found, label)
        if not self._has_outcomes:
            self._seen.drop(identity)

    def _ranked(self, identity: str, found: Open, label: Label) -> None:
        """It waits for a row of the other class, answered by the same version under the same share."""
        is_positive = self._yardstick.is_positive(found.classes, label.label)
        both = (found.said,) if found.share else (found.said, found.unheard)
        told = tuple(one for one in both if isinstance(one, float) and math.isfinite(one))
        if is_positive is None or len(told) < len(both):
            return
        row = Scored(found.at, identity, found.unit, told)
        pair = self._seen.pairs.match(row, found.share, is_canary=found.is_canary, is_positive=is_positive)
        if pair is None:
            return
        wrong, unit = pair.wrong, pair.positive.unit
        if found.share and wrong[0]:
            self._event("mistakes", unit, found.share, is_canary=found.is_canary)
        elif not found.share and wrong[0] != wrong[1]:
            self._pair("mistakes", unit, is_challenger=wrong[1])

    def _heard(self, identity: str, found: Open, label: Label) -> None:
        if found.said is None:
            return
        is_wrong = self._yardstick.is_wrong(found.said, label.label)
        error = self._yardstick.error(found.said, label.label)
        if is_wrong:
            if self._is_after(identity, found.at, self._froze.wrong_from):
                self._event("mistakes", found.unit, found.share, is_canary=found.is_canary)
        elif is_wrong is None and error is not None and not found.is_canary:
            self._error(identity, error)

    def _both(self, identity: str, found: Open, label: Label) -> None:
        assert found.said is not None
        assert found.unheard is not None
        heard = self._yardstick.is_wrong(found.said, label.label)
        unheard = self._yardstick.is_wrong(found.unheard, label.label)
        if heard is None or unheard is None:
            error = self._yardstick.error(found.said, label.label)
            if error is not None:
                self._error(identity, error)
        elif heard != unheard and self._is_after(identity, found.at, self._froze.wrong_from):
            self._pair("mistakes", found.unit, is_challenger=unheard)

    def _error(self, identity: str, error: float) -> None:
        """Of the champion, until its limit is frozen."""
        self._seen.errors.append(error)
        if len(self._seen.errors) >= FIRST_ERRORS:
            self._yardstick = self._yardstick.with_errors(self._seen.errors)
            self._froze = msgspec.structs.replace(self._froze, wrong_from=identity)
            self._seen.errors.clear()

    def _outcome(self, identity: str, found: Open, name: str, label: Label) -> None:
        """It counts from the age on that is the outcome's own."""
        value = label.label
        if not isinstance(value, int | float) or not math.isfinite(value) or not found.share or name in found.outcomes:
            return
        found.outcomes = {**found.outcomes, name: float(value)}
        self._maturity(name, found.at).put(identity, found.at, label.at, is_canary=found.is_canary)

    def _valued(self, found: Open, name: str, value: float) -> None:
        """Of a unit the first, so that units are independent of one another."""
        if self._seen.is_first(f"outcome {name}", found.unit):
            self._tally.outcome(name, found.share, value, is_canary=found.is_canary)
