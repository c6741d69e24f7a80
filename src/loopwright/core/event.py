"""What happened: who did it, what, when and why. The events of a store are its audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Who asks for a change, when, and why. Every write to a store takes one."""

    actor: str
    """A person (`user@host`) or a part of the system (`worker`, `supervisor`)."""
    at: datetime
    """Aware, UTC."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change of state, written in the same transaction as the change."""

    kind: str
    """Past tense: `RunRequested`, `StepRan`."""
    subject: str
    """What changed, as `noun:id`: `run:20260314-092653-zb2k9c`."""
    cause: Cause
    data: Mapping[str, Any] = field(default_factory=dict)
    """The rest, as JSON."""
    number: int = 0
    """Position in the trail: rises by the order of commits; 0 before it is written."""
