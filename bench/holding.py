"""What our gateway holds while it answers: how late the latest are, under what load, with how much memory.

Latency is taken by a client that asks at a rate, from when a request was due, while wrk said before what the most is.
The base of every comparison is of the same gateway a few seconds before.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import batches, servers
from bench.asking import WAY
from bench.figure import Figure, Section
from bench.load import Seen, at_rate, bodies, wrk
from bench.promoted import Promoted, champion, change_route
from bench.servers import Running
from bench.timing import Failed
from loopwright.core.version import Arm

_SECONDS, _CONNECTIONS, _SWAPS = 4.0, 64, 3
_DEADLINE_SECONDS, _FEW, _CROWD = 0.4, 8, 1500
"""For overload: a deadline that few sockets cannot exceed, and many can."""
_SHADOW = Arm(name="challenger", version=2, share=0.0, shadow=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A gateway, and where its client is."""

    model: Promoted
    work: Path
    server: int | None
    client: int | None

    def most(self, running: Running, seconds: float = 2.0) -> float:
        return wrk(running.asked, _CONNECTIONS, seconds, self.client).rate

    def at(self, running: Running, rate: float, seed: int, seconds: float = _SECONDS) -> Seen:
        return at_rate(running.asked, rate, seconds, _CONNECTIONS, self.client, seed)


def measure(rounds: int, work: Path, model: Promoted, *, server: int | None, client: int | None) -> Iterator[Section]:
    held = Held(model=model, work=work, server=server, client=client)
    yield from _part("cold start", lambda: [_cold(held, rounds)])
    with servers.gateway(model, WAY, work, core=server) as running:
        half = held.most(running) / 2
        for title, part in {
            "latency": lambda: [_steady(held, running, half, rounds)],
            "shadow": lambda: _shadow(held, running, half / 2, rounds),
            "hot swap": lambda: _swap(held, running, half, rounds),
            "memory": lambda: [_memory(running)],
        }.items():
            yield from _part(title, part)
    yield from _part("1,000 rows", lambda: _batches(held))
    yield from _part("overload", lambda: [_overload(held, rounds)])
    yield from _part("workers", lambda: [_workers(held)])


def _part(title: str, measured: Callable[[], Iterable[Section]]) -> Iterator[Section]:
    """What one part tells, or why it cannot; the others go on."""
    try:
        yield from measured()
    except Failed as reason:
        yield Section(title=title, figures=[Figure(what=title, samples=[], failure=str(reason))])


def _batches(held: Held) -> Iterator[Section]:
    """With compaction off, which would take its processor time whenever it pleases."""
    with servers.gateway(held.model, WAY, held.work, "--set", "compact_seconds=0", core=held.server) as running:
        yield from batches.measure(held.model, held.work, running, server=held.server, client=held.client)


def _memory(running: Running) -> Section:
    """After everything else, when it has answered a lot."""
    memory = [float(one) for one in servers.memory_bytes(running.process)]
    return Section(title="memory", figures=[Figure(what="a worker, PSS", samples=memory, unit="MB", target=250)])


