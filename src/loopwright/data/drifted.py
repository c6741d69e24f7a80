"""What a comparison of two profiles says: values, their JSON, and how they read. Nothing here computes a distance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from loopwright.data.printable import printable
from loopwright.errors import DataError

FORMAT = 1
"""Version of the JSON; a reader refuses another."""


class Standing(Enum):
    """What is said of a column, the most urgent first."""

    DRIFTED = "drifted"
    """In this window and in the one before."""
    SUSPECTED = "suspected"
    NOT_ENOUGH = "not enough data"
    """Nothing seen in too few rows."""
    STEADY = "steady"
    NOT_COMPARED = "not compared"

    def __str__(self) -> str:
        return self.value


_URGENCY = {standing: at for at, standing in enumerate(Standing)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A value, a stretch of numbers, or what is missing: its share of rows in the reference, and now."""

    value: str
    before: float
    after: float

    def __str__(self) -> str:
        return f"{printable(self.value)}: {self.before:.1%} → {self.after:.1%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDrift:
    """One column, in the reference and now."""

    name: str
    kind: str
    standing: Standing
    effect: float
    """Jensen-Shannon distance beyond what chance adds on average, 0 to 1."""
    floor: float
    noise: float
    """What chance alone reaches in one of a hundred columns of these sizes: a smaller drift cannot have been seen."""
    p: float
    """The probability of a difference this large without drift."""
    false_discovery_rate: float
    """The same, adjusted for all the columns that were compared."""
    distances: Mapping[str, float]
    """As they are, chance included: l_infinity, absolute_difference, jensen_shannon, psi, chi2; of numbers also
    kolmogorov_smirnov and wasserstein (in standard deviations of the reference)."""
    missing: tuple[float, float] | None = None
    """Shares of rows without a value."""
    median: tuple[float, float] | None = None
    moved: tuple[Moved, ...] = ()
    """Most moved first, at most three."""
    importance: float | None = None
    reason: str = ""
    """Why it was not compared."""

    @property
    def weight(self) -> float:
        """What the ranking goes by."""
        return self.effect if self.importance is None else self.effect * self.importance

    def rank(self) -> tuple[int, float, str]:
        """Most urgent first."""
        return _URGENCY[self.standing], -self.weight, self.name

    def __str__(self) -> str:
        name = printable(self.name)
        if self.reason:
            return f"{name} ({self.kind}): {self.standing}: {self.reason}"
        told = [f"{name} ({self.kind}): {self.standing}, effect {self.effect:.3f}"]
        told.append(f"limit {max(self.floor, self.noise):.3f}")
        if self.median is not None and self.kind != "time" and self.median[0] != self.median[1]:
            told.append(f"median {self.median[0]:g} → {self.median[1]:g}")
        told += [str(one) for one in self.moved[:2] if self.standing in (Standing.DRIFTED, Standing.SUSPECTED)]
        return "; ".join(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """All columns of a comparison, the most urgent first."""

    reference_rows: int
    current_rows: int
    least_rows: int
    """Of either side, before steady can be said."""
    columns: tuple[ColumnDrift, ...]
    format: int = FORMAT

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        return self._with(Standing.DRIFTED)

    @property
    def suspected(self) -> tuple[ColumnDrift, ...]:
        return self._with(Standing.SUSPECTED)

    @property
    def standing(self) -> Standing:
        """The most urgent of all columns'."""
        return min((one.standing for one in self.columns), key=_URGENCY.__getitem__, default=Standing.NOT_COMPARED)

    @property
    def more_rows(self) -> int:
        """So many are missing before steady can be said."""
        return max(self.least_rows - min(self.reference_rows, self.current_rows), 0)

    def column(self, name: str) -> ColumnDrift:
        """Raises `LookupError`."""
        found = next((one for one in self.columns if one.name == name), None)
        if found is None:
            raise LookupError(name)
        return found

    def to_json(self) -> str:
        """Equal answers give equal bytes."""
        told = asdict(self)
        for one in told["columns"]:
            one["standing"] = one["standing"].value
        return json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Drift:
        """Raises `DataError` for text that is none, or of another format."""
        try:
            found = json.loads(text)
            if found["format"] != FORMAT:
                raise DataError(f"the drift has format {found['format']}, not {FORMAT}", fix="compare the rows again")
            return cls(**{**found, "columns": tuple(map(_column, found["columns"]))})
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"the text is no drift: {error!r}", fix="give what Drift.to_json() wrote") from None

    def __str__(self) -> str:
        rows = f"{self.current_rows:,} rows against {self.reference_rows:,}"
        counts = {one: len(self._with(one)) for one in Standing}
        told = ", ".join(f"{count} {standing}" for standing, count in counts.items() if count)
        more = f"\n{self.more_rows:,} more rows are needed to say that nothing moved" if self.more_rows else ""
        shown = [one for one in self.columns if one.standing is not Standing.STEADY]
        return "\n".join([f"{rows}: {told or 'no columns'}{more}", *(f"  {one}" for one in shown)])

    def _repr_html_(self) -> str:
        from loopwright.data import report

        return report.drift_html(self)

    def _with(self, standing: Standing) -> tuple[ColumnDrift, ...]:
        return tuple(one for one in self.columns if one.standing is standing)


def _column(found: Mapping[str, Any]) -> ColumnDrift:
    made = {**found, "standing": Standing(found["standing"]), "moved": tuple(Moved(**one) for one in found["moved"])}
    for name in ("missing", "median"):
        made[name] = None if found[name] is None else tuple(found[name])
    return ColumnDrift(**made)
