"""Parts of the document of the API: JSON Schema and the frames of operations, as OpenAPI 3.1 writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loopwright.data.schema import Column, Kind, Schema
from loopwright.gateway.unit import LONGEST

Json = dict[str, Any]
TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
WHOLE: Json = {"type": "integer"}
SCALAR: Json = {"type": ["string", "number", "boolean", "null"]}
UNIT: Json = {"type": "string", "minLength": 1, "maxLength": LONGEST, "description": "whom it is for; keeps its arm"}
UNRECORDED: Json = {"const": False, "description": "there where the predictions are not in the log"}
_TYPES: Mapping[Kind, Json] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "float": {"type": "number"},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
}
_MAYBE: Json = {"type": ["string", "null"]}


def exactly(properties: Json, required: Sequence[str] | None = None) -> Json:
    """An object with these and nothing else; all are required unless told otherwise."""
    wanted = list(properties) if required is None else list(required)
    return {"type": "object", "properties": properties, "required": wanted, "additionalProperties": False}


def many(item: Json, most: int | None = None) -> Json:
    return {"type": "array", "items": item} | ({} if most is None else {"maxItems": most})


def row(schema: Schema) -> Json:
    """A row as the model takes it, with what may name it beside."""
    beside: Json = {name: {} for name in (*schema.key, schema.time) if name and name not in schema.names}
    columns = {column.name: of_column(column) for column in schema.columns}
    return exactly(columns | beside, list(columns))


def of_column(column: Column) -> Json:
    found = dict(_TYPES[column.kind])
    if column.missing:
        found["type"] = [found["type"], "null"]
    seen = _seen(column)
    return found | {"description": seen} if seen else found


def _seen(column: Column) -> str:
    """What training saw; another value is no error."""
    if column.values is not None:
        return f"in training: {', '.join(column.values)}"
    return f"in training: {column.low} to {column.high}" if column.low is not None else ""


def body(schema: Json, shown: Any = None, kind: str = "application/json") -> Json:
    """What a request or an answer holds, with an example of it."""
    content: Json = {"schema": schema}
    return {kind: content | {"example": shown} if shown is not None else content}


def get(summary: str, names: Sequence[str] = (), answer: Json | None = None, *refusals: str) -> Json:
    """An operation that tells; `names` are the parts of its path."""
    return {"summary": summary} | named(names) | responses(body(answer or {"type": "object"}), *refusals)


def told_openly(summary: str, *refusals: str) -> Json:
    """An operation that answers whoever asks; it refuses only names that are not the gateway's own."""
    return {"summary": summary, "security": []} | responses(body({"type": "object"}), *refusals, keys=("403",))


def post(summary: str, asked: Json, answer: Json, *refusals: str, names: Sequence[str] = ()) -> Json:
    """An operation that takes a body."""
    taken = {"requestBody": {"required": True, "content": asked}}
    return {"summary": summary} | named(names) | taken | responses(answer, *refusals)


def named(names: Sequence[str]) -> Json:
    parameters = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in names]
    return {"parameters": parameters} if parameters else {}


def responses(answer: Json, *refusals: str, keys: Sequence[str] = ("401", "403", "429")) -> Json:
    """`keys` are the refusals of who shows no good key, or asks for another name."""
    refused = {"description": "refused", "content": body({"$ref": "#/components/schemas/Error"})}
    answered = {"200": {"description": "answered", "content": answer}}
    return {"responses": answered | dict.fromkeys((*keys, *refusals), refused)}


def plain() -> Json:
    """The answer of an operation that tells plain text."""
    return responses(body(TEXT, kind="text/plain"))


_PROBLEM = exactly({"row": WHOLE, "column": _MAYBE, "value": {}, "expected": TEXT})
ERROR: Json = {
    "oneOf": [
        exactly(
            {"error": exactly({"what": TEXT, "where": _MAYBE, "fix": _MAYBE}), "problems": many(_PROBLEM)}, ["error"]
        ),
        exactly({"error": TEXT}) | {"description": "of /v2, as its protocol has it"},
    ]
}
