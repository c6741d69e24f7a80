"""What it takes to start: `lw --help`, `import loopwright`, and Python itself."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.environment import lw, ours
from bench.figure import Figure, Section
from bench.timing import time_process


def measure(rounds: int, work: Path) -> list[Section]:
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import loopwright": [sys.executable, "-c", "import loopwright"],
        "lw --help": lw("--help"),
    }
    samples: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            seconds = time_process(command, work, ours()).seconds
            if number:  # the first round warms the disk's cache and compiles
                samples[name].append(seconds)
    bare = samples["python -c pass"]
    over = [full - plain for full, plain in zip(samples["import loopwright"], bare, strict=True)]
    base = Figure(what="python -c pass", samples=bare)
    figures = [
        base,
        Figure(what="import loopwright, over that", samples=over, target=0.3),
        Figure(what="lw --help", samples=samples["lw --help"], target=0.4),
    ]
    return [Section(title="starting", figures=figures, base=base)]
