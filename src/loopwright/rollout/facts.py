"""What was seen since the controller last looked. Plain values: whoever reads the prediction log and the labels makes
them, and the controller believes them.

Of a unit (a user, an entity) only the first event counts, once in a release and for each guardrail; and a unit counts
for the sample ratio once, at its first request. Each is told with the share in force when the request was answered,
however late its label came.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from loopwright.evidence.sequence import Moments


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """First events of units under one guardrail, in order: of each, the share in force, and whether the challenger
    answered."""

    guardrail: str
    shares: tuple[float, ...] = ()
    canary: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Of requests or units, by the arm that answered."""

    canary: int = 0
    champion: int = 0

    def plus(self, other: Counts) -> Counts:
        return Counts(canary=self.canary + other.canary, champion=self.champion + other.champion)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Units first seen while the challenger answered `share`."""

    share: float
    units: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How the challenger's requests ended one after another: enough to know the longest row of failures, also when it
    began before. A unit that fails again at once adds nothing, for one broken client is no broken version.

    >>> first = Row.of([("ann", True), ("bob", False)])
    >>> first.then(Row.of([("cid", False), ("cid", False), ("dan", False)])).longest
    3
    """

    successes: int = 0
    failures: int = 0
    begins: int = 0
    """Failures before the first success."""
    ends: int = 0
    """Failures after the last."""
    longest: int = 0

    @classmethod
    def of(cls, requests: Iterable[tuple[str, bool]]) -> Row:
        """From the unit of each request, in order, and whether it was answered well."""
        found, last = cls(), None
        for unit, is_well in requests:
            if is_well or unit != last:
                found = found.then(_SUCCESS if is_well else _FAILURE)
            last = None if is_well else unit
        return found

    def then(self, later: Row) -> Row:
        joined = self.ends + later.begins
        return Row(
            successes=self.successes + later.successes,
            failures=self.failures + later.failures,
            begins=self.begins if self.successes else joined,
            ends=later.ends if later.successes else joined,
            longest=max(self.longest, later.longest, joined),
        )


_SUCCESS, _FAILURE = Row(successes=1), Row(failures=1, begins=1, ends=1, longest=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Of requests that both versions scored: how often exactly one of them ended badly, and which."""

    guardrail: str
    challenger: int = 0
    champion: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A business outcome of units, both arms, while the challenger answered `share`."""

    name: str
    share: float
    challenger: Moments
    champion: Moments


class Move(Enum):
    """What a person may ask for."""

    HOLD = "hold"
    RESUME = "resume"
    ABORT = "abort"
    PROMOTE = "promote"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """By whom, and why."""

    move: Move
    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything new since the facts before. `now` is the clock's, whatever it says."""

    now: datetime
    known_until: datetime | None = None
    """Up to when what happened is known; None where nothing could be read."""
    cursor: str = ""
    """Where the reader got to. It is stored with the state, so that nothing is counted twice."""
    requests: Counts = Counts()
    """Answered in the stage in force."""
    scored: int = 0
    """Requests that a challenger in the shadow scored beside the champion."""
    events: tuple[Events, ...] = ()
    units: tuple[Split, ...] = ()
    labels: Counts = Counts()
    """That came of what was predicted in the release, mature or not."""
    mature: Counts = Counts()
    """Predictions whose label counts."""
    labelled: tuple[Split, ...] = ()
    """Units by their first prediction that had its label at the age at which all are compared."""
    row: Row = Row()
    """Of the challenger, in the ramp."""
    champion_row: Row = Row()
    crashes: int = 0
    """Of the challenger: its process ended, or it could not be loaded."""
    paired: tuple[Paired, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    score_drift: str = ""
    """Of the challenger's scores against the champion's, in words; empty where there is none."""
    score_near: str = ""
    """The same, once it is near the limit: what holds because of it holds until this is empty."""
    skewed: str = ""
    """Columns asked that are unlike the challenger's training rows and not unlike the champion's, in words."""
    asked: Asked | None = None
