"""Which rows train and which are held out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwright.errors import DataError
from loopwright.train.parts import HELD, TRAIN, VALIDATION, Parts, carry_out
from loopwright.train.split import Split

START = datetime(2013, 1, 1, tzinfo=UTC)


def rows(hours: list[int], **columns: list[Any]) -> pl.DataFrame:
    times = [START + timedelta(hours=hour) for hour in hours]
    return pl.DataFrame({"at": pl.Series(times, dtype=pl.Datetime("us", "UTC")), **columns})


def settled(split: Split, frame: pl.DataFrame, seed: int = 0) -> Parts:
    return carry_out(split, frame, time="at", unlabelled_rows=0, seed=seed)


@given(hours=st.lists(st.integers(0, 300), min_size=10, max_size=80, unique=True), holdout=st.floats(0.1, 0.6))
def test_no_row_of_the_future_trains_what_is_judged_on_the_past(hours: list[int], holdout: float) -> None:
    frame = rows(hours)
    part = settled(Split(holdout=holdout), frame).of(frame)
    at = frame["at"].to_numpy()
    assert at[part != HELD].max() < at[part == HELD].min()
    assert (part == VALIDATION).sum() == 0 or at[part == TRAIN].max() < at[part == VALIDATION].min()


def test_rows_of_one_moment_stay_together() -> None:
    frame = rows([0, 1, 2, 3, 4, 4, 4, 4, 5, 6])
    part = settled(Split(holdout=0.5), frame).of(frame)
    assert len(set(part[4:8])) == 1


def test_the_share_held_out_is_what_was_asked() -> None:
    frame = rows(list(range(1000)))
    for split in (Split(holdout=0.2), Split("random", holdout=0.2)):
        parts = settled(split, frame)
        assert (parts.train_rows, parts.held_rows) == (800, 200)
        assert parts.validation_rows == pytest.approx(160, abs=1)


def test_all_rows_of_a_group_are_on_one_side() -> None:
    customers = [f"c{i % 97}" for i in range(1000)]
    frame = rows(list(range(1000)), customer=customers)
    part = settled(Split("groups", key="customer", holdout=0.3), frame).of(frame)
    sides = (
        pl.DataFrame({"customer": customers, "held": part == HELD}).group_by("customer").agg(pl.col("held").n_unique())
    )
    assert sides["held"].to_list() == [1] * 97
    assert 0.15 < float((part == HELD).mean()) < 0.45


def test_a_group_that_is_missing_is_a_group() -> None:
    frame = rows(list(range(60)), customer=[None if i % 3 == 0 else f"c{i}" for i in range(60)])
    part = settled(Split("groups", key="customer", holdout=0.4), frame).of(frame)
    assert len(set(part[::3])) == 1


def test_the_seed_draws_the_random_rows_and_the_same_seed_the_same() -> None:
    frame = rows(list(range(500)))
    one, again, other = (settled(Split("random"), frame, seed).of(frame) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("hours", [[], [1], [1, 1, 1, 1]])
def test_too_few_rows_for_three_parts_are_refused(hours: list[int]) -> None:
    with pytest.raises(DataError, match="the split leaves no rows"):
        settled(Split(), rows(hours))


def test_a_row_without_a_time_is_refused_by_number() -> None:
    frame = pl.DataFrame({"at": [START, None, START + timedelta(1)]})
    with pytest.raises(DataError, match="1 rows have no 'at'"):
        settled(Split(), frame)


def test_a_key_that_is_not_there_is_refused() -> None:
    with pytest.raises(DataError, match="'customer'"):
        settled(Split("groups", key="customer"), rows(list(range(30))))
