"""One mergeable state a column: `add` values as they come, `merge` what others saw, `flush`, and look. NumPy alone.

The same state stands for training data, for a new span, for the live window in the gateway, and for a fragment on
another machine. All that is kept are whole numbers, which add up in any order to the same bits; only the mean and
deviation of floats, and sums of weights that are no whole numbers, are rounded (`moments`). Nothing here knows tables.

Why NumPy: of the time of Polars' streaming minimum and maximum of every column, this takes 1.65 (`bench/statistics`),
of which reading Parquet is 0.9. A compiled kernel took 1.3 and needs a compiler, numba 1.7 and a compiler at run time,
Polars' own expressions 3 and more, and their quantiles leave no state to merge. Pieces of 32,768 values stay in the
processor's cache from the first pass over them to the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from loopwright.data.distinct import Hashes, hash_texts
from loopwright.data.frequent import FewNumbers, FrequentTexts
from loopwright.data.histogram import Cells, Extra, FloatHistogram, IntegerHistogram, Tallies, tally, tally_type
from loopwright.data.moments import BLOCK, ExactMoments, Moments

PIECE = 8 * BLOCK
Described = Literal["string", "integer", "float", "boolean", "time", "list"]
"""The kinds of the schema, and lists, of which only the lengths are described."""
FIRST_TIME, LAST_TIME = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Microseconds since 1970: the first of the year 1, and the last of the year 9999."""


class ColumnSketch:
    """What every column has: rows, and those without a value. `extra` sums are kept of every row, weights first."""

    kind: Described

    def __init__(self, extra: int = 0, weighted: bool = False) -> None:
        self.extra, self.weighted = extra, weighted
        self.rows = 0
        self.nulls: Tallies = np.zeros(1 + extra, dtype=tally_type(extra))

    def add_nulls(self, count: int, extra: Extra | None = None) -> None:
        self.rows += count
        self.nulls[0] += count
        if extra is not None:
            self.nulls[1:] += extra.sum(axis=0)

    def flush(self) -> None:
        """Work off what was put aside. Once, before looking or merging."""

    @property
    def is_at_rest(self) -> bool:
        """Nothing is put aside."""
        return True

    def merge(self, other: Any) -> None:
        """Of the same class and the same extra sums; both flushed."""
        self.rows += other.rows
        self.nulls += other.nulls

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "rows": self.rows, "nulls": self.nulls.tolist()}

    def fill(self, found: Mapping[str, Any]) -> None:
        """From `to_dict()` of the same class. Raises `ValueError`, `KeyError` or `TypeError`."""
        self.rows = int(found["rows"])
        self.nulls = np.array(found["nulls"], dtype=tally_type(self.extra)).reshape(1 + self.extra)


class NumberSketch(ColumnSketch):
    """Values are put aside until there are 4,096, so that the work a batch costs does not depend on its size."""

    def __init__(self, extra: int = 0, weighted: bool = False) -> None:
        super().__init__(extra, weighted)
        self._aside: list[tuple[NDArray[Any], Extra | None]] = []
        self._aside_count = 0
        self.of_weight = Moments()

    def add(self, values: NDArray[Any], extra: Extra | None = None) -> None:
        """Those that are there: no nulls. The array may be changed afterwards."""
        self.rows += len(values)
        self._aside_count += len(values)
        if self._aside_count < BLOCK:
            self._aside.append((values.copy(), extra))
            return
        values, extra = self._all(values, extra)
        whole = len(values) // BLOCK * BLOCK
        self._work_off(values[:whole], None if extra is None else extra[:whole])
        self._aside = [(values[whole:].copy(), None if extra is None else extra[whole:])]
        self._aside_count = len(values) - whole

    def flush(self) -> None:
        if self._aside:
            values, extra = self._all(self._aside[0][0][:0], self._aside[0][1])
            self._aside, self._aside_count = [], 0
            self._work_off(values, extra)

    @property
    def is_at_rest(self) -> bool:
        return not self._aside_count

    def cells(self) -> Cells:
        """The histogram, lowest first."""
        raise NotImplementedError

    def _all(self, values: NDArray[Any], extra: Extra | None) -> tuple[NDArray[Any], Extra | None]:
        if self._aside_count == len(values):
            return values, extra
        parts = [*self._aside, (values, None if extra is None else extra[: len(values)])]
        both = np.concatenate([part[0] for part in parts])
        return both, None if extra is None else np.concatenate([part[1] for part in parts if part[1] is not None])

    def _work_off(self, values: NDArray[Any], extra: Extra | None) -> None:
        for at in range(0, len(values), PIECE):
            self._piece(values[at : at + PIECE], None if extra is None else extra[at : at + PIECE])

    def _piece(self, values: NDArray[Any], extra: Extra | None) -> None:
        raise NotImplementedError

    def _weigh(self, values: NDArray[Any], extra: Extra | None) -> None:
        if self.weighted and extra is not None:
            self.of_weight.add_weighted(values.astype(np.float64), extra[:, 0])

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | ({"of_weight": self.of_weight.to_list()} if self.weighted else {})

    def fill(self, found: Mapping[str, Any]) -> None:
        super().fill(found)
        if self.weighted:
            self.of_weight = Moments.from_list(found["of_weight"])

    def merge(self, other: Any) -> None:
        super().merge(other)
        self.of_weight.merge(other.of_weight)


