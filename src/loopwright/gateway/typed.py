"""Rows read straight into a type made from the schema: to read them is to check them, in a microsecond a row.

What does not fit is only said not to fit. `decode` reads it again, slowly, and finds every reason; it also accepts what
is rare and right (a date without a time), so nothing is refused here for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, TypeAlias

import msgspec
import numpy as np

from loopwright.data.schema import Kind, Schema
from loopwright.gateway.decode import INPUTS, LARGEST, Array, microseconds
from loopwright.predictions.concealing import TAG
from loopwright.transform.columns import MISSING_TIME
from loopwright.transform.columns import Column as Input
from loopwright.transform.columns import Kind as InputKind

Feed: TypeAlias = dict[str, Array]
_SCALAR = str | int | float | bool | None
_TYPES: Mapping[Kind, Any] = {
    "string": str,
    "integer": Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    "float": Annotated[float, msgspec.Meta(ge=-LARGEST, le=LARGEST)],
    "boolean": bool,
    "time": str,
}


class Misfit(Exception):
    """Rows that are not what the type says; `decode` knows what is wrong, if anything."""


class Typed:
    """The type of a schema's rows, and how they become the feed of the graph.

    >>> from loopwright.data.schema import Column
    >>> typed = Typed(Schema(columns=(Column(name="distance", kind="integer", missing=True),)))
    >>> rows = msgspec.json.decode(b'[{"distance": 1400}, {"distance": null}]', type=list[typed.row])
    >>> typed.feed(rows)["distance"].tolist()
    [[1400.0], [nan]]
    """

    def __init__(self, schema: Schema) -> None:
        columns = [(Input(name=one.name, kind=INPUTS[one.kind]), one) for one in schema.columns]
        names = {f"c{place}": one.name for place, one in enumerate(schema.columns)}
        beside = [name for name in dict.fromkeys((*schema.key, schema.time)) if name and name not in schema.names]
        keys = {f"k{place}": name for place, name in enumerate(beside)}
        fields = [
            (field, _TYPES[one.kind] | None if one.missing else _TYPES[one.kind])
            for field, one in zip(names, schema.columns, strict=True)
        ]
        self.plain: Callable[..., Any] = _struct("Plain", fields, names)
        self.row: Any = _struct(
            "Row", [*fields, *((key, _SCALAR | msgspec.UnsetType, msgspec.UNSET) for key in keys)], names | keys
        )
        """What a row is decoded as; the fields of its key may be left out."""
        self.shape = tuple((one.name, one.kind, one.missing) for one in schema.columns), schema.key, schema.time
        """Rows of two models are read alike where this is the same."""
        self._count = len(fields)
        self._names = schema.names
        self._hides = any(TAG in one.tags or one.name in schema.pii for one in schema.columns)
        """Whether the journal writes some values otherwise than they came: then it is given a mapping."""
        self._has_keys = bool(keys) or any(name in schema.names for name in (*schema.key, schema.time))
        self._keys = _key_getters(schema, {name: field for field, name in (names | keys).items()})
        self._beside = _getter(keys) if keys else None
        of = {kind: [(f, c) for f, (c, _) in zip(names, columns, strict=True) if c.kind is kind] for kind in InputKind}
        self._numbers, self._texts, self._times = (_Block(of[kind]) for kind in _ORDER)

    def takes(self, other: Typed) -> bool:
        """Whether rows of another type are rows of this one too."""
        return self.shape == other.shape

    def fits(self, rows: Sequence[Any]) -> Sequence[tuple[int, ...]]:
        """The times of each row, in microseconds. Raises `Misfit` for a time that is none, or a key that is none."""
        if self._beside is not None:
            beside = self._beside
            if any(type(one) is int and abs(one) >= 2**63 for row in rows for one in beside(row)):
                raise Misfit
        if not self._times.inputs:
            return ()
        return [tuple(map(_moment, self._times.values(row))) for row in rows]

    def feed(self, rows: Sequence[Any], times: Sequence[tuple[int, ...]] | None = None) -> Feed:
        """Arrays of shape (rows, 1) by the names of the graph: one call of NumPy a kind, not one a column."""
        found: Feed = {}
        if self._numbers.inputs:
            block = np.array(list(map(self._numbers.values, rows)), dtype=np.float32)  # None is NaN
            found.update(zip(self._numbers.inputs, np.ascontiguousarray(block.T)[:, :, None], strict=True))
        if self._texts.inputs:
            found.update(self._texts.arrays(_texts(map(self._texts.values, rows)), object))
        if self._times.inputs:
            moments = self.fits(rows) if times is None else times
            found.update(self._times.arrays(list(chain.from_iterable(moments)), np.int64))
        return found

    def parts(self, row: Any) -> tuple[Any, Mapping[str, Any] | None]:
        """A row as it is recorded: the model's columns, and what names it beside them."""
        if not self._has_keys and not self._hides:
            return row, None
        key = {name: value for name, get in self._keys if (value := get(row)) is not msgspec.UNSET}
        if self._hides:
            return dict(zip(self._names, msgspec.structs.astuple(row), strict=False)), key or None
        if self._beside is None:
            return row, key or None
        return self.plain(*msgspec.structs.astuple(row)[: self._count]), key or None


class _Block:
    """The columns of one kind."""

    def __init__(self, columns: Sequence[tuple[str, Input]]) -> None:
        self.inputs = [one.input for _, one in columns]
        self.values = _getter([field for field, _ in columns])

    def arrays(self, flat: Sequence[Any], dtype: Any) -> Iterable[tuple[str, Array]]:
        """Of values in the order of the rows."""
        block = np.empty(len(flat), dtype=dtype)
        block[:] = flat
        columns = np.ascontiguousarray(block.reshape(-1, len(self.inputs)).T)
        return zip(self.inputs, columns[:, :, None], strict=True)


def _texts(rows: Iterable[tuple[str | None, ...]]) -> list[str]:
    flat = list(chain.from_iterable(rows))
    return ["" if one is None else one for one in flat] if None in flat else flat  # type: ignore[return-value]


def _moment(text: str | None) -> int:
    if text is None:
        return MISSING_TIME
    found = microseconds(text)
    if found is None:
        raise Misfit
    return found


def _getter(fields: Iterable[str]) -> Callable[[Any], tuple[Any, ...]]:
    """The values of some fields, always as a tuple."""
    names = list(fields)
    if len(names) == 1:
        get = attrgetter(names[0])
        return lambda row: (get(row),)
    return attrgetter(*names) if names else lambda _: ()


def _key_getters(schema: Schema, fields: Mapping[str, str]) -> list[tuple[str, Callable[[Any], Any]]]:
    return [(name, attrgetter(fields[name])) for name in dict.fromkeys((*schema.key, schema.time)) if name]


def _struct(name: str, fields: Sequence[Any], names: Mapping[str, str]) -> Any:
    """Columns may be called anything, so the fields have names of their own."""
    make: Callable[..., Any] = partial(msgspec.defstruct, forbid_unknown_fields=True, gc=False)
    return make(name, fields, rename=dict(names))


_ORDER = (InputKind.NUMBER, InputKind.STRING, InputKind.TIME)
