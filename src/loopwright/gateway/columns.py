"""Rows that came as Arrow, column by column, as what the graph takes; and predictions as Arrow. Needs pyarrow.

Whole columns are converted at once where every value fits. Where one may not, all rows are read again, one by one, by
the strict decoder: it alone says what is wrong, so that Arrow and JSON have one contract. A NaN is a value that is not
known, as null is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loopwright.core.version import Arm, Version
from loopwright.data.schema import Kind, Schema
from loopwright.gateway.decode import EARLIEST, LARGEST, LATEST, Array, Decoder, Problems
from loopwright.gateway.model import Predicted
from loopwright.gateway.refused import Refused, unfit
from loopwright.predictions import columnar
from loopwright.predictions.columnar import Facts
from loopwright.transform.columns import MISSING_TIME
from loopwright.transform.predictor import class_text

Column: TypeAlias = Any
"""A `pyarrow.Array`."""
MOST_TEXT_BYTES = 64 << 20
"""Of the texts of a column together, each row's counted: one long text that all rows refer to is short in a body."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNITS: Mapping[str, int | None] = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": None}
_DAY = 86_400_000_000
_VIEW_WORDS = 4
"""A view of a text is four words of 32 bits; the first is its length."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows as the journal keeps them. Made before the model runs, while they are near."""

    columns: Mapping[str, Column]
    """The model's."""
    keys: Mapping[str, Column]


def taken(decoder: Decoder, rows: pa.RecordBatch) -> tuple[Mapping[str, Array], Kept]:
    """By the names of the graph, each of shape (rows, 1); and what of the rows is kept.

    The rows are valid Arrow: `RecordBatch.validate(full=True)`. Raises `Refused` for rows that do not fit the schema.
    """
    columns, schema = _columns(rows, decoder.schema), decoder.schema
    found = _converted(decoder, columns)
    fed = _strictly(decoder, columns, rows.num_rows) if found is None else found
    floating = [one.name for one in schema.columns if pa.types.is_floating(columns[one.name].type)]
    inputs = {column.name: given.input for given, column in zip(decoder.inputs, schema.columns, strict=True)}
    is_known = found is not None and _count_nan([found[inputs[name]] for name in floating]) == sum(
        columns[name].null_count for name in floating
    )
    names = frozenset(schema.names)
    kept = {name: one if is_known else _without_nan(one) for name, one in columns.items() if name in names}
    return fed, Kept(kept, {name: _without_nan(one) for name, one in columns.items() if name not in names})


def _converted(decoder: Decoder, columns: Mapping[str, Column]) -> dict[str, Array] | None:
    """Whole columns; None where a value may not fit."""
    schema = decoder.schema
    if not columns.keys() <= {*schema.names, *schema.key, schema.time}:
        return None
    found: dict[str, Array] = {}
    numbers = []
    with np.errstate(over="ignore"):
        for given, column in zip(decoder.inputs, schema.columns, strict=True):
            values = _READERS[column.kind](columns[column.name], column.missing) if column.name in columns else None
            if values is None:
                return None
            found[given.input] = values.reshape(-1, 1)
            if column.kind in ("float", "integer"):
                numbers.append(values)
    return found if not numbers or _are_small(np.concatenate(numbers)) else None


def _are_small(numbers: Array) -> bool:
    """Whether all that are known are surely below the largest of 32 bits: a bigger one became infinite, or this."""
    return not np.fmax.reduce(np.abs(numbers)) >= LARGEST  # NaN where none is known


def _count_nan(columns: Sequence[Array]) -> int:
    return int(np.isnan(np.concatenate(columns)).sum()) if columns else 0


