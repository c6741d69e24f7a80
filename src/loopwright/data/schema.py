"""The column contract of a model: what a row must look like, frozen at training. Nothing heavy may be imported.

The columns are exactly the model's inputs, in order. What was seen of values (categories, lowest, highest) is told to
people; a value beyond it is no error, for a model must answer to a carrier that is new.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from loopwright.errors import DataError

FORMAT = 1
"""Version of the JSON; a reader refuses a newer one."""
Kind = Literal["string", "integer", "float", "boolean", "time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the contract."""

    name: str
    kind: Kind
    missing: bool
    """Whether a row may have null here: training saw some, and the model answers to it."""
    values: tuple[str, ...] | None = None
    """The categories seen, where there were at most 100."""
    low: float | str | None = None
    """Lowest value seen; a time as RFC 3339 text."""
    high: float | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns a model takes, and the roles that others have in its table.

    >>> schema = Schema(columns=(Column(name="carrier", kind="string", missing=False),), key=("flight_id",))
    >>> Schema.from_json(schema.to_json()) == schema
    True
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    time: str | None = None
    label: str | None = None
    never: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def to_json(self) -> str:
        """Equal schemas give equal bytes."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Raises `DataError` for text that is no schema, or of a newer format."""
        try:
            found = json.loads(text)
            if found["format"] > FORMAT:
                raise DataError(f"the schema has format {found['format']}", fix="read it with a newer Loopwright")
            return _schema(found)
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"the text is no schema: {error!r}", fix="give what Schema.to_json() wrote") from None


def _schema(found: Mapping[str, Any]) -> Schema:
    columns = tuple(
        Column(**{**one, "values": None if one["values"] is None else tuple(one["values"])}) for one in found["columns"]
    )
    for column in columns:
        if column.kind not in get_args(Kind):
            raise ValueError(column.kind)
    return Schema(**{**found, "columns": columns, "key": tuple(found["key"]), "never": tuple(found["never"])})
