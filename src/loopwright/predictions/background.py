"""The process beside a gateway that turns its journals into tables: started, kept alive, and ended with the gateway.

A process of its own, for Arrow and Delta Lake have no place where requests are answered, and may take memory and time.
Its input is a lifeline: when the gateway dies, in whatever way, the input ends, and the process with it.
"""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from loopwright.core.clock import Clock

_logger = logging.getLogger(__name__)
WRONG_USAGE = 2
"""How it ends where what it needs is not installed: it is not started again."""
_REST_SECONDS = 30.0
"""Before one that failed is started again."""
_GRACE_SECONDS = 2.0


class Compactor:
    """Call `start`, then `keep` now and then, and `stop` at the end."""

    def __init__(self, command: Sequence[str], clock: Clock) -> None:
        self._command = command
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_at: float | None = None
        self._is_needless = False

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self._ended_at = None

    def keep(self) -> None:
        """Start it again if it ended, after a rest."""
        if self._process is None or self._is_needless or self._process.poll() is None:
            return
        if self._process.returncode == WRONG_USAGE:
            self._is_needless = True
            _logger.warning("predictions stay in journals: what makes tables of them is not installed here")
        elif self._ended_at is None:
            self._ended_at = self._clock.monotonic()
            _logger.error("the process that turns journals into tables ended with %d", self._process.returncode)
        elif self._clock.monotonic() - self._ended_at >= _REST_SECONDS:
            self.start()

    def stop(self) -> None:
        """Let it finish what it is at; what it cannot finish in two seconds, the next one does."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def command(folder: Path, settings: Mapping[str, object], seconds: float) -> list[str]:
    """What turns the journals of a project into tables every so many seconds, with the settings that were settled."""
    given = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    words = ["predictions", "compact", "--every", f"{seconds:g}", "--lifeline", "--project", str(folder)]
    return [sys.executable, "-m", "loopwright.cli", *words, *given]


def is_over(seconds: float, *, lifeline: bool) -> bool:
    """Wait so long, or until the input ends; whether it did."""
    if not lifeline:
        select.select([], [], [], seconds)
        return False
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and not os.read(sys.stdin.fileno(), 4096)
