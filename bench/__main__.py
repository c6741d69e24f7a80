"""`python -m bench [PEER ...]`: measure, and print each figure beside its target and its floor or peer.

Targets are told as met or missed; the exit code says only that everything was measured. Peers are installed at first
use, each in an environment of its own under `.bench/`.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import (
    drift,
    exporting,
    memory,
    monitoring,
    release,
    scoring,
    serving,
    start,
    statistics,
    steps,
    streams,
    tables,
)
from bench.environment import PEERS, work_folder
from bench.figure import Section, show

_ASKING: Mapping[str, Any] = {
    "steps": steps,
    "statistics": statistics,
    "drift": drift,
    "streams": streams,
    "serving": serving,
}
"""Sections that ask peers, each its own."""
_TOLD = ("polars", "pyarrow", "deltalake", "sqlalchemy", "click")


def main() -> None:
    asked = _asked(sys.argv[1:])
    print(_machine(), flush=True)
    asks = {section: [peer for peer in asked.peers if peer in one.PEERS] for section, one in _ASKING.items()}
    measures: dict[str, Callable[[Path], Iterable[Section]]] = {
        "start": partial(start.measure, asked.rounds),
        "steps": partial(steps.measure, asked.rounds, peers=asks["steps"]),
        "memory": partial(memory.measure, asked.rounds),
        "exporting": partial(exporting.measure, min(asked.rounds, 3)),
        "scoring": partial(scoring.measure, min(asked.rounds, 5)),
        "statistics": partial(statistics.measure, min(asked.rounds, 5), peers=asks["statistics"]),
        "drift": partial(drift.measure, min(asked.rounds, 5), peers=asks["drift"]),
        "release": release.measure,
        "streams": partial(streams.measure, peers=asks["streams"]),
        "monitoring": partial(monitoring.measure, min(asked.rounds, 3)),
        "serving": partial(serving.measure, min(asked.rounds, 3), peers=asks["serving"]),
        "tables": partial(tables.measure, min(asked.rounds, 3), rows=asked.rows),
    }
    for name in asked.only or measures:
        with work_folder() as work:
            for section in measures[name](work):
                show(section)


def _asked(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("peers", nargs="*", metavar="PEER", choices=[[], *PEERS], help=f"any of: {', '.join(PEERS)}")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=(
            *("start", "steps", "memory", "exporting", "scoring", "statistics"),
            *("drift", "release", "streams", "monitoring", "serving", "tables"),
        ),
        help="measure only these",
    )
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured; peers and tables: up to 3")
    parser.add_argument("--rows", type=int, default=10_000_000, help="how many to append")
    return parser.parse_args(words)


def _machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in _TOLD)
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    return f"{day}, {platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}\n"


if __name__ == "__main__":
    main()
