"""Columns that tell the label because they are filled in together with it. Such a model is splendid until it is served.

Two signs. `decides`: the column alone ranks the labels almost perfectly. `arrives with the label`: the column is there
where the label is, and missing where the label has not arrived.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loopwright.data.finding_kinds import finding
from loopwright.data.findings import Finding
from loopwright.data.schema_file import accept_kind

DECIDES = 0.9
"""Separation of the labels that makes a column a suspect: 0 is none, 1 complete (Gini, 2 AUC - 1; of numbers R²)."""
ARRIVES = 0.6
"""By how much a column may be missing more often without the label than with it."""
LEAST_UNLABELLED = 50
MOST_ROWS = 50_000
BINS = 64


def leaks(rows: pl.DataFrame, features: Sequence[str], label: str, *, seed: int = 0) -> list[Finding]:
    """What the features of these rows, labelled or not, give reason to suspect; one finding a column, errors. A schema
    that has the line `accept` keeps it from being told (`finding_kinds.decided`), as a loop's `trust` does. Lists are
    not looked at: no model takes them.
    """
    labelled, unlabelled = rows.filter(pl.col(label).is_not_null()), rows.filter(pl.col(label).is_null())
    if len(labelled) > MOST_ROWS:
        labelled = labelled.sample(MOST_ROWS, seed=seed)
    targets = _targets(labelled[label])
    found = []
    for name in [one for one in features if not rows.schema[one].is_nested()]:
        gap = _missing(unlabelled[name]) - _missing(labelled[name]) if len(unlabelled) >= LEAST_UNLABELLED else 0.0
        if gap > ARRIVES:
            found.append(_arrives(name, label, gap))
        elif (power := max(separation(labelled[name], target) for target in targets)) > DECIDES:
            found.append(_decides(name, label, power))
    return found


def separation(values: pl.Series, target: NDArray[np.float64]) -> float:
    """How well the column alone tells a target `(rows,)`, by the mean target of its value or bin on the other half.

    >>> late = np.array([0.0, 1.0] * 500)
    >>> round(separation(pl.Series([5, 40] * 500), late), 1), separation(pl.Series([1, 1, 2, 2] * 250), late) < 0.2
    (1.0, True)
    """
    groups = _groups(values)
    half = np.random.default_rng(0).permutation(len(target)) % 2
    scores = np.empty(len(target))
    for side in (0, 1):
        learnt, told = half != side, half == side
        scores[told] = _means(groups[learnt], target[learnt], int(groups.max(initial=0)) + 1)[groups[told]]
    return _gini(scores, target) if np.isin(target, (0, 1)).all() else _r2(scores, target)


def _targets(labels: pl.Series) -> list[NDArray[np.float64]]:
    """Numbers as they are; classes one by one against the rest, the ten most frequent."""
    if labels.dtype.is_float() or (labels.dtype.is_integer() and labels.n_unique() > 10):
        return [labels.cast(pl.Float64).to_numpy()]
    classes = labels.value_counts(sort=True)[labels.name].to_list()[:10]
    chosen = classes[:1] if len(classes) <= 2 else classes
    return [(labels == one).cast(pl.Float64).to_numpy() for one in chosen]


def _missing(values: pl.Series) -> float:
    missing = values.is_null() if values.dtype != pl.String else values.is_null() | (values == "")
    return float(missing.mean() or 0.0) if len(values) else 0.0  # type: ignore[arg-type]


def _groups(values: pl.Series) -> NDArray[np.intp]:
    """The group of each row: its category, or its bin by quantile; missing is a group of its own."""
    if values.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean):
        return np.asarray(values.cast(pl.String).fill_null("").rank("dense").to_numpy(), dtype=np.intp) - 1
    numbers = values.to_physical().cast(pl.Float64).fill_null(float("nan")).to_numpy()
    known = np.isfinite(numbers)
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, BINS + 1)[1:-1])) if known.any() else np.empty(0)
    return np.where(known, np.searchsorted(edges, numbers, side="right") + 1, 0)


def _means(groups: NDArray[np.intp], target: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Drawn towards the mean of all by ten rows' weight, so that rare categories decide nothing."""
    rows = np.bincount(groups, minlength=count)
    sums = np.bincount(groups, weights=target, minlength=count)
    mean = float(target.mean()) if len(target) else 0.0
    return np.asarray((sums + 10 * mean) / (rows + 10))


def _gini(scores: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    ones = int(target.sum())
    zeros = len(target) - ones
    if not ones or not zeros:
        return 0.0
    ranks = pl.Series(scores).rank("average").to_numpy()
    area = (float(ranks[target == 1].sum()) - ones * (ones + 1) / 2) / (ones * zeros)
    return max(2 * area - 1, 0.0)


def _r2(scores: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    spread = float(((target - target.mean()) ** 2).sum())
    return max(1 - float(((target - scores) ** 2).sum()) / spread, 0.0) if spread else 0.0


def _decides(name: str, label: str, power: float) -> Finding:
    what = (
        f"{name!r} alone separates the labels {label!r} by {power:.2f} (0 is not at all, 1 completely): "
        "is it known when a prediction is asked for?"
    )
    fix = f"if not, declare it: Table(..., never=[{name!r}]); if it is, say so: Loop(..., trust=[{name!r}])"
    accept = accept_kind(None, name, "leak")
    return finding("leak", what, fix, column=name, number=power, limit=DECIDES, accept=accept)


def _arrives(name: str, label: str, gap: float) -> Finding:
    what = (
        f"{name!r} is missing {gap:.0%} more often where {label!r} has not arrived than where it has: "
        "it seems to be filled in together with the label"
    )
    fix = f"if so, declare it: Table(..., never=[{name!r}]); if not, say so: Loop(..., trust=[{name!r}])"
    accept = accept_kind(None, name, "leak")
    return finding("leak", what, fix, column=name, number=gap, limit=ARRIVES, accept=accept)
