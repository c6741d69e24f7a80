"""A journal file read block by block: first a glance at each line, and the whole of those alone that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from types import MappingProxyType
from typing import Any, BinaryIO, ClassVar

import msgspec

_BYTES = 4 << 20


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
    shadow: bool = False


def blocks(
    opened: BinaryIO, is_wanted: Callable[[Glance], bool], decoder: msgspec.json.Decoder[Any]
) -> Iterator[list[Any]]:
    """The lines that are wanted, as the decoder makes them, but those that a power cut has torn."""
    for wanted in texts(opened, is_wanted):
        yield decoded([line for line, _ in wanted], decoder)


def texts(opened: BinaryIO, is_wanted: Callable[[Glance], bool]) -> Iterator[list[tuple[bytes, Glance]]]:
    """The lines that are wanted, as they are, each with what a glance told."""
    glance = msgspec.json.Decoder(Glance)
    while block := opened.read(_BYTES):
        lines = (block + opened.readline()).splitlines()
        wanted = [pair for pair in _glanced([line for line in lines if line], glance) if is_wanted(pair[1])]
        if wanted:
            yield wanted


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
