"""How many connections an edge holds: so many that are answered, and some beside them that wait for a place.

Nobody waits for a place where connections are accepted, and who only holds one without asking loses it to the next.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from loopwright.core.clock import Clock

PLACES, BESIDE = 64, 64
SILENT_SECONDS = 1.0
"""A connection that asks nothing for longer makes place for another."""


class Room:
    """The places of one server. Threads share it."""

    def __init__(self, clock: Clock, places: int = PLACES, beside: int = BESIDE) -> None:
        self._clock = clock
        self._places = places
        self._most_beside = beside
        self._inside: set[socket.socket] = set()
        self._beside: set[socket.socket] = set()
        self._silent: dict[socket.socket, float] = {}
        """Since when; the longest first."""
        self._changed = threading.Condition()

    def enter(self, client: socket.socket) -> bool:
        """Whether there is room at all."""
        with self._changed:
            if self._has_place():
                self._take(client)
                return True
            if len(self._beside) < self._most_beside:
                self._beside.add(client)
                return True
            return False

    def is_beside(self, client: socket.socket) -> bool:
        return client in self._beside

    def gets_place(self, client: socket.socket, seconds: float) -> bool:
        """Whether one that is beside gets a place within so long."""
        with self._changed:
            if client not in self._beside:
                return True
            if not self._changed.wait_for(self._has_place, seconds):
                return False
            self._beside.discard(client)
            self._take(client)
            return True

    def asks(self, client: socket.socket) -> None:
        with self._changed:
            self._silent.pop(client, None)

    def is_answered(self, client: socket.socket) -> None:
        with self._changed:
            if client in self._inside:
                self._silent[client] = self._clock.monotonic()
                self._changed.notify()

    def leave(self, client: socket.socket) -> None:
        with self._changed:
            self._silent.pop(client, None)
            self._beside.discard(client)
            self._inside.discard(client)
            self._changed.notify()

    def _take(self, client: socket.socket) -> None:
        self._inside.add(client)
        self._silent[client] = self._clock.monotonic()

    def _has_place(self) -> bool:
        """Makes one, where somebody is silent."""
        if len(self._inside) < self._places:
            return True
        oldest, since = next(iter(self._silent.items()), (None, 0.0))
        if oldest is None or self._clock.monotonic() - since < SILENT_SECONDS:
            return False
        del self._silent[oldest]
        self._inside.discard(oldest)
        with suppress(OSError):  # it went by itself
            oldest.shutdown(socket.SHUT_RDWR)
        return True
