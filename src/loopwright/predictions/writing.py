"""How bytes get to a file that only grows: whole or not at all, and never waited for longer than was said.

A file is locked for as long as its writer lives, by the system, so that the death of the process lets go of it: whoever
can lock a file knows that nobody adds to it any more. A file is made under a hidden name, and gets its own once it is
locked: one that can be seen has been locked.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

from loopwright.core.clock import Clock, new_ulid
from loopwright.errors import StoreUnavailable

CLOSE = "close"
"""A file of this name in a folder asks its writers to close what they have open."""
ASIDE = ".aside"
"""The ending of a file that is set aside; what was wrong with it stands beside it, in text."""
_FIX = "free some disk space, or give the gateway the right to write to its workspace, and send it again"
_CLOSING_SECONDS = 1.0
Content: TypeAlias = bytes | memoryview
_State = Literal["idle", "busy", "late"]


class Writer:
    """One file at a time, of one thread."""

    def __init__(self, folder: Path, clock: Clock, suffix: str, limit_bytes: int) -> None:
        self._folder = folder
        self._clock = clock
        self._suffix = suffix
        self._limit_bytes = limit_bytes
        self._file: int | None = None
        self._size = 0
        self._name = ""
        self._head = b""
        self._opened_at = 0.0
        self._using = threading.Lock()

    def write(self, content: Content, head: bytes = b"") -> None:
        """Append; `head` is what the file begins with, and another head begins another file.

        Raises `StoreUnavailable`; nothing of the content is in the file then.
        """
        with self._using:
            try:
                self._write(content, head)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                what = f"the journal cannot be written: {reason}"
                raise StoreUnavailable(what, where=str(self._folder), fix=_FIX) from error

    def take_back(self, content: Content) -> None:
        """Cut off what was written last: nobody was answered with it."""
        with self._using, suppress(OSError):
            if self._file is not None:
                os.ftruncate(self._file, max(0, self._size - len(content)))
            self._close()

    def close(self) -> None:
        """Not where a write hangs: the system closes the file in the end."""
        if self._using.acquire(timeout=_CLOSING_SECONDS):
            try:
                self._close()
            finally:
                self._using.release()

    def close_old(self, seconds: float) -> None:
        """Close a file opened so long ago, or that is asked for. One being written now is left for the next time."""
        if not self._using.acquire(blocking=False):
            return
        try:
            is_old = self._clock.monotonic() - self._opened_at >= seconds
            if is_old or (self._folder / CLOSE).exists():
                self._close()
        finally:
            self._using.release()

    def _write(self, content: Content, head: bytes) -> None:
        if self._size >= self._limit_bytes or head != self._head:
            self._close()
        if self._file is None:
            self._file, self._head = self._open(), head
            content = head + content
        self._write_whole(self._file, content)
        self._size += len(content)

    def _close(self) -> None:
        """A file in which nothing stands is not left behind: a full disk would gather one a refused request."""
        file, self._file = self._file, None
        if file is not None:
            if os.fstat(file).st_size == 0:
                self._path.unlink(missing_ok=True)
            os.close(file)
        self._size = 0

    @property
    def _path(self) -> Path:
        return self._folder / (self._name + self._suffix)

    def _open(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._name = new_ulid(self._clock, self._name)
        hidden = self._path.with_name(f".{self._path.name}")
        file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(self._path)
        except OSError:
            os.close(file)
            hidden.unlink(missing_ok=True)
            raise
        self._opened_at = self._clock.monotonic()
        return file

    def _write_whole(self, file: int, content: Content) -> None:
        """All of it or, on a full disk, none: what nobody was answered must not be read as predicted."""
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(file, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(file, self._size)
            self._close()
            raise


class Hand:
    """A thread that does what may hang, one thing at a time, for a caller that waits so long and no longer.

    What was not done in time is undone once it is; until then everything else is refused at once, so that a store that
    hangs costs one request its patience, and the others nothing.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._state: _State = "idle"
        self._work: tuple[Callable[[], None], Callable[[], None]] | None = None
        self._error: StoreUnavailable | None = None
        self._asked = threading.Lock()
        self._done = threading.Lock()
        self._settling = threading.Lock()
        self._asked.acquire()
        self._done.acquire()
        threading.Thread(target=self._serve, name="journal", daemon=True).start()

    def do(self, work: Callable[[], None], undo: Callable[[], None]) -> None:
        """Raises `StoreUnavailable`: the work's own, or when it is not done in time."""
        if self._state == "late":
            raise StoreUnavailable("the journal cannot be written: an earlier write still hangs", fix=_FIX)
        self._work, self._state = (work, undo), "busy"
        self._asked.release()
        if not self._done.acquire(timeout=self._patience_seconds):
            with self._settling:
                is_late = not self._done.acquire(blocking=False)
                if is_late:
                    self._state = "late"
            if is_late:
                what = f"the journal cannot be written: it took more than {self._patience_seconds:g} s"
                raise StoreUnavailable(what, fix=_FIX)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Not waited for: it may hang."""
        if self._state != "late":
            self._work = None
            with suppress(RuntimeError):  # twice
                self._asked.release()

    def _serve(self) -> None:
        while True:
            self._asked.acquire()
            if self._work is None:
                return
            work, undo = self._work
            try:
                self._error = None
                work()
            except StoreUnavailable as error:
                self._error = error
            with self._settling:
                is_late = self._state == "late"
                if not is_late:
                    self._done.release()
            if is_late:
                if self._error is None:
                    undo()
                self._state = "idle"


def is_closed(file: Path) -> bool:
    """Whether nobody writes to it any more: its writer holds a lock for as long as it lives."""
    try:
        opened = os.open(file, os.O_RDONLY)
    except FileNotFoundError:  # an empty one, taken away by its writer
        return False
    try:
        return is_locked(opened)
    finally:
        os.close(opened)


def is_locked(file: int) -> bool:
    """Whether the lock is ours now, until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
