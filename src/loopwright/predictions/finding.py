"""Find predictions by their ids. By bisection: the lines of a file are in the order of their ids.

Which file comes first is a guess from the moments in the names; whether a prediction is there never depends on it. One
file is open at a time, however many there are.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from loopwright.errors import PredictionNotFound
from loopwright.predictions import journal

ID = re.compile(r"([0-7][0-9A-HJKMNP-TV-Z]{25})\.(0|[1-9][0-9]{0,8})")
_HEAD = re.compile(rb'\{"id":"([0-9A-Z]{26})\.([0-9]+)"')
Place = tuple[str, int]
"""The ULID of a request and the row in it."""


def find(workspace: Path, prediction: str) -> dict[str, Any]:
    """The line of one prediction, of whatever loop. Raises `PredictionNotFound`.

    The ULID of a request alone means its first row.
    """
    place = parse(prediction) or parse(f"{prediction}.0")
    root = workspace / journal.FOLDER
    if place is not None:
        for loop in journal.loops(root):
            for _, line in _search(root, loop, [place]):
                found: dict[str, Any] = msgspec.json.decode(line)
                return found
    raise PredictionNotFound(
        f"no prediction {prediction[:80]!r} was recorded",
        fix="write the id as the answer gave it: 26 characters, a point, the row",
    )


def known(workspace: Path, predictions: Iterable[str]) -> dict[str, str]:
    """Which of these were made, and by which loop."""
    root = workspace / journal.FOLDER
    wanted = sorted({place for text in predictions if (place := parse(text)) is not None})
    found: dict[str, str] = {}
    for loop in journal.loops(root):
        places = {place for place, _ in _search(root, loop, wanted)}
        found |= {f"{ulid}.{row}": loop for ulid, row in places}
        wanted = [place for place in wanted if place not in places] if places else wanted
    return found


def parse(prediction: str) -> Place | None:
    """The parts of an id; None for what is none.

    >>> parse("01KE7Z3W1C9N7V0QWJ4S8YH2TX.0")
    ('01KE7Z3W1C9N7V0QWJ4S8YH2TX', 0)
    """
    parts = ID.fullmatch(prediction)
    return (parts[1], int(parts[2])) if parts else None


def _search(root: Path, loop: str, wanted: Sequence[Place]) -> Iterator[tuple[Place, bytes]]:
    """The lines that are there of those wanted, which are sorted.

    Newest file first; one opened after every prediction that is still looked for last, should clocks have differed.
    """
    rest, later = list(wanted), []
    for file in reversed(journal.files(root, loop)):
        if not rest:
            return
        if file.stem > rest[-1][0]:
            later.append(file)
        else:
            yield from _take(file, rest)
    for file in later:
        yield from _take(file, rest)


def _take(file: Path, rest: list[Place]) -> Iterator[tuple[Place, bytes]]:
    """What this file has of `rest`, which is thereby shortened."""
    try:
        with file.open("rb") as opened:
            found = dict(_within(opened, rest))
    except FileNotFoundError:  # it was empty, and its writer took it away
        return
    if found:
        first, last = bisect_left(rest, min(found)), bisect_right(rest, max(found))
        rest[first:last] = [place for place in rest[first:last] if place not in found]
    yield from found.items()


def _within(file: BinaryIO, wanted: Sequence[Place]) -> Iterator[tuple[Place, bytes]]:
    """The lines of these places. All are looked for at once: a line that is read parts those before from those after,
    so that of many that lie nowhere, or close together, few lines are read."""
    spans = [(0, file.seek(0, os.SEEK_END), 0, len(wanted))]
    while spans:
        low, high, first, last = spans.pop()  # `low` is the start of a line throughout
        if low >= high or first >= last:
            continue
        start = _start(file, low, (low + high) // 2)
        if start >= high:
            spans.append((low, (low + high) // 2, first, last))
            continue
        line = file.readline()
        head = _HEAD.match(line)
        if head is None or not line.endswith(b"\n"):  # torn: the last one
            spans.append((low, start, first, last))
            continue
        here = (head[1].decode(), int(head[2]))
        before, after = bisect_left(wanted, here, first, last), bisect_right(wanted, here, first, last)
        if before < after:
            yield here, line
        spans += [(low, start, first, before), (start + len(line), high, after, last)]


def _start(file: BinaryIO, low: int, middle: int) -> int:
    """The first start of a line at `middle` or after; leaves the file there."""
    if middle == low:
        return file.seek(low)
    file.seek(middle - 1)
    file.readline()
    return file.tell()
