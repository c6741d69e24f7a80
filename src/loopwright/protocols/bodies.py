"""Bodies of requests: JSON of the expected shape, counted before it is built; what does not fit is told with its place.

A body of 16 MB may hold millions of empty rows, or a row of millions of lists: what is too much, or no plain value, is
refused where the decoder meets it, before it takes up memory and time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from loopwright.data.schema import Schema
from loopwright.gateway.decode import Problem, Problems
from loopwright.gateway.refused import Refused, unfit

Scalar = str | int | float | bool | None
_PLACE = re.compile(r"(.*) - at `\$\.(rows?|labels)(?:\[(\d+)\])?(?:\.(\w+))?(\[\.\.\.\])?`", re.DOTALL)
_ROW = "an object with a value for each column"
_SCALAR = "text, a number of 64 bits, true, false or null"
_LARGE = "a number of more than 64 bits"
_GOT = {"got `array`": "an array", "got `object`": "an object"}
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_ELSE = 1_000
"""Values that a request may hold beside those of its rows."""
_MOST_VALUES = 2_000_000
"""In a body with more of them, the column of a value that does not fit is not looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a request may hold."""

    body_bytes: int
    rows: int
    """Or labels."""


def most_values(schema: Schema, rows: int) -> int:
    """In a body of so many rows, at the most: what else a request says is short."""
    return (rows + 16) * (len(schema.names) + len(schema.key) + 3) + _ELSE


def most_objects(schema: Schema) -> int:
    """In a body of a tensor a column, at the most: each may have parameters, and so may the outputs."""
    return 4 * (len(schema.names) + len(schema.key) + 1) + 64


def refuse_tensors(content: bytes, schema: Schema) -> None:
    """Counts the tensors of a body, and makes none. Raises `Refused` for more than the model can have."""
    most = most_objects(schema)
    if content.count(b"{") > most and _outside(content, "{") > most:
        raise Refused(
            413, f"there are more inputs than the {len(schema.names):,} columns of the model", fix="send each once"
        )


def refuse_values(content: bytes, schema: Schema, rows: int) -> None:
    """Counts the values of a body, JSON or CSV, and makes none of them. Raises `Refused` for what no rows can hold.

    A comma in a text is none of them.
    """
    most = most_values(schema, rows)
    if content.count(b",") > most and _outside(content, ",") > most:
        columns = len(schema.names)
        raise Refused(
            413,
            f"the body has more than {rows:,} rows, or more than the {columns:,} columns of the model",
            fix="send fewer rows at once, or raise the setting max_rows",
        )


def _outside(content: bytes, sign: str) -> int:
    """How often it stands outside of texts: behind an even number of quotes."""
    import numpy as np

    plain = _ESCAPED.sub(b"", content) if b"\\" in content else content
    signs = np.frombuffer(plain, np.uint8)
    found = signs == ord(sign)
    if b'"' in plain:
        found &= np.cumsum(signs == ord('"'), dtype=np.uint8) % 2 == 0
    return int(np.count_nonzero(found))


class _Raw(msgspec.Struct, frozen=True):
    row: msgspec.Raw = msgspec.Raw()
    rows: list[msgspec.Raw] = []


_RAW, _RAW_ROW = msgspec.json.Decoder(_Raw), msgspec.json.Decoder(dict[str, msgspec.Raw])
_SCALARS = msgspec.json.Decoder(Scalar)


def parsed(
    content: bytes, decoder: msgspec.json.Decoder[Any], form: str, *, many: str = "", limits: Limits | None = None
) -> Any:
    """JSON of the expected shape, of which `form` is an example. Raises `Refused`: 400 for no JSON, 422 for another.

    `many` is the field that holds an object for each row.
    """
    if limits is not None:
        refuse_too_many(content, many, limits.rows)
    try:
        return decoder.decode(content)
    except msgspec.ValidationError as error:
        raise _misfit(content, str(error), form) from None
    except RecursionError:
        raise Refused(400, "the body is nested too deeply", fix=f"send {form}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, f"the body is no JSON: {error}", fix=f"send {form}") from None


def too_many(limit: int, noun: str = "rows") -> Refused:
    return Refused(
        413, f"the body has more than {limit:,} {noun}", fix=f"send fewer {noun} at once, or raise the setting max_rows"
    )


def refuse_too_many(content: bytes, many: str, limit: int) -> None:
    """Counts the objects in that field and makes none of them. What else is wrong is found later. Raises `Refused`."""
    if content.count(b"{") <= limit + 1:
        return
    count = 0

    class Counted(msgspec.Struct, gc=False):
        def __post_init__(self) -> None:
            nonlocal count
            count += 1
            if count > limit:
                raise too_many(limit, many)

    try:
        msgspec.json.decode(content, type=msgspec.defstruct("Body", [(many, list[Counted], [])]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return


def _misfit(content: bytes, told: str, form: str) -> Refused:
    place = _PLACE.fullmatch(told)
    if place is None or (place[2] != "row" and place[3] is None):
        return Refused(422, f"the body is not what is expected here: {told}", fix=f"send {form}")
    value = next((noun for got, noun in _GOT.items() if got in told), _LARGE if "out of range" in told else None)
    row = int(place[3] or 0)
    if place[2] == "labels":
        problem = Problem(row, place[4], value, place[1].replace("`", ""))
        return unfit(Problems((problem,), is_all=False), "what a label is", fix=f"send {form}")
    column = _column(content, row, is_one=place[2] == "row") if place[5] else None
    problem = Problem(row, column, value, _SCALAR if place[5] else _ROW)
    return unfit(Problems((problem,), is_all=False), "the model's columns", fix=f"send {form}, of plain values")


def _column(content: bytes, row: int, *, is_one: bool) -> str | None:
    """The column of the first value in a row that is none; None where to look would cost too much."""
    if content.count(b",") > _MOST_VALUES:
        return None
    try:
        body = _RAW.decode(content)
        values = _RAW_ROW.decode(body.row if is_one else body.rows[row])
        return next((name[:100] for name, value in values.items() if not _is_scalar(value)), None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # behind the value
        return None


def _is_scalar(value: msgspec.Raw) -> bool:
    try:
        _SCALARS.decode(value)
    except msgspec.DecodeError:
        return False
    return True
