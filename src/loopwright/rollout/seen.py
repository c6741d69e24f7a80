"""What a release remembers of the log while it goes on: whose first events were counted, and what waits for its label.

All of it can be made again by reading the log from the release's beginning, so nothing of it is stored.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice, takewhile
from typing import Any

from loopwright.predictions.labels import Label, key_text
from loopwright.rollout.ranking import Pairs
from loopwright.rollout.scores import Scores
from loopwright.rollout.yardstick import Said

_MOST_OPEN = 500_000
"""Predictions without their label; beyond it those of every other unit are given up, by a hash of its name alone."""
_MOST_LABELS = 200_000
"""Of predictions that have not turned up; beyond it the oldest are forgotten."""


@dataclass(slots=True)
class Open:
    """A request as it was answered, and as the shadow answered it, until its label comes."""

    at: datetime
    unit: str
    share: float = 0.0
    """In force when it was answered; 0 where the challenger was not heard or it is not certain."""
    is_canary: bool = False
    said: Said | None = None
    unheard: Said | None = None
    key: Mapping[str, Any] | None = None
    label: Label | None = None
    """The first that came."""
    outcomes: Mapping[str, float] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    """Where what is said is the probability of the second of two."""


@dataclass(slots=True)
class Seen:
    """Of one release."""

    first: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By guardrail, or outcome: the units that had their first event."""
    met: set[str] = field(default_factory=set)
    """The units that were named, and asked."""
    last_request: str = ""
    """Of those without a named unit, each of which is one of its own."""
    thinned: int = 0
    """How often the units whose labels are waited for were halved."""
    open: dict[str, Open] = field(default_factory=dict)
    """By id, oldest first."""
    told: dict[str, Label] = field(default_factory=dict)
    """Labels by prediction id, of what has not turned up, or lacks the other version's answer."""
    by_key: dict[tuple[str, ...], dict[str, dict[str, None]]] = field(default_factory=dict)
    """For each set of key columns that labels came by: the ids of what is open, by key."""
    told_by_key: dict[tuple[str, ...], dict[str, Label]] = field(default_factory=lambda: defaultdict(dict))
    errors: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    """Of the champion, until its limit is frozen."""
    scores: Scores = field(default_factory=Scores)
    """Of the stretch in force."""
    stretch: int = -1
    pairs: Pairs = field(default_factory=Pairs)
    """Labelled rows that wait for one of the other class."""
    answers: dict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    """Latencies that were measured, by stretch: of the champion and the challenger."""

    def is_warm(self, stretch: int, cold: int, *, is_canary: bool) -> bool:
        """Whether each version had answered more than so often under this share, once this answer is counted."""
        counts = self.answers[stretch]
        counts[is_canary] += 1
        return min(counts) > cold

    def is_first(self, name: str, unit: str) -> bool:
        """Whether this unit had no such event before; it has now."""
        units = self.first[name]
        if unit in units:
            return False
        units.add(unit)
        return True

    def is_new(self, unit: str, *, is_named: bool) -> bool:
        """Whether this is the unit's first request."""
        if not is_named:
            is_new, self.last_request = unit != self.last_request, unit
            return is_new
        if unit in self.met:
            return False
        self.met.add(unit)
        return True

    def keep(self, identity: str, one: Open) -> None:
        """An answer that waits for its label."""
        self.open[identity] = one
        for columns, index in self.by_key.items():
            if one.key and one.key.keys() >= set(columns):
                index.setdefault(key_text(one.key, columns), {})[identity] = None

    def label_of(self, identity: str, key: Mapping[str, Any] | None) -> Label | None:
        """One that came before the prediction did."""
        found = self.told.get(identity)
        if found is not None or not key:
            return found
        for columns, named in self.told_by_key.items():
            if key.keys() >= set(columns) and (told := named.get(key_text(key, columns))) is not None:
                return told
        return None

    def labelled_by(self, label: Label) -> Iterator[str]:
        """The ids of what is open that the label is of."""
        if label.prediction_id is not None:
            yield label.prediction_id
        elif label.key is not None:
            columns = tuple(sorted(label.key))
            if columns not in self.by_key:
                self._index(columns)
            yield from self.by_key[columns].get(key_text(label.key, columns), ())

    def put_aside(self, label: Label) -> None:
        if label.prediction_id is not None:
            self.told[label.prediction_id] = label
        elif label.key is not None:
            columns = tuple(sorted(label.key))
            self.told_by_key[columns][key_text(label.key, columns)] = label

    def is_sampled(self, unit: str) -> bool:
        """
        >>> sum(Seen(thinned=2).is_sampled(f"unit-{number}") for number in range(1000))
        250
        """
        return not self.thinned or not zlib.crc32(unit.encode()) & ((1 << self.thinned) - 1)

    def drop(self, identity: str) -> None:
        """It waits for nothing more."""
        one = self.open.pop(identity)
        for columns, index in self.by_key.items():
            if one.key and one.key.keys() >= set(columns):
                name = key_text(one.key, columns)
                named = index.get(name, {})
                named.pop(identity, None)
                if not named:
                    index.pop(name, None)

    def forget(self, before: datetime) -> None:
        """What waits for longer waits in vain."""
        for identity, _ in list(takewhile(lambda item: item[1].at < before, self.open.items())):
            self.drop(identity)
        self.pairs.forget(before)
        self.bound()

    def thin(self) -> None:
        """Of too many those of some units are waited for."""
        while len(self.open) > _MOST_OPEN:
            self.thinned += 1
            for identity in [name for name, one in self.open.items() if not self.is_sampled(one.unit)]:
                self.drop(identity)

    def bound(self) -> None:
        """Labels of what does not turn up: the oldest go."""
        for kept in (self.told, *self.told_by_key.values()):
            for name in list(islice(kept, max(0, len(kept) - _MOST_LABELS))):
                del kept[name]

    def _index(self, columns: tuple[str, ...]) -> None:
        index = self.by_key[columns] = {}
        for identity, one in self.open.items():
            if one.key and one.key.keys() >= set(columns):
                index.setdefault(key_text(one.key, columns), {})[identity] = None
