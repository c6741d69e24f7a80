"""The rows that a run set aside, read back from its outputs. No commands."""

from __future__ import annotations

import shutil
from typing import Any

import polars as pl

from loopwright.cli import text
from loopwright.data.examples import told
from loopwright.data.printable import printable
from loopwright.data.rows import PLACE
from loopwright.data.validated import Validated
from loopwright.system import System

SHOWN = 20


def of_run(opened: System, run_id: str) -> pl.DataFrame:
    """Whole, with their reasons; no rows where none were set aside. Raises RunNotFound, and UsageError where the rows
    were never validated."""
    found = opened.output(run_id, "validate")
    path = found.quarantine if isinstance(found, Validated) else None
    if path is None:
        return pl.DataFrame()
    try:
        return pl.read_parquet(path)
    finally:
        shutil.rmtree(path.parent, ignore_errors=True)


def as_values(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """For JSON."""
    return [dict(one) for one in told(rows)]


def as_text(rows: pl.DataFrame) -> str:
    """The first of them, the reason first."""
    if not len(rows):
        return "no row was set aside"
    names = [rows.columns[-1], *(name for name in rows.columns[:-1] if name != PLACE)]
    shown = [[printable(str(row[name])) for name in names] for row in told(rows.head(SHOWN))]
    more = f"\nand {len(rows) - SHOWN:,} more: --output FILE" if len(rows) > SHOWN else ""
    return text.columns(shown, [printable(name.upper()) for name in names]) + more
