"""A split carried out: the part of every row, the same wherever and however often it is asked for.

Rows whose label has not arrived are no negatives: they belong to no part, and are counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loopwright.data.distinct import hash_texts
from loopwright.errors import DataError, did_you_mean
from loopwright.train.split import Split

TRAIN, VALIDATION, HELD = 0, 1, 2
"""The parts. On `VALIDATION` a search compares; the final model trains on both of the first two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Where the parts end, and how many rows each has."""

    split: Split
    key: tuple[str, ...]
    """What places a row, for a split that is not by time: its group, its key, or for want of one all its columns."""
    time: str | None
    """The column that orders the rows, for a split by time."""
    bounds: tuple[datetime, datetime] | None
    """For a split by time: rows from the first on validate, from the second on are held out."""
    train_rows: int = 0
    """Of which `validation_rows` validate a search."""
    validation_rows: int = 0
    held_rows: int = 0
    unlabelled_rows: int = 0
    """Rows whose label has not arrived: left out."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What the parts go by."""
        return self.key if self.time is None else (self.time,)

    def of(self, rows: pl.DataFrame) -> NDArray[np.int8]:
        """The part of each row, `(rows,)`. A row is in the same part whatever other rows there are."""
        if self.bounds is not None:
            return _by_time(rows, str(self.time), self.bounds)
        return _by_share(_places(rows, self.key, self.split.seed), self.split.holdout)

    def only(self, labelled: pl.LazyFrame, *wanted: int) -> pl.LazyFrame:
        """The rows of these parts, lazily. `labelled` has the columns that the split goes by."""
        if self.bounds is not None:
            at = pl.col(str(self.time)).cast(pl.Datetime("us", "UTC"))
            part = (at >= self.bounds[0]).cast(pl.Int8) + (at >= self.bounds[1]).cast(pl.Int8)
            return labelled.filter(part.is_in(wanted))
        places = np.flatnonzero(np.isin(self.of(labelled.select(self.key).collect()), wanted))
        chosen = pl.col("\0row").is_in(pl.Series(places, dtype=pl.UInt32).implode())
        return labelled.with_row_index("\0row").filter(chosen).drop("\0row")

    def to_dict(self) -> dict[str, Any]:
        """For a version's lineage: enough to tell later which rows it was trained on."""
        ends = None if self.bounds is None else [one.isoformat() for one in self.bounds]
        split = {"by": self.split.by, "holdout": self.split.holdout, "seed": self.split.seed}
        return split | {"key": list(self.key), "time": self.time, "bounds": ends}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Parts:
        """Raises `KeyError`, `TypeError` or `ValueError` for what `to_dict` did not write."""
        key = tuple(told["key"]) if told["by"] == "groups" else ()
        ends = [datetime.fromisoformat(one) for one in told["bounds"] or ()]
        return cls(
            split=Split(told["by"], key=key, holdout=told["holdout"], seed=told["seed"]),
            key=tuple(told["key"]),
            time=told["time"],
            bounds=(ends[0], ends[1]) if ends else None,
        )


def carry_out(
    split: Split, labelled: pl.DataFrame, *, time: str | None, key: Sequence[str] = (), unlabelled_rows: int = 0
) -> Parts:
    """Settle the parts of these labelled rows, of a table with this time and key.

    Raises `DataError` when there would be none to train or to judge on.

    >>> rows = pl.DataFrame({"at": [datetime(2013, 1, day) for day in range(1, 11)]})
    >>> parts = carry_out(Split(holdout=0.2), rows, time="at")
    >>> parts.train_rows, parts.held_rows, parts.bounds[1].day
    (8, 2, 9)
    """
    by_time = split.by == "time"
    draft = Parts(
        split=split,
        key=() if by_time else split.key or tuple(key) or tuple(labelled.columns),
        time=time if by_time else None,
        bounds=_time_bounds(labelled, str(time), split.holdout) if by_time and len(labelled) else None,
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


def _places(rows: pl.DataFrame, key: Sequence[str], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each row, by a hash of its key: on every machine and beside any other rows the same."""
    missing = [column for column in key if column not in rows.columns]
    if missing:
        raise DataError(
            f"the split's key names {missing[0]!r}, which the table does not have",
            where="split=",
            fix=did_you_mean(missing[0], rows.columns),
        )
    parts = [pl.lit(str(seed)), *(pl.col(name).cast(pl.String).fill_null("\0") for name in key)]
    texts = rows.select(pl.concat_str(parts, separator="\0")).to_series()
    return (hash_texts(texts.to_list()) >> np.uint64(11)).astype(np.float64) / 2**53
