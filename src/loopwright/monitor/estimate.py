"""How good a window's answers are expected to be, before any label came: from calibrated probabilities alone.

Confidence-based performance estimation: each row counts as every class, as often as its calibrated probability says.
It follows inputs that moved; that the world itself changed it cannot see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from loopwright.core.finding import Finding, Level
from loopwright.judge.catalog import METRICS, Task
from loopwright.judge.evaluation import number
from loopwright.judge.metrics import values
from loopwright.judge.sample import sample
from loopwright.monitor.calibration import Calibration
from loopwright.monitor.looking import Said
from loopwright.monitor.scores import Array
from loopwright.monitor.view import View

BLIND = "an estimate without labels is blind to concept drift: it holds only while the same inputs mean the same"
LEAST_ROWS = 200
_BLUR = 0.02
"""What it may be off by, where inputs moved alone."""


def expected(shares: Array, rows: Array, calibration: Calibration, metrics: Sequence[str], task: Task) -> Array:
    """The metrics `(metrics,)` that are expected of probabilities `(points, classes)` that stand for so many rows."""
    calibrated = calibration(shares)
    points, classes = shares.shape
    labels = np.repeat(np.arange(classes), points)
    weights = (calibrated * rows[:, None]).T.ravel()
    there = weights > 0
    said = np.tile(shares[:, 1], 2) if task is Task.BINARY else np.tile(shares, (classes, 1))
    made = sample(labels[there], said[there], task=task, weights=weights[there],
                  classes=None if task is Task.BINARY else range(classes))  # fmt: skip
    return np.asarray(values(made, metrics), dtype=np.float64)


def estimated(said: Said, calibration: Calibration | None, metrics: Sequence[str]) -> dict[str, float]:
    """By metric; nothing for a regression, too few rows, or a model that gives no probabilities."""
    if said.scores is None or calibration is None or said.scores.rows < LEAST_ROWS:
        return {}
    found = expected(*said.scores.weighted(), calibration, metrics, said.known.task)
    return {name: float(one) for name, one in zip(metrics, found.tolist(), strict=True) if np.isfinite(one)}


def estimate(
    view: View,
    version: int,
    told: Mapping[str, float],
    *,
    rows: int,
    calibrated: int,
    truth: Mapping[str, Finding] | None = None,
) -> Iterator[Finding]:
    """Of a version, beside the truth where it came. `calibrated`: labelled rows it stands on, 0 for none."""
    if not told:
        missing = LEAST_ROWS - rows
        why = f"not enough data: {missing:,} more rows" if missing > 0 else "the model gives no probabilities"
        yield view.found(
            "estimate", "all", Level.UNKNOWN, f"{why}; {BLIND}", measure="none", version=version, rows=rows
        )
    for name, value in told.items():
        came = (truth or {}).get(name)
        beside = f"; the truth is {number(came.number)}" if came is not None and came.number is not None else ""
        on = f"calibrated on {calibrated:,} labelled rows" if calibrated else "not calibrated: too few labels yet"
        limit = None if came is None else came.limit
        sign = 1 if METRICS[name].bigger_is_better else -1
        is_worse = limit is not None and sign * (limit - value) > _BLUR
        yield view.found(
            "estimate", name, Level.NOTICED if is_worse else Level.FINE,
            f"{name} is expected to be {number(value)} on {rows:,} rows ({on}){beside}; {BLIND}",
            measure=name, number=value, limit=limit, version=version, rows=rows, calibrated_on=calibrated,
            truth=None if came is None else came.number, is_blind_to="concept drift",
        )  # fmt: skip
