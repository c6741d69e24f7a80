"""Which metrics there are: name, tasks, direction, range and source. A closed table; nothing heavy may be imported.

The formulas are in `additive.py` and `ranked.py`, which need NumPy; here is what a declaration is checked against.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from loopwright.errors import UsageError, did_you_mean


class Task(Enum):
    BINARY = "binary"
    """Labels 0 or 1; predictions are probabilities of 1."""
    MULTICLASS = "multiclass"
    """Labels one of k classes; predictions are k probabilities a row."""
    REGRESSION = "regression"
    """Labels and predictions are numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is known of a metric without data."""

    name: str
    tasks: tuple[Task, ...]
    bigger_is_better: bool
    low: float
    """Smallest value there can be."""
    high: float
    """Largest value there can be; may be infinite."""
    source: str
    """Formula or paper."""
    is_signed: bool = False
    """Best at zero: compared, and held against limits, by its absolute value."""
    is_biased: bool = False
    """Noise alone makes it larger, so its interval is the reflected (basic) one."""

    def takes(self, number: float) -> bool:
        """Whether the number lies in the range.

        >>> METRICS["roc_auc"].takes(68)
        False
        """
        return math.isfinite(number) and self.low <= number <= self.high

    @property
    def range(self) -> str:
        """In words.

        >>> METRICS["mae"].range
        '0 or more'
        """
        if math.isinf(self.high):
            return "any number" if self.is_signed else f"at most {self.high:g}" if self.low else "0 or more"
        return f"at most {self.high:g}" if math.isinf(self.low) else f"from {self.low:g} to {self.high:g}"


_BINARY = (Task.BINARY,)
_CLASSES = (Task.BINARY, Task.MULTICLASS)
_NUMBERS = (Task.REGRESSION,)


def _share(name: str, tasks: tuple[Task, ...], source: str) -> Metric:
    return Metric(name=name, tasks=tasks, bigger_is_better=True, low=0.0, high=1.0, source=source)


def _loss(name: str, tasks: tuple[Task, ...], source: str, high: float = math.inf) -> Metric:
    return Metric(name=name, tasks=tasks, bigger_is_better=False, low=0.0, high=high, source=source)


_ALL = (
    _share("roc_auc", _CLASSES, "P(score of a 1 > score of a 0), ties half (Hanley & McNeil 1982); classes: 1 vs rest"),
    _share("average_precision", _BINARY, "sum of (recall step x precision) over distinct scores (Zhu 2004)"),
    _loss("log_loss", _CLASSES, "mean of -log p(label), p held from 2.2e-16 (Good 1952)"),
    _loss("brier", _BINARY, "mean of (p - label)^2 (Brier 1950)", high=1.0),
    _share("accuracy", _CLASSES, "share of rows whose predicted class is the label; binary: 1 when p > 0.5"),
    _share("balanced_accuracy", _BINARY, "mean of the recalls of 1 and of 0 (Brodersen et al. 2010)"),
    _share("precision", _BINARY, "true 1 / predicted 1, at p > 0.5"),
    _share("recall", _BINARY, "true 1 / labelled 1, at p > 0.5"),
    _share("f1", _BINARY, "2 true 1 / (predicted 1 + labelled 1), at p > 0.5 (van Rijsbergen 1979)"),
    Metric(
        name="calibration_error",
        tasks=_BINARY,
        bigger_is_better=False,
        low=0.0,
        high=1.0,
        is_biased=True,
        source="sum over 15 equal-width bins of p of |sum of (label - p)| / rows (Naeini et al. 2015; Guo et al. 2017)",
    ),
    _share("macro_f1", (Task.MULTICLASS,), "mean of the F1 of every class that is labelled or predicted"),
    _loss("mae", _NUMBERS, "mean of |prediction - label|"),
    _loss("rmse", _NUMBERS, "square root of the mean of (prediction - label)^2"),
    Metric(
        name="r2",
        tasks=_NUMBERS,
        bigger_is_better=True,
        low=-math.inf,
        high=1.0,
        source="1 - sum of (prediction - label)^2 / sum of (label - mean label)^2",
    ),
    _loss("mape", _NUMBERS, "mean of |prediction - label| / |label|, a share and not percent; undefined at label 0"),
    _loss("median_ae", _NUMBERS, "median of |prediction - label|"),
    Metric(
        name="bias",
        tasks=_NUMBERS,
        bigger_is_better=False,
        low=-math.inf,
        high=math.inf,
        is_signed=True,
        source="mean of (prediction - label): above 0 predicts too much",
    ),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
"""Every metric, by name."""


def find_metric(name: object) -> Metric:
    """The metric of that name.

    Raises `UsageError` with the closest name.

    >>> find_metric("roc_auk")
    Traceback (most recent call last):
    loopwright.errors.UsageError: there is no metric 'roc_auk'
      to do: did you mean 'roc_auc'?
    """
    if isinstance(name, str) and name in METRICS:
        return METRICS[name]
    raise UsageError(f"there is no metric {name!r}", fix=did_you_mean(str(name), METRICS))


def metrics_of(task: Task) -> tuple[str, ...]:
    """Names of the task's metrics, in the table's order.

    >>> metrics_of(Task.MULTICLASS)
    ('roc_auc', 'log_loss', 'accuracy', 'macro_f1')
    """
    return tuple(name for name, metric in METRICS.items() if task in metric.tasks)
