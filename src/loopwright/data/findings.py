"""What a check of data finds: a value, never an exception. Whoever ran the check decides what stops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    ERROR = "error"
    """The run stops."""
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found, with the number it was found by and the limit that number passed."""

    kind: str
    """`no rows`, `one label`, `leak`, `constant`, `all missing`."""
    severity: Severity
    message: str
    fix: str
    column: str | None = None
    number: float | None = None
    limit: float | None = None

    def __str__(self) -> str:
        return f"{self.severity.value}: {self.message}\n    to do: {self.fix}"


def errors(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.ERROR]
