"""How predictions lie in a table: one typed column for each of their values, whatever the versions of a loop took.

A value stands in `row_<column>`, `key_<column>`, `probability_<class>`, `label` or `value`, in the type of the model's
contract. Where a version has a column of another kind, that kind gets a column beside: `row_gate:string`. Of two names
that differ in large and small letters alone, which Delta takes for one, the later is written with all its signs as in a
URL: `row_%58`. Each row says in `layout` which columns are its own, so that it is read back as it was, a missing value
and a missing column apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import repeat
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from loopwright.core.clock import moment_of
from loopwright.predictions import columnar
from loopwright.predictions.journal import Line

_TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("us", "UTC"),
    "json": pa.string(),
}
_FIXED = pa.schema(
    [
        ("id", pa.string()),
        ("at", _TYPES["time"]),
        ("loop", pa.string()),
        ("version", pa.int64()),
        ("digest", pa.string()),
        ("arm", pa.string()),
        ("shadow", pa.bool_()),
        ("unit", pa.string()),
        ("day", pa.string()),
        ("journal", pa.string()),
        ("layout", pa.string()),
        ("latency_ms", _TYPES["float"]),
        ("place", pa.int64()),
        ("route", pa.int64()),
    ]
)
"""`journal` is the file that a row came from and `place` the byte in it where its line, or its batch of rows, began;
`day` the day of its prediction in UTC. Rows of older tables have no latency, no place or no route."""
_FACTS = ("id", "at", "loop", "version", "digest", "arm", "shadow", "unit")
"""What each row has of its line as it is."""
_LATER = ("latency_ms", "route")
"""So too, but that older tables do not have it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FURTHEST = timedelta(hours=23, minutes=59)
"""From UTC, of a zone."""
_PARTS = ("row", "key", "probability", "label", "value")
Kinds = Callable[[int], Mapping[str, str]]
"""The kinds of a version's columns, as far as they are known."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The values of one column; without an array where all are missing and no kind is known."""

    part: str
    name: str
    kind: str | None
    array: pa.Array | None


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of the same columns."""

    fixed: Mapping[str, pa.Array]
    cells: Sequence[Cell]


def of_lines(
    lines: Iterable[Line],
    file: str,
    kinds: Kinds,
    places: Iterable[int | None] = repeat(None),
    columns: Collection[str] | None = None,
) -> Iterator[Piece]:
    """Lines of one file, with the bytes at which they began there; those of the same columns together. Of their rows
    these `columns` alone; None: all."""
    groups: dict[Any, list[tuple[Line, int | None]]] = {}
    for line, place in zip(lines, places, strict=False):
        key, shares = line.key, line.probabilities
        shape = line.version, tuple(line.row), key and tuple(key), shares and tuple(shares), type(line.label)
        groups.setdefault(shape, []).append((line, place))
    for placed in groups.values():
        group = [line for line, _ in placed]
        first, known = group[0], kinds(group[0].version)
        wanted = [name for name in first.row if columns is None or name in columns]
        cells = [_cell("row", name, [line.row[name] for line in group], known.get(name)) for name in wanted]
        cells += [_cell("key", name, [(line.key or {})[name] for line in group]) for name in first.key or ()]
        cells += [
            _cell("probability", name, [(line.probabilities or {})[name] for line in group], "float")
            for name in first.probabilities or ()
        ]
        cells.append(_cell("label", "", [line.label for line in group]))
        cells.append(_cell("value", "", [line.value for line in group], "float"))
        fixed = _fixed(group, file) | {"place": pa.array([place for _, place in placed], pa.int64())}
        yield Piece(fixed, [cell for cell in cells if cell.part in _PARTS[:3] or _has_any(cell)])


def of_columns(facts: columnar.Facts, first: int, batch: pa.RecordBatch, file: str, place: int | None = None) -> Piece:
    """Rows that came as columns, in a batch that began at this byte of the file."""
    count = batch.num_rows
    numbers = pc.cast(pa.array(range(first, first + count), pa.int64()), pa.string())
    same: dict[str, Any] = {name: getattr(facts, name) for name in (*_FACTS[1:], *_LATER)}
    same |= {"day": _day(facts.at), "journal": file, "place": place}
    fixed = {name: _repeated(value, count, _FIXED.field(name).type) for name, value in same.items()}
    fixed["id"] = pc.binary_join_element_wise(_repeated(facts.ulid, count, pa.string()), numbers, ".")
    named = zip(columnar.parts(batch.schema.names), batch.columns, strict=True)
    return Piece(fixed, [typed(part, name, array) for (part, name), array in named])


def assemble(pieces: Iterable[Piece], schema: pa.Schema | None = None) -> pa.Table:
    """One table of all pieces, which fits a table of `schema`."""
    kinds = {field.name: _kind_of(field) for field in schema or ()}
    spelled = {name.lower(): name for name in kinds}
    return pa.concat_tables(
        [_FIXED.empty_table(), *(_placed(piece, kinds, spelled) for piece in pieces)], promote_options="default"
    )


def lines(table: pa.Table) -> Iterator[Line]:
    """The rows of an assembled table, as they were."""
    for layout in pc.unique(table["layout"]).to_pylist():
        yield from _lines(table.filter(pc.equal(table["layout"], layout)), json.loads(layout))


def ordered(table: pa.Table, *, whole: bool = True) -> list[Line]:
    """The rows of a table as they were, in its order; without their columns unless they are wanted `whole`."""
    found: list[Any] = [None] * len(table)
    for layout in pc.unique(table["layout"]).to_pylist():
        is_such = pc.equal(table["layout"], layout)
        known = json.loads(layout)
        known = known if whole else {part: columns for part, columns in known.items() if part != "row"}
        places = pc.indices_nonzero(is_such).to_pylist()
        for place, line in zip(places, _lines(table.filter(is_such), known), strict=True):
            found[place] = line
    return found


def keys(table: pa.Table) -> Iterator[dict[str, Any]]:
    """What names the rows, of those that something names. The table needs no more than these columns and `layout`."""
    for layout in pc.unique(table["layout"]).to_pylist():
        columns = json.loads(layout).get("key")
        if columns:
            yield from filter(None, _mappings(table.filter(pc.equal(table["layout"], layout)), columns))


def by_layout(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Its rows by their layout, which may be coded."""
    column = table["layout"].combine_chunks()
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    found = pc.unique(coded.indices).to_pylist()
    for code in found:
        part = table if len(found) == 1 else table.filter(pc.equal(coded.indices, code))
        yield coded.dictionary[code].as_py(), part


