"""Whether rows that train a model also judge it: equal in all that the model sees, and in the label.

Of a split by time the time itself is not compared, for it always differs. One hash a row is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from loopwright.data.examine import overlapping, row_hash
from loopwright.data.examples import SHOWN, told
from loopwright.data.finding_kinds import decided
from loopwright.data.findings import Finding
from loopwright.data.rows import Rows
from loopwright.data.schema import Schema
from loopwright.data.tables import Tables
from loopwright.train.parts import HELD, Parts
from loopwright.train.split import Split

_HASH = "\0hash"


def labelled(rows: Rows, tables: Tables, split: Split, columns: Sequence[str]) -> pl.DataFrame:
    """The labelled rows in the columns that the split goes by, with the label and a hash of what is compared."""
    seen = [*_compared(rows, split), rows.label]
    frame = rows.labelled(tables, list(dict.fromkeys([*columns, *seen])))
    kept = list(dict.fromkeys([*columns, rows.label]))
    return frame.select(*kept, row_hash(seen).alias(_HASH)).collect()


def overlap(rows: Rows, read: pl.DataFrame, parts: Parts, given: Schema | None) -> list[Finding]:
    """Of rows that `labelled` read; without what the schema accepts."""
    is_held = pl.Series(parts.of(read.select(parts.columns)) == HELD)
    held, train = read.filter(is_held), read.filter(~is_held)
    compared = [*_compared(rows, parts.split), rows.label]
    found, both = overlapping(train[_HASH], held[_HASH], compared)
    if found is None:
        return []
    shown = told(held.filter(both).drop(_HASH).head(SHOWN))
    return decided([replace(found, examples=shown)], given or Schema(columns=()))


def _compared(rows: Rows, split: Split) -> list[str]:
    aside = rows.table.time if split.by == "time" else None
    return [name for name in rows.features if name != aside]
