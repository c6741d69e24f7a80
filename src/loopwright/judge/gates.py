"""Gates as declared: what a model must prove. Checked at declaration; nothing heavy may be imported.

How a gate decides is in `verdict.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loopwright.errors import DeclarationError, did_you_mean
from loopwright.judge.catalog import METRICS, Metric


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The metric is at least `limit`. Made by `at_least`."""

    metric: str
    limit: float

    def __post_init__(self) -> None:
        metric = _metric("at_least", self.metric, f", {self.limit!r})")
        if not metric.bigger_is_better:
            raise DeclarationError(
                f"{self.metric} is better when it is smaller",
                where=str(self),
                fix=f'write at_most("{self.metric}", {self.limit!r})',
            )
        _limit(str(self), metric, self.limit, f'at_least("{self.metric}", {{}})')

    def __str__(self) -> str:
        return f'at_least("{self.metric}", {self.limit!r})'


@dataclass(frozen=True, slots=True)
class AtMost:
    """The metric is at most `limit`; for a metric best at zero, its absolute value is. Made by `at_most`."""

    metric: str
    limit: float

    def __post_init__(self) -> None:
        metric = _metric("at_most", self.metric, f", {self.limit!r})")
        if metric.bigger_is_better:
            raise DeclarationError(
                f"{self.metric} is better when it is bigger",
                where=str(self),
                fix=f'write at_least("{self.metric}", {self.limit!r})',
            )
        _limit(str(self), metric, self.limit, f'at_most("{self.metric}", {{}})')
        if metric.is_signed:
            _amount(str(self), metric, self.limit, f'at_most("{self.metric}", {{}})')

    def __str__(self) -> str:
        return f'at_most("{self.metric}", {self.limit!r})'


@dataclass(frozen=True, slots=True)
class NotWorse:
    """The metric is not worse than the champion's by more than `by`. Made by `not_worse`."""

    metric: str
    by: float

    def __post_init__(self) -> None:
        metric = _metric("not_worse", self.metric, f", by={self.by!r})")
        _amount(str(self), metric, self.by, f'not_worse("{self.metric}", by={{}})')

    def __str__(self) -> str:
        return f'not_worse("{self.metric}", by={self.by!r})'


@dataclass(frozen=True, slots=True)
class SliceGap:
    """The metric's best slice is above its worst by at most `at_most`. Made by `slice_gap`."""

    metric: str
    columns: tuple[str, ...]
    at_most: float

    def __post_init__(self) -> None:
        metric = _metric("slice_gap", self.metric, f', "a_column", at_most={self.at_most!r})')
        names: tuple[object, ...] = self.columns
        if not names or not all(isinstance(one, str) and one for one in names):
            raise DeclarationError(
                f"{self.columns!r} names no column",
                where=f'slice_gap("{self.metric}", ...)',
                fix=f'write slice_gap("{self.metric}", "a_column", at_most=0.1)',
            )
        _amount(str(self), metric, self.at_most, f'slice_gap("{self.metric}", {self._columns}, at_most={{}})')

    @property
    def _columns(self) -> str:
        quoted = ", ".join(f'"{column}"' for column in self.columns)
        return quoted if len(self.columns) == 1 else f"({quoted})"

    def __str__(self) -> str:
        return f'slice_gap("{self.metric}", {self._columns}, at_most={self.at_most!r})'


Gate = AtLeast | AtMost | NotWorse | SliceGap


def at_least(metric: str, limit: float) -> AtLeast:
    """The metric must be shown to be at least `limit`: the lower end of its interval is.

    Raises `DeclarationError` for an unknown metric, one that is better when smaller, or a limit out of its range.

    >>> at_least("roc_auc", 0.68)
    AtLeast(metric='roc_auc', limit=0.68)
    >>> at_least("roc_auc", 68)
    Traceback (most recent call last):
    loopwright.errors.DeclarationError: 68 is out of the range of roc_auc, from 0 to 1
      where: at_least("roc_auc", 68)
      to do: write at_least("roc_auc", 0.68)
    """
    return AtLeast(metric, limit)


def at_most(metric: str, limit: float) -> AtMost:
    """The metric must be shown to be at most `limit`: the upper end of its interval is.

    Of `bias`, both ends must lie within `limit` of zero. Raises `DeclarationError` as `at_least` does.

    >>> at_most("log_loss", 0.4)
    AtMost(metric='log_loss', limit=0.4)
    """
    return AtMost(metric, limit)


def not_worse(metric: str, *, by: float = 0.0) -> NotWorse:
    """The metric must be shown to be no more than `by` worse than the champion's, on the same rows.

    The end of the paired interval on the worse side must lie within `by` (non-inferiority). A first version passes.
    Raises `DeclarationError` for an unknown metric or a `by` that is below 0 or wider than the metric's range.

    >>> not_worse("roc_auc", by=0.005)
    NotWorse(metric='roc_auc', by=0.005)
    """
    return NotWorse(metric, by)


def slice_gap(metric: str, column: str | Sequence[str], *, at_most: float) -> SliceGap:
    """The metric's best slice by `column` (or columns) must be shown to be at most `at_most` above its worst.

    The upper end of the interval of the gap must lie within; slices without data enough are left out and
    named by their number. Raises `DeclarationError` as `not_worse` does.

    >>> slice_gap("roc_auc", "carrier", at_most=0.15)
    SliceGap(metric='roc_auc', columns=('carrier',), at_most=0.15)
    """
    return SliceGap(metric, (column,) if isinstance(column, str) else _listed(metric, column), at_most)


def _listed(metric: str, columns: Any) -> tuple[str, ...]:
    if isinstance(columns, list | tuple):
        return tuple(columns)
    raise DeclarationError(
        f"{columns!r} names no column",
        where=f"slice_gap({metric!r}, ...)",
        fix=f'write slice_gap("{metric}", "a_column", at_most=0.1)',
    )


def _metric(word: str, name: object, rest: str) -> Metric:
    if isinstance(name, str) and name in METRICS:
        return METRICS[name]
    raise DeclarationError(
        f"there is no metric {name!r}", where=f"{word}({name!r}{rest}", fix=did_you_mean(str(name), METRICS)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _limit(where: str, metric: Metric, limit: object, right: str) -> None:
    if not _is_number(limit):
        raise DeclarationError(f"{limit!r} is not a number", where=where, fix=f"write {right.format(_example(metric))}")
    assert isinstance(limit, int | float)
    if not metric.takes(limit):
        better = limit / 100 if metric.takes(limit / 100) else _example(metric)
        raise DeclarationError(
            f"{limit!r} is out of the range of {metric.name}, {metric.range}",
            where=where,
            fix=f"write {right.format(better)}",
        )


def _amount(where: str, metric: Metric, amount: object, right: str) -> None:
    """A difference: 0 or more, and no wider than the metric's range."""
    widest = metric.high - metric.low
    if not _is_number(amount):
        raise DeclarationError(f"{amount!r} is not a number", where=where, fix=f"write {right.format(0.01)}")
    assert isinstance(amount, int | float)
    if not 0 <= amount <= widest:
        wrong = "is below 0" if amount < 0 else f"is wider than the range of {metric.name}, {metric.range}"
        better = -amount if 0 < -amount <= widest else amount / 100 if 0 <= amount / 100 <= widest else 0.01
        raise DeclarationError(f"{amount!r} {wrong}", where=where, fix=f"write {right.format(better)}")


def _example(metric: Metric) -> float:
    return 0.7 if metric.high == 1 and metric.bigger_is_better else 0.2
