"""Facts while they are counted up."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from loopwright.evidence.sequence import Moments
from loopwright.rollout.course import GUARDRAILS
from loopwright.rollout.facts import Counts, Events, Facts, Outcome, Paired, Row, Split


class Tally:
    """Of one batch. First the challenger, then the champion, wherever there are two numbers."""

    def __init__(self) -> None:
        self.requests = [0, 0]
        self.scored = 0
        self.crashes = 0
        self.labels = [0, 0]
        self.mature = [0, 0]
        self._events: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        self._units: dict[float, list[int]] = defaultdict(lambda: [0, 0])
        self._labelled: dict[float, list[int]] = defaultdict(lambda: [0, 0])
        self._ended = (_Ended(), _Ended())
        self._paired: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._outcomes: dict[tuple[str, float], tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))

    def event(self, guardrail: str, share: float, *, is_canary: bool) -> None:
        self._events[guardrail].append((share, is_canary))

    def unit(self, share: float, *, is_canary: bool) -> None:
        self._units[share][not is_canary] += 1

    def labelled(self, share: float, *, is_canary: bool) -> None:
        """A unit, by its first mature prediction with a label."""
        self._labelled[share][not is_canary] += 1

    def ended(self, unit: str, *, is_well: bool, is_canary: bool) -> None:
        self._ended[not is_canary].add(unit, is_well=is_well)

    def pair(self, guardrail: str, *, is_challenger: bool) -> None:
        self._paired[guardrail][not is_challenger] += 1

    def outcome(self, name: str, share: float, value: float, *, is_canary: bool) -> None:
        self._outcomes[name, share][not is_canary].append(value)

    def facts(
        self,
        now: datetime,
        *,
        known_until: datetime | None,
        cursor: str,
        score_drift: str,
        score_near: str = "",
        skewed: str = "",
    ) -> Facts:
        return Facts(
            now=now,
            known_until=known_until,
            cursor=cursor,
            requests=Counts(canary=self.requests[0], champion=self.requests[1]),
            scored=self.scored,
            events=tuple(_events(name, self._events[name]) for name in GUARDRAILS if name in self._events),
            units=_splits(self._units),
            labels=Counts(canary=self.labels[0], champion=self.labels[1]),
            mature=Counts(canary=self.mature[0], champion=self.mature[1]),
            labelled=_splits(self._labelled),
            row=self._ended[0].row,
            champion_row=self._ended[1].row,
            crashes=self.crashes,
            paired=tuple(
                Paired(guardrail=name, challenger=found[0], champion=found[1])
                for name, found in sorted(self._paired.items())
            ),
            outcomes=tuple(
                Outcome(name=name, share=share, challenger=Moments().add(one), champion=Moments().add(other))
                for (name, share), (one, other) in sorted(self._outcomes.items())
            ),
            score_drift=score_drift,
            score_near=score_near,
            skewed=skewed,
        )


class _Ended:
    """How the requests of one version ended, as `Row.of` would say of all of them."""

    def __init__(self) -> None:
        self._ready, self._requests = Row(), list[tuple[str, bool]]()
        self._last: tuple[str, bool] | None = None

    def add(self, unit: str, *, is_well: bool) -> None:
        if is_well or self._last != (unit, False):
            self._requests.append((unit, is_well))
        self._last = (unit, is_well)
        if len(self._requests) >= _AT_ONCE:
            self._ready, self._requests = self.row, []

    @property
    def row(self) -> Row:
        return self._ready.then(Row.of(self._requests))


_AT_ONCE = 10_000


def _splits(found: dict[float, list[int]]) -> tuple[Split, ...]:
    return tuple(
        Split(share=share, units=Counts(canary=counts[0], champion=counts[1]))
        for share, counts in sorted(found.items())
    )


def _events(name: str, found: list[tuple[float, bool]]) -> Events:
    shares, canary = zip(*found, strict=True)
    return Events(guardrail=name, shares=shares, canary=canary)