def _lines(table: pa.Table, layout: Mapping[str, Any]) -> Iterator[Line]:
    facts = [table[name].to_pylist() for name in _FACTS]
    known = table.column_names
    facts += [table[name].to_pylist() if name in known else [None] * len(table) for name in _LATER]
    rows, keys, shares = (_mappings(table, layout.get(part)) for part in _PARTS[:3])
    labels, values = (_values(table, layout.get(part)) for part in _PARTS[3:])
    for number, (identity, at, loop, version, digest, arm, shadow, unit, latency, route) in enumerate(
        zip(*facts, strict=True)
    ):
        yield Line(
            id=identity,
            at=at,
            loop=loop,
            version=version,
            digest=digest,
            arm=arm,
            shadow=shadow,
            unit=unit,
            row=rows[number] or {},
            key=keys[number],
            probabilities=shares[number],
            label=labels[number],
            value=values[number],
            latency_ms=latency,
            route=route,
        )


def _mappings(table: pa.Table, columns: Mapping[str, str | None] | None) -> Sequence[dict[str, Any] | None]:
    if columns is None:
        return [None] * len(table)
    if not columns:
        return [{} for _ in range(len(table))]
    read = [_values(table, column) for column in columns.values()]
    return [dict(zip(columns, values, strict=True)) for values in zip(*read, strict=True)]


def _values(table: pa.Table, column: str | None) -> list[Any]:
    if column is None:
        return [None] * len(table)
    kind = _kind_of(table.schema.field(column))
    if kind == "time":
        return [_written(value) for value in table[column].cast(pa.int64()).to_pylist()]
    values = table[column].to_pylist()
    match kind:
        case "json":
            return [None if value is None else json.loads(value) for value in values]
        case "float":
            return [None if value != value else value for value in values]
    return list(values)