class IntegerSketch(NumberSketch):
    """Whole numbers. While they lie within 4,096 of each other the histogram holds all there is to know, exactly."""

    kind: Described = "integer"

    def __init__(self, extra: int = 0, weighted: bool = False) -> None:
        super().__init__(extra, weighted)
        self.histogram = IntegerHistogram(extra)
        self.few = FewNumbers(extra)
        """From here on: unused while the histogram is exact."""
        self.moments = ExactMoments()
        self.zeros = 0

    def cells(self) -> Cells:
        return self.histogram.cells()

    def settled(self) -> tuple[FewNumbers, ExactMoments, int]:
        """The different values, the moments, and the zeros, from wherever they are kept."""
        if self.histogram.is_exact:
            return _of_values(*self.histogram.values(), self.extra)
        return self.few, self.moments, self.zeros

    def merge(self, other: IntegerSketch) -> None:
        super().merge(other)
        mine, theirs = self.settled(), other.settled()
        self.histogram.merge(other.histogram)
        if not self.histogram.is_exact:
            self.few, self.moments, self.zeros = mine[0], mine[1], mine[2] + theirs[2]
            self.few.merge(theirs[0])
            self.moments.merge(theirs[1])

    def to_dict(self) -> dict[str, Any]:
        told = super().to_dict() | {"histogram": self.histogram.to_dict()}
        if self.histogram.is_exact:
            return told
        # As text: JSON readers elsewhere hold whole numbers as floats.
        moments = [str(self.moments.count), str(self.moments.total), str(self.moments.squares)]
        return told | {"few": self.few.to_dict(), "moments": moments, "zeros": self.zeros}

    def fill(self, found: Mapping[str, Any]) -> None:
        super().fill(found)
        self.histogram = IntegerHistogram.from_dict(found["histogram"], self.extra)
        if not self.histogram.is_exact:
            self.few = FewNumbers.from_dict(found["few"], self.extra)
            self.moments = ExactMoments(*map(int, found["moments"]))
            self.zeros = int(found["zeros"])

    def _piece(self, values: NDArray[np.int64], extra: Extra | None) -> None:
        low, high = int(values.min()), int(values.max())
        if self.histogram.is_exact and not self.histogram.stays_exact(low, high):
            self.few, self.moments, self.zeros = self.settled()
        self.histogram.add(values, low, high, extra)
        if not self.histogram.is_exact:
            self.few.add(values, extra)
            self.moments.add(values, low, high)
            self.zeros += int(np.count_nonzero(values == 0)) if low <= 0 <= high else 0
        self._weigh(values, extra)


