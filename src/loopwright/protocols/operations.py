"""`GET /metrics`: the numbers of all processes of a gateway, for Prometheus; OpenMetrics where that is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from loopwright.core.access import Scope
from loopwright.core.clock import Clock, moment_of
from loopwright.gateway import machine
from loopwright.gateway.board import Board, Worker
from loopwright.gateway.families import FAMILIES, Family, Kind
from loopwright.gateway.metrics import Counts, Labels, Tally
from loopwright.gateway.served import State
from loopwright.predictions import journal
from loopwright.predictions.health import Health
from loopwright.protocols import door
from loopwright.protocols.door import Guarded

_OPEN_METRICS = "application/openmetrics-text"
Values = dict[str, list[tuple[Labels, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What of this process is as it is now, and is asked for when it is told."""

    states: Callable[[], Sequence[State]]
    health: Callable[[], Health]
    queues: Callable[[], Mapping[str, int]] = dict
    """By loop."""
    connections: Callable[[], int] = int
    log_dropped: Callable[[], int] = int


class Operations:
    """The endpoint, and what it tells. `journals` is the folder that the predictions are written to."""

    def __init__(self, *, tally: Tally, gauges: Gauges, board: Board, journals: Path, clock: Clock) -> None:
        self.tally = tally
        self._gauges = gauges
        self._board = board
        self._journals = journals
        self.clock = clock

    async def metrics(self, request: Request) -> Response:
        is_open = _OPEN_METRICS in request.headers.get("accept", "")
        return await asyncio.to_thread(self._told, is_open=is_open)

    def routes(self) -> list[Guarded]:
        return [door.route("/metrics", self.metrics, ["GET"], scope=Scope.OPERATE)]

    def write(self) -> None:
        """Put this process's numbers where the others find them. Call it a few times a second."""
        if self._board.is_shared:
            self._board.write(self.counts([]))

    def counts(self, loops: Iterable[str] | None = None) -> Counts:
        """Of this process. What never happened stands as 0 for these loops; for all of them where none are given."""
        states, health = self._gauges.states(), self._gauges.health()
        counts = self.tally.counts([state.loop for state in states] if loops is None else loops)
        counts.counters["loopwright_invalid"] = [((state.loop,), float(state.invalid)) for state in states]
        counts.counters["loopwright_journal_refused"] = [((), float(health.refused))]
        counts.counters["loopwright_journal_unrecorded"] = [((), float(health.unrecorded))]
        counts.counters["loopwright_log_dropped"] = [((), float(self._gauges.log_dropped()))]
        counts.gauges["loopwright_connections"] = [((), float(self._gauges.connections()))]
        counts.gauges["loopwright_journal_degraded"] = [((), float(health.is_degraded))]
        counts.gauges["loopwright_faults"] = [((state.loop,), float(state.fault is not None)) for state in states]
        waiting = self._gauges.queues()
        counts.gauges["loopwright_queue"] = [((state.loop,), float(waiting.get(state.loop, 0))) for state in states]
        counts.gauges["loopwright_models"] = [(labels, 1.0) for labels, _ in _models(states)]
        return counts

    def _told(self, *, is_open: bool) -> Response:
        from prometheus_client import exposition
        from prometheus_client.openmetrics import exposition as open_exposition

        counts, workers = self._board.read(self.counts())
        told = _Told([*_families(counts), *self._gathered(workers)])
        if is_open:
            content = open_exposition.generate_latest(told)  # type: ignore[no-untyped-call]
            return Response(content, media_type=open_exposition.CONTENT_TYPE_LATEST)
        return Response(exposition.generate_latest(told), media_type=exposition.CONTENT_TYPE_PLAIN_0_0_4)

    def _gathered(self, workers: Sequence[Worker]) -> Iterator[Any]:
        """What is asked of the system when it is told: journals are shared, and processes have their own labels."""
        found = _processes(workers) | _gpus() | self._journal() | _routes(self._gauges.states())
        found["loopwright_workers"] = [((), float(len(workers)))]
        for family in FAMILIES:
            if family.name in found:
                yield _metric(family, found[family.name])

    def _journal(self) -> Values:
        """The names of journals say when they were begun."""
        now = self.clock.now()
        sizes: list[tuple[Labels, float]] = []
        lags: list[tuple[Labels, float]] = []
        for loop in journal.loops(self._journals):
            files = [*journal.files(self._journals, loop), *journal.column_files(self._journals, loop)]
            filled = [(file, size) for file in files if (size := _size(file))]
            oldest = min((moment_of(file.stem) for file, _ in filled), default=now)
            sizes.append(((loop,), float(sum(size for _, size in filled))))
            lags.append(((loop,), max(0.0, (now - oldest).total_seconds())))
        return {"loopwright_journal_bytes": sizes, "loopwright_journal_lag_seconds": lags}


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # it became part of a table meanwhile
        return 0


