"""Which rows train and which are held out."""

import json
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


def settled(split: Split, frame: pl.DataFrame) -> Parts:
    return carry_out(split, frame, time="at")


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
    frame = rows(list(range(5000)))
    parts = settled(Split(holdout=0.2), frame)
    assert (parts.train_rows, parts.validation_rows, parts.held_rows) == (4000, 800, 1000)
    parts = settled(Split("random", holdout=0.2), frame)
    assert parts.held_rows == pytest.approx(1000, abs=120)
    assert parts.validation_rows == pytest.approx(800, abs=120)


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


def test_the_splits_seed_places_the_random_rows() -> None:
    frame = rows(list(range(500)))
    one, again, other = (settled(Split("random", seed=seed), frame).of(frame) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@given(order=st.permutations(range(60)), kept=st.integers(20, 60))
def test_a_row_stays_on_its_side_whatever_other_rows_there_are(order: list[int], kept: int) -> None:
    """More rows, fewer, another order: what was held out never trains."""
    frame = rows(list(range(60)), id=[f"v{i}" for i in range(60)])
    parts = carry_out(Split("random", holdout=0.4), frame, time="at", key=["id"])
    placed = dict(zip(frame["id"], parts.of(frame), strict=True))
    other = frame[order[:kept]]
    assert [placed[name] for name in other["id"]] == parts.of(other).tolist()


def test_a_split_is_told_and_read_again() -> None:
    frame = rows(list(range(100)), customer=[f"c{i % 7}" for i in range(100)])
    for split in (Split(), Split("random", seed=3), Split("groups", key="customer", holdout=0.4)):
        parts = settled(split, frame)
        again = Parts.from_dict(json.loads(json.dumps(parts.to_dict())))
        assert np.array_equal(again.of(frame), parts.of(frame))


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
