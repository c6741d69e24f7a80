"""What a gateway counts, logs and traces of itself, and how it tells it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import timeit
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families
from tests.unit.keyed import CAUSE, a_key
from tests.unit.serving import ROW, Station, a_model
from tests.unit.wires import Gatehouse, request

from loopwright.core.access import Scope
from loopwright.gateway import machine
from loopwright.gateway.board import Board
from loopwright.gateway.families import FAMILIES, Kind
from loopwright.gateway.metrics import Counts, Tally, together
from loopwright.gateway.note import Note
from loopwright.gateway.refused import Refused
from loopwright.protocols.watching import Calls, Watching
from loopwright.serve.access_log import AccessLog
from loopwright.serve.overseeing import Overseer, Oversight
from loopwright.testing import HandClock

PREDICT = "/v1/loops/flights/predict"
Told = dict[str, dict[tuple[str, ...], float]]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    found = Station(tmp_path)
    found.promote(1)
    yield found
    found.close()


def told(station: Station, accept: str = "") -> Told:
    """Every sample: its value by its labels' values, in the order of their names."""
    answer = station.client.get("/metrics", accept=accept)
    assert answer.status == 200
    parse: Any = open_families if "openmetrics" in accept else plain_families
    found: Told = {}
    for family in parse(answer.content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels[name] for name in sorted(sample.labels))] = (
                sample.value
            )
    return found


def test_every_sample_is_of_a_family_that_the_table_names(station: Station) -> None:
    station.client.post(PREDICT, {"row": ROW})
    families = {family.name: family for family in plain_families(station.client.get("/metrics").content.decode())}
    known = {one.name: one for one in FAMILIES}
    assert set(families) <= set(known)
    for name, family in families.items():
        assert family.type == known[name].kind.value
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(known[name].labels)