def _models(states: Iterable[State]) -> list[tuple[Labels, float]]:
    """Those in memory, by loop and version, and how much each takes."""
    awake = [state.served for state in states if state.served is not None and not state.is_resting]
    return [
        ((model.version.loop, str(number)), float(model.memory_bytes))
        for served in awake
        for number, model in served.models.items()
    ]


def _routes(states: Sequence[State]) -> Values:
    """As this process has them: all follow the same table."""
    arms: list[tuple[Labels, float]] = [
        ((state.loop, str(arm.version), arm.name), arm.share)
        for state in states
        if state.served is not None
        for arm in state.served.route.arms
    ]
    return {"loopwright_route": arms, "loopwright_model_bytes": _models(states)}


def _processes(workers: Iterable[Worker]) -> Values:
    found: Values = {}
    for worker in {worker.name: worker for worker in workers}.values():  # of two in one place, one is leaving
        process = machine.process(worker.process)
        if process is not None:
            for name, value in (
                ("cpu_seconds", process.cpu_seconds),
                ("memory_bytes", process.memory_bytes),
                ("open_files", process.open_files),
                ("most_files", process.most_files),
                ("threads", process.threads),
            ):
                found.setdefault(f"loopwright_process_{name}", []).append(((worker.name,), float(value)))
    return found


def _gpus() -> Values:
    gpus = machine.gpus()
    if not gpus:
        return {}
    return {
        "loopwright_gpu_memory_bytes": [((str(gpu.number),), float(gpu.memory_bytes)) for gpu in gpus],
        "loopwright_gpu_memory_total_bytes": [((str(gpu.number),), float(gpu.memory_total_bytes)) for gpu in gpus],
        "loopwright_gpu_share": [((str(gpu.number),), gpu.share) for gpu in gpus],
    }


class _Told:
    """What the writers of Prometheus's formats take."""

    def __init__(self, metrics: Sequence[Any]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Any]:
        return self._metrics


def _families(counts: Counts) -> Iterator[Any]:
    for family in FAMILIES:
        if family.kind is Kind.HISTOGRAM:
            yield _histogram(family, counts.histograms.get(family.name, []))
        elif family.name in counts.counters or family.name in counts.gauges:
            yield _metric(family, counts.counters.get(family.name) or counts.gauges.get(family.name, []))


def _metric(family: Family, values: Iterable[tuple[Labels, float]]) -> Any:
    from prometheus_client import core

    kinds: dict[Kind, Any] = {Kind.COUNTER: core.CounterMetricFamily, Kind.GAUGE: core.GaugeMetricFamily}
    metric = kinds[family.kind](family.name, family.help, labels=family.labels)
    for labels, value in values:
        metric.add_metric(labels, value)
    return metric


def _histogram(family: Family, values: Iterable[tuple[Labels, list[int], float]]) -> Any:
    from prometheus_client import core

    metric = core.HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = [*(str(float(bound)) for bound in family.bounds), "+Inf"]
    for labels, counts, total in values:
        metric.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
    return metric
