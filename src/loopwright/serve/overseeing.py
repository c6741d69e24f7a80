"""What watches a gateway's process from within: counts, access log and traces, and the thread that hands them on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loopwright.core.clock import Clock
from loopwright.gateway.board import Board
from loopwright.gateway.gateway import Gateway
from loopwright.gateway.metrics import Tally
from loopwright.predictions.health import Health
from loopwright.protocols.operations import Gauges, Operations
from loopwright.serve import tracing
from loopwright.serve.access_log import AccessLog, Choice
from loopwright.serve.tracing import Tracing

_logger = logging.getLogger(__name__)
_BEAT_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Oversight:
    """How a process is watched."""

    worker: str = "0"
    """Which of several it is: lower-case letters and digits."""
    board: Path | None = None
    """The folder where the processes of one gateway put their numbers: of this gateway alone, made and emptied by who
    starts it. None: there is one process."""
    access_log: Choice = "off"
    access_log_file: Path | None = None
    """None: stderr."""
    otel_endpoint: str = ""
    """Empty: no traces."""
    otel_share: float = 0.01


class Overseer:
    """Call `watch` when all is there that it looks at, and `stop` at the end. Raises `UsageError`, `MissingExtra`."""

    def __init__(self, oversight: Oversight, clock: Clock) -> None:
        self._clock = clock
        self._board = Board(oversight.board, oversight.worker)
        self.log = AccessLog(oversight.access_log, oversight.access_log_file, clock)
        self.tally = Tally(self.log if self.log.is_on else None)
        self.tracer: Tracing | None = None
        if oversight.otel_endpoint:
            self.tracer = tracing.to_collector(oversight.otel_endpoint, clock, share=oversight.otel_share)
        self._queues: Callable[[], Mapping[str, int]] | None = None
        self._connections: Callable[[], int] | None = None
        self._operations: Operations | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="numbers", daemon=True)

    def operations(self, gateway: Gateway, health: Callable[[], Health], journals: Path) -> Operations:
        """What tells the numbers, of this gateway."""
        gauges = Gauges(
            states=gateway.states,
            health=health,
            queues=lambda: self._queues() if self._queues else {},
            connections=lambda: self._connections() if self._connections else 0,
            log_dropped=lambda: self.log.dropped,
        )
        self._operations = Operations(
            tally=self.tally, gauges=gauges, board=self._board, journals=journals, clock=self._clock
        )
        return self._operations

    def watch(self, queues: Callable[[], Mapping[str, int]], connections: Callable[[], int]) -> None:
        """From now on, `queues` by loop among the rest."""
        self._queues, self._connections = queues, connections
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self._beat()
        self.log.close()
        if self.tracer is not None:
            self.tracer.close()

    def _follow(self) -> None:
        while not self._stopped.wait(_BEAT_SECONDS):
            try:
                self._beat()
            except Exception:  # the loop of a thread: numbers that cannot be had must not end all others
                _logger.exception("the numbers of this process could not be handed on")

    def _beat(self) -> None:
        if self._operations is not None:
            self._operations.write()
        self.log.flush()
