"""The newest rows of a loop's table, or of its source: what a deployment is tried on before it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import polars as pl
import pyarrow as pa

from loopwright.data.labels import arrived
from loopwright.data.source import SourceLike, open_source
from loopwright.data.table import Table
from loopwright.errors import BadSource, LoopwrightError
from loopwright.pipeline.graph import Pipeline

_MOST_READ = 1_000_000
"""Rows of a source, of which the newest are taken: it may be endless."""


def newest(rows: pl.LazyFrame, table: Table, most: int) -> pl.DataFrame:
    """Those with a label, by the table's time; of a table without one, the last."""
    columns = rows.collect_schema()
    if table.label is not None and table.label in columns:
        rows = rows.filter(arrived(table.label, columns[table.label]).is_not_null())
    if table.time is None or table.time not in columns:
        return rows.tail(most).collect()
    return rows.top_k(most, by=table.time).sort(table.time, maintain_order=True).collect()


def on_a_sample(pipeline: Pipeline, most: int) -> Pipeline:
    """The same loop, whose rows are the newest that its source has; 0: they are in its table already, and of the
    source no more is asked than that it can be read. Raises `BadSource`."""
    source = pipeline.parameters.get("source")
    if source is None:
        return pipeline
    if not most:
        _first_of(source)
    tried = None if not most else Sample(source=source, table=pipeline.parameters["table"], most=most)
    return replace(pipeline, parameters={**pipeline.parameters, "source": tried})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The newest rows of a source; what a function gives is asked for when they are."""

    source: SourceLike | Callable[[], SourceLike]
    table: Table
    most: int

    @property
    def digest(self) -> str:
        """A trial reuses nothing, so it need not be told from another."""
        return f"the newest {self.most} rows"

    def __call__(self) -> pl.DataFrame:
        opened = open_source(self.source() if callable(self.source) else self.source)
        read = 0

        def is_wanted(batch: pa.RecordBatch) -> bool:
            nonlocal read
            read += batch.num_rows
            return bool(read - batch.num_rows < _MOST_READ)

        batches = list(takewhile(is_wanted, opened.batches()))
        found: Any = pl.from_arrow(pa.Table.from_batches(batches, schema=opened.schema))
        return newest(found.lazy(), self.table, self.most)


def _first_of(source: Any) -> None:
    try:
        opened = open_source(source() if callable(source) else source)
        next(opened.batches(), None)
    except LoopwrightError:
        raise
    except Exception as error:
        raise BadSource(
            f"the source cannot be read: {type(error).__name__}: {error}",
            where="source=",
            fix="correct it: every run reads it. Code that is deployed lies apart from the project's files: paths of "
            "data are relative to the loop file's folder, as open('data.csv'), and never made of __file__",
        ) from error
