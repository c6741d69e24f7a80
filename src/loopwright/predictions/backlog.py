"""What became part of a loop's table since: the journal files that its commits name, and their rows, as they were read.

A commit names the files whose rows it brought (`compaction`), and each row the byte of its file where it began, so that
who has read a part of a file finds the rest of it here, whatever was joined or erased since.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopwright.errors import StoreUnavailable
from loopwright.predictions import delta

if TYPE_CHECKING:
    import pyarrow as pa

    from loopwright.predictions.journal import Line

_NAMES = "loopwright.journals"
_TRIES = 5
"""To read a table that is joined or erased from meanwhile."""
_GROUP_ROWS, _GROUP_FILES = 1 << 17, 512
"""Of a table that nobody has read yet, so much is taken up at once."""
_SLICE_ROWS = 1 << 14
_BESIDE_ROWS = ("id", "at", "loop", "version", "digest", "arm", "shadow", "unit", "layout", "latency_ms",
                "route", "journal", "place", "key_*", "probability_*", "label*", "value*")  # fmt: skip


class Backlog:
    """The table of one loop, looked at by the versions of its log."""

    def __init__(self, root: Path, loop: str) -> None:
        self._root = root
        self._loop = loop
        self._log = delta.folder_of(root, loop) / "_delta_log"
        self._known: tuple[int, list[tuple[str, int]]] | None = None
        """The files that a version has rows of, and how many."""

    def newest(self) -> tuple[int, list[str]]:
        """The newest version and the files of the newest commit that named any; -1 where there is no table."""
        table = delta.opened(self._root, self._loop)
        if table is None:
            return -1, []
        version: int = table.version()
        for number in range(version, -1, -1):
            with suppress(FileNotFoundError):
                names = self._named(number)
                if names is not None:
                    return version, names
                continue
            break  # the log does not reach back so far: what it named was cleared away long ago
        return version, []

    def last(self) -> str:
        """The greatest name of a file that has rows; empty where none has. From what is written beside them."""
        table = delta.opened(self._root, self._loop)
        if table is None:
            return ""
        spans = [part.journals for part in delta.parts(self._root, self._loop, table)]
        known = [span[1] for span in spans if span is not None]
        if len(known) < len(spans):  # an older table's
            known += [name for name, _ in self._files(table.version())]
        return max(known, default="")

    def after(self, version: int) -> tuple[int, list[str]] | None:
        """The next version and the files that it names; None where there is none yet. Costs a look at one path.

        Of a log that was tidied up meanwhile, its first version that is there, with all files that have rows now.
        """
        try:
            return version + 1, self._named(version + 1) or []
        except FileNotFoundError:
            kept = self._checkpoint()
            if kept <= version:
                return None
        return kept, sorted(name for name, _ in self._files(kept))

    def group(self, version: int, after: str) -> list[str]:
        """The next files that had rows at a version, by name; none where there are no more."""
        found, rows = list[str](), 0
        for name, count in self._files(version):
            if name > after:
                found.append(name)
                rows += count
                if rows >= _GROUP_ROWS or len(found) == _GROUP_FILES:
                    break
        return found

    def rows(self, names: Sequence[str], at: Mapping[str, int], *, whole: bool) -> pa.Table | None:
        """The rows of these files from those bytes on, in the order of writing; None where there are none. Their
        columns are left out unless they are wanted `whole`."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        columns = None if whole else _BESIDE_ROWS
        for tries in range(_TRIES):
            try:
                read = list(delta.of_journals(self._root, self._loop, names, columns))
                break
            except StoreUnavailable:
                if tries == _TRIES - 1:
                    raise
        if not read:
            return None
        table = pa.concat_tables(read, promote_options="default")
        ids = table["id"]
        keys = {
            "journal": table["journal"].cast(pa.string()),
            "place": _places(table),
            "request": pc.utf8_slice_codeunits(ids, 0, 26),
            "row": pc.cast(pc.utf8_slice_codeunits(ids, 27), pa.int64()),
        }
        first = pa.array([at.get(name, 0) for name in names], pa.int64())
        starts = first.take(pc.index_in(keys["journal"], pa.array(names, pa.string())).combine_chunks())
        order = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])
        is_new = np.asarray(pc.greater_equal(keys["place"].combine_chunks(), starts))
        wanted = np.asarray(order)[is_new[np.asarray(order)]]
        return table.take(pa.array(wanted)) if len(wanted) else None

    def _files(self, version: int) -> list[tuple[str, int]]:
        """By name, with the number of rows. What later commits brought is left out."""
        if self._known is None or self._known[0] != version:
            import pyarrow as pa
            import pyarrow.compute as pc

            read = [one["journal"].cast(pa.string()) for one in self._columns()]
            counts = pc.value_counts(pa.chunked_array([chunk for one in read for chunk in one.chunks], pa.string()))
            found = {one["values"]: one["counts"] for one in counts.to_pylist()}
            later, number = set[str](), version + 1
            with suppress(FileNotFoundError):
                while True:
                    later.update(self._named(number) or ())
                    number += 1
            self._known = (version, sorted((name, count) for name, count in found.items() if name not in later))
        return self._known[1]

    def _columns(self) -> list[pa.Table]:
        for _ in range(_TRIES - 1):
            with suppress(StoreUnavailable):
                return list(delta.tables(self._root, self._loop, shadows=True, columns=["journal"]))
        return list(delta.tables(self._root, self._loop, shadows=True, columns=["journal"]))

    def _named(self, version: int) -> list[str] | None:
        """The files that a commit names. Raises `FileNotFoundError`."""
        text = (self._log / f"{version:020d}.json").read_text(encoding="utf-8")
        for line in text.splitlines():
            if _NAMES in line:
                names = json.loads(line).get("commitInfo", {}).get(_NAMES)
                if names is not None:
                    found: list[str] = json.loads(names)
                    return found
        return None

    def _checkpoint(self) -> int:
        """The version up to which the log may have been tidied up; -1 where it never was."""
        try:
            told = json.loads((self._log / "_last_checkpoint").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return -1
        return int(told.get("version", -1))


def count_within(table: pa.Table, most: int) -> int:
    """How many rows make about so many, and end with a line or a batch: what begins at one byte stays together."""
    if most >= len(table):
        return len(table)
    journals, places = table["journal"], _places(table)
    count = most
    while count < len(table) and (journals[count], places[count]) == (journals[count - 1], places[count - 1]):
        count += 1
    return count


def place_of(table: pa.Table, row: int) -> tuple[str, int]:
    """The file and the byte where a row began."""
    return str(table["journal"][row].as_py()), int(_places(table)[row].as_py())


def lines(table: pa.Table, *, whole: bool) -> Iterator[Line]:
    """In the order of the table."""
    from loopwright.predictions import layout

    for first in range(0, len(table), _SLICE_ROWS):
        yield from layout.ordered(table.slice(first, _SLICE_ROWS), whole=whole)


def _places(table: pa.Table) -> Any:
    """0 in a table that was written before places were."""
    import pyarrow as pa

    if "place" not in table.column_names:
        return pa.chunked_array([pa.repeat(pa.scalar(0, pa.int64()), len(table))])
    return table["place"].fill_null(0)
