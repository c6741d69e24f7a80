"""How often something may be done: a token bucket."""

from __future__ import annotations

import math
import threading


class Bucket:
    """Fills at `rate_per_second` and holds `burst` tokens at most; each thing done takes one. For many threads.

    The moments come from a monotonic clock, in seconds.

    >>> bucket = Bucket(rate_per_second=2, burst=1, at=0)
    >>> bucket.take(0), bucket.take(0.25), bucket.take(0.5)
    (0.0, 0.25, 0.0)
    """

    __slots__ = ("_at", "_burst", "_lock", "_rate", "_tokens")

    def __init__(self, *, rate_per_second: float, burst: float, at: float) -> None:
        self._rate = rate_per_second
        self._burst = burst
        self._tokens = burst
        self._at = at
        self._lock = threading.Lock()

    def take(self, at: float) -> float:
        """0 when a token was taken; else nothing was, and how many seconds it is to the next."""
        with self._lock:
            self._tokens = min(self._burst, self._tokens + max(0.0, at - self._at) * self._rate)
            self._at = max(self._at, at)
            if self._tokens >= 1 or math.isclose(self._tokens, 1):
                self._tokens -= 1
                return 0.0
            return (1 - self._tokens) / self._rate
