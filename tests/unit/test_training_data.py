"""What train() receives."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from loopwright.errors import UsageError
from loopwright.train.data import TrainingData

FRAME = pl.DataFrame(
    {
        "carrier": ["UA", None, "B6"],
        "distance": [1400, None, 733],
        "is_red_eye": [True, False, None],
        "at": [datetime(2013, 1, 1, tzinfo=UTC), None, datetime(2013, 1, 2, tzinfo=UTC)],
    }
)


def data() -> TrainingData:
    return TrainingData.of(FRAME, np.array([True, False, True]), weights=np.array([1.0, 2.0, 0.5]), seed=7)


def test_the_columns_come_in_groups_by_kind() -> None:
    found = data()
    assert (found.numeric, found.categorical, found.timestamps) == (["distance", "is_red_eye"], ["carrier"], ["at"])


def test_x_is_what_the_graph_will_see() -> None:
    found = data().X
    assert found["carrier"].to_list() == ["UA", "", "B6"]
    assert found["distance"].dtype == pl.Float32
    assert np.isnan(found["distance"].to_numpy()[1])
    assert found["at"].null_count() == 1


def test_labels_weights_and_seed_come_with_it() -> None:
    found = data()
    assert found.y.tolist() == [True, False, True]
    assert found.weights is not None
    assert found.weights.tolist() == [1.0, 2.0, 0.5]
    assert found.seed == 7
    assert TrainingData.of(FRAME, np.array([1, 0, 1])).weights is None


def test_batches_are_the_whole_in_order() -> None:
    found = data()
    pieces = list(found.batches(2))
    assert [len(X) for X, _ in pieces] == [2, 1]
    assert pl.concat([X for X, _ in pieces]).equals(found.X, null_equal=True)
    assert np.concatenate([y for _, y in pieces]).tolist() == found.y.tolist()


def test_what_is_logged_is_kept_in_order() -> None:
    found = data()
    found.log(epoch=1, loss=0.5)
    found.log(epoch=2, loss=np.float32(0.25))
    assert found.logged == [{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": 0.25}]


@pytest.mark.parametrize("value", ["0.5", None, True])
def test_only_numbers_are_logged(value: object) -> None:
    with pytest.raises(UsageError, match="is no number"):
        data().log(loss=value)  # type: ignore[arg-type]
