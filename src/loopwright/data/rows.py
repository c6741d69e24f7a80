"""`Rows`: one state of a table as a loop sees it. A small value that stands for the rows, wherever they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from loopwright.data.labels import arrived
from loopwright.data.reading import TableVersion
from loopwright.data.table import Table
from loopwright.data.tables import Tables
from loopwright.errors import DataError, DeclarationError, SchemaMismatch, TableNotFound, did_you_mean

PLACE = "(row)"
"""Column of a row's place among all of the span, from 0, in the order of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A pinned version, the loop's own declaration of the table, the span [since, until) of it, and what of that was
    set aside."""

    table: Table
    version: TableVersion
    weight: str | None = None
    since: date | None = None
    until: date | None = None
    aside: Path | None = None
    """Parquet: rows of the span that are left out wherever these are read, by their `PLACE`."""

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
        if self.aside is not None:
            places = pl.read_parquet(self.aside, columns=[PLACE]).to_series()
            frame = frame.with_row_index(PLACE).filter(~pl.col(PLACE).is_in(places.implode())).drop(PLACE)
        label = self.table.label
        return frame if label not in wanted else frame.with_columns(arrived(label, frame.collect_schema()[label]))

    def labelled(self, tables: Tables, columns: Sequence[str] | None = None) -> pl.LazyFrame:
        """The rows whose label has arrived: features, label and weight, or these columns and the label."""
        wanted = [*self.features, *([self.weight] if self.weight else [])] if columns is None else columns
        return self.scan(tables, [*wanted, self.label]).filter(pl.col(self.label).is_not_null())

    def unlabelled(self, tables: Tables) -> int:
        """How many rows have no label yet."""
        return int(self.scan(tables, [self.label]).select(pl.col(self.label).null_count()).collect().item())

    def refuse_unknown(self, where: str, names: Sequence[str]) -> None:
        """Raises `DeclarationError`, with the closest column, for a name that is none of the table's."""
        for name in names:
            if name not in self.version.columns:
                raise DeclarationError(
                    f"there is no column {name!r} in table {self.table.name!r}",
                    where=where,
                    fix=did_you_mean(name, self.version.columns),
                )

    def refuse_weights(self, tables: Tables) -> None:
        """Raises `DataError` for weights of labelled rows that are missing, negative or no numbers."""
        if self.weight is None:
            return
        weights = self.labelled(tables, [self.weight]).select(self.weight).collect().to_series()
        if not weights.dtype.is_numeric() or weights.null_count() or not bool((weights.cast(pl.Float64) >= 0).all()):
            missing = f", {weights.null_count()} of them missing" if weights.null_count() else ""
            raise DataError(
                f"weights must be numbers of 0 or more, and {self.weight!r} holds {weights.dtype}{missing}",
                where=f"column {self.weight!r}",
                fix="write the weight of every labelled row, or name another column: weight=",
            )


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
