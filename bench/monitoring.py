"""Monitoring: what a window of a million predictions costs, all checks, and what a pass costs where nothing is due.

And the estimate without labels, how far off it is where the inputs moved, and where the world did. Each window is
looked at in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from bench.drawing import profiled, rows_of
from bench.environment import ours
from bench.figure import Figure, Limits, Section
from bench.timing import time_process
from loopwright import system
from loopwright.core.clock import Ulids
from loopwright.core.event import Cause
from loopwright.core.progress import Progress
from loopwright.core.stores import Stores
from loopwright.core.version import CHAMPION, Arm, Route, Version, VersionStatus
from loopwright.data.infer import infer
from loopwright.data.statistics import Statistics
from loopwright.data.table import Table
from loopwright.judge.catalog import Task
from loopwright.judge.evaluate import evaluate
from loopwright.judge.metrics import measure as metric
from loopwright.monitor.calibration import Calibration
from loopwright.monitor.estimate import expected
from loopwright.monitor.reconciler import PREFIX, Monitors
from loopwright.monitor.state import State
from loopwright.monitor.windows import Pending, window_of
from loopwright.predictions import columnar, compaction, journal, labels
from loopwright.predictions.journal import Journal, Line
from loopwright.predictions.labels import Label
from loopwright.testing import HandClock, memory_stores

ROWS, LOOPS = 1_000_000, 200
_REQUEST = 1_000
_LOOP, _FIRST = "bench", datetime(2026, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_CLASSES = [False, True]
Array = np.ndarray[Any, np.dtype[np.float64]]


def measure(rounds: int, work: Path, *, rows: int = ROWS, loops: int = LOOPS) -> Iterator[Section]:
    """One by one: the first takes most of the time for its rows to be drawn."""
    for form, told, most in (
        ("table", "made part of its table", 15.0),
        ("journal", "in the journal still", 20.0),
    ):
        folder = work / form
        fill(folder, rows, is_table=form == "table")
        found = [_looked(folder) for _ in range(rounds)]
        limit: Limits = {"target": most}
        figures = [
            Figure(what="wall", samples=[one["wall"] for one in found], **limit),
            Figure(what="CPU", samples=[one["cpu"] for one in found], **limit),
            Figure(what="peak memory of the process", samples=[one["memory"] for one in found], unit="MB"),
        ]
        yield Section(title=f"{rows:,} predictions of 20 columns, {told}: all checks", figures=figures)
    yield _idle(work / "idle", rounds, loops)
    yield _estimates()


def _looked(folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads(
        time_process([sys.executable, "-m", "bench.monitoring", str(folder)], folder, ours()).output.splitlines()[-1]
    )
    return found


def look(folder: Path) -> dict[str, float]:
    """Close the one window of a folder, from a memory store."""
    clock = HandClock(_FIRST + _DAY + timedelta(hours=1))
    stores = a_store(clock, json.loads((folder / "bundle.json").read_text(encoding="utf-8")))
    monitors = Monitors(stores=stores, workspace=folder, clock=clock)
    wall, cpu = perf_counter(), process_time()
    closed = monitors.reconcile()
    taken = {"wall": perf_counter() - wall, "cpu": process_time() - cpu}
    monitored = {one.monitor for one in stores.findings.list(_LOOP)}
    assert closed == 1, closed
    assert monitored >= {"operation", "input", "skew", "drift", "prediction", "quality", "estimate", "staleness"}
    return taken | {"memory": _peak_bytes()}


def _peak_bytes() -> float:
    """Of this process alone: what `getrusage` says begins with what its parent had."""
    told = Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1]
    return float(told.split()[0]) * 1024


def a_store(clock: HandClock, content: Mapping[str, str]) -> Stores:
    """With one version, which is champion."""
    stores, cause = memory_stores(clock), Cause(actor="bench", at=_FIRST)
    files = {name: stores.blobs.put(text.encode()).digest for name, text in content.items()}
    made = Version(
        loop=_LOOP, digest="1" * 64, files=files, status=VersionStatus.ACCEPTED, run_id="run", created_at=_FIRST,
        created_by="bench", metric="roc_auc", value=0.8, reason="", task="binary", lineage={},
    )  # fmt: skip
    stores.versions.add(made, [], cause)
    arms = (Arm(name=CHAMPION, version=1, share=1.0),)
    stores.routes.change(Route(loop=_LOOP, arms=arms, at=_FIRST, actor="bench"), {CHAMPION: 1}, cause, None)
    return stores


def fill(folder: Path, rows: int, *, is_table: bool) -> None:
    """A day's predictions, with a label for each; and the bundle of the version that made them."""
    folder.mkdir(parents=True)
    draw, ids = np.random.default_rng(0), list[tuple[str, int, Array]]()
    clock = HandClock(_FIRST)
    writer = Journal(folder / journal.FOLDER, clock)
    count = max(rows // _REQUEST, 1)
    for _ in range(count):
        batch, shares = rows_of(draw, _REQUEST), draw.beta(2, 5, _REQUEST)
        ulid = writer.new_id()
        (_as_columns if is_table else _as_lines)(writer, clock, ulid, batch, shares)
        ids.append((ulid, _REQUEST, shares))
        clock.advance(80_000 / count)
    writer.close()
    _label(folder, ids, clock, draw)
    (folder / "bundle.json").write_text(json.dumps(_bundle(np.random.default_rng(1))), encoding="utf-8")
    if is_table:
        compaction.compact(folder / journal.FOLDER, _LOOP, kinds=lambda _: {}, clock=clock)


def _as_columns(writer: Journal, clock: HandClock, ulid: str, batch: pa.RecordBatch, shares: Array) -> None:
    facts = columnar.Facts(
        ulid=ulid, at=clock.now(), loop=_LOOP, version=1, digest="d", arm=CHAMPION, latency_ms=2.0 + len(ulid)
    )
    made = columnar.recorded(
        facts,
        dict(zip(batch.schema.names, batch.columns, strict=True)),
        label=pa.array(shares > 0.5),
        probabilities={"false": pa.array(1 - shares), "true": pa.array(shares)},
    )
    writer.append_table(_LOOP, ulid, made)


def _as_lines(writer: Journal, clock: HandClock, ulid: str, batch: pa.RecordBatch, shares: Array) -> None:
    lines = [
        Line(
            id=f"{ulid}.{place}", at=clock.now(), loop=_LOOP, version=1, digest="d", arm=CHAMPION, row=row,
            label=share > 0.5, probabilities={"false": 1 - share, "true": share}, latency_ms=2.5,
        )
        for place, (row, share) in enumerate(zip(batch.to_pylist(), shares.tolist(), strict=True))
    ]  # fmt: skip
    writer.append(_LOOP, lines)


def _label(folder: Path, ids: Sequence[tuple[str, int, Array]], clock: HandClock, draw: np.random.Generator) -> None:
    root = folder / labels.FOLDER / _LOOP
    root.mkdir(parents=True)
    encoder, name = msgspec.json.Encoder(), Ulids(clock).next()
    with (root / f"{name}.jsonl").open("wb") as file:
        for ulid, rows, shares in ids:
            came = draw.random(rows) < shares
            told = [
                Label(label=bool(came[place]), at=clock.now(), origin="bench", prediction_id=f"{ulid}.{place}")
                for place in range(rows)
            ]
            file.write(encoder.encode_lines(told))


def _bundle(draw: np.random.Generator) -> dict[str, str]:
    batch = rows_of(draw, 100_000)
    profile = profiled(batch)
    shares = draw.beta(2, 5, 20_000)
    judged = evaluate((draw.random(len(shares)) < shares).astype(float), shares, task="binary", draws=20)
    return {
        "schema.json": infer(profile, Table("bench")).to_json(),
        "statistics.json": Statistics.of(profile).to_json(),
        "evaluation.json": judged.to_json(),
        "manifest.json": json.dumps({"outputs": {"classes": _CLASSES}}),
    }


def _idle(folder: Path, rounds: int, loops: int) -> Section:
    """Loops that were looked at an hour ago, in a database."""
    clock = HandClock(_FIRST)
    stores, cause = _database(folder), Cause(actor="bench", at=_FIRST)
    for number in range(loops):
        _one_loop(stores, f"loop-{number:03}", cause)
    monitors, samples = Monitors(stores=stores, workspace=folder, clock=clock), []
    for _ in range(max(rounds, 3)):
        begun = perf_counter()
        done = monitors.reconcile()
        samples.append(perf_counter() - begun)
        assert done == 0, done
    figure = Figure(what=f"{loops} loops, nothing due", samples=samples, target=1.0)
    return Section(title="a pass of the monitors", figures=[figure])


def _database(folder: Path) -> Stores:
    folder.mkdir(parents=True)
    return system.open(folder).stores


def _one_loop(stores: Stores, loop: str, cause: Cause) -> None:
    content = {"schema.json": json.dumps({"loop": loop})}
    files = {name: stores.blobs.put(text.encode()).digest for name, text in content.items()}
    made = Version(
        loop=loop, digest="1" * 64, files=files, status=VersionStatus.ACCEPTED, run_id="run", created_at=_FIRST,
        created_by="bench", metric="roc_auc", value=0.8, reason="", task="binary", lineage={},
    )  # fmt: skip
    stores.versions.add(made, [], cause)
    arms = (Arm(name=CHAMPION, version=1, share=1.0),)
    stores.routes.change(Route(loop=loop, arms=arms, at=_FIRST, actor="bench"), {CHAMPION: 1}, cause, None)
    calibrated = Calibration.empty(1, 2).learned(np.linspace(0, 1, 2000).reshape(-1, 2), np.zeros(1000))
    waiting = [window_of(_FIRST - number * _DAY, _DAY) for number in range(7, 0, -1)]
    state = State(
        length=_DAY,
        next=_FIRST,
        pending=tuple(Pending(window=one, age=7) for one in waiting),
        settled={f"quality/carrier={number}": _FIRST.isoformat() for number in range(50)},
        calibrations={"1": calibrated.to_dict()},
    )
    stores.progress.put(Progress(name=f"{PREFIX}{loop}", value=state.to_dict()), cause)


def _estimates(rows: int = 20_000) -> Section:
    figures = [
        Figure(what=f"{what}: {name}, in hundredths", samples=[error], unit="%")
        for what, errors in estimate_errors(rows).items()
        for name, error in errors.items()
    ]
    return Section(title=f"the estimate without labels, {rows:,} rows: mean absolute error", figures=figures)


def estimate_errors(rows: int, trials: int = 8, seed: int = 0) -> dict[str, dict[str, float]]:
    """Of the expected metrics, where only the inputs moved, and where what they mean was turned round for a part.

    The model says too much of everything (its odds are squared), and is calibrated on rows that did not move.
    """
    draw, names = np.random.default_rng(seed), ("roc_auc", "accuracy", "log_loss")
    calibration = _calibrated(draw)
    found = dict[str, dict[str, float]]()
    for what, moves, turned in (("covariate shift", True, 0.0), ("concept drift", False, 0.3)):
        errors = {name: list[float]() for name in names}
        for trial in range(trials):
            at = (-1.0 + 2.0 * trial / max(trials - 1, 1)) if moves else 0.0
            said, came = world(draw, rows, at=at, turned=turned)
            both = np.column_stack([1 - said, said])
            told = expected(both, np.ones(rows), calibration, names, Task.BINARY)
            for name, value in zip(names, told.tolist(), strict=True):
                truth = metric(name, came, said, task="binary").value
                assert truth is not None
                errors[name].append(abs(value - truth))
        found[what] = {name: float(np.mean(each)) for name, each in errors.items()}
    return found


def _calibrated(draw: np.random.Generator) -> Calibration:
    said, came = world(draw, 20_000, at=0.0, turned=0.0)
    return Calibration.empty(1, 2).learned(np.column_stack([1 - said, said]), came)


def world(draw: np.random.Generator, rows: int, *, at: float, turned: float) -> tuple[Array, Array]:
    """What an over-confident model says of rows around `at`, and what comes true."""
    odds = 1.5 * draw.normal(size=rows) + at - 0.5
    share = 1 / (1 + np.exp(-odds))
    is_turned = draw.random(rows) < turned
    came = (draw.random(rows) < np.where(is_turned, 1 - share, share)).astype(np.float64)
    return 1 / (1 + np.exp(-2 * odds)), came


if __name__ == "__main__":
    print(json.dumps(look(Path(sys.argv[1]))))
