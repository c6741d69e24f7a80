"""The contracts of hosting platforms: SageMaker, Vertex AI and the scoring server of MLflow, before one loop.

SageMaker asks `GET /ping` and `POST /invocations`; MLflow the same, `GET /health` and `GET /version`; Vertex the routes
that its variables `AIP_HEALTH_ROUTE` and `AIP_PREDICT_ROUTE` name. They name no loop: it is the setting
`platform_loop`, or the only one that is served. Predictions are labels or values; the parameter `full` asks for what
`/v1` answers. Their ids stand beside them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from loopwright.core.access import Scope
from loopwright.errors import SettingsError
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.refused import Refused
from loopwright.gateway.unit import unit_of
from loopwright.predictions.journal import Line
from loopwright.protocols import door, native, scoring, told
from loopwright.protocols.bodies import Limits
from loopwright.protocols.door import Answer, Guarded
from loopwright.protocols.work import Desk

Host = Literal["sagemaker", "vertex"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What the platform says, and which loop stands behind its routes."""

    loop: str = ""
    """Empty: the only one that is served."""
    health_route: str = ""
    """Of Vertex; empty outside it."""
    predict_route: str = ""
    trusted: tuple[str, ...] = ()
    """Paths that answer whoever asks, for the platform saw to it who that is: it can send no key of ours."""

    @classmethod
    def of(cls, loop: str, environ: Mapping[str, str], host: Host | None = None) -> Platform:
        """`host` is the platform that alone reaches this gateway. Raises `SettingsError` for routes that are none.

        >>> Platform.of("", {"AIP_HEALTH_ROUTE": "/up", "AIP_PREDICT_ROUTE": "/ask"}).predict_route
        '/ask'
        """
        routes = {name: environ.get(name, "") for name in ("AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE")}
        for name, route in routes.items():
            if route and (not route.startswith("/") or set(route) & set("{}?# ")):
                raise SettingsError(f"{name} = {route!r} is no path", where=name, fix="write a path such as /predict")
            if not route and host == "vertex":
                raise SettingsError(f"{name} is not set, as it is on Vertex AI", where=name, fix="set both routes")
        health, predict = routes.values()
        trusted = {None: (), "sagemaker": ("/ping", "/invocations"), "vertex": (health, predict)}[host]
        return cls(loop=loop, health_route=health, predict_route=predict, trusted=trusted)


class Platforms:
    """The endpoints of the contracts."""

    def __init__(self, gateway: Gateway, limits: Limits, desk: Desk, platform: Platform) -> None:
        self._gateway = gateway
        self._limits = limits
        self._desk = desk
        self._platform = platform

    async def ping(self, request: Request) -> Response:
        """Whether the loop is answered. Open to everybody, so it tells no names where a key is asked for."""
        try:
            self._gateway.model(self._loop(request))
        except Refused as refused:
            what = "the loop behind this route is not served" if door.is_guarded(request) else refused.what
            raise Refused(503, what, fix=refused.fix) from None
        return Answer({"status": "ready"})

    async def version(self, _request: Request) -> Response:
        return PlainTextResponse(told.release())

    async def invocations(self, request: Request) -> Response:
        content = await door.body(request, self._limits.body_bytes)
        return await self._desk.answer(lambda: self._invoked(request, content))

    def routes(self, others: Sequence[Guarded] = ()) -> list[Guarded]:
        """Raises `SettingsError` where what the platform is trusted with is the path of one of the `others`."""
        for path in self._platform.trusted:
            if path not in door.OPEN and any(one.path_regex.match(path) for one in others):
                raise SettingsError(f"{path} is a path of the gateway's own", where=path, fix="choose another route")
        get, post = ["GET"], ["POST"]
        found = [
            door.route("/ping", self.ping, get, scope=None),
            door.route("/health", self.ping, get, scope=None, is_health=True),
            door.route("/version", self.version, get, scope=Scope.VIEW, sees_loops=True),
            door.route("/invocations", self.invocations, post, scope=Scope.PREDICT, sees_loops=True),
        ]
        taken = {one.path for one in found}
        if self._platform.health_route not in {"", *taken, *door.OPEN}:
            found += [door.route(self._platform.health_route, self.ping, get, scope=None, is_health=True)]
        if self._platform.predict_route not in {"", *taken}:
            found += [
                door.route(self._platform.predict_route, self.invocations, post, scope=Scope.PREDICT, sees_loops=True)
            ]
        return found

    def _invoked(self, request: Request, content: bytes) -> Response:
        loop = self._loop(request)
        door.refuse_loop(request, loop)
        schema = self._gateway.model(loop).schema
        asked = scoring.read(content, request.headers.get("content-type", ""), schema, self._limits.rows)
        lines = self._gateway.predict(loop, asked.rows, unit_of(asked.parameters.get("unit")))
        if request.headers.get("accept", "").partition(";")[0].strip().lower() == scoring.CSV:
            return Response(_csv(lines), media_type=scoring.CSV)
        return Answer(
            {
                "predictions": [_told(line, is_full=asked.parameters.get("full") is True) for line in lines],
                "prediction_ids": [line.id for line in lines],
            }
            | ({} if lines[0].recorded else {"recorded": False})  # all rows of a request are, or none
        )

    def _loop(self, request: Request) -> str:
        if self._platform.loop:
            return self._platform.loop
        loops = [state.loop for state in self._gateway.states() if door.may_see(request, state.loop)]
        if len(loops) == 1:
            return loops[0]
        if not loops:
            raise Refused(503, "nothing is served: no loop has a route yet", fix="promote a version: lw promote LOOP")
        raise Refused(
            503, f"several loops are served: {', '.join(loops)[:200]}", fix="choose one by the setting platform_loop"
        )


def _told(line: Line, *, is_full: bool) -> Any:
    if is_full:
        return native.prediction(line)
    return line.label if line.value is None else line.value


def _csv(lines: Sequence[Line]) -> bytes:
    """A label or value on each line, as SageMaker's own containers answer."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([[_told(line, is_full=False)] for line in lines])
    return file.getvalue().encode()
