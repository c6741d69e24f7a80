"""How much worse a model is without what one of its columns says: the column's values are shuffled among the rows.

After Breiman, "Random Forests" (2001), section 10, of whatever model there is. Of columns that say the same, each alone
counts for little. What is tried is bounded by count, not by time: equal runs find equal numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from loopwright.judge.catalog import METRICS, Task
from loopwright.judge.evaluate import compared, generator_for
from loopwright.judge.evaluation import Importance, Importances
from loopwright.judge.metrics import values
from loopwright.judge.scored import scored
from loopwright.transform.predictor import Predictor

MOST_ROWS, LEAST_ROWS = 2_000, 200
_MOST_CELLS = 20_000_000
"""Values that the model is given, in all."""


def importances(
    predictor: Predictor, rows: pl.DataFrame, metric: str, *, label: str, weight: str | None = None, seed: int = 0
) -> Importances | None:
    """By each input how far the metric falls, over at most 2,000 of these labelled rows; largest first. Of very many
    inputs some are tried, drawn by the seed. None for a metric that has no value on the rows, or of another task."""
    if METRICS.get(metric) is None or Task(predictor.task) not in METRICS[metric].tasks:
        return None
    names = [one.name for one in predictor.inputs]
    most, count = bounds(len(names))
    if len(rows) > most:
        rows = rows[np.sort(generator_for(seed, "rows").choice(len(rows), most, replace=False))]
    tried = (
        names if count == len(names) else generator_for(seed, "columns").choice(names, count, replace=False).tolist()
    )

    def measured(given: pl.DataFrame) -> float:
        return float(values(scored(predictor, given, label, weight), [metric])[0])

    whole = measured(rows)
    if np.isnan(whole):
        return None
    drops = [_drop(metric, whole, measured(_shuffled(rows, name, seed))) for name in tried]
    found = [Importance(column=name, drop=drop) for name, drop in zip(tried, drops, strict=True) if drop is not None]
    ranked = tuple(sorted(found, key=lambda one: (-one.drop, one.column)))
    return Importances(metric=metric, rows=len(rows), columns=ranked, left_out=len(names) - len(ranked))


def bounds(columns: int) -> tuple[int, int]:
    """How many rows are looked at, and how many columns are tried.

    >>> bounds(20), bounds(300), bounds(5000)
    ((2000, 20), (222, 300), (200, 20))
    """
    rows = min(max(_MOST_CELLS // max(columns, 1) ** 2, LEAST_ROWS), MOST_ROWS)
    return rows, min(columns, _MOST_CELLS // (rows * max(columns, 1)))


def _shuffled(rows: pl.DataFrame, name: str, seed: int) -> pl.DataFrame:
    order = generator_for(seed, name).permutation(len(rows))
    return rows.with_columns(rows[name].gather(order))


def _drop(metric: str, whole: float, without: float) -> float | None:
    """By how much it is worse; less than nothing where it is better. None where it has no value."""
    if np.isnan(without):
        return None
    both: Any = compared(metric, np.array([whole, without], dtype=np.float64))
    return float(both[0] - both[1] if METRICS[metric].bigger_is_better else both[1] - both[0])
