"""What a step leaves behind: content that never changes, known by its digest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Kind = Literal["value", "part", "log", "code", "environment", "diff", "bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A piece of stored content and where it came from first."""

    digest: str
    """SHA-256 of the content, 64 hexadecimal digits."""
    kind: Kind
    format: str
    """How the content is written: `json`, `arrow`, `numpy`, `text`, `bytes`, `zip`, `composite`, ..."""
    size_bytes: int
    created_at: datetime
    run_id: str
    step: str | None = None
    parts: tuple[str, ...] = ()
    """Digests of the artifacts that this one is composed of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Content as it lies in the artifact store."""

    digest: str
    size_bytes: int
    modified_at: datetime
