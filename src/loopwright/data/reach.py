"""How far a table reaches in time, from its log: no row is read where the log has the bounds of its files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl
import pyarrow as pa

from loopwright.data.reading import Selection, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Of one version of a table's rows."""

    version: int
    rows: int
    until: datetime | None
    """The newest of its time, UTC, to the next millisecond; None without rows, and for a table without a time."""


def reach(state: State) -> Reach:
    files = pl.DataFrame(pa.table(state.rows.get_add_actions(flatten=True)))
    rows = int(files["num_records"].sum()) if len(files) else 0
    until = _newest(state, files) if rows and state.table.time is not None else None
    return Reach(version=state.rows.version(), rows=rows, until=_moment(until))


def _newest(state: State, files: pl.DataFrame) -> object:
    bounds = f"max.{state.table.time}"
    if bounds in files.columns and files[bounds].null_count() == 0:
        return files[bounds].max()
    times = state.scan(Selection(columns=[str(state.table.time)]))
    return times.max().collect(engine="streaming").item()


def _moment(found: object) -> datetime | None:
    """Of a date its midnight; naive moments are UTC, as everywhere in a table."""
    if isinstance(found, datetime):
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return datetime(found.year, found.month, found.day, tzinfo=UTC) if isinstance(found, date) else None
