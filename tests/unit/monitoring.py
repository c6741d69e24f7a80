"""A loop that is watched: its versions in a memory store, its predictions and labels in the journals of a workspace."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from loopwright.core.clock import Ulids
from loopwright.core.deployment import Deployment
from loopwright.core.event import Cause
from loopwright.core.finding import Finding
from loopwright.core.plain import plain
from loopwright.core.stores import Stores
from loopwright.core.version import CHAMPION, Arm, Route, Version, VersionStatus
from loopwright.data.schema import Column, Schema
from loopwright.data.statistics import Statistics, TableProfile
from loopwright.judge.evaluate import evaluate
from loopwright.judge.evaluation import Evaluation
from loopwright.monitor.declare import Monitor
from loopwright.monitor.machine import Machine
from loopwright.monitor.reconciler import Monitors
from loopwright.predictions import failures, journal, labels
from loopwright.predictions.failures import Failure
from loopwright.predictions.journal import Line
from loopwright.predictions.labels import Label
from loopwright.testing import HandClock, memory_stores

DAY = timedelta(days=1)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FIRST = NOON.replace(hour=0)
LOOP = "late"
CONTRACT = Schema(
    columns=(
        Column(name="carrier", kind="string", missing=False, values=("AA", "B6", "UA"), closed=True),
        Column(name="distance", kind="float", missing=False, least=0.0),
    ),
    key=("flight_id",),
    label="late",
)
_CARRIERS = ("AA", "B6", "UA")


def rows_of(draw: np.random.Generator, count: int, *, further: float = 0.0) -> list[dict[str, Any]]:
    """Flights, `further` by so many deviations."""
    distances = np.exp(6.5 + 0.5 * (draw.normal(size=count) + further))
    carriers = draw.choice(_CARRIERS, size=count, p=(0.5, 0.3, 0.2))
    return [{"carrier": str(one), "distance": float(far)} for one, far in zip(carriers, distances, strict=True)]


def probability(row: Mapping[str, Any]) -> float:
    """Of being late, as the world has it, and as a good model says."""
    return float(1 / (1 + np.exp(-2.0 * (np.log(row["distance"]) - 6.5))))


def an_evaluation(draw: np.random.Generator, count: int = 4000) -> Evaluation:
    rows = rows_of(draw, count)
    scores = np.array([probability(row) for row in rows])
    carriers = [row["carrier"] for row in rows]
    return evaluate((draw.random(count) < scores).astype(float), scores, columns={"carrier": carriers},
                    slices=["carrier"], draws=40)  # fmt: skip


@dataclass
class World:
    """Turn the clock, let it be asked, tell labels, and look at what the monitors found."""

    folder: Path
    monitor: Monitor | None = None
    seed: int = 0
    machine: Machine | None = None
    given: Stores | None = None
    """In place of a memory."""
    clock: HandClock = field(default_factory=lambda: HandClock(NOON))
    stores: Stores = field(init=False)

    def __post_init__(self) -> None:
        self.stores = self.given or memory_stores(self.clock)
        self.draw = np.random.default_rng(self.seed)
        self._ulids = Ulids(self.clock)
        self.add_version()
        self.route((CHAMPION, 1, 1.0))
        if self.monitor is not None:
            self.deploy(self.monitor)
        self.monitors = self.another()

    def another(self) -> Monitors:
        machine = self.machine
        look = None if machine is None else lambda _: machine
        return Monitors(stores=self.stores, workspace=self.folder, clock=self.clock, look_at_machine=look)

    @property
    def cause(self) -> Cause:
        return Cause(actor="tester", at=self.clock.now())

    def deploy(self, monitor: Monitor, slices: Sequence[str] = ("carrier",)) -> None:
        spec = {
            "loop": LOOP,
            "judge": {"metric": "roc_auc", "slices": [[one] for one in slices], "least_rows": 200},
            "monitor": plain(monitor),
        }
        made = Deployment(loop=LOOP, file="loop.py", code="c" * 64, environment="e" * 64, settings={}, spec=spec,
                          created_at=self.clock.now(), created_by="tester")  # fmt: skip
        self.stores.deployments.add(made, [], self.cause)

    def add_version(self, rows: int = 20_000) -> Version:
        draw = np.random.default_rng([self.seed, 1])
        trained = rows_of(draw, rows)
        late = [bool(draw.random() < probability(row)) for row in trained]
        table = pa.Table.from_pylist([row | {"late": said} for row, said in zip(trained, late, strict=True)])
        profile = TableProfile.of_schema(table.schema)
        for batch in table.to_batches():
            profile.update(batch)
        profile.flush()
        number = len(self.stores.versions.list(LOOP)) + 1
        content = {
            "schema.json": CONTRACT.to_json(),
            "statistics.json": Statistics.of(profile).to_json(),
            "evaluation.json": an_evaluation(draw).to_json(),
            "manifest.json": json.dumps({"outputs": {"classes": [False, True]}, "number": number}),
        }
        files = {name: self.stores.blobs.put(text.encode()).digest for name, text in content.items()}
        made = Version(
            loop=LOOP, digest=f"{number:064d}", files=files, status=VersionStatus.ACCEPTED, run_id=f"run-{number}",
            created_at=self.clock.now(), created_by="tester", metric="roc_auc", value=0.8, reason="fine",
            task="binary", lineage={},
        )  # fmt: skip
        return self.stores.versions.add(made, [], self.cause)

    def route(self, *arms: tuple[str, int, float]) -> None:
        now = self.stores.routes.current(LOOP)
        served = tuple(Arm(name=name, version=version, share=share) for name, version, share in arms)
        made = Route(loop=LOOP, arms=served,
                     at=self.clock.now(), actor="tester")  # fmt: skip
        self.stores.routes.change(made, {name: version for name, version, _ in arms}, self.cause,
                                  now.number if now else None)  # fmt: skip

    def ask(self, rows: Sequence[Mapping[str, Any]], *, version: int = 1, shadow: bool = False,
            latency_ms: float = 2.0) -> list[tuple[str, Mapping[str, Any]]]:  # fmt: skip
        """Lines of the journal for these rows, at the moment of the clock; their ids."""
        now, made, told = self.clock.now(), list[Line](), list[tuple[str, Mapping[str, Any]]]()
        for row in rows:
            share = probability(row)
            line = Line(
                id=f"{self._ulids.next()}.0", at=now, loop=LOOP, version=version, digest="d", arm=CHAMPION, row=row,
                label=share > 0.5, probabilities={"false": 1 - share, "true": share}, shadow=shadow,
                latency_ms=latency_ms,
            )  # fmt: skip
            made.append(line)
            told.append((line.id, row))
        self.write(self.folder / journal.FOLDER, self._ulids.next(), made)
        return told

    def answer(self, asked: Sequence[tuple[str, Mapping[str, Any]]], *, reversed_share: float = 0.0) -> None:
        """Tell what came true of them now; the world is the other way round for that share."""
        told = []
        for identity, row in asked:
            share = probability(row)
            share = 1 - share if self.draw.random() < reversed_share else share
            late = bool(self.draw.random() < share)
            told.append(Label(label=late, at=self.clock.now(), origin="test", prediction_id=identity))
        self.write(self.folder / labels.FOLDER, self._ulids.next(), told)

    def fail(self, count: int, kind: Any = "error", *, shadow: bool = False) -> None:
        told = [
            Failure(id=self._ulids.next(), at=self.clock.now(), loop=LOOP, version=1, digest="d", arm=CHAMPION,
                    kind=kind, reason="it raised", shadow=shadow)
            for _ in range(count)
        ]  # fmt: skip
        self.write(self.folder / failures.FOLDER, self._ulids.next(), told)

    def write(self, root: Path, name: str, lines: Sequence[Any]) -> None:
        folder = root / LOOP
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jsonl").write_bytes(msgspec.json.Encoder().encode_lines(lines))

    def flights(self, count: int, *, further: float = 0.0) -> list[dict[str, Any]]:
        return rows_of(self.draw, count, further=further)

    def pass_days(self, days: float = 1.0) -> int:
        """Turn the clock, and let the monitors look."""
        self.clock.advance(days * DAY.total_seconds())
        return self.monitors.reconcile()

    def found(self, monitor: str, subject: str = "all", *, window: datetime | None = None) -> list[Finding]:
        """By window, oldest first."""
        told = [one for one in self.stores.findings.list(LOOP, monitor=monitor) if one.subject == subject]
        return sorted(
            (one for one in told if window in (None, one.since)), key=lambda one: (one.since, one.version or 0)
        )

    def newest(self, monitor: str, subject: str = "all") -> Finding:
        return self.found(monitor, subject)[-1]

    def events(self, kind: str) -> list[Mapping[str, Any]]:
        return [one.data for one in self.stores.events.list(subject=f"loop:{LOOP}") if one.kind == kind]
