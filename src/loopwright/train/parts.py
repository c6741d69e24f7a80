"""A split carried out: the part of every row, the same wherever and however often it is asked for.

Rows whose label has not arrived are no negatives: they belong to no part, and are counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loopwright.errors import DataError
from loopwright.train.split import Split

TRAIN, VALIDATION, HELD = 0, 1, 2
"""The parts. On `VALIDATION` a search compares; the final model trains on both of the first two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Where the parts end, and how many rows each has."""

    split: Split
    seed: int
    time: str | None
    """The column that orders the rows, for a split by time."""
    bounds: tuple[datetime, datetime] | None
    """For a split by time: rows from the first on validate, from the second on are held out."""
    train_rows: int
    """Of which `validation_rows` validate a search."""
    validation_rows: int
    held_rows: int
    unlabelled_rows: int
    """Rows whose label has not arrived: left out."""

    def of(self, labelled: pl.DataFrame) -> NDArray[np.int8]:
        """The part of each row, `(rows,)`; the frame holds all labelled rows, in the order of the table."""
        if self.bounds is not None:
            return _by_time(labelled, str(self.time), self.bounds)
        return _by_share(_positions(labelled, self.split, self.seed), self.split.holdout)

    def only(self, labelled: pl.LazyFrame, *wanted: int) -> pl.LazyFrame:
        """The rows of these parts, lazily. `labelled` has the columns that the split goes by."""
        if self.bounds is not None:
            at = pl.col(str(self.time)).cast(pl.Datetime("us", "UTC"))
            part = (at >= self.bounds[0]).cast(pl.Int8) + (at >= self.bounds[1]).cast(pl.Int8)
            return labelled.filter(part.is_in(wanted))
        columns = self.split.key or labelled.collect_schema().names()[:1]
        places = np.flatnonzero(np.isin(self.of(labelled.select(columns).collect()), wanted))
        chosen = pl.col("\0row").is_in(pl.Series(places, dtype=pl.UInt32).implode())
        return labelled.with_row_index("\0row").filter(chosen).drop("\0row")


def carry_out(split: Split, labelled: pl.DataFrame, *, time: str | None, unlabelled_rows: int, seed: int) -> Parts:
    """Settle the parts of these labelled rows. Raises `DataError` when there would be none to train or to judge on.

    >>> rows = pl.DataFrame({"at": [datetime(2013, 1, day) for day in range(1, 11)]})
    >>> parts = carry_out(Split(holdout=0.2), rows, time="at", unlabelled_rows=0, seed=0)
    >>> parts.train_rows, parts.held_rows, parts.bounds[1].day
    (8, 2, 9)
    """
    by_time = split.by == "time"
    draft = Parts(
        split=split,
        seed=seed,
        time=time if by_time else None,
        bounds=_time_bounds(labelled, str(time), split.holdout) if by_time and len(labelled) else None,
        train_rows=0,
        validation_rows=0,
        held_rows=0,
        unlabelled_rows=unlabelled_rows,
    )
    counts = np.bincount(draft.of(labelled), minlength=3).tolist() if len(labelled) else [0, 0, 0]
    train_rows = counts[TRAIN] + counts[VALIDATION]
    if not train_rows or not counts[HELD]:
        raise DataError(
            f"the split leaves no rows to {'judge on' if train_rows else 'train on'}: {len(labelled)} rows have "
            f"a label, {unlabelled_rows} have none",
            where=repr(split),
            fix="append more labelled rows, or choose another holdout or rule",
        )
    return replace(draft, train_rows=train_rows, validation_rows=counts[VALIDATION], held_rows=counts[HELD])


def _time_bounds(rows: pl.DataFrame, time: str, holdout: float) -> tuple[datetime, datetime]:
    """Rows of one moment stay together, on the later side."""
    times = rows[time].cast(pl.Datetime("us", "UTC")).sort()
    if times.null_count():
        raise DataError(
            f"{times.null_count()} rows have no {time!r}, and the split is by time",
            where=f"column {time!r}",
            fix='give every row its time, or split otherwise: split=lw.Split("random")',
        )
    last = len(times) - 1
    validation, held = (min(int(share * len(times)), last) for share in ((1 - holdout) ** 2, 1 - holdout))
    return times[validation], times[held]


def _by_time(rows: pl.DataFrame, time: str, bounds: tuple[datetime, datetime]) -> NDArray[np.int8]:
    at = rows[time].cast(pl.Datetime("us", "UTC"))
    return np.asarray((at >= bounds[0]).cast(pl.Int8) + (at >= bounds[1]).cast(pl.Int8), dtype=np.int8)


def _by_share(positions: NDArray[np.float64], holdout: float) -> NDArray[np.int8]:
    return np.digitize(positions, [(1 - holdout) ** 2, 1 - holdout]).astype(np.int8)


def _positions(rows: pl.DataFrame, split: Split, seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each row: drawn, or told by its group."""
    if split.by == "random":
        return np.random.default_rng(seed).permutation(len(rows)) / max(len(rows), 1)
    missing = [column for column in split.key if column not in rows.columns]
    if missing:
        raise DataError(f"the split's key names {missing[0]!r}, which the table does not have", where=repr(split))
    groups = rows.select(pl.struct(split.key).alias("group"))
    known = groups.unique()
    places = known.with_columns(place=pl.Series([_place(list(one.values()), seed) for one in known["group"]]))
    found = groups.join(places, on="group", how="left", nulls_equal=True, maintain_order="left")
    return found["place"].to_numpy()


def _place(values: Sequence[Any], seed: int) -> float:
    """The same on every machine and version."""
    content = "\0".join([str(seed), *(repr(value) for value in values)])
    return int.from_bytes(hashlib.blake2b(content.encode(), digest_size=6).digest(), "big") / 2**48
