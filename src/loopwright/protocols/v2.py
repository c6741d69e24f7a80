"""The Open Inference Protocol, version 2, over REST: what KServe, Triton and their clients speak.

github.com/kserve/open-inference-protocol, with its extension for binary tensor data. The same gateway answers, so every
row is a recorded prediction: its ids come back in the parameter `prediction_ids`, joined by commas. All rows of a
request go to one version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette import requests
from starlette.responses import Response

from loopwright.core.access import Scope
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.model import LoadedModel
from loopwright.gateway.refused import Refused
from loopwright.gateway.unit import unit_of
from loopwright.protocols import binary, door, inference, told
from loopwright.protocols.bodies import Limits, parsed
from loopwright.protocols.door import Answer, Endpoint, Guarded
from loopwright.protocols.inference import Inference, Inferred
from loopwright.protocols.tensors import Request, given
from loopwright.protocols.work import Desk

_REQUEST = msgspec.json.Decoder(Request)
_FORM = '{"inputs": [{"name": "...", "shape": [1], "datatype": "FP32", "data": [1.5]}, ...]}'


class Index(msgspec.Struct, frozen=True):
    """Which models to list."""

    ready: bool = False
    """Only those that answer."""


_INDEX = msgspec.json.Decoder(Index)


class V2:
    """The endpoints of the protocol."""

    def __init__(self, gateway: Gateway, limits: Limits, desk: Desk) -> None:
        self._gateway = gateway
        self._inference = Inference(gateway, limits.rows)
        self._limits = limits
        self._desk = desk

    async def server(self, _request: requests.Request) -> Response:
        return Answer({"name": inference.NAME, "version": told.release(), "extensions": inference.EXTENSIONS})

    async def live(self, _request: requests.Request) -> Response:
        return Answer({"live": True})

    async def ready(self, _request: requests.Request) -> Response:
        return _yes_or_no("ready", is_so=self._inference.is_ready())

    async def model_ready(self, request: requests.Request) -> Response:
        self._model(request)
        return Answer({"name": request.path_params["name"], "ready": True})

    async def model(self, request: requests.Request) -> Response:
        return Answer(inference.metadata(self._gateway, request.path_params["name"], self._model(request)))

    async def models(self, request: requests.Request) -> Response:
        loops = [state.loop for state in self._gateway.states()]
        return Answer({"models": [loop for loop in loops if door.may_see(request, loop)]})

    async def index(self, request: requests.Request) -> Response:
        content = await door.body(request, self._limits.body_bytes)
        asked = parsed(content, _INDEX, '{"ready": true}') if content else Index()
        found = inference.index(self._gateway, only_ready=asked.ready)
        return Answer([one for one in found if door.may_see(request, one["name"])])

    async def change(self, _request: requests.Request) -> Response:
        raise Refused(
            400, "models are neither loaded nor unloaded here", fix="what is promoted is served: lw promote LOOP"
        )

    async def infer(self, request: requests.Request) -> Response:
        content = await door.body(request, self._limits.body_bytes)
        loop, header = request.path_params["name"], request.headers.get(binary.HEADER)
        return await self._desk.answer(
            lambda: answer(self._inference, loop, content, header=header, version=_version(request))
        )

    def routes(self) -> list[Guarded]:
        one, repository = "/v2/models/{name}", "/v2/repository"
        found = [_open("/v2/health/live", self.live), _open("/v2/health/ready", self.ready)]
        found += [_view("/v2", self.server), _view("/v2/models", self.models)]
        found += [door.route(f"{repository}/index", self.index, ["POST"], scope=Scope.VIEW, sees_loops=True)]
        for model in (one, f"{one}/versions/{{version}}"):
            found += [_view(model, self.model), _view(f"{model}/ready", self.model_ready)]
            found += [door.route(f"{model}/infer", self.infer, ["POST"], scope=Scope.PREDICT)]
        for change in ("load", "unload"):
            path = f"{repository}/models/{{name}}/{change}"
            found += [door.route(path, self.change, ["POST"], scope=Scope.OPERATE)]
        return found

    def _model(self, request: requests.Request) -> LoadedModel:
        """Of the version in the path, or the champion. Raises `Refused`."""
        return self._gateway.model(request.path_params["name"], _version(request))


def answer(
    asked_of: Inference, loop: str, content: bytes, *, header: str | None = None, version: int | None = None
) -> Response:
    """To a body that asks for inference; `header` where tensors come behind it as bytes. Raises `Refused`,
    `StoreUnavailable`."""
    text, packed = (content, memoryview(b"")) if header is None else binary.split(content, header)
    asked_of.refuse_large(loop, text, version)
    asked: Request = parsed(text, _REQUEST, _FORM)
    unit = unit_of((asked.parameters or {}).get("unit"))
    return _response(asked, asked_of.infer(loop, version, given(asked.inputs, packed), asked.outputs or (), unit))


def _open(path: str, endpoint: Endpoint) -> Guarded:
    return door.route(path, endpoint, ["GET"], scope=None)


def _view(path: str, endpoint: Endpoint) -> Guarded:
    return door.route(path, endpoint, ["GET"], scope=Scope.VIEW, sees_loops=True)


def _yes_or_no(what: str, *, is_so: bool) -> Answer:
    """The protocol says no by a status of 4xx."""
    return Answer({what: is_so}, 200 if is_so else 400)


def _version(request: requests.Request) -> int | None:
    return inference.version(request.path_params.get("version"))


def _response(asked: Request, inferred: Inferred) -> Response:
    """JSON, and behind it the tensors that are wanted as bytes."""
    of_all = bool((asked.parameters or {}).get("binary_data_output", False))
    wanted = {one.name: (one.parameters or {}).get("binary_data", of_all) for one in asked.outputs or ()}
    outputs: list[Mapping[str, Any]] = []
    parts: list[bytes] = []
    for tensor in inferred.outputs:
        if wanted.get(tensor["name"], of_all):
            parts.append(binary.packed(tensor["data"], tensor["datatype"]))
            shown = {name: value for name, value in tensor.items() if name != "data"}
            outputs.append(shown | {"parameters": {"binary_data_size": len(parts[-1])}})
        else:
            outputs.append(tensor)
    found = inferred.told(asked.id, outputs)
    if not parts:
        return Answer(found)
    content = msgspec.json.encode(found)
    return Response(b"".join((content, *parts)), media_type=binary.TYPE, headers={binary.HEADER: str(len(content))})
