"""Reads what happened, keeps incidents, and sends what is to be told. Sent at least once: killed between the sending
and its record, it sends again, under the same id."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from loopwright.alerts import declare, delivery, hearing
from loopwright.alerts.burning import Bucket, Counts
from loopwright.alerts.declare import Config, Recipient
from loopwright.alerts.delivery import Undelivered
from loopwright.alerts.incident import Happening, Ledger, Message, absorb
from loopwright.alerts.silences import silences
from loopwright.core.clock import Clock
from loopwright.core.event import Cause
from loopwright.core.plain import plain, restored
from loopwright.core.progress import Progress
from loopwright.core.stores import Stores
from loopwright.errors import Conflict, LoopwrightError
from loopwright.predictions.following import Follower

_logger = logging.getLogger(__name__)
LEDGER = "alerts"
_COUNTS = "alerts-counts:"
_EVENTS = 1000
"""Read at once."""
_LINES = 200_000
_FIRST_REST, _LONGEST_REST = timedelta(seconds=10), timedelta(hours=1)
GIVEN_UP = timedelta(days=1)
Deliver = Callable[[Message, Recipient], None]


class Alerts:
    """The live loop that tells people. `project` is the folder that `alerts.toml` lies in."""

    name = "alerts"

    def __init__(
        self,
        *,
        stores: Stores,
        workspace: Path,
        project: Path,
        clock: Clock,
        actor: str = "alerts",
        deliver: Deliver = delivery.deliver,
    ) -> None:
        self._stores = stores
        self._workspace = workspace
        self._project = project
        self._clock = clock
        self._actor = actor
        self._deliver = deliver
        self._followers: dict[str, Follower] = {}

    def reconcile(self) -> int:
        """Hear what is new, and send what is due: how many messages went out, and events were heard."""
        config, now = declare.read(self._project), self._clock.now()
        kept = self._stores.progress.get(LEDGER) or self._begun()
        before = ledger = restored(Ledger, dict(kept.value))
        events = self._stores.events.list(after=ledger.cursor, limit=_EVENTS)
        heard = [one for event in events for one in hearing.happenings(event, self._stores)]
        heard += self._promises(config, ledger, now, is_first=not kept.number)
        ledger = absorb(ledger, heard, config, silences(self._stores), now)
        ledger = replace(ledger, cursor=events[-1].number if events else ledger.cursor)
        try:
            if ledger != before or not kept.number:
                kept = self._put(kept, ledger)
            return len(events) + self._send(kept, ledger, config, now)
        except Conflict:  # another process led meanwhile: it has heard the same
            return 0

    def _begun(self) -> Progress:
        """From now on: nobody wants to be told of last year."""
        last = 0
        while events := self._stores.events.list(after=last, limit=_EVENTS):
            last = events[-1].number
        return Progress(name=LEDGER, value=plain(Ledger(cursor=last)))

    def _put(self, kept: Progress, ledger: Ledger) -> Progress:
        return self._stores.progress.put(replace(kept, value=plain(ledger)), self._cause())

    def _cause(self) -> Cause:
        return Cause(actor=self._actor, at=self._clock.now())

    def _promises(self, config: Config, ledger: Ledger, now: datetime, *, is_first: bool) -> list[Happening]:
        """Of every loop that is served: what is burning, and that it no longer is."""
        found, known = [], {one.name: one for one in self._stores.progress.list(_COUNTS)}
        for route in self._stores.routes.newest():
            try:
                before = known.get(_COUNTS + route.loop)
                if before is None and is_first:
                    self._count_from_now_on(route.loop)
                    continue
                counts = self._counted(route.loop, before, config, now)
            except LoopwrightError as error:
                _logger.warning("the requests of %s are not counted: %s", route.loop, error.what)
                continue
            found += hearing.promises(route.loop, counts.burning(config.promise, now), ledger, now)
        return found

    def _count_from_now_on(self, loop: str) -> None:
        """Of a loop that was served before anybody looked. One that begins to be served later is counted whole."""
        value = {"cursor": self._follower(loop).at_end(), "buckets": {}}
        self._stores.progress.put(Progress(name=_COUNTS + loop, value=value), self._cause())

    def _follower(self, loop: str) -> Follower:
        return self._followers.get(loop) or self._followers.setdefault(loop, Follower(self._workspace, loop))

    def _counted(self, loop: str, kept: Progress | None, config: Config, now: datetime) -> Counts:
        """With what was answered and what failed since it was counted last."""
        kept = kept or Progress(name=_COUNTS + loop, value={"cursor": "", "buckets": {}})
        counts, cursor = Counts.from_dict(kept.value["buckets"]), kept.value["cursor"]
        follower, slow_ms = self._follower(loop), config.promise.slow_ms
        while True:
            read = follower.read(cursor, most=_LINES, rows=False)
            if read.cursor == cursor:
                return counts
            answered = [
                (line.at, Bucket(1, int((line.latency_ms or 0) > slow_ms), 0)) for line in read.lines if not line.shadow
            ]
            failed = [(one.at, Bucket(0, 0, 1)) for one in read.failures if not one.shadow]
            counts, cursor = counts.plus([*answered, *failed], now), read.cursor
            value = {"cursor": cursor, "buckets": counts.to_dict()}
            kept = self._stores.progress.put(replace(kept, value=value), self._cause())

    def _send(self, kept: Progress, ledger: Ledger, config: Config, now: datetime) -> int:
        """What is due, each recorded before the next one goes. Who was not reached is not tried again in this pass:
        one way that does not answer keeps the others waiting once."""
        recipients, sent, down = {one.name: one for one in config.recipients}, 0, set[str]()
        for message in _in_turn(ledger.outbox, now):
            if message.to in down:
                continue
            after = self._tried(message, recipients.get(message.to), now)
            sent += after is None
            if after is not None:
                down.add(message.to)
            ledger = replace(ledger, outbox=tuple(_without(ledger.outbox, message, after)))
            kept = self._put(kept, ledger)
        return sent

    def _tried(self, message: Message, to: Recipient | None, now: datetime) -> Message | None:
        """None when it is done with: delivered, given up, or nobody is there any more to take it."""
        if to is None:
            return None
        try:
            self._deliver(message, to)
        except (Undelivered, LoopwrightError) as error:
            return self._later(message, str(error), now)
        return None

    def _later(self, message: Message, why: str, now: datetime) -> Message | None:
        data = {"to": message.to, "title": message.title, "why": why}
        if now - message.made_at >= GIVEN_UP:
            _logger.error("%s was not told of %r in a day: %s", message.to, message.title, why)
            self._stores.events.add("AlertUndelivered", "alerts", self._cause(), data)
            return None
        _logger.warning("%s could not be told of %r: %s", message.to, message.title, why)
        rest = min(_LONGEST_REST, _FIRST_REST * 2 ** min(message.attempts, 20))
        return replace(message, attempts=message.attempts + 1, due_at=now + rest)


def _in_turn(outbox: Sequence[Message], now: datetime) -> list[Message]:
    """What goes out now, the most urgent first; of one incident to one recipient in the order of making, for an end
    that came before its beginning would leave it open for ever."""
    lines: dict[tuple[str, str], list[Message]] = {}
    for one in outbox:
        lines.setdefault((one.to, one.key), []).append(one)
    due = [line for line in lines.values() if any(one.due_at <= now for one in line)]
    due.sort(key=lambda line: min(one.urgency.rank for one in line))
    return [one for line in due for one in line]


def _without(outbox: Sequence[Message], tried: Message, after: Message | None) -> Iterator[Message]:
    """What is left once one was tried; what comes after it in its line rests as long as it does."""
    for one in outbox:
        if one.id == tried.id:
            if after is not None:
                yield after
        elif after is not None and (one.to, one.key) == (after.to, after.key):
            yield replace(one, due_at=max(one.due_at, after.due_at))
        else:
            yield one


def ledger_of(stores: Stores) -> Ledger | None:
    """As it was left; None where nobody looked yet."""
    kept = stores.progress.get(LEDGER)
    return None if kept is None else restored(Ledger, dict(kept.value))
