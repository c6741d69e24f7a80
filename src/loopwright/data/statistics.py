"""Statistics of anything tabular: Arrow batches, Parquet files and frames through the sketches, in one pass.

This is the Arrow side of `profile`, which is NumPy alone. What is missing is left out by Arrow's own bitmaps; strings
come as codes of a dictionary, as Parquet stores them, and are counted as codes: a string is looked at once a
dictionary, not once a row. Memory is that of one batch and of the states, however many rows there are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from loopwright.data.association import Label
from loopwright.data.distinct import hash_utf8
from loopwright.data.histogram import Extra, tally
from loopwright.data.profile import Profile, add, digest, duplicates
from loopwright.data.sketch import Described, TextSketch
from loopwright.data.summary import ColumnStatistics
from loopwright.errors import DataError

__all__ = ["ColumnStatistics", "Statistics", "TableProfile", "describe", "kind_of", "profile_by", "profile_parquet"]

BATCH_ROWS = 131_072
TOO_WIDE = "whole numbers of 2**63 and more cannot be described"
_MOST_CELLS = 1 << 23
"""Of a batch: a wide table is read in shorter ones."""
_MOST_NAMED = 20
_FEW_ROWS = 4096
"""Strings of shorter batches are put aside, and counted together."""
_MOST_ASIDE_BYTES = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Statistics:
    """All columns of some rows, and the state that later rows can be merged into."""

    rows: int
    columns: tuple[ColumnStatistics, ...]
    duplicates: tuple[tuple[str, ...], ...] = ()
    """Columns that are copies of one another."""
    state: str
    """The profile, as JSON."""

    def __repr__(self) -> str:
        """Short, however many columns there are.

        >>> describe(pl.LazyFrame({"carrier": ["UA", "B6"], "late": [True, False]}))
        Statistics(rows=2, columns=['carrier', 'late'])
        """
        names = [one.name for one in self.columns]
        more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
        return f"Statistics(rows={self.rows}, columns={names[:_MOST_NAMED]}{more})"

    def column(self, name: str) -> ColumnStatistics:
        """Raises `LookupError`."""
        found = next((one for one in self.columns if one.name == name), None)
        if found is None:
            raise LookupError(name)
        return found

    def profile(self) -> TableProfile:
        """The state again, to be merged with another, updated, or asked for more."""
        return TableProfile.from_json(self.state)

    def to_json(self) -> str:
        """The state, of which all else is made. Equal statistics give equal bytes."""
        return self.state

    def _repr_html_(self) -> str:
        from loopwright.data import report

        return report.statistics_html(self)

    @classmethod
    def of(cls, profile: Profile) -> Statistics:
        rest = profile.at_rest()
        return cls._of(rest, rest.to_json())

    @classmethod
    def from_json(cls, text: str) -> Statistics:
        """Of what `to_json` gave, which is kept as it is. Raises `DataError` for text that is none, or of another
        format."""
        return cls._of(TableProfile.from_json(text), text)

    @classmethod
    def _of(cls, profile: Profile, state: str) -> Statistics:
        return cls(
            rows=profile.rows,
            columns=tuple(map(profile.column, profile.sketches)),
            duplicates=tuple(map(tuple, duplicates(profile))),
            state=state,
        )


class TableProfile(Profile):
    """A profile that takes Arrow batches, of the types `kind_of` knows."""

    def __init__(
        self, kinds: Mapping[str, Described], *, weight: str | None = None, label: Label | None = None
    ) -> None:
        super().__init__(kinds, weight=weight, label=label)
        self._texts = {name: _Codes() for name, kind in kinds.items() if kind == "string"}

    @classmethod
    def of_schema(cls, schema: pa.Schema, *, weight: str | None = None, label: Label | None = None) -> Self:
        """Raises `DataError` for a type that is not described."""
        return cls({field.name: kind_of(field.name, field.type) for field in schema}, weight=weight, label=label)

    def update(self, batch: pa.RecordBatch) -> None:
        """A batch that has at least the columns of this profile."""
        if not batch.num_rows:
            return
        extra = self._extra({name: _listed(batch.column(name)) for name in (self.weight, self._label) if name})
        self.copies.split(lambda name: _digest(batch.column(name), self.sketches[name].kind, name))
        self.rows += batch.num_rows
        for name, sketch in self.sketches.items():
            if name in self._texts:
                self._texts[name].add(sketch, batch.column(name), extra)
            else:
                add(sketch, *_values(batch.column(name), sketch.kind, name), extra)

    def flush(self) -> None:
        for name, codes in self._texts.items():
            codes.flush(self.sketches[name])
        super().flush()

    def is_at_rest(self, name: str) -> bool:
        return super().is_at_rest(name) and (name not in self._texts or self._texts[name].is_at_rest)

    def _settled(self, name: str) -> Any:
        sketch = super()._settled(name)
        if name in self._texts and not self._texts[name].is_at_rest:
            copy.deepcopy(self._texts[name]).flush(sketch)
        return sketch


def describe(rows: pl.LazyFrame) -> Statistics:
    """The statistics of these rows. Raises `DataError` for a column of a kind that is not described (structs).

    >>> found = describe(pl.LazyFrame({"carrier": ["UA", "B6", "UA", ""], "distance": [1400, 733, None, 2475]}))
    >>> found.column("carrier").values, found.column("carrier").missing, found.column("distance").low
    ({'UA': 2, 'B6': 1}, 1, 733)
    """
    profile = TableProfile.of_schema(pl.DataFrame(schema=rows.collect_schema()).to_arrow().schema)
    for batch in batches(rows, len(profile.sketches)):
        profile.update(batch)
    profile.flush()
    return Statistics.of(profile)


def profile_parquet(paths: Sequence[str | Path], columns: Sequence[str] | None = None) -> TableProfile:
    """Of the rows of these Parquet files, which have the same columns."""
    profile: TableProfile | None = None
    for path in paths:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
        wanted = list(schema.names if columns is None else columns)
        texts = [name for name in wanted if _is_text(schema.field(name).type)]
        profile = profile or TableProfile.of_schema(pa.schema([schema.field(name) for name in wanted]))
        with pq.ParquetFile(path, read_dictionary=texts, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=batch_rows(len(wanted)), columns=wanted, use_threads=False):
                profile.update(batch)
    if profile is None:
        raise DataError("there is no file to describe")
    return profile


def profile_by(batches: Iterable[pa.RecordBatch], column: str, *, weight: str | None = None) -> dict[Any, TableProfile]:
    """A profile for each value of a column: of the rows that have it. None stands for no value.

    >>> batch = pa.record_batch({"origin": ["EWR", "JFK", "EWR"], "delay": [3, 5, 9]})
    >>> {value: one.column("delay").mean for value, one in profile_by([batch], "origin").items()}
    {'EWR': 6.0, 'JFK': 5.0}
    """
    found: dict[Any, TableProfile] = {}
    for batch in batches:
        values = batch.column(column)
        for value in pc.unique(values).to_pylist():
            rows = batch.filter(pc.is_null(values) if value is None else pc.equal(values, value))
            found.setdefault(value, TableProfile.of_schema(batch.schema, weight=weight)).update(rows)
    return found


def kind_of(name: str, dtype: pa.DataType) -> Described:
    """Raises `DataError` for a type that is not described.

    >>> kind_of("distance", pa.int32())
    'integer'
    """
    types = pa.types
    if types.is_boolean(dtype):
        return "boolean"
    if types.is_integer(dtype):
        return "integer"
    if types.is_floating(dtype) or types.is_decimal(dtype):
        return "float"
    if _is_text(dtype) or types.is_null(dtype) or (types.is_dictionary(dtype) and _is_text(dtype.value_type)):
        return "string"
    if types.is_timestamp(dtype) or types.is_date(dtype):
        return "time"
    if types.is_list(dtype) or types.is_large_list(dtype) or types.is_fixed_size_list(dtype):
        return "list"
    raise DataError(
        f"a column of type {dtype} cannot be described",
        where=f"column {name!r}",
        fix="turn it into numbers, strings or timestamps, or list it in never=",
    )


class _Codes:
    """Rows of strings on their way into a sketch: counted by the codes of the dictionary that they share."""

    def __init__(self) -> None:
        self.dictionary: pa.Array | None = None
        self.tallies: NDArray[Any] = np.zeros((0, 1), dtype=np.int64)
        self.aside: list[tuple[pa.Array, Extra | None]] = []
        self.rows_aside = self.bytes_aside = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> _Codes:
        """Arrow's arrays never change, and are shared."""
        made = _Codes()
        made.dictionary, made.tallies, made.aside = self.dictionary, self.tallies.copy(), list(self.aside)
        made.rows_aside, made.bytes_aside = self.rows_aside, self.bytes_aside
        return made

    @property
    def is_at_rest(self) -> bool:
        return self.dictionary is None and not self.aside

    def add(self, sketch: TextSketch, array: pa.Array, extra: Extra | None) -> None:
        coded = pa.types.is_dictionary(array.type)
        if coded and len(array) >= _FEW_ROWS:
            self._count(sketch, array, extra)
            return
        plain, done = array.cast(pa.large_string()), 0
        while done < len(plain):
            # Always as many, so that what is kept of very many strings does not depend on the batches.
            part = plain.slice(done, BATCH_ROWS - self.rows_aside)
            self.aside.append((part, None if extra is None else extra[done : done + len(part)]))
            done += len(part)
            self.rows_aside += len(part)
            self.bytes_aside += part.nbytes
            if self.rows_aside == BATCH_ROWS or self.bytes_aside > _MOST_ASIDE_BYTES:
                self._count_aside(sketch)

    def flush(self, sketch: TextSketch) -> None:
        self._count_aside(sketch)
        if self.dictionary is not None:
            texts = self.dictionary.cast(pa.large_string())
            ends, content = _buffers(texts)
            lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
            sketch.add(hash_utf8(ends, content), lengths, self.tallies, lambda at: texts.take(pa.array(at)).to_pylist())
            self.dictionary = None

    def _count_aside(self, sketch: TextSketch) -> None:
        if self.aside:
            arrays, extras = zip(*self.aside, strict=True)
            self.aside, self.rows_aside, self.bytes_aside = [], 0, 0
            extra = None if extras[0] is None else np.concatenate(extras)
            self._count(sketch, pa.concat_arrays(arrays).dictionary_encode(), extra)

    def _count(self, sketch: TextSketch, array: pa.DictionaryArray, extra: Extra | None) -> None:
        if self.dictionary is None or not array.dictionary.equals(self.dictionary):
            self.flush(sketch)
            self.dictionary = array.dictionary
            self.tallies = tally(np.zeros(0, dtype=np.int64), len(array.dictionary), _none_of(extra))
        codes, there = _split(array.indices)
        if there is not None:
            sketch.add_nulls(len(there) - len(codes), None if extra is None else extra[~there])
            extra = None if extra is None else extra[there]
        self.tallies += tally(codes, len(self.tallies), extra)


