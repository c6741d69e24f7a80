"""How busy and how full the machine is that the monitors run on, as far as the system tells."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Shares in use, 0 to 1; None for what is not told. The load may be above 1."""

    cpu: float | None = None
    """Processes that run or wait to, by core, over the last minute."""
    memory: float | None = None
    disk: float | None = None
    """Of the disk that the workspace is on."""
    gpus: tuple[tuple[float, float], ...] = ()
    """Of each: time it was busy lately, and memory."""


def look(workspace: Path, nvml: Any = None) -> Machine:
    """As it is now. `nvml` stands in for `pynvml`."""
    disk = None
    with suppress(OSError):
        found = shutil.disk_usage(workspace)
        disk = found.used / max(found.used + found.free, 1)
    return Machine(cpu=_load(), memory=_memory(), disk=disk, gpus=_gpus(nvml))


def _load() -> float | None:
    with suppress(OSError, AttributeError):
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    return None


def _memory() -> float | None:
    with suppress(OSError, KeyError, ValueError):
        told = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _MEMINFO.read_text(encoding="ascii"), re.MULTILINE))
        return 1 - int(told["MemAvailable"]) / int(told["MemTotal"])
    return None


def _gpus(nvml: Any) -> tuple[tuple[float, float], ...]:
    """Nothing where `pynvml` is not installed, or there is no driver."""
    library = nvml or _pynvml()
    if library is None:
        return ()
    try:
        library.nvmlInit()
        handles = [library.nvmlDeviceGetHandleByIndex(at) for at in range(library.nvmlDeviceGetCount())]
        return tuple(_gpu(library, handle) for handle in handles)
    except library.NVMLError:
        return ()


def _pynvml() -> Any:
    with suppress(ImportError):
        import pynvml

        return pynvml
    return None


def _gpu(library: Any, handle: Any) -> tuple[float, float]:
    memory = library.nvmlDeviceGetMemoryInfo(handle)
    return library.nvmlDeviceGetUtilizationRates(handle).gpu / 100, memory.used / memory.total
