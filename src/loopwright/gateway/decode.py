"""Rows of JSON as what the graph takes, or a list of what is wrong with them. Strict: nothing is turned into its type.

A number in quotes, a 1 for a true, a row that lacks a column: each would be predicted on silently, and wrongly. What is
wrong is therefore told with its row, its column, its value, and what was expected there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from loopwright.data.schema import Column, Kind, Schema
from loopwright.errors import did_you_mean
from loopwright.transform.columns import MISSING_TIME
from loopwright.transform.columns import Column as Input
from loopwright.transform.columns import Kind as InputKind

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Row: TypeAlias = Mapping[str, Any]

LISTED = 100
"""So many problems are looked for."""
_LONGEST = 100
"""Characters of a text that are told back."""
LARGEST = float(np.finfo(np.float32).max)
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
EARLIEST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""Microseconds since 1970 of the first and the last moment that a calendar has in UTC: nothing beyond can be read."""
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one value, told to whoever sent it."""

    row: int
    column: str | None
    """None where the row as a whole is meant."""
    value: str | int | float | bool | None
    expected: str


@dataclass(frozen=True, slots=True)
class Problems:
    """Why rows were not predicted on."""

    listed: tuple[Problem, ...]
    is_all: bool = True
    """False when more was not looked for."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Rows that fit: the feed of the graph, and each row in its two parts, as it came."""

    feed: Mapping[str, Array]
    """Of shape (rows, 1), by the names of the graph."""
    rows: Sequence[Row]
    """The model's columns."""
    keys: Sequence[Row | None]
    """What names the row: its key and time, where they were sent."""