def facts(
    ulid: str, at: datetime, version: Version, arm: Arm, *, unit: str | None, latency_ms: float, route: int | None
) -> Facts:
    """What holds for every row of a request."""
    return Facts(
        ulid=ulid,
        at=at,
        loop=version.loop,
        version=version.number,
        digest=version.digest,
        arm=arm.name,
        unit=unit,
        shadow=arm.shadow,
        latency_ms=latency_ms,
        route=route,
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """The predictions of a request, column by column."""

    facts: Facts
    found: Mapping[str, Column]
    """`label` or `value`."""
    probabilities: Mapping[str, Column]
    """By class, as text."""

    @classmethod
    def of(cls, facts: Facts, predicted: Predicted, classes: Sequence[Any]) -> Answered:
        if predicted.probabilities is None or predicted.label is None:
            return cls(facts, {"value": pa.array(predicted.value)}, {})
        label = _labels(predicted.label, _label_type(classes))
        shares = np.asfortranarray(predicted.probabilities)
        return cls(
            facts, {"label": label}, {class_text(one): pa.array(shares[:, at]) for at, one in enumerate(classes)}
        )

    def told(self, *, is_recorded: bool) -> pa.RecordBatch:
        """Each row's `id`, then `label` and a `probability_<class>` of each class, or `value`. Loop, version and arm
        are in the schema's metadata; and, where the predictions are not in the journal, that they are not."""
        count = len(next(iter(self.found.values())))
        shares = {f"probability_{name}": share for name, share in self.probabilities.items()}
        facts = {"loop": self.facts.loop, "version": str(self.facts.version), "arm": self.facts.arm}
        facts |= {} if is_recorded else {"recorded": "false"}
        return pa.RecordBatch.from_pydict(
            {"id": _ids(self.facts.ulid, count)} | dict(self.found) | shares, metadata=facts
        )

    def recorded(self, kept: Kept) -> pa.RecordBatch:
        """With the rows, for the journal."""
        return columnar.recorded(
            self.facts, kept.columns, keys=kept.keys, probabilities=self.probabilities, **self.found
        )


def _without_nan(column: Column) -> Column:
    """As null, which is how a row says that a value is not known."""
    if not pa.types.is_floating(column.type):
        return column
    is_nan = np.isnan(column.to_numpy(zero_copy_only=False))
    if int(is_nan.sum()) == column.null_count:
        return column
    return pa.array(column.to_numpy(zero_copy_only=False), column.type, mask=is_nan)


def _labels(labels: Array, type: Any) -> Column:  # noqa: A002 - so it is called in Arrow
    return pa.array(labels if labels.dtype.kind in "bi" else labels.tolist(), type)


@lru_cache(maxsize=4)
def _numbers_as_text(most: int) -> Column:
    return pa.array(np.arange(most)).cast(pa.string())


def _ids(ulid: str, count: int) -> Column:
    """Of each row.

    >>> _ids("01JD", 2).to_pylist()
    ['01JD.0', '01JD.1']
    """
    numbers = _numbers_as_text(max(1024, 1 << (count - 1).bit_length()))[:count]
    return pc.binary_join_element_wise(f"{ulid}.", numbers, "")


def _label_type(classes: Sequence[Any]) -> Any:
    return {bool: pa.bool_(), int: pa.int64()}.get(type(classes[0]), pa.string())


def _columns(rows: pa.RecordBatch, schema: Schema) -> dict[str, Column]:
    """By name. Raises `Refused` for names that are there twice, and types that no column can have."""
    names = rows.schema.names
    found = dict(zip(names, rows.columns, strict=True))
    if len(found) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(422, f"the column {twice[:80]!r} is there twice")
    for name, column in found.items():
        if _kind(column.type) is None:
            known = ", ".join(schema.names)
            raise Refused(
                422,
                f"the column {name[:80]!r} has the type {str(column.type)[:80]}",
                fix=f"send plain columns: {known}",
            )
        if _text_bytes(column) > MOST_TEXT_BYTES:
            raise Refused(413, f"the texts of {name[:80]!r} have more than {MOST_TEXT_BYTES:,} bytes", fix="send fewer")
    return found


@lru_cache(maxsize=256)
def _kind(type: Any) -> str | None:  # noqa: A002 - so it is called in Arrow
    """What its values are; None for what a row of JSON could not hold."""
    if pa.types.is_dictionary(type):
        return "text" if _kind(type.value_type) == "text" else None
    return next((kind for kind, is_one in _KINDS.items() if is_one(type)), None)


def _is_text(type: Any) -> bool:  # noqa: A002
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type))


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "text": _is_text,
    "whole": pa.types.is_integer,
    "number": pa.types.is_floating,
    "truth": pa.types.is_boolean,
    "time": pa.types.is_timestamp,
    "date": pa.types.is_date,
    "nothing": pa.types.is_null,
}


def _text_bytes(column: Column) -> int:
    """Where several rows may refer to one text; otherwise they are no more than the body."""
    if pa.types.is_dictionary(column.type):
        lengths = _lengths(column.dictionary)
        indices = column.indices.fill_null(0) if column.indices.null_count else column.indices
        return int(lengths[indices.to_numpy()].sum()) if len(lengths) else 0
    return int(_lengths(column).sum()) if pa.types.is_string_view(column.type) else 0


def _lengths(texts: Column) -> Array:
    if pa.types.is_string_view(texts.type):
        if not len(texts):
            return np.zeros(0, np.int64)
        words = np.frombuffer(texts.buffers()[1], "<i4", _VIEW_WORDS * (texts.offset + len(texts)))
        return words[texts.offset * _VIEW_WORDS :: _VIEW_WORDS].astype(np.int64)
    return np.asarray(pc.binary_length(texts).fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)


