"""Metrics that need rows in order: areas under curves, and the median.

The value is exact. Resamples may use rank bins: neighbouring scores share one of `bins` groups of equal rows, and the
small error this makes is the same for every resample and is taken off again (`resample.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopwright.judge.additive import ratio
from loopwright.judge.sample import Floats, Sample

Weights = NDArray[Any]
"""`(draws, rows)`: the weight of every row in every resample."""
Sums = Callable[[Weights], Sequence[Floats]]


class Groups:
    """Rows grouped by their place in the order of `scores`; equal scores always fall into one group."""

    def __init__(self, scores: Floats, bins: int | None, split: NDArray[Any] | None = None) -> None:
        """`split` (0 or 1 a row) keeps two sums a group apart."""
        _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
        if bins is not None and len(counts) > bins:
            places = ((np.cumsum(counts) - counts) * bins // len(scores))[places]
            _, places = np.unique(places, return_inverse=True)
        side = np.zeros(len(scores), dtype=np.intp) if split is None else split.astype(np.intp)
        keys = places * 2 + side
        order = np.argsort(keys, kind="stable")
        self.count = int(places.max()) + 1
        self._order = None if np.array_equal(order, np.arange(len(order))) else order
        self._keys, self._starts = np.unique(keys[order], return_index=True)

    def sums(self, weights: Weights) -> Floats:
        """Summed weights, `(draws, 2, groups)`, groups by rising score."""
        ordered = weights if self._order is None else np.take(weights, self._order, axis=1)
        found = np.zeros((len(weights), self.count * 2))
        found[:, self._keys] = np.add.reduceat(ordered, self._starts, axis=1)
        return found.reshape(len(weights), self.count, 2).swapaxes(1, 2)


def roc_auc_of(sums: Floats) -> Floats:
    """Area under the ROC curve from the sums of 0 and 1 by score; ties count half."""
    zeros, ones = sums[:, 0], sums[:, 1]
    below = np.cumsum(zeros, axis=1) - zeros / 2
    return ratio((ones * below).sum(axis=1), ones.sum(axis=1) * zeros.sum(axis=1))


def average_precision_of(sums: Floats) -> Floats:
    """Sum of recall steps times precision, from the sums of 0 and 1 by score."""
    zeros, ones = sums[:, 0, ::-1], sums[:, 1, ::-1]
    found = np.cumsum(ones, axis=1)
    precision = ratio(found, found + np.cumsum(zeros, axis=1))
    return ratio((ones * np.nan_to_num(precision)).sum(axis=1), found[:, -1])


def _by_score(sample: Sample, bins: int | None) -> Sums:
    """Sums by score of 1 and 0; for classes, of each class and the rest by the class's score."""
    if sample.predictions.ndim == 1:
        each = [Groups(sample.predictions, bins, sample.labels)]
    else:
        classes = range(sample.predictions.shape[1])
        each = [Groups(sample.predictions[:, one], bins, sample.labels == one) for one in classes]
    return lambda weights: [groups.sums(weights) for groups in each]


def _medians(sample: Sample, bins: int | None) -> Sums:
    errors = np.abs(sample.predictions - sample.labels)
    if bins is None:
        return lambda weights: [np.array([weighted_median(errors, row) for row in weights])]
    ordered = np.sort(errors)
    edges = np.linspace(0, len(ordered), min(bins, len(ordered)) + 1).astype(np.intp)
    ranks = np.empty(len(errors), dtype=np.intp)
    ranks[np.argsort(errors, kind="stable")] = np.arange(len(errors))
    groups = Groups((np.searchsorted(edges, ranks, side="right") - 1).astype(np.float64), None)
    low, high = ordered[edges[:-1]], ordered[edges[1:] - 1]
    return lambda weights: [_grouped_median(groups.sums(weights)[:, 0], low, high)]


def _grouped_median(sums: Floats, low: Floats, high: Floats) -> Floats:
    """The median inside the group that holds it, straight between the group's smallest and largest value."""
    rising = np.cumsum(sums, axis=1)
    half = rising[:, -1] / 2
    place = np.minimum((rising < half[:, None]).sum(axis=1), sums.shape[1] - 1)
    rows = np.arange(len(sums))
    inside = sums[rows, place]
    share = np.nan_to_num(ratio(half - rising[rows, place] + inside, inside))
    return np.where(half > 0, low[place] + share * (high - low)[place], np.nan)


def weighted_median(values: Floats, weights: Floats) -> float:
    """The value that half the weight lies below; the mean of two where half falls between them.

    >>> weighted_median(np.array([1.0, 2.0, 4.0, 9.0]), np.ones(4))
    3.0
    """
    order = np.argsort(values, kind="stable")
    order = order[weights[order] > 0]
    if not len(order):
        return float("nan")
    rising = np.cumsum(weights[order])
    half = rising[-1] / 2
    place = int(np.searchsorted(rising, half * (1 - 1e-12)))
    is_between = abs(rising[place] - half) <= 1e-12 * half
    return float((values[order[place]] + values[order[min(place + is_between, len(order) - 1)]]) / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A metric of rows in order: `order(sample, bins)` makes what sums weights, `combine` the values of the sums."""

    order: Callable[[Sample, int | None], Sums]
    combine: Callable[[Sequence[Floats]], Floats]


RANKED: dict[str, Ranked] = {
    "roc_auc": Ranked(order=_by_score, combine=lambda each: np.mean([roc_auc_of(one) for one in each], axis=0)),
    "average_precision": Ranked(order=_by_score, combine=lambda each: average_precision_of(each[0])),
    "median_ae": Ranked(order=_medians, combine=lambda each: each[0]),
}
"""The metrics that need an order, by name; the others are in `additive.py`."""
