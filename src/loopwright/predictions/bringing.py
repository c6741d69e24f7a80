"""Labels that came over the gateway, into the table that a loop learns from: each once, by the table's key.

A label is taken where its prediction, or it itself, bears the table's key, and a row of that key is there. It counts
where the row has no label yet, or one that was known before this was told: what is in the table may have been corrected
since. Of values that were hidden (`pii`) nobody knows the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from loopwright.data.source import open_source
from loopwright.data.table import Table
from loopwright.data.tables import Tables, identity, labelled
from loopwright.errors import TableNotFound
from loopwright.predictions import journal, labels
from loopwright.predictions.brought import brought, read_on
from loopwright.predictions.concealing import PREFIX

ORIGIN = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """Rows that are `labelled` now; labels whose row nobody can tell, for their key is `hidden`; labels that are
    `unfit` for the table's columns."""

    labelled: int = 0
    hidden: int = 0
    unfit: int = 0

    def told(self, table: str) -> str:
        """For people; empty where nothing came.

        >>> print(Arrived(labelled=20, hidden=1).told("flights"))
        20 labels from the gateway came to rows of flights, 1 is under a key that is hidden
        """
        came = "label from the gateway came" if self.labelled == 1 else "labels from the gateway came"
        parts = [f"{self.labelled:,} {came} to rows of {table}"]
        parts += [f"{self.hidden:,} {_is(self.hidden)} under a key that is hidden"] if self.hidden else []
        parts += [f"{self.unfit:,} {_is(self.unfit)} of another kind than the table's"] if self.unfit else []
        return ", ".join(parts) if self.labelled or self.hidden or self.unfit else ""


def arrive(tables: Tables, table: Table, workspace: Path, loop: str) -> Arrived:
    """Give the rows of a table the labels that were told since; a table without key or label gets none, nor does one
    that is not there.

    Raises what `Tables.label` raises.
    """
    label = table.label
    if not table.key or label is None or not journal.files(workspace / labels.FOLDER, loop):
        return Arrived()
    try:
        stamp = identity(tables, table.name)
    except TableNotFound:
        return Arrived()
    kept = brought(workspace, loop, table.name, f"{stamp} {','.join(table.key)}")
    known = read_on(kept, workspace, loop, table.key)
    waiting = known.waiting
    if not len(waiting):
        if known.cursor != kept.cursor:
            known.keep()
        return Arrived()
    keys = msgspec.json.decode(f"[{','.join(waiting['key'])}]")
    hidden = sum(any(isinstance(one, str) and one.startswith(PREFIX) for one in key) for key in keys)
    given = _frame(waiting, keys, table.key, label, tables.scan(table.name).collect_schema())
    there = given.join(labelled(tables, table.name, given), on=list(table.key), how="inner")
    is_new = pl.col(f"known {label}").is_null() | (
        (pl.col(label) != pl.col(f"known {label}")) & (pl.col("told_at") > pl.col("labelled_at")).fill_null(value=True)
    )
    fresh = there.filter(is_new).unique(table.key, keep="last", maintain_order=True).select(*table.key, label)
    if len(fresh):
        tables.label(table, open_source(fresh), origin=ORIGIN)
    known.met(there["text"]).keep()
    return Arrived(labelled=len(fresh), hidden=hidden, unfit=len(keys) - hidden - len(given))


def _frame(
    waiting: pl.DataFrame, keys: Sequence[Sequence[Any]], names: Sequence[str], label: str, schema: pl.Schema
) -> pl.DataFrame:
    """In the types of the table; what does not fit is left out, and what is hidden."""
    columns: dict[str, Any] = {name: _typed(name, [key[at] for key in keys], schema) for at, name in enumerate(names)}
    told = msgspec.json.decode(f"[{','.join(waiting['label'])}]")
    columns[label] = _typed(label, told, schema) if label in schema else pl.Series(label, told, strict=False)
    columns |= {"told_at": waiting["at"], "text": waiting["text"]}
    return pl.DataFrame(columns).drop_nulls()


def _typed(name: str, values: list[Any], schema: pl.Schema) -> pl.Series:
    kind = schema[name]
    return pl.Series(name, [_as(value, kind) for value in values], dtype=kind, strict=False)


def _as(value: Any, kind: pl.DataType) -> Any:
    """A value of JSON as one of the table, null where it is none."""
    if kind.is_temporal():
        try:
            found = datetime.fromisoformat(str(labels.plain(value)))
        except ValueError:
            return None
        return found.date() if kind == pl.Date else found
    if kind == pl.Boolean:
        return value if isinstance(value, bool) else None
    if kind == pl.String:
        return value if isinstance(value, str) and not value.startswith(PREFIX) else None
    if isinstance(value, bool | str):
        return None
    is_whole = not isinstance(value, float) or value.is_integer()
    return (int(value) if is_whole else None) if kind.is_integer() else value


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
