"""A thousand rows in one request, as JSON and as Arrow, beside decoding and ONNX Runtime by hand with the same rows.

By hand runs in a process of its own, on the server's core: `python -m bench.batches KIND FILE GRAPH SECONDS` prints
rows a second of processor time. It decodes without looking, makes the feed, runs the graph, and writes nothing. Of
ours the processor time of all its processes counts: it is one core's that both are told of.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from bench.environment import ours, output_of
from bench.figure import Figure, Limits, Section
from bench.load import JSON, Asked, pinned, wrk
from bench.peers.served import NUMBERS, TEXTS
from bench.promoted import Promoted, by_hand, make_rows
from bench.servers import Running, processor_seconds

ROWS = 1000
_ARROW = "application/vnd.apache.arrow.stream"
_SECONDS, _ROUNDS, _CONNECTIONS = 2.0, 3, 2


def measure(model: Promoted, work: Path, running: Running, *, server: int | None, client: int | None) -> list[Section]:
    frame, _ = make_rows(ROWS, 2)
    kinds: Mapping[str, tuple[str, bytes, Limits]] = {
        JSON: ("JSON", json.dumps({"rows": frame.to_dicts()}).encode(), {"least_ratio": 1 / 1.5}),
        _ARROW: ("Arrow", _stream(frame), {"least_ratio": 1 / 1.2}),
    }
    sections = []
    for kind, (name, content, limits) in kinds.items():
        file = work / f"{name}.body"
        file.write_bytes(content)
        asked = replace(running.asked, file=file, kind=kind, whole=True)
        sections.append(_section(name, running, asked, model, limits, server=server, client=client))
    return sections


def _section(
    name: str,
    running: Running,
    asked: Asked,
    model: Promoted,
    limits: Limits,
    *,
    server: int | None,
    client: int | None,
) -> Section:
    hand: list[float] = []
    mine: list[float] = []
    for _ in range(_ROUNDS):
        words = [name, str(asked.file), str(model.folder / "model.onnx"), str(_SECONDS)]
        command = [*pinned(server), sys.executable, "-m", "bench.batches", *words]
        hand.append(float(output_of(command, asked.file.parent, ours())))
        before = processor_seconds(running.process)
        found = wrk(asked, _CONNECTIONS, _SECONDS, client)
        mine.append(found.count * ROWS / (processor_seconds(running.process) - before))
    base = Figure(what="by hand", samples=hand, unit="rows/s")
    title = f"{ROWS:,} rows a request, {name}"
    return Section(title=title, figures=[base, Figure(what="ours", samples=mine, unit="rows/s", **limits)], base=base)


def _stream(frame: pl.DataFrame) -> bytes:
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    plain = pa.schema([(name, pa.float64() if name in NUMBERS else pa.string()) for name in table.column_names])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, plain) as writer:
        writer.write_table(table.cast(plain))
    found: bytes = sink.getvalue().to_pybytes()
    return found


def _json_by_hand(content: bytes) -> dict[str, Any]:
    import msgspec

    rows = msgspec.json.decode(content)["rows"]
    numbers = np.array([[row[name] for name in NUMBERS] for row in rows], dtype=np.float32).T
    texts = np.array([[row[name] or "" for name in TEXTS] for row in rows], dtype=object).T
    return _feed(numbers, texts)


def _arrow_by_hand(content: bytes) -> dict[str, Any]:
    table = pa.ipc.open_stream(content).read_all()
    numbers = [table[name].to_numpy().astype(np.float32) for name in NUMBERS]
    texts = [table[name].fill_null("").to_numpy() for name in TEXTS]
    return _feed(numbers, texts)


def _feed(numbers: Any, texts: Any) -> dict[str, Any]:
    given = zip((*NUMBERS, *TEXTS), (*numbers, *texts), strict=True)
    return {name: np.ascontiguousarray(values).reshape(-1, 1) for name, values in given}


def main(kind: str, file: str, graph: str, seconds: str) -> None:
    made: Callable[[bytes], dict[str, Any]] = _json_by_hand if kind == "JSON" else _arrow_by_hand
    content, session = Path(file).read_bytes(), by_hand(Path(graph).read_bytes())
    session.run(["label", "probabilities"], made(content))
    begun, spent, count = perf_counter(), process_time(), 0
    while perf_counter() < begun + float(seconds):
        session.run(["label", "probabilities"], made(content))
        count += 1
    print(count * ROWS / (process_time() - spent))


if __name__ == "__main__":
    main(*sys.argv[1:])
