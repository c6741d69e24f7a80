"""What the document of the API says of the Open Inference Protocol and of the contracts of hosting platforms."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from loopwright.gateway.example import example
from loopwright.gateway.model import LoadedModel
from loopwright.protocols import scoring, tensors
from loopwright.protocols.shapes import (
    SCALAR,
    TEXT,
    UNIT,
    UNRECORDED,
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

_FLAG: Json = {"type": "boolean"}
_BESIDE = 8
"""Tensors at most that only name the rows."""
_REFUSALS = ("400", "404", "408", "413", "500", "503", "504")


def paths(models: Mapping[str, LoadedModel], most: int) -> Json:
    """Of both, for the models that answer."""
    found = _v2_paths() | _platform_paths(models, most)
    for loop, model in models.items():
        infer = _infer(model)
        found[f"/v2/models/{loop}/infer"] = {"post": infer | {"operationId": f"infer_{loop}"}}
        pinned = f"/v2/models/{loop}/versions/{model.version.number}/infer"
        found[pinned] = {"post": infer | {"operationId": f"infer_{loop}_{model.version.number}"}}
    return found


def _v2_paths() -> Json:
    model, of_version = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
    index = exactly(dict.fromkeys(("name", "version", "state", "reason"), TEXT))
    asked = body(exactly({"ready": _FLAG}, []), {"ready": True})
    found = {
        "/v2": {"get": get("The server, in the Open Inference Protocol")},
        "/v2/health/live": {"get": told_openly("Whether the process lives")},
        "/v2/health/ready": {"get": told_openly("Whether a model answers", "400")},
        "/v2/models": {"get": get("The models by name")},
        "/v2/repository/index": {"post": post("The models and their versions", asked, body(many(index)), "400", "413")},
    }
    for path, names in ((model, ["name"]), (of_version, ["name", "version"])):
        found[path] = {"get": get("A loop as a model, its versions and tensors", names, None, "404", "503")}
        found[f"{path}/ready"] = {"get": get("Whether it answers", names, None, "404", "503")}
    return found


def _infer(model: LoadedModel) -> Json:
    shown = example(model.schema)
    inputs = [one | {"shape": [1], "data": [shown[one["name"]]]} for one in tensors.input_metadata(model.schema)]
    outputs = [one["name"] for one in tensors.output_metadata(model.predictor.classes)]
    parameters = exactly({"unit": UNIT, "binary_data_output": _FLAG}, [])
    wanted = exactly({"name": {"enum": outputs}, "parameters": exactly({"binary_data": _FLAG}, [])}, ["name"])
    tensors_in = many(_tensor(inputs), len(inputs) + _BESIDE)
    asked = exactly(
        {"id": TEXT, "parameters": parameters, "inputs": tensors_in, "outputs": many(wanted, len(outputs))}, ["inputs"]
    )
    answer: Json = {
        "type": "object",
        "properties": {"model_name": TEXT, "model_version": TEXT, "id": TEXT, "outputs": many({"type": "object"})},
        "required": ["model_name", "model_version", "outputs"],
    }
    packed = body({"type": "string", "format": "binary"}, kind="application/octet-stream")
    return post(
        f"Predict with {model.version.name}", body(asked, {"inputs": inputs}), body(answer) | packed, *_REFUSALS
    )


def _tensor(inputs: Sequence[Mapping[str, Any]]) -> Json:
    names, types = [one["name"] for one in inputs], sorted({one["datatype"] for one in inputs})
    properties = {
        "name": {"enum": names},
        "shape": many(WHOLE, 2) | {"minItems": 1},
        "datatype": {"enum": types},
        "data": many(SCALAR),
        "parameters": exactly({"binary_data_size": WHOLE}, []),
    }
    return exactly(properties, ["name", "shape", "datatype"])


def _platform_paths(models: Mapping[str, LoadedModel], most: int) -> Json:
    found: Json = {
        "/ping": {"get": told_openly("Whether the platform's loop answers", "503")},
        "/health": {"get": told_openly("The same", "503")},
        "/version": {"get": {"summary": "The release"} | plain()},
    }
    if len(models) == 1:  # of several, the one that is asked is a setting
        found["/invocations"] = {"post": _invocations(next(iter(models.values())), most)}
    return found


def _invocations(model: LoadedModel, most: int) -> Json:
    shape, shown = row(model.schema), example(model.schema)
    split = exactly({"columns": many(TEXT), "data": many(many(SCALAR)), "index": many(SCALAR)}, ["columns", "data"])
    parameters = exactly({"unit": UNIT, "full": _FLAG}, [])
    more: Json = {"params": parameters, "parameters": parameters}
    forms: Json = {"dataframe_split": split, "dataframe_records": many(shape, most)}
    forms |= dict.fromkeys(("inputs", "instances"), many(shape, most))
    asked = {"oneOf": [exactly({name: form} | more, [name]) for name, form in forms.items()]}
    lines = body(TEXT, _csv(shown), kind=scoring.CSV)
    answer = exactly({"predictions": many({}), "prediction_ids": many(TEXT), "recorded": UNRECORDED})
    answer["required"].remove("recorded")
    return post(
        "Predict as SageMaker, Vertex and MLflow ask",
        body(asked, {"instances": [shown]}) | lines,
        body(answer) | body(TEXT, kind=scoring.CSV),
        *_REFUSALS,
        "415",
        "422",
    )


def _csv(shown: Mapping[str, Any]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([shown.keys(), shown.values()])
    return file.getvalue()
