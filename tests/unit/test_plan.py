"""Making a pipeline ready: what its parameters may be, and what they are known by."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import loopwright as lw
from loopwright.errors import NotStorable
from loopwright.pipeline import plan

FILE = Path(__file__)


@lw.step
def apply(how: Callable[[int], int], number: int = 3) -> int:
    return how(number)


@lw.step
def read(table: lw.Table) -> int:
    return 1


@lw.step(cache=False)
def look(table: lw.Table) -> int:
    return 1


def double(number: int) -> int:
    return 2 * number


def triple(number: int) -> int:
    return 3 * number


def key_of(how: Any) -> str | None:
    ready = plan.prepare(lw.Pipeline([apply], parameters={"how": how}), FILE, {}, root=FILE.parent)
    return ready.key(apply, {})


def test_a_function_as_parameter_is_known_by_its_code() -> None:
    assert key_of(double) == key_of(double)
    assert key_of(double) != key_of(triple)


def test_a_function_that_closes_over_a_value_is_refused() -> None:
    factor = 5

    def times(number: int) -> int:
        return factor * number

    with pytest.raises(NotStorable, match="reads factor of the function around it"):
        key_of(times)


def test_a_table_may_be_read_by_a_step_that_always_runs_and_by_no_other() -> None:
    flights = lw.Table("flights")
    plan.prepare(lw.Pipeline([look], parameters={"table": flights}), FILE, {}, root=FILE.parent)
    with pytest.raises(NotStorable, match="whose rows may change"):
        plan.prepare(lw.Pipeline([read], parameters={"table": flights}), FILE, {}, root=FILE.parent)
