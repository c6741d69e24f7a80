"""API keys: who may ask a gateway for what. The secret itself is nowhere in here, nor in any store."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum


class Scope(Enum):
    """What a key opens. None of them includes another, but `ADMIN` all."""

    VIEW = "view"
    """What is served, and how its rows look."""
    PREDICT = "predict"
    LABEL = "label"
    OPERATE = "operate"
    """Metrics and the state of the process."""
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is kept of a key: enough to recognise it, not enough to use it."""

    id: str
    """Its public part: in listings, in events, in the key itself."""
    name: str
    """What it is for."""
    owner: str
    """Who has it."""
    scopes: frozenset[Scope]
    hash: str = field(repr=False)
    """Of the secret, with salt and parameters: `loopwright.access.keys`."""
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    """None: never."""
    loops: frozenset[str] = frozenset()
    """Those it is good for; empty: all."""
    rate_per_second: float | None = None
    """Requests; None: no limit."""
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """To the hour; None: never yet."""

    def opens(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def is_for(self, loop: str) -> bool:
        return not self.loops or loop in self.loops

    def status_at(self, now: datetime) -> str:
        """`active`, `expired` or `revoked`: once not active, never active again."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"
