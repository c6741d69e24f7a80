"""What a check of data finds: a value, never an exception. Whoever ran the check decides what stops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from loopwright.data.printable import printable


class Severity(Enum):
    ERROR = "error"
    """The run stops."""
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found, with the number it was found by and the limit that number passed."""

    kind: str
    """One of `finding_kinds.KINDS`."""
    severity: Severity
    message: str
    fix: str
    column: str | None = None
    number: float | None = None
    limit: float | str | None = None
    """A time as RFC 3339 text."""
    values: tuple[tuple[str, int], ...] = ()
    """The values it is about, most frequent first, with their counts."""
    accept: str = ""
    """The line of the schema that would accept it; empty where no schema can."""
    examples: tuple[Mapping[str, Any], ...] = ()
    """A few of the rows, where rows were looked at: JSON values by column."""

    def __str__(self) -> str:
        lines = [f"{self.severity.value}: {self.message}", f"    to do: {self.fix}"]
        if self.accept:
            lines.append(f"    to accept: {self.accept}")
        lines += [f"    row: {_row(row)}" for row in self.examples]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON. What is not known is left out."""
        told: dict[str, Any] = {
            "kind": self.kind,
            "severity": self.severity.value,
            "message": self.message,
            "fix": self.fix,
        }
        more = {"column": self.column, "number": self.number, "limit": self.limit, "accept": self.accept}
        told |= {name: value for name, value in more.items() if value not in (None, "")}
        if self.values:
            told["values"] = dict(self.values)
        return told | ({"examples": [dict(row) for row in self.examples]} if self.examples else {})


class Findings(list[Finding]):
    """A list that a notebook shows as a person reads it."""

    def _repr_html_(self) -> str:
        from loopwright.data import report

        return report.findings_html(self)


def errors(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def ranked(findings: Iterable[Finding]) -> Findings:
    """Errors first, then those about the whole, then by column."""
    return Findings(sorted(findings, key=lambda one: (one.severity is not Severity.ERROR, one.column or "", one.kind)))


def report(findings: Iterable[Finding]) -> str:
    """All of them as text, errors first, under a line that counts them.

    >>> print(report([]))
    nothing was found
    """
    listed = ranked(findings)
    if not listed:
        return "nothing was found"
    counts = Counter(finding.severity for finding in listed)
    told = [f"{counts[one]} {one.value}{'' if counts[one] == 1 else 's'}" for one in Severity if counts[one]]
    return "\n".join([", ".join(told), *map(str, listed)])


def _row(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{printable(name)}={_short(value)}" for name, value in row.items())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
