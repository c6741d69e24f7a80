"""How late a label may come: what a deployed loop says of it, and what holds where none does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from loopwright.core.duration import duration

USUAL = "7d"
"""As it is written in a loop file."""
LABELS_WITHIN = duration(USUAL, "labels_within")


def labels_within(spec: Mapping[str, Any]) -> timedelta:
    """Of a deployment's spec.

    >>> labels_within({"monitor": {"labels_within": 86400.0}}).days, labels_within({}).days
    (1, 7)
    """
    seconds = (spec.get("monitor") or {}).get("labels_within")
    return timedelta(seconds=seconds) if isinstance(seconds, int | float) and seconds > 0 else LABELS_WITHIN
