"""Chains of trivial steps: whole processes, a second run that reuses everything, and what one more step costs."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import mean, median

from bench.environment import installed, lw, of_peer, ours, settle_peer
from bench.figure import Figure, Section
from bench.timing import Failed, Timed, time_process
from loopwright import system

PEERS = ("dagster", "hamilton", "kedro", "mlflow", "prefect")
FEW, MANY = 10, 110
OURS, FLOOR = "Loopwright", "bare SQLite runner (floor)"
_REUSES = ("hamilton",)
_PEER_ROUNDS = 3
_LENGTHS = {"prefect": (110, 210)}
"""Instead of 10 and 110: each of its flows takes a second, in which it records the first 45 steps on the side."""


@dataclass(kw_only=True)
class Samples:
    """Seconds by who and what, and why somebody has none."""

    seconds: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, who: str, what: str, seconds: float) -> None:
        self.seconds[who, what].append(seconds)

    def figure(self, who: str, what: str, *, unit: str = "s", target: float | None = None) -> Figure:
        samples = self.seconds[who, what]
        failure = "" if samples else self.failures.get(who, "no round was measured")
        if samples and median(samples) <= 0:
            samples, failure = [], f"{median(samples):.4f} s is no cost: the difference of two chains does not tell it"
        return Figure(what=who, samples=samples, unit=unit, target=target, failure=failure)


def measure(rounds: int, work: Path, peers: Sequence[str]) -> list[Section]:
    samples, folders = Samples(), (work / str(number) for number in count())
    _round(Samples(), folders, installed(peers, samples.failures))  # warms the disk's cache and compiles
    for number in range(rounds):
        _round(samples, folders, installed(peers, samples.failures) if number < _PEER_ROUNDS else {})
    return _sections(samples, peers)


def _round(samples: Samples, folders: Iterator[Path], pythons: dict[str, Path]) -> None:
    """Everybody once, one after the other, so that a busy minute of the machine hits all of them."""
    _time_script(samples, next(folders), FLOOR, "floor", Path(sys.executable), reuses=True)
    _time_ours(samples, folders)
    for peer, python in pythons.items():
        with _told(samples, peer):
            _time_script(samples, next(folders), peer, peer, python, reuses=peer in _REUSES)


@contextmanager
def _told(samples: Samples, peer: str) -> Iterator[None]:
    """A peer that fails is told as such; the others go on."""
    try:
        yield
    except Failed as reason:
        samples.failures[peer] = str(reason)


def _time_script(samples: Samples, folder: Path, who: str, module: str, python: Path, *, reuses: bool) -> None:
    for name in ("whole", "warm"):
        (folder / name).mkdir(parents=True)
        settle_peer(folder / name)
    samples.add(who, "fresh", _script(folder / "whole", module, python, FEW).seconds)
    if reuses:
        samples.add(who, "again", _script(folder / "whole", module, python, FEW).seconds)
    few, many = _LENGTHS.get(module, (FEW, MANY))
    for what in ("step", "cached step")[: 2 if reuses else 1]:
        told = _script(folder / "warm", module, python, few, few, many, few, many).output
        _, *seconds = json.loads(told.strip().splitlines()[-1])  # the first chain of a process warms it
        samples.add(who, what, (mean(seconds[1::2]) - mean(seconds[0::2])) / (many - few))


def _script(folder: Path, module: str, python: Path, *counts: int) -> Timed:
    command = [str(python), "-m", f"bench.peers.{module}", str(folder), *map(str, counts)]
    return time_process(command, folder, of_peer(folder))


def _time_ours(samples: Samples, folders: Iterator[Path]) -> None:
    walls: dict[tuple[str, int], float] = {}
    walks: dict[tuple[str, int], float] = {}
    for length in (FEW, MANY):
        folder = next(folders)
        folder.mkdir(parents=True)
        (folder / "chain.py").write_text(pipeline(length), encoding="utf-8")
        for what in ("fresh", "again"):
            walls[what, length] = time_process(lw("run", "chain.py"), folder, ours()).seconds
            walks[what, length] = _in_worker(folder)
    for what, step in (("fresh", "step"), ("again", "cached step")):
        samples.add(OURS, what, walls[what, FEW])
        samples.add(OURS, step, (walks[what, MANY] - walks[what, FEW]) / (MANY - FEW))
        samples.add(OURS, f"{step}, whole", (walls[what, MANY] - walls[what, FEW]) / (MANY - FEW))


def _in_worker(folder: Path) -> float:
    """From the request to the end of the newest run, by the worker's own clock."""
    run = system.open(folder, create=False).stores.runs.get("last")
    assert run.finished_at
    return (run.finished_at - run.created_at).total_seconds()


def pipeline(length: int) -> str:
    """A file with a chain of steps, as a user would write it."""
    parts = ["import loopwright as lw", "@lw.step\ndef step_0() -> int:\n    return 1"]
    parts += [
        f"@lw.step\ndef step_{i}(step_{i - 1}: int) -> int:\n    return step_{i - 1} + 1" for i in range(1, length)
    ]
    names = ", ".join(f"step_{i}" for i in range(length))
    return "\n\n\n".join([*parts, f"chain = lw.Pipeline([{names}])"]) + "\n"


def _sections(samples: Samples, peers: Sequence[str]) -> list[Section]:
    reusing = [peer for peer in peers if peer in _REUSES]
    return [
        _section(samples, f"{FEW} trivial steps, whole process", "fresh", peers, target=1.0),
        _section(samples, "the same again, all reused", "again", reusing, target=0.6),
        _section(samples, "one more recorded step, warm", "step", peers, unit="ms", target=3),
        _section(samples, "one more reused step, warm", "cached step", reusing, unit="ms", target=1),
        Section(title="one more step, whole processes compared", figures=_whole(samples)),
    ]


def _section(
    samples: Samples, title: str, what: str, peers: Sequence[str], *, target: float, unit: str = "s"
) -> Section:
    base = samples.figure(FLOOR, what, unit=unit)
    mine = samples.figure(OURS, what, unit=unit, target=target)
    return Section(
        title=title, figures=[base, mine, *(samples.figure(peer, what, unit=unit) for peer in peers)], base=base
    )


def _whole(samples: Samples) -> list[Figure]:
    """With reading the file, finding the code behind each step, and telling the terminal."""
    told = {"step, whole": f"{OURS}, each recorded", "cached step, whole": f"{OURS}, each reused"}
    return [Figure(what=name, samples=samples.seconds[OURS, what], unit="ms") for what, name in told.items()]
