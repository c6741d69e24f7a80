"""That a loop learns again: for which cause, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any


class RetrainingStatus(Enum):
    CLAIMED = "claimed"
    """Decided; its run may have begun, and is found by the name it was given."""
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    """The gates said no."""
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        return self is not RetrainingStatus.CLAIMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """One cause makes one run, whoever sees it first; a loop has one that is not final, at most."""

    id: str
    """Sorts by time."""
    loop: str
    cause: str
    """What happened, by name: `drift:2013-06-01`, `every:2013-07-01T00:00:00Z`. Once in a loop, for good."""
    trigger: str
    """Which declared trigger it was: `on_drift`, `on_decay`, `every`, `on_new_data`, `by hand`, `new code`."""
    reason: str
    """With the numbers."""
    fine_tune: bool
    """Whether training starts from the champion; from scratch otherwise."""
    deployment: int
    """Which code runs."""
    status: RetrainingStatus
    run_id: str | None = None
    version: int | None = None
    """The one it made, accepted or rejected."""
    error: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime
    created_by: str
    finished_at: datetime | None = None
