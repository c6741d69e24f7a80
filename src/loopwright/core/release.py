"""A release of a version, as the store keeps it. What its plan and its state say, `rollout` knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version on its way beside the champion: begun, moved by evidence or by a person, and ended.

    A loop has one that has not ended, at most.
    """

    id: str
    """Sorts by time."""
    loop: str
    challenger: int
    champion: int | None
    """As it began; None where there was none."""
    plan: Mapping[str, Any]
    state: Mapping[str, Any]
    """Everything the controller needs to go on, with how far it has read."""
    status: str
    """What `state` comes to, for whoever lists releases."""
    route: int | None
    """The revision of the route that it wrote last: another one in force was put there by somebody else."""
    number: int = 0
    """Rises from 1 with every change of this record; 0 before it is stored."""
    created_at: datetime
    created_by: str
    ended_at: datetime | None = None
