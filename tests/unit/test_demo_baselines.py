"""What the demo's loop is measured against, on a small sample of the flights."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from loopwright import demo
from loopwright.demo import flights
from loopwright.demo.baselines import Baselines, Terms, Working, work_out
from loopwright.errors import LoopwrightError

TERMS = Terms(
    file=demo.loop_file(), parameters={"learning_rate": 0.1, "num_leaves": 7}, holdout=0.1, last=5, rows_each=2_000
)


@pytest.fixture(scope="module")
def found() -> Baselines:
    return work_out(TERMS)


def test_the_first_month_is_played_with_the_same_model_by_both(found: Baselines) -> None:
    assert found.alone.keys() == found.monthly.keys() == {4, 5}
    assert found.alone[4] == found.monthly[4]
    assert found.alone[5] != found.monthly[5]
    assert found.retrains == 1
    assert all(0.5 < value < 0.9 for value in [*found.alone.values(), *found.monthly.values()])


def test_what_was_worked_out_once_is_not_worked_out_again(found: Baselines, tmp_path: Path) -> None:
    first = Working(TERMS, tmp_path)
    assert first.result() == found
    assert Working(replace(TERMS, file=TERMS.file), tmp_path).is_known
    assert Working(TERMS, tmp_path).result() == found


@pytest.mark.parametrize(
    "other",
    [{"holdout": 0.2}, {"last": 6}, {"rows_each": None}, {"parameters": {"num_leaves": 8}}],
    ids=lambda o: next(iter(o)),
)
def test_other_terms_are_other_baselines(other: dict[str, object]) -> None:
    assert replace(TERMS, **other).key() != TERMS.key()  # type: ignore[arg-type]


def test_a_train_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(LoopwrightError, match="the baselines failed"):
        Working(replace(TERMS, parameters={"depth": 3}), tmp_path).result()


def test_it_can_be_stopped(tmp_path: Path) -> None:
    working = Working(TERMS, tmp_path)
    working.stop()
    assert list(tmp_path.iterdir()) == []


def test_flights_land_after_they_left_and_those_that_never_arrived_do_not() -> None:
    landed, month = flights.landings(2), flights.month(2)
    assert len(landed) == month[flights.LABEL].drop_nulls().len()
    assert landed["at"].is_sorted()
    hours = landed.join(month.select(flights.KEY, flights.TIME), on=flights.KEY).select(
        pl.col("at") - pl.col(flights.TIME)
    )
    assert hours.to_series().min() > timedelta(minutes=30)  # type: ignore[operator]
    late = landed.join(month.select(flights.KEY, flights.LABEL), on=flights.KEY)
    assert late[flights.LABEL].equals(late[f"{flights.LABEL}_right"])
