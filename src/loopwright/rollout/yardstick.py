"""What a prediction says, and whether a label says that it was wrong: one rule for both versions.

A class is wrong where it is not the label. Of two classes with probabilities, a prediction says the second where its
probability is at least the share of it in the champion's training data: where one class is rare a model that is right
to doubt would say the other one always, and nothing could be told of it. A number is wrong where it is further from the
label than nine in ten of the champion's first ones were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from loopwright.core.stores import Stores
from loopwright.core.version import Version
from loopwright.errors import DataError, NotFound

Said = str | float
"""A class as text, or a number."""
FIRST_ERRORS = 500
"""Of the champion, by which its limit is set, where predictions are numbers."""
FIRST_LATENCIES = 1_000
_FAR, _SLOW = 0.9, 0.99


class Answer(Protocol):
    """What of a line matters here."""

    @property
    def label(self) -> str | int | bool | None: ...
    @property
    def probabilities(self) -> Mapping[str, float] | None: ...
    @property
    def value(self) -> float | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """Limits are frozen once they are known."""

    shares: Mapping[str, float] = field(default_factory=dict)
    """Of the classes in the champion's training data; none where they are not known."""
    wrong_by: float | None = None
    slow_ms: float | None = None

    def said(self, line: Answer) -> Said | None:
        """
        >>> from types import SimpleNamespace
        >>> line = SimpleNamespace(label=False, probabilities={"false": 0.7, "true": 0.3}, value=None)
        >>> Yardstick().said(line), Yardstick(shares={"true": 0.2}).said(line)
        ('false', 'true')
        """
        if line.probabilities and len(line.probabilities) == 2:
            other, positive = line.probabilities
            return positive if line.probabilities[positive] >= self.shares.get(positive, 0.5) else other
        if line.label is not None:
            return _class(line.label)
        return line.value

    def score(self, line: Answer) -> float | None:
        """One number that tells the arms' predictions apart: the second of two classes' probability, the largest of
        more, or the value."""
        if not line.probabilities:
            return line.value
        found = list(line.probabilities.values())
        return found[1] if len(found) == 2 else max(found)

    def error(self, said: Said, label: object) -> float | None:
        """How far off a number is. Raises nothing: what is no number has no distance."""
        if isinstance(said, str) or isinstance(label, bool) or not isinstance(label, int | float):
            return None
        return abs(said - label)

    def is_wrong(self, said: Said, label: object) -> bool | None:
        """None where it cannot be told: a label of another kind, or a limit that is not known yet.

        >>> Yardstick().is_wrong("true", True), Yardstick().is_wrong("1", True), Yardstick().is_wrong("0", 1.0)
        (False, False, True)
        """
        if isinstance(said, str):
            return None if label is None else not _is_class(said, label)
        error = self.error(said, label)
        return None if error is None or self.wrong_by is None else error > self.wrong_by

    def with_errors(self, errors: Sequence[float]) -> Yardstick:
        return replace(self, wrong_by=float(np.quantile(errors, _FAR)))

    def with_latencies(self, latencies: Sequence[float]) -> Yardstick:
        return replace(self, slow_ms=float(np.quantile(latencies, _SLOW)))


def class_shares(stores: Stores, version: Version) -> dict[str, float]:
    """Of the label's classes, as the version's training data had them; none where its bundle does not tell."""
    from loopwright.data.schema import Schema
    from loopwright.data.statistics import Statistics

    if not {"statistics.json", "schema.json"} <= set(version.files) or version.task != "binary":
        return {}
    try:
        schema = Schema.from_json(stores.blobs.read(version.files["schema.json"]).decode())
        found = Statistics.from_json(stores.blobs.read(version.files["statistics.json"]).decode())
        values = found.column(schema.label or "").values or {}
    except (DataError, LookupError, NotFound):  # of another Loopwright, or the label is not described
        return {}
    total = sum(values.values())
    return {_class_name(name): count / total for name, count in values.items()} if total else {}


def _is_class(said: str, label: object) -> bool:
    told = _class(label)
    return told == said or (isinstance(label, bool) and said == str(int(label)))


def _class(label: object) -> str:
    """As the predictor writes classes: booleans as JSON does, whole numbers without a point."""
    if isinstance(label, bool):
        return str(label).lower()
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _class_name(text: str) -> str:
    return text.removesuffix(".0")
