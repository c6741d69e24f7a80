"""`TrainingData`: what a loop's `train(data, ...)` receives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loopwright.errors import UsageError
from loopwright.train.previous import Previous
from loopwright.transform.inputs import Inputs, Kind

Rows = Callable[[], pl.LazyFrame]


class TrainingData:
    """The training part of the labelled rows: features without key, label and `never` columns.

    `X` holds them as the graph will see them: missing strings "", numbers float32 with NaN, timestamps in UTC. It is
    read at first use; `batches` reads piece by piece instead, for data larger than memory.

    >>> data = TrainingData.of(pl.DataFrame({"carrier": ["UA", None], "distance": [1400, 733]}), np.array([1, 0]))
    >>> data.categorical, data.numeric, data.X["carrier"].to_list()
    (['carrier'], ['distance'], ['UA', ''])
    """

    def __init__(
        self,
        rows: Rows,
        features: Sequence[str],
        *,
        label: str,
        weight: str | None = None,
        seed: int = 0,
        previous: Previous | None = None,
    ) -> None:
        """`rows` gives the rows, raw and lazily, with the features, the label and the weight.

        Raises `DeclarationError` for a feature that a graph could not take faithfully.
        """
        self._rows, self._label, self._weight = rows, label, weight
        self.inputs = _inputs(rows().select(features))
        self.seed = seed
        """For whatever draws random numbers: the run's, or a trial's."""
        self.previous = previous
        """The champion, where training starts from it; None from scratch."""
        self.logged: list[dict[str, float]] = []
        """What `log` was told, in order."""

    @classmethod
    def of(
        cls,
        features: pl.DataFrame,
        y: NDArray[np.generic],
        *,
        weights: NDArray[np.generic] | None = None,
        seed: int = 0,
        previous: Previous | None = None,
    ) -> TrainingData:
        """From frames at hand: for notebooks and tests of a `train` function."""
        frame = features.with_columns(pl.Series("\0label", y))
        if weights is not None:
            frame = frame.with_columns(pl.Series("\0weight", weights))
        weight = None if weights is None else "\0weight"
        return cls(frame.lazy, features.columns, label="\0label", weight=weight, seed=seed, previous=previous)

    @cached_property
    def raw(self) -> pl.DataFrame:
        """The rows as the table has them."""
        return self._rows().collect(engine="streaming")

    def head(self, rows: int) -> pl.DataFrame:
        """The first rows, as the table has them."""
        return self._rows().head(rows).collect()

    @cached_property
    def X(self) -> pl.DataFrame:  # noqa: N802 - as everywhere in the field
        return self.inputs.frame(self.raw)

    @cached_property
    def y(self) -> NDArray[np.generic]:
        """The labels, `(rows,)`."""
        return self._column(self._label).to_numpy()

    @cached_property
    def weights(self) -> NDArray[np.float64] | None:
        """`(rows,)`, of the column the loop names as its weight; None where it names none."""
        return None if self._weight is None else self._column(self._weight).cast(pl.Float64).to_numpy()

    @property
    def numeric(self) -> list[str]:
        """Integer, float and boolean columns."""
        return self.inputs.named(Kind.NUMBER)

    @property
    def categorical(self) -> list[str]:
        """String columns."""
        return self.inputs.named(Kind.STRING)

    @property
    def timestamps(self) -> list[str]:
        return self.inputs.named(Kind.TIME)

    def batches(self, rows: int = 65_536) -> Iterator[tuple[pl.DataFrame, NDArray[np.generic]]]:
        """(X, y) of at most `rows` rows at a time, in order, for `partial_fit` and the like."""
        for batch in self._rows().collect_batches(chunk_size=rows, maintain_order=True, engine="streaming"):
            yield self.inputs.frame(batch), batch[self._label].to_numpy()

    def log(self, **metrics: float | np.floating | np.integer) -> None:
        """Keep numbers with the version: `data.log(epoch=3, loss=0.31)`. Raises `UsageError` for what is no number."""
        for name, value in metrics.items():
            if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
                raise UsageError(f"{name}={value!r} is no number", where="data.log()", fix="log numbers: loss=0.31")
        self.logged.append({name: float(value) for name, value in metrics.items()})

    def _column(self, name: str) -> pl.Series:
        """Alone, where the rest was not read: labels fit into memory where features do not."""
        if "raw" in vars(self):
            return self.raw[name]
        return self._rows().select(name).collect(engine="streaming")[name]


def _inputs(features: pl.LazyFrame) -> Inputs:
    """By the types, and by the lowest and highest of integers: the rows themselves are not held."""
    schema = features.collect_schema()
    whole = [name for name, kind in schema.items() if kind.is_integer()]
    ends = [features.select(pl.col(whole).min()), features.select(pl.col(whole).max())] if whole else []
    found = pl.concat(pl.collect_all(ends)) if ends else pl.DataFrame()
    return Inputs.of(
        pl.DataFrame({name: found[name] if name in whole else [None] * 2 for name in schema}, schema=schema)
    )
