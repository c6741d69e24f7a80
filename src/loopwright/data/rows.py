"""`Rows`: one state of a table as a loop sees it. A small value that stands for the rows, wherever they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from loopwright.data.labels import arrived
from loopwright.data.reading import TableVersion
from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.errors import DeclarationError, SchemaMismatch, TableNotFound, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A pinned version, the loop's own declaration of the table, and the span [since, until) of it."""

    table: Table
    version: TableVersion
    weight: str | None = None
    since: date | None = None
    until: date | None = None

    @property
    def label(self) -> str:
        """Raises `DeclarationError` for a table without one."""
        if self.table.label is None:
            raise DeclarationError(f"the table {self.table.name!r} names no label", fix='write Table(..., label="...")')
        return self.table.label

    @property
    def features(self) -> list[str]:
        """What a model may see: all columns but key, label, weight and those that must `never` reach training."""
        aside = {*self.table.key, self.label, self.weight}
        return [name for name in self.table.training_columns(self.version.columns) if name not in aside]

    def scan(self, tables: Tables, columns: Sequence[str]) -> pl.LazyFrame:
        """These columns of all rows, labelled or not, in the order of the table. A label that is NaN or empty text
        has not arrived: it is missing here."""
        wanted = list(dict.fromkeys(columns))
        frame = tables.scan(self.table.name, version=self.version, since=self.since, until=self.until, columns=wanted)
        label = self.table.label
        return frame if label not in wanted else frame.with_columns(arrived(label, frame.collect_schema()[label]))

    def labelled(self, tables: Tables, columns: Sequence[str] | None = None) -> pl.LazyFrame:
        """The rows whose label has arrived: features, label and weight, or these columns and the label."""
        wanted = [*self.features, *([self.weight] if self.weight else [])] if columns is None else columns
        return self.scan(tables, [*wanted, self.label]).filter(pl.col(self.label).is_not_null())

    def unlabelled(self, tables: Tables) -> int:
        """How many rows have no label yet."""
        return int(self.scan(tables, [self.label]).select(pl.col(self.label).null_count()).collect().item())


def pin(
    tables: Tables, table: Table, *, weight: str | None = None, since: date | None = None, until: date | None = None
) -> Rows:
    """The newest state of the table. What is declared now is what counts: time, label and `never` may have changed.

    Raises `TableNotFound`, `SchemaMismatch` for a column that is not there, `DeclarationError` for another key, and for
    another label once labels came late. Nothing has changed after each of them.
    """
    try:
        columns = tables.current(table.name).columns
    except TableNotFound as error:
        make = f"make it: lw tables append {table.name} FILE, or give the loop a source="
        raise TableNotFound(error.what, where=error.where, fix=f"{make} ({error.fix})") from None
    if weight is not None and weight not in columns:
        raise _no_column("weight", weight, table, columns)
    declare(tables, table, columns)
    return Rows(table=table, version=tables.current(table.name), weight=weight, since=since, until=until)


def declare(tables: Tables, table: Table, columns: Sequence[str]) -> None:
    """Declare the table as it is declared now, once its label is known to be one of these columns.

    Raises what `pin` raises.
    """
    declared = tables.declared(table.name)
    if table.label is not None and table.label not in columns:
        error = _no_column("label", table.label, table, columns)
        raise error if declared.label != table.label else _none_arrived(table.label, table, str(error.fix))
    if declared != table:
        tables.redeclare(table)


def _no_column(role: str, column: str, table: Table, columns: Sequence[str]) -> SchemaMismatch:
    return SchemaMismatch(
        f"{role} names the column {column!r}, which table {table.name!r} does not have",
        where=f"table {table.name!r}",
        fix=did_you_mean(column, columns),
    )


def _none_arrived(label: str, table: Table, close: str) -> SchemaMismatch:
    """The label was declared before it came; or was it misspelt?"""
    send = f"lw tables label {table.name} FILE" if table.key else f"append rows with a column {label!r}"
    return SchemaMismatch(
        f"no label has arrived yet: table {table.name!r} has no column {label!r}",
        where=f"table {table.name!r}",
        fix=f"send labels: {send}" + (f"; or {close}" if close.startswith("did you mean") else ""),
    )
