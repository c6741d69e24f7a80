"""Streams that change, drawn after their papers, seeded: rows in the order they come, and their labels.

SINE and STAGGER: Gama et al., "Learning with drift detection", 2004 (STAGGER: Schlimmer and Granger, 1986). AGRAWAL:
Agrawal et al., "Database mining: a performance perspective", 1993. HYPERPLANE: Hulten et al., "Mining time-changing
data streams", 2001. RBF: points around fixed centres, as in MOA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Labels: TypeAlias = np.ndarray[Any, np.dtype[np.int8]]
Stream: TypeAlias = tuple[Array, Labels]
"""Of shapes (rows, columns) and (rows,)."""
ROWS = 40_000
CHANGES = (10_000, 20_000, 30_000)


def sine(draw: np.random.Generator, rows: int = ROWS) -> Stream:
    """Below a sine or not; at every change all labels turn into their opposites."""
    x = draw.random((rows, 2))
    is_below = x[:, 1] < np.sin(x[:, 0])
    return x, (is_below ^ (_concept(rows) % 2 == 1)).astype(np.int8)


def stagger(draw: np.random.Generator, rows: int = ROWS) -> Stream:
    """Three columns of three values each: size, colour, shape; three concepts by turns."""
    x = draw.integers(0, 3, (rows, 3))
    size, colour, shape = x.T
    concepts = [(size == 0) & (colour == 0), (colour == 2) | (shape == 1), size > 0]
    return x.astype(float), np.choose(_concept(rows) % 3, concepts).astype(np.int8)


def agrawal(draw: np.random.Generator, rows: int = ROWS) -> Stream:
    """Loans by nine columns, decided by the first four of the paper's functions, one after the other."""
    salary, age = draw.uniform(20_000, 150_000, rows), draw.integers(20, 81, rows)
    commission = np.where(salary >= 75_000, 0.0, draw.uniform(10_000, 75_000, rows))
    level, car, place = draw.integers(0, 5, rows), draw.integers(1, 21, rows), draw.integers(0, 9, rows)
    house = draw.uniform(0.5, 1.5, rows) * (9 - place) * 100_000
    years, loan = draw.integers(1, 31, rows), draw.uniform(0, 500_000, rows)
    young, old = age < 40, age >= 60
    decided = [
        young | old,
        _banded(young, old, salary, ((50, 100), (75, 125), (25, 75))),
        np.select([young, old], [level <= 1, level >= 2], (level >= 1) & (level <= 3)),
        np.select(
            [young, old],
            [
                np.where(level <= 1, _within(salary, 25, 75), _within(salary, 50, 100)),
                np.where(level >= 2, _within(salary, 50, 100), _within(salary, 25, 75)),
            ],
            np.where((level >= 1) & (level <= 3), _within(salary, 50, 100), _within(salary, 75, 125)),
        ),
    ]
    x = np.column_stack([salary, commission, age, level, car, place, house, years, loan]).astype(float)
    return x, np.choose(_concept(rows), decided).astype(np.int8)


def hyperplane(draw: np.random.Generator, rows: int = ROWS, *, columns: int = 10, pace: float = 0.001) -> Stream:
    """Columns weighed and summed; each weight moves a little with every row, and turns once in ten; a label in 20 is
    wrong. As in Gomes et al., "Adaptive random forests", 2017."""
    x, weights = draw.random((rows, columns)), draw.random(columns)
    ways = np.cumprod(np.where(draw.random((rows, columns)) < 0.1, -1.0, 1.0), axis=0)
    now = weights + pace * np.cumsum(ways, axis=0)
    label = (x * now).sum(axis=1) >= now.sum(axis=1) / 2
    return x, (label ^ (draw.random(rows) < 0.05)).astype(np.int8)


def rbf(draw: np.random.Generator, rows: int = ROWS, *, centres: int = 50) -> Stream:
    """Points around fixed centres of two classes, in random ways as far as a normal draw says: nothing changes."""
    places, spread = draw.random((centres, 10)), draw.random(centres) * 0.6 + 0.2
    classes, weights = draw.integers(0, 2, centres), draw.random(centres)
    chosen = draw.choice(centres, rows, p=weights / weights.sum())
    ways = draw.normal(size=(rows, 10))
    ways *= (draw.normal(size=rows) * spread[chosen] / np.linalg.norm(ways, axis=1))[:, None]
    return places[chosen] + ways, classes[chosen].astype(np.int8)


def harmless(draw: np.random.Generator, rows: int = ROWS) -> Stream:
    """As `rbf`, and a column that decides nothing moves at every change."""
    x, label = rbf(draw, rows)
    moving = draw.normal(size=rows) + np.asarray([0.0, 1.0, -0.5, 1.5])[_concept(rows)]
    return np.column_stack([x, moving]), label


STREAMS: Mapping[str, Callable[..., Stream]] = {
    "sine, reversed": sine,
    "stagger": stagger,
    "agrawal": agrawal,
    "hyperplane, slow": hyperplane,
    "rbf, no drift": rbf,
    "harmless shift of inputs": harmless,
}


def _concept(rows: int) -> Any:
    """Which of the concepts holds: one after the other, in quarters."""
    return np.searchsorted(np.asarray(CHANGES) * rows // ROWS, np.arange(rows), side="right")


def _within(salary: Array, low: int, high: int) -> Any:
    return (salary >= low * 1000) & (salary <= high * 1000)


def _banded(young: Any, old: Any, salary: Array, bands: tuple[tuple[int, int], ...]) -> Any:
    first, middle, last = (_within(salary, *band) for band in bands)
    return np.select([young, old], [first, last], middle)
