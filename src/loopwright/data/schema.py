"""What the rows of a table, or of a request to its model, must look like. Nothing heavy may be imported.

A model's contract holds exactly its inputs, in order; a table's schema holds its key, time and label too. At the
gateway `kind` and `missing` are enforced and nothing else is, for a model must answer to a carrier that is new. All
other limits are what `check` holds many rows against; None is no limit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from hashlib import sha256
from typing import Any, Literal

from loopwright.errors import DataError, did_you_mean

FORMAT = 2
"""Version of the JSON; a reader refuses a newer one. 1 held what was seen, and no limits."""
Kind = Literal["string", "integer", "float", "boolean", "time", "list"]
"""Of lists only the lengths are described; no model takes them."""
KINDS: tuple[Kind, ...] = ("string", "integer", "float", "boolean", "time", "list")
Severity = Literal["error", "warning", "ignore"]
Measure = Literal["l_infinity", "jensen_shannon", "absolute_difference"]
MEASURES: tuple[Measure, ...] = ("l_infinity", "jensen_shannon", "absolute_difference")
TRAINING, SERVING = "training", "serving"
NEVER = "never"
"""The tag of a column that is not known when a prediction is asked for."""
Limit = int | float | str
"""A number, or a time as RFC 3339 text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What part of a column's values one value may make up."""

    value: str
    least: float = 0.0
    most: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A condition of one's own, as a SQL expression over the columns: `distance > 0 and air_time < 1440`."""

    name: str
    expression: str
    most: float = 0.0
    """Share of the rows that may fail it. Rows on which it is null do not fail."""
    severity: Severity = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """That a person widened the schema: the line that did it, and why."""

    at: str
    who: str
    why: str
    kind: str
    """Of the finding."""
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. `values`, `low` and `high` are what was seen, for people; with `closed` the values are a limit."""

    name: str
    kind: Kind
    missing: bool
    """Whether a row may have null here: training saw some, and the model answers to it."""
    values: tuple[str, ...] | None = None
    """The categories seen, where there were at most 100."""
    low: float | str | None = None
    """Lowest value seen; a time as RFC 3339 text."""
    high: float | str | None = None
    required: bool = True
    """Whether the column must be there."""
    most_missing: float | None = None
    """Share of the rows."""
    least_present: int | None = None
    """Rows that have a value."""
    closed: bool = False
    """Whether a value that is not among `values` is a finding."""
    most_outside: float = 0.0
    """Share of the values that may be, where it is."""
    least: Limit | None = None
    most: Limit | None = None
    pattern: str | None = None
    """A regular expression that whole texts match."""
    shortest: int | None = None
    """Characters of a text, or items of a list."""
    longest: int | None = None
    least_distinct: int | None = None
    most_distinct: int | None = None
    unique: bool = False
    shares: tuple[Share, ...] = ()
    nan: bool = True
    """Whether NaN may be there."""
    infinite: bool = True
    order: Literal["rising"] | None = None
    """Of times: whether a span may not reach back before the one before it."""
    drift: float | None = None
    """Effect from which drift is told, in place of the floor that holds for all columns."""
    skew: float | None = None
    drift_limits: Mapping[Measure, float] = field(default_factory=dict)
    """Plain distances, with no regard to how many rows there are."""
    skew_limits: Mapping[Measure, float] = field(default_factory=dict)
    absent_in: tuple[str, ...] = ()
    """Environments in which the column is not expected: a label in `serving`."""
    tags: tuple[str, ...] = ()
    """`pii`, `sensitive`, `never`, or one's own."""
    unit: str = ""
    description: str = ""
    accepted: tuple[str, ...] = ()
    """Kinds of findings that are not told of this column any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns, the roles that some have, and the limits of the rows together.

    >>> schema = Schema(columns=(Column(name="carrier", kind="string", missing=False),), key=("flight_id",))
    >>> Schema.from_json(schema.to_json()) == schema
    True
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    time: str | None = None
    label: str | None = None
    never: tuple[str, ...] = ()
    weight: str | None = None
    pii: tuple[str, ...] = ()
    """Of a model's contract: which of key and time are tagged so. Columns have tags of their own."""
    least_rows: int | None = None
    most_rows: int | None = None
    least_growth: float | None = None
    """Rows of a span as a multiple of those of the one before."""
    most_growth: float | None = None
    same_length: tuple[tuple[str, ...], ...] = ()
    """Groups of columns whose lists have the same length in every row."""
    checks: tuple[Check, ...] = ()
    severity: Mapping[str, Severity] = field(default_factory=dict)
    """By kind of finding, in place of what is usual."""
    accepted: tuple[str, ...] = ()
    """Kinds of findings about no one column that are not told any more."""
    acceptances: tuple[Acceptance, ...] = ()
    """What people accepted, oldest first."""
    format: int = FORMAT

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def digest(self) -> str:
        """Names this very schema, as its version."""
        return sha256(self.to_json().encode()).hexdigest()

    def column(self, name: str) -> Column:
        """Raises `LookupError`."""
        found = next((one for one in self.columns if one.name == name), None)
        if found is None:
            raise LookupError(name)
        return found

    def only(self, names: Iterable[str]) -> Schema:
        """With these columns, in this order. Raises `LookupError`."""
        by_name = {column.name: column for column in self.columns}
        return replace(self, columns=tuple(by_name[name] for name in names))

    def to_dict(self) -> dict[str, Any]:
        """What is not said is as usual."""
        told = {name: value for name, value in _told(self, _ALWAYS_OF_SCHEMA).items() if name != "columns"}
        return {**told, "columns": [_told(column, _ALWAYS) for column in self.columns]}

    def to_json(self) -> str:
        """Equal schemas give equal bytes."""
        return json.dumps(self.to_dict(), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)

    def _repr_html_(self) -> str:
        from loopwright.data import report

        return report.schema_html(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Schema:
        """Of this format or an older one. Raises `DataError` that names the field."""
        if not isinstance(found["format"], int):
            raise DataError(f"format = {found['format']!r} is no whole number", fix=f"write format = {FORMAT}")
        if found["format"] > FORMAT:
            raise DataError(f"the schema has format {found['format']}", fix="read it with a newer Loopwright")
        columns = tuple(column_of(one) for one in found["columns"])
        if len({column.name for column in columns}) < len(columns):
            raise DataError("the schema names a column twice", fix="give each column one entry")
        rest = {name: value for name, value in found.items() if name not in ("columns", "format")}
        return cls(columns=columns, **_values(rest, _SCHEMA_READERS, "schema"))

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Raises `DataError` for text that is no schema, or of a newer format."""
        try:
            return cls.from_dict(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"the text is no schema: {error!r}", fix="give what Schema.to_json() wrote") from None


def column_of(found: Mapping[str, Any]) -> Column:
    """Raises `DataError` that names the column and the field."""
    where = f"column {found['name']!r}"
    values = _values({name: value for name, value in found.items() if value is not None}, _READERS, where)
    for name in ("kind", "missing"):
        if name not in values:
            raise DataError(f"{name} is not said", where=where, fix=f"write {name} = ...")
    return Column(**values)


def _told(value: Any, always: Iterable[str]) -> dict[str, Any]:
    """The fields that differ from their default, as JSON has them."""
    found: dict[str, Any] = {}
    for one in fields(value):
        given = getattr(value, one.name)
        usual = one.default_factory() if one.default_factory is not MISSING else one.default
        if one.name in always or given != usual:
            found[one.name] = _plain(given)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Share | Check | Acceptance):
        return _told(value, [one.name for one in fields(value)])
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return dict(value) if isinstance(value, Mapping) else value


def _values(found: Mapping[str, Any], readers: Mapping[str, Any], where: str) -> dict[str, Any]:
    made = {}
    for name, value in found.items():
        if name not in readers:
            raise DataError(f"there is no {name!r} in a schema", where=where, fix=did_you_mean(name, readers))
        expected, fits, make = readers[name]
        if not fits(value):
            raise DataError(f"{name} = {value!r} is not {expected}", where=where, fix=f"write {expected}")
        made[name] = make(value)
    return made


def _same(value: Any) -> Any:
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _one_of(*known: str) -> tuple[str, Any, Any]:
    return f"one of {', '.join(known)}", lambda value: value in known, _same


def _by_name(known: Iterable[str], fits: Any, expected: str) -> tuple[str, Any, Any]:
    names = tuple(known)

    def all_fit(value: Any) -> bool:
        return isinstance(value, Mapping) and all((not names or k in names) and fits(v) for k, v in value.items())

    return expected, all_fit, dict


def _records(kind: Any) -> tuple[str, Any, Any]:
    names = [one.name for one in fields(kind)]

    def all_fit(value: Any) -> bool:
        return isinstance(value, list | tuple) and all(
            isinstance(one, Mapping) and set(one) <= set(names) for one in value
        )

    return f"a list of entries with {', '.join(names)}", all_fit, lambda value: tuple(kind(**one) for one in value)


_FLAG = ("true or false", lambda value: isinstance(value, bool), _same)
_TEXT = ("text", _is_text, _same)
_TEXTS = ("a list of texts", _is_texts, tuple)
_NUMBER = ("a number", _is_number, _same)
_COUNT = ("a whole number from 0", lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0, _same)
_SHARE = ("a share from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1, float)
_LIMIT = ("a number or a time as text", lambda value: _is_number(value) or _is_text(value), _same)
_DISTANCES = _by_name(MEASURES, _is_number, f"limits by {', '.join(MEASURES)}")
_GROUPS = (
    "groups of columns",
    lambda v: isinstance(v, list | tuple) and all(map(_is_texts, v)),
    lambda v: tuple(map(tuple, v)),
)
_SEVERITY: tuple[Severity, ...] = ("error", "warning", "ignore")
_ALWAYS = ("name", "kind", "missing", "values", "low", "high")
_ALWAYS_OF_SCHEMA = ("key", "time", "label", "never", "format")
_READERS: Mapping[str, Any] = {
    "name": _TEXT, "kind": _one_of(*KINDS), "missing": _FLAG, "values": _TEXTS, "low": _LIMIT, "high": _LIMIT,
    "required": _FLAG, "most_missing": _SHARE, "least_present": _COUNT, "closed": _FLAG, "most_outside": _SHARE,
    "least": _LIMIT, "most": _LIMIT, "pattern": _TEXT, "shortest": _COUNT, "longest": _COUNT,
    "least_distinct": _COUNT, "most_distinct": _COUNT, "unique": _FLAG, "shares": _records(Share), "nan": _FLAG,
    "infinite": _FLAG, "order": _one_of("rising"), "drift": _NUMBER, "skew": _NUMBER, "drift_limits": _DISTANCES,
    "skew_limits": _DISTANCES, "absent_in": _TEXTS, "tags": _TEXTS, "unit": _TEXT, "description": _TEXT,
    "accepted": _TEXTS,
}  # fmt: skip
_SEVERITIES = _by_name((), lambda one: one in _SEVERITY, f"one of {', '.join(_SEVERITY)}, by kind of finding")
_MAYBE = ("text, or nothing", lambda value: value is None or _is_text(value), _same)
_SCHEMA_READERS: Mapping[str, Any] = {
    "key": _TEXTS, "time": _MAYBE, "label": _MAYBE, "never": _TEXTS, "weight": _MAYBE, "pii": _TEXTS,
    "least_rows": _COUNT, "most_rows": _COUNT, "least_growth": _NUMBER, "most_growth": _NUMBER,
    "same_length": _GROUPS,
    "checks": _records(Check), "severity": _SEVERITIES,
    "accepted": _TEXTS, "acceptances": _records(Acceptance),
}  # fmt: skip