class TimeSketch(IntegerSketch):
    """Microseconds since 1970, in UTC. Those beyond the years 1 to 9999 are counted and take part in nothing else."""

    kind: Described = "time"

    def __init__(self, extra: int = 0, weighted: bool = False) -> None:
        super().__init__(extra, weighted)
        self.beyond: Tallies = np.zeros(1 + extra, dtype=tally_type(extra))

    def merge(self, other: IntegerSketch) -> None:
        super().merge(other)
        self.beyond += other.beyond if isinstance(other, TimeSketch) else 0

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | ({"beyond": self.beyond.tolist()} if self.beyond.any() else {})

    def fill(self, found: Mapping[str, Any]) -> None:
        super().fill(found)
        told = found.get("beyond", [0] * (1 + self.extra))
        self.beyond = np.array(told, dtype=tally_type(self.extra)).reshape(1 + self.extra)

    def _piece(self, values: NDArray[np.int64], extra: Extra | None) -> None:
        if int(values.min()) < FIRST_TIME or int(values.max()) > LAST_TIME:
            known = (values >= FIRST_TIME) & (values <= LAST_TIME)
            self.beyond += tally(known.astype(np.int64), 2, extra)[0]
            values, extra = values[known], None if extra is None else extra[known]
        if len(values):
            super()._piece(values, extra)


class ListSketch(IntegerSketch):
    """Lengths of lists."""

    kind: Described = "list"


class FloatSketch(NumberSketch):
    """Floats. NaN and infinities are counted and take part in nothing else."""

    kind: Described = "float"

    def __init__(self, extra: int = 0, weighted: bool = False) -> None:
        super().__init__(extra, weighted)
        self.histogram = FloatHistogram(extra)
        self.few = FewNumbers(extra)
        self.moments = Moments()
        self.odd: Tallies = np.zeros((3, 1 + extra), dtype=tally_type(extra))
        """NaN, minus infinity, plus infinity."""

    def cells(self) -> Cells:
        return self.histogram.cells()

    def merge(self, other: FloatSketch) -> None:
        super().merge(other)
        self.histogram.merge(other.histogram)
        self.few.merge(other.few)
        self.moments.merge(other.moments)
        self.odd += other.odd

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {
            "odd": self.odd.tolist(),
            "histogram": self.histogram.to_dict(),
            "few": self.few.to_dict(),
            "moments": self.moments.to_list(),
        }

    def fill(self, found: Mapping[str, Any]) -> None:
        super().fill(found)
        self.odd = np.array(found["odd"], dtype=tally_type(self.extra)).reshape(3, 1 + self.extra)
        self.histogram = FloatHistogram.from_dict(found["histogram"], self.extra)
        self.few = FewNumbers.from_dict(found["few"], self.extra)
        self.moments = Moments.from_list(found["moments"])

    def _piece(self, values: NDArray[np.float64], extra: Extra | None) -> None:
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            values, extra = self._without_odd(values, extra)
            if not len(values):
                return
            low, high = float(values.min()), float(values.max())
        if low <= 0 <= high:
            values, low, high = values + 0.0, low + 0.0, high + 0.0  # -0.0 becomes 0.0
        self.histogram.add(values, low, high, extra)
        self.few.add(values.view(np.int64), extra)
        self.moments.add(values)
        self._weigh(values, extra)

    def _without_odd(
        self, values: NDArray[np.float64], extra: Extra | None
    ) -> tuple[NDArray[np.float64], Extra | None]:
        kinds = np.isnan(values) + 2 * np.isneginf(values) + 3 * np.isposinf(values)
        self.odd += tally(kinds.astype(np.int64), 4, extra)[1:]
        fine = kinds == 0
        return values[fine], None if extra is None else extra[fine]


class BooleanSketch(ColumnSketch):
    """False and true."""

    kind: Described = "boolean"

    def __init__(self, extra: int = 0, weighted: bool = False) -> None:
        super().__init__(extra, weighted)
        self.tallies: Tallies = np.zeros((2, 1 + extra), dtype=tally_type(extra))

    def add(self, values: NDArray[np.bool_], extra: Extra | None = None) -> None:
        self.rows += len(values)
        if extra is not None:
            self.tallies += tally(values.astype(np.int64), 2, extra)
            return
        ones = int(np.count_nonzero(values))
        self.tallies[:, 0] += (len(values) - ones, ones)

    def merge(self, other: BooleanSketch) -> None:
        super().merge(other)
        self.tallies += other.tallies

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"tallies": self.tallies.tolist()}

    def fill(self, found: Mapping[str, Any]) -> None:
        super().fill(found)
        self.tallies = np.array(found["tallies"], dtype=tally_type(self.extra)).reshape(2, 1 + self.extra)


