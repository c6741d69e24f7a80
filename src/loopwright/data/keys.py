"""Keys that repeat: within what is being appended, and against what the table holds.

Memory is bounded by the keys being appended, never by the table: its files are skipped by their bounds, and streamed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl
import pyarrow as pa
import pyarrow.types as pt
from deltalake import DeltaTable

from loopwright.data.folder import Folder
from loopwright.data.fragments import Bound, Fragment
from loopwright.errors import DuplicateKeys, SchemaMismatch


def check_key_types(schema: pa.Schema, key: Sequence[str], where: str) -> None:
    """Refuse keys that cannot be told apart safely: floats, lists and structs."""
    for name in key:
        kind = schema.field(name).type
        if pt.is_floating(kind) or pt.is_nested(kind):
            raise SchemaMismatch(
                f"column {name!r} is the key and of type {kind}", where=where, fix=f"cast {name!r} to text or integer"
            )


def staged_keys(folder: Folder, fragments: Sequence[Fragment], key: Sequence[str]) -> pl.LazyFrame:
    """The key columns of rows that are staged, read back from their files."""
    return _scan(folder, [one.path for one in fragments], key)


def refuse_repeats(staged: pl.LazyFrame, key: Sequence[str], where: str) -> None:
    """Refuse rows in which a key stands twice. Rising keys, the common case, are seen in one pass."""
    if len(key) == 1 and _rises(staged, key[0]):
        return
    repeated = staged.group_by(key).len().filter(pl.col("len") > 1).select(key).collect(engine="streaming")
    _refuse(repeated, key, where, "keep one row for each key")


def refuse_known(
    folder: Folder, handle: DeltaTable, fragments: Sequence[Fragment], key: Sequence[str], seen: Collection[str]
) -> None:
    """Refuse fragments with a key the table holds, in the files `handle` names but for those already `seen`."""
    low, high = _range(fragments, key[0])
    files = [path for path in overlapping(handle, key[0], low, high) if path not in seen]
    if not files:
        return
    held = _scan(folder, files, key)
    if low is not None:
        held = held.filter(pl.col(key[0]).is_between(pl.lit(low), pl.lit(high)))
    staged = staged_keys(folder, fragments, key)
    known = held.join(staged, on=list(key), how="semi").unique().collect(engine="streaming")
    _refuse(
        known,
        key,
        f"{folder.url}: in the table already",
        "append only new rows; a label that comes later goes to label()",
    )


def overlapping(handle: DeltaTable, column: str = "", low: Bound | None = None, high: Bound | None = None) -> list[str]:
    """The files that may hold a value of `column` from `low` to `high`, by the bounds in the log, oldest first."""
    files = pl.DataFrame(pa.table(handle.get_add_actions(flatten=True))).sort("modification_time", "path")
    lows, highs = f"min.{column}", f"max.{column}"
    if lows in files.columns and highs in files.columns:
        if high is not None:
            files = files.filter((pl.col(lows) <= pl.lit(high)).fill_null(value=True))
        if low is not None:
            files = files.filter((pl.col(highs) >= pl.lit(low)).fill_null(value=True))
    return files["path"].to_list()


def _range(fragments: Sequence[Fragment], column: str) -> tuple[Bound | None, Bound | None]:
    ranges = [one.bounds.get(column) for one in fragments]
    known = [one for one in ranges if one is not None]
    if len(known) < len(ranges):
        return None, None
    return min(low for low, _ in known), max(high for _, high in known)


def _scan(folder: Folder, paths: Sequence[str], key: Sequence[str]) -> pl.LazyFrame:
    files = [folder.uri(path) for path in paths]
    return pl.scan_parquet(files, storage_options=folder.storage_options, glob=False).select(key)


def _rises(staged: pl.LazyFrame, column: str) -> bool:
    steps = staged.select((pl.col(column) > pl.col(column).shift(1)).all()).collect(engine="streaming")
    return bool(steps.item())


def _refuse(repeated: pl.DataFrame, key: Sequence[str], where: str, fix: str) -> None:
    if repeated.is_empty():
        return
    first = repeated.sort(key).head(5).rows()
    named = ", ".join(repr(row[0] if len(row) == 1 else row) for row in first)
    more = f" and {repeated.height - 5:,} more" if repeated.height > 5 else ""
    count = "1 repeated key" if repeated.height == 1 else f"{repeated.height:,} repeated keys"
    raise DuplicateKeys(f"{count} of {', '.join(key)}: {named}{more}", where=where, fix=fix)
