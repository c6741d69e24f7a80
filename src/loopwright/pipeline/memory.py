"""The peak memory of a step.

Linux lets a process reset its own high-water mark, so each step gets a peak of its own; elsewhere the mark is the
process's since its start. Steps side by side share the process and therefore the mark.
"""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class PeakMemory:
    """Peaks of steps that may overlap: every reset first credits the mark to all that are at work."""

    def __init__(self) -> None:
        self._peaks: dict[str, int] = {}
        self._lock = Lock()

    def begin(self, step: str) -> None:
        with self._lock:
            self._credit()
            with suppress(OSError):
                _RESET.write_text("5")
            self._peaks[step] = 0

    def end(self, step: str) -> int:
        """Bytes of resident memory at the highest since `begin`."""
        with self._lock:
            self._credit()
            return self._peaks.pop(step, 0)  # gone when a later attempt at the step ended first

    def _credit(self) -> None:
        if self._peaks:
            mark = high_water_mark_bytes()
            for step, peak in self._peaks.items():
                self._peaks[step] = max(peak, mark)


def high_water_mark_bytes() -> int:
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
