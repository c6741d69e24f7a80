"""The native JSON API, version 1: predictions, labels, and what is served. Thin: decides nothing, converts nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from loopwright.core.access import Scope
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.refused import Refused
from loopwright.gateway.served import State
from loopwright.predictions.journal import Line
from loopwright.protocols import arrow, door, inference, labelling, openapi, told
from loopwright.protocols.bodies import Limits, Scalar, parsed
from loopwright.protocols.door import Answer, Guarded
from loopwright.protocols.labelling import Labelling
from loopwright.protocols.work import at_work, is_small

FORM = '{"row": {...}} or {"rows": [{...}, ...]}'


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be predicted on."""

    row: dict[str, Scalar] | msgspec.UnsetType = msgspec.UNSET
    rows: list[dict[str, Scalar]] | msgspec.UnsetType = msgspec.UNSET
    unit: str | None = None
    """Whom it is for: a unit keeps its arm."""


_BODY = msgspec.json.Decoder(Body)
_LABELS = msgspec.json.Decoder(labelling.Body)


class Api:
    """The endpoints of version 1."""

    def __init__(self, gateway: Gateway, labels: Labelling, limits: Limits, pool: ThreadPoolExecutor) -> None:
        self._gateway = gateway
        self._labels = labels
        self._limits = limits
        self._pool = pool

    async def predict(self, request: Request) -> Response:
        if arrow.is_asked(request.headers.get("content-type", "")):
            return await self._work(request, lambda content: self._predict_columns(request, content), is_slow=True)
        return await self._work(
            request, lambda content: answer(self._gateway, self._limits, request.path_params["name"], content)
        )

    async def labels(self, request: Request) -> Response:
        return await self._work(request, lambda content: self._take_labels(request, content), is_slow=True)

    async def loops(self, request: Request) -> Response:
        return Answer({"loops": [told.state(state) for state in self._seen(request)]})

    async def loop(self, request: Request) -> Response:
        name = request.path_params["name"]
        found = next((state for state in self._gateway.states() if state.loop == name), None)
        if found is None or found.served is None:
            self._gateway.served(name)  # which refuses, and says why
            raise Refused(503, f"{name} changes at this moment", fix="ask again")
        return Answer(told.state(found) | told.contract(found.served))

    async def health(self, _request: Request) -> Response:
        return Answer({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """Ready when a model answers; the loops that are not served are named, where no key is asked for.

        Degraded is ready: who cannot write predictions must still be asked, or would never learn that it can again.
        """
        states = self._gateway.states()
        unserved = [state.loop for state in states if state.served is None]
        if len(unserved) == len(states):
            named = "any loop" if door.is_guarded(request) else ", ".join(unserved)
            why = f"no model of {named} could be loaded" if unserved else "no loop has a route yet"
            raise Refused(503, f"nothing is served: {why}", fix="promote a version: lw promote LOOP")
        told: dict[str, Any] = {"status": "ready"}
        if degraded := self._degraded(states):
            told["degraded"] = degraded
        return Answer(told | ({} if door.is_guarded(request) else {"unserved": unserved}))

    async def document(self, request: Request) -> Response:
        return Answer(openapi.document(self._seen(request), self._limits.rows))

    def routes(self) -> list[Guarded]:
        one, get, post = "/v1/loops/{name}", ["GET"], ["POST"]
        return [
            door.route("/v1/loops", self.loops, get, scope=Scope.VIEW, sees_loops=True),
            door.route(one, self.loop, get, scope=Scope.VIEW),
            door.route(f"{one}/predict", self.predict, post, scope=Scope.PREDICT),
            door.route("/v1/labels", self.labels, post, scope=Scope.LABEL, sees_loops=True),
            door.route("/healthz", self.health, get, scope=None),
            door.route("/readyz", self.ready, get, scope=None),
            door.route("/openapi.json", self.document, get, scope=Scope.VIEW, sees_loops=True),
        ]

    def _degraded(self, states: Sequence[State]) -> list[str]:
        """What is not as it should be, while answers are given."""
        stale = any(state.served is not None and state.fault is not None for state in states)
        return ["journal"] * self._gateway.health().is_degraded + ["models"] * stale

    def _seen(self, request: Request) -> list[State]:
        """The loops that the request's key is for."""
        return [state for state in self._gateway.states() if door.may_see(request, state.loop)]

    async def _work(self, request: Request, answer: Callable[[bytes], Response], *, is_slow: bool = False) -> Response:
        content = await door.body(request, self._limits.body_bytes)
        return await at_work(self._pool, lambda: answer(content), is_slow=is_slow or not is_small(content))

    def _predict_columns(self, request: Request, content: bytes) -> Response:
        """Rows as Arrow; the unit and the version stand in the query."""
        asked, rows = request.query_params, arrow.read(content, self._limits.rows)
        version = inference.version(asked.get("version"))
        found = self._gateway.predict_columns(request.path_params["name"], rows, _unit(asked.get("unit")), version)
        return Response(arrow.written(found), media_type=arrow.TYPE)

    def _take_labels(self, request: Request, content: bytes) -> Answer:
        body = parsed(content, _LABELS, labelling.FORM, many="labels", limits=self._limits)
        return Answer(self._labels.take(body, lambda loop: door.refuse_loop(request, loop)))


def answer(gateway: Gateway, limits: Limits, loop: str, content: bytes) -> Answer:
    """To a body that asks for predictions. Raises `Refused`, `StoreUnavailable`."""
    body = parsed(content, _BODY, FORM, many="rows", limits=limits)
    lines = gateway.predict(loop, _rows(body), _unit(body.unit))
    predictions = [_told(line) for line in lines]
    return Answer({"predictions": predictions} if body.row is msgspec.UNSET else {"prediction": predictions[0]})


def _rows(body: Body) -> Sequence[Any]:
    if (body.row is msgspec.UNSET) == (body.rows is msgspec.UNSET):
        raise Refused(422, "the body needs either row or rows", fix=f"send {FORM}")
    if body.rows is msgspec.UNSET:
        return [body.row]
    if not body.rows:
        raise Refused(422, "rows is empty: there is nothing to predict", fix=f"send {FORM}")
    return body.rows


def _unit(unit: str | None) -> str | None:
    if unit is not None and not 0 < len(unit) <= 256:
        raise Refused(
            422, f"unit has {len(unit)} characters", fix="name the unit in 1 to 256 characters, or leave it out"
        )
    return unit


def _told(line: Line) -> dict[str, Any]:
    shared = {"id": line.id, "version": line.version, "arm": line.arm}
    beside = {} if line.recorded else {"recorded": False}
    if line.value is not None:
        return shared | {"value": line.value} | beside
    return shared | {"label": line.label, "probabilities": line.probabilities} | beside
