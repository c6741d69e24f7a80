"""What an event of the trail, or a promise that is not kept, is to an incident: whom it concerns, in one sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from loopwright.alerts.burning import Burning
from loopwright.alerts.incident import Happening, Incident, Ledger
from loopwright.alerts.urgency import MOVED, Meaning, Urgency, meanings
from loopwright.core.event import Event
from loopwright.core.stores import Stores
from loopwright.core.version import PROMOTED, ROLLED_BACK
from loopwright.errors import NotFound

_PROMISES = ("availability", "latency")
_MOVES = {"promote": PROMOTED, "roll back": ROLLED_BACK}
_MOST_WORDS = 300
_DAY = timedelta(days=1)


def happenings(event: Event, stores: Stores) -> list[Happening]:
    """What belongs to an incident, and what may be subscribed to; nothing for the steps of runs and for silences."""
    noun, _, rest = event.subject.partition(":")
    found = meanings(event)
    if event.kind.startswith("Step") or (noun == "alerts" and not found):
        return []
    loop = _loop(noun, rest, stores)
    words = defaultdict(str, {**_flat(event.data), "loop": loop, "id": rest})
    heard = [_of(event, loop, means, words) for means in found] or [_of(event, loop, None, words)]
    return [heard[0], *(replace(one, kinds=()) for one in heard[1:])]  # it is subscribed to once


def _of(event: Event, loop: str, means: Meaning | None, words: Mapping[str, str]) -> Happening:
    return Happening(
        at=event.cause.at,
        loop=loop,
        cause=means.cause.format_map(words) if means else "",
        urgency=means.urgency if means else Urgency.DIGEST,
        what=_sentence(event),
        look=means.look.format_map(words) if means else "",
        ends=bool(means and means.ends),
        lasts=bool(means and means.lasts),
        kinds=(event.kind, *_also(event)),
    )


def promises(loop: str, burning: Sequence[Burning], known: Ledger, now: datetime) -> list[Happening]:
    """What burns now and is not known to, and the end of what is known to and does not: it is a state, no event."""
    found = []
    for what in _PROMISES:
        one = next((one for one in burning if one.what == what), None)
        is_open = next((it for it in known.open if it.loop == loop and it.cause == what), None)
        if one is not None and (is_open is None or _is_news(one, is_open, now)):
            found.append(_burns(loop, one, now))
        elif one is None and is_open is not None:
            over = f"{what} is within what was promised again"
            found.append(Happening(at=now, loop=loop, cause=what, urgency=Urgency.DIGEST, what=over, ends=True))
    return found


def _is_news(one: Burning, incident: Incident, now: datetime) -> bool:
    """Once a day also where nothing is, so that it is not forgotten."""
    return one.urgency.rank < incident.urgency.rank or now - incident.last_at >= _DAY


def _burns(loop: str, one: Burning, now: datetime) -> Happening:
    look = f"lw monitor {loop}"
    return Happening(at=now, loop=loop, cause=one.what, urgency=one.urgency, what=str(one), look=look, lasts=True)


def _also(event: Event) -> tuple[str, ...]:
    """A release promotes and takes back as a person does."""
    also = _MOVES.get(str(event.data.get("verdict"))) if event.kind == MOVED else None
    return () if also is None else (also,)


def _loop(noun: str, rest: str, stores: Stores) -> str:
    match noun:
        case "loop":
            return rest
        case "version":
            return rest.partition(":")[0]
        case "run":
            try:
                return stores.runs.get(rest).pipeline
            except NotFound:
                return ""
        case _:
            return ""


def _sentence(event: Event) -> str:
    """The reason, where it was given; else what the data say first."""
    decision = event.data.get("decision")
    told = decision.get("reason") if isinstance(decision, Mapping) else None
    reason = told or event.data.get("reason") or event.cause.reason or event.data.get("error")
    words = str(reason) if reason else ", ".join(f"{name} {value}" for name, value in _flat(event.data).items())
    return f"{event.kind}: {words}"[:_MOST_WORDS] if words else event.kind


def _flat(data: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in data.items() if isinstance(value, str | int | float)}