class Decoder:
    """Checks and converts rows for one schema.

    >>> decoder = Decoder(Schema(columns=(Column(name="distance", kind="integer", missing=False),)))
    >>> decoder.decode([{"distance": 1400}]).feed["distance"].tolist()
    [[1400.0]]
    >>> decoder.decode([{"distance": "1400"}]).listed
    (Problem(row=0, column='distance', value='1400', expected='a whole number'),)
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.inputs = tuple(Input(name=column.name, kind=INPUTS[column.kind]) for column in schema.columns)
        """What the graph must take for rows of this schema."""
        self._names = frozenset(schema.names)
        self._key = tuple(name for name in dict.fromkeys((*schema.key, schema.time)) if name)
        self._beside = frozenset(self._key) - self._names
        self._columns = [
            (given, column, _READERS[column.kind]) for given, column in zip(self.inputs, schema.columns, strict=True)
        ]

    def decode(self, rows: Sequence[Any], numbers: Sequence[int] | None = None) -> Decoded | Problems:
        """`numbers` are what the problems call the rows; from 0 if not given."""
        doubts = _Doubts(numbers or range(len(rows)))
        try:
            return self._decode(rows, doubts)
        except _Enough:
            return doubts.problems()

    def _decode(self, rows: Sequence[Any], doubts: _Doubts) -> Decoded | Problems:
        whole = [row if isinstance(row, dict) else {} for row in rows]
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                doubts.add(index, None, row, lambda: "an object with a value for each column")
            elif row.keys() != self._names:
                self._check_names(row, index, doubts)
        feed = {given.input: _array(whole, column, read, doubts) for given, column, read in self._columns}
        if doubts.are_any:
            return doubts.problems()
        return Decoded(feed, [self._inputs_of(row) for row in whole], [self._key_of(row) for row in whole])

    def _check_names(self, row: Row, index: int, doubts: _Doubts) -> None:
        for name, value in row.items():
            if name in self._beside:
                if not is_scalar(value):
                    doubts.add(index, name, value, lambda: "text, a number of 64 bits, true, false or null")
            elif name not in self._names:
                doubts.add(index, name, value, partial(self._why_not, name))

    def _why_not(self, name: str) -> str:
        if name in self.schema.never:
            return "nothing: the column is not known when a prediction is made (never=), so do not send it"
        if name == self.schema.label:
            return "nothing: this is what is predicted; send it to /v1/labels once it is known"
        return f"no such column; {did_you_mean(name[:_LONGEST], self._names | self._beside)}"

    def _inputs_of(self, row: Row) -> Row:
        return row if len(row) == len(self._names) else {name: row[name] for name in self.schema.names}

    def _key_of(self, row: Row) -> Row | None:
        return {name: row[name] for name in self._key if name in row} or None


def _array(rows: Sequence[Row], column: Column, read: Callable[[Any], Any], doubts: _Doubts) -> Array:
    """One column, of shape (rows, 1)."""
    name, values = column.name, []
    dtype, hole = _ARRAYS[column.kind]
    for index, row in enumerate(rows):
        value = row.get(name, _ABSENT)
        if value is None and column.missing:
            values.append(hole)
            continue
        found = read(value)
        if found is None:
            _doubt(index, column, value, doubts)
            found = hole
        values.append(found)
    return np.array(values, dtype=dtype).reshape(-1, 1)


def _doubt(index: int, column: Column, value: Any, doubts: _Doubts) -> None:
    if value is not _ABSENT:
        doubts.add(index, column.name, value, partial(_expected, column, value))
    elif not doubts.is_known(index):  # of what is no row, no column is told
        instead = " or, where it is not known, null" if column.missing else ""
        doubts.add(index, column.name, None, lambda: f"{_NOUNS[column.kind]}; the column is left out: send it{instead}")


def _expected(column: Column, value: Any) -> str:
    noun = _NOUNS[column.kind]
    if column.missing:
        return f"{noun} or null"
    if value is None:
        return f"{noun}; the training data had none missing, so the model does not know null"
    largest = _LIMITS.get(column.kind)
    if largest is not None and type(value) in (int, float) and abs(value) >= largest:
        return f"{noun} below {largest:.6g}"
    return noun


def _text(value: Any) -> str | None:
    return value if type(value) is str else None


def _integer(value: Any) -> int | float | None:
    is_whole = type(value) is int or (type(value) is float and value.is_integer())
    return value if is_whole and -(2**63) <= value < 2**63 else None


def _float(value: Any) -> int | float | None:
    return value if type(value) in (int, float) and -LARGEST <= value <= LARGEST else None


def _boolean(value: Any) -> bool | None:
    return value if type(value) is bool else None


def microseconds(value: Any) -> int | None:
    """Since 1970 in UTC, of a time of RFC 3339 or a date; without a zone it is UTC. None for what is none, and for what
    lies in no year from 1 to 9999 once it is in UTC.

    >>> microseconds("1970-01-01T01:00:00+01:00"), microseconds("1970-01-02"), microseconds("tomorrow")
    (0, 86400000000, None)
    >>> microseconds("9999-12-31T23:59:59-12:00")
    """
    if type(value) is not str or not _RFC3339.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:  # the 31st of June
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    found = (aware - _EPOCH) // _MICROSECOND
    return found if EARLIEST <= found <= LATEST else None


_READERS: Mapping[Kind, Callable[[Any], Any]] = {
    "string": _text,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
    "time": microseconds,
}
"""A value as it enters an array, or None for one of another kind."""
_ARRAYS: Mapping[Kind, tuple[Any, Any]] = {
    "string": (object, ""),
    "integer": (np.float32, np.nan),
    "float": (np.float32, np.nan),
    "boolean": (np.float32, np.nan),
    "time": (np.int64, MISSING_TIME),
}
"""The type of the array, and what stands in it for a missing value."""
_LIMITS: Mapping[Kind, float] = {"integer": 2.0**63, "float": LARGEST}
INPUTS: Mapping[Kind, InputKind] = {
    "string": InputKind.STRING,
    "integer": InputKind.NUMBER,
    "float": InputKind.NUMBER,
    "boolean": InputKind.NUMBER,
    "time": InputKind.TIME,
}
_NOUNS: Mapping[Kind, str] = {
    "string": "text",
    "integer": "a whole number",
    "float": "a number",
    "boolean": "true or false",
    "time": 'a time like "2026-01-31T13:45:00Z"',
}


def is_scalar(value: Any) -> bool:
    """Whether a cell of a table can hold it.

    >>> is_scalar(-(2**63)), is_scalar(2**63), is_scalar([1])
    (True, False, False)
    """
    return value is None or isinstance(value, str | bool | float) or (type(value) is int and -(2**63) <= value < 2**63)


class _Enough(Exception):
    """There are more problems than are listed."""


class _Doubts:
    """Collects problems until there are enough."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._is_all = True
        self._numbers = numbers
        self._listed: list[Problem] = []
        self._no_rows: set[int] = set()

    def add(self, index: int, column: str | None, value: Any, expected: Callable[[], str]) -> None:
        """Raises `_Enough` for one more than are listed."""
        if len(self._listed) == LISTED:
            self._is_all = False
            raise _Enough
        if column is None:
            self._no_rows.add(index)
        name = column and column[:_LONGEST]
        self._listed.append(Problem(self._numbers[index], name, _shown(value), expected()))

    @property
    def are_any(self) -> bool:
        return bool(self._listed)

    def is_known(self, index: int) -> bool:
        """Whether that row is known to be none."""
        return index in self._no_rows

    def problems(self) -> Problems:
        return Problems(tuple(sorted(self._listed, key=lambda problem: problem.row)), self._is_all)


def _shown(value: Any) -> str | int | float | bool | None:
    """A value as it is told back: short, and never a structure."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}..."
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    return value if is_scalar(value) else "a number of more than 64 bits"
