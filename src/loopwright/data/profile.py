"""`Profile`: the sketches of all columns of a table, as one mergeable state with a JSON form. NumPy alone.

`update` with a batch, `merge` with another profile of the same columns, look at `column(name)`. Equal rows in the same
order give equal JSON however they were cut into batches; in another order, or in parts that were merged, all but two
things are the same to the bit: means and deviations of floats, and which of more than 1,024 strings were kept.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from loopwright.data.association import Association, Label, associate
from loopwright.data.distinct import hash_texts
from loopwright.data.duplicates import Copies
from loopwright.data.histogram import Extra
from loopwright.data.sketch import SKETCHES, Described, TextSketch
from loopwright.data.summary import ColumnStatistics, column_statistics
from loopwright.errors import DataError

FORMAT = 2
"""Version of the JSON; a reader refuses a newer one, and 1, which held no state."""
Values: TypeAlias = "NDArray[Any] | Sequence[Any]"
_AS_ARRAY: Mapping[Described, Any] = {"integer": np.int64, "float": np.float64, "boolean": np.bool_, "time": np.int64}


class Profile:
    """The columns by name and kind. With `weight`, numbers are also described by the weights in that column; with
    `label`, every column also by what it tells of the label.

    >>> profile = Profile({"distance": "integer", "carrier": "string"})
    >>> profile.update({"distance": [733, None, 2475], "carrier": ["B6", "UA", "UA"]})
    >>> profile.column("distance").mean, profile.column("carrier").values
    (1604.0, {'UA': 2, 'B6': 1})
    >>> Profile.from_json(profile.to_json()).to_json() == profile.to_json()
    True
    """

    def __init__(
        self, kinds: Mapping[str, Described], *, weight: str | None = None, label: Label | None = None
    ) -> None:
        for role, name in (("weight", weight), ("label", label.name if label else None)):
            if name is not None and name not in kinds:
                raise DataError(f"{role} names the column {name!r}, which is not described")
        self.rows = 0
        self.weight, self.label = weight, label
        extra = (weight is not None) + (label.width if label else 0)
        self.sketches: dict[str, Any] = {
            name: SKETCHES[kind](extra, weighted=weight is not None) for name, kind in kinds.items()
        }
        # Of lists only the lengths are known, and equal lengths make no copy.
        self.copies = Copies({name: kind for name, kind in kinds.items() if kind != "list"})

    @property
    def kinds(self) -> dict[str, Described]:
        return {name: sketch.kind for name, sketch in self.sketches.items()}

    def update(self, batch: Any) -> None:
        """Columns by name: arrays, or sequences with None where there is no value; times as whole microseconds."""
        columns = {name: _split(batch[name], kind) for name, kind in self.kinds.items()}
        rows = {len(batch[name]) for name in columns}
        if len(rows) > 1:
            raise DataError(f"the columns of a batch have {sorted(rows)} rows")
        extra = self._extra({name: batch[name] for name in (self.weight, self._label) if name is not None})
        if rows != {0}:
            self.copies.split(lambda name: digest(*columns[name]))
        self.rows += rows.pop() if rows else 0
        for name, (values, there) in columns.items():
            add(self.sketches[name], values, there, extra)

    def merge(self, other: Profile) -> None:
        """What the other saw, too. Raises `DataError` for other columns."""
        if (self.kinds, self.weight, self.label) != (other.kinds, other.weight, other.label):
            raise DataError("profiles of other columns, another weight or label do not merge")
        self.flush()
        theirs = other.settled()
        self.rows += other.rows
        for name, sketch in self.sketches.items():
            sketch.merge(theirs.sketches[name])
        self.copies.merge(theirs.copies)

    def flush(self) -> None:
        """Work off what was put aside."""
        for sketch in self.sketches.values():
            sketch.flush()

    def is_at_rest(self, name: str) -> bool:
        """Whether nothing of the column is put aside."""
        return bool(self.sketches[name].is_at_rest)

    def at_rest(self) -> Self:
        """Itself where nothing is put aside, for copying is most of the work; else `settled`. To be read."""
        return self if all(map(self.is_at_rest, self.sketches)) else self.settled()

    def settled(self) -> Self:
        """A copy with nothing put aside; this one goes on as if nobody had looked."""
        made = copy.deepcopy(self)
        made.flush()
        return made

    def only(self, names: Iterable[str]) -> Self:
        """A copy with these columns, in this order. Raises `KeyError`, and `DataError` without the weight or label."""
        kinds = self.kinds
        made = type(self)({name: kinds[name] for name in names}, weight=self.weight, label=self.label)
        made.rows = self.rows
        made.sketches = {name: copy.deepcopy(self._settled(name)) for name in made.sketches}
        groups = [[name for name in group if name in made.sketches] for group in self.copies.groups]
        made.copies = Copies.of([group for group in groups if len(group) > 1])
        return made

    def column(self, name: str) -> ColumnStatistics:
        """Raises `KeyError`."""
        return column_statistics(name, self._settled(name))

    def association(self, name: str) -> Association:
        """Of a column with the label. Raises `DataError` without one."""
        if self.label is None:
            raise DataError("the profile was made without a label", fix="write Profile(..., label=Label(...))")
        return associate(self._settled(name), self.label, int(self.weight is not None))

    def to_json(self) -> str:
        """Equal profiles give equal bytes. About 3 kB a column, of numbers at most 9; of long texts what up to 1,024
        of them take, each cut to 200 characters."""
        told = {
            "format": FORMAT,
            "rows": self.rows,
            "weight": self.weight,
            "label": None if self.label is None else _label_dict(self.label),
            "copies": sorted(self.copies.groups),
            "columns": [{"name": name, **self._settled(name).to_dict()} for name in self.sketches],
        }
        return json.dumps(told, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises `DataError` for text that is no profile, or of another format."""
        try:
            found = json.loads(text)
            if found["format"] != FORMAT:
                raise DataError(
                    f"the statistics have format {found['format']}, not {FORMAT}", fix="describe the rows again"
                )
            return cls._from_dict(found)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise DataError(f"the text is no profile: {error!r}", fix="give what Profile.to_json() wrote") from None

    @classmethod
    def _from_dict(cls, found: Mapping[str, Any]) -> Self:
        label = found["label"]
        made = cls(
            {one["name"]: one["kind"] for one in found["columns"]},
            weight=found["weight"],
            label=None
            if label is None
            else Label(name=label["name"], values=tuple(label["values"]), edges=tuple(label["edges"])),
        )
        made.rows = int(found["rows"])
        for one in found["columns"]:
            made.sketches[one["name"]].fill(one)
        made.copies = Copies.of(found["copies"])
        return made

    @property
    def _label(self) -> str | None:
        return self.label.name if self.label else None

    def _extra(self, columns: Mapping[str, Any]) -> Extra | None:
        """The extra sums of every row; a row without a weight weighs nothing."""
        parts: list[Extra] = []
        if self.weight is not None:
            weights, there = _split(columns[self.weight], "float")
            filled = np.zeros((len(columns[self.weight]), 1))
            filled[slice(None) if there is None else there, 0] = np.where(np.isfinite(weights), weights, 0.0)
            parts.append(filled)
        if self.label is not None:
            parts.append(self.label.columns(_labels(columns[self.label.name], numbers=bool(self.label.edges))))
        return np.concatenate(parts, axis=1) if parts else None

    def _settled(self, name: str) -> Any:
        """The column's sketch with nothing put aside, to be read; a copy only where something is."""
        if self.is_at_rest(name):
            return self.sketches[name]
        sketch = copy.deepcopy(self.sketches[name])
        sketch.flush()
        return sketch


