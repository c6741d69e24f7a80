"""A schema as a TOML file that a person reads and edits, and its single lines, which findings name to be accepted.

What is not written is as usual: no limit. Reading what was written gives the same schema, to the digest; comments of
one's own are not kept when a program writes the file again.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from loopwright.data.schema import Column, Schema
from loopwright.errors import DataError, did_you_mean

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_HEAD = """\
# What the rows must look like. Edit it: a limit that is left out is none. Each column needs its kind and missing.
#   kind                       string, integer, float, boolean, time or list
#   missing, most_missing      whether null may be there at all; in what share of the rows at most
#   closed, most_outside       whether `values` are all there may be; what share may lie outside
#   least, most                numbers, or times such as "2013-01-01"; low and high are merely what was seen
#   pattern, shortest, longest of texts (a regular expression; characters) and of lists (items)
#   unique, least_distinct, most_distinct, shares, nan, infinite, order, least_present, required
#   drift, skew                effect from which it is told; drift_limits, skew_limits: plain distances
#   absent_in, tags, unit, description, accepted
"""


def to_toml(schema: Schema) -> str:
    """Equal schemas give equal text."""
    told = schema.to_dict()
    columns, checks, accepted = told.pop("columns"), told.pop("checks", []), told.pop("acceptances", [])
    tables = {name: told.pop(name) for name in ("severity",) if name in told}
    parts = [_HEAD + _lines(told)]
    parts += [f"[{name}]\n{_lines(table)}" for name, table in tables.items()]
    parts += [f"[columns.{_key(one.pop('name'))}]\n{_lines(one)}" for one in columns]
    parts += [f"[[checks]]\n{_lines(one)}" for one in checks]
    parts += [f"[[acceptances]]\n{_lines(one)}" for one in accepted]
    return "\n".join(parts)


def from_toml(text: str, where: str = "the schema") -> Schema:
    """Raises `DataError` that names the line, or the column and its field."""
    try:
        found = plain(tomllib.loads(text))
        columns = found.get("columns", {})
        if not isinstance(columns, dict) or not all(isinstance(one, dict) for one in columns.values()):
            raise DataError("columns are no tables", where=where, fix="write [columns.NAME] for each column")
        listed = [{**one, "name": name} for name, one in columns.items()]
        made = Schema.from_dict({"format": 1, **found, "columns": listed})
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"this is no TOML: {error}", where=where, fix="mend that line") from None
    except (TypeError, AttributeError, ValueError) as error:
        raise DataError(
            f"this is no schema: {error}", where=where, fix="write [columns.NAME] for each column"
        ) from None
    _refuse_roles(made, where)
    return made


def read(path: Path) -> Schema:
    """Raises `DataError`."""
    try:
        return from_toml(path.read_text(encoding="utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the schema cannot be read: {error}", where=str(path), fix="name a file of UTF-8 text"
        ) from None


def write(schema: Schema, path: Path) -> None:
    """Whole or not at all; a link stays one, and a device is written to. Raises `OSError`."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_text(to_toml(schema), encoding="utf-8")
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    try:
        draft.write_text(to_toml(schema), encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Nobody else who asks for the same file gets it until it is replaced, which is to come last. Raises `OSError`."""
    while True:
        with path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # While this one waited, another may have put a new file in its place.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield
                return


def line(column: str | None, field: str, value: Any) -> str:
    """One line of the file, with its full name.

    >>> line("dep time", "most_missing", 0.25), line(None, "least_rows", 10)
    ('columns."dep time".most_missing = 0.25', 'least_rows = 10')
    """
    return f"{_key(field) if column is None else f'columns.{_key(column)}.{field}'} = {toml(value)}"


def line_of(column: str, fields: Mapping[str, Any]) -> str:
    """One line that says several fields of a column.

    >>> line_of("stops", {"shortest": 1, "longest": 4})
    'columns.stops = { shortest = 1, longest = 4 }'
    """
    return f"columns.{line(None, column, fields)}"


def accept_kind(column: Column | None, name: str | None, kind: str, accepted: Iterable[str] = ()) -> str:
    """The line that keeps a kind of finding from being told again."""
    known = column.accepted if column is not None else tuple(accepted)
    return line(name, "accepted", sorted({*known, kind}))


def toml(value: Any) -> str:
    """A value as TOML has it.

    >>> toml({"a": [1, True, "é\\n"]})
    '{ a = [1, true, "é\\\\n"] }'
    """
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return _text(value)
        case Mapping():
            inside = ", ".join(f"{_key(name)} = {toml(one)}" for name, one in value.items())
            return f"{{ {inside} }}" if inside else "{}"
        case list() | tuple():
            return f"[{', '.join(map(toml, value))}]"
    raise TypeError(type(value))


def plain(value: Any) -> Any:
    """What TOML read, in the words of JSON: dates without quotes are taken as text."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def _refuse_roles(schema: Schema, where: str) -> None:
    """A role of no column would switch off what is checked by it."""
    named = [("key", one) for one in schema.key] + [("time", schema.time), ("label", schema.label)]
    for role, name in named:
        if name is not None and name not in schema.names:
            fix = f"write [columns.{_key(name)}], or take {role} out; {did_you_mean(name, schema.names)}"
            raise DataError(f"{role} names the column {name!r}, which the schema does not have", where=where, fix=fix)


def _lines(fields: Mapping[str, Any]) -> str:
    return "".join(f"{_key(name)} = {toml(value)}\n" for name, value in fields.items() if value is not None)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    return f'"{"".join(_ESCAPES.get(one) or _escaped(one) for one in value)}"'


def _escaped(one: str) -> str:
    """Control characters cannot stand in TOML, and lone surrogates not in UTF-8: these become the sign of a loss."""
    code = ord(one)
    if 0xD800 <= code < 0xE000:
        return "\ufffd"
    return f"\\u{code:04x}" if code < 0x20 or code == 0x7F else one
