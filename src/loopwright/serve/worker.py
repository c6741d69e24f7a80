"""What a worker process has from its supervisor, and what it tells it: ready, or why it ends. Light.

A pipe that the supervisor alone holds open is the worker's lifeline: when the supervisor dies, in whatever way, the
worker answers what it has begun, and goes.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from loopwright.core.clock import Clock
from loopwright.gateway.at_work import AtWork

_logger = logging.getLogger(__name__)
STUCK = 70
"""The exit status of a process whose model hung and could not be stopped."""
DRAIN_SECONDS = 10.0
"""What a worker may take to answer what it has begun, once it is told to go."""
_LAST_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A worker's place."""

    number: int
    """From 0; the same for whoever takes the place of one that ended."""
    sockets: Sequence[socket.socket]
    """One a worker: its own is `sockets[number]`."""
    told: int
    """A descriptor: what the worker has to say."""
    lifeline: int
    """A descriptor that ends when the supervisor does."""
    at_work: AtWork
    """Where it says which versions it runs."""
    ended: str | None = None
    """Why the one before ended, where it was not told to."""
    crashed: str | None = None
    """The version, as `loop:version`, that the one before died of."""

    @property
    def own(self) -> socket.socket:
        return self.sockets[self.number]

    @property
    def others(self) -> list[socket.socket]:
        return [one for number, one in enumerate(self.sockets) if number != self.number]

    def tell_ready(self, loops: Mapping[str, Sequence[int]]) -> None:
        """Requests are answered from now on: of these loops, by these versions."""
        self._tell({"ready": loops})

    def telling(self, loops: Callable[[], Mapping[str, Sequence[int]]]) -> Callable[[], None]:
        """To be called now and then: tells the supervisor what is answered, whenever that is something else."""
        told: Mapping[str, Sequence[int]] | None = None

        def tell() -> None:
            nonlocal told
            if (found := loops()) != told:
                told = found
                self._tell({"loops": found})

        return tell

    def give_up(self, reason: str) -> None:
        """Ends the process at once: a thread of it cannot be ended otherwise."""
        _logger.critical("this process ends: %s", reason)
        self._tell({"reason": reason})
        os._exit(STUCK)

    def hold_on(self, clock: Clock) -> None:
        """End with the supervisor from now on."""
        threading.Thread(target=self._wait, args=(clock,), name="lifeline", daemon=True).start()

    def _wait(self, clock: Clock) -> None:
        while os.read(self.lifeline, 1):
            pass  # nobody writes
        _logger.error("the supervisor is gone, and this process goes too")
        os.kill(os.getpid(), signal.SIGTERM)
        clock.sleep(DRAIN_SECONDS + _LAST_SECONDS)
        os._exit(1)

    def _tell(self, what: Mapping[str, Any]) -> None:
        with suppress(OSError):  # a supervisor that is gone is told nothing
            os.write(self.told, json.dumps(what).encode() + b"\n")