def add(sketch: Any, values: NDArray[Any], there: NDArray[np.bool_] | None, extra: Extra | None) -> None:
    """The values that are there, and for the others no more than that they are missing. `there` None: all are."""
    present = extra
    if there is not None:
        present = None if extra is None else extra[there]
        sketch.add_nulls(len(there) - len(values), None if extra is None else extra[~there])
    if not len(values):
        return
    if isinstance(sketch, TextSketch):
        sketch.add_texts(values.tolist(), present)
    else:
        sketch.add(values, present)


def duplicates(profile: Profile) -> list[list[str]]:
    """Groups of columns that are copies of one another: at least one row, equal in all."""
    return sorted(profile.copies.groups) if profile.rows else []


def merged(profiles: Iterable[Profile]) -> Profile:
    """All of them in one; none of them changes. Raises `ValueError` for none."""
    first, *others = profiles
    made = first.settled()
    for other in others:
        made.merge(other)
    return made


def _split(values: Values, kind: Described) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """The values that are there, and which rows they belong to; None for all."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        return _split_array(values, kind)
    there = np.fromiter((value is not None for value in values), dtype=np.bool_, count=len(values))
    known = [value for value in values if value is not None]
    missing = None if len(known) == len(values) else there
    if kind == "list":
        return np.array([len(value) for value in known], dtype=np.int64), missing
    if kind == "string":
        made = np.empty(len(known), dtype=object)
        made[:] = known
        return made, missing
    return np.array(known, dtype=_AS_ARRAY[kind]), missing


def _split_array(values: NDArray[Any], kind: Described) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    if np.issubdtype(values.dtype, np.datetime64):
        there = ~np.isnat(values)
        return values[there].astype("datetime64[us]").view(np.int64), None if there.all() else there
    dtype = _AS_ARRAY.get(kind)
    return values if dtype is None else values.astype(dtype, copy=False), None


def _labels(values: Values, *, numbers: bool) -> NDArray[Any]:
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    if numbers:
        return np.array([np.nan if value is None else value for value in listed], dtype=np.float64)
    made = np.empty(len(listed), dtype=object)
    made[:] = [class_name(value) for value in listed]
    return made


def class_name(value: Any) -> str | None:
    """A label as one of the texts in `Label.values`.

    >>> class_name(True), class_name(3), class_name("UA")
    ('true', '3', 'UA')
    """
    if value is None or value == "":
        return None
    return str(value).lower() if isinstance(value, bool | np.bool_) else str(value)


def digest(values: NDArray[Any], there: NDArray[np.bool_] | None) -> bytes:
    """What a batch holds of one column."""
    content = hashlib.blake2b(b"" if there is None else np.packbits(there).tobytes(), digest_size=16)
    content.update(hash_texts(values.tolist()).tobytes() if values.dtype.kind in "OU" else values.tobytes())
    return content.digest()


def _label_dict(label: Label) -> dict[str, Any]:
    return {"name": label.name, "values": list(label.values), "edges": list(label.edges)}
