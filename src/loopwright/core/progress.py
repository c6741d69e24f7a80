"""How far something that reads on and on has got: one JSON value by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Changed only from the number that was read, so that of two that go on at once one wins."""

    name: str
    """`monitor:late-arrivals`, `retrain:late-arrivals`, `alerts`."""
    value: Mapping[str, Any]
    number: int = 0
    """Rises from 1 with every change; 0 before it is stored."""