def batches(rows: pl.LazyFrame, columns: int) -> Iterator[pa.RecordBatch]:
    """In the order of the rows; the more columns, the fewer rows in each."""
    for chunk in rows.collect_batches(chunk_size=batch_rows(columns), maintain_order=True, lazy=True):
        yield from chunk.to_arrow().to_batches()


def batch_rows(columns: int) -> int:
    """Rows of a batch of so many columns."""
    return max(min(BATCH_ROWS, _MOST_CELLS // max(columns, 1)), 1024)


def _is_text(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype))


def _values(array: pa.Array, kind: Described, name: str) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Those that are there, in the type that the sketch takes, and which rows they belong to."""
    if kind == "list":
        values, there = _split(pc.list_value_length(array))
        return values.astype(np.int64), there
    if kind == "time":
        return _split(_microseconds(array))
    if kind == "float" and pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if array.type == pa.uint64():
        array = _signed(array, name)
    values, there = _split(array)
    dtype = {"integer": np.int64, "float": np.float64}.get(kind)
    return values if dtype is None else values.astype(dtype, copy=False), there


def _split(array: pa.Array) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Of numbers and booleans: straight from Arrow's buffers."""
    validity, data = array.buffers()
    if data is None:
        return np.zeros(0, dtype=np.int64), np.zeros(len(array), dtype=np.bool_)
    if pa.types.is_boolean(array.type):
        values = _bits(data, array)
    else:
        dtype = array.type.to_pandas_dtype()
        size = np.dtype(dtype).itemsize
        values = np.frombuffer(data, dtype=dtype, count=len(array), offset=array.offset * size)
    if validity is None or not array.null_count:
        return values, None
    there = _bits(validity, array)
    return values[there], there


def _bits(buffer: pa.Buffer, array: pa.Array) -> NDArray[np.bool_]:
    whole, first = divmod(array.offset, 8)
    packed = np.frombuffer(buffer, dtype=np.uint8, offset=whole, count=(first + len(array) + 7) // 8)
    return np.unpackbits(packed, count=first + len(array), bitorder="little")[first:].view(np.bool_)


def _microseconds(array: pa.Array) -> pa.Array:
    """Since 1970, rounded down."""
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("ms" if pa.types.is_date64(array.type) else "s"))
    if array.type.unit == "ns":
        nanoseconds = array.cast(pa.int64())
        cut = pc.divide(nanoseconds, 1000)  # towards zero
        return pc.subtract(cut, pc.less(nanoseconds, pc.multiply(cut, 1000)).cast(pa.int64()))
    try:
        return array.cast(pa.timestamp("us", array.type.tz)).cast(pa.int64())
    except pa.ArrowInvalid:
        return _saturated(array)


def _saturated(array: pa.Array) -> pa.Array:
    """What leaves 64 bits is told as the lowest and highest of them, which no calendar has either."""
    factor = {"s": 1_000_000, "ms": 1000}[array.type.unit]
    counts, ends = array.cast(pa.int64()), np.iinfo(np.int64)
    most = ends.max // factor
    return pc.if_else(
        pc.greater(counts, most), ends.max, pc.if_else(pc.less(counts, -most), ends.min, pc.multiply(counts, factor))
    )


def _signed(array: pa.Array, name: str) -> pa.Array:
    try:
        return array.cast(pa.int64())
    except pa.ArrowInvalid:
        raise DataError(
            TOO_WIDE, where=f"column {name!r}", fix="turn it into floats or strings, or list it in never="
        ) from None


def _buffers(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    _, ends, content = texts.buffers()
    if ends is None or not len(texts):
        return np.zeros(len(texts) + 1, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    offsets = np.frombuffer(ends, dtype=np.int64, count=len(texts) + 1, offset=8 * texts.offset)
    return offsets, np.frombuffer(content, dtype=np.uint8) if content is not None else np.zeros(0, dtype=np.uint8)


def _none_of(extra: Extra | None) -> Extra | None:
    return None if extra is None else extra[:0]


def _listed(array: pa.Array) -> list[Any]:
    return list(array.to_pylist())


def _digest(array: pa.Array, kind: Described, name: str) -> bytes:
    """What a batch holds of one column."""
    if kind != "string":
        return digest(*_values(array, kind, name))
    texts = array.cast(pa.large_string())
    known = texts.drop_null() if texts.null_count else texts
    there = None if not texts.null_count else texts.is_valid().to_numpy(zero_copy_only=False)
    return digest(hash_utf8(*_buffers(known)), there)
