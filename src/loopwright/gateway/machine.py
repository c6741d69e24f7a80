"""What a process and the machine's GPUs use, as the system tells it. Nothing where the system does not."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
_MOST_FILES = re.compile(r"Max open files\s+(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process."""

    cpu_seconds: float
    """In user and in system mode, since it began."""
    memory_bytes: int
    """Resident."""
    open_files: int
    most_files: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU of this machine."""

    number: int
    memory_bytes: int
    """In use, by whatever process."""
    memory_total_bytes: int
    share: float
    """Of the time, that it was busy lately: 0 to 1."""


def begun(process: int) -> int | None:
    """When it began, in ticks since the machine did; so that a number that was given again is told apart.

    >>> begun(0) is None
    True
    """
    found = _stat(process)
    if found is not None:
        return int(found[19]) if found[0] not in "ZX" else None
    if _PROC.is_dir() or process < 1:
        return None
    with suppress(OSError):  # a system without /proc
        os.kill(process, 0)
        return 0
    return None


def process(number: int) -> Process | None:
    """None where it ended, or the system does not tell."""
    found, folder = _stat(number), _PROC / str(number)
    if found is None:
        return None
    try:
        most = _MOST_FILES.search((folder / "limits").read_text(encoding="ascii"))
        return Process(
            cpu_seconds=(int(found[11]) + int(found[12])) / os.sysconf("SC_CLK_TCK"),
            memory_bytes=int(found[21]) * os.sysconf("SC_PAGE_SIZE"),
            open_files=sum(1 for _ in (folder / "fd").iterdir()),
            most_files=int(most[1]) if most else 0,
            threads=int(found[17]),
        )
    except OSError:
        return None


def gpus(nvml: Any = None) -> list[Gpu]:
    """All of them; none where `pynvml` is not installed, or there is no driver. `nvml` stands in for that module."""
    library = nvml or _pynvml()
    if library is None:
        return []
    try:
        library.nvmlInit()
        handles = [library.nvmlDeviceGetHandleByIndex(at) for at in range(library.nvmlDeviceGetCount())]
        return [_gpu(library, number, handle) for number, handle in enumerate(handles)]
    except library.NVMLError:
        return []


def _gpu(library: Any, number: int, handle: Any) -> Gpu:
    memory = library.nvmlDeviceGetMemoryInfo(handle)
    share = library.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    return Gpu(number=number, memory_bytes=memory.used, memory_total_bytes=memory.total, share=share)


def _pynvml() -> Any:
    with suppress(ImportError):
        import pynvml

        return pynvml
    return None


def _stat(process: int) -> list[str] | None:
    """The fields of `/proc/N/stat` from the third on: the second is a name, and may hold anything."""
    with suppress(OSError):
        return (_PROC / str(process) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return None
