"""What an evaluation and a comparison found, as values that go to JSON and back. Nothing heavy may be imported."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from loopwright.errors import DataError

FORMAT = 1
"""Version of the JSON; a reader refuses a newer one."""
Value = str | int | float | bool | None
"""What a slice's column may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A metric's value and interval; no value, with the reason, where it is undefined."""

    metric: str
    value: float | None = None
    low: float | None = None
    """Lower end of the interval; None where there is none."""
    high: float | None = None
    reason: str = ""
    """Why the value or the interval is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The rows on which some columns have these values."""

    columns: tuple[str, ...]
    values: tuple[Value, ...]
    rows: int
    positives: int | None
    """Rows labelled 1; None unless binary."""
    is_enough: bool
    """Whether there is data enough to measure; `metrics` is empty where not."""
    metrics: tuple[Measured, ...] = ()
    reason: str = ""

    @property
    def name(self) -> str:
        """`carrier=AA, origin=JFK`."""
        return ", ".join(f"{column}={value}" for column, value in zip(self.columns, self.values, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """How far a metric's best slice is above its worst, over the slices that have data enough."""

    columns: tuple[str, ...]
    measured: Measured
    best: str = ""
    worst: str = ""
    slices: int = 0
    """How many slices had data enough."""
    left_out: int = 0
    """How many had not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """How far the metric falls where an input's values are shuffled among the rows."""

    column: str
    drop: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Importances:
    """Of a model's inputs, largest first, on so many rows."""

    metric: str
    rows: int
    columns: tuple[Importance, ...]
    left_out: int = 0
    """Inputs that were not tried, for there are very many; or without which the metric has no value."""

    def shares(self) -> dict[str, float]:
        """Beside the input that matters most: 1 for that, 0 for one that does nothing. Empty where none matters."""
        most = max((one.drop for one in self.columns), default=0.0)
        return {one.column: max(one.drop, 0.0) / most for one in self.columns} if most > 0 else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How good one model is on one set of rows."""

    task: str
    rows: int
    positives: int | None
    is_weighted: bool
    level: float
    """Of the intervals, as a share: 0.95."""
    draws: int
    seed: int
    least_rows: int
    """A slice of fewer rows is not measured."""
    metrics: tuple[Measured, ...]
    slices: tuple[Slice, ...] = ()
    gaps: tuple[Gap, ...] = ()
    importance: Importances | None = None
    """None where it was not measured, as in older ones."""
    format: int = FORMAT

    def metric(self, name: str) -> Measured | None:
        """The metric over all rows; None where it was not measured."""
        return next((one for one in self.metrics if one.metric == name), None)

    def gap(self, name: str, columns: tuple[str, ...]) -> Gap | None:
        """The gap of a metric between the slices of these columns; None where it was not measured."""
        return next((one for one in self.gaps if one.columns == columns and one.measured.metric == name), None)

    def to_json(self) -> str:
        """As JSON text, one object; `from_json` reads it back equal."""
        return to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Evaluation:
        """Raises `DataError` for text that is no evaluation, or of a newer format."""
        found = read_json(text, "evaluation")
        with_slices = [
            Slice(**{**one, "columns": tuple(one["columns"]), "values": tuple(one["values"]), "metrics": _each(one)})
            for one in found["slices"]
        ]
        gaps = [
            Gap(**{**one, "columns": tuple(one["columns"]), "measured": Measured(**one["measured"])})
            for one in found["gaps"]
        ]
        told = {"metrics": _each(found), "slices": tuple(with_slices), "gaps": tuple(gaps)}
        return cls(**{**found, **told, "importance": _importance(found.get("importance"))})


class Outcome(Enum):
    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE_SHOWN = "no difference shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A metric of challenger and champion on the same rows. The difference is challenger minus champion; of a metric
    that is best at zero, of the absolute values."""

    metric: str
    champion: float | None
    challenger: float | None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    outcome: Outcome = Outcome.NO_DIFFERENCE_SHOWN
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Challenger against champion, on the same rows under the same resamples."""

    rows: int
    level: float
    draws: int
    seed: int
    differences: tuple[Difference, ...]
    format: int = FORMAT

    def difference(self, name: str) -> Difference | None:
        """Of that metric; None where it was not compared."""
        return next((one for one in self.differences if one.metric == name), None)

    def to_json(self) -> str:
        """As JSON text, one object; `from_json` reads it back equal."""
        return to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        """Raises `DataError` for text that is no comparison, or of a newer format."""
        found = read_json(text, "comparison")
        each = tuple(Difference(**{**one, "outcome": Outcome(one["outcome"])}) for one in found["differences"])
        return cls(**{**found, "differences": each})


def _importance(found: Mapping[str, Any] | None) -> Importances | None:
    if found is None:
        return None
    return Importances(**{**found, "columns": tuple(Importance(**one) for one in found["columns"])})


def _each(found: Mapping[str, Any]) -> tuple[Measured, ...]:
    return tuple(Measured(**one) for one in found["metrics"])


def to_json(value: Any) -> str:
    """A frozen value as JSON with sorted keys: equal values give equal bytes. NaN and infinity are refused."""
    return json.dumps(asdict(value), default=_plain, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{value!r} is no JSON value")


def read_json(text: str, what: str) -> dict[str, Any]:
    """The object in the text, of a format this version reads."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DataError(f"the {what} is no JSON: {error}", fix=f"give the text that {what}.to_json() wrote") from None
    if not isinstance(found, dict) or not isinstance(found.get("format"), int):
        raise DataError(f"the text is no {what}: it names no format", fix=f"give what {what}.to_json() wrote")
    if found["format"] > FORMAT:
        raise DataError(
            f"the {what} is of format {found['format']}, newer than {FORMAT}", fix="read it with a newer Loopwright"
        )
    return found


def number(value: float | None) -> str:
    """For people: four decimals, fewer where the number is large.

    >>> number(0.68123456), number(1234.5), number(None)
    ('0.6812', '1234.5', '-')
    """
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 100 and not 0 < abs(value) < 1e-3 else f"{value:.6g}"


def interval(low: float | None, high: float | None) -> str:
    """For people: `[0.6701, 0.6954]`; a dash where there is none."""
    if low is None or high is None or math.isnan(low):
        return "-"
    return f"[{number(low)}, {number(high)}]"
