"""Servers while they are measured: started on their core, waited for until they answer rightly, ended with theirs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.environment import lw, of_peer, ours
from bench.load import JSON, Asked, bodies, pinned
from bench.peers import served
from bench.promoted import Promoted
from bench.timing import Failed

Row = Mapping[str, Any]
Shape = Callable[[Row], object]
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_CHECKED_ROWS = 8
_ENDS_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a server is asked."""

    path: str
    shape: Shape
    """From a row to the body."""
    within: float = 1e-4
    """How far its answers may be from ours; those that fit the model themselves round elsewhere."""
    checked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that answers."""

    asked: Asked
    process: subprocess.Popen[bytes]
    seconds: float
    """From before it was started until it answered."""


@contextmanager
def running(
    command: Sequence[str], port: int, way: Way, model: Promoted, folder: Path, environment: Mapping[str, str],
    *, core: int | None, patience: float = 90.0,
) -> Iterator[Running]:  # fmt: skip
    """Raises Failed where it does not answer as the model does within so many seconds."""
    file = bodies(folder / f"{port}.jsonl", [way.shape(row) for row in model.rows])  # type: ignore[misc]
    log = folder / f"{port}.log"
    begun = perf_counter()
    with log.open("wb") as kept:
        process = subprocess.Popen(
            [*pinned(core), *command], cwd=folder, env=environment, stdout=kept, stderr=kept, start_new_session=True
        )
    try:
        _wait(process, port, way, model, begun + patience, log)
        asked = Asked(port=port, path=way.path, file=file)
        yield Running(asked=asked, process=process, seconds=perf_counter() - begun)
    finally:
        end(process)


def _wait(process: subprocess.Popen[bytes], port: int, way: Way, model: Promoted, until: float, log: Path) -> None:
    for row, chance in list(zip(model.rows, model.chances, strict=True))[:_CHECKED_ROWS]:
        while (found := ask(port, way.path, json.dumps(way.shape(row)).encode())) is None:
            if process.poll() is not None or perf_counter() > until:
                said = " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
                raise Failed(f"it does not answer: {said[-400:]}")
            time.sleep(0.01)
        told = [float(one) for one in _NUMBER.findall(found)]
        if way.checked and not any(abs(one - chance) <= way.within for one in told):
            raise Failed(f"it answered {found[:200]} where {chance} is right")


def ask(port: int, path: str, content: bytes, kind: str = JSON) -> str | None:
    """The text of an answer; None where there was none, or not the right one."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", content, {"Content-Type": kind})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            found: str = answer.read().decode(errors="replace")
            return found
    except (urllib.error.URLError, OSError):
        return None


def end(process: subprocess.Popen[bytes]) -> None:
    """What it started goes with it; the group is of this process's making."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_ENDS_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def peer(python: Path, name: str, way: str, model: Promoted, port: int) -> list[str]:
    return [str(python), "-m", f"bench.peers.{name}", way, str(model.folder), str(port)]


def peer_environment(folder: Path) -> dict[str, str]:
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return of_peer(folder) | threads


@contextmanager
def gateway(
    model: Promoted, way: Way, folder: Path, *words: str, core: int | None, patience: float = 60.0
) -> Iterator[Running]:
    port = served.free_port()
    command = lw("serve", "--port", str(port), "--project", str(model.project), *words)
    with running(command, port, way, model, folder, ours(), core=core, patience=patience) as found:
        yield found


def processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """Of all that it started and that is of its session, threads and the children that ended."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15])) if int(fields[3]) == process.pid else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_bytes(process: subprocess.Popen[bytes]) -> list[int]:
    """Of each worker of a gateway, what is its own and its part of what is shared (PSS)."""
    parent = Path(f"/proc/{process.pid}")
    line = (parent / "cmdline").read_bytes()
    children = (parent / "task" / str(process.pid) / "children").read_text().split()
    workers = [one for one in children if Path(f"/proc/{one}/cmdline").read_bytes() == line]
    return [_pss(Path(f"/proc/{one}/smaps_rollup")) for one in workers or [str(process.pid)]]


def _pss(rollup: Path) -> int:
    line = next(one for one in rollup.read_text().splitlines() if one.startswith("Pss:"))
    return int(line.split()[1]) * 1024
