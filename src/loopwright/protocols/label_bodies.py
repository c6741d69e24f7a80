"""Bodies of labels: JSON, and for very many of them CSV or an Arrow stream, a row a label.

In CSV and Arrow a column is `prediction_id`, `loop`, `label`, `outcome` or `at`; any other, and one that is called
`key.NAME`, belongs to the key. Loop, outcome and origin may stand in the query, for all rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Any

import msgspec

from loopwright.gateway.decode import Problem, Problems
from loopwright.gateway.refused import Refused, unfit
from loopwright.predictions.concealing import Concealer
from loopwright.protocols import arrow
from loopwright.protocols.bodies import Limits, Scalar, parsed, too_many

FORM = '{"labels": [{"prediction_id": "...", "label": true}]}'
CSV = "text/csv"
ROWS_FORM = "a header such as prediction_id,label and a line for each label"
_OWN = ("prediction_id", "loop", "label", "outcome", "at")
_KEY = "key."


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One label as it comes: of a prediction, or of a key of a loop."""

    label: Scalar
    prediction_id: str | None = None
    loop: str | None = None
    """Of a key; of a prediction that is not there it may be said, too."""
    key: dict[str, Scalar] | None = None
    outcome: str | None = None
    """The name of a number beside the label, such as `revenue`."""
    at: datetime | None = None
    """When it became true, which may be long before it is told. Without a zone it is UTC."""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    labels: list[Told]
    origin: str = "HTTP"
    """Where they come from, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What is predicted by a loop, and what names its rows."""

    version: int
    classes: Sequence[Any]
    """None where its model predicts a number."""
    key: tuple[str, ...]
    time: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What labels of a loop look like."""

    kinds: tuple[type, ...]
    key: tuple[str, ...]
    time: str | None
    key_kinds: Mapping[str, str]
    """Of its columns, as far as they are known."""
    concealer: Concealer | None


@dataclass(frozen=True, slots=True)
class Sent:
    """A body; `is_text` where values are text that may stand for a number, true or false."""

    body: Body
    is_text: bool = False


_BODY = msgspec.json.Decoder(Body)
_SCALAR = msgspec.json.Decoder(int | float | bool)
_ANY = (str, int, float, bool)
_KINDS: Mapping[str, Collection[type]] = {"true or false": (bool,), "text": (str,), "a number": (int, float)}


def sent(content: bytes, content_type: str, query: Mapping[str, str], limits: Limits) -> Sent:
    """The labels of a body of that type. Raises `Refused`."""
    if arrow.is_asked(content_type):
        return Sent(_body(arrow.read(content, limits.rows).to_pylist(), query))
    if content_type.partition(";")[0].strip().lower() == CSV:
        return Sent(_body(_csv(content, limits.rows), query), is_text=True)
    return Sent(parsed(content, _BODY, FORM, many="labels", limits=limits))


def told(row: Mapping[str, Any], beside: Mapping[str, str] = {}) -> Told:
    """A row as a label; what has no value is not said. Raises `ValueError` for values of another kind."""
    own = {name: row[name] for name in _OWN if row.get(name) not in (None, "")}
    key = {
        name.removeprefix(_KEY): _plain(row[name]) for name in row if name not in _OWN and row[name] not in (None, "")
    }
    said = {name: beside[name] for name in ("loop", "outcome") if name in beside} | own
    if own.get("prediction_id") is not None:
        key = {}
    try:
        return msgspec.convert({"label": None, **said} | ({"key": key} if key else {}), Told)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _body(rows: Sequence[Mapping[str, Any]], query: Mapping[str, str]) -> Body:
    made, problems = list[Told](), list[Problem]()
    for number, row in enumerate(rows):
        try:
            made.append(told(row, query))
        except ValueError as error:
            problems.append(Problem(number, None, None, str(error)[:200]))
            break
    if problems:
        raise unfit(Problems(tuple(problems), is_all=False), "what a label is", fix=f"send {ROWS_FORM}")
    return Body(labels=made, origin=query.get("origin", "HTTP"))


def _csv(content: bytes, most: int) -> list[dict[str, Any]]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        rows = list(islice(reader, most + 1))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused(400, f"the body is no CSV: {error}", fix=f"send {ROWS_FORM}") from None
    if len(rows) > most:
        raise too_many(most, "labels")
    names = reader.fieldnames or []
    if "label" not in names or len(set(names)) < len(names) or any(None in row for row in rows):
        raise Refused(
            422, "the columns are not those of labels, or a line has more values than columns", fix=f"send {ROWS_FORM}"
        )
    return rows


def read(one: Told, facts: Facts | None) -> Told:
    """A label whose values are text, as what they stand for: by the classes, and by the newest predictions."""
    kinds: Collection[type] = facts.kinds if facts else _ANY
    label = _meant(one.label, (int, float, bool) if one.outcome is not None else kinds)
    known = facts.key_kinds if facts else {}
    key = one.key and {name: _meant(value, _KINDS.get(known.get(name, ""), _ANY)) for name, value in one.key.items()}
    return msgspec.structs.replace(one, label=label, key=key)


def _meant(value: Any, kinds: Collection[type]) -> Any:
    """What a text reads as, where that is of one of the kinds; else the text."""
    if not isinstance(value, str) or set(kinds) == {str}:
        return value
    try:
        found = _SCALAR.decode(value.strip().lower())
    except (msgspec.DecodeError, UnicodeError):
        return value
    is_number = type(found) in (int, float) and bool({int, float} & set(kinds))
    return found if is_number or type(found) in kinds else value


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
