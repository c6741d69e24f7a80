"""A gateway of two workers that is watched: numbers over a kill, the access log of both, and traces at a collector."""

from __future__ import annotations

import gzip
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.journey.test_serve import Project, as_json, flights, models, project, served

__all__ = ["models", "project"]  # fixtures
ROW = as_json(flights(1, seed=3))[0]
TRACE = "0af7651916cd43dd8448eb211c80319c"


def total(project: Project, name: str) -> float:
    """The sum of a metric over all its labels."""
    with urllib.request.urlopen(project.url + "/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


def ask(project: Project, times: int) -> None:
    for _ in range(times):
        assert project.post("/v1/loops/flights/predict", {"row": ROW})[0] == 200


def until(is_so: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_numbers_and_log_are_of_all_workers_and_outlive_them(project: Project) -> None:
    file = project.folder / "access.jsonl"
    with served(project, "--workers", "2", "--set", "access_log=all", "--set", f"access_log_file={file}"):
        assert project.process
        ask(project, 100)
        until(lambda: total(project, "loopwright_requests_total") == 100)
        time.sleep(0.3)  # what a worker counted last is written by then
        victim, *_ = project.workers()
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in project.workers() and len(project.workers()) == 2)
        until(lambda: total(project, "loopwright_workers") == 2)
        assert total(project, "loopwright_requests_total") == 100
        ask(project, 50)
        until(lambda: total(project, "loopwright_requests_total") == 150)
        project.process.terminate()
        project.process.wait(20)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    predicted = [line for line in lines if line.get("protocol") == "v1"]
    assert len(predicted) == 150
    assert {line["status"] for line in predicted} == {200}


@contextmanager
def collecting(spans: list[Any]) -> Iterator[str]:
    """A collector of traces on this machine: where it takes them."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                content = gzip.decompress(content)
            for resource in ExportTraceServiceRequest.FromString(content).resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces"
        server.shutdown()


def test_a_request_that_is_traced_is_traced_through_the_gateway(project: Project) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    spans: list[Any] = []
    with collecting(spans) as endpoint:
        words = ("--set", f"otel_endpoint={endpoint}", "--set", "otel_share=0")
        with served(project, *words):
            assert project.process
            ask(project, 5)
            content = json.dumps({"row": ROW}).encode()
            headers = {"Content-Type": "application/json", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
            url = f"{project.url}/v1/loops/flights/predict"
            assert project.ask(urllib.request.Request(url, content, headers))[0] == 200
            assert total(project, "loopwright_requests_total") == 6
            project.process.terminate()
            project.process.wait(20)
    assert sorted(span.name for span in spans) == ["decode", "journal", "predict", "predict flights"]
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    whole = next(span for span in spans if span.name == "predict flights")
    for span in spans:
        assert whole.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= whole.end_time_unix_nano
