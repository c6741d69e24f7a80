"""A journal file read block by block: first a glance at each line, and the whole of those alone that are asked for."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, ClassVar

import msgspec

_BYTES = 4 << 20
_FILES = 1_000
"""Whose blocks are remembered."""


class Glance(msgspec.Struct, frozen=True, gc=False):
    """Of a line what tells whether it is asked for: a quarter of the time of reading it."""

    at: datetime
    version: int
    shadow: bool = False


class Rowless(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line without the columns that the model was given."""

    row: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    id: str
    at: datetime
    loop: str
    version: int
    digest: str
    arm: str
    key: Mapping[str, Any] | None = None
    unit: str | None = None
    label: str | int | bool | None = None
    probabilities: Mapping[str, float] | None = None
    value: float | None = None
    latency_ms: float | None = None
    route: int | None = None
    shadow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A block of a file: where it ends, and what its lines are."""

    end: int
    first: datetime | None
    """Moment of any of its lines; None where it has none."""
    last: datetime | None
    versions: frozenset[int]
    shadows: bool
    """Whether it has any."""
    is_whole: bool
    """Whether there is nothing in it but lines that can be read."""

    @classmethod
    def of(cls, begin: int, block: bytes, lines: Sequence[Glance]) -> Stretch:
        moments = [line.at for line in lines]
        return cls(
            end=begin + len(block),
            first=min(moments, default=None),
            last=max(moments, default=None),
            versions=frozenset(line.version for line in lines),
            shadows=any(line.shadow for line in lines),
            is_whole=len(lines) == block.count(b"\n"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines are asked for: those of [since, until), None being without a bound, of these versions, None being
    all, and shadows' only where they are asked for, too."""

    since: datetime | None = None
    until: datetime | None = None
    versions: Collection[int] | None = None
    shadows: bool = False

    def takes(self, line: Glance) -> bool:
        is_within = (self.since is None or line.at >= self.since) and (self.until is None or line.at < self.until)
        return (
            is_within and (self.shadows or not line.shadow) and (self.versions is None or line.version in self.versions)
        )

    def may_be_in(self, stretch: Stretch) -> bool:
        if stretch.first is None or stretch.last is None:
            return False
        return (self.since is None or stretch.last >= self.since) and (self.until is None or stretch.first < self.until)

    def is_all_of(self, stretch: Stretch) -> bool:
        """Whether it takes each of its lines."""
        ends = [Glance(at, version) for at in (stretch.first, stretch.last) if at for version in stretch.versions]
        return stretch.is_whole and (self.shadows or not stretch.shadows) and all(map(self.takes, ends))


class Stretches:
    """Of what moments the blocks are that were read: who asks for other moments need not read them again.

    Files only grow. Of one that grew since, what was read last is read again, for its end may have been torn, and
    nothing before it; one that changed otherwise is read again from its beginning.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], tuple[tuple[int, int, int], dict[int, Stretch]]] = {}

    def of(self, opened: BinaryIO) -> dict[int, Stretch]:
        """By where they begin: to be looked at, and filled."""
        found = os.fstat(opened.fileno())
        file = (Path(opened.name).name, found.st_dev, found.st_ino)
        written = (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        before, stretches = self._known.pop(file, (written, {}))
        if before != written:
            size = before[0] if before[0] < written[0] else 0
            stretches = {begin: one for begin, one in stretches.items() if one.end < size}
        if len(self._known) >= _FILES:
            self._known.pop(next(iter(self._known)))
        self._known[file] = written, stretches
        return stretches


def blocks(
    opened: BinaryIO, wanted: Wanted, decoder: msgspec.json.Decoder[Any], known: Stretches | None = None
) -> Iterator[list[Any]]:
    """The lines that are wanted, as the decoder makes them, but those that a power cut has torn. Blocks that are known
    to have none of them are passed over, and of those that are known to have nothing else no line is glanced at."""
    for block, pairs in _read(opened, wanted, known):
        if pairs is not None:
            yield decoded([line for line, _ in pairs], decoder)
        else:
            yield _all_of(block, decoder)


def texts(opened: BinaryIO, wanted: Wanted, known: Stretches | None = None) -> Iterator[list[tuple[bytes, Glance]]]:
    """As `blocks`, but the lines as they are, each with what a glance told."""
    glance = msgspec.json.Decoder(Glance)
    for block, pairs in _read(opened, wanted, known):
        yield _glanced(block, glance) if pairs is None else pairs


def _read(
    opened: BinaryIO, wanted: Wanted, known: Stretches | None
) -> Iterator[tuple[bytes, list[tuple[bytes, Glance]] | None]]:
    """Blocks, with those of their lines that are wanted; None: all of them."""
    glance = msgspec.json.Decoder(Glance)
    stretches: dict[int, Stretch] = {} if known is None else known.of(opened)
    begin = opened.tell()
    while True:
        while (stretch := stretches.get(begin)) is not None and not wanted.may_be_in(stretch):
            begin = opened.seek(stretch.end)
        block = opened.read(_BYTES)
        if not block:
            return
        block += opened.readline()
        if stretch is not None and wanted.is_all_of(stretch):
            yield block, None
        else:
            pairs = _glanced(block, glance)
            stretches[begin] = Stretch.of(begin, block, [seen for _, seen in pairs])
            if found := [pair for pair in pairs if wanted.takes(pair[1])]:
                yield block, found
        begin += len(block)


def _all_of(block: bytes, decoder: msgspec.json.Decoder[Any]) -> list[Any]:
    with suppress(msgspec.MsgspecError):
        return decoder.decode_lines(block)
    return decoded(block.splitlines(), decoder)


def _glanced(block: bytes, glance: msgspec.json.Decoder[Glance]) -> list[tuple[bytes, Glance]]:
    lines = [line for line in block.splitlines() if line]
    with suppress(msgspec.MsgspecError):
        return list(zip(lines, glance.decode_lines(b"\n".join(lines)), strict=True))
    found = []
    for line in lines:
        with suppress(msgspec.MsgspecError):
            found.append((line, glance.decode(line)))
    return found


def decoded(lines: Sequence[bytes], decoder: msgspec.json.Decoder[Any]) -> list[Any]:
    """All at once; one by one where one is torn, which is left out."""
    with suppress(msgspec.MsgspecError):
        return decoder.decode_lines(b"\n".join(lines))
    found = []
    for line in lines:
        with suppress(msgspec.MsgspecError):
            found.append(decoder.decode(line))
    return found
