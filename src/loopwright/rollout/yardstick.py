"""What a prediction says, and whether a label says that it was wrong: one rule for both versions, by the metric that
the loop is judged by.

Where that metric looks at ranks (AUC, average precision), what is wrong is a pair of rows: see `ranking`. Else a class
is wrong where it is not the label. Of two classes with probabilities, a prediction says the second from one half on
where the metric itself does (accuracy, F1 ...), and otherwise where its probability is at least the share of it in the
champion's training data: where one class is rare a model that is right to doubt would say the other one always, and
nothing could be told of it. A number is wrong where it is further from the label than nine in ten of the champion's
first ones were.
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
RANKED = frozenset({"roc_auc", "average_precision"})
"""Metrics of two classes that know no threshold."""
_AT_A_HALF = frozenset({"accuracy", "balanced_accuracy", "precision", "recall", "f1"})
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
    """Of the classes in the champion's training data; none where they are not known, or one half decides."""
    ranks: bool = False
    """Whether what is wrong is a pair of rows."""
    wrong_by: float | None = None
    slow_ms: float | None = None

    def said(self, line: Answer) -> Said | None:
        """
        >>> from types import SimpleNamespace
        >>> line = SimpleNamespace(label=False, probabilities={"false": 0.7, "true": 0.3}, value=None)
        >>> Yardstick().said(line), Yardstick(shares={"true": 0.2}).said(line)
        ('false', 'true')
        """
        if self.ranks:
            return self.score(line) if line.probabilities and len(line.probabilities) == 2 else None
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

    def is_positive(self, classes: Sequence[str], label: object) -> bool | None:
        """Of two classes, whether the label is the second; None where it is neither.

        >>> [Yardstick().is_positive(("false", "true"), label) for label in (True, 0, "late")]
        [True, False, None]
        """
        found = [place for place, name in enumerate(classes) if label is not None and _is_class(name, label)]
        return bool(found[0]) if len(found) == 1 else None

    def with_errors(self, errors: Sequence[float]) -> Yardstick:
        return replace(self, wrong_by=float(np.quantile(errors, _FAR)))

    def with_latencies(self, latencies: Sequence[float]) -> Yardstick:
        return replace(self, slow_ms=float(np.quantile(latencies, _SLOW)))


def is_ranked(version: Version) -> bool:
    return version.task == "binary" and version.metric in RANKED


def yardstick(stores: Stores, challenger: Version, champion: Version | None) -> Yardstick:
    """By the metric that the challenger was judged by, which is what the loop says now."""
    if is_ranked(challenger):
        return Yardstick(ranks=True)
    if champion is None or challenger.metric in _AT_A_HALF:
        return Yardstick()
    return Yardstick(shares=class_shares(stores, champion))


def told(challenger: Version) -> str:
    """What counts as a mistake of this version and of the champion, in words."""
    metric = challenger.metric
    if is_ranked(challenger):
        return f"a pair of labelled rows close in time, one of each class, that is ranked wrongly (judged by {metric})"
    if challenger.task == "regression":
        return "an error beyond the champion's frozen 90 % quantile"
    if challenger.task != "binary" or metric in _AT_A_HALF:
        return f"a predicted class that is not the label (judged by {metric})"
    share = "the share that this class had in the champion's training rows"
    return f"a class that is not the label; the second class is said from {share} on (judged by {metric})"


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
    """Of two classes 0 and 1 are false and true, however they are written."""
    if _class(label) == said:
        return True
    is_one_or_none = isinstance(label, int | float) and label in (0, 1)
    return is_one_or_none and said in (str(int(label)), str(bool(label)).lower())  # type: ignore[call-overload]


def _class(label: object) -> str:
    """As the predictor writes classes: booleans as JSON does, whole numbers without a point."""
    if isinstance(label, bool):
        return str(label).lower()
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _class_name(text: str) -> str:
    return text.removesuffix(".0")