def _texts(column: Column, may_miss: bool) -> Array | None:
    if _kind(column.type) != "text" or (column.null_count and not may_miss):
        return None
    if not pa.types.is_dictionary(column.type):
        whole = column.cast(pa.large_string()) if pa.types.is_string_view(column.type) else column
        full = whole.fill_null("") if column.null_count else whole
        return np.asarray(full.to_numpy(zero_copy_only=False), dtype=object)
    if column.dictionary.null_count:
        return None
    known = np.append(column.dictionary.to_numpy(zero_copy_only=False), "")
    indices = column.indices
    if indices.null_count:
        indices = indices.cast(pa.int64()).fill_null(len(known) - 1)
    return np.asarray(known[indices.to_numpy()], dtype=object)


def _numbers(column: Column, may_miss: bool) -> Array | None:
    if _kind(column.type) not in ("whole", "number"):
        return None
    values = column.to_numpy(zero_copy_only=False)
    if not may_miss and values.dtype.kind == "f" and np.isnan(values).any():
        return None
    return np.asarray(values.astype(np.float64, copy=False).astype(np.float32))


def _wholes(column: Column, may_miss: bool) -> Array | None:
    found = _numbers(column, may_miss)
    if found is None or _kind(column.type) == "whole":
        is_far = column.type == pa.uint64() and found is not None and bool((found >= 2.0**63).any())
        return None if is_far else found
    values = column.drop_null().to_numpy()
    values = values[~np.isnan(values)]
    is_whole = bool((np.floor(values) == values).all()) and bool(
        (values < 2.0**63).all() & (values >= -(2.0**63)).all()
    )
    return found if is_whole else None


def _truths(column: Column, may_miss: bool) -> Array | None:
    if not pa.types.is_boolean(column.type) or (column.null_count and not may_miss):
        return None
    return np.asarray(column.cast(pa.float32()).to_numpy(zero_copy_only=False), dtype=np.float32)


def _times(column: Column, may_miss: bool) -> Array | None:
    if _kind(column.type) not in ("time", "date") or (column.null_count and not may_miss):
        return None
    values = microseconds(column)
    if values is None:
        return None
    if column.null_count:
        values[~column.is_valid().to_numpy(zero_copy_only=False)] = MISSING_TIME
    return values


def microseconds(column: Column) -> Array | None:
    """Since 1970 in UTC, of timestamps or dates; 0 where there is none. None where one is of no year from 1 to 9999.

    >>> microseconds(pa.array([-1], pa.timestamp("ns"))).tolist()
    [-1]
    """
    if pa.types.is_timestamp(column.type):
        unit, counts = _UNITS[column.type.unit], column.cast(pa.int64())
    else:
        unit, counts = _DAY, column.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
    values = counts.fill_null(0).to_numpy()
    if unit is None:
        return np.asarray(values // 1_000)  # 64 bits of nanoseconds end in 2262
    is_within = not len(values) or (EARLIEST // unit <= values.min() and values.max() <= LATEST // unit)
    return np.asarray(values * unit) if is_within else None


_READERS: Mapping[Kind, Callable[[Column, bool], Array | None]] = {
    "string": _texts,
    "integer": _wholes,
    "float": _numbers,
    "boolean": _truths,
    "time": _times,
}
"""A column as an array, or None where a value may not fit."""


def _strictly(decoder: Decoder, columns: Mapping[str, Column], count: int) -> Mapping[str, Array]:
    """Row by row. Raises `Refused` with what is wrong."""
    decoded = decoder.decode(rows(columns, count))
    if isinstance(decoded, Problems):
        raise unfit(decoded, "the model's columns")
    return decoded.feed


def rows(columns: Mapping[str, Column], count: int) -> list[dict[str, Any]]:
    """As the same rows would have come as JSON: times as text, what is not known as null."""
    values = [list(_values(column)) for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)] if values else [{}] * count


def _values(column: Column) -> Iterator[Any]:
    if _kind(column.type) not in ("time", "date"):
        for value in column.to_pylist():
            yield None if value != value else value
        return
    found = microseconds(column)
    if found is None:  # a time that no calendar has is no time
        yield from (None if value is None else str(value) for value in column.cast(pa.int64()).to_pylist())
        return
    for value, is_known in zip(found.tolist(), column.is_valid().to_pylist(), strict=True):
        yield (_EPOCH + timedelta(microseconds=value)).isoformat() if is_known else None
