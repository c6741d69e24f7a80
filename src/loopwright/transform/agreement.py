"""Whether the graph of a model as it is agrees with it, and whether a model fitted again is still that model.

Both are seen on training rows: thresholds of trees are made of their values, so that rounding shows there if anywhere.
The first is parity, to its tolerances. The second is loose, because fitting again draws other samples and rounds other
values: what it must find is a model made in another way, on other columns, rows, weights or labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from loopwright.errors import ParityFailed
from loopwright.transform.asking import Asking
from loopwright.transform.exported import Exported
from loopwright.transform.inputs import Array
from loopwright.transform.parity import answers, check_parity
from loopwright.transform.refit import unseeded

FIRST_ROWS, MOST_ROWS, COMPARED_ROWS = 2_000, 20_000, 5_000
PROBABILITY, OF_SPREAD = 0.02, 0.05
"""How far a model fitted again may be from the one given, in the mean. Measured: less than 0.001 where it is the same,
0.06 and more where it was fitted on two thirds of the rows, on others, or with other weights."""

DRAWN_PROBABILITY, DRAWN_OF_SPREAD = 0.05, 0.15
"""Where the model has no seed: two forests of the same rows are 0.04 (0.10 of the spread) from one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """Between two models, in the mean of rows.

    Half of all that their probabilities differ by: for two classes, what one differs by. Of values, what they differ by
    as a share of their spread.
    """

    mean: float
    limit: float

    @property
    def is_small(self) -> bool:
        return self.mean <= self.limit


def drawn(rows: int, most: int) -> Array:
    """Places of at most so many rows, rising: a drawing, the same each time."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def disagreement(exported: Exported, frame: pl.DataFrame) -> str:
    """Nothing where the graph gives what the Python model gives; otherwise the reason. A few rows are seen first.

    Raises `ParityFailed` when the Python model takes none of the rows.
    """
    for most in (FIRST_ROWS, MOST_ROWS):
        asked = answers(exported, frame[drawn(len(frame), most).tolist()], most_rows=most)
        try:
            check_parity(exported.graph, exported.inputs, exported.task, exported.classes, asked)
        except ParityFailed as error:
            return error.what.split("; the worst")[0]
        if len(frame) <= most:
            break
    return ""


def distance(own: Exported, again: Exported, frame: pl.DataFrame) -> Distance:
    """How far the two are from one another, on rows that both take."""
    asked = answers(own, frame, most_rows=COMPARED_ROWS)
    rows, python = asked.rows[: asked.held_taken], asked.predictions[: asked.held_taken]
    other = Asking(again)(rows)
    gap = np.abs(python[other.kept] - other.predictions).sum(axis=1)
    mean = float(gap.mean()) if len(gap) else np.inf
    draws = bool(unseeded(own.estimator))
    if own.classes:
        return Distance(mean=mean / 2, limit=DRAWN_PROBABILITY if draws else PROBABILITY)
    spread = max(float(python.std()), np.finfo(float).tiny)
    return Distance(mean=mean / spread, limit=DRAWN_OF_SPREAD if draws else OF_SPREAD)
