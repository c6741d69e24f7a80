"""Work side by side: one protocol, of which processes on this machine are the first implementation."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any, Protocol, TypeVar

from loopwright.errors import FragmentFailed, LoopwrightError

T = TypeVar("T")
V = TypeVar("V")


class Executor(Protocol):
    """Where work goes. Functions must be importable (defined at the top of a module), arguments plain values."""

    def submit(self, function: Callable[..., V], /, *args: Any) -> Future[V]:
        """Start one call."""
        ...

    def map(self, function: Callable[[T], V], fragments: Iterable[T]) -> list[V]:
        """Apply to each fragment; results in the order of the fragments.

        The first failure stops what has not started and raises FragmentFailed naming the fragment.
        """
        ...

    def close(self) -> None: ...


class LocalExecutor:
    """Processes on this machine, started at first use.

    >>> with_two = LocalExecutor(workers=2)
    >>> with_two.map(abs, [-1, 2, -3])
    [1, 2, 3]
    >>> with_two.close()
    """

    def __init__(self, workers: int = 0, prepare: Callable[..., object] | None = None, *args: Any) -> None:
        """`workers` 0 is one a core; `prepare(*args)` runs once in each process, before its first work."""
        self.workers = workers or os.cpu_count() or 1
        self._prepare = (prepare, args)
        self._pool: ProcessPoolExecutor | None = None
        self._lock = Lock()

    def submit(self, function: Callable[..., V], /, *args: Any) -> Future[V]:
        with self._lock:
            try:
                if self._pool is not None:
                    return self._pool.submit(function, *args)
            except BrokenProcessPool:  # by an earlier call: it starts no more processes
                pass
            self._pool = self._start()
            return self._pool.submit(function, *args)

    def map(self, function: Callable[[T], V], fragments: Iterable[T]) -> list[V]:
        named = [(name_of(fragment, position), fragment) for position, fragment in enumerate(fragments)]
        futures = {name: self.submit(_attempt, function, fragment) for name, fragment in named}
        try:
            return [_result(name, future) for name, future in futures.items()]
        except BrokenProcessPool:
            raise self._died(futures) from None
        finally:
            for future in futures.values():
                future.cancel()

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = None

    def _start(self) -> ProcessPoolExecutor:
        # "spawn": a fork of a process with threads (Polars, Arrow) may hang.
        start = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, mp_context=start, initializer=_begin, initargs=self._prepare)

    def _died(self, futures: Mapping[str, Future[Any]]) -> FragmentFailed:
        """Fragments are begun in order: what was at work is among the first that have no result."""
        lost = [n for n, f in futures.items() if f.done() and isinstance(f.exception(), BrokenProcessPool)]
        return FragmentFailed(
            f"a process died while {' or '.join(lost[: self.workers])} was at work",
            fix="often too little memory: make the fragments smaller, or lower the setting workers",
        )


@dataclass(frozen=True)
class _Failed:
    """An exception as text, because not every exception survives the way between processes."""

    reason: str
    trace: str


def _attempt(function: Callable[[T], V], fragment: T) -> V | _Failed:
    try:
        return function(fragment)
    except BaseException as error:  # noqa: BLE001 - told in the caller's process, and raised there
        reason = error.what if isinstance(error, LoopwrightError) else f"{type(error).__name__}: {error}"
        own = error.__traceback__.tb_next if error.__traceback__ else None
        return _Failed(reason, "".join(traceback.format_exception(type(error), error, own)))


def _result(name: str, future: Future[V | _Failed]) -> V:
    try:
        result = future.result()
    except BrokenProcessPool:
        raise
    except Exception as error:
        raise FragmentFailed(
            f"{name} could not be handed over: {type(error).__name__}: {error}",
            fix="map a function defined at the top of a module over plain values, and return one",
        ) from error
    if isinstance(result, _Failed):
        failure = FragmentFailed(f"{name} failed: {result.reason}")
        failure.add_note(result.trace)
        raise failure
    return result


def _begin(prepare: Callable[..., object] | None, args: tuple[Any, ...]) -> None:
    """In each process: end with the parent, also when that is killed, then prepare."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    if prepare is not None:
        prepare(*args)


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def name_of(fragment: object, position: int) -> str:
    """What to call a fragment in a message: its own name or path, else itself when short, and its position.

    >>> name_of("2013-01.csv", 0)
    "fragment 0 ('2013-01.csv')"
    >>> name_of(list(range(1000)), 4)
    'fragment 4'
    """
    own = getattr(fragment, "name", None)
    text = repr(own if isinstance(own, str) else fragment)
    return f"fragment {position} ({text})" if len(text) <= 80 else f"fragment {position}"
