"""Bodies of hosting platforms as rows: MLflow's four forms of JSON, the instances of Vertex, lines of JSON, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from loopwright.data.schema import Column, Kind, Schema
from loopwright.gateway.refused import Refused
from loopwright.protocols.bodies import Scalar, parsed, refuse_too_many, refuse_values, too_many

JSON, CSV, LINES = "application/json", "text/csv", ("application/jsonlines", "application/x-ndjson")
FORM = '{"dataframe_split": {"columns": [...], "data": [[...]]}}, or dataframe_records, inputs, instances'
_MAPPING = dict[str, Scalar | list[Scalar]]
_ROWS = list[dict[str, Scalar] | list[Scalar] | Scalar]


class Split(msgspec.Struct, frozen=True):
    """A table in two parts."""

    columns: list[str]
    data: list[list[Scalar]]
    index: list[Scalar] | None = None


class Body(msgspec.Struct, frozen=True):
    """One of the four forms."""

    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Scalar]] | None = None
    inputs: _MAPPING | _ROWS | None = None
    instances: _MAPPING | _ROWS | None = None
    params: dict[str, Any] | None = None
    """MLflow's name for what a request may ask beside."""
    parameters: dict[str, Any] | None = None
    """Vertex's name for the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Rows, and what else the request says."""

    rows: Sequence[Any]
    parameters: Mapping[str, Any]


_BODY, _LINE = msgspec.json.Decoder(Body), msgspec.json.Decoder(dict[str, Scalar])


def read(content: bytes, content_type: str, schema: Schema, most_rows: int) -> Asked:
    """The rows of a body of that type. Raises `Refused`: 415 for a type that is not read."""
    kind = content_type.partition(";")[0].strip().lower() or JSON
    if kind == JSON or kind.endswith("+json"):
        return _json(content, schema, most_rows)
    if kind == CSV:
        refuse_values(content, schema, most_rows)
        return Asked(rows=_csv(content, schema, most_rows), parameters={})
    if kind in LINES:
        refuse_values(content, schema, most_rows)
        return Asked(rows=_lines(content, most_rows), parameters={})
    raise Refused(415, f"{content_type[:80]!r} is not read here", fix=f"send {JSON}, {CSV} or {LINES[0]}")


def _json(content: bytes, schema: Schema, most_rows: int) -> Asked:
    for name in ("dataframe_records", "inputs", "instances"):
        refuse_too_many(content, name, most_rows)
    refuse_values(content, schema, most_rows)
    body: Body = parsed(content, _BODY, FORM)
    given = [one for one in _FORMS if getattr(body, one) is not None]
    if len(given) != 1:
        told = f"both {' and '.join(given)}" if given else "none of the forms that are read"
        raise Refused(422, f"the body has {told}", fix=f"send one of {FORM}")
    found = _FORMS[given[0]](getattr(body, given[0]), schema)
    if len(found) > most_rows:
        raise too_many(most_rows)
    if not found:
        raise Refused(422, f"{given[0]} is empty: there is nothing to predict", fix=f"send {FORM}")
    return Asked(rows=found, parameters=(body.params or {}) | (body.parameters or {}))


def _split(given: Split, _schema: Schema) -> list[Any]:
    return [_named(row, given.columns, f"row {number}") for number, row in enumerate(given.data)]


def _tensors(given: Any, schema: Schema) -> list[Any]:
    """Columns by name, or rows: objects, or lists of values in the order of the model's columns."""
    if isinstance(given, dict):
        lengths = {len(values) if isinstance(values, list) else -1 for values in given.values()}
        if len(lengths) > 1:
            raise Refused(
                422, "the columns have different numbers of values", fix="send for each column one value a row"
            )
        if lengths == {-1}:
            return [given]
        return [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]
    return [
        _named(row, schema.names, f"row {number}") if isinstance(row, list) else row for number, row in enumerate(given)
    ]


_FORMS: Mapping[str, Callable[[Any, Schema], list[Any]]] = {
    "dataframe_split": _split,
    "dataframe_records": lambda given, _schema: list(given),
    "inputs": _tensors,
    "instances": _tensors,
}


def _named(row: Sequence[Any], names: Sequence[str], place: str) -> dict[str, Any]:
    if len(row) != len(names) or len(set(names)) < len(names):
        raise Refused(
            422,
            f"{place} has {len(row)} values for the columns {', '.join(names)[:200]}",
            fix="send one value for each column, and each column once",
        )
    return dict(zip(names, row, strict=True))


def _lines(content: bytes, most_rows: int) -> list[Any]:
    lines = list(islice((line for line in io.BytesIO(content) if line.strip()), most_rows + 1))
    if len(lines) > most_rows:
        raise too_many(most_rows)
    if not lines:
        raise Refused(
            422, "the body is empty: there is nothing to predict", fix="send an object of columns on each line"
        )
    return [parsed(line, _LINE, '{"column": value, ...} on each line') for line in lines]


def _csv(content: bytes, schema: Schema, most_rows: int) -> list[Any]:
    """The first line names the columns, unless it is no name of any: then each line has them all, in their order."""
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        lines = list(islice((line for line in reader if line), most_rows + 2))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused(
            400, f"the body is no CSV: {error}", fix="send UTF-8, with a line that names the columns"
        ) from None
    known = {*schema.names, *schema.key, *([schema.time] if schema.time else [])}
    is_named = bool(lines) and bool(known & set(lines[0]))
    names, rows = (lines[0], lines[1:]) if is_named else (list(schema.names), lines)
    if len(rows) > most_rows:
        raise too_many(most_rows)
    if not rows:
        raise Refused(422, "the body has no rows: there is nothing to predict", fix="send a line for each")
    columns = {column.name: column for column in schema.columns}
    return [
        {name: _value(text, columns.get(name)) for name, text in _named(row, names, f"line {number}").items()}
        for number, row in enumerate(rows, 1 + is_named)
    ]


def _value(text: str, column: Column | None) -> Any:
    """Text that is no value of its column stays text, for the decoder to refuse it with its place."""
    if column is None:
        return text or None
    if text == "" and (column.missing or column.kind != "string"):
        return None
    if column.kind in ("integer", "float") and (
        "_" in text or not text.isascii()
    ):  # Python reads 8_0 as 80, and ٣ as 3
        return text
    try:
        return _VALUES[column.kind](text.strip())
    except (ValueError, KeyError):
        return text


_TRUTHS = {"true": True, "false": False, "1": True, "0": False}
_VALUES: Mapping[Kind, Callable[[str], Any]] = {
    "string": str,
    "integer": lambda text: int(text) if text.lstrip("+-").isdecimal() else float(text),
    "float": float,
    "boolean": lambda text: _TRUTHS[text.lower()],
    "time": str,
}
