"""Work side by side in processes: results in order, failures named, and usable again afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit import executed

from loopwright.errors import FragmentFailed
from loopwright.pipeline.executor import LocalExecutor, name_of


@pytest.fixture(scope="module")
def two() -> Iterator[LocalExecutor]:
    """One for all tests, which shows too that each leaves it usable."""
    executor = LocalExecutor(2, executed.prepare, "ready")
    yield executor
    executor.close()


def refusal(executor: LocalExecutor, function: object, fragments: object) -> str:
    assert callable(function)
    assert isinstance(fragments, list | range)
    with pytest.raises(FragmentFailed) as raised:
        executor.map(function, fragments)
    return "\n".join([str(raised.value), *getattr(raised.value, "__notes__", [])])


def test_results_come_in_the_order_of_the_fragments(two: LocalExecutor) -> None:
    assert two.map(executed.double, range(20)) == [2 * number for number in range(20)]
    assert two.map(executed.double, []) == []


def test_each_process_is_prepared_once(two: LocalExecutor) -> None:
    assert two.map(executed.told, range(4)) == [["ready"]] * 4


def test_a_failure_names_the_fragment_and_shows_where(two: LocalExecutor) -> None:
    """Also for an exception that cannot be rebuilt here, which would take the pool down with it."""
    told = refusal(two, executed.refuse_three, range(5))
    assert told.startswith("fragment 3 (3) failed: Odd: 3: is odd")
    assert "executed.py" in told
    assert "raise Odd" in told


def test_a_failure_names_the_file_that_it_is_about(two: LocalExecutor, tmp_path: Path) -> None:
    told = refusal(two, executed.opened, [tmp_path / "none.csv"])
    assert told.startswith("fragment 0 ('none.csv') failed: FileNotFoundError")


def test_a_fragment_that_exits_fails(two: LocalExecutor) -> None:
    assert "SystemExit: left at 1" in refusal(two, executed.leave, [1])


def test_what_cannot_be_handed_over_is_refused_with_what_to_do(two: LocalExecutor) -> None:
    for function in (lambda number: number, executed.unpicklable):
        assert "top of a module" in refusal(two, function, [1])


def test_the_death_of_a_process_is_told_and_others_take_its_place(two: LocalExecutor) -> None:
    told = refusal(two, executed.die_at_two, range(50))
    assert "a process died" in told
    assert "fragment 2 (2)" in told
    assert two.map(executed.double, [1]) == [2]
    assert two.submit(executed.double, 4).result() == 8


def test_a_single_process_that_dies_names_just_its_fragment() -> None:
    one = LocalExecutor(1)
    try:
        assert "while fragment 2 (2) was at work" in refusal(one, executed.die_at_two, range(9))
    finally:
        one.close()


def test_one_that_was_closed_starts_again() -> None:
    one = LocalExecutor(1)
    one.close()
    assert one.map(abs, [-1]) == [1]
    one.close()
    one.close()


class Named:
    name = "january"


@pytest.mark.parametrize(
    ("fragment", "told"),
    [
        (1, "fragment 7 (1)"),
        ("a.csv", "fragment 7 ('a.csv')"),
        (Path("x/a.csv"), "fragment 7 ('a.csv')"),
        (Named(), "fragment 7 ('january')"),
        ("x" * 100, "fragment 7"),
    ],
)
def test_a_fragment_is_called_by_its_name_when_it_has_a_short_one(fragment: object, told: str) -> None:
    assert name_of(fragment, 7) == told
