"""What happened, grouped into incidents, and the messages that come of it. Pure: the same give the same.

One incident a loop and cause, told when it opens, when it becomes more urgent, and when it is over; what happens again
meanwhile is counted. A silence keeps the messages back, not the incident: one that outlasts it is told then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from loopwright.alerts.declare import Config, Recipient
from loopwright.alerts.urgency import Urgency

FORGOTTEN = timedelta(days=7)
"""An incident that nothing ends is over without a word when nothing was heard of it for so long."""
KEPT = timedelta(days=30)
"""Incidents that are over, for whoever lists them."""
_DIGESTS = 8
"""Of each recipient are remembered: the clock may be set back over some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One event, or one promise that is not kept, as an incident hears of it."""

    at: datetime
    loop: str
    """Empty where it is about no loop alone."""
    cause: str
    """Empty where it belongs to no incident, and is only subscribed to."""
    urgency: Urgency
    what: str
    """One sentence."""
    look: str = ""
    ends: bool = False
    lasts: bool = False
    """Whether it is so until its end is told."""
    kinds: tuple[str, ...] = ()
    """By which it may be subscribed to: the event's own, and what a move of a release is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    loop: str
    cause: str
    urgency: Urgency
    what: str
    look: str
    opened_at: datetime
    last_at: datetime
    lasts: bool = False
    count: int = 1
    told: Urgency | None = None
    """As how urgent it was told; None: nobody was told yet."""
    told_before: tuple[Urgency, ...] = ()
    """As how urgent until then: who heard of it then hears of its end, too."""
    over_at: datetime | None = None

    @property
    def key(self) -> str:
        """`late-arrivals/decay`: what silences name, and what ways that merge messages go by."""
        return f"{self.loop or 'workspace'}/{self.cause}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    pattern: str
    """Of keys: `late-arrivals/*`."""
    until: datetime
    by: str
    because: str = ""

    def covers(self, key: str, now: datetime) -> bool:
        return now < self.until and fnmatchcase(key, self.pattern)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one recipient, until it is delivered."""

    id: str
    """The same for the same message, for a way that was told twice."""
    to: str
    key: str
    urgency: Urgency
    title: str
    body: str
    due_at: datetime
    made_at: datetime
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Digested:
    to: str
    on: str
    """The day of a digest, ISO 8601."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Everything that alerting remembers."""

    cursor: int = 0
    """The last event that was read."""
    incidents: tuple[Incident, ...] = ()
    outbox: tuple[Message, ...] = ()
    digested: tuple[Digested, ...] = ()
    """The last ones of each recipient, in the order they went out."""

    @property
    def open(self) -> list[Incident]:
        return sorted(
            (one for one in self.incidents if one.over_at is None), key=lambda one: (one.urgency.rank, one.opened_at)
        )


def absorb(
    ledger: Ledger, happenings: Sequence[Happening], config: Config, silences: Sequence[Silence], now: datetime
) -> Ledger:
    """With what happened, and the messages that are to go out for it."""
    incidents = {(one.loop, one.cause): one for one in ledger.incidents}
    for one in happenings:
        if one.cause:
            _hear(incidents, one)
    kept, messages = [], _notices(happenings, config, now)
    for incident in incidents.values():
        if incident.over_at is None and not incident.lasts and now - incident.last_at > FORGOTTEN:
            kept.append(replace(incident, over_at=now))
            continue
        if incident.over_at is not None and now - incident.over_at > KEPT:
            continue
        told = [] if any(one.covers(incident.key, now) for one in silences) else _told(incident, config, now)
        messages += told
        kept.append(_as_told(incident) if told else incident)
    after = replace(ledger, incidents=tuple(kept), outbox=(*ledger.outbox, *messages))
    return _digest(after, config, now)


def _hear(incidents: dict[tuple[str, str], Incident], one: Happening) -> None:
    place = one.loop, one.cause
    known = incidents.get(place)
    is_open = known is not None and known.over_at is None
    if one.ends:
        if known is not None and is_open:
            incidents[place] = replace(known, over_at=one.at, last_at=max(known.last_at, one.at), what=one.what)
        return
    if known is None or not is_open:
        incidents[place] = Incident(
            loop=one.loop,
            cause=one.cause,
            urgency=one.urgency,
            what=one.what,
            look=one.look,
            opened_at=one.at,
            last_at=one.at,
            lasts=one.lasts,
        )
        return
    urgency = min(known.urgency, one.urgency, key=lambda urgency: urgency.rank)
    last_at = max(known.last_at, one.at)
    incidents[place] = replace(known, urgency=urgency, what=one.what, last_at=last_at, count=known.count + 1)


