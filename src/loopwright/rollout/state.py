"""Where a release stands: everything the controller needs to go on, whatever is killed. Stored with every batch of
facts, for evidence that is lost begins anew."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from loopwright.core.plain import plain, restored
from loopwright.errors import DataError
from loopwright.evidence.events import Evidence, Hypothesis, paired
from loopwright.evidence.sequence import Moments
from loopwright.rollout.course import GUARDRAILS, Course
from loopwright.rollout.decision import Decision
from loopwright.rollout.facts import Counts, Split

FORMAT = 1
NONE, NOTHING = Counts(), Moments()
SHADOW = -1
"""The stage before the first share."""
_MOST_DECISIONS = 20
"""Of which the state keeps the newest: it is written with every batch. Events keep all of them, with their records."""


class Status(Enum):
    """What one reads: it follows from the stage, the holds and the end."""

    SHADOW = "shadow"
    RAMPING = "ramping"
    HOLDING = "holding"
    WATCHING = "watching"
    """At 100 %, with a small hold-back and a warm champion."""
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    ABORTED = "aborted"


class Holding(Enum):
    """Why a release does not go on."""

    ASKED = "asked"
    PATIENCE = "patience"
    """The stage proved nothing in its time."""
    OVER = "over"
    """The plan ends here: a person decides."""
    RATIO = "ratio"
    """Units do not come to the arms as meant."""
    COVERAGE = "coverage"
    """Labels do not come to the arms alike."""
    UNLIKE = "unlike"
    """It was trained on rows unlike those it is asked about."""
    SCORES = "scores"
    SILENCE = "silence"
    """What happened is not known."""
    TRAFFIC = "traffic"
    LABELS = "labels"
    """None came, although the loop has one."""

    @property
    def stays(self) -> bool:
        """Until somebody resumes; the others end when their cause does."""
        return self not in (Holding.SCORES, Holding.SILENCE, Holding.TRAFFIC, Holding.LABELS)

    @property
    def is_overlooked_for_good(self) -> bool:
        """Once somebody resumed in spite of it: what the version was trained on is the same in every stage."""
        return self is Holding.UNLIKE


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    kind: Holding
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The evidence of one guardrail."""

    name: str
    worse: Evidence
    safe: tuple[Evidence, ...]
    """Against each risk that a stage has to refute, the highest first."""
    unheard: Evidence
    """Of the shadow: the same requests, scored by both."""
    expected: float = 0.0
    """Events of the challenger, were it as good as the champion: by the champion's, at the shares then in force."""
    is_worse: bool = False
    """The evidence was enough once, and the difference worth it. It stays so: the test is valid at every moment."""
    found: tuple[float, ...] = ()
    """At that moment: the challenger's events, and those to be expected of it. Empty where a shadow said so."""

    @classmethod
    def of(cls, name: str, course: Course) -> Guard:
        return cls(
            name=name,
            worse=Evidence.none(Hypothesis.no_worse()),
            safe=tuple(Evidence.none(Hypothesis.not_safe(risk)) for risk in course.risks),
            unheard=Evidence.none(paired()),
        )

    def against(self, risk: float) -> Evidence:
        return next(one for one in self.safe if one.hypothesis.risk == risk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """An outcome in the stage in force: stages are never added up, for share and mean move together."""

    name: str
    challenger: Moments = NOTHING
    champion: Moments = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseState:
    """Of one release of one loop. Raises `DataError` when another format is read.

    `stage` is SHADOW, then the index of the course's stage, then as many as there are stages: watching.
    """

    loop: str
    challenger: int
    champion: int | None
    begun_at: datetime
    stage: int
    stage_begun_at: datetime
    share: float
    """Of the challenger, in force."""
    guards: tuple[Guard, ...]
    requests: Counts = NONE
    """Of the whole ramp."""
    in_stage: Counts = NONE
    scored: int = 0
    """In the shadow."""
    units: tuple[Split, ...] = ()
    labels: Counts = NONE
    """That came so far, mature or not: where some did, the others are waited for."""
    mature: Counts = NONE
    """Predictions whose label counts, by the version that was heard."""
    labelled: tuple[Split, ...] = ()
    """Units with a label at the age at which all are compared."""
    successes: int = 0
    failures: int = 0
    """Of the challenger, while the champion did not fail as well."""
    in_a_row: int = 0
    """Of those, up to now."""
    longest: int = 0
    champion_well: int = 0
    """Requests of the champion that were answered since the challenger's last success, about."""
    champion_badly: int = 0
    crashes: int = 0
    outcomes: tuple[Compared, ...] = ()
    known_until: datetime | None = None
    has_label: bool = False
    """Whether what is predicted comes true some day: then a release does not end before labels came."""
    cursor: str = ""
    holds: tuple[Hold, ...] = ()
    overlooked: tuple[Holding, ...] = ()
    """What somebody resumed in spite of: in this stage, or for good."""
    watches: bool = False
    """Whether the challenger has taken over, and the former champion stays warm."""
    ended: Status | None = None
    decisions: tuple[Decision, ...] = ()
    """The newest moves, first to last."""
    moves: int = 0
    """How many there were."""
    format: int = field(default=FORMAT)

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise DataError(
                f"a release of format {self.format}, and this Loopwright reads {FORMAT}",
                fix="go on with the version that wrote it, or abort and begin anew",
            )

    @property
    def status(self) -> Status:
        if self.ended is not None:
            return self.ended
        if self.holds:
            return Status.HOLDING
        if self.stage == SHADOW:
            return Status.SHADOW
        return Status.WATCHING if self.watches else Status.RAMPING

    def guard(self, name: str) -> Guard:
        return next(one for one in self.guards if one.name == name)

    def elapsed(self, now: datetime) -> timedelta:
        """In the stage; none where the clock was set back."""
        return max(now - self.stage_begun_at, timedelta(0))

    def after(self, move: Decision) -> ReleaseState:
        """With one move more."""
        decisions = (*self.decisions, move)[-_MOST_DECISIONS:]
        return replace(self, decisions=decisions, moves=max(self.moves, len(self.decisions)) + 1)

    def to_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = plain(self)
        return told

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> ReleaseState:
        """Raises `DataError` for what `to_dict` did not make."""
        return restored(cls, found)

    def enter(self, stage: int, share: float, now: datetime) -> ReleaseState:
        """With what is counted by stage begun anew. Who goes on though it holds overlooks what holds it."""
        known = dict.fromkeys((*self.overlooked, *(hold.kind for hold in self.holds)))
        return replace(
            self,
            stage=stage,
            share=share,
            stage_begun_at=now,
            in_stage=Counts(),
            outcomes=tuple(Compared(name=one.name) for one in self.outcomes),
            holds=(),
            overlooked=tuple(kind for kind in known if kind.is_overlooked_for_good),
        )


def guards(course: Course) -> tuple[Guard, ...]:
    """One for each guardrail, of nothing seen."""
    return tuple(Guard.of(name, course) for name in GUARDRAILS)
