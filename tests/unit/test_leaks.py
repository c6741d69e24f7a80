"""Columns that tell the label because they are filled in with it."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from loopwright.data.finding_kinds import decided
from loopwright.data.infer import infer
from loopwright.data.leaks import leaks, separation
from loopwright.data.relax import accept
from loopwright.data.statistics import describe
from loopwright.demo import flights

N = 4000
DRAW = np.random.default_rng(3)
LATE = DRAW.random(N) < 0.25
KNOWN = np.arange(N) < N - 200


def kinds(**columns: object) -> dict[str | None, float | None]:
    frame = pl.DataFrame({**columns, "late": [bool(x) if k else None for x, k in zip(LATE, KNOWN, strict=True)]})
    return {found.column: found.number for found in leaks(frame, list(columns), "late")}


def test_a_column_that_is_the_label_in_other_words_is_found() -> None:
    delay = np.where(LATE, 16 + DRAW.exponential(30, N), DRAW.normal(-5, 8, N).clip(max=15))
    assert "delay" in kinds(delay=delay)
    assert "told" in kinds(told=np.where(LATE, "yes", "no"))
    assert "flag" in kinds(flag=LATE)


def test_a_leak_is_accepted_by_its_line_of_the_schema() -> None:
    found = leaks(pl.DataFrame({"flag": LATE, "told": LATE, "late": LATE}), ["flag", "told"], "late")
    assert [one.accept for one in found] == [f'columns.{name}.accepted = ["leak"]' for name in ("flag", "told")]
    schema = infer(describe(pl.LazyFrame({"flag": LATE, "told": LATE})).profile())
    widened = accept(schema, found[0], who="ada", why="known at booking", at=datetime(2026, 1, 1, tzinfo=UTC))
    assert [one.column for one in decided(found, widened)] == ["told"]


def test_a_good_feature_is_no_leak() -> None:
    assert kinds(hour=6 + 12 * LATE + DRAW.normal(0, 8, N)) == {}
    assert kinds(noise=DRAW.random(N)) == {}


def test_a_category_of_its_own_for_every_row_is_no_leak() -> None:
    assert kinds(name=[f"row {i}" for i in range(N)]) == {}


def test_a_column_that_comes_with_the_label_is_found_by_what_is_missing() -> None:
    minutes: list[float | None] = [*DRAW.random(N - 200).tolist(), *[None] * 200]
    assert kinds(arrived=minutes)["arrived"] == pytest.approx(1.0)


def test_a_number_that_a_number_is_made_of_is_found() -> None:
    price = DRAW.gamma(2, 50, N)
    frame = pl.DataFrame({"with_tax": price * 1.19, "noise": DRAW.random(N), "price": price})
    assert [found.column for found in leaks(frame, ["with_tax", "noise"], "price")] == ["with_tax"]


def test_one_class_of_many_that_is_given_away_is_enough() -> None:
    kind = DRAW.choice(["a", "b", "c"], N)
    frame = pl.DataFrame({"is_c": kind == "c", "noise": DRAW.random(N), "kind": kind})
    assert [found.column for found in leaks(frame, ["is_c", "noise"], "kind")] == ["is_c"]


@pytest.mark.parametrize(
    "values", [pl.Series([None] * 8, dtype=pl.Float64), pl.Series([1] * 8), pl.Series([float("inf"), float("nan")] * 4)]
)
def test_a_column_without_content_separates_nothing(values: pl.Series) -> None:
    assert separation(values, np.array([0.0, 1.0] * 4)) < 0.5


def test_what_is_known_only_after_departure_is_caught_on_real_flights_and_nothing_else() -> None:
    """Whoever forgets `never` is told of every leaking column."""
    rows = pl.concat([flights.month(1), flights.month(2)])
    features = [name for name in rows.columns if name not in (flights.KEY, flights.LABEL)]
    assert {found.column for found in leaks(rows, features, flights.LABEL)} == {*flights.NEVER}


def test_lists_are_no_leak() -> None:
    label = DRAW.random(N) < 0.3
    frame = pl.DataFrame({"tags": [[1] if one else [] for one in label], "same": label, "late": label})
    assert [found.column for found in leaks(frame, ["tags", "same"], "late")] == ["same"]
