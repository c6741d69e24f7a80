"""Where an answer is worked out that the hot path does not give: in threads, never in that of the event loop.

Who would wait for a thread too long is refused at once, and told when to ask again; who waits is answered at the
deadline, which counts from when the request was there whole. Whatever a request costs, the event loop goes on.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from loopwright.core.clock import Clock
from loopwright.gateway.deadline import due
from loopwright.gateway.lanes import Patience
from loopwright.gateway.refused import Refused, busy, late

T = TypeVar("T")
WORKERS = 2
_MOST_WAITING = 64
"""However short the wait seems: each holds its body."""
_MEMORY = 0.2
"""Weight of the newest request in what one is taken to cost."""


async def at_work(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """In a thread of the pool, in its turn, however long that takes."""
    here = contextvars.copy_context()  # what is noted of the request goes with it
    return await asyncio.get_running_loop().run_in_executor(pool, here.run, work)


class Desk:
    """Threads that answer requests for predictions, and a queue before them that is bounded by time."""

    def __init__(self, name: str, *, clock: Clock, patience: Patience, workers: int = WORKERS) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._workers = workers
        self._clock = clock
        self._patience = patience
        self._lock = threading.Lock()
        self._there = 0
        """At work, or waiting for it."""
        self._seconds = 0.0
        """What one takes, by the latest; 0 before the first."""

    async def answer(self, work: Callable[[], T]) -> T:
        """For the event loop. Raises `Refused`: 503 where too many wait, 504 at the deadline; and as `work`."""
        future = self._begin(work)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._patience.deadline_seconds)
        except TimeoutError:
            raise self._late() from None

    def wait(self, work: Callable[[], T]) -> T:
        """As `answer`, for a thread that has nothing else to do."""
        future = self._begin(work)
        try:
            return future.result(self._patience.deadline_seconds)
        except TimeoutError:
            future.cancel()
            raise self._late() from None

    def stop(self) -> None:
        """What is at work is waited for."""
        self._pool.shutdown()

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        with self._lock:
            self._refuse_waiting()
            self._there += 1
        here, until = contextvars.copy_context(), self._clock.monotonic() + self._patience.deadline_seconds
        future = self._pool.submit(here.run, self._done, work, until)
        future.add_done_callback(self._leave)
        return future

    def _refuse_waiting(self) -> None:
        """Nobody waits while a thread is free, whatever the latest took."""
        before = self._there - self._workers + 1
        seconds = before * self._seconds / self._workers
        if before > 0 and (
            before > _MOST_WAITING or seconds > self._patience.deadline_seconds * self._patience.queue_share
        ):
            raise busy(seconds)

    def _done(self, work: Callable[[], T], until: float) -> T:
        begun = self._clock.monotonic()
        if begun >= until:
            raise self._late()
        try:
            with due(until, until - self._patience.deadline_seconds):
                return work()
        finally:
            seconds = self._clock.monotonic() - begun
            with self._lock:
                self._seconds += (seconds - self._seconds) * (_MEMORY if self._seconds else 1.0)

    def _leave(self, _future: Future[T]) -> None:
        with self._lock:
            self._there -= 1

    def _late(self) -> Refused:
        return late(self._patience.deadline_seconds)
