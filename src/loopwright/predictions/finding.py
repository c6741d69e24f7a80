"""Find predictions by their ids: in the journal by bisection, for the lines of a file are in the order of their ids;
then in the table that it becomes.

Which file comes first is a guess from the moments in the names; whether a prediction is there never depends on it. One
file is open at a time, however many there are.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from loopwright.errors import PredictionNotFound
from loopwright.predictions import columnar, delta, failures, journal

ID = re.compile(r"([0-7][0-9A-HJKMNP-TV-Z]{25})\.(0|[1-9][0-9]{0,8})")
_HEAD = re.compile(rb'\{"id":"([0-9A-Z]{26})\.([0-9]+)"')


class _Shadow(msgspec.Struct, frozen=True):
    """Of a line, whether nobody heard it."""

    shadow: bool = False


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
            found = _line_of(root, loop, place)
            if found is not None:
                return found
        failure = failures.of_request(workspace, place[0])
        if failure is not None:
            raise PredictionNotFound(
                f"{failure.loop} v{failure.version} failed this request as {failure.arm}: {failure.reason}",
                where=prediction[:80],
                fix="see the log of the gateway, which has the reason whole",
            )
    raise PredictionNotFound(
        f"no prediction {prediction[:80]!r} was recorded",
        fix="write the id as the answer gave it: 26 characters, a point, the row; old ones may have been dropped",
    )


def _line_of(root: Path, loop: str, place: Place) -> dict[str, Any] | None:
    """The journal first: what leaves it meanwhile is in the table by then."""
    found: dict[str, Any]
    for _, line in _search(root, loop, [place]):
        found = msgspec.json.decode(line)
        return found
    for table in (*_of_columns(root, loop, [place]), *delta.with_ids(root, loop, [_text(place)])):
        from loopwright.predictions import layout

        for one in layout.lines(table):
            if not one.shadow and one.id == _text(place):
                found = msgspec.to_builtins(one)
                return found
    return None


def _known_of(root: Path, loop: str, wanted: Sequence[Place]) -> set[Place]:
    """Which of these, sorted, the loop made."""
    places = {place for place, _ in _search(root, loop, wanted)}
    rest = [place for place in wanted if place not in places]
    if rest:
        places |= _made_as_columns(root, loop, rest)
    ids = {_text(place): place for place in rest if place not in places}
    for table in delta.with_ids(root, loop, ids, ["id"]):
        places |= {ids[one] for one in table["id"].to_pylist()}
    return places


def _text(place: Place) -> str:
    return f"{place[0]}.{place[1]}"


def known(workspace: Path, predictions: Iterable[str]) -> dict[str, str]:
    """Which of these were made, and by which loop."""
    root = workspace / journal.FOLDER
    wanted = sorted({place for text in predictions if (place := parse(text)) is not None})
    found: dict[str, str] = {}
    for loop in journal.loops(root):
        places = _known_of(root, loop, wanted) if wanted else set()
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


def _made_as_columns(root: Path, loop: str, wanted: Sequence[Place]) -> set[Place]:
    """By what stands beside the columns of each request."""
    found, requests = set[Place](), {ulid for ulid, _ in wanted}
    for file in journal.column_files(root, loop):
        with suppress(FileNotFoundError):
            for one in columnar.batches(file):
                if one is not None and one[0].ulid in requests:
                    last = one[1] + one[2].num_rows
                    found |= {place for place in wanted if place[0] == one[0].ulid and one[1] <= place[1] < last}
    return found


def _of_columns(root: Path, loop: str, wanted: Sequence[Place]) -> Iterator[Any]:
    """The one row of each place."""
    for file in journal.column_files(root, loop):
        with suppress(FileNotFoundError):
            for one in columnar.batches(file):
                for ulid, row in wanted:
                    if one is not None and one[0].ulid == ulid and one[1] <= row < one[1] + one[2].num_rows:
                        from loopwright.predictions import layout

                        yield layout.assemble(
                            [layout.of_columns(one[0], row, one[2].slice(row - one[1], 1), file.name)]
                        )


def lines_with(root: Path, loop: str, wanted: Sequence[Place]) -> Iterator[bytes]:
    """The lines of the journal of these places, which are sorted, but shadows'. In no order."""
    return (line for _, line in _search(root, loop, wanted))


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
        if before < after and _is_heard(line):
            yield here, line
            spans += [(low, start, first, before), (start + len(line), high, after, last)]
        else:
            spans += [(low, start, first, after), (start + len(line), high, before, last)]


def _is_heard(line: bytes) -> bool:
    """Whether it is what was answered, and no shadow of it."""
    return b'"shadow":true' not in line or not msgspec.json.decode(line, type=_Shadow).shadow


def _start(file: BinaryIO, low: int, middle: int) -> int:
    """The first start of a line at `middle` or after; leaves the file there."""
    if middle == low:
        return file.seek(low)
    file.seek(middle - 1)
    file.readline()
    return file.tell()