def _written(microseconds: int | None) -> str | None:
    """A time as text. One that no calendar has in UTC is told in a zone where one has it."""
    if microseconds is None:
        return None
    with suppress(OverflowError):
        return (_EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")
    zone = timezone(_FURTHEST if microseconds < 0 else -_FURTHEST)
    local = _EPOCH.replace(tzinfo=None) + (timedelta(microseconds=microseconds) + zone.utcoffset(None))
    return local.replace(tzinfo=zone).isoformat()


def _placed(piece: Piece, kinds: dict[str, str], spelled: dict[str, str]) -> pa.Table:
    """Each cell in a column of its kind; `kinds` learns of new ones, and `spelled` how they are written."""
    columns, layout = dict(piece.fixed), dict[str, Any]()
    for cell in piece.cells:
        column = None if cell.kind is None else _column(cell, kinds, spelled)
        if column is not None:
            columns[column] = cell.array
        if cell.part in ("label", "value"):
            layout[cell.part] = column
        else:
            layout.setdefault(cell.part, {})[cell.name] = column
    count = len(piece.fixed["id"])
    columns["layout"] = _repeated(json.dumps(layout, ensure_ascii=False), count, pa.string())
    return pa.table(columns)


def _column(cell: Cell, kinds: dict[str, str], spelled: dict[str, str]) -> str:
    plain, kind = _spelling(cell, "", spelled), str(cell.kind)
    if kind != "json" and kinds.setdefault(plain, kind) == kind:
        spelled[plain.lower()] = plain
        return plain
    column = _spelling(cell, f":{kind}", spelled)
    kinds[column], spelled[column.lower()] = kind, column
    return column


def _spelling(cell: Cell, ending: str, spelled: Mapping[str, str]) -> str:
    """The column's name, in signs of a URL where another is taken for the same."""
    plain = (cell.part if not cell.name else f"{cell.part}_{_safe(cell.name)}") + ending
    if spelled.get(plain.lower(), plain) == plain:
        return plain
    return f"{cell.part}_{''.join(f'%{byte:02X}' for byte in cell.name.encode())}{ending}"


def _safe(name: str) -> str:
    """What every reader of Parquet and Delta takes for a column's name; other signs as in a URL.

    >>> _safe("dep_delay"), _safe("Größe (cm)")
    ('dep_delay', 'Größe%20%28cm%29')
    """
    return "".join(one if one.isalnum() or one in "_-" else quote(one, safe="") for one in name)


def _kind_of(field: pa.Field) -> str:
    if field.name.endswith(":json"):
        return "json"
    found = {str(kind): name for name, kind in _TYPES.items() if name != "json"}
    return found.get(str(field.type), "string")


def _fixed(lines: Sequence[Line], file: str) -> dict[str, pa.Array]:
    made = {name: pa.array([getattr(one, name) for one in lines], _FIXED.field(name).type)
            for name in (*_FACTS, *_LATER) if name != "at"}  # fmt: skip
    moments = [_made_at(line) for line in lines]
    made["at"] = pa.array(moments, _FIXED.field("at").type)
    return {
        **made,
        "day": made["at"].cast(pa.date32()).cast(pa.string()),
        "journal": _repeated(file, len(lines), pa.string()),
    }


def _made_at(line: Line) -> datetime:
    """When it was made. By its id, where what it says no calendar has in UTC. Raises `ValueError` for neither."""
    try:
        return line.at.astimezone(UTC)
    except OverflowError:
        return moment_of(line.id[:26])


def _day(at: datetime) -> str:
    return at.astimezone(UTC).date().isoformat()


def _repeated(value: Any, count: int, kind: pa.DataType) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), count)


def _has_any(cell: Cell) -> bool:
    return cell.array is not None and cell.array.null_count < len(cell.array)


def _cell(part: str, name: str, values: Sequence[Any], expected: str | None = None) -> Cell:
    kind = _kind(values, expected)
    if kind is None:
        return Cell(part, name, None, None)
    try:
        return Cell(part, name, kind, pa.array(_made(values, kind), _TYPES[kind]))
    except (ValueError, OverflowError, pa.ArrowException):  # no time, or a number of more than 64 bits
        kind = "string" if kind == "time" else "json"
        return Cell(part, name, kind, pa.array(_made(values, kind), _TYPES[kind]))


def _kind(values: Sequence[Any], expected: str | None) -> str | None:
    """What holds all values as they are: the expected kind, if that does."""
    found = set(map(type, values)) - {type(None)}
    if not found:
        return expected if expected in _TYPES else None
    if found <= {int, float}:
        if expected == "float" or found == {float}:
            is_whole = expected == "integer" and all(value is None or value.is_integer() for value in values)
            return "integer" if is_whole else "float"
        if found == {int} or (expected == "integer" and all(value is None or value == int(value) for value in values)):
            return "integer"
        return "json"
    if found == {str}:
        return "time" if expected == "time" else "string"
    return "boolean" if found == {bool} else "json"


def _made(values: Sequence[Any], kind: str) -> Sequence[Any]:
    match kind:
        case "time":
            return [None if value is None else _moment(value) for value in values]
        case "json":
            return [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
        case "integer":
            return [None if value is None else int(value) for value in values]
    return values


def _moment(value: str) -> datetime:
    """Without a zone it is UTC, as the gateway reads it."""
    found = datetime.fromisoformat(value.upper())
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)  # or an overflow: it stays text


def typed(part: str, name: str, array: pa.Array) -> Cell:
    """A column of whatever type Arrow has, in one of ours."""
    given = array.type
    if pa.types.is_null(given):
        return Cell(part, name, None, None)
    if pa.types.is_date(given):
        array = array.cast(pa.timestamp("ms"))
        given = array.type
    kind = next((kind for kind, fits in _FITS if fits(given)), None)
    if kind is None:
        return Cell(part, name, "json", pa.array([json.dumps(one, default=str) for one in array.to_pylist()]))
    if kind == "time" and pa.types.is_timestamp(given) and given.tz is None:
        array = array.cast(pa.timestamp(given.unit, "UTC"))
    return Cell(part, name, kind, array.cast(_TYPES[kind], safe=kind != "time"))


_FITS: Sequence[tuple[str, Callable[[pa.DataType], bool]]] = (
    ("boolean", pa.types.is_boolean),
    ("integer", lambda kind: bool(pa.types.is_integer(kind)) and kind != pa.uint64()),
    ("float", pa.types.is_floating),
    (
        "string",
        lambda kind: bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view"),
    ),
    ("time", pa.types.is_timestamp),
)
