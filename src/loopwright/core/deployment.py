"""A loop file as it is deployed: its code, its environment and its settings, as one version of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """New code makes a new deployment; new data makes a new version of the model, and no deployment."""

    loop: str
    number: int = 0
    """Rises from 1 within the loop; 0 before it is stored."""
    file: str
    """The loop file, relative to the root of the code."""
    code: str
    """Digest of the artifact: a zip of the project's sources."""
    environment: str
    """Digest of the artifact: what was installed, with exact versions."""
    settings: Mapping[str, Any]
    """Those that were chosen, as its runs get them."""
    spec: Mapping[str, Any]
    """What the loop declares, as plain values: table, judge, release, retrain, monitor. Read by what acts on it without
    running the loop's code."""
    git_commit: str | None = None
    created_at: datetime
    created_by: str
    is_in_force: bool = False
    """Filled when read."""

    @property
    def name(self) -> str:
        return f"{self.loop} deployment {self.number}"