def _cold(held: Held, rounds: int) -> Section:
    samples: dict[int | None, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for core in dict.fromkeys((None, held.server)):
            with servers.gateway(held.model, WAY, held.work, core=core) as running:
                samples[core].append(running.seconds)
    figures = [
        Figure(what="on all cores" if core is None else "on one core", samples=found, target=1.5)
        for core, found in samples.items()
    ]
    return Section(title="from the start to the first right answer", figures=figures)


@dataclass(kw_only=True)
class Latencies:
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    late: float = 0.0
    failed: int = 0

    def add(self, seen: Seen) -> None:
        self.p50.append(seen.p50)
        self.p99.append(seen.p99)
        self.failed += seen.failed + seen.refused
        self.late = max(self.late, seen.late)


def _steady(held: Held, running: Running, rate: float, rounds: int) -> Section:
    found = Latencies()
    for number in range(rounds):
        found.add(held.at(running, rate, number))
    base = Figure(what="p50", samples=found.p50, unit="ms")
    last = Figure(what="p99", samples=found.p99, unit="ms", most_ratio=5)
    late = Figure(what="sent over 10 ms late, by the client", samples=[found.late], unit="%")
    title = f"{rate:,.0f} a second, half of the most"
    return Section(title=title, figures=[base, last, late], base=base)


def _shadow(held: Held, running: Running, rate: float, rounds: int) -> Iterator[Section]:
    """In turns, each after the route was taken up."""
    ways = {"without": (champion(1),), "with a shadow": (champion(1), _SHADOW)}
    found = {name: Latencies() for name in ways}
    for number in range(rounds):
        for name, arms in ways.items():
            change_route(held.model.project, *arms)
            time.sleep(2.0)
            found[name].add(held.at(running, rate, number))
    change_route(held.model.project, champion(1))
    yield _compared(f"p99 at {rate:,.0f} a second", found, "without", "with a shadow", 1.2)


def _swap(held: Held, running: Running, rate: float, rounds: int) -> Iterator[Section]:
    found, swapped = {"without": Latencies(), "with hot swaps": Latencies()}, list[float]()
    for number in range(rounds):
        found["without"].add(held.at(running, rate, number))
        with_swaps = Beside(lambda: swapped.append(_swap_often(held, running)))
        found["with hot swaps"].add(held.at(running, rate, number))
        with_swaps.join()
    yield _compared(
        f"p99 at {rate:,.0f} a second, {_SWAPS} swaps in {_SECONDS:g} s", found, "without", "with hot swaps", 2.0
    )
    failed = Figure(what="failed with hot swaps", samples=[found["with hot swaps"].failed], unit="requests", target=0)
    took = Figure(what="swaps that were seen", samples=swapped, unit="swaps", least=_SWAPS)
    yield Section(title="failed", figures=[failed, took])


class Beside(threading.Thread):
    """Does something while the client asks."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._act = act
        self.start()

    def run(self) -> None:
        self._act()


def _swap_often(held: Held, running: Running) -> float:
    """How many of them were seen to answer before the next."""
    seen, content = 0, json.dumps(WAY.shape(held.model.rows[0])).encode()
    for number in range(_SWAPS):
        version = 2 - number % 2
        change_route(held.model.project, champion(version))
        time.sleep(_SECONDS / (_SWAPS + 1))
        told = servers.ask(running.asked.port, WAY.path, content)
        seen += told is not None and json.loads(told)["prediction"]["version"] == version
    change_route(held.model.project, champion(1))
    return float(seen)


def _compared(title: str, found: dict[str, Latencies], before: str, after: str, most: float) -> Section:
    base = Figure(what=before, samples=found[before].p99, unit="ms")
    return Section(
        title=title,
        figures=[base, Figure(what=after, samples=found[after].p99, unit="ms", most_ratio=most)],
        base=base,
    )


def _overload(held: Held, rounds: int) -> Section:
    """Three times what it can, and what comes of it: in turns, so that a busy moment falls on both.

    With requests of twenty rows, else the client would be the one that cannot, and a deadline of 0.4 seconds, else no
    number of sockets could make anybody wait for long: who would wait for a quarter of it is told at once.
    """
    words = ("--set", f"deadline_seconds={_DEADLINE_SECONDS}")
    most, good, refused, costs, late = [], [], [], [], 0.0
    file = bodies(held.work / "twenty.jsonl", [{"rows": held.model.rows[at : at + 20]} for at in range(200)])
    with servers.gateway(held.model, WAY, held.work, *words, core=held.server) as running:
        asked = replace(running.asked, file=file)
        for number in range(rounds):
            before = servers.processor_seconds(running.process)
            alone = wrk(asked, _FEW, _SECONDS, held.client)
            between = servers.processor_seconds(running.process)
            seen = at_rate(asked, 3 * alone.rate, _SECONDS, _CROWD, held.client, number)
            after = servers.processor_seconds(running.process)
            most.append(alone.rate)
            good.append(seen.in_time / _SECONDS)
            refused.append(seen.refused / _SECONDS)
            costs.append((alone.count / (between - before), seen.answered / (after - between)))
            late = max(late, seen.late)
    base = Figure(what="the most, of 20 rows each", samples=most, unit="/s")
    figures = [
        base,
        Figure(what="answered at three times that", samples=good, unit="/s", least_ratio=0.9),
        Figure(what="told to come back", samples=refused, unit="/s"),
        Figure(what="a second of processor time: the most", samples=[one for one, _ in costs], unit="/s"),
        Figure(what="... and at three times that", samples=[one for _, one in costs], unit="/s"),
        Figure(what="sent over 10 ms late, by the client", samples=[late], unit="%"),
    ]
    return Section(title="overload", figures=figures, base=base)


def _workers(held: Held) -> Section:
    """Held to its target where the client has a core of its own beside two workers."""
    most = []
    for workers in (1, 2):
        with servers.gateway(held.model, WAY, held.work, "--workers", str(workers), core=None) as running:
            most.append(wrk(running.asked, _CONNECTIONS, _SECONDS, None).rate)
    enough = len(os.sched_getaffinity(0)) > 2
    base = Figure(what="one worker", samples=most[:1], unit="/s")
    two = Figure(what="two workers", samples=most[1:], unit="/s", least_ratio=1.8 if enough else None)
    title = "workers" if enough else "workers, on cores that they share with the client"
    return Section(title=title, figures=[base, two], base=base)
