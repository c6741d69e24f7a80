"""Where the worker processes of a gateway put their numbers, so that whichever is asked can tell those of all.

    <folder>/<worker>-<process>-<begun>.counts

Each writes a file of its own, a few times a second and only when something changed. The file of a process that ended is
added to one that holds all that ended: what was counted is not lost with it, at most its last quarter of a second is.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from loopwright.gateway import machine
from loopwright.gateway.metrics import Counts, together

_NAME = re.compile(r"([a-z0-9]{1,16})-(\d+)-(\d+)\.counts")
_ENDED = "ended"


class _Ended(msgspec.Struct):
    counts: Counts
    files: list[str]
    """That are in it, and may be there still: of the last one who added."""


_ENCODE = msgspec.msgpack.Encoder().encode
_COUNTS = msgspec.msgpack.Decoder(Counts)
_ENDED_COUNTS = msgspec.msgpack.Decoder(_Ended)


@dataclass(frozen=True, slots=True)
class Worker:
    """A process of the gateway that lives."""

    name: str
    """Of its place, which the next one takes over."""
    process: int


class Board:
    """The folder is of one gateway, and is made and emptied by who starts it. Without one there is one process."""

    def __init__(self, folder: Path | None = None, worker: str = "0") -> None:
        """`worker`: lower-case letters and digits, at most 16."""
        self._folder = folder
        self._worker = Worker(worker, os.getpid())
        self._file = f"{worker}-{os.getpid()}-{machine.begun(os.getpid()) or 0}.counts"
        self._written = b""

    @property
    def is_shared(self) -> bool:
        """Whether there may be other processes."""
        return self._folder is not None

    def write(self, counts: Counts) -> None:
        """Of this process. A full disk costs numbers, and nothing else."""
        content = _ENCODE(counts)
        if self._folder is None or content == self._written:
            return
        temporary = self._folder / f".{self._file}"
        with suppress(OSError):
            temporary.write_bytes(content)
            temporary.replace(self._folder / self._file)
            self._written = content

    def read(self, mine: Counts) -> tuple[Counts, list[Worker]]:
        """Of all processes together, this one's as they are now; and the processes that live."""
        if self._folder is None:
            return mine, [self._worker]
        self.write(mine)
        with _locked(self._folder):
            return self._read(self._folder, mine)

    def _read(self, folder: Path, mine: Counts) -> tuple[Counts, list[Worker]]:
        ended = _ended(folder)
        live, workers, over = [mine], [self._worker], {}
        for file in sorted(folder.iterdir()):
            named = _NAME.fullmatch(file.name)
            if named is None or file.name in (self._file, *ended.files):
                continue
            counts = _COUNTS.decode(file.read_bytes())
            process, begun = int(named[2]), int(named[3])
            if machine.begun(process) == begun:
                live.append(counts)
                workers.append(Worker(named[1], process))
            else:
                over[file] = counts
        if over:
            ended = _Ended(together([ended.counts, *over.values()], ()), [file.name for file in over])
            _keep(folder, ended)
        return together([ended.counts], live), sorted(workers, key=lambda one: (one.name, one.process))


def _ended(folder: Path) -> _Ended:
    """What a power cut tore is nothing."""
    with suppress(FileNotFoundError, msgspec.DecodeError):
        found = _ENDED_COUNTS.decode((folder / _ENDED).read_bytes())
        for name in found.files:  # one who added them died before they were gone
            (folder / name).unlink(missing_ok=True)
        return found
    return _Ended(Counts(), [])


def _keep(folder: Path, ended: _Ended) -> None:
    temporary = folder / f".{_ENDED}"
    temporary.write_bytes(_ENCODE(ended))
    temporary.replace(folder / _ENDED)
    for name in ended.files:
        (folder / name).unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One reader at a time, of whatever process."""
    opened = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)
