"""The native JSON API, version 1: predictions, labels, and what is served. Thin: decides nothing, converts nothing."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from loopwright.core.access import Scope
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.refused import Refused
from loopwright.gateway.served import State
from loopwright.gateway.unit import unit_of
from loopwright.protocols import arrow, door, inference, label_bodies, native, openapi, told
from loopwright.protocols.bodies import Limits, Scalar, parsed, refuse_values
from loopwright.protocols.door import Answer, Guarded
from loopwright.protocols.labelling import Labelling
from loopwright.protocols.work import Desk, at_work

FORM = '{"row": {...}} or {"rows": [{...}, ...]}'


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be predicted on."""

    row: dict[str, Scalar] | msgspec.UnsetType = msgspec.UNSET
    rows: list[dict[str, Scalar]] | msgspec.UnsetType = msgspec.UNSET
    unit: str | None = None
    """Whom it is for: a unit keeps its arm."""


_BODY = msgspec.json.Decoder(Body)


class Api:
    """The endpoints of version 1."""

    def __init__(
        self, gateway: Gateway, labels: Labelling, limits: Limits, desk: Desk, aside: ThreadPoolExecutor
    ) -> None:
        """Predictions are answered at the `desk`; labels are taken `aside`, so that neither waits for the other."""
        self._gateway = gateway
        self._labels = labels
        self._limits = limits
        self._desk = desk
        self._aside = aside

    async def predict(self, request: Request) -> Response:
        content, name = await door.body(request, self._limits.body_bytes), request.path_params["name"]
        if arrow.is_asked(request.headers.get("content-type", "")):
            return await self._desk.answer(lambda: self._predict_columns(request, content))
        return await self._desk.answer(lambda: answer(self._gateway, self._limits, name, content))

    async def labels(self, request: Request) -> Response:
        content = await door.body(request, self._limits.body_bytes)
        return await at_work(self._aside, lambda: self._take_labels(request, content))

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
        """Ready when a model answers; where no key is asked for, the loops that are not served are named, and those
        that older versions answer, for the newest route cannot be followed.

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
        if not door.is_guarded(request):
            stale = [state.loop for state in states if state.served is not None and state.fault is not None]
            told |= {"unserved": unserved} | ({"stale": stale} if stale else {})
        return Answer(told)

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
        is_faulty = any(state.fault is not None for state in states)
        return ["journal"] * self._gateway.health().is_degraded + ["models"] * is_faulty

    def _seen(self, request: Request) -> list[State]:
        """The loops that the request's key is for."""
        return [state for state in self._gateway.states() if door.may_see(request, state.loop)]

    def _predict_columns(self, request: Request, content: bytes) -> Response:
        """Rows as Arrow; the unit and the version stand in the query."""
        asked, rows = request.query_params, arrow.read(content, self._limits.rows)
        version = inference.version(asked.get("version"))
        found = self._gateway.predict_columns(request.path_params["name"], rows, unit_of(asked.get("unit")), version)
        return Response(arrow.written(found), media_type=arrow.TYPE)

    def _take_labels(self, request: Request, content: bytes) -> Answer:
        kind = request.headers.get("content-type", "")
        sent = label_bodies.sent(content, kind, request.query_params, self._limits)
        return Answer(self._labels.take(sent.body, lambda loop: door.refuse_loop(request, loop), is_text=sent.is_text))


def answer(gateway: Gateway, limits: Limits, loop: str, content: bytes) -> Answer:
    """To a body that asks for predictions. Raises `Refused`, `StoreUnavailable`."""
    if content.count(b",") > limits.rows:
        refuse_values(content, gateway.model(loop).schema, limits.rows)
    body = parsed(content, _BODY, FORM, many="rows", limits=limits)
    lines = gateway.predict(loop, _rows(body), unit_of(body.unit))
    predictions = [native.prediction(line) for line in lines]
    return Answer({"predictions": predictions} if body.row is msgspec.UNSET else {"prediction": predictions[0]})


def _rows(body: Body) -> Sequence[Any]:
    if (body.row is msgspec.UNSET) == (body.rows is msgspec.UNSET):
        raise Refused(422, "the body needs either row or rows", fix=f"send {FORM}")
    if body.rows is msgspec.UNSET:
        return [body.row]
    if not body.rows:
        raise Refused(422, "rows is empty: there is nothing to predict", fix=f"send {FORM}")
    return body.rows
