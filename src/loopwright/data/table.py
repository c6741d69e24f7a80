"""What a table is declared to be: its key, its time, its label, and what must never reach training.

Everything that can be wrong without data is refused here, at declaration. Nothing heavy may be imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loopwright.errors import DeclarationError, SchemaMismatch, did_you_mean

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, init=False)
class Table:
    """A named table and its contract. A plain value: declaring one touches no disk.

    `key` names the columns that tell rows apart; `time` the timestamp or date a row belongs to (naive timestamps are
    UTC); `label` what a model learns, which may arrive later by key; `never` the columns that are not known when
    a prediction is asked for, and so are kept from training.

    Raises `DeclarationError` for a name that could not be a folder, a column named twice, or a key, time or label
    that is also listed in `never`.

    >>> flights = Table("flights", key="flight_id", time="departure", label="late", never=["arrival"])
    >>> flights.key, flights.never
    (('flight_id',), ('arrival',))
    >>> Table("Flights")
    Traceback (most recent call last):
    loopwright.errors.DeclarationError: 'Flights' is not a table name
      where: Table('Flights')
      to do: write small letters, digits, - or _, beginning with a letter, at most 64: 'flights'
    """

    name: str
    key: tuple[str, ...]
    time: str | None
    label: str | None
    never: tuple[str, ...]

    def __init__(
        self,
        name: str,
        *,
        key: str | Sequence[str] | None = None,
        time: str | None = None,
        label: str | None = None,
        never: str | Sequence[str] = (),
    ) -> None:
        check_table_name(name)
        where = f"Table({name!r})"
        values = {
            "name": name,
            "key": _columns(key, "key", where),
            "time": _column(time, "time", where),
            "label": _column(label, "label", where),
            "never": _columns(never, "never", where),
        }
        for field, value in values.items():
            object.__setattr__(self, field, value)
        _refuse_two_roles(self, where)

    def training_columns(self, columns: Iterable[str]) -> list[str]:
        """The columns that may reach training: all but `never`, in the order given.

        >>> Table("flights", never=["arrival"]).training_columns(["departure", "arrival"])
        ['departure']
        """
        return [column for column in columns if column not in self.never]

    def check_columns(self, columns: Iterable[str]) -> None:
        """Refuse data that lacks a column this declaration names. The label may be missing: it can come later.

        Raises `SchemaMismatch` with the closest column.

        >>> Table("flights", key="flightid").check_columns(["flight_id"])
        Traceback (most recent call last):
        loopwright.errors.SchemaMismatch: key names the column 'flightid', which the data does not have
          where: table 'flights'
          to do: did you mean 'flight_id'?
        """
        known = list(columns)
        for role, named in (("key", self.key), ("time", _listed(self.time)), ("never", self.never)):
            for column in named:
                if column not in known:
                    raise SchemaMismatch(
                        f"{role} names the column {column!r}, which the data does not have",
                        where=f"table {self.name!r}",
                        fix=did_you_mean(column, known),
                    )


def check_table_name(name: object) -> None:
    """Refuse a name that could not safely be a folder: no name a client sends may ever become another path."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return
    right = re.sub(r"[^a-z0-9_-]+", "_", str(name).lower()).strip("_-0123456789")[:64] or "flights"
    raise DeclarationError(
        f"{name!r} is not a table name",
        where=f"Table({name!r})",
        fix=f"write small letters, digits, - or _, beginning with a letter, at most 64: {right!r}",
    )


def _listed(column: str | None) -> tuple[str, ...]:
    return () if column is None else (column,)


def _column(value: object, role: str, where: str) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise DeclarationError(f"{role}={value!r} is not a column name", where=where, fix=f'write {role}="a_column"')


def _columns(value: object, role: str, where: str) -> tuple[str, ...]:
    listed = (value,) if isinstance(value, str) else () if value is None else value
    if not isinstance(listed, Sequence) or not all(isinstance(one, str) and one for one in listed):
        raise DeclarationError(
            f"{role}={value!r} is not a list of column names", where=where, fix=f'write {role}=["a_column", "another"]'
        )
    for column in listed:
        if listed.count(column) > 1:
            raise DeclarationError(f"{role} names {column!r} twice", where=where, fix="name it once")
    return tuple(listed)


def _refuse_two_roles(table: Table, where: str) -> None:
    for role, named in (("key", table.key), ("time", _listed(table.time)), ("label", _listed(table.label))):
        for column in named:
            if column in table.never:
                raise DeclarationError(
                    f"{column!r} is the {role} and is also listed in never",
                    where=where,
                    fix=f"take {column!r} out of never={list(table.never)!r}",
                )
    if table.label is not None and table.label in (*table.key, table.time):
        raise DeclarationError(
            f"{table.label!r} is the label and also the key or the time", where=where, fix="give it one role"
        )
