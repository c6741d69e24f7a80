"""The document of the API, OpenAPI 3.1, made from what is served: every loop with its columns and an example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loopwright.gateway.example import example
from loopwright.gateway.model import LoadedModel
from loopwright.gateway.served import State
from loopwright.protocols import arrow, handin, label_bodies, openapi_doors, shapes
from loopwright.protocols.shapes import (
    ERROR,
    NUMBER,
    TEXT,
    UNIT,
    WHOLE,
    Json,
    body,
    exactly,
    get,
    many,
    plain,
    post,
    row,
    told_openly,
)
from loopwright.protocols.told import release

_LABELS: Json = {"labels": [{"prediction_id": "01KE7Z3W1C9N7V0QWJ4S8YH2TX.0", "label": True}]}
_LABEL_REFUSALS = ("400", "408", "413", "415", "422", "503")
_PREDICT_REFUSALS = ("400", "404", "408", "413", "422", "500", "503", "504")


def document(states: Sequence[State], most: int) -> Json:
    """Of the loops as they are served at this moment, where a request may hold `most` rows."""
    models = {state.loop: state.served.champion for state in states if state.served}
    paths = _fixed_paths(most)
    for loop, model in models.items():
        paths[f"/v1/loops/{loop}/predict"] = {"post": _predict(loop, model, most)}
    paths |= openapi_doors.paths(models, most)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Loopwright gateway", "version": release()},
        "security": [{}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "once a key was made"}},
        },
    }


def _predict(loop: str, model: LoadedModel, most: int) -> Json:
    shape, shown = row(model.schema), example(model.schema)
    one = exactly({"row": shape, "unit": UNIT}, ["row"])
    more = exactly({"rows": many(shape, most) | {"minItems": 1}, "unit": UNIT}, ["rows"])
    prediction = _prediction(model)
    answers = {"oneOf": [exactly({"prediction": prediction}), exactly({"predictions": many(prediction)})]}
    stream = body({"type": "string", "format": "binary"}, kind=arrow.TYPE)
    asked = body({"oneOf": [one, more]}, {"row": shown}) | stream
    found = post(f"Predict with {model.version.name}", asked, body(answers) | stream, *_PREDICT_REFUSALS, "415")
    query = [
        {"name": "unit", "in": "query", "schema": UNIT, "description": "of a body of Arrow"},
        {"name": "version", "in": "query", "schema": {"type": "integer", "minimum": 1}, "description": "of the same"},
    ]
    return found | {"operationId": f"predict_{loop}", "parameters": query}


def _prediction(model: LoadedModel) -> Json:
    always: Json = {"id": TEXT, "version": WHOLE, "arm": TEXT}
    if model.predictor.classes:
        shares = exactly({_name(one): NUMBER for one in model.predictor.classes})
        always |= {"label": {"enum": list(model.predictor.classes)}, "probabilities": shares}
    else:
        always["value"] = NUMBER
    return exactly(always | {"recorded": shapes.UNRECORDED}, list(always))


def _name(one: object) -> str:
    return str(one).lower() if isinstance(one, bool) else str(one)


def _fixed_paths(most: int) -> Json:
    return {
        "/v1/labels": {"post": _labels(most)},
        "/v1/loops": {"get": get("The loops that are served")},
        "/v1/loops/{name}": {"get": get("A loop, its route and its columns", ["name"], None, "404", "503")},
        "/v1/predictions": {"post": _handed_in()},
        "/healthz": {"get": told_openly("Whether the process lives")},
        "/readyz": {"get": told_openly("Whether a model answers", "503")},
        "/metrics": {"get": {"summary": "The numbers of all workers, for Prometheus"} | plain()},
    }


def _handed_in() -> Json:
    lines = body(TEXT | {"description": handin.FORM}, kind="text/plain")
    answer = exactly(dict.fromkeys(("accepted", "known"), WHOLE))
    found = post("Hand in what an edge recorded", lines, body(answer), "400", "408", "413", "422", "503")
    return found | {"operationId": "hand_in"}


def _labels(most: int) -> Json:
    scalar = {"type": ["string", "number", "boolean"]}
    keys: dict[str, Any] = {"type": "object", "additionalProperties": scalar}
    beside = {
        "outcome": TEXT | {"description": "the name of a number beside the label, such as revenue"},
        "at": TEXT | {"format": "date-time", "description": "when it became true"},
    }
    of_prediction = exactly(
        {"prediction_id": TEXT, "label": scalar, "loop": TEXT, **beside}, ["prediction_id", "label"]
    )
    of_key = exactly({"loop": TEXT, "key": keys, "label": scalar, **beside}, ["loop", "key", "label"])
    asked = exactly({"labels": many({"oneOf": [of_prediction, of_key]}, most), "origin": TEXT}, ["labels"])
    answer = exactly(dict.fromkeys(("accepted", "unknown", "unmatched"), WHOLE))
    rows = body(TEXT | {"description": label_bodies.ROWS_FORM}, kind=label_bodies.CSV)
    rows |= body({"type": "string", "format": "binary"}, kind=arrow.TYPE)
    found = post("Tell what came true", body(asked, _LABELS) | rows, body(answer), *_LABEL_REFUSALS)
    query = [
        {"name": name, "in": "query", "schema": TEXT, "description": "of all labels of a body of CSV or Arrow"}
        for name in ("loop", "outcome", "origin")
    ]
    return found | {"operationId": "label", "parameters": query}
