"""Every way into the gateway, walked without a key and with keys of each scope: nothing is open by oversight."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from tests.unit.keyed import CAUSE, a_key, added, wrong
from tests.unit.serving import ROW, Answered, Client, Multiplier, Station

from loopwright.access.names import Names
from loopwright.core.access import Scope
from loopwright.errors import DeclarationError
from loopwright.gateway.guard import Guard
from loopwright.protocols import door
from loopwright.protocols.door import OPEN, Door, Entry, Guarded
from loopwright.testing import HandClock, memory_stores

NO_KEYS, CLOCK = memory_stores().keys, HandClock()

SCOPES = {
    "GET /v1/loops": Scope.VIEW,
    "GET /v1/loops/{name}": Scope.VIEW,
    "GET /openapi.json": Scope.VIEW,
    "GET /v2": Scope.VIEW,
    "GET /v2/models/{name}": Scope.VIEW,
    "GET /v2/models/{name}/ready": Scope.VIEW,
    "POST /v1/loops/{name}/predict": Scope.PREDICT,
    "POST /v2/models/{name}/infer": Scope.PREDICT,
    "POST /v1/labels": Scope.LABEL,
    "POST /v1/predictions": Scope.OPERATE,
}
"""What must not change; routes that come to these are walked too."""


class Gate(Station):
    """A station with keys."""

    def key(self, *scopes: Scope, **more: Any) -> str:
        made = added(self.stores, a_key(*scopes, **more))
        self.guard.refresh()
        return made

    @property
    def routes(self) -> list[Guarded]:
        return [route for route in self.client.served.routes if isinstance(route, Guarded)]  # type: ignore[attr-defined]


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    made.promote(1)
    yield made
    made.close()


def asked(gate: Gate, method: str, path: str, **headers: str) -> Answered:
    told = path.replace("{name}", "flights").replace("{version}", "1")
    return gate.client.send(method, told, b"", 1, **headers)


def ways(gate: Gate) -> list[tuple[str, Guarded]]:
    return [(method, route) for route in gate.routes for method in sorted(route.methods or ())]


def test_without_a_key_nothing_is_told_but_health(gate: Gate) -> None:
    gate.key(Scope.ADMIN)
    assert len(ways(gate)) >= 20
    for method, route in ways(gate):
        for headers in ({}, {"authorization": "Bearer nonsense"}, {"x_api_key": ""}, {"authorization": "Basic bWU6"}):
            answered = asked(gate, method, route.path, **headers)
            if route.path in OPEN:
                assert answered.status in (200, 400, 503), route.path
            else:
                assert answered.status == 401, (method, route.path)
                assert answered.headers["www-authenticate"].startswith("Bearer")
            assert b"flights" not in answered.content, route.path


def test_only_health_is_open(gate: Gate) -> None:
    assert {route.path for route in gate.routes if route.needs is None} <= set(OPEN)
    assert set(OPEN) <= {route.path for route in gate.routes}


@pytest.mark.parametrize("number", range(len(Scope)), ids=[scope.value for scope in Scope])
def test_a_key_of_one_scope_opens_its_routes_and_no_other(gate: Gate, number: int) -> None:
    scope = list(Scope)[number]
    key = gate.key(scope)
    for method, route in ways(gate):
        status = asked(gate, method, route.path, authorization=f"Bearer {key}").status
        if route.needs in (scope, None) or scope is Scope.ADMIN:
            assert status not in (401, 403), (method, route.path)
        else:
            assert status == 403, (method, route.path)


def test_the_scopes_of_what_there_is_are_these(gate: Gate) -> None:
    found = {f"{method} {route.path}": route.needs for method, route in ways(gate)}
    assert {way: found.get(way) for way in SCOPES} == SCOPES


PATHS = ["/", "/docs", "/v1", "/healthz/", "//healthz", "/HEALTHZ", "/healthz/../v1/loops", "/v2/health", "/metrics/x"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE", "TRACE"])
def test_what_is_not_there_is_not_told_to_strangers(gate: Gate, method: str, path: str) -> None:
    key = gate.key(Scope.ADMIN)
    assert gate.client.send(method, path, b"").status == 401
    assert gate.client.send(method, path, b"", authorization=f"Bearer {key}").status in (404, 405)


def test_a_key_may_come_in_either_header_but_once(gate: Gate) -> None:
    key = gate.key(Scope.VIEW)
    for headers in ({"authorization": f"Bearer {key}"}, {"authorization": f"bearer  {key}"}, {"x_api_key": key}):
        assert gate.client.get("/v1/loops", **headers).status == 200
    gate.client.also = [(b"authorization", f"Bearer {key}".encode())] * 2
    assert gate.client.get("/v1/loops").status == 401


def test_a_route_that_says_no_scope_cannot_be_built() -> None:
    async def endpoint(_request: object) -> Response:
        return PlainTextResponse("told")

    with pytest.raises(TypeError, match="scope"):
        door.route("/v1/told", endpoint, ["GET"])  # type: ignore[call-arg]
    for path, scope in (("/v1/told", None), ("/healthz", Scope.VIEW)):
        with pytest.raises(DeclarationError, match=path):
            door.route(path, endpoint, ["GET"], scope=scope)
    for sneaked in (Route("/v1/told", endpoint), Mount("/v1", routes=[])):
        with pytest.raises(DeclarationError, match="says nothing of who may take it"):
            door.opened([sneaked])


def test_an_endpoint_without_a_door_before_it_answers_nobody(tmp_path: Path) -> None:
    station = Gate(tmp_path)
    bare = Client(station.client.served.router)  # type: ignore[attr-defined]
    with pytest.raises(Exception, match="nobody asked for a key"):
        bare.get("/v1/loops")
    station.close()


def test_a_key_for_one_loop_sees_and_touches_no_other(gate: Gate) -> None:
    gate.promote(1, Multiplier(2.0), loop="trains")
    key = {"authorization": f"Bearer {gate.key(Scope.ADMIN, loops=['flights'])}"}
    assert [one["name"] for one in gate.client.get("/v1/loops", **key).json["loops"]] == ["flights"]
    assert "trains" not in gate.client.get("/openapi.json", **key).content.decode()
    for route in gate.routes:
        path = route.path.replace("{name}", "trains").replace("{version}", "1")
        for method in sorted(route.methods or ()):
            answered = gate.client.send(method, path, b"", 1, **key)
            assert "trains" not in answered.content.decode() or answered.status == 403, path
            assert "{name}" not in route.path or answered.status == 403, path
            assert route.path != "/invocations" or answered.status != 403  # which goes to the only loop of the key


def test_a_key_for_one_loop_labels_no_other(gate: Gate) -> None:
    gate.promote(1, Multiplier(2.0), loop="trains")
    key = {"authorization": f"Bearer {gate.key(Scope.LABEL, Scope.PREDICT, loops=['flights'])}"}
    both = {"authorization": f"Bearer {gate.key(Scope.PREDICT, number=1)}"}
    made = [
        gate.client.post(f"/v1/loops/{loop}/predict", {"row": ROW}, **both).json["prediction"]["id"]
        for loop in ("flights", "trains")
    ]
    labels = [{"prediction_id": one, "label": 1.0} for one in made]
    assert gate.client.post("/v1/labels", {"labels": labels}, **key).status == 403
    by_key = {"loop": "trains", "key": {"flight_id": "a"}, "label": 1.0}
    assert gate.client.post("/v1/labels", {"labels": [by_key]}, **key).status == 403
    assert gate.client.post("/v1/labels", {"labels": labels[:1]}, **key).json["accepted"] == 1


def test_the_form_of_a_refusal_is_that_of_its_api_and_says_when_to_ask_again(gate: Gate) -> None:
    key = {"authorization": f"Bearer {gate.key(Scope.VIEW, rate_per_second=0.1)}"}
    assert "API key" in gate.client.get("/v2").json["error"]
    assert gate.client.get("/v1/loops").json["error"].keys() == {"what", "where", "fix"}
    assert gate.client.get("/v1/loops", **key).status == 200
    put_off = gate.client.get("/v1/loops", **key)
    assert (put_off.status, put_off.headers["retry-after"]) == (429, "10")


def test_many_who_come_at_once_with_a_new_key_are_all_let_in(gate: Gate) -> None:
    key = gate.key(Scope.VIEW, n=2**14)
    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {key}".encode())]
    clients = [Client(gate.client.served) for _ in range(50)]

    async def all_at_once() -> list[Answered]:
        return await asyncio.gather(*(client._send("GET", "/v1/loops", b"", 1, headers) for client in clients))

    assert {answered.status for answered in asyncio.run(all_at_once())} == {200}


def test_a_key_that_is_revoked_is_refused_after_the_poll(gate: Gate) -> None:
    key = {"x_api_key": gate.key(Scope.VIEW)}
    assert gate.client.get("/v1/loops", **key).status == 200
    gate.stores.keys.revoke("0000000000", CAUSE)
    gate.guard.poll()
    assert gate.client.get("/v1/loops", **key).status == 401


def test_no_answer_and_no_log_tells_a_key(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = gate.key(Scope.VIEW, number=9)
    told = [
        gate.client.send(method, path, b"", 1, **{name: value}).content.decode()
        for method, path in (("GET", "/v1/loops"), ("POST", "/v1/labels"), ("GET", "/v2"), ("GET", "/nothing"))
        for shown in (key, wrong(key))
        for name, value in (("authorization", f"Bearer {shown}"), ("x_api_key", shown), ("authorization", shown))
    ]
    assert [text for text in [*told, caplog.text] if key[14:60] in text] == []


HOSTS = [
    ("gateway.example", "127.0.0.1", 200),
    ("GATEWAY.example:8443", "127.0.0.1", 200),
    ("10.0.0.7:8080", "127.0.0.1", 200),
    ("localhost", "10.0.0.9", 200),
    ("10.0.0.9:8080", "10.0.0.9", 200),
    ("10.0.0.9:8080", "127.0.0.1", 403),
    ("gateway.example.evil", "127.0.0.1", 403),
    ("evil.example", "127.0.0.1", 403),
    ("0.0.0.0", "127.0.0.1", 403),
    ("", "127.0.0.1", 403),
]


@pytest.mark.parametrize(("host", "local", "status"), HOSTS)
def test_a_gateway_goes_by_the_names_it_was_given(host: str, local: str, status: int) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("come in")({**scope, "server": (local, 8080)}, receive, send)

    async def arrived(scope: Any, receive: Any, send: Any) -> None:
        await door_before({**scope, "server": (local, 8080)}, receive, send)

    station_guard = Guard(lambda: NO_KEYS, CLOCK)
    station_guard.refresh()
    door_before = Door(answer, Entry(station_guard, Names(["0.0.0.0", "gateway.example", "10.0.0.7"])))
    client = Client(arrived)
    for _ in range(2):  # the second is answered from memory
        assert client.get("/v1/loops", host=host).status == status
    station_guard.stop()


def test_a_page_of_an_allowed_host_is_a_page_of_another_place_still() -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("come in")(scope, receive, send)

    guard = Guard(lambda: NO_KEYS, CLOCK)
    guard.refresh()
    client = Client(Door(answer, Entry(guard, Names(["gateway.example"]))))
    for origin, status in (("https://gateway.example", 403), ("http://localhost:3000", 200)):
        answered = client.get("/v1/loops", host="gateway.example", origin=origin)
        assert answered.status == status
        assert not [name for name in answered.headers if name.startswith("access-control")]
    guard.stop()


class Call:
    """A call of gRPC without a network: what it shows, and how it was ended."""

    def __init__(self, *shown: str) -> None:
        self._metadata = [("authorization", f"Bearer {one}") for one in shown]

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return self._metadata

    def abort(self, code: Any, _details: str) -> None:
        raise ConnectionAbortedError(code.name)


def test_every_method_over_grpc_is_walked_too(gate: Gate) -> None:
    pytest.importorskip("grpc", reason="gRPC is an extra: pip install 'loopwright[grpc]'")
    from loopwright.gateway.lanes import Patience
    from loopwright.protocols.bodies import Limits
    from loopwright.protocols.grpc_door import Service
    from loopwright.protocols.grpc_messages import METHODS, SERVICE
    from loopwright.protocols.work import Desk

    desk = Desk("infer", clock=gate.gateway.clock, patience=Patience())
    service = Service(gate.gateway, Limits(body_bytes=1 << 20, rows=10), gate.guard.check_waiting, desk).handler()

    def outcome(method: str, *shown: str) -> str:
        handler = service.service(SimpleNamespace(method=f"/{SERVICE}/{method}", invocation_metadata=()))
        try:
            handler.unary_unary(METHODS[method][0](), Call(*shown))
        except ConnectionAbortedError as ended:
            return str(ended)
        return "OK"

    keys = {scope: gate.key(scope, number=number) for number, scope in enumerate(Scope)}
    needed = dict.fromkeys(METHODS, Scope.VIEW) | {"ModelInfer": Scope.PREDICT}
    for method in METHODS:
        if method in ("ServerLive", "ServerReady"):
            assert outcome(method) == "OK"
            continue
        assert outcome(method) == outcome(method, "nonsense") == "UNAUTHENTICATED", method
        assert outcome(method, keys[Scope.VIEW], keys[Scope.VIEW]) == "UNAUTHENTICATED", method
        for scope, key in keys.items():
            is_opened = scope in (needed[method], Scope.ADMIN)
            assert (outcome(method, key) == "PERMISSION_DENIED") != is_opened, (method, scope)
            assert outcome(method, key) != "UNAUTHENTICATED", (method, scope)
