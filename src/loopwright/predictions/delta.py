"""The table that closed journal files become: a Delta table a loop, a partition a day. Here it is opened and read.

    <root>/<loop>/table

Whoever reads both reads the journal first, and of the table what did not come from the files it has read: a file goes
only after its rows are in the table, so nothing is missed and nothing is seen twice. deltalake and Arrow are imported
only where there is a table.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from loopwright.errors import MissingExtra, StoreUnavailable
from loopwright.predictions import journal

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

FOLDER = "table"
_CONDITIONAL = ("at", "version", "shadow", "journal")
"""The columns by which rows of a span are told from others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of the table."""

    path: Path
    day: str
    least: str
    """The first of its ids; empty where it is not known."""
    most: str | None
    """The last; None where it is not known."""
    rows: int
    journals: tuple[str, str] | None = None
    """The first and the last of the journal files that its rows came from, by name; None where it is not known."""


def folder_of(root: Path, loop: str) -> Path:
    return journal.folder_of(root, loop) / FOLDER


def opened(root: Path, loop: str) -> DeltaTable | None:
    """The table at its newest version; None while no file was made part of one.

    Raises `MissingExtra` where there is one and nothing to read it with.
    """
    folder = folder_of(root, loop)
    if not (folder / "_delta_log").is_dir():
        return None
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"predictions of {loop} are in a table, which needs {error.name}",
            where=str(folder),
            fix="pip install loopwright, in place of loopwright-gateway",
        ) from None
    try:
        return DeltaTable(str(folder))
    except TableNotFoundError:  # killed while the first one was written
        return None


def newest_commit(root: Path, loop: str) -> str:
    """What changes whenever the table does, also when it is made anew; empty where there is none."""
    newest: os.DirEntry[str] | None = None
    try:
        with os.scandir(folder_of(root, loop) / "_delta_log") as entries:
            newest = max((one for one in entries if one.name.endswith(".json")), key=lambda one: one.name, default=None)
        return f"{newest.name} {newest.inode()} {newest.stat().st_mtime_ns}" if newest else ""
    except FileNotFoundError:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a table consists of."""

    parts: tuple[Part, ...] = ()
    """In the order of their first ids."""
    columns: tuple[str, ...] = ()


_remembered: dict[Path, tuple[str, Contents]] = {}
"""Of the tables that this process reads: to open one costs milliseconds, and readers come for every few labels."""


def contents(root: Path, loop: str) -> Contents:
    """Of the table at its newest version; nothing while there is none. Raises as `opened`."""
    folder, commit = folder_of(root, loop), newest_commit(root, loop)
    known = _remembered.get(folder)
    if known is None or known[0] != commit:
        table, found = opened(root, loop), Contents()
        if table is not None:
            found = Contents(
                parts=tuple(parts(root, loop, table)), columns=tuple(field.name for field in table.schema().fields)
            )
        known = _remembered[folder] = commit, found
    return known[1]


def parts(root: Path, loop: str, table: DeltaTable) -> list[Part]:
    """The files it consists of, in the order of their first ids."""
    import pyarrow as pa

    found = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    folder = folder_of(root, loop)
    return sorted(
        (
            Part(
                path=folder / unquote(one["path"]),
                day=one["partition.day"],
                least=one.get("min.id") or "",
                most=one.get("max.id"),
                rows=one["num_records"],
                journals=_span(one.get("min.journal"), one.get("max.journal")),
            )
            for one in found
        ),
        key=lambda part: part.least,
    )


def tables(
    root: Path,
    loop: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    versions: Collection[int] | None = None,
    shadows: bool = False,
    left_out: Collection[str] = (),
    columns: Sequence[str] | None = None,
    coded: Sequence[str] = (),
) -> Iterator[pa.Table]:
    """The rows of a span, piece by piece, but those that came from the journal files `left_out`; the texts
    `coded` as codes.

    Raises `StoreUnavailable` when rows were erased meanwhile.
    """
    wanted = [part for part in contents(root, loop).parts if _meets(part, since, until)]
    if not wanted:
        return
    condition = _condition(since, until, versions, left_out, shadows=shadows)
    for part in wanted:
        yield from _read(
            part, columns=columns, condition=condition, needs=_CONDITIONAL, since=since, until=until, coded=coded
        )


