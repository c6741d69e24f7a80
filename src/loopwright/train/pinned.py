"""The pinned rows of a loop by the parts of its split, as the steps read them."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from loopwright.data.rows import Rows
from loopwright.data.tables import Tables
from loopwright.train.data import TrainingData
from loopwright.train.parts import HELD, Parts
from loopwright.train.previous import Previous


def part(rows: Rows, tables: Tables, split: Parts, *wanted: int) -> pl.LazyFrame:
    """Features, label and weight of the rows of these parts, not read yet."""
    return split.only(rows.labelled(tables, [*_columns(rows), *split.columns]), *wanted)


def held(rows: Rows, tables: Tables, split: Parts, others: Iterable[str]) -> pl.DataFrame:
    """The held-out rows: features, label, weight, and what else is asked for and there."""
    wanted = [*_columns(rows), *split.columns, *(name for name in others if name in rows.version.columns)]
    return split.only(rows.labelled(tables, wanted), HELD).collect()


def training_data(rows: Rows, read: pl.LazyFrame, seed: int, previous: Previous | None = None) -> TrainingData:
    """What `train()` is given of these rows."""
    return TrainingData(lambda: read, rows.features, label=rows.label, weight=rows.weight, seed=seed, previous=previous)


def _columns(rows: Rows) -> list[str]:
    return [*rows.features, *([rows.weight] if rows.weight else [])]
