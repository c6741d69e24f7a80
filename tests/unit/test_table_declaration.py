"""What is checked when a table is declared, before there is any data."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from loopwright.data.table import Table
from loopwright.errors import DeclarationError, SchemaMismatch

WRONG: list[tuple[Callable[[], Table], str, str]] = [
    (lambda: Table("Flights"), "'Flights' is not a table name", "'flights'"),
    (lambda: Table("../etc"), "is not a table name", "'etc'"),
    (lambda: Table(""), "is not a table name", "'flights'"),
    (lambda: Table("a" * 65), "is not a table name", "at most 64"),
    (lambda: Table("flights\n"), "is not a table name", "'flights'"),
    (lambda: Table(3), "3 is not a table name", "small letters"),  # type: ignore[arg-type]
    (lambda: Table("f", key=""), "key=''", 'key=["a_column"'),
    (lambda: Table("f", key=["a", "a"]), "key names 'a' twice", "once"),
    (lambda: Table("f", key=[1]), "key=[1]", "list of column names"),  # type: ignore[list-item]
    (lambda: Table("f", key=3), "key=3", "list of column names"),  # type: ignore[arg-type]
    (lambda: Table("f", time=["t"]), "time=['t']", 'time="a_column"'),  # type: ignore[arg-type]
    (lambda: Table("f", label=""), "label=''", 'label="a_column"'),
    (lambda: Table("f", never=["a", "b", "a"]), "never names 'a' twice", "once"),
    (lambda: Table("f", label="late", never=["late"]), "'late' is the label", "out of never"),
    (lambda: Table("f", key="id", never=["id"]), "'id' is the key", "out of never"),
    (lambda: Table("f", time="t", never=["t"]), "'t' is the time", "out of never"),
    (lambda: Table("f", key="id", label="id"), "'id' is the label and also", "one role"),
]


@pytest.mark.parametrize(("declare", "what", "fix"), WRONG)
def test_a_wrong_declaration_shows_wrong_beside_right(declare: Callable[[], Table], what: str, fix: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        declare()
    assert what in str(refused.value) or what in refused.value.what
    assert fix in str(refused.value)
    assert refused.value.fix


def test_a_declaration_is_a_value() -> None:
    one = Table("flights", key="id", time="t", label="late", never=["arrived"])
    assert one == Table("flights", key=["id"], time="t", label="late", never=("arrived",))
    assert hash(one) == hash(Table("flights", key=("id",), time="t", label="late", never=["arrived"]))
    assert one.key == ("id",)


def test_training_columns_leave_out_what_must_never_reach_training() -> None:
    assert Table("f", never=["b"]).training_columns(["a", "b", "c"]) == ["a", "c"]


@pytest.mark.parametrize(
    "table", [Table("f", key="flightid"), Table("f", time="flightid"), Table("f", never=["flightid"])]
)
def test_a_column_the_data_lacks_is_named_with_the_closest_one(table: Table) -> None:
    with pytest.raises(SchemaMismatch, match="did you mean 'flight_id'"):
        table.check_columns(["flight_id", "carrier"])


def test_the_label_may_be_missing_for_it_can_come_later() -> None:
    Table("f", label="late").check_columns(["flight_id"])


def test_declaring_a_table_loads_nothing_heavy() -> None:
    code = (
        "import sys; import loopwright.data.table; "
        "heavy = 'polars pyarrow deltalake pandas numpy sqlalchemy fsspec'.split(); "
        "print([module for module in heavy if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