def with_ids(root: Path, loop: str, ids: Collection[str], columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The rows of these predictions, shadows included."""
    wanted = sorted(ids)
    for part in contents(root, loop).parts if wanted else ():
        end = None if part.most is None else bisect_right(wanted, part.most)
        if some := wanted[bisect_left(wanted, part.least) : end]:
            yield from _read(part, columns=columns, condition=_is_one_of("id", some), needs=("id",))


def of_journals(
    root: Path, loop: str, names: Collection[str], columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """The rows that came from these journal files, shadows included. Raises `StoreUnavailable` as `tables`."""
    if not names:
        return
    first, last = min(names), max(names)
    for part in contents(root, loop).parts:
        if part.journals is None or (part.journals[0] <= last and part.journals[1] >= first):
            condition = _is_one_of("journal", names)
            yield from _read(part, columns=columns, condition=condition, needs=("journal",), coded=("layout",))


def keys(root: Path, loop: str, seen: set[Path]) -> Iterator[pa.Table]:
    """What names the rows of the files that are not `seen` yet, which thereby are."""
    for part in [part for part in contents(root, loop).parts if part.path not in seen]:
        yield from _read(part, columns=["layout", "key_*"])
        seen.add(part.path)


def _span(first: str | None, last: str | None) -> tuple[str, str] | None:
    return None if first is None or last is None else (first, last)


def newest(root: Path, loop: str, limit: int, *, left_out: Collection[str] = ()) -> list[pa.Table]:
    """Tables that hold the last predictions, from the files with the newest ids. Without shadows."""
    there = contents(root, loop).parts
    if not there:  # Arrow, which may be missing, is not asked for
        return []
    condition = _condition(None, None, None, left_out, shadows=False)
    found, requests = list[Any](), list[str]()
    for part in sorted(there, key=lambda part: part.most or "~", reverse=True):
        if len(requests) == limit and part.most is not None and part.most[:26] < requests[-1]:
            break
        for one in _read(part, condition=condition):
            found.append(_last(one, limit))
            requests = sorted([*requests, *(name[:26] for name in found[-1]["id"].to_pylist())], reverse=True)[:limit]
    return found


def _last(table: pa.Table, limit: int) -> pa.Table:
    """By request, and by the number of the row in it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    order = pa.table(
        {
            "request": pc.utf8_slice_codeunits(table["id"], 0, 26),
            "row": pc.cast(pc.utf8_slice_codeunits(table["id"], 27), pa.int64()),
        }
    )
    order_of = pc.sort_indices(order, sort_keys=[("request", "descending"), ("row", "descending")])
    return table.take(order_of[:limit])


def _read(part: Part, **asked: Any) -> Iterator[pa.Table]:
    """What is asked for of one file, as `pages.Asked` has it."""
    from loopwright.predictions.pages import Asked, pages

    try:
        yield from pages(part.path, Asked(**asked))
    except FileNotFoundError:
        raise StoreUnavailable(
            "predictions were erased or joined while they were read", where=str(part.path), fix="read them again"
        ) from None


def _is_one_of(column: str, values: Collection[str]) -> Any:
    """A filter by texts. Cast, or it is held against the statistics of the file, which are of views where deltalake
    wrote it again: there Arrow cannot compare the two."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.field(column).cast(pa.string()).isin(pa.array(list(values), pa.string()))


def _condition(
    since: datetime | None,
    until: datetime | None,
    versions: Collection[int] | None,
    left_out: Collection[str],
    *,
    shadows: bool,
) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    given = []
    if since is not None:
        given.append(pc.field("at") >= pa.scalar(since.astimezone(UTC), pa.timestamp("us", "UTC")))
    if until is not None:
        given.append(pc.field("at") < pa.scalar(until.astimezone(UTC), pa.timestamp("us", "UTC")))
    if versions is not None:
        given.append(pc.field("version").isin(pa.array(sorted(versions), pa.int64())))
    if not shadows:
        given.append(~pc.field("shadow"))
    if left_out:
        given.append(~_is_one_of("journal", left_out))
    return reduce(and_, given) if given else None


def _meets(part: Part, since: datetime | None, until: datetime | None) -> bool:
    first = since.astimezone(UTC).date().isoformat() if since else ""
    last = until.astimezone(UTC).date().isoformat() if until else "9999-12-31"
    return first <= part.day <= last
