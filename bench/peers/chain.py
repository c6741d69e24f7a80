"""How a peer is asked: `python -m bench.peers.NAME FOLDER COUNT ...` runs a chain of COUNT steps for each COUNT.

The first step gives 1, each later one adds 1 to what the step before it gave. The seconds of each chain go to the last
line of the output, as JSON; what a peer does when imported is in the wall time of the process alone.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter


@dataclass(frozen=True)
class Chain:
    """`count` steps to run; `number` tells the chains of one process apart, `folder` is for what the peer keeps."""

    folder: Path
    number: int
    count: int


def time_chains(run: Callable[[Chain], int]) -> None:
    folder, *counts = sys.argv[1:]
    seconds = []
    for number, count in enumerate(map(int, counts)):
        started = perf_counter()
        result = run(Chain(Path(folder), number, count))
        seconds.append(perf_counter() - started)
        assert result == count, f"a chain of {count} steps gave {result}"
    print(json.dumps(seconds), flush=True)
