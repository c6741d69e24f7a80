"""A journal file read block by block: first a glance at each line, and the whole of those alone that are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, ClassVar, TypeAlias

import msgspec

_BYTES = 4 << 20
_FILES = 1_000
"""Whose blocks are remembered."""
Span: TypeAlias = tuple[datetime | None, datetime | None]
"""From the first moment, included, to the second, not included; None: without a bound."""


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
    """A block of a file: where it ends, and the first and the last moment of its lines; None where it has none."""

    end: int
    first: datetime | None
    last: datetime | None

    def may_hold(self, since: datetime | None, until: datetime | None) -> bool:
        """Whether a line of it can be of [since, until)."""
        if self.first is None or self.last is None:
            return False
        return (since is None or self.last >= since) and (until is None or self.first < until)


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
    opened: BinaryIO,
    is_wanted: Callable[[Glance], bool],
    decoder: msgspec.json.Decoder[Any],
    known: Stretches | None = None,
    span: Span = (None, None),
) -> Iterator[list[Any]]:
    """The lines that are wanted, as the decoder makes them, but those that a power cut has torn. All that are wanted
    are of the span: blocks that are known to have none of it are passed over."""
    for wanted in texts(opened, is_wanted, known, span):
        yield decoded([line for line, _ in wanted], decoder)


def texts(
    opened: BinaryIO,
    is_wanted: Callable[[Glance], bool],
    known: Stretches | None = None,
    span: Span = (None, None),
) -> Iterator[list[tuple[bytes, Glance]]]:
    """As `blocks`, but the lines as they are, each with what a glance told."""
    glance = msgspec.json.Decoder(Glance)
    stretches: dict[int, Stretch] = {} if known is None else known.of(opened)
    begin = opened.tell()
    while True:
        while (stretch := stretches.get(begin)) is not None and not stretch.may_hold(*span):
            begin = opened.seek(stretch.end)
        block = opened.read(_BYTES)
        if not block:
            return
        block += opened.readline()
        pairs = _glanced([line for line in block.splitlines() if line], glance)
        stretches[begin] = stretch = _stretch(begin + len(block), pairs)
        begin = stretch.end
        if wanted := [pair for pair in pairs if is_wanted(pair[1])]:
            yield wanted


def _stretch(end: int, pairs: Sequence[tuple[bytes, Glance]]) -> Stretch:
    moments = [seen.at for _, seen in pairs]
    return Stretch(end=end, first=min(moments, default=None), last=max(moments, default=None))


def _glanced(lines: Sequence[bytes], glance: msgspec.json.Decoder[Glance]) -> list[tuple[bytes, Glance]]:
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
