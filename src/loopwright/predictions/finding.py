"""Find predictions by their ids. By bisection: the lines of a file are in the order of their ids.

Which file comes first is a guess from the moments in the names; whether a prediction is there never depends on it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
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
            with _Search(root, loop) as search:
                line = search.line(place)
                if line is not None:
                    found: dict[str, Any] = msgspec.json.decode(line)
                    return found
    raise PredictionNotFound(
        f"no prediction {prediction[:80]!r} was recorded",
        fix="write the id as the answer gave it: 26 characters, a point, the row",
    )


def known(workspace: Path, predictions: Iterable[str]) -> dict[str, str]:
    """Which of these were made, and by which loop."""
    root = workspace / journal.FOLDER
    wanted = {text: place for text in predictions if (place := parse(text)) is not None}
    found: dict[str, str] = {}
    for loop in journal.loops(root):
        with _Search(root, loop) as search:
            found |= {
                text: loop for text, place in wanted.items() if text not in found and search.line(place) is not None
            }
    return found


def parse(prediction: str) -> Place | None:
    """The parts of an id; None for what is none.

    >>> parse("01KE7Z3W1C9N7V0QWJ4S8YH2TX.0")
    ('01KE7Z3W1C9N7V0QWJ4S8YH2TX', 0)
    """
    parts = ID.fullmatch(prediction)
    return (parts[1], int(parts[2])) if parts else None


class _Search:
    """The files of one loop, opened as they are needed."""

    def __init__(self, root: Path, loop: str) -> None:
        self._files = journal.files(root, loop)
        self._open: dict[Path, BinaryIO] = {}

    def __enter__(self) -> _Search:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._open.values():
            opened.close()

    def line(self, place: Place) -> bytes | None:
        return next((line for file in self._likely(place) if (line := _bisect(self._opened(file), place))), None)

    def _likely(self, place: Place) -> Iterator[Path]:
        """Newest of those opened before the request first; then, should clocks have differed, the others."""
        yield from (file for file in reversed(self._files) if file.name <= place[0] + journal.SUFFIX)
        yield from (file for file in self._files if file.name > place[0] + journal.SUFFIX)

    def _opened(self, file: Path) -> BinaryIO:
        if file not in self._open:
            self._open[file] = file.open("rb")
        return self._open[file]


def _bisect(file: BinaryIO, place: Place) -> bytes | None:
    """The line of that id, or None. `low` is the start of a line throughout."""
    low, high = 0, file.seek(0, os.SEEK_END)
    while low < high:
        middle = (low + high) // 2
        start = _start(file, low, middle)
        if start >= high:
            high = middle
            continue
        line = file.readline()
        head = _HEAD.match(line)
        if head is None or not line.endswith(b"\n"):  # torn: the last one
            high = start
            continue
        here = (head[1].decode(), int(head[2]))
        if here == place:
            return line
        low, high = (start + len(line), high) if here < place else (low, start)
    return None


def _start(file: BinaryIO, low: int, middle: int) -> int:
    """The first start of a line at `middle` or after; leaves the file there."""
    if middle == low:
        return file.seek(low)
    file.seek(middle - 1)
    file.readline()
    return file.tell()
