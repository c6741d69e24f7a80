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
        self._events: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        self._units: dict[float, list[int]] = defaultdict(lambda: [0, 0])
        self._ended: tuple[list[tuple[str, bool]], list[tuple[str, bool]]] = ([], [])
        self._paired: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._outcomes: dict[tuple[str, float], tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))

    def event(self, guardrail: str, share: float, *, is_canary: bool) -> None:
        self._events[guardrail].append((share, is_canary))

    def unit(self, share: float, *, is_canary: bool) -> None:
        self._units[share][not is_canary] += 1

    def ended(self, unit: str, *, is_well: bool, is_canary: bool) -> None:
        self._ended[not is_canary].append((unit, is_well))

    def pair(self, guardrail: str, *, is_challenger: bool) -> None:
        self._paired[guardrail][not is_challenger] += 1

    def outcome(self, name: str, share: float, value: float, *, is_canary: bool) -> None:
        self._outcomes[name, share][not is_canary].append(value)

    def facts(self, now: datetime, *, known_until: datetime | None, cursor: str, score_drift: str) -> Facts:
        return Facts(
            now=now,
            known_until=known_until,
            cursor=cursor,
            requests=Counts(canary=self.requests[0], champion=self.requests[1]),
            scored=self.scored,
            events=tuple(_events(name, self._events[name]) for name in GUARDRAILS if name in self._events),
            units=tuple(
                Split(share=share, units=Counts(canary=found[0], champion=found[1]))
                for share, found in sorted(self._units.items())
            ),
            row=Row.of(self._ended[0]),
            champion_row=Row.of(self._ended[1]),
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
        )


def _events(name: str, found: list[tuple[float, bool]]) -> Events:
    shares, canary = zip(*found, strict=True)
    return Events(guardrail=name, shares=shares, canary=canary)