class TextSketch(ColumnSketch):
    """Texts. The empty one counts as no value, and is told apart from null."""

    kind: Described = "string"

    def __init__(self, extra: int = 0, weighted: bool = False) -> None:
        super().__init__(extra, weighted)
        self.frequent = FrequentTexts(extra)
        self.empty: Tallies = np.zeros(1 + extra, dtype=tally_type(extra))
        self.shortest = self.longest = self.length = 0
        """In characters, of those that are not empty; `length` is that of all together."""
        self._aside: list[str] = []
        self._extra_aside: list[Extra] = []

    def add_texts(self, texts: Sequence[str], extra: Extra | None = None) -> None:
        """Of rows, none of them null: put aside until there are 32,768, always as many, whatever the batches were."""
        done = 0
        while done < len(texts):
            upto = done + PIECE - len(self._aside)
            self._aside.extend(texts[done:upto])
            if extra is not None:
                self._extra_aside.append(extra[done:upto])
            done = upto
            if len(self._aside) == PIECE:
                self.flush()

    def flush(self) -> None:
        if self._aside:
            number: dict[str, int] = {}  # NumPy's own texts would lose zeros at their ends
            at = np.array([number.setdefault(text, len(number)) for text in self._aside], dtype=np.int64)
            tallies = tally(at, len(number), np.concatenate(self._extra_aside) if self._extra_aside else None)
            self._aside, self._extra_aside = [], []
            listed = list(number)
            lengths = np.fromiter(map(len, listed), dtype=np.int64, count=len(listed))
            self.add(hash_texts(listed), lengths, tallies, lambda places: [listed[one] for one in places.tolist()])

    @property
    def is_at_rest(self) -> bool:
        return not self._aside

    def add(
        self,
        hashes: Hashes,
        lengths: NDArray[np.int64],
        tallies: Tallies,
        texts: Callable[[NDArray[np.int64]], Sequence[str]],
    ) -> None:
        """Different texts with their lengths and tallies; `texts` gives the texts at some places."""
        self.rows += int(tallies[:, 0].sum())
        self.empty += tallies[lengths == 0].sum(axis=0)
        there = np.flatnonzero((lengths > 0) & (tallies[:, 0] > 0))
        if len(there):
            lengths, tallies = lengths[there], tallies[there]
            self._measure(int(lengths.min()), int(lengths.max()), int((lengths * tallies[:, 0]).sum()))
            self.frequent.add(hashes[there], tallies, lambda places: texts(there[places]))

    def merge(self, other: TextSketch) -> None:
        super().merge(other)
        self.empty += other.empty
        self.frequent.merge(other.frequent)
        if other.longest:
            self._measure(other.shortest, other.longest, other.length)

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {
            "empty": self.empty.tolist(),
            "lengths": [self.shortest, self.longest, self.length],
            "frequent": self.frequent.to_dict(),
        }

    def fill(self, found: Mapping[str, Any]) -> None:
        super().fill(found)
        self.empty = np.array(found["empty"], dtype=tally_type(self.extra)).reshape(1 + self.extra)
        self.shortest, self.longest, self.length = map(int, found["lengths"])
        self.frequent = FrequentTexts.from_dict(found["frequent"], self.extra)

    def _measure(self, shortest: int, longest: int, length: int) -> None:
        self.shortest = min(self.shortest, shortest) if self.longest else shortest
        self.longest = max(self.longest, longest)
        self.length += length


SKETCHES: Mapping[Described, type[Any]] = {
    "string": TextSketch,
    "integer": IntegerSketch,
    "float": FloatSketch,
    "boolean": BooleanSketch,
    "time": TimeSketch,
    "list": ListSketch,
}


def _of_values(values: NDArray[np.int64], tallies: Tallies, extra: int) -> tuple[FewNumbers, ExactMoments, int]:
    few, moments = FewNumbers(extra), ExactMoments()
    few.add_counted(values, tallies)
    moments.add_counted(values, tallies[:, 0])
    return few, moments, int(tallies[values == 0, 0].sum())
