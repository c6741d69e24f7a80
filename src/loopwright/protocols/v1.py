"""The native JSON API, version 1: predictions, labels, and what is served. Thin: decides nothing, converts nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from loopwright.gateway.gateway import Gateway
from loopwright.gateway.refused import Refused
from loopwright.predictions.journal import Line
from loopwright.protocols import door, labelling, openapi, told
from loopwright.protocols.bodies import Limits, Scalar, parsed
from loopwright.protocols.door import Answer
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
        return await self._work(request, lambda content: self._predict(request.path_params["name"], content))

    async def labels(self, request: Request) -> Response:
        return await self._work(request, self._take_labels, is_slow=True)

    async def loops(self, _request: Request) -> Response:
        return Answer({"loops": [told.state(state) for state in self._gateway.states()]})

    async def loop(self, request: Request) -> Response:
        name = request.path_params["name"]
        found = next((state for state in self._gateway.states() if state.loop == name), None)
        if found is None or found.served is None:
            self._gateway.served(name)  # which refuses, and says why
            raise Refused(503, f"{name} changes at this moment", fix="ask again")
        return Answer(told.state(found) | told.contract(found.served))

    async def health(self, _request: Request) -> Response:
        return Answer({"status": "alive"})

    async def ready(self, _request: Request) -> Response:
        """Ready when a model answers; the loops that are not served are named."""
        states = self._gateway.states()
        unserved = [state.loop for state in states if state.served is None]
        if len(unserved) == len(states):
            why = f"no model of {', '.join(unserved)} could be loaded" if unserved else "no loop has a route yet"
            raise Refused(503, f"nothing is served: {why}", fix="promote a version: lw promote LOOP")
        return Answer({"status": "ready", "unserved": unserved})

    async def document(self, _request: Request) -> Response:
        return Answer(openapi.document(self._gateway.states(), self._limits.rows))

    def routes(self) -> list[Route]:
        return [
            Route("/v1/loops", self.loops, methods=["GET"]),
            Route("/v1/loops/{name}", self.loop, methods=["GET"]),
            Route("/v1/loops/{name}/predict", self.predict, methods=["POST"]),
            Route("/v1/labels", self.labels, methods=["POST"]),
            Route("/healthz", self.health, methods=["GET"]),
            Route("/readyz", self.ready, methods=["GET"]),
            Route("/openapi.json", self.document, methods=["GET"]),
        ]

    async def _work(self, request: Request, answer: Callable[[bytes], Answer], *, is_slow: bool = False) -> Answer:
        content = await door.body(request, self._limits.body_bytes)
        return await at_work(self._pool, lambda: answer(content), is_slow=is_slow or not is_small(content))

    def _predict(self, loop: str, content: bytes) -> Answer:
        body = parsed(content, _BODY, FORM, many="rows", limits=self._limits)
        lines = self._gateway.predict(loop, _rows(body), _unit(body.unit))
        predictions = [_told(line) for line in lines]
        return Answer({"predictions": predictions} if body.row is msgspec.UNSET else {"prediction": predictions[0]})

    def _take_labels(self, content: bytes) -> Answer:
        body = parsed(content, _LABELS, labelling.FORM, many="labels", limits=self._limits)
        return Answer(self._labels.take(body))


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
    if line.value is not None:
        return shared | {"value": line.value}
    return shared | {"label": line.label, "probabilities": line.probabilities}
