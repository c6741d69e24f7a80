"""The labelled predictions of a window as samples of each version, which every metric is computed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from loopwright.judge.catalog import Task
from loopwright.judge.sample import Floats
from loopwright.monitor.looking import text_of
from loopwright.monitor.slicing import as_declared
from loopwright.monitor.watched import Known

_COUNTS = ("rows", "labelled", "waiting", "missing", "strange")
_ARRAYS = ("labels", "predictions", "wrong", "told", "asked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What one version answered in a window, and what came true of it."""

    known: Known
    rows: int
    labelled: int
    waiting: int
    missing: int
    """Their time is over: no label, and no negative one."""
    strange: int
    """Rows whose label is none that the version knows."""
    labels: Floats
    """`(rows,)`: 0 or 1, the place of the class, or a number; of those that can be measured."""
    predictions: Floats
    """`(rows,)`, or `(rows, classes)`."""
    wrong: Floats
    """`(rows,)`: 1 where what was said is not what came true, or is further from it than half of the held-out rows."""
    told: np.ndarray[Any, Any]
    """`(rows,)`: when each label was, in UTC."""
    asked: np.ndarray[Any, Any]
    """`(rows,)`: when each prediction was made, in UTC."""
    columns: pl.DataFrame
    """Of the same rows, what slices are cut by."""
    newest: datetime | None = None
    """When the last label was told, also one that is none."""

    def new(self, since: datetime | None) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which labels were told after that moment; None: all. One that is told again, otherwise, is new again."""
        if since is None:
            return np.ones(len(self.told), dtype=np.bool_)
        return np.asarray(self.told > np.datetime64(since.astimezone(UTC).replace(tzinfo=None), "us"))

    @property
    def share(self) -> float:
        return self.labelled / self.rows if self.rows else 0.0


def labelled(found: pl.DataFrame, known: Known) -> Labelled:
    """Of what `joining.joined` gave, the rows of this version."""
    mine = found.filter(pl.col("version") == known.number)
    counts = dict(mine["label_status"].value_counts().iter_rows()) if len(mine) else {}
    there = mine.filter(pl.col("label_status") == "labelled")
    labels, predictions = _regression(there) if known.task is Task.REGRESSION else _classes(there, known)
    said = np.isfinite(predictions)
    is_right = np.isfinite(labels) & (said if said.ndim == 1 else said.all(axis=1))
    kept = there.filter(pl.Series(is_right))
    rows = kept["row"].struct.unnest() if kept.schema.get("row", pl.Null) != pl.Null else pl.DataFrame()
    labels, predictions = labels[is_right], predictions[is_right]
    return Labelled(
        known=known,
        rows=len(mine),
        labelled=counts.get("labelled", 0),
        waiting=counts.get("waiting", 0),
        missing=counts.get("missing", 0),
        strange=len(there) - len(kept),
        labels=labels,
        predictions=predictions,
        wrong=_wrong(kept, labels, predictions, known),
        told=kept["labelled_at"].dt.replace_time_zone(None).to_numpy(),
        asked=kept["at"].dt.replace_time_zone(None).to_numpy(),
        columns=as_declared(rows, known),
        newest=_newest(there["labelled_at"]),
    )


def together(parts: Sequence[Labelled]) -> list[Labelled]:
    """Parts of one window as one, by version."""
    found = dict[int, list[Labelled]]()
    for one in parts:
        found.setdefault(one.known.number, []).append(one)
    return [_one(found[number]) for number in sorted(found)]


def _one(parts: Sequence[Labelled]) -> Labelled:
    if len(parts) == 1:
        return parts[0]
    counts = {name: sum(getattr(one, name) for one in parts) for name in _COUNTS}
    arrays: dict[str, Any] = {name: np.concatenate([getattr(one, name) for one in parts]) for name in _ARRAYS}
    columns = pl.concat([one.columns for one in parts if len(one.columns)] or [pl.DataFrame()], how="diagonal_relaxed")
    newest = max((one.newest for one in parts if one.newest is not None), default=None)
    return Labelled(known=parts[0].known, columns=columns, newest=newest, **counts, **arrays)


def _newest(told: pl.Series) -> datetime | None:
    found = told.max()
    return found.astimezone(UTC) if isinstance(found, datetime) else None


def _regression(there: pl.DataFrame) -> tuple[Floats, Floats]:
    labels = there["label"].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    return labels, there["value"].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _classes(there: pl.DataFrame, known: Known) -> tuple[Floats, Floats]:
    """NaN for a label that the version does not know, and for a probability that is not there."""
    places = {name: float(place) for place, name in enumerate(known.classes)}
    labels = _mapped(there["label"], lambda one: places.get(text_of(one), float("nan")))
    shares = _shares(there, known)
    return labels, shares[:, 1] if known.task is Task.BINARY and shares.shape[1] > 1 else shares


def _shares(there: pl.DataFrame, known: Known) -> Floats:
    names = known.classes or ("",)
    if there.schema.get("probabilities", pl.Null) == pl.Null:
        return np.full((len(there), len(names)), np.nan)
    told = there["probabilities"].struct.unnest()
    nothing = pl.Series(np.full(len(there), np.nan))
    columns = [told[name].cast(pl.Float64) if name in told.columns else nothing for name in names]
    return np.column_stack([one.fill_null(float("nan")).to_numpy() for one in columns])


def _mapped(values: pl.Series, named: Any) -> Floats:
    """A look at each value that is different."""
    if not len(values):
        return np.zeros(0)
    kinds = values.unique().to_list()
    made = pl.Series([float("nan") if one is None else named(one) for one in kinds], dtype=pl.Float64)
    return values.replace_strict(pl.Series(kinds, dtype=values.dtype), made, default=float("nan")).to_numpy()


def _wrong(kept: pl.DataFrame, labels: Floats, predictions: Floats, known: Known) -> Floats:
    if known.task is Task.REGRESSION:
        half = usual_error(known)
        return (np.abs(predictions - labels) > (half or 0.0)).astype(np.float64)
    places = {name: float(place) for place, name in enumerate(known.classes)}
    said = _mapped(kept["predicted"], lambda one: places.get(text_of(one), -1.0))
    return np.asarray(said != labels, dtype=np.float64)


def usual_error(known: Known) -> float | None:
    """Of a regression: what half of the held-out rows were not further off by."""
    found = known.judged_as("median_ae")
    return None if found is None else found.value


def usual_rate(known: Known) -> float | None:
    """How often it was wrong on the rows it was judged on; None where its bundle does not say."""
    if known.task is Task.REGRESSION:
        return None if usual_error(known) is None else 0.5
    found = known.judged_as("accuracy")
    return None if found is None or found.value is None else 1 - found.value
