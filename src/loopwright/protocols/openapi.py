"""The document of the API, OpenAPI 3.1, made from what is served: every loop with its columns and an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loopwright.data.schema import Column, Kind
from loopwright.gateway.example import example
from loopwright.gateway.gateway import State
from loopwright.gateway.model import LoadedModel
from loopwright.protocols.told import release

Json = dict[str, Any]
_TYPES: Mapping[Kind, Json] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "float": {"type": "number"},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
}
_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}


def document(states: Sequence[State], most: int) -> Json:
    """Of the loops as they are served at this moment, where a request may hold `most` rows."""
    paths = _fixed_paths(most)
    for state in states:
        if state.served:
            paths[f"/v1/loops/{state.loop}/predict"] = {"post": _predict(state.loop, state.served.champion, most)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Loopwright gateway", "version": release()},
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}},
    }


def _predict(loop: str, model: LoadedModel, most: int) -> Json:
    row, given = _row(model), example(model.schema)
    unit = {"type": "string", "minLength": 1, "maxLength": 256, "description": "whom it is for; keeps its arm"}
    one = _object({"row": row, "unit": unit}, ["row"])
    many = _object({"rows": _many(row, most) | {"minItems": 1}, "unit": unit}, ["rows"])
    prediction = _prediction(model)
    answers = [_object({"prediction": prediction}), _object({"predictions": {"type": "array", "items": prediction}})]
    return {
        "summary": f"Predict with {model.version.name}",
        "operationId": f"predict_{loop}",
        "requestBody": {"required": True, "content": _json({"oneOf": [one, many]}, {"row": given})},
        "responses": _responses({"oneOf": answers}, "400", "408", "413", "422", "500", "503"),
    }


def _row(model: LoadedModel) -> Json:
    schema = model.schema
    beside: Json = {name: {} for name in (*schema.key, schema.time) if name and name not in schema.names}
    columns = {column.name: _column(column) for column in schema.columns}
    return _object(columns | beside, list(columns))


def _column(column: Column) -> Json:
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


def _prediction(model: LoadedModel) -> Json:
    shared: Json = {"id": _TEXT, "version": {"type": "integer"}, "arm": _TEXT}
    if not model.predictor.classes:
        return _object(shared | {"value": _NUMBER})
    shares = _object({_name(one): _NUMBER for one in model.predictor.classes})
    return _object(shared | {"label": {"enum": list(model.predictor.classes)}, "probabilities": shares})


def _name(one: object) -> str:
    return str(one).lower() if isinstance(one, bool) else str(one)


def _fixed_paths(most: int) -> Json:
    return {
        "/v1/labels": {"post": _labels(most)},
        "/v1/loops": {"get": _get("The loops that are served")},
        "/v1/loops/{name}": {"get": _get("A loop, its route and its columns", ["name"])},
        "/healthz": {"get": _get("Whether the process lives")},
        "/readyz": {"get": _get("Whether a model answers")},
        "/v2/models/{name}": {"get": _get("A loop in the Open Inference Protocol", ["name"])},
    }


def _many(item: Json, most: int) -> Json:
    return {"type": "array", "items": item, "maxItems": most}


def _labels(most: int) -> Json:
    scalar = {"type": ["string", "number", "boolean"]}
    of_prediction = _object({"prediction_id": _TEXT, "label": scalar})
    of_key = _object({"loop": _TEXT, "key": {"type": "object", "additionalProperties": scalar}, "label": scalar})
    labels = _many({"oneOf": [of_prediction, of_key]}, most)
    asked = _object({"labels": labels, "origin": _TEXT}, ["labels"])
    answer = _object({name: {"type": "integer"} for name in ("accepted", "unknown", "unmatched")})
    return {
        "summary": "Tell what came true",
        "operationId": "label",
        "requestBody": {"required": True, "content": _json(asked, {"labels": []})},
        "responses": _responses(answer, "400", "408", "413", "422", "503"),
    }


def _get(summary: str, names: Sequence[str] = ()) -> Json:
    parameters = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]
    return {"summary": summary, "parameters": parameters, "responses": _responses({"type": "object"}, "404")}


def _responses(answer: Json, *refusals: str) -> Json:
    refused = {"description": "refused", "content": _json({"$ref": "#/components/schemas/Error"})}
    return {"200": {"description": "answered", "content": _json(answer)}} | dict.fromkeys(refusals, refused)


def _json(schema: Json, shown: Json | None = None) -> Json:
    content: Json = {"schema": schema}
    return {"application/json": content | {"example": shown} if shown is not None else content}


def _object(properties: Json, required: Sequence[str] | None = None) -> Json:
    wanted = list(properties) if required is None else list(required)
    return {"type": "object", "properties": properties, "required": wanted, "additionalProperties": False}


_PROBLEM = _object({"row": {"type": "integer"}, "column": {"type": ["string", "null"]}, "value": {}, "expected": _TEXT})
_MAYBE = {"type": ["string", "null"]}
_ERROR = _object(
    {
        "error": _object({"what": _TEXT, "where": _MAYBE, "fix": _MAYBE}),
        "problems": {"type": "array", "items": _PROBLEM},
    },
    ["error"],
)