def _told(incident: Incident, config: Config, now: datetime) -> list[Message]:
    """To whom and what; nothing where all that can be said was said."""
    if incident.over_at is not None:
        if incident.told is None or incident.told is Urgency.DIGEST:
            return []
        told = (incident.told, *incident.told_before)
        takers = [one for one in config.recipients if any(one.wants(incident.loop, urgency) for urgency in told)]
        return [_message(incident, one, incident.told, "over", now) for one in takers]
    is_news = incident.told is None or incident.urgency.rank < incident.told.rank
    if not is_news or incident.urgency is Urgency.DIGEST:
        return []
    takers = [one for one in config.recipients if one.wants(incident.loop, incident.urgency)]
    return [_message(incident, one, incident.urgency, incident.urgency.value, now) for one in takers]


def _as_told(incident: Incident) -> Incident:
    if incident.over_at is not None:
        return replace(incident, told=None, told_before=())
    before = () if incident.told is None else (incident.told, *incident.told_before)
    return replace(incident, told=incident.urgency, told_before=before)


def _message(incident: Incident, to: Recipient, urgency: Urgency, word: str, now: datetime) -> Message:
    times = f", {incident.count} times since {incident.opened_at:%Y-%m-%d %H:%M} UTC" if incident.count > 1 else ""
    look = f"\nLook: {incident.look}" if incident.look else ""
    return Message(
        id=f"{incident.key}@{incident.opened_at:%Y%m%dT%H%M%SZ}:{word}:{to.name}",
        to=to.name,
        key=incident.key,
        urgency=urgency,
        title=f"[{word}] {incident.loop or 'workspace'}: {incident.cause}",
        body=f"{incident.what}{times}.{look}",
        due_at=now,
        made_at=now,
    )


def _notices(happenings: Sequence[Happening], config: Config, now: datetime) -> list[Message]:
    """What is subscribed to, one message a recipient and loop, however much happened at once."""
    found = []
    for to in config.recipients:
        mine = [one for one in happenings if any(to.subscribes(one.loop, kind) for kind in one.kinds)]
        for loop in dict.fromkeys(one.loop for one in mine):
            lines = [f"{one.at:%Y-%m-%d %H:%M} {one.what}" for one in mine if one.loop == loop]
            first, of = next(one for one in mine if one.loop == loop), loop or "workspace"
            found.append(
                Message(
                    id=f"{of}/events@{first.at:%Y%m%dT%H%M%S.%fZ}:{first.kinds[-1]}:{len(lines)}:{to.name}",
                    to=to.name,
                    key=f"{of}/events",
                    urgency=Urgency.DIGEST,
                    title=f"{of}: {first.kinds[-1]}" + (f" and {len(lines) - 1} more" if len(lines) > 1 else ""),
                    body="\n".join(lines),
                    due_at=now,
                    made_at=now,
                )
            )
    return found


def _digest(ledger: Ledger, config: Config, now: datetime) -> Ledger:
    """Once a day, where anything is open; a day that was slept through is not made up for."""
    digested, messages = list(ledger.digested), []
    for to in config.recipients:
        sent = [one for one in digested if one.to == to.name]
        if to.digest is None or now.time() < to.digest.replace(tzinfo=None) or _was_sent(sent, now):
            continue
        today = now.date().isoformat()
        kept = [*sent, Digested(to=to.name, on=today)][-_DIGESTS:]
        digested = [*(one for one in digested if one.to != to.name), *kept]
        since = now - timedelta(days=1)
        mine = [one for one in ledger.incidents if to.is_for(one.loop) and (one.over_at is None or one.over_at > since)]
        if mine:
            messages.append(_digest_of(mine, to, today, now))
    return replace(ledger, digested=tuple(digested), outbox=(*ledger.outbox, *messages))


def _was_sent(sent: Sequence[Digested], now: datetime) -> bool:
    """Today's, or one of the next days by a clock that was set back since; one of a year ahead says nothing."""
    today, week = now.date().isoformat(), (now + timedelta(days=7)).date().isoformat()
    return any(today <= one.on <= week for one in sent)


def _digest_of(incidents: Iterable[Incident], to: Recipient, today: str, now: datetime) -> Message:
    ordered = sorted(incidents, key=lambda one: (one.over_at is not None, one.urgency.rank, one.loop, one.cause))
    lines = [
        f"{'over' if one.over_at else one.urgency.value:7} {one.key}, {one.count} times since "
        f"{one.opened_at:%Y-%m-%d}: {one.what}"
        for one in ordered
    ]
    return Message(
        id=f"digest@{today}:{to.name}",
        to=to.name,
        key="digest",
        urgency=Urgency.DIGEST,
        title=f"Loopwright on {today}: {sum(one.over_at is None for one in ordered)} open",
        body="\n".join(lines),
        due_at=now,
        made_at=now,
    )
