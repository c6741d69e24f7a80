"""Time whole processes, from before they are started until they have ended with everything they started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

_LONGEST_SECONDS = 300


class Failed(Exception):
    """A command that ended badly; the message is what it said last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One process: wall time, and what it printed."""

    seconds: float
    output: str


def time_process(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Timed:
    """Raises Failed for an exit code that is not 0, and after five minutes."""
    started = perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=_LONGEST_SECONDS)
        seconds = perf_counter() - started
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} still ran after {_LONGEST_SECONDS} seconds") from None
    finally:
        _end_group(process)
    if process.returncode:
        raise Failed(f"exit code {process.returncode}: {' / '.join((errors or output).strip().splitlines()[-2:])}")
    return Timed(seconds=seconds, output=output)


def _end_group(process: subprocess.Popen[str]) -> None:
    """A server that a peer started and left behind goes with it; the group is of this process's making."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
