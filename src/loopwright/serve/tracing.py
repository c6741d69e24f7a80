"""Traces for OpenTelemetry: a request, and in it decode, predict and journal. Needs the extra `otel`.

The spans are made once the answer is out, of times that were noted on the way. A request is traced where the one that
asked traces it (W3C `traceparent`), and else one in so many; it takes the plain way, which answers byte for byte as the
hot one. A span tells the loop, version, arm, rows and status: no values, and no keys.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

from loopwright.core.clock import Clock
from loopwright.errors import MissingExtra
from loopwright.gateway.note import Note

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")
_SERVICE = "loopwright"


class Tracing:
    """Hands spans to a provider; `share` of the requests that nobody else decides on are traced, evenly."""

    def __init__(self, provider: Any, clock: Clock, *, share: float) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("loopwright.gateway")
        self._propagator = TraceContextTextMapPropagator()
        self._clock = clock
        self._share = share
        self._count = itertools.count(1)

    def wants(self, parent: str | None) -> bool:
        """Whether to trace a request that came with this `traceparent`."""
        found = _PARENT.fullmatch(parent) if parent is not None and len(parent) < 256 else None
        if found is not None:
            return bool(int(found[1], 16) & 1)
        number = next(self._count)
        return int(number * self._share) > int((number - 1) * self._share)

    def tell(self, note: Note, headers: Mapping[str, str], status: int, begun: float, ended: float) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        behind = self._clock.now().timestamp() - self._clock.monotonic()

        def at(moment: float) -> int:
            return int((moment + behind) * 1e9)

        span = self._tracer.start_span(
            f"predict {note.loop}" if note.protocol else "request",
            context=self._propagator.extract(dict(headers)),
            kind=SpanKind.SERVER,
            start_time=at(begun),
            attributes=_attributes(note, status),
        )
        inside = set_span_in_context(span)
        for name, first, last in note.stages:
            self._tracer.start_span(name, context=inside, start_time=at(first)).end(at(last))
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(at(ended))

    def close(self) -> None:
        """Hand on what waits."""
        self._provider.shutdown()


def _attributes(note: Note, status: int) -> dict[str, str | int]:
    found: dict[str, str | int] = {"http.response.status_code": status}
    if note.protocol:
        found |= {
            "loopwright.loop": note.loop,
            "loopwright.version": note.version,
            "loopwright.arm": note.arm,
            "loopwright.protocol": note.protocol,
            "loopwright.rows": note.rows,
        }
    return found


def to_collector(endpoint: str, clock: Clock, *, share: float) -> Tracing:
    """Traces that go to a collector by OTLP over HTTP, in a thread of their own. Raises `MissingExtra`.

    `endpoint` is what takes traces, such as http://127.0.0.1:4318/v1/traces.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON
    except ImportError:
        raise MissingExtra(
            "OpenTelemetry is not installed here", where="otel_endpoint", fix='pip install "loopwright[otel]"'
        ) from None
    provider = TracerProvider(
        sampler=ALWAYS_ON, resource=Resource.create({"service.name": _SERVICE}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return Tracing(provider, clock, share=share)
