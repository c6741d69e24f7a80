"""What was decided, by which numbers and by which code: enough to decide it again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path


class Verdict(Enum):
    """What is to be done. All but STAY are moves: events, with reason and evidence."""

    STAY = "stay"
    BEGIN = "begin"
    RAMP = "ramp"
    HOLD = "hold"
    RESUME = "resume"
    PROMOTE = "promote"
    """The challenger takes over; a former champion may stay warm."""
    FINISH = "finish"
    """The former champion may go."""
    ROLL_BACK = "roll back"
    ABORT = "abort"
    OVERTAKEN = "overtaken"
    """Somebody changed the route himself: nothing was decided, and the release is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What one guardrail says. In the shadow, events are of requests of which exactly one version's ended badly."""

    name: str
    canary: int
    champion: int
    expected: float
    """Of the canary, were it no worse."""
    excess: float
    """Share of the canary's requests that ended badly beyond the expected."""
    log_e: float
    """Against "no worse". At -log(alpha) it is refuted."""
    alpha: float
    safe_log_e: float | None = None
    """Against "so many times as often, or more"."""
    risk: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """How much higher the challenger's outcome is, at any moment right with probability 1 - alpha; None where units
    are too few."""

    name: str
    low: float | None
    high: float | None
    alpha: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Two are equal when they say the same, whichever code said it."""

    verdict: Verdict
    reason: str
    at: datetime
    stage: int
    """From now on."""
    share: float
    """Of the challenger, from now on."""
    shadows: bool = False
    """Whether the challenger scores beside the champion, unheard."""
    watches: bool = False
    """Whether the challenger is the champion now, and the former one stays warm with the rest of the share."""
    requests: int = 0
    """That the challenger answered so far."""
    grounds: tuple[Ground, ...] = ()
    intervals: tuple[Interval, ...] = ()
    code: str = field(default="", compare=False)
    """Digest of the rules."""


_RULES = ("absorb", "controller", "course", "decision", "facts", "grounds", "holding", "plan", "state")


@cache
def code_version() -> str:
    """Digest of the files that decide: the evidence, and of this folder those that the rules stand in.

    >>> len(code_version())
    16
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    rules = [here / f"{name}.py" for name in _RULES]
    for file in sorted([*rules, *(here.parent / "evidence").glob("*.py")], key=lambda one: one.as_posix()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
