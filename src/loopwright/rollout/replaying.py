"""Every move of a release, decided again from what its event says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loopwright.core.event import Event
from loopwright.core.plain import plain, restored
from loopwright.core.release import Release
from loopwright.core.stores import Stores
from loopwright.rollout.controller import begin
from loopwright.rollout.decision import Decision, code_version
from loopwright.rollout.replay import Record, plan_from_dict, replay
from loopwright.rollout.routing import MOVED

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """One move, then and now."""

    at: datetime
    verdict: str
    """As it was."""
    difference: str
    """What comes out otherwise; empty where all is the same. Other code may say the same in other words."""
    is_same_code: bool
    is_decided: bool = True
    """False of what nobody decided: a route that was changed by hand."""

    @property
    def is_same(self) -> bool:
        return not self.difference

    @property
    def told(self) -> str:
        if not self.is_decided:
            return "by hand"
        return "the same" if self.is_same else "otherwise"

    def plain(self) -> dict[str, Any]:
        told = {"at": self.at.isoformat(), "verdict": self.verdict, "is_same": self.is_same}
        return told | {"difference": self.difference, "is_same_code": self.is_same_code}


def replayed(stores: Stores, release: Release) -> Sequence[Again]:
    """In order. Raises DataError for a record that this Loopwright cannot read."""
    return [_again(event, release) for event in _moves(stores, release)]


def _moves(stores: Stores, release: Release) -> Iterator[Event]:
    after = 0
    while page := stores.events.list(subject=f"loop:{release.loop}", after=after, limit=_PAGE):
        after = page[-1].number
        yield from (one for one in page if one.kind == MOVED and one.data.get("release") == release.id)


def _again(event: Event, release: Release) -> Again:
    data = event.data
    if "decision" not in data:
        return Again(
            at=event.cause.at, verdict=str(data["verdict"]), difference="", is_same_code=True, is_decided=False
        )
    then = restored(Decision, data["decision"])
    now = _decided(data, release, then)
    is_same_code = then.code == code_version()
    passed = {"code"} if is_same_code else {"code", "reason"}
    changed = {
        name: (was, plain(now)[name])
        for name, was in plain(then).items()
        if name not in passed and plain(now)[name] != was
    }
    told = "; ".join(f"{name} was {was!r} and is {comes!r}" for name, (was, comes) in changed.items())
    return Again(at=then.at, verdict=then.verdict.value, difference=told, is_same_code=is_same_code)


def _decided(data: Mapping[str, Any], release: Release, then: Decision) -> Decision:
    if "facts" not in data:
        plan = plan_from_dict(dict(data["plan"]))
        known = {"loop": release.loop, "challenger": release.challenger, "champion": release.champion}
        return begin(plan, **known, at=then.at)[1]  # type: ignore[arg-type]
    return replay(Record.from_dict({name: data[name] for name in ("plan", "before", "facts", "decision")}))