def test_both_formats_tell_the_same(station: Station) -> None:
    station.client.post(PREDICT, {"row": ROW})
    assert station.client.get("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert (
        "openmetrics" in station.client.get("/metrics", accept="application/openmetrics-text").headers["content-type"]
    )
    plain, opened = told(station), told(station, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert plain["loopwright_requests_total"] == opened["loopwright_requests_total"]
    assert plain["loopwright_latency_seconds_bucket"] == opened["loopwright_latency_seconds_bucket"]


def test_a_prediction_is_counted_under_what_answered_it(station: Station) -> None:
    station.client.post(PREDICT, {"rows": [ROW, ROW]})
    found = told(station)
    assert found["loopwright_requests_total"] == {("champion", "flights", "v1", "200", "1"): 1}
    assert found["loopwright_rows_total"] == {("champion", "flights", "v1", "1"): 2}
    assert found["loopwright_latency_seconds_count"] == {("champion", "flights", "v1", "1"): 1}


def test_every_protocol_is_told_apart(station: Station) -> None:
    tensor = {"name": "distance", "shape": [1], "datatype": "FP64", "data": [1400.0]}
    times = {"name": "departure", "shape": [1], "datatype": "BYTES", "data": ["2013-01-01T05:15:00Z"]}
    carrier = {"name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["UA"]}
    assert station.client.post("/v2/models/flights/infer", {"inputs": [tensor, times, carrier]}).status == 200
    instances = {"instances": [ROW]}
    assert station.client.post("/invocations", instances, content_type="application/json").status == 200
    protocols = {labels[2] for labels in told(station)["loopwright_requests_total"]}
    assert protocols == {"v2", "platform"}


def test_rows_that_went_to_several_arms_count_for_each(station: Station) -> None:
    station.models["flights", 2] = a_model(2)
    station.table.put(("champion", 1, 0.5), ("canary", 2, 0.5))
    station.gateway.refresh()
    station.client.post(PREDICT, {"rows": [ROW] * 40})
    found = told(station)
    assert found["loopwright_requests_total"] == {("mixed", "flights", "v1", "200", ""): 1}
    rows = found["loopwright_rows_total"]
    assert sum(rows.values()) == 40
    assert rows["champion", "flights", "v1", "1"] > 0 < rows["canary", "flights", "v1", "2"]


def test_refusals_are_counted_by_their_reason(station: Station) -> None:
    station.client.post(PREDICT, {"row": {"distance": "far"}})
    station.client.post(PREDICT, b"{")
    station.client.get("/healthz", host="evil.example")
    refused = told(station)["loopwright_refused_total"]
    assert refused["flights", "invalid"] == 2
    assert refused["", "scope"] == 1
    assert refused["flights", "overload"] == 0  # what never happened can be asked for too


def test_nothing_that_a_client_writes_becomes_a_label(station: Station) -> None:
    for at in range(20):
        station.client.post(f"/v1/loops/made-up-{at}/predict", {"row": ROW})
        station.client.get(f"/made/up/{at}")
        station.client.send("MADEUP", f"/v1/loops/made-up-{at}", b"")
        station.client.post(PREDICT, {"row": ROW, "unit": f"made-up-{at}"})
        station.client.get("/healthz", traceparent=f"made-up-{at}", user_agent="made-up")
    content = station.client.get("/metrics").content.decode()
    assert "made" not in content.lower()
    routes = {labels[0] for labels in told(station)["loopwright_other_requests_total"]}
    assert routes == {"/v1/loops/{name}/predict", "/v1/loops/{name}", "/healthz", "/metrics", "none"}


def test_the_numbers_need_a_key_that_may_operate(station: Station) -> None:
    for number, scope in enumerate([Scope.VIEW, Scope.OPERATE]):
        key, kept = a_key(scope, number=number)
        station.stores.keys.add(kept, CAUSE)
        station.guard.refresh()
        answer = station.client.get("/metrics", authorization=f"Bearer {key}")
        assert answer.status == (200 if scope is Scope.OPERATE else 403)
    assert station.client.get("/metrics").status == 401


def test_models_routes_and_faults_are_told(station: Station) -> None:
    station.table.put(("champion", 7, 1.0))  # which cannot be loaded
    station.gateway.refresh()
    found = told(station)
    assert found["loopwright_route"] == {("champion", "flights", "1"): 1.0}
    assert found["loopwright_models"] == {("flights", "1"): 1}
    assert found["loopwright_faults"] == {("flights",): 1}
    assert found["loopwright_workers"] == {(): 1}


def test_a_fault_and_a_journal_that_cannot_be_written_are_told_by_readiness(station: Station) -> None:
    assert station.client.get("/readyz").json == {"status": "ready", "unserved": []}
    station.table.put(("champion", 7, 1.0))
    station.gateway.refresh()
    assert station.client.get("/readyz").json == {
        "status": "ready",
        "degraded": ["models"],
        "unserved": [],
        "stale": ["flights"],
    }
    for file in (station.workspace / "predictions").glob("*"):
        file.rmdir()
    (station.workspace / "predictions").mkdir(exist_ok=True)
    (station.workspace / "predictions" / "flights").write_text("in the way")
    assert station.client.post(PREDICT, {"row": ROW}).status == 503
    assert station.client.get("/readyz").json["degraded"] == ["journal", "models"]
    found = told(station)
    assert found["loopwright_journal_degraded"] == {(): 1}
    assert found["loopwright_journal_refused_total"] == {(): 1}
    assert found["loopwright_errors_total"]["flights", "503"] == 1


def test_the_journal_tells_its_size_and_its_age(station: Station) -> None:
    station.client.post(PREDICT, {"row": ROW})
    station.clock.advance(90)
    found = told(station)
    size = sum(file.stat().st_size for file in (station.workspace / "predictions" / "flights").iterdir())
    assert found["loopwright_journal_bytes"] == {("flights",): size}
    assert found["loopwright_journal_lag_seconds"]["flights",] == pytest.approx(90, abs=0.01)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")
def test_processes_tell_what_they_use(station: Station) -> None:
    found = told(station)
    assert 1e6 < found["loopwright_process_memory_bytes"]["0",] < 1e11
    assert found["loopwright_process_cpu_seconds_total"]["0",] > 0
    assert 2 < found["loopwright_process_open_files"]["0",] < found["loopwright_process_most_files"]["0",]


def test_gpus_are_told_where_the_library_finds_some() -> None:
    class Library:
        """As `pynvml` answers on a machine with two."""

        NVMLError = OSError

        def nvmlInit(self) -> None: ...  # noqa: N802
        def nvmlDeviceGetCount(self) -> int:  # noqa: N802
            return 2

        def nvmlDeviceGetHandleByIndex(self, at: int) -> int:  # noqa: N802
            return at

        def nvmlDeviceGetMemoryInfo(self, at: int) -> Any:  # noqa: N802
            return type("Memory", (), {"used": at + 1, "total": 80})

        def nvmlDeviceGetUtilizationRates(self, at: int) -> Any:  # noqa: N802
            return type("Rates", (), {"gpu": 25})

    assert machine.gpus(Library()) == [
        machine.Gpu(number=0, memory_bytes=1, memory_total_bytes=80, share=0.25),
        machine.Gpu(number=1, memory_bytes=2, memory_total_bytes=80, share=0.25),
    ]


def test_a_gpu_library_without_a_driver_tells_of_none() -> None:
    class Library:
        NVMLError = OSError

        def nvmlInit(self) -> None:  # noqa: N802
            raise OSError("driver not loaded")

    assert machine.gpus(Library()) == []


def test_the_hot_path_is_counted_with_the_same_labels(tmp_path: Path) -> None:
    house = Gatehouse(tmp_path)
    house.station.promote(1)

    async def story(house: Gatehouse) -> None:
        await house.ask({"row": ROW})
        await house.ask({"row": {"distance": 1}})
        await house.ask({"rows": [ROW] * 3})

    house.run(story)
    counts = house.tally.counts(["flights"])
    house.close()
    assert dict(counts.counters["loopwright_requests"]) == {
        ("flights", "1", "champion", "v1", "200"): 2,
        ("flights", "1", "champion", "v1", "422"): 1,
    }
    assert dict(counts.counters["loopwright_rows"]) == {("flights", "1", "champion", "v1"): 4}


def test_what_is_written_for_the_others_leaves_out_what_never_happened(tmp_path: Path) -> None:
    """With many loops it would be most of it, a few times a second."""
    station = Station(tmp_path / "work", oversight=Oversight(board=tmp_path))
    for at in range(50):
        station.promote(1, loop=f"loop-{at}")
    station.overseer.stop()
    (written,) = tmp_path.glob("0-*.counts")
    assert written.stat().st_size < 50 * 200
    refused = told(station)["loopwright_refused_total"]
    station.close()
    assert len(refused) == 50 * 8


def test_counting_a_request_takes_less_than_a_microsecond() -> None:
    """The best of many, in time of this thread: what others do on the machine is not its cost."""
    given = {"count": Tally().answered}
    line = 'count("flights", 1, "champion", "v1", 200, 1, 0.0004)'
    seconds = timeit.repeat(line, globals=given, number=5000, repeat=40, timer=time.thread_time)
    assert min(seconds) / 5000 < 1e-6


def counted(requests: int) -> Counts:
    tally = Tally()
    for _ in range(requests):
        tally.answered("flights", 1, "champion", "v1", 200, 1, 0.002)
    found = tally.counts(["flights"])
    found.gauges["loopwright_connections"] = [((), float(requests))]
    return found


def requests_of(counts: Counts) -> float:
    return dict(counts.counters["loopwright_requests"])["flights", "1", "champion", "v1", "200"]


def test_sums_of_processes_do_not_depend_on_their_order() -> None:
    one, two, three = counted(1), counted(2), counted(3)
    assert together([one], [two, three]) == together([], [together([one], []), two, three])
    assert requests_of(together([three], [one, two])) == 6
    assert together([three], [one, two]).gauges["loopwright_connections"] == [((), 3.0)]  # of the living alone


def test_whoever_is_asked_tells_for_all_workers_and_for_those_that_ended(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom loopwright.gateway.board import Board\n"
        "from tests.unit.test_operations import counted\n"
        f"board = Board(pathlib.Path({str(tmp_path)!r}), 'b')\nboard.write(counted(5))\nprint('there', flush=True)\n"
        "sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == b"there\n"
    mine = Board(tmp_path, "a")
    counts, workers = mine.read(counted(2))
    assert requests_of(counts) == 7
    assert [(one.name, one.process) for one in workers] == [("a", os.getpid()), ("b", other.pid)]
    other.kill()
    other.communicate()
    for _ in range(3):
        counts, workers = mine.read(counted(2))
        assert requests_of(counts) == 7  # what was counted does not go with its process
        assert [one.name for one in workers] == ["a"]
    assert not list(tmp_path.glob("b-*"))


def test_what_was_added_up_is_not_added_again_after_a_crash(tmp_path: Path) -> None:
    ended = tmp_path / "b-999999999-7.counts"  # no process of this number began then
    Board(tmp_path, "b").write(counted(5))
    (written,) = tmp_path.glob("b-*.counts")
    content = written.read_bytes()
    written.rename(ended)
    mine = Board(tmp_path, "a")
    assert requests_of(mine.read(counted(1))[0]) == 6
    ended.write_bytes(content)  # as if it had died before the file was gone
    assert requests_of(mine.read(counted(1))[0]) == 6


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_access_log_says_how_it_went_and_nothing_of_what_was_sent(tmp_path: Path) -> None:
    file = tmp_path / "access.jsonl"
    station = Station(tmp_path / "work", oversight=Oversight(access_log="all", access_log_file=file))
    station.promote(1)
    key = "lw_" + "0" * 10 + "_" + "s" * 52
    station.client.post(PREDICT, {"row": ROW, "unit": "somebody@example.org"}, authorization=f"Bearer {key}")
    station.client.get("/v1/loops/secret-name")
    station.close()
    predicted, looked = lines(file)
    assert predicted.keys() == {"at", "protocol", "loop", "status", "milliseconds", "version", "arm", "rows"}
    assert (predicted["loop"], predicted["version"], predicted["status"], predicted["rows"]) == ("flights", 1, 200, 1)
    assert looked.keys() == {"at", "route", "status", "milliseconds"}
    assert (looked["route"], looked["status"]) == ("/v1/loops/{name}", 404)
    content = file.read_text()
    assert not any(text in content for text in ("1400", "UA", "somebody", "secret", "s" * 52))


def test_only_errors_are_logged_where_that_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "access.jsonl"
    station = Station(tmp_path / "work", oversight=Oversight(access_log="errors", access_log_file=file))
    station.promote(1)
    station.client.post(PREDICT, {"row": ROW})
    station.client.post(PREDICT, {"row": {}})
    station.close()
    assert [line["status"] for line in lines(file)] == [422]


def test_a_log_that_is_full_drops_lines_and_says_how_many(tmp_path: Path) -> None:
    file = tmp_path / "access.jsonl"
    log = AccessLog("all", file, HandClock())
    for _ in range(65_536 + 5):
        log.answered(("flights", 1, "champion", "v1", 200), 1, 0.001)
    log.close()
    found = lines(file)
    assert len(found) == 65_537
    assert found[-1]["dropped"] == log.dropped == 5


class Collected:
    """A tracer that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[tuple[Note, int]] = []
        self.asked: list[str | None] = []

    def wants(self, parent: str | None) -> bool:
        self.asked.append(parent)
        return parent is not None

    def tell(self, note: Note, headers: Any, status: int, begun: float, ended: float) -> None:
        assert begun <= ended
        self.notes.append((note, status))


@pytest.mark.parametrize("size", [1, 2000], ids=["in the event loop", "in a thread"])
def test_a_traced_request_notes_its_stages_in_their_order(tmp_path: Path, size: int) -> None:
    tracer = Collected()
    station = Station(tmp_path, tracer=tracer)
    station.promote(1)
    station.client.post(PREDICT, {"rows": [ROW] * size})
    station.client.post(PREDICT, {"rows": [ROW] * size}, traceparent="00-1-1-01")
    station.close()
    ((note, status),) = tracer.notes
    assert status == 200
    assert [name for name, _, _ in note.stages] == ["decode", "predict", "journal"]
    assert (note.loop, note.version, note.arm, note.rows) == ("flights", 1, "champion", size)


def test_a_traced_request_leaves_the_hot_path_and_gets_the_same_answer(tmp_path: Path) -> None:
    tracer = Collected()
    house = Gatehouse(tmp_path, tracer=tracer)
    house.station.promote(1)
    house.hub.tracer = tracer
    answers = []

    async def story(house: Gatehouse) -> None:
        wire = house.connect()
        for headers in ({}, {"traceparent": "00-1-1-01"}, {}):
            wire.send(request({"row": ROW}, **headers))
            answers.extend(await wire.answers())
        wire.connection.connection_lost(None)

    house.run(story)
    house.close()
    assert tracer.asked == [None, "00-1-1-01", None]
    assert [note.version for note, _ in tracer.notes] == [1]
    assert sum(house.tally.requests.values()) == 2  # in the hot path; the third is the station's
    nameless = {re.sub(rb"[0-9A-Z]{26}", b"", one.content) for one in answers}
    assert len(nameless) == 1


def test_a_share_of_the_requests_is_traced_where_nobody_decides() -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider

    from loopwright.serve.tracing import Tracing

    tracing = Tracing(TracerProvider(), HandClock(), share=0.1)
    assert sum(tracing.wants(None) for _ in range(1000)) == 100
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
    assert tracing.wants(f"{parent}-01")
    assert not tracing.wants(f"{parent}-00")
    assert not any(Tracing(TracerProvider(), HandClock(), share=0.0).wants("what ever") for _ in range(1000))


def test_spans_go_on_from_the_trace_of_the_one_who_asked(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from loopwright.serve.tracing import Tracing

    spans, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    station = Station(tmp_path, tracer=Tracing(provider, HandClock(), share=0.0))
    station.promote(1)
    station.client.post(PREDICT, {"row": ROW}, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    station.close()
    found = {span.name: span for span in spans.get_finished_spans()}
    provider.shutdown()
    assert set(found) == {"predict flights", "decode", "predict", "journal"}
    whole = found["predict flights"]
    assert format(whole.context.trace_id, "032x") == "0af7651916cd43dd8448eb211c80319c"
    assert whole.parent is not None
    assert format(whole.parent.span_id, "016x") == "b7ad6b7169203331"
    for name in ("decode", "predict", "journal"):
        parent = found[name].parent
        assert parent is not None
        assert parent.span_id == whole.context.span_id
    assert (whole.attributes or {})["loopwright.version"] == 1
    assert "1400" not in str([span.to_json() for span in found.values()])


def test_spans_reach_a_collector_on_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    got = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                import gzip

                content = gzip.decompress(content)
            got.append(ExportTraceServiceRequest.FromString(content))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
        overseer = Overseer(Oversight(otel_endpoint=endpoint, otel_share=1.0), HandClock())
        station = Station(tmp_path, tracer=overseer.tracer)
        station.promote(1)
        station.client.post(PREDICT, {"row": ROW})
        overseer.stop()
        station.close()
        server.shutdown()
    spans = [
        span.name for one in got for part in one.resource_spans for scope in part.scope_spans for span in scope.spans
    ]
    assert sorted(spans) == ["decode", "journal", "predict", "predict flights"]


def test_an_application_that_fails_is_counted_as_failing() -> None:
    import asyncio

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    tally = Tally()
    watching = Watching(failing, tally=tally, clock=HandClock(), routes=[], knows=lambda _: False)
    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(watching({"type": "http", "headers": []}, None, None))  # type: ignore[arg-type]
    assert tally.exchanges == {("none", 500): 1}


def test_calls_by_another_way_than_http_are_counted_too(station: Station) -> None:
    calls = Calls("grpc", station.overseer.tally, station.clock, station.gateway.knows)
    with calls.one("flights"):
        station.gateway.predict("flights", [ROW, ROW])
    with pytest.raises(Refused), calls.one("flights"):
        station.gateway.predict("flights", [{}])
    with pytest.raises(Refused), calls.one("made-up"):
        station.gateway.predict("made-up", [ROW])
    found = told(station)
    assert found["loopwright_requests_total"] == {
        ("champion", "flights", "grpc", "200", "1"): 1,
        ("champion", "flights", "grpc", "422", "1"): 1,
    }
    assert found["loopwright_rows_total"] == {("champion", "flights", "grpc", "1"): 2}
    assert found["loopwright_other_requests_total"]["grpc", "404"] == 1


def test_every_family_stands_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    for one in FAMILIES:
        name = one.name + ("_total" if one.kind is Kind.COUNTER else "")
        assert f"| `{name}` | {one.kind.value} |" in page
        assert one.help in page
