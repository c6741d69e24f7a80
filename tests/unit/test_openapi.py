"""The document of the API: every example in it is sent, and thousands of requests are made from it by Schemathesis."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from tests.unit.keyed import a_key, added
from tests.unit.serving import Multiplier, Station

from loopwright.core.access import Scope

LEAST = 10_000
"""Requests in all."""
SHARES = {
    GenerationMode.POSITIVE: {
        "POST /v1/loops/flights/predict": 1_500,
        "POST /invocations": 1_400,
        "POST /v1/labels": 900,
        "POST /v1/predictions": 100,
        "POST /v2/models/flights/infer": 350,
        "POST /v2/models/flights/versions/1/infer": 150,
        "POST /v2/repository/index": 600,
    },
    GenerationMode.NEGATIVE: {
        "POST /v1/loops/flights/predict": 550,
        "POST /invocations": 500,
        "POST /v1/labels": 350,
        "POST /v1/predictions": 100,
        "POST /v2/models/flights/infer": 150,
        "POST /v2/models/flights/versions/1/infer": 100,
        "POST /v2/repository/index": 250,
    },
}
"""Fewer of what takes longer to make. Of what takes no body, `PATHS` each."""
PATHS = 700


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    made.promote(1, Multiplier(1e-6, classes=("no", "yes")))
    yield made
    made.close()


def document(station: Station) -> dict[str, Any]:
    told: dict[str, Any] = station.client.get("/openapi.json").json
    return told


def test_every_example_is_answered(station: Station) -> None:
    sent = []
    for path, methods in document(station)["paths"].items():
        for kind, content in methods.get("post", {}).get("requestBody", {}).get("content", {}).items():
            if "example" in content:
                shown = content["example"]
                body = shown.encode() if isinstance(shown, str) else shown
                answered = station.client.post(path, body, content_type=kind)
                assert answered.status == 200, (path, answered.content)
                sent.append((path, kind))
    assert ("/invocations", "text/csv") in sent
    assert len(sent) == 7


def test_every_route_is_in_the_document(station: Station) -> None:
    told = {(method, path) for path, methods in document(station)["paths"].items() for method in methods}
    untold = {"/openapi.json", "/v2/repository/models/{name}/load", "/v2/repository/models/{name}/unload"}
    for route in station.client.served.routes:  # type: ignore[attr-defined]
        if route.path not in untold:
            method = (route.methods - {"HEAD"}).pop().lower()
            shown = {(method, route.path), (method, route.path.replace("{name}", "flights").replace("{version}", "1"))}
            assert shown & told, route.path


def test_what_is_open_is_documented_as_such_and_nothing_else_is(station: Station) -> None:
    told = document(station)["paths"]
    added(station.stores, a_key(Scope.ADMIN))
    station.guard.refresh()
    for path, methods in told.items():
        if "get" in methods:
            asked = station.client.get(path.replace("{name}", "flights").replace("{version}", "1")).status == 401
            assert asked == ("401" in methods["get"]["responses"]) == (methods["get"].get("security") != []), path


class Sending:
    """Sends cases to an application without a network, and counts what came back."""

    def __init__(self, station: Station, runner: asyncio.Runner) -> None:
        self.station = station
        self.runner = runner
        self.counts: Counter[int] = Counter()
        self.documented = document(station)["paths"]

    def __call__(self, case: Any) -> None:
        content, kind = _content(case)
        headers = [(b"host", b"127.0.0.1:8080"), *([(b"content-type", kind)] if kind else [])]
        self.station.client.query = _query(case)
        path = _path(case)
        answered = self.runner.run(self.station.client._send(case.method, path, content, 1, headers))
        self.counts[answered.status] += 1
        assert answered.status < 500, (case.method, path, kind, content[:500], answered.content[:500])
        told = self.documented[case.path][case.method.lower()]["responses"]
        assert str(answered.status) in told or answered.status in (404, 405), (case.method, path, answered.status)


def _path(case: Any) -> str:
    found: str = case.path
    for name, value in (case.path_parameters or {}).items():
        found = found.replace(f"{{{name}}}", str(value))
    return found


def _query(case: Any) -> bytes:
    from urllib.parse import urlencode

    return urlencode({name: str(value) for name, value in (case.query or {}).items()}).encode("utf-8", "replace")


def _content(case: Any) -> tuple[bytes, bytes]:
    """The body as it goes over the wire, and its type."""
    body, kind = case.body, (case.media_type or "").encode()
    if isinstance(body, bytes):
        return body, kind
    if isinstance(body, str) and case.media_type != "application/json":
        return body.encode("utf-8", "replace"), kind
    if type(body).__name__ == "NotSet":
        return b"", kind
    try:
        return json.dumps(body).encode(), kind
    except TypeError:  # bytes wrapped by a format
        return bytes(str(body), "utf-8", "replace"), kind


def test_no_request_made_from_the_document_fails_the_gateway(station: Station) -> None:
    schema = schemathesis.openapi.from_dict(document(station))
    operations = {operation.label: operation for operation in (found.ok() for found in schema.get_all_operations())}  # type: ignore[union-attr]
    assert {label for label in operations if label.startswith("POST")} == SHARES[GenerationMode.POSITIVE].keys()
    with asyncio.Runner() as runner:
        send = Sending(station, runner)
        for mode, shares in SHARES.items():
            for label, count in shares.items():
                _send_many(operations[label].as_strategy(generation_mode=mode), send, count)
        for label in operations.keys() - SHARES[GenerationMode.POSITIVE].keys():
            _send_many(operations[label].as_strategy(generation_mode=GenerationMode.POSITIVE), send, PATHS)
    print(f"{sum(send.counts.values()):,} cases: {dict(send.counts)}")
    assert sum(send.counts.values()) >= LEAST


def _send_many(cases: st.SearchStrategy[Any], send: Sending, count: int) -> None:
    @seed(0)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def sent(case: Any) -> None:
        send(case)

    sent()
