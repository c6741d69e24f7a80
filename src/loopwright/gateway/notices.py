"""What a gateway has to tell that is worth waking somebody: noted anywhere, written as events by one thread.

Nothing waits for the store: what cannot be written now is kept, and written when the store is back.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from loopwright.core.clock import Clock
from loopwright.core.event import Cause
from loopwright.core.stores import Events

_logger = logging.getLogger(__name__)
_MOST = 1000
"""The oldest are forgotten beyond it: they are in the log."""


@dataclass(frozen=True, slots=True)
class _Notice:
    kind: str
    subject: str
    cause: Cause
    data: Mapping[str, Any]


class Notices:
    """Call `write` now and then, in a thread that may wait for the store."""

    def __init__(self, events: Callable[[], Events], clock: Clock, actor: str = "gateway") -> None:
        self._events = events
        self._clock = clock
        self._actor = actor
        self._waiting: deque[_Notice] = deque(maxlen=_MOST)
        self._is_cut_off = False

    def note(self, kind: str, subject: str, reason: str, data: Mapping[str, Any]) -> None:
        """Never waits. What the newest event of this kind and subject says already is not told again."""
        cause = Cause(actor=self._actor, at=self._clock.now(), reason=reason)
        self._waiting.append(_Notice(kind, subject, cause, data))

    def write(self) -> None:
        """All that waits; what cannot be written waits on, and that is logged once."""
        while self._waiting:
            first = self._waiting[0]
            try:
                self._events().add(first.kind, first.subject, first.cause, first.data)
            except Exception as error:  # noqa: BLE001 - the loop of a thread: a database may be away in many ways
                if not self._is_cut_off:
                    _logger.warning("an event cannot be written, and waits: %s", error)
                self._is_cut_off = True
                return
            self._waiting.popleft()
            self._is_cut_off = False
