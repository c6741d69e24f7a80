"""Serving: answers a second, beside what one would write by hand and beside other people's servers.

wrk on one core, the server on the other, over loopback; the same model everywhere, a row a request, one worker. Ours
checks the row, follows the route, gives an id and records the prediction before it answers, with the settings it comes
with. All floors run at once, for a server that is not asked costs nothing, and are asked in turn; each peer is
started, asked between two turns of ours, and ended.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

from bench import holding, servers
from bench.asking import BARE, FASTAPI, FLOORS, OURS, TRITON, WAY, Server, way_of
from bench.asking import PEERS as _ALL
from bench.environment import BY_HAND, installed
from bench.figure import Figure, Limits, Section
from bench.load import wrk
from bench.peers import served
from bench.promoted import Promoted, make
from bench.servers import Running
from bench.timing import Failed

PEERS = tuple(_ALL)
CONNECTIONS = (1, 16, 64)
_SECONDS, _WARM_SECONDS = 2.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Cores: with one, or where nothing can be pinned, everything is wherever it is."""

    server: int | None
    client: int | None

    @classmethod
    def here(cls) -> Place:
        cores = sorted(os.sched_getaffinity(0)) if shutil.which("taskset") else []
        return cls(server=cores[0], client=cores[-1]) if len(cores) > 1 else cls(server=None, client=None)


@dataclass(kw_only=True)
class Samples:
    """By who and how many connections; and why somebody has none."""

    rates: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    """Answers a second."""
    costs: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds of processor time an answer, of the server and what it started."""
    failures: dict[str, str] = field(default_factory=dict)

    def ask(self, name: str, running: Running, place: Place) -> None:
        for connections in CONNECTIONS:
            before = servers.processor_seconds(running.process)
            try:
                found = wrk(running.asked, connections, _SECONDS, place.client)
            except Failed as reason:
                self.failures[name] = f"at {connections} connections {reason}"
                continue
            spent = servers.processor_seconds(running.process) - before
            self.rates[name, connections].append(found.rate)
            self.costs[name, connections].append(spent / found.count)

    def figure(self, name: str, connections: int, **limits: Unpack[Limits]) -> Figure:
        samples = self.rates[name, connections]
        failure = "" if samples else self.failures.get(name, "it was not measured")
        return Figure(what=name, samples=samples, unit="/s", failure=failure, **limits)

    def cost(self, name: str, connections: int, **limits: Unpack[Limits]) -> Figure:
        return Figure(what=name, samples=self.costs[name, connections], unit="µs", **limits)

    def best(self, name: str, **limits: Unpack[Limits]) -> Figure:
        """At whichever number of connections it answers most."""
        found = [self.figure(name, connections) for connections in CONNECTIONS if self.rates[name, connections]]
        most = max(found, key=lambda one: one.middle).samples if found else []
        failure = "" if found else self.failures.get(name, "it was not measured")
        return Figure(what=name, samples=most, unit="/s", failure=failure, **limits)


def measure(rounds: int, work: Path, *, peers: Sequence[str] = ()) -> Iterator[Section]:
    if shutil.which("wrk") is None:
        missing = Figure(what=OURS, samples=[], failure="wrk is not installed; on Debian: apt install wrk")
        yield Section(title="serving", figures=[missing])
        return
    model, place, samples = make(work), Place.here(), Samples()
    pythons = installed([BY_HAND, *peers], samples.failures)
    names = {name: server for peer in peers for name, server in _ALL[peer].items()}
    for name, (environment, _) in (dict(FLOORS) | names).items():
        if environment not in pythons:
            samples.failures[name] = samples.failures.get(environment, "")
    _throughput(samples, rounds, work, model, place, pythons, names)
    yield from _sections(samples, list(names))
    yield from holding.measure(rounds, work, model, server=place.server, client=place.client)


def _throughput(
    samples: Samples, rounds: int, work: Path, model: Promoted, place: Place, pythons: Mapping[str, Path],
    peers: Mapping[str, Server],
) -> None:  # fmt: skip
    with ExitStack() as open_ones:
        ours = open_ones.enter_context(servers.gateway(model, WAY, work, core=place.server))
        floors = {OURS: ours}
        for name, server in FLOORS.items():
            if server[0] in pythons:
                _start(samples, open_ones, name, server, floors, work, model, place, pythons)
        for running in floors.values():
            wrk(running.asked, CONNECTIONS[-1], _WARM_SECONDS, place.client)
        for number in range(rounds):
            for name, running in floors.items():
                samples.ask(name, running, place)
            if number == rounds // 2:  # with ours before and after them
                for name, server in peers.items():
                    _ask_peer(samples, name, server, work, model, place, pythons)


def _start(
    samples: Samples, open_ones: ExitStack, name: str, server: Server, floors: dict[str, Running], work: Path,
    model: Promoted, place: Place, pythons: Mapping[str, Path],
) -> None:  # fmt: skip
    port, (environment, way) = served.free_port(), server
    command = servers.peer(pythons[environment], environment, way, model, port)
    try:
        floors[name] = open_ones.enter_context(
            servers.running(
                command, port, way_of(server), model, work, servers.peer_environment(work), core=place.server
            )
        )
    except Failed as reason:
        samples.failures[name] = str(reason)


def _ask_peer(
    samples: Samples, name: str, server: Server, work: Path, model: Promoted, place: Place,
    pythons: Mapping[str, Path],
) -> None:  # fmt: skip
    if server[0] not in pythons:
        return
    with ExitStack() as its_turn:
        found: dict[str, Running] = {}
        _start(samples, its_turn, name, server, found, work, model, place, pythons)
        if name in found:
            samples.ask(name, found[name], place)


def _sections(samples: Samples, peers: Sequence[str]) -> Iterator[Section]:
    fastapi, triton = next(iter(FASTAPI)), next(iter(_ALL[TRITON]))
    for connections in CONNECTIONS:
        bare = max((samples.figure(name, connections) for name in BARE), key=lambda one: max(one.samples, default=0))
        told = [samples.figure(name, connections) for name in (*FLOORS, *peers) if name != bare.what]
        ours = samples.figure(OURS, connections, least_ratio=0.6)
        ends = "s" if connections > 1 else ""
        title = f"answers a second, {connections} connection{ends}"
        yield Section(title=title, figures=[bare, ours, *told], base=bare if bare.samples else None)
        yield _beside(samples, connections, fastapi, triton if triton in peers else None)
        yield _costs(samples, connections)
    best = samples.best(OURS)
    others = [samples.best(name, most_ratio=0.05) for name in (*peers, "FastAPI + joblib") if name != triton]
    yield Section(title="each at its best", figures=[best, *others], base=best)


def _beside(samples: Samples, connections: int, fastapi: str, triton: str | None) -> Section:
    """The other way round: what part of ours they are."""
    base = samples.figure(OURS, connections)
    figures = [base, samples.figure(fastapi, connections, most_ratio=0.4)]
    figures += [samples.figure(triton, connections, most_ratio=0.25)] if triton else []
    return Section(title=f"beside ours, {connections} at once", figures=figures, base=base)


def _costs(samples: Samples, connections: int) -> Section:
    """What a busy machine changes less; a server that waits for its client has time to spare."""
    names = [name for name in (*BARE, OURS, *FASTAPI) if samples.costs[name, connections]]
    figures = [samples.cost(name, connections) for name in names]
    base = min((one for one in figures if one.what in BARE), key=lambda one: one.middle, default=None)
    return Section(title=f"processor time an answer, {connections} at once", figures=figures, base=base)
