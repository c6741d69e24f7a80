"""`Rows`: one state of a table as a loop sees it. A small value that stands for the rows, wherever they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from loopwright.data.reading import TableVersion
from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.errors import DeclarationError, SchemaMismatch, did_you_mean


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
        """These columns of all rows, labelled or not, in the order of the table."""
        return tables.scan(
            self.table.name,
            version=self.version,
            since=self.since,
            until=self.until,
            columns=list(dict.fromkeys(columns)),
        )

    def labelled(self, tables: Tables, columns: Sequence[str] | None = None) -> pl.LazyFrame:
        """The rows whose label has arrived: features, label and weight, or these columns and the label."""
        wanted = [*self.features, *([self.weight] if self.weight else [])] if columns is None else columns
        return self.scan(tables, [*wanted, self.label]).filter(pl.col(self.label).is_not_null())


def pin(
    tables: Tables, table: Table, *, weight: str | None = None, since: date | None = None, until: date | None = None
) -> Rows:
    """The newest state of the table. What is declared now is what counts: time, label and `never` may have changed.

    Raises `TableNotFound`, `SchemaMismatch` for a column that is not there, `DeclarationError` for another key.
    """
    if tables.declared(table.name) != table:
        tables.redeclare(table)
    version = tables.current(table.name)
    for role, column in (("label", table.label), ("weight", weight)):
        if column is not None and column not in version.columns:
            raise SchemaMismatch(
                f"{role} names the column {column!r}, which table {table.name!r} does not have",
                where=f"table {table.name!r}",
                fix=did_you_mean(column, version.columns),
            )
    return Rows(table=table, version=version, weight=weight, since=since, until=until)
