"""What a monitor found in one window: a number, its limit, and what it stands on; also that data are too few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any


class Level(Enum):
    FINE = "fine"
    UNKNOWN = "not enough data"
    """The reason says how much is missing."""
    NOTICED = "noticed"
    """Beyond the limit, and not yet certain: once, or with effect and no proof."""
    ALARMED = "alarmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One monitor's answer about one subject in one window of event time. Told again for the same window, the newer one
    stands: labels come late."""

    loop: str
    monitor: str
    """`operation`, `input`, `drift`, `skew`, `prediction`, `quality`, `estimate`, `staleness`, `outcome`."""
    subject: str
    """What it is about: a column, a slice (`carrier=UA`), a metric; `all` for the whole window."""
    version: int | None
    """Whose answers; None for all."""
    since: datetime
    until: datetime
    """Event time, not included."""
    known_at: datetime
    """As known then."""
    level: Level
    measure: str
    """What `number` is: `psi`, `roc_auc`, `error_share`, `latency_p99_ms`, ..."""
    number: float | None = None
    limit: float | None = None
    reason: str
    """One sentence with the numbers; what is missing where there is not enough data."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """Rows, intervals, p-values: enough to check it."""
