"""The Open Inference Protocol, version 2, over REST: what KServe, Triton and their clients speak.

github.com/kserve/open-inference-protocol. The same gateway answers, so every row is a recorded prediction: its ids come
back in the parameter `prediction_ids`, joined by commas. All rows of a request go to one version.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from starlette import requests
from starlette.responses import Response
from starlette.routing import Route

from loopwright.gateway.gateway import Gateway
from loopwright.gateway.model import LoadedModel
from loopwright.gateway.refused import Refused
from loopwright.protocols import door, tensors, told
from loopwright.protocols.bodies import Limits, parsed
from loopwright.protocols.door import Answer
from loopwright.protocols.work import at_work, is_small

_REQUEST = msgspec.json.Decoder(tensors.Request)
_BINARY = "inference-header-content-length"
_FORM = '{"inputs": [{"name": "...", "shape": [1], "datatype": "FP32", "data": [1.5]}, ...]}'


class V2:
    """The endpoints of the protocol."""

    def __init__(self, gateway: Gateway, limits: Limits, pool: ThreadPoolExecutor) -> None:
        self._gateway = gateway
        self._limits = limits
        self._pool = pool

    async def server(self, _request: requests.Request) -> Response:
        return Answer({"name": "loopwright", "version": told.release(), "extensions": []})

    async def live(self, _request: requests.Request) -> Response:
        return Answer({"live": True})

    async def ready(self, _request: requests.Request) -> Response:
        return _yes_or_no("ready", is_so=any(state.served for state in self._gateway.states()))

    async def model_ready(self, request: requests.Request) -> Response:
        self._model(request)
        return Answer({"name": request.path_params["name"], "ready": True})

    async def model(self, request: requests.Request) -> Response:
        name, model = request.path_params["name"], self._model(request)
        versions = sorted({arm.version for arm in self._gateway.served(name).route.arms})
        return Answer(
            {
                "name": name,
                "versions": [str(version) for version in versions],
                "platform": "onnxruntime_onnx",
                "inputs": tensors.input_metadata(model.schema),
                "outputs": tensors.output_metadata(model.predictor.classes),
            }
        )

    async def infer(self, request: requests.Request) -> Response:
        if _BINARY in request.headers:
            raise Refused(400, "binary tensor data, an extension, is not offered", fix=f"send JSON alone: {_FORM}")
        content = await door.body(request, self._limits.body_bytes)
        return await at_work(self._pool, lambda: self._infer(request, content), is_slow=not is_small(content))

    def routes(self) -> list[Route]:
        one = "/v2/models/{name}"
        found = [_get("/v2", self.server), _get("/v2/health/live", self.live), _get("/v2/health/ready", self.ready)]
        for model in (one, f"{one}/versions/{{version}}"):
            found += [_get(model, self.model), _get(f"{model}/ready", self.model_ready)]
            found += [Route(f"{model}/infer", self.infer, methods=["POST"])]
        return found

    def _infer(self, request: requests.Request, content: bytes) -> Answer:
        name, version = request.path_params["name"], _version(request)
        asked: tensors.Request = parsed(content, _REQUEST, _FORM)

        def rows_for(model: LoadedModel) -> list[dict[str, Any]]:
            tensors.check_wanted(model.predictor.classes, asked.outputs or ())
            return tensors.rows(asked.inputs, model.schema, self._limits.rows)

        model, lines = self._gateway.predict_together(name, rows_for, _unit(asked), version)
        answer: dict[str, Any] = {"model_name": name, "model_version": str(lines[0].version)}
        if asked.id is not None:
            answer["id"] = asked.id
        answer["parameters"] = {"prediction_ids": ",".join(line.id for line in lines), "arm": lines[0].arm}
        return Answer(answer | {"outputs": tensors.outputs(lines, model.predictor.classes, asked.outputs or ())})

    def _model(self, request: requests.Request) -> LoadedModel:
        """Of the version in the path, or the champion. Raises `Refused`."""
        return self._gateway.model(request.path_params["name"], _version(request))


def _get(path: str, endpoint: Callable[..., Any]) -> Route:
    return Route(path, endpoint, methods=["GET"])


def _yes_or_no(what: str, *, is_so: bool) -> Answer:
    """The protocol says no by a status of 4xx."""
    return Answer({what: is_so}, 200 if is_so else 400)


def _version(request: requests.Request) -> int | None:
    text = request.path_params.get("version")
    if text is not None and not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Refused(404, f"{text[:20]!r} is no version", fix="a version is a number, such as 3")
    return int(text) if text else None


def _unit(asked: tensors.Request) -> str | None:
    unit = (asked.parameters or {}).get("unit")
    if unit is not None and not (isinstance(unit, str) and 0 < len(unit) <= 256):
        raise Refused(400, "the parameter unit is no text of 1 to 256 characters")
    return unit
