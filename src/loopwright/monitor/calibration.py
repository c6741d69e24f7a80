"""How often a class comes true where a version gives it so much: a map from what it says to what happens.

Isotonic regression (pool adjacent violators, Ayer et al. 1955) over a table of labelled predictions that only grows to
`ENOUGH`: the first ones of the version, so that what the world does later stays out of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from loopwright.monitor.labelled import Labelled
from loopwright.monitor.scores import Array

LEAST, ENOUGH = 500, 20_000
_LEAST_OF_CLASS = 20
_EDGES = 1 / (1 + np.exp(-np.linspace(-8.0, 8.0, 65)))
"""Evenly in log-odds: rare classes have their own cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Of one version; by class, the table (cells, 3): rows, sum of what was said, how often it came true."""

    version: int
    tables: tuple[Array, ...]

    @classmethod
    def empty(cls, version: int, classes: int) -> Calibration:
        return cls(version=version, tables=tuple(np.zeros((len(_EDGES) + 1, 3)) for _ in range(classes)))

    @classmethod
    def of(cls, version: int, classes: int, kept: Mapping[str, Any] | None) -> Calibration:
        """As it was kept, or an empty one for another version, and for what an older version kept otherwise."""
        with suppress(KeyError, IndexError, TypeError, ValueError):
            if kept is not None and kept["version"] == version and len(kept["tables"]) == classes:
                return cls(version=version, tables=tuple(_unpacked(table) for table in kept["tables"]))
        return cls.empty(version, classes)

    def to_dict(self) -> dict[str, Any]:
        return {"version": self.version, "tables": [_packed(table) for table in self.tables]}

    @property
    def rows(self) -> int:
        return int(self.tables[0][:, 0].sum()) if self.tables else 0

    @property
    def is_enough(self) -> bool:
        came = [table[:, 2].sum() for table in self.tables]
        return self.rows >= LEAST and min(came, default=0) >= _LEAST_OF_CLASS

    def learned(self, shares: Array, labels: Array) -> Calibration:
        """With rows of probabilities `(rows, classes)` and places of classes `(rows,)`, until there are enough."""
        room = max(ENOUGH - self.rows, 0)
        shares, labels = shares[:room], labels[:room]
        tables = []
        for place, table in enumerate(self.tables):
            said, came = shares[:, place], (labels == place).astype(np.float64)
            cells = np.searchsorted(_EDGES, said)
            added = [
                np.bincount(cells, weights=what, minlength=len(table)) for what in (np.ones_like(said), said, came)
            ]
            tables.append(table + np.column_stack(added))
        return Calibration(version=self.version, tables=tuple(tables))

    def __call__(self, shares: Array) -> Array:
        """Probabilities `(rows, classes)` as they come true; as they are where too few labels are known."""
        if not self.is_enough:
            return shares
        if shares.shape[1] == 2:
            second = _isotonic(self.tables[1], shares[:, 1])
            return np.column_stack([1 - second, second])
        found = np.column_stack([_isotonic(table, shares[:, at]) for at, table in enumerate(self.tables)])
        total = found.sum(axis=1, keepdims=True)
        return np.where(total > 0, found / np.where(total > 0, total, 1.0), shares)


def both(one: Labelled) -> Array:
    """What a version said of labelled rows `(rows, classes)`."""
    if one.predictions.ndim == 1:
        return np.column_stack([1 - one.predictions, one.predictions])
    return one.predictions


def _isotonic(table: Array, said: Array) -> Array:
    """Between the means of the pooled cells it runs straight."""
    there = table[table[:, 0] > 0]
    rows, at, came = there[:, 0], there[:, 1] / there[:, 0], there[:, 2]
    blocks: list[list[float]] = []
    for count, place, hits in zip(rows, at, came, strict=True):
        blocks.append([count, count * place, hits])
        while len(blocks) > 1 and blocks[-2][2] / blocks[-2][0] >= blocks[-1][2] / blocks[-1][0]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    places = np.array([block[1] / block[0] for block in blocks])
    shares = np.array([block[2] / block[0] for block in blocks])
    return np.asarray(np.clip(np.interp(said, places, shares), 0.0, 1.0))


def _packed(table: Array) -> list[list[float]]:
    """Cells that hold something, with their places."""
    return [[float(at), *map(float, table[at])] for at in np.flatnonzero(table[:, 0])]


def _unpacked(cells: Sequence[Sequence[float]]) -> Array:
    table = np.zeros((len(_EDGES) + 1, 3))
    for at, *values in cells:
        table[int(at)] = values
    return table
