"""A bundle beside the champion: on the same held-out rows, without those that the champion was trained on."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from loopwright.core.version import Version
from loopwright.data.rows import Rows
from loopwright.errors import DataError
from loopwright.judge.compare import compare
from loopwright.judge.evaluation import Comparison
from loopwright.judge.scored import scored
from loopwright.pipeline.context import Context
from loopwright.registry.fetch import fetch
from loopwright.train.parts import HELD, Parts
from loopwright.train.pinned import held
from loopwright.transform.predictor import Predictor


def beside(champion: Version, rows: Rows, split: Parts, export: Path, context: Context) -> Comparison:
    """Raises `DataError` where the champion cannot answer to these rows: a column it needs is gone, a label came that
    it does not know."""
    bundles = [fetch(context.stores, champion, context.folder), export]
    one, other = (Predictor.from_folder(each, batches=True) for each in bundles)
    told = champion.lineage.get("split")
    known = Parts.from_dict(told).columns if told else ()
    read = held(rows, context.tables, split, [*(column.name for column in one.inputs), *known])
    read = _unseen(champion, read)
    group = split.split.key
    try:
        theirs = scored(one, read, rows.label, rows.weight, group)
    except DataError as error:
        raise DataError(f"{champion.name}, the champion, cannot answer to these rows: {error.what}") from error
    return compare(theirs, scored(other, read, rows.label, rows.weight, group), seed=context.seed)


def _unseen(champion: Version, read: pl.DataFrame) -> pl.DataFrame:
    """Without the rows that the champion was trained on: it would look better on them than it is."""
    told = champion.lineage.get("split")
    if not told or not set(Parts.from_dict(told).columns) <= set(read.columns):
        return read
    unseen = read.filter(Parts.from_dict(told).of(read) == HELD)
    if len(unseen) == 0:
        raise DataError(
            f"{champion.name} was trained on every held-out row, so nothing can be compared with it",
            where="split=",
            fix="append newer rows, or go back to the split that it was made with",
        )
    return unseen
